//! An allocation: one client's relayed addresses, and who may use them
//! (RFC 8656 §2.2, §6).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    auth::Username,
    channel::Channels,
    client::{Client, TRANSPORTS},
    permission::Permissions,
    quota::Place,
    wire::{ErrorCode, Family, ReservationToken, TransactionId},
};

/// Names an allocation within its worker; used anew once it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub usize);

/// One of an allocation's relayed addresses, of which it has one per family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId {
    /// Whose.
    pub allocation: Key,
    /// Which of the two.
    pub family: Family,
}

/// What is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Datagrams (RFC 8656).
    Udp,
    /// TCP connections to peers (RFC 6062).
    Tcp,
}

/// A relayed address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// The port, which the pool counts as taken.
    pub port: u16,
    /// What peers know.
    pub address: SocketAddr,
}

/// What an allocation has relayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets from the client to peers.
    pub to_peer_packets: u64,
    /// Their payload.
    pub to_peer_bytes: u64,
    /// Packets from peers to the client.
    pub to_client_packets: u64,
    /// Their payload.
    pub to_client_bytes: u64,
}

/// What became of an allocation whose credential is bound to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allotted {
    /// The stream.
    pub stream: u64,
    /// How the client comes: udp, tcp or tls.
    pub transport: &'static str,
    /// How long it was there and what it relayed, once it has ended.
    pub ended: Option<(Duration, Traffic)>,
}

/// An allocation.
#[derive(Debug)]
pub struct Allocation {
    /// Whose, by address.
    pub client: Client,
    /// Whose, by name.
    pub username: Username,
    /// What it relays.
    pub protocol: Protocol,
    /// Of the request that made it: a retransmission is answered alike.
    pub transaction: TransactionId,
    /// The lifetime that this request got.
    pub lifetime: Duration,
    /// The token that this request got.
    pub token: Option<ReservationToken>,
    /// The family that this request asked for and did not get, and why.
    pub missing: Option<(Family, ErrorCode)>,
    /// Its relayed addresses, IPv4 first.
    pub relays: [Option<Relayed>; 2],
    /// When it was made.
    pub created: Instant,
    /// When it ends unless refreshed.
    pub expires: Instant,
    /// Which addresses may send to it.
    pub permissions: Permissions,
    /// Which numbers stand for which peers.
    pub channels: Channels,
    /// What the quotas count it as.
    pub place: Place,
    /// The stream that its credential is bound to.
    pub stream: Option<u64>,
    /// What it has relayed.
    pub traffic: Traffic,
}

/// Where a family stands in [`Allocation::relays`].
pub const fn slot(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

impl Allocation {
    /// What is to be told of it, when its credential is bound to a stream.
    pub fn allotted(&self, ended: Option<(Duration, Traffic)>) -> Option<Allotted> {
        let transport = TRANSPORTS.get(self.client.via.index()).copied();
        Some(Allotted {
            stream: self.stream?,
            transport: transport.unwrap_or_default(),
            ended,
        })
    }

    /// Its relayed address of a family.
    pub fn relayed(&self, family: Family) -> Option<Relayed> {
        self.relays.get(slot(family)).copied().flatten()
    }

    /// The place of a family's relayed address.
    pub fn relayed_mut(&mut self, family: Family) -> Option<&mut Option<Relayed>> {
        self.relays.get_mut(slot(family))
    }

    /// The families that it has relayed addresses of.
    pub fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let relays = self.relays;
        [Family::V4, Family::V6]
            .into_iter()
            .filter(move |family| relays.get(slot(*family)).copied().flatten().is_some())
    }

    /// When something of it ends: the allocation, a permission or a channel.
    pub fn next_expiry(&self) -> Instant {
        let others = [self.permissions.next_expiry(), self.channels.next_expiry()];
        others
            .into_iter()
            .flatten()
            .fold(self.expires, Instant::min)
    }
}
