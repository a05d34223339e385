//! From a ranked list to the point of presence that a client is sent to.
//!
//! ```text
//!  ranked list ─▶ without what is down, drains or is not known to be well
//!                 ├─ the first is well, and keeps this network     ─▶ it
//!                 ├─ it is over its soft limit and sheds the network ─▶ the next that keeps it
//!                 ├─ it is out of the running                      ─▶ one of the next three, by hash
//!                 └─ nobody keeps it: the nearest with room; else the nearest that works;
//!                    nobody works: the nearest that is not known to be down; all are:
//!                    as if none was
//! ```
//!
//! Which networks a point of presence sheds is decided by a hash of the network
//! alone, so every name server of the fleet, and every resolver that asks twice,
//! comes to the same answer. As the load grows, the networks that were shed stay
//! shed and others join them.

use std::fmt;

use super::{
    fleet::{Family, Fleet, LoadLimits, Service},
    geo::PopId,
};

/// How a point of presence does, as far as one service and one address family go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// It takes clients; its load is a share of what it can carry.
    Open {
        /// From 0; over 1 it carries more than it should.
        load: f64,
    },
    /// It is going out of service.
    Draining,
    /// It does not work.
    Down,
    /// Nobody has heard of it lately.
    Unknown,
}

impl Default for Standing {
    /// Well and idle.
    fn default() -> Self {
        Self::Open { load: 0.0 }
    }
}

impl Standing {
    /// As metrics have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Draining => "draining",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { load } => write!(f, "open, {:.0} % loaded", load * 100.0),
            other => f.write_str(other.as_str()),
        }
    }
}

/// How every point of presence does, by each family: it may be reached by one and not by
/// the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Board {
    standings: Vec<[Standings; Service::ALL.len()]>,
}

/// Those of a service, by family.
type Standings = [Standing; Family::ALL.len()];

impl Board {
    /// A board on which all are well and idle.
    pub fn open(pops: usize) -> Self {
        Self {
            standings: vec![Default::default(); pops],
        }
    }

    /// Notes how a point of presence does.
    pub fn set(&mut self, pop: PopId, service: Service, family: Family, standing: Standing) {
        if let Some(standings) = self.standings.get_mut(usize::from(pop.0)) {
            standings[service as usize][family as usize] = standing;
        }
    }

    /// How a point of presence does.
    pub fn get(&self, pop: PopId, service: Service, family: Family) -> Standing {
        let standings = self.standings.get(usize::from(pop.0));
        standings.map_or(Standing::Unknown, |standings| {
            standings[service as usize][family as usize]
        })
    }
}

/// Why a client is sent where it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is the first of its list.
    First,
    /// The first sheds the client's network.
    Shed,
    /// The first is down, drains, is unknown or full.
    Failover,
    /// All that are well shed the network: this one has room.
    Room,
    /// Nobody has room: the first of the list that works, else the first that is not
    /// down, else the first, as if it worked.
    Regardless,
}

impl Why {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::First,
        Self::Shed,
        Self::Failover,
        Self::Room,
        Self::Regardless,
    ];

    /// As metrics and reports have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Shed => "shed",
            Self::Failover => "failover",
            Self::Room => "room",
            Self::Regardless => "regardless",
        }
    }

    /// For the operator who asks.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::First => "the first of the list",
            Self::Shed => "the first is over its soft limit and sheds this network",
            Self::Failover => "the first is down, draining, unknown or full",
            Self::Room => "all that are well shed this network; this one has room",
            Self::Regardless => "none has room: the first that works, or as if all did",
        }
    }
}

/// Where a client is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The point of presence.
    pub pop: PopId,
    /// Why it is this one.
    pub why: Why,
}

/// How many stand in for one that is out, and their shares of its clients.
const STAND_INS: [u64; 3] = [3, 2, 1];

