//! The fleet: every point of presence, where it is, and how it is reached.

pub mod file;
mod validate;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{
    geo::{PopId, Site},
    wire::Name,
};

pub use validate::Checked;

/// What clients are steered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// WHIP: where presenters post.
    Whip,
    /// STUN and TURN.
    Turn,
}

impl Service {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Whip, Self::Turn];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whip => "whip",
            Self::Turn => "turn",
        }
    }

    /// How long resolvers keep a steered answer: a presenter is about to connect, a
    /// page with TURN servers may have been open for a while.
    pub(super) const fn default_ttl(self) -> std::time::Duration {
        std::time::Duration::from_secs(match self {
            Self::Whip => 30,
            Self::Turn => 60,
        })
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// That of an address.
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// As metrics and reports have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    /// The type of its address records.
    pub const fn record(self) -> &'static str {
        match self {
            Self::V4 => "A",
            Self::V6 => "AAAA",
        }
    }
}

/// A point of presence.
#[derive(Clone, Debug, PartialEq)]
pub struct Pop {
    /// What it is called in configurations, metrics and the stream API.
    pub name: String,
    /// Its own host name.
    pub host: Name,
    /// Base URL of its WHIP.
    pub url: String,
    /// Its IPv4 addresses.
    pub ipv4: Vec<Ipv4Addr>,
    /// Its IPv6 addresses.
    pub ipv6: Vec<Ipv6Addr>,
    /// Where it stands.
    pub site: Site,
    /// What it serves.
    pub services: Vec<Service>,
    /// Load from which on it sheds clients, and from which on it takes none.
    pub limits: LoadLimits,
}

/// Bounds of a point of presence's load, as shares of what it can carry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadLimits {
    /// From here on it hands a growing share of its clients to others.
    pub soft: f64,
    /// From here on it gets none, as long as another has room.
    pub hard: f64,
}

impl Pop {
    /// Whether clients of `service` can reach it by `family`.
    pub fn has(&self, service: Service, family: Family) -> bool {
        let has_address = match family {
            Family::V4 => !self.ipv4.is_empty(),
            Family::V6 => !self.ipv6.is_empty(),
        };
        has_address && self.services.contains(&service)
    }

    /// All of its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let ipv4 = self.ipv4.iter().copied().map(IpAddr::V4);
        ipv4.chain(self.ipv6.iter().copied().map(IpAddr::V6))
    }
}

/// Ports of STUN and TURN, the same at every point of presence; 0 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnPorts {
    /// By UDP.
    pub udp: u16,
    /// By TCP.
    pub tcp: u16,
    /// By TLS.
    pub tls: u16,
}

impl Default for TurnPorts {
    fn default() -> Self {
        Self {
            udp: 3478,
            tcp: 3478,
            tls: 443,
        }
    }
}

/// Every point of presence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    pops: Vec<Pop>,
    turn_ports: TurnPorts,
    /// For each of them all others, the nearest first.
    neighbours: Vec<Vec<PopId>>,
}

impl Fleet {
    /// Makes it of points of presence whose places are known.
    pub fn new(pops: Vec<Pop>) -> Self {
        let neighbours = pops.iter().map(|pop| neighbours(&pops, pop)).collect();
        Self {
            pops,
            turn_ports: TurnPorts::default(),
            neighbours,
        }
    }

    /// The same with STUN and TURN at other ports.
    #[must_use]
    pub fn with_turn_ports(self, turn_ports: TurnPorts) -> Self {
        Self { turn_ports, ..self }
    }

    /// Where STUN and TURN are at every point of presence.
    pub const fn turn_ports(&self) -> TurnPorts {
        self.turn_ports
    }

    /// All of them, by their index.
    pub fn pops(&self) -> &[Pop] {
        &self.pops
    }

    /// The index of each.
    pub fn ids(&self) -> impl Iterator<Item = PopId> {
        (0..=u8::MAX).take(self.pops.len()).map(PopId)
    }

    /// One of them.
    pub fn pop(&self, id: PopId) -> Option<&Pop> {
        self.pops.get(usize::from(id.0))
    }

    /// The one of a name.
    pub fn find(&self, name: &str) -> Option<PopId> {
        let mut named = self.ids().zip(&self.pops);
        named.find_map(|(id, pop)| (pop.name == name).then_some(id))
    }

    /// All others, the nearest first.
    pub fn neighbours(&self, id: PopId) -> &[PopId] {
        let neighbours = self.neighbours.get(usize::from(id.0));
        neighbours.map_or(&[], Vec::as_slice)
    }
}

/// All but `pop`, the nearest first.
fn neighbours(pops: &[Pop], pop: &Pop) -> Vec<PopId> {
    let mut others: Vec<(f64, PopId)> = (0..=u8::MAX)
        .map(PopId)
        .zip(pops)
        .filter(|(_, other)| other.name != pop.name)
        .map(|(id, other)| (pop.site.place.distance_km(other.site.place), id))
        .collect();
    others.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    others.into_iter().map(|(_, id)| id).collect()
}
