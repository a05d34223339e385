//! Who has connections, how many, and since when they idle.
//!
//! RFC 7766 §6.2.3 lets a server close what idles; where all places are taken the one
//! that has waited longest for its client goes, so that nobody holds them all by saying
//! nothing, or a byte now and then. Whoever is being answered stays.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, MutexGuard, PoisonError},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{Limits, Server};
use crate::dns::answer::Transport;

/// The places that are taken.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: usize,
    by_source: HashMap<IpAddr, usize>,
    /// Those who wait for their client, the longest first.
    waiting: BTreeMap<u64, Waiter>,
    /// Number of the next wait.
    next: u64,
}

/// One that waits.
#[derive(Debug)]
struct Waiter {
    source: IpAddr,
    lost: CancellationToken,
}

impl Places {
    /// Takes a place; `false` when there is none, and none to be taken from anybody.
    fn take(&mut self, limits: Limits, source: IpAddr, dropped: impl FnOnce()) -> bool {
        let own = self.by_source.get(&source).copied().unwrap_or_default();
        if own >= limits.per_source {
            return false;
        }
        if self.taken >= limits.connections {
            let Some((_, waiter)) = self.waiting.pop_first() else {
                return false;
            };
            waiter.lost.cancel();
            self.give_up(waiter.source);
            dropped();
        }
        self.taken += 1;
        *self.by_source.entry(source).or_default() += 1;
        true
    }

    fn give_up(&mut self, source: IpAddr) {
        self.taken -= 1;
        if let Some(own) = self.by_source.get_mut(&source) {
            *own -= 1;
            if *own == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

impl Server {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds room for a connection.
    pub(super) fn enter(self: &Arc<Self>, ip: IpAddr, transport: Transport) -> Option<Place> {
        let source = source(ip);
        let metrics = &self.shared.metrics;
        let dropped = || metrics.connections_dropped.increment(1);
        if !self.places().take(self.limits, source, dropped) {
            metrics.connections_refused.increment(1);
            return None;
        }
        metrics.connections[transport as usize].increment(1);
        Some(Place {
            server: Arc::clone(self),
            source,
            transport,
            lost: CancellationToken::new(),
        })
    }
}

/// A connection's place among those that may be open.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) server: Arc<Server>,
    pub(super) transport: Transport,
    source: IpAddr,
    lost: CancellationToken,
}

impl Place {
    /// Until it is somebody else's.
    pub(super) fn lost(&self) -> WaitForCancellationFuture<'_> {
        self.lost.cancelled()
    }

    /// From now on the client is waited for, until that is dropped.
    pub(super) fn wait(&self) -> Waiting<'_> {
        let mut places = self.server.places();
        let number = places.next;
        places.next += 1;
        let waiter = Waiter {
            source: self.source,
            lost: self.lost.clone(),
        };
        places.waiting.insert(number, waiter);
        Waiting {
            server: &self.server,
            number,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Who has lost it had given it up by that.
        if !self.lost.is_cancelled() {
            self.server.places().give_up(self.source);
        }
        self.server.shared.metrics.connections[self.transport as usize].decrement(1);
    }
}

/// A client is waited for.
#[derive(Debug)]
pub(super) struct Waiting<'p> {
    server: &'p Server,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.server.places().waiting.remove(&self.number);
    }
}

/// Whoever has an IPv6 address has a /64 of them.
fn source(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(six) => IpAddr::V6((six.to_bits() >> 64 << 64).into()),
    }
}
