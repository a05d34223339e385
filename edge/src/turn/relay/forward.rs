//! Where data goes: from a client to a peer, and from a peer to a client.
//!
//! The hot path: each call returns a small decision that borrows the data. What
//! stands in front of them on their way to a client, a ChannelData header or the
//! head of a Data indication, is a [`Prefix`] that leaves by scatter-gather.
//!
//! A peer that is one of our own addresses is reached without a socket, and
//! permissions are asked on both sides all the same.

use std::{net::SocketAddr, time::Instant};

use super::Relay;
use crate::turn::{
    allocation::{Key, Protocol, RelayId},
    client::{Client, Transport},
    peer_policy::{self, Own},
    tally::Dropped,
    wire::{
        CHANNEL_DATA_HEADER, ChannelData, ChannelNumber, Class, Encoder, Family, Message, Method,
    },
};

/// Where data go; they are borrowed from what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward<'a> {
    /// Nowhere: it was no data, or it was dropped and counted.
    Nothing,
    /// By a relayed socket to a peer.
    ToPeer {
        /// Which socket.
        relay: RelayId,
        /// To whom.
        peer: SocketAddr,
        /// What.
        data: &'a [u8],
        /// The packet must not be fragmented (RFC 8656 §18.9).
        dont_fragment: bool,
    },
    /// To a client of this worker.
    ToClient {
        /// To whom.
        client: Client,
        /// What stands in front of the data.
        prefix: Prefix,
        /// What.
        data: &'a [u8],
    },
    /// To a relayed address of another worker.
    ToRelay {
        /// Which worker.
        worker: u16,
        /// From which relayed address of ours.
        from: SocketAddr,
        /// To which of the other's.
        to: SocketAddr,
        /// What.
        data: &'a [u8],
    },
    /// To media of this process.
    ToMedia {
        /// Which worker's.
        worker: u16,
        /// The datagram, and between whom.
        hop: MediaHop<'a>,
    },
}

/// A datagram of a relayed client for media of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaHop<'a> {
    /// The client's relayed address.
    pub from: SocketAddr,
    /// The media address.
    pub to: SocketAddr,
    /// What the client's own messages travel by.
    pub transport: Transport,
    /// The only stream that the client may reach, where its credential is bound
    /// to one.
    pub stream: Option<u64>,
    /// The datagram.
    pub data: &'a [u8],
}

/// Longest prefix: a Data indication's header, XOR-PEER-ADDRESS with an IPv6
/// address, and the head of DATA.
const MAX_PREFIX: usize = 20 + 24 + 4;

/// Longest data that a Data indication's length can count, with what stands in
/// front of them.
const MAX_DATA: usize = 0xFFFC - (MAX_PREFIX - 20);

/// What stands in front of data on their way to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    bytes: [u8; MAX_PREFIX],
    len: u8,
    /// Zeros behind the data: a STUN attribute is always padded, ChannelData
    /// over TCP alone.
    padding: u8,
    is_channel_data: bool,
}

impl Prefix {
    fn channel_data(number: ChannelNumber, data: &[u8]) -> Option<Self> {
        let len = u16::try_from(data.len()).ok()?;
        let mut bytes = [0; MAX_PREFIX];
        let (head, _) = bytes.split_first_chunk_mut::<CHANNEL_DATA_HEADER>()?;
        *head = number.header(len);
        Some(Self {
            bytes,
            len: CHANNEL_DATA_HEADER as u8,
            padding: padding(data.len()),
            is_channel_data: true,
        })
    }

    /// Makes the head of a Data indication out of a finished one with empty
    /// DATA, by telling both lengths.
    fn data_indication(empty: &[u8], data: &[u8]) -> Option<Self> {
        let padded = data.len().next_multiple_of(4);
        let len = u16::try_from(empty.len() - 20 + padded).ok()?;
        let data_len = u16::try_from(data.len()).ok()?;
        let mut bytes = [0; MAX_PREFIX];
        bytes.get_mut(..empty.len())?.copy_from_slice(empty);
        bytes.get_mut(2..4)?.copy_from_slice(&len.to_be_bytes());
        let at = empty.len() - 2;
        let place = bytes.get_mut(at..empty.len())?;
        place.copy_from_slice(&data_len.to_be_bytes());
        Some(Self {
            bytes,
            len: u8::try_from(empty.len()).ok()?,
            padding: padding(data.len()),
            is_channel_data: false,
        })
    }

