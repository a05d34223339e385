//! Sessions by id, ufrag and address, and when each wants to be called.
//!
//! The trap: an address is learnt only from a Binding request that passed its
//! integrity check, and a session has at most [`MAX_ADDRESSES`] of them, so
//! that one presenter cannot fill the map.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use inlet_common::ids::{SessionId, StreamId};
use slab::Slab;

use super::tally::Reported;
use crate::{roq::link, schedule::Schedule, whip::session::Session};

/// Addresses that one session may be reached by: a phone between Wi-Fi and two
/// mobile networks, both families each, with room to spare. The oldest goes.
pub(super) const MAX_ADDRESSES: usize = 8;

/// A session that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) session: Session,
    stream: StreamId,
    pub(super) link: link::Key,
    addresses: VecDeque<SocketAddr>,
    pub(super) reported: Reported,
}

/// All sessions of a worker.
#[derive(Debug, Default)]
pub(super) struct Table {
    slab: Slab<Running>,
    by_id: HashMap<SessionId, usize>,
    by_ufrag: HashMap<String, usize>,
    by_address: HashMap<SocketAddr, usize>,
    schedule: Schedule,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// Takes a session in.
    pub(super) fn insert(&mut self, session: Session, stream: StreamId, link: link::Key) -> usize {
        let id = session.id();
        let ufrag = session.local_ufrag().to_owned();
        let key = self.slab.insert(Running {
            session,
            stream,
            link,
            addresses: VecDeque::new(),
            reported: Reported::default(),
        });
        self.by_id.insert(id, key);
        self.by_ufrag.insert(ufrag, key);
        key
    }

    /// Takes a session out, with all that led to it.
    pub(super) fn remove(&mut self, key: usize) -> Option<Running> {
        let running = self.slab.try_remove(key)?;
        self.by_id.remove(&running.session.id());
        self.by_ufrag.remove(running.session.local_ufrag());
        for address in &running.addresses {
            self.by_address.remove(address);
        }
        self.schedule.remove(key);
        Some(running)
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut Running> {
        self.slab.get_mut(key)
    }

    pub(super) fn key_of(&self, id: SessionId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn key_of_ufrag(&self, ufrag: &str) -> Option<usize> {
        self.by_ufrag.get(ufrag).copied()
    }

    pub(super) fn key_of_address(&self, address: &SocketAddr) -> Option<usize> {
        self.by_address.get(address).copied()
    }

    /// The stream that a session publishes.
    pub(super) fn stream(&self, key: usize) -> Option<StreamId> {
        self.slab.get(key).map(|running| running.stream)
    }

    pub(super) fn keys(&self) -> Vec<usize> {
        self.slab.iter().map(|(key, _)| key).collect()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Running> {
        self.slab.iter_mut().map(|(_, running)| running)
    }

    /// From now on datagrams from `address` are this session's. A presenter
    /// that starts anew may do so from the port of its former session.
    pub(super) fn learn(&mut self, key: usize, address: SocketAddr) {
        if let Some(former) = self.by_address.insert(address, key)
            && let Some(former) = self.slab.get_mut(former)
        {
            former.addresses.retain(|known| *known != address);
        }
        let Some(running) = self.slab.get_mut(key) else {
            return;
        };
        running.addresses.push_back(address);
        if running.addresses.len() > MAX_ADDRESSES
            && let Some(oldest) = running.addresses.pop_front()
        {
            self.by_address.remove(&oldest);
        }
    }

    /// Calls a session at `at`, or earlier if that has been asked for.
    pub(super) fn schedule(&mut self, key: usize, at: Instant) {
        if self.slab.contains(key) {
            self.schedule.set(key, at);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.schedule.next()
    }

    /// The next session whose deadline has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<usize> {
        self.schedule.pop_due(now)
    }
}
