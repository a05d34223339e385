//! What was seen of presenters at this edge, in a bounded table.
//!
//! A presenter's address is looked up once, when its offer has come, and not kept. It
//! counts from when it is connected: who never gets that far was served by nobody, and
//! must not outvote others by trying again and again.
//!
//! The trap: the look-up comes before the worker hears of the session, so that nothing of
//! it can be heard before.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use inlet_common::{clock::UtcTime, ids::SessionId};
use serde::{Deserialize, Serialize};

use super::rtt::Rtts;
use crate::{
    dns::geo::{Code, Place},
    trace::Notice,
    whip::session::Path,
};

/// Most rows of the table: with every session in another network some megabytes. What is
/// beyond is counted without its place.
pub const MAX_ROWS: usize = 10_000;

/// What is known of where somebody is; all that is kept of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// The country.
    pub country: Option<Code>,
    /// The number of the autonomous system.
    pub asn: Option<u32>,
    /// The place, to whole degrees; `None` when it is unknown.
    pub place: Option<Place>,
}

/// Knows where addresses are.
pub trait Atlas: Send + Sync + fmt::Debug {
    /// Where a client is.
    fn spot(&self, client: IpAddr) -> Spot;

    /// Whether it is an address of the fleet's own, whose TURN server then relays.
    fn is_of_fleet(&self, address: IpAddr) -> bool;
}

/// How many presenters there were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Sessions that connected.
    pub presenters: u64,
    /// Those of them whose media came by a TURN server of the fleet's at the last.
    pub relayed: u64,
    /// Round trips of the relayed ones, as far as they take part in measuring them.
    pub rtts: Rtts,
}

impl Counts {
    /// Whether a tally can have made it.
    pub(super) fn is_sound(&self) -> bool {
        self.relayed <= self.presenters && self.rtts.count() <= self.relayed && self.rtts.is_sound()
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        self.presenters = self.presenters.saturating_add(other.presenters);
        self.relayed = self.relayed.saturating_add(other.relayed);
        self.rtts.merge(&other.rtts);
    }
}

/// The table, and the sessions that run.
#[derive(Debug)]
pub struct Tally {
    atlas: Arc<dyn Atlas>,
    since: UtcTime,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    rows: Rows,
    /// As many as there are sessions, which the gateway bounds.
    running: HashMap<SessionId, Running>,
}

/// Rows by spot, at most [`MAX_ROWS`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Who is where.
    pub by_spot: BTreeMap<Spot, Counts>,
    /// Who found no row any more.
    pub others: Counts,
}

/// A session that may still change its path.
#[derive(Debug)]
struct Running {
    spot: Spot,
    is_connected: bool,
    is_relayed: bool,
    /// The shortest since media come by this path: the network's own, without what waits
    /// in queues, which no point of presence makes shorter.
    rtt: Option<Duration>,
}

impl Tally {
    /// An empty one that asks `atlas`, from `now` on.
    pub fn new(atlas: Arc<dyn Atlas>, now: UtcTime) -> Self {
        Self {
            atlas,
            since: now,
            table: Mutex::default(),
        }
    }

    /// A session's offer has come from `client`.
    pub fn begin(&self, session: SessionId, client: IpAddr) {
        let running = Running {
            spot: self.atlas.spot(client.to_canonical()),
            is_connected: false,
            is_relayed: false,
            rtt: None,
        };
        self.lock().running.insert(session, running);
    }

    /// It was refused.
    pub fn forget(&self, session: SessionId) {
        self.lock().running.remove(&session);
    }

    /// Something happened to a session.
    pub fn note(&self, session: SessionId, notice: &Notice) {
        match notice {
            Notice::Connected => self.change(session, |running| running.is_connected = true),
            Notice::Moved { path, remote } => {
                let is_relayed = self.is_relayed(*path, *remote);
                self.change(session, |running| {
                    running.is_relayed = is_relayed;
                    running.rtt = None;
                });
            }
            Notice::Interval(interval) => self.change(session, |running| {
                running.rtt = running.rtt.into_iter().chain(interval.rtt).min();
            }),
            _ => {}
        }
    }

    /// A session is over.
    pub fn end(&self, session: SessionId) {
        let mut table = self.lock();
        if let Some(running) = table.running.remove(&session) {
            table.rows.add(&running);
        }
    }

    /// Since when it counts.
    pub const fn since(&self) -> UtcTime {
        self.since
    }

    /// All that was seen, of sessions that run too.
    pub fn rows(&self) -> Rows {
        let table = self.lock();
        let mut rows = table.rows.clone();
        // In an order of their own: which of them find a row must not depend on chance.
        let mut running: Vec<&Running> = table.running.values().collect();
        running.sort_by_key(|running| running.spot);
        for running in running {
            rows.add(running);
        }
        rows
    }

    /// By this process's relay, or by that of another point of presence: its relayed
    /// address is where media come from then.
    fn is_relayed(&self, path: Path, remote: SocketAddr) -> bool {
        path.is_relayed() || self.atlas.is_of_fleet(remote.ip().to_canonical())
    }

    fn change(&self, session: SessionId, change: impl FnOnce(&mut Running)) {
        if let Some(running) = self.lock().running.get_mut(&session) {
            change(running);
        }
    }