    /// The bytes in front.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The zeros behind, in a datagram or in a stream.
    pub fn padding(&self, is_stream: bool) -> &'static [u8] {
        const ZEROS: &[u8] = &[0; 3];
        let len = match self.is_channel_data && !is_stream {
            true => 0,
            false => usize::from(self.padding),
        };
        ZEROS.get(..len).unwrap_or_default()
    }
}

const fn padding(len: usize) -> u8 {
    (len.next_multiple_of(4) - len) as u8
}

impl Relay {
    /// ChannelData of a client (RFC 8656 §12.6).
    pub(super) fn channel_data<'a>(
        &mut self,
        now: Instant,
        client: &Client,
        message: ChannelData<'a>,
    ) -> Forward<'a> {
        let Some(&key) = self.by_client.get(client) else {
            return self.drop_data(Dropped::NoAllocation);
        };
        let Some(allocation) = self.allocation(key) else {
            return self.drop_data(Dropped::NoAllocation);
        };
        let Some(peer) = allocation.channels.peer(now, message.number) else {
            return self.drop_data(Dropped::NoChannel);
        };
        self.pass_to_peer(now, key, peer, message.data, false)
    }

    /// A Send indication (RFC 8656 §11.2): whatever is wrong with it, there is
    /// no answer.
    pub(super) fn send<'a>(
        &mut self,
        now: Instant,
        client: &Client,
        message: &Message<'a>,
    ) -> Forward<'a> {
        let said = &message.attributes;
        let (Some(peer), Some(data)) = (said.xor_peer_address, said.data) else {
            return self.drop_data(Dropped::Malformed);
        };
        if said.is_malformed || !message.unknown().is_empty() {
            return self.drop_data(Dropped::Malformed);
        }
        match self.by_client.get(client).copied() {
            Some(key) if self.protocol(key) == Some(Protocol::Udp) => {
                self.pass_to_peer(now, key, peer, data, said.dont_fragment)
            }
            _ => self.drop_data(Dropped::NoAllocation),
        }
    }

    /// Whether an allocation may send so many bytes to a peer.
    fn check_to_peer(
        &mut self,
        now: Instant,
        key: Key,
        peer: SocketAddr,
        len: usize,
    ) -> Result<(), Dropped> {
        let age = self.age(now);
        let allocation = self.allocations.get_mut(key.0);
        let allocation = allocation.filter(|allocation| allocation.expires > now);
        let allocation = allocation.ok_or(Dropped::NoAllocation)?;
        if !allocation.permissions.has(now, peer.ip()) {
            return Err(Dropped::NoPermission);
        }
        let share = allocation.place.share();
        match share.may_pass(age, len, &self.settings.limits) {
            true => Ok(()),
            false => Err(Dropped::Bitrate),
        }
    }

    fn pass_to_peer<'a>(
        &mut self,
        now: Instant,
        key: Key,
        peer: SocketAddr,
        data: &'a [u8],
        dont_fragment: bool,
    ) -> Forward<'a> {
        let family = Family::of(&peer);
        if let Err(reason) = self.check_to_peer(now, key, peer, data.len()) {
            return self.drop_data(reason);
        }
        let allocation = self.allocations.get(key.0);
        let Some((allocation, relayed)) =
            allocation.and_then(|allocation| Some((allocation, allocation.relayed(family)?)))
        else {
            return self.drop_data(Dropped::NoAllocation);
        };
        let (stream, transport) = (allocation.stream, allocation.client.via.transport());
        let real = SocketAddr::new(peer_policy::real(peer.ip()), peer.port());
        let relay = RelayId {
            allocation: key,
            family,
        };
        let forward = if let Some(worker) = self.shared.ports.owner(real) {
            if stream.is_some() || !self.settings.peers.permits(real, Own::Reachable) {
                return self.drop_data(Dropped::Forbidden);
            }
            if worker == self.worker {
                self.note_to_peer(key, data);
                return self.handle_hop(now, relayed.address, real, data);
            }
            Forward::ToRelay {
                worker,
                from: relayed.address,
                to: real,
                data,
            }
        } else if let Some(worker) = self.shared.media_worker(&real) {
            if !self.settings.peers.permits(real, Own::Reachable) {
                return self.drop_data(Dropped::Forbidden);
            }
            Forward::ToMedia {
                worker,
                hop: MediaHop {
                    from: relayed.address,
                    to: real,
                    transport,
                    stream,
                    data,
                },
            }
        } else if self.settings.peers.reaches(real, stream.is_some()) {
            Forward::ToPeer {
                relay,
                peer,
                data,
                dont_fragment,
            }
        } else {
            return self.drop_data(Dropped::Forbidden);
        };
        self.note_to_peer(key, data);
        forward
    }

    fn note_to_peer(&mut self, key: Key, data: &[u8]) {
        self.tally.to_peer.note(data.len());
        if let Some(allocation) = self.allocations.get_mut(key.0) {
            allocation.traffic.to_peer_packets += 1;
            allocation.traffic.to_peer_bytes += data.len() as u64;
        }
    }

    /// Takes what a client of this process, or its media, sends to a relayed
    /// address of this worker.
    pub fn handle_hop<'a>(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        data: &'a [u8],
    ) -> Forward<'a> {
        match self.by_port.get(&(Family::of(&to), to.port())).copied() {
            Some(relay) => self.handle_peer(now, relay, from, data),
            None => self.drop_data(Dropped::NoAllocation),
        }
    }

    /// Takes a datagram that came to a relayed address (RFC 8656 §11.3, §12.7).
    pub fn handle_peer<'a>(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: SocketAddr,
        data: &'a [u8],
    ) -> Forward<'a> {
        let age = self.age(now);
        let Some(allocation) = self.allocations.get_mut(relay.allocation.0) else {
            return self.drop_data(Dropped::NoAllocation);
        };
        if allocation.expires <= now || allocation.relayed(relay.family).is_none() {
            return self.drop_data(Dropped::NoAllocation);
        }
        if !allocation.permissions.has(now, peer.ip()) {
            return self.drop_data(Dropped::NoPermission);
        }
        if data.len() > MAX_DATA {
            return self.drop_data(Dropped::Malformed);
        }
        let share = allocation.place.share();
        if !share.may_pass(age, data.len(), &self.settings.limits) {
            return self.drop_data(Dropped::Bitrate);
        }
        allocation.traffic.to_client_packets += 1;
        allocation.traffic.to_client_bytes += data.len() as u64;
        let client = allocation.client;
        let prefix = match allocation.channels.number(now, peer) {
            Some(number) => Prefix::channel_data(number, data),
            None => self.indicate(peer, data),
        };
        let Some(prefix) = prefix else {
            return self.drop_data(Dropped::Malformed);
        };
        self.tally.to_client.note(data.len());
        Forward::ToClient {
            client,
            prefix,
            data,
        }
    }

    fn indicate(&mut self, peer: SocketAddr, data: &[u8]) -> Option<Prefix> {
        let transaction = self.new_transaction();
        let empty = Encoder::new(Class::Indication, Method::Data, transaction)
            .xor_peer_address(peer)
            .data(&[])
            .finish();
        Prefix::data_indication(&empty, data)
    }

    /// An ICMP error came for something that an allocation has sent: the client
    /// hears of it if it may hear of that peer (RFC 8656 §11.5).
    pub fn handle_icmp(&mut self, now: Instant, relay: RelayId, peer: SocketAddr, icmp: Icmp) {
        let is_permitted = self
            .allocation(relay.allocation)
            .filter(|allocation| allocation.permissions.has(now, peer.ip()))
            .map(|allocation| allocation.client);
        let Some(client) = is_permitted.filter(|_| icmp.is_relayed(relay.family)) else {
            return self.tally.note_dropped(Dropped::Icmp);
        };
        let transaction = self.new_transaction();
        let indication = Encoder::new(Class::Indication, Method::Data, transaction)
            .xor_peer_address(peer)
            .icmp(icmp.kind, icmp.code, icmp.data);
        self.transmit(client, indication.finish());
    }

    /// Drops data, and counts why.
    fn drop_data(&mut self, reason: Dropped) -> Forward<'static> {
        self.tally.note_dropped(reason);
        Forward::Nothing
    }

    /// The driver could not send or pass on what it was told to.
    pub fn note_dropped(&mut self, reason: Dropped, packets: usize) {
        self.tally.note_dropped_many(reason, packets);
    }
}

/// An ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Its type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The MTU of a "too big"; 0 else.
    pub data: u32,
}

impl Icmp {
    /// What a client is told: unreachable, too big, time exceeded.
    const fn is_relayed(self, family: Family) -> bool {
        match family {
            Family::V4 => matches!(self.kind, 3 | 11),
            Family::V6 => matches!(self.kind, 1..=3),
        }
    }
}