/// Chooses for the network whose hash is `key`; `None` when no point of presence
/// has an address of that family for the service.
pub fn choose(
    fleet: &Fleet,
    board: &Board,
    ranked: &[PopId],
    service: Service,
    family: Family,
    key: u64,
) -> Option<Choice> {
    let in_order = || in_order(fleet, ranked).filter(|id| has(fleet, *id, service, family));
    let standing = |id: PopId| board.get(id, service, family);
    let room = |id: PopId| Room::of(fleet.pop(id)?.limits, standing(id));
    let keeps = |id: PopId| room(id).is_some_and(|room| room.keeps(key, id));
    let first = in_order().next()?;
    let choice = |pop, why| Some(Choice { pop, why });
    if keeps(first) {
        return choice(first, Why::First);
    }
    let is_out = room(first).is_none();
    if is_out
        && let Some(pop) = stand_in(in_order().filter(|id| room(*id).is_some()), key)
        && keeps(pop)
    {
        return choice(pop, Why::Failover);
    }
    let why = if is_out { Why::Failover } else { Why::Shed };
    if let Some(pop) = in_order().find(|id| keeps(*id)) {
        return choice(pop, why);
    }
    if let Some(pop) = in_order().find(|id| room(*id).is_some()) {
        return choice(pop, Why::Room);
    }
    // Full is better than draining, which is better than dead: where all have lost their
    // origin, it is there again any moment.
    let is_open = |id: &PopId| matches!(standing(*id), Standing::Open { .. });
    let is_alive = |id: &PopId| standing(*id) != Standing::Down;
    let open = in_order().find(is_open);
    let pop = open.or_else(|| in_order().find(is_alive));
    choice(pop.unwrap_or(first), Why::Regardless)
}

/// The list, and behind it all others by their distance from its first.
fn in_order<'f>(fleet: &'f Fleet, ranked: &'f [PopId]) -> impl Iterator<Item = PopId> + 'f {
    let others = ranked.first().map_or(&[][..], |id| fleet.neighbours(*id));
    let others = others.iter().filter(|id| !ranked.contains(id));
    ranked.iter().chain(others).copied()
}

fn has(fleet: &Fleet, id: PopId, service: Service, family: Family) -> bool {
    fleet.pop(id).is_some_and(|pop| pop.has(service, family))
}

/// One of the first few, by hash: the clients of one that is out are never all sent
/// to the same other.
fn stand_in(well: impl Iterator<Item = PopId>, key: u64) -> Option<PopId> {
    let mut candidates = [None; STAND_INS.len()];
    let mut total = 0;
    for ((slot, share), id) in candidates.iter_mut().zip(STAND_INS).zip(well) {
        total += share;
        *slot = Some((id, total));
    }
    let at = mix(key).checked_rem(total)?;
    let chosen = candidates.iter().flatten().find(|(_, below)| at < *below);
    chosen.map(|(id, _)| *id)
}

/// What room a point of presence has that is well and under its hard limit.
struct Room {
    /// Share of its networks that it keeps.
    kept: f64,
}

impl Room {
    fn of(limits: LoadLimits, standing: Standing) -> Option<Self> {
        match standing {
            Standing::Open { load } if load < limits.hard => Some(Self {
                kept: kept(load, limits),
            }),
            _ => None,
        }
    }

    fn keeps(&self, key: u64, id: PopId) -> bool {
        // Another hash for each, or all would shed the same networks.
        let own = mix(key ^ mix(u64::from(id.0) + 1));
        // 53 bits are what a float holds exactly.
        ((own >> 11) as f64) < self.kept * (1_u64 << 53) as f64
    }
}

fn kept(load: f64, limits: LoadLimits) -> f64 {
    let LoadLimits { soft, hard } = limits;
    match load <= soft {
        true => 1.0,
        false => ((hard - load) / (hard - soft)).clamp(0.0, 1.0),
    }
}

/// Spreads bits (the finaliser of SplitMix64): the same at every name server.
pub(super) const fn mix(key: u64) -> u64 {
    let mut mixed = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
