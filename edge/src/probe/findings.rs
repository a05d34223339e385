//! What one run has found.

use std::time::{Duration, Instant};

use inlet_common::roq::pop::Report;

use super::Error;

/// What is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A WHIP endpoint answers OPTIONS.
    Whip,
    /// A STUN server answers a Binding request by UDP.
    Stun,
    /// A TURN server relays for clients who come by UDP.
    TurnUdp,
    /// By TCP.
    TurnTcp,
    /// By TLS.
    TurnTls,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Whip,
        Self::Stun,
        Self::TurnUdp,
        Self::TurnTcp,
        Self::TurnTls,
    ];

    /// Its label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whip => "whip",
            Self::Stun => "stun",
            Self::TurnUdp => "turn_udp",
            Self::TurnTcp => "turn_tcp",
            Self::TurnTls => "turn_tls",
        }
    }
}

/// What a point of presence has said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// How it does.
    pub report: Report,
    /// When it was asked.
    pub asked: Instant,
}

/// What a run has found of each kind: `None` where it is not offered, else how long
/// it took until it was proven, handshakes included, or what is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `Kind`")]
pub struct Findings {
    pub whip: Option<Result<Duration, Error>>,
    pub stun: Option<Result<Duration, Error>>,
    pub turn_udp: Option<Result<Duration, Error>>,
    pub turn_tcp: Option<Result<Duration, Error>>,
    pub turn_tls: Option<Result<Duration, Error>>,
    /// What it says of itself: no kind, since who is of an earlier version, or has another
    /// secret, is none the worse. `None` when it was not asked.
    pub report: Option<Result<Told, Error>>,
}

impl Findings {
    /// What was found of one kind.
    pub const fn of(&self, kind: Kind) -> Option<Result<Duration, Error>> {
        match kind {
            Kind::Whip => self.whip,
            Kind::Stun => self.stun,
            Kind::TurnUdp => self.turn_udp,
            Kind::TurnTcp => self.turn_tcp,
            Kind::TurnTls => self.turn_tls,
        }
    }

    /// What was found of each kind that is offered.
    pub fn all(&self) -> impl Iterator<Item = (Kind, Result<Duration, Error>)> + '_ {
        let kinds = Kind::ALL.into_iter();
        kinds.filter_map(|kind| Some((kind, self.of(kind)?)))
    }
}
