//! Packets on their way out: a run of one size to one destination leaves by one
//! system call (UDP_SEGMENT, udp(7)).
//!
//! Measured: the whole cost is in the system calls, and a run of eight costs
//! hardly more than one packet. A run ends where destination or size change;
//! its last packet may be shorter. Waiting for more than a batch brings is not
//! worth the caches.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr},
};

use crate::{
    turn::{allocation::RelayId, client::Client, relay::Prefix},
    udp::{Pieces, Socket},
};

/// Packets of one run: what the kernel takes (UDP_MAX_SEGMENTS was 64 first).
const MAX_PACKETS: usize = 64;

/// Bytes of one run: what one IPv4 datagram could hold.
const MAX_BYTES: usize = 65_507;

/// Larger packets leave alone: a segment must fit the path's MTU, which
/// fragments could not.
const MAX_SEGMENT: usize = 1_452;

/// Which socket a packet leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sink {
    /// A relayed one, to a peer.
    Relay(RelayId),
    /// A listener, to a client.
    Listener(u16),
}

/// A run of packets.
#[derive(Debug, Default)]
pub(super) struct Run<'b> {
    way: Option<Way>,
    packets: Vec<Packet<'b>>,
    bytes: usize,
    /// A packet shorter than the others is the last.
    is_closed: bool,
}

/// What all packets of a run share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    sink: Sink,
    destination: SocketAddr,
    source: Option<IpAddr>,
    /// Size of each packet but the last.
    size: usize,
}

#[derive(Clone, Copy, Debug)]
struct Packet<'b> {
    prefix: Option<Prefix>,
    data: &'b [u8],
}

impl Packet<'_> {
    fn len(&self) -> usize {
        let prefix = self.prefix.as_ref();
        let around = prefix.map_or(0, |prefix| {
            prefix.bytes().len() + prefix.padding(false).len()
        });
        around + self.data.len()
    }
}

impl<'b> Run<'b> {
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Where it leaves; only asked of a run that is not empty.
    pub(super) fn sink(&self) -> Sink {
        self.way.map_or(Sink::Listener(0), |way| way.sink)
    }

    /// Whether a packet may join; else the run is to be sent first.
    pub(super) fn takes(
        &self,
        sink: Sink,
        destination: SocketAddr,
        source: Option<IpAddr>,
        len: usize,
    ) -> bool {
        let Some(way) = self.way.filter(|_| !self.packets.is_empty()) else {
            return true;
        };
        let is_same = way.sink == sink && way.destination == destination && way.source == source;
        is_same
            && !self.is_closed
            && len <= way.size
            && way.size <= MAX_SEGMENT
            && len > 0
            && self.packets.len() < MAX_PACKETS
            && self.bytes + len <= MAX_BYTES
    }

    pub(super) fn push_to_peer(&mut self, sink: Sink, peer: SocketAddr, data: &'b [u8]) {
        self.push(sink, peer, None, Packet { prefix: None, data });
    }

    pub(super) fn push_to_client(
        &mut self,
        sink: Sink,
        client: &Client,
        source: Option<IpAddr>,
        prefix: Prefix,
        data: &'b [u8],
    ) {
        let packet = Packet {
            prefix: Some(prefix),
            data,
        };
        self.push(sink, client.remote, source, packet);
    }

    fn push(
        &mut self,
        sink: Sink,
        destination: SocketAddr,
        source: Option<IpAddr>,
        packet: Packet<'b>,
    ) {
        let len = packet.len();
        if self.packets.is_empty() {
            self.way = Some(Way {
                sink,
                destination,
                source,
                size: len,
            });
        }
        self.is_closed |= self.way.is_some_and(|way| len < way.size);
        self.bytes += len;
        self.packets.push(packet);
    }

    /// Sends it; returns how many packets were lost.
    pub(super) fn send(&self, socket: &Socket) -> usize {
        match self.send_packets(socket, &self.packets) {
            Ok(()) => 0,
            Err(error) if self.packets.len() == 1 || error.kind() == io::ErrorKind::WouldBlock => {
                tracing::trace!(%error, "not sent");
                self.packets.len()
            }
            // A device without segmentation, or a smaller MTU than thought:
            // one at a time they may still pass.
            Err(_) => {
                let lost = self.packets.chunks(1);
                lost.filter(|packet| self.send_packets(socket, packet).is_err())
                    .count()
            }
        }
    }

    fn send_packets(&self, socket: &Socket, packets: &[Packet<'b>]) -> io::Result<()> {
        let Some(way) = self.way else {
            return Ok(());
        };
        let mut slices = Vec::with_capacity(3 * packets.len());
        for packet in packets {
            match &packet.prefix {
                Some(prefix) => {
                    slices.push(IoSlice::new(prefix.bytes()));
                    slices.push(IoSlice::new(packet.data));
                    let padding = prefix.padding(false);
                    if !padding.is_empty() {
                        slices.push(IoSlice::new(padding));
                    }
                }
                None => slices.push(IoSlice::new(packet.data)),
            }
        }
        let segment_size = match packets.len() {
            1 => None,
            _ => u16::try_from(way.size).ok(),
        };
        socket.send_pieces(&Pieces {
            destination: way.destination,
            source: way.source,
            slices: &slices,
            segment_size,
        })
    }

    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.bytes = 0;
        self.is_closed = false;
    }
}
