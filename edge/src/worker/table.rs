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

use super::{tally::Reported, watch::Watch};
use crate::{
    roq::link,
    schedule::Schedule,
    whip::session::{Path, Session, Way},
};

/// Addresses that one session may be reached by: a phone between Wi-Fi and two
/// mobile networks, both families each, with room to spare. The one that has not
/// checked for longest goes, but never that of media.
pub(super) const MAX_ADDRESSES: usize = 8;

/// Addresses that one session may be learned at in all its life: a phone that
/// moves once a minute for half a day. The engine forgets none of them.
const MAX_LEARNED: u32 = 1_024;

/// Where a presenter's datagrams come from. Behind a NAT two presenters may have
/// one address, as long as they call different ones of ours by TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Remote {
    /// A UDP address.
    Udp(SocketAddr),
    /// The ends of a TCP connection.
    Tcp {
        remote: SocketAddr,
        local: SocketAddr,
    },
}

impl From<&Way> for Remote {
    fn from(way: &Way) -> Self {
        match way.path.is_tcp() {
            true => Self::Tcp {
                remote: way.remote,
                local: way.local,
            },
            false => Self::Udp(way.remote),
        }
    }
}

/// A session that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) session: Session,
    stream: StreamId,
    pub(super) link: link::Key,
    /// What leads Binding requests here: the session's own, and in front of an
    /// ICE restart the next one.
    ufrags: Vec<String>,
    /// The one that checked last is last.
    addresses: VecDeque<Remote>,
    learned: u32,
    /// How its media come; `None` before ICE is up.
    pub(super) path: Option<Path>,
    pub(super) reported: Reported,
    pub(super) watch: Watch,
}

/// All sessions of a worker.
#[derive(Debug, Default)]
pub(super) struct Table {
    slab: Slab<Running>,
    by_id: HashMap<SessionId, usize>,
    by_ufrag: HashMap<String, usize>,
    by_address: HashMap<Remote, usize>,
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
            ufrags: vec![ufrag.clone()],
            addresses: VecDeque::new(),
            learned: 0,
            path: None,
            reported: Reported::default(),
            watch: Watch::default(),
        });
        self.by_id.insert(id, key);
        self.by_ufrag.insert(ufrag, key);
        key
    }

    /// Takes a session out, with all that led to it.
    pub(super) fn remove(&mut self, key: usize) -> Option<Running> {
        let running = self.slab.try_remove(key)?;
        self.by_id.remove(&running.session.id());
        for ufrag in &running.ufrags {
            self.by_ufrag.remove(ufrag);
        }
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

    /// Lets another ufrag lead to a session too. One that was awaited before and
    /// has not come into use does not any more.
    pub(super) fn await_ufrag(&mut self, key: usize, ufrag: &str) {
        self.keep_current_ufrag(key);
        if let Some(running) = self.slab.get_mut(key) {
            running.ufrags.push(ufrag.to_owned());
            self.by_ufrag.insert(ufrag.to_owned(), key);
        }
    }

    /// From now on the session's own ufrag alone leads to it.
    pub(super) fn keep_current_ufrag(&mut self, key: usize) {
        let Some(running) = self.slab.get_mut(key) else {
            return;
        };
        let current = running.session.local_ufrag();
        let by_ufrag = &mut self.by_ufrag;
        running.ufrags.retain(|ufrag| {
            let is_current = ufrag == current;
            if !is_current {
                by_ufrag.remove(ufrag);
            }
            is_current
        });
    }

    pub(super) fn key_of_address(&self, address: &Remote) -> Option<usize> {
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

    /// Whether a session may be reached by yet another address.
    pub(super) fn may_learn(&self, key: usize) -> bool {
        let running = self.slab.get(key);
        running.is_some_and(|running| running.learned < MAX_LEARNED)
    }

    /// From now on datagrams from `address` are this session's. A presenter
    /// that starts anew may do so from the port of its former session.
    pub(super) fn learn(&mut self, key: usize, address: Remote) {
        if let Some(former) = self.by_address.insert(address, key)
            && let Some(former) = self.slab.get_mut(former)
        {
            former.addresses.retain(|known| *known != address);
        }
        let Some(running) = self.slab.get_mut(key) else {
            return;
        };
        running.learned += 1;
        running.addresses.push_back(address);
        if running.addresses.len() <= MAX_ADDRESSES {
            return;
        }
        let current = running.session.way().map(|way| Remote::from(&way));
        let mut addresses = running.addresses.iter();
        let spare = addresses.position(|known| Some(*known) != current);
        if let Some(spare) = spare.and_then(|at| running.addresses.remove(at)) {
            self.by_address.remove(&spare);
        }
    }

    /// A known address of this session has checked again.
    pub(super) fn refresh(&mut self, key: usize, address: &Remote) {
        let Some(running) = self.slab.get_mut(key) else {
            return;
        };
        let mut addresses = running.addresses.iter();
        if let Some(address) = addresses
            .position(|known| known == address)
            .and_then(|at| running.addresses.remove(at))
        {
            running.addresses.push_back(address);
        }
    }

    /// Nothing comes from `address` any more. Returns whose it was.
    pub(super) fn forget(&mut self, address: &Remote) -> Option<usize> {
        let key = self.by_address.remove(address)?;
        if let Some(running) = self.slab.get_mut(key) {
            running.addresses.retain(|known| known != address);
        }
        Some(key)
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
