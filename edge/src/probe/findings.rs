//! What one run has found.

use std::time::{Duration, Instant};

use inlet_common::roq::pop::Report;

use super::{Error, Target};

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

    /// Nothing of what is offered was tried.
    pub(super) fn unreachable(target: &Target) -> Self {
        let untried = |is_offered: bool| is_offered.then_some(Err(Error::Unreachable));
        Self {
            whip: untried(target.whip.is_some()),
            stun: untried(target.stun.is_some()),
            turn_udp: untried(target.turn_udp.is_some()),
            turn_tcp: untried(target.turn_tcp.is_some()),
            turn_tls: untried(target.turn_tls.is_some()),
            report: None,
        }
    }

    /// The worse of two runs to two addresses, kind by kind. A report is as good by
    /// either.
    pub(super) fn worse(self, other: Self) -> Self {
        let worse = |kind| {
            let both = [self.of(kind), other.of(kind)];
            both.into_iter().flatten().max_by_key(badness)
        };
        let reports = [self.report, other.report].into_iter().flatten();
        Self {
            whip: worse(Kind::Whip),
            stun: worse(Kind::Stun),
            turn_udp: worse(Kind::TurnUdp),
            turn_tcp: worse(Kind::TurnTcp),
            turn_tls: worse(Kind::TurnTls),
            report: reports.max_by_key(|told| told.ok().map(|told| told.report.made)),
        }
    }
}

/// What breaks off is worse than what is busy, what is slow than what is quick; and what
/// could not be tried says nothing.
fn badness(found: &Result<Duration, Error>) -> (u8, Duration) {
    match found {
        Err(error) if error.is_local() => (0, Duration::ZERO),
        Ok(took) => (1, *took),
        Err(error) if error.is_busy() => (2, Duration::ZERO),
        Err(_) => (3, Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whip(found: Result<Duration, Error>) -> Findings {
        Findings {
            whip: Some(found),
            ..Findings::default()
        }
    }

    #[test]
    fn the_worse_of_two_addresses_counts() {
        const QUICK: Duration = Duration::from_millis(5);
        let order = [
            Err(Error::Unreachable),
            Ok(QUICK),
            Ok(QUICK * 2),
            Err(Error::Unavailable),
            Err(Error::Timeout),
        ];
        for (at, better) in order.into_iter().enumerate() {
            for worse in order.into_iter().skip(at) {
                assert_eq!(whip(better).worse(whip(worse)), whip(worse));
                assert_eq!(whip(worse).worse(whip(better)), whip(worse));
            }
        }
        let nothing = Findings::default();
        assert_eq!(nothing.worse(nothing), nothing);
    }
}
