//! What goes from one worker to another: the one exception to sharing nothing.
//!
//! SO_REUSEPORT puts a client on some worker, and its peer, or the media it
//! sends to, may be another's. Packets gather in one parcel per other worker
//! during a turn; at its end each parcel goes into a bounded ring, and its
//! receiver is woken once. A full ring drops the parcel, counted.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use super::streams::Migrant;
use crate::turn::client::Transport;

/// Parcels that may wait in one ring: a worker that is behind by so many turns
/// has lost the packets' sense.
const MAX_PARCELS: usize = 64;

/// Bytes of one parcel; a turn's worth of a gigabit, eight times.
const MAX_PARCEL_BYTES: usize = 1 << 20;

/// Where a packet goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hop {
    /// From a relayed or media address to a relayed one.
    ToRelay { from: SocketAddr, to: SocketAddr },
    /// From a relayed address to media.
    ToMedia {
        from: SocketAddr,
        to: SocketAddr,
        transport: Transport,
        stream: Option<u64>,
    },
}

/// Packets of one turn, and connections that move.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    hops: Vec<(Hop, usize)>,
    bytes: Vec<u8>,
    migrants: Vec<Migrant>,
}

impl Parcel {
    /// The packets, in order.
    pub(super) fn hops(&self) -> impl Iterator<Item = (Hop, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.hops.iter().map(move |(hop, len)| {
            let (data, behind) = rest.split_at_checked(*len).unwrap_or_default();
            rest = behind;
            (*hop, data)
        })
    }

    /// The connections.
    pub(super) fn into_migrants(self) -> Vec<Migrant> {
        self.migrants
    }
}

/// One worker's ends of all rings.
#[derive(Debug)]
pub struct Ring {
    worker: usize,
    to: Vec<SyncSender<Parcel>>,
    from: Vec<Receiver<Parcel>>,
    wakers: Arc<[OnceLock<Arc<mio::Waker>>]>,
    /// What gathers, by worker.
    parcels: Vec<Parcel>,
    /// Packets that did not fit into a parcel.
    lost: usize,
    /// The ring to be read first, for fairness.
    next: usize,
}

/// Makes the rings of so many workers, each with one to each.
pub fn rings(workers: u16) -> Vec<Ring> {
    let workers = usize::from(workers);
    let wakers: Arc<[OnceLock<Arc<mio::Waker>>]> = std::iter::repeat_with(OnceLock::new)
        .take(workers)
        .collect();
    let mut rings: Vec<Ring> = (0..workers)
        .map(|worker| Ring {
            worker,
            to: Vec::new(),
            from: Vec::new(),
            wakers: Arc::clone(&wakers),
            parcels: std::iter::repeat_with(Parcel::default)
                .take(workers)
                .collect(),
            lost: 0,
            next: 0,
        })
        .collect();
    for from in 0..workers {
        for to in 0..workers {
            let (sender, receiver) = sync_channel(MAX_PARCELS);
            if let Some(ring) = rings.get_mut(from) {
                ring.to.push(sender);
            }
            if let Some(ring) = rings.get_mut(to) {
                ring.from.push(receiver);
            }
        }
    }
    rings
}

impl Ring {
    /// How others wake this worker.
    pub(crate) fn set_waker(&self, waker: Arc<mio::Waker>) {
        let place = self.wakers.get(self.worker);
        if place.is_some_and(|place| place.set(waker).is_err()) {
            tracing::debug!("a worker's waker is known already");
        }
    }

    /// Puts a packet into the parcel for a worker.
    pub(super) fn push(&mut self, worker: u16, hop: Hop, data: &[u8]) {
        match self.parcels.get_mut(usize::from(worker)) {
            Some(parcel) if parcel.bytes.len() + data.len() <= MAX_PARCEL_BYTES => {
                parcel.hops.push((hop, data.len()));
                parcel.bytes.extend_from_slice(data);
            }
            _ => self.lost += 1,
        }
    }

    /// Puts a connection into the parcel for a worker; gives it back when there
    /// is no such worker.
    pub(super) fn push_migrant(&mut self, worker: u16, migrant: Migrant) -> Option<Migrant> {
        match self.parcels.get_mut(usize::from(worker)) {
            Some(parcel) => {
                parcel.migrants.push(migrant);
                None
            }
            None => Some(migrant),
        }
    }

    /// Sends the parcels of a turn; returns how many packets were lost.
    pub(super) fn send(&mut self) -> usize {
        let mut lost = std::mem::take(&mut self.lost);
        let ways = self.to.iter().zip(self.wakers.iter());
        for (parcel, (sender, waker)) in self.parcels.iter_mut().zip(ways) {
            if parcel.hops.is_empty() && parcel.migrants.is_empty() {
                continue;
            }
            let parcel = std::mem::take(parcel);
            let packets = parcel.hops.len();
            if sender.try_send(parcel).is_err() {
                lost += packets;
                continue;
            }
            if let Some(waker) = waker.get()
                && let Err(error) = waker.wake()
            {
                tracing::debug!(%error, "a worker was not woken");
            }
        }
        lost
    }

    /// The next parcel for this worker.
    pub(super) fn receive(&mut self) -> Option<Parcel> {
        let rings = self.from.len();
        for offset in 0..rings {
            let at = (self.next + offset) % rings;
            if let Some(parcel) = self.from.get(at).and_then(|from| from.try_recv().ok()) {
                self.next = at + 1;
                return Some(parcel);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop() -> Hop {
        let address = "127.0.0.1:9".parse().unwrap();
        Hop::ToRelay {
            from: address,
            to: address,
        }
    }

    #[test]
    fn packets_arrive_in_order_at_their_worker_alone() {
        let mut rings = rings(3);
        for data in [&b"one"[..], b"", b"three"] {
            rings[0].push(2, hop(), data);
        }
        assert_eq!(rings[0].send(), 0);
        assert!(rings[1].receive().is_none());
        let parcel = rings[2].receive().unwrap();
        let data: Vec<&[u8]> = parcel.hops().map(|(_, data)| data).collect();
        assert_eq!(data, [&b"one"[..], b"", b"three"]);
        assert!(rings[2].receive().is_none());
    }

    #[test]
    fn a_full_ring_drops_and_counts() {
        let mut rings = rings(2);
        for _ in 0..MAX_PARCELS {
            rings[0].push(1, hop(), b"x");
            assert_eq!(rings[0].send(), 0);
        }
        rings[0].push(1, hop(), b"x");
        rings[0].push(1, hop(), b"y");
        assert_eq!(rings[0].send(), 2);
        rings[0].push(1, hop(), &vec![0; MAX_PARCEL_BYTES]);
        rings[0].push(1, hop(), b"z");
        rings[1].receive().unwrap();
        assert_eq!(rings[0].send(), 1);
        // Nobody has this number.
        rings[0].push(7, hop(), b"z");
        assert_eq!(rings[0].send(), 1);
    }
}