    /// Nothing in here leaves the table half done.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn add(&mut self, running: &Running) {
        if !running.is_connected {
            return;
        }
        let has_room = self.by_spot.len() < MAX_ROWS || self.by_spot.contains_key(&running.spot);
        let counts = match has_room {
            true => self.by_spot.entry(running.spot).or_default(),
            false => &mut self.others,
        };
        counts.presenters = counts.presenters.saturating_add(1);
        if running.is_relayed {
            counts.relayed = counts.relayed.saturating_add(1);
            if let Some(rtt) = running.rtt {
                counts.rtts.add(rtt);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use inlet_common::clock;

    use super::*;
    use crate::trace::Interval;

    /// Every first octet is a place of its own; 203 is of the fleet.
    #[derive(Debug)]
    struct ByOctet;

    impl Atlas for ByOctet {
        fn spot(&self, client: IpAddr) -> Spot {
            let IpAddr::V4(client) = client else {
                return Spot::default();
            };
            let [a, b, c, _] = client.octets();
            Spot {
                country: Code::parse("DE"),
                asn: Some(u32::from_be_bytes([0, a, b, c])),
                place: Place::new(f64::from(a) - 90.0, 0.0),
            }
        }

        fn is_of_fleet(&self, address: IpAddr) -> bool {
            matches!(address, IpAddr::V4(address) if address.octets()[0] == 203)
        }
    }

    fn tally() -> Tally {
        Tally::new(Arc::new(ByOctet), clock::utc())
    }

    fn begun(tally: &Tally, client: &str) -> SessionId {
        let session = SessionId::random();
        tally.begin(session, client.parse().unwrap());
        session
    }

    fn connected(tally: &Tally, client: &str) -> SessionId {
        let session = begun(tally, client);
        tally.note(session, &Notice::Connected);
        session
    }

    fn moved(path: Path, remote: &str) -> Notice {
        let remote = remote.parse().unwrap();
        Notice::Moved { path, remote }
    }

    fn measured(millis: u64) -> Notice {
        Notice::Interval(Interval {
            rtt: Some(Duration::from_millis(millis)),
            ..Interval::default()
        })
    }

    fn only(tally: &Tally) -> Counts {
        let rows = tally.rows();
        assert_eq!(rows.by_spot.len(), 1, "{rows:?}");
        rows.by_spot.into_values().next().unwrap()
    }

    #[test]
    fn who_connects_counts_while_it_runs_and_after_and_once() {
        let tally = tally();
        let session = begun(&tally, "100.1.1.1");
        assert_eq!(tally.rows(), Rows::default(), "it has not connected yet");
        tally.note(session, &Notice::Connected);
        assert_eq!(only(&tally).presenters, 1);
        tally.end(session);
        tally.end(session);
        assert_eq!(only(&tally).presenters, 1);
        connected(&tally, "::ffff:100.1.1.1");
        assert_eq!(only(&tally).presenters, 2, "it is the same network");
    }

    #[test]
    fn who_is_refused_or_never_connects_counts_nowhere() {
        let tally = tally();
        let refused = begun(&tally, "100.1.1.1");
        tally.forget(refused);
        tally.note(refused, &Notice::Connected);
        let lost = begun(&tally, "100.1.1.1");
        tally.note(lost, &measured(30));
        tally.end(lost);
        assert_eq!(tally.rows(), Rows::default());
        assert!(tally.lock().running.is_empty());
    }

    #[test]
    fn the_last_path_decides_whether_it_was_relayed_and_by_which_round_trip() {
        let tally = tally();
        let session = connected(&tally, "100.1.1.1");
        tally.note(session, &moved(Path::HostUdp, "100.1.1.1:5000"));
        tally.note(session, &measured(20));
        assert_eq!(only(&tally).relayed, 0);
        assert_eq!(only(&tally).rtts.count(), 0, "it is not relayed");
        tally.note(session, &moved(Path::RelayTls, "192.0.2.1:5000"));
        assert_eq!(
            only(&tally).rtts.count(),
            0,
            "the other path's is forgotten"
        );
        for millis in [90, 64, 300] {
            tally.note(session, &measured(millis));
        }
        tally.end(session);
        let counts = only(&tally);
        assert_eq!((counts.presenters, counts.relayed), (1, 1));
        assert_eq!(counts.rtts.worst_ms(), Some(64.0));
    }

    #[test]
    fn whom_another_point_of_presence_relays_is_relayed_too() {
        let tally = tally();
        let session = connected(&tally, "100.1.1.1");
        tally.note(session, &moved(Path::HostUdp, "203.0.113.1:5000"));
        assert_eq!(only(&tally).relayed, 1);
    }

    #[test]
    fn rows_are_bounded_and_nobody_is_lost() {
        let tally = tally();
        let all = MAX_ROWS + 300;
        for number in 0..all {
            let [.., b, c] = u32::try_from(number).unwrap().to_be_bytes();
            let session = connected(&tally, &format!("100.{b}.{c}.1"));
            tally.note(session, &moved(Path::RelayUdp, "192.0.2.1:5000"));
            tally.note(session, &measured(100));
            if number % 2 == 0 {
                tally.end(session);
            }
        }
        let rows = tally.rows();
        assert_eq!(rows.by_spot.len(), MAX_ROWS);
        assert_eq!(rows.others.presenters, 300);
        assert_eq!(rows.others.rtts.count(), 300);
        connected(&tally, "100.0.0.1");
        let again = tally.rows();
        assert_eq!(
            again.others.presenters, 300,
            "a row that is there still counts"
        );
    }
}
