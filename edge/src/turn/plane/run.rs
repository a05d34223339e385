//! Packets on their way out: a run of one size to one destination leaves by one
//! system call (UDP_SEGMENT, udp(7)).
//!
//! Measured: the whole cost is in the system calls, and a run of eight costs
//! hardly more than one packet. So several runs are open at once, and packets to
//! one destination find together although others lie between; their order stays.
//! A run ends where the size changes; its last packet may be shorter.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr},
};

use crate::{
    turn::{allocation::RelayId, relay::Prefix},
    udp::{Pieces, Socket},
};

/// Packets of one run: what the kernel takes (UDP_MAX_SEGMENTS was 64 first).
const MAX_PACKETS: usize = 64;

/// Bytes of one run: what one IPv4 datagram could hold.
const MAX_BYTES: usize = 65_507;

/// Larger packets leave alone: a segment must fit the path's MTU, which
/// fragments could not.
const MAX_SEGMENT: usize = 1_452;

/// Runs that are open at once: as many destinations as a round of single packets
/// has, and few enough to look through.
const MAX_RUNS: usize = 64;

/// Which socket a packet leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sink {
    /// A relayed one, to a peer.
    Relay(RelayId),
    /// A listener, to a client.
    Listener(u16),
}

/// All open runs, each of another way.
#[derive(Debug, Default)]
pub(super) struct Runs<'b> {
    runs: Vec<Run<'b>>,
    /// Where the latest packet went; the next mostly goes there too.
    latest: usize,
}

/// A run of packets.
#[derive(Debug)]
pub(super) struct Run<'b> {
    way: Way,
    packets: Vec<Packet<'b>>,
    /// Size of each packet but the last.
    size: usize,
    bytes: usize,
    /// A packet shorter than the others is the last.
    is_closed: bool,
}

/// Where packets go, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) sink: Sink,
    pub(super) destination: SocketAddr,
    /// Which of our addresses it comes from; `None` leaves it to the kernel.
    pub(super) source: Option<IpAddr>,
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

impl<'b> Runs<'b> {
    /// Puts a packet behind the others on its way. Returns what has to be sent
    /// first: a run that takes no more, or one that has to make room.
    pub(super) fn push(
        &mut self,
        way: Way,
        prefix: Option<Prefix>,
        data: &'b [u8],
    ) -> Option<Run<'b>> {
        let packet = Packet { prefix, data };
        let is_latest = self.runs.get(self.latest).is_some_and(|run| run.way == way);
        let at = match is_latest {
            true => Some(self.latest),
            false => self.runs.iter().position(|run| run.way == way),
        };
        if let Some(at) = at
            && let Some(run) = self.runs.get_mut(at)
        {
            self.latest = at;
            if run.takes(packet.len()) {
                run.push(packet);
                return None;
            }
            return Some(std::mem::replace(run, Run::new(way, packet)));
        }
        let over = (self.runs.len() >= MAX_RUNS).then(|| self.runs.swap_remove(0));
        self.latest = self.runs.len();
        self.runs.push(Run::new(way, packet));
        over
    }

    /// Takes all runs out.
    pub(super) fn drain(&mut self) -> std::vec::Drain<'_, Run<'b>> {
        self.latest = 0;
        self.runs.drain(..)
    }
}

impl<'b> Run<'b> {
    fn new(way: Way, packet: Packet<'b>) -> Self {
        let size = packet.len();
        let mut packets = Vec::with_capacity(8);
        packets.push(packet);
        Self {
            way,
            packets,
            size,
            bytes: size,
            is_closed: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(super) fn sink(&self) -> Sink {
        self.way.sink
    }

    fn takes(&self, len: usize) -> bool {
        !self.is_closed
            && (1..=self.size).contains(&len)
            && self.size <= MAX_SEGMENT
            && self.packets.len() < MAX_PACKETS
            && self.bytes + len <= MAX_BYTES
    }

    fn push(&mut self, packet: Packet<'b>) {
        let len = packet.len();
        self.is_closed |= len < self.size;
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
            _ => u16::try_from(self.size).ok(),
        };
        socket.send_pieces(&Pieces {
            destination: self.way.destination,
            source: self.way.source,
            slices: &slices,
            segment_size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::{allocation::Key, wire::Family};

    fn way(allocation: usize) -> Way {
        Way {
            sink: Sink::Relay(RelayId {
                allocation: Key(allocation),
                family: Family::V4,
            }),
            destination: "192.0.2.1:9".parse().unwrap(),
            source: None,
        }
    }

    fn sizes(run: &Run<'_>) -> Vec<usize> {
        run.packets.iter().map(Packet::len).collect()
    }

    #[test]
    fn packets_of_one_way_find_together() {
        let (long, short) = ([0; 1_200], [0; 100]);
        let mut runs = Runs::default();
        for _ in 0..3 {
            for allocation in 0..4 {
                assert!(runs.push(way(allocation), None, &long).is_none());
            }
        }
        assert!(runs.push(way(2), None, &short).is_none());
        // Behind a shorter one nothing may follow, and nothing longer.
        let full = runs.push(way(2), None, &short).unwrap();
        assert_eq!(sizes(&full), [1_200, 1_200, 1_200, 100]);
        let full = runs.push(way(2), None, &long).unwrap();
        assert_eq!(sizes(&full), [100]);
        let all: Vec<usize> = runs.drain().map(|run| run.len()).collect();
        assert_eq!(all, [3, 3, 1, 3]);
    }

    #[test]
    fn what_is_too_large_or_empty_leaves_alone() {
        let (jumbo, empty) = ([0; 1_453], []);
        let mut runs = Runs::default();
        assert!(runs.push(way(0), None, &jumbo).is_none());
        assert_eq!(runs.push(way(0), None, &jumbo).unwrap().len(), 1);
        assert_eq!(runs.push(way(0), None, &empty).unwrap().len(), 1);
        assert_eq!(runs.push(way(0), None, &empty).unwrap().len(), 1);
    }

    #[test]
    fn runs_and_their_packets_are_bounded() {
        let data = [0; 1_200];
        let mut runs = Runs::default();
        let sent = (0..200).filter_map(|_| runs.push(way(0), None, &data));
        assert!(sent.into_iter().all(|run| run.bytes <= MAX_BYTES));
        for allocation in 1..MAX_RUNS {
            assert!(runs.push(way(allocation), None, &data).is_none());
        }
        assert!(runs.push(way(MAX_RUNS), None, &data).is_some());
        assert_eq!(runs.drain().count(), MAX_RUNS);
    }
}
