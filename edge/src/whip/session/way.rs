//! By which way a presenter reaches us, and by which way media go back.
//!
//! The engine sends to the nominated pair of the highest priority for as long as
//! that pair is alive by its own count, which is 15 s. A presenter who leaves
//! Wi-Fi for a relay would get no feedback until then. So the engine's choice is
//! not followed: media go back to where the presenter's own come from, and it
//! sends over the pair that it has selected (RFC 8445 §12.1.1). Firefox and others
//! nominate every pair they check, so a nomination alone says little once media
//! flow.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Nominated pairs that are remembered; the oldest goes.
const MAX_NOMINATED: usize = 8;

/// A pair without anything from the presenter for so long gives way to another
/// that it nominates. Consent comes every 5 s, media far more often.
const QUIET: Duration = Duration::from_secs(2);

/// How a presenter's datagrams reach this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// Directly, by UDP.
    HostUdp,
    /// Directly, by ICE-TCP (RFC 6544).
    HostTcp,
    /// By a relayed address of this process, whose client comes by UDP.
    RelayUdp,
    /// The same, by TCP.
    RelayTcp,
    /// The same, by TLS.
    RelayTls,
}

impl Path {
    /// Every path.
    pub const ALL: [Self; 5] = [
        Self::HostUdp,
        Self::HostTcp,
        Self::RelayUdp,
        Self::RelayTcp,
        Self::RelayTls,
    ];

    /// Its name in metrics, traces and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HostUdp => "host_udp",
            Self::HostTcp => "host_tcp",
            Self::RelayUdp => "relay_udp",
            Self::RelayTcp => "relay_tcp",
            Self::RelayTls => "relay_tls",
        }
    }

    /// Place among [`Path::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether media come by our TURN server.
    pub const fn is_relayed(self) -> bool {
        matches!(self, Self::RelayUdp | Self::RelayTcp | Self::RelayTls)
    }

    /// Whether media come by a TCP connection of ours.
    pub const fn is_tcp(self) -> bool {
        matches!(self, Self::HostTcp)
    }
}

/// What a worker's sessions are reached at; all of it stands in the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The worker's number, which its sessions' ufrags tell.
    pub worker: u16,
    /// For UDP, the preferred first.
    pub udp: Vec<SocketAddr>,
    /// For ICE-TCP, the preferred first; empty without.
    pub tcp: Vec<SocketAddr>,
}

/// Two addresses, and how datagrams go between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    /// How.
    pub path: Path,
    /// The presenter's address as we see it; a relayed one when it is relayed.
    pub remote: SocketAddr,
    /// Our address as the presenter knows it.
    pub local: SocketAddr,
}

/// A datagram of a presenter, or a frame of its TCP connection.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Between whom.
    pub way: Way,
    /// What.
    pub contents: &'a [u8],
}

/// The ways that a session has.
#[derive(Debug, Default)]
pub(super) struct Ways {
    current: Option<Way>,
    /// When something authentic came over the current one last.
    heard: Option<Instant>,
    /// Latest last.
    nominated: VecDeque<Way>,
}

impl Ways {
    /// Where media go; `None` before a pair was nominated.
    pub(super) const fn current(&self) -> Option<Way> {
        self.current
    }

    /// An authentic Binding request came, with USE-CANDIDATE or without. Returns
    /// whether media go elsewhere from now on.
    pub(super) fn note_request(
        &mut self,
        now: Instant,
        way: Way,
        nominates: bool,
        is_connected: bool,
    ) -> bool {
        if self.current == Some(way) {
            self.heard = Some(now);
        }
        if !nominates {
            return false;
        }
        self.nominated.retain(|known| *known != way);
        self.nominated.push_back(way);
        if self.nominated.len() > MAX_NOMINATED {
            self.nominated.pop_front();
        }
        let is_quiet = self.heard.is_none_or(|heard| now >= heard + QUIET);
        if self.current.is_some() && is_connected && !is_quiet {
            return false;
        }
        self.go(now, way)
    }

    /// Authentic media, or DTLS of a session that is not connected, came. Returns
    /// as [`Ways::note_request`] does.
    pub(super) fn note_media(&mut self, now: Instant, way: Way) -> bool {
        if self.current == Some(way) {
            self.heard = Some(now);
            return false;
        }
        self.nominated.contains(&way) && self.go(now, way)
    }

    /// ICE begins anew: what was nominated before is of the past, and the next
    /// nomination counts at once (RFC 8445 §9).
    pub(super) fn restart(&mut self) {
        self.nominated.clear();
        self.heard = None;
    }

    /// A way has ended: its TCP connection was closed.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&Way) -> bool) {
        self.nominated.retain(|known| !is_gone(known));
        if self.current.as_ref().is_some_and(&is_gone) {
            // The presenter nominates another, or the same anew.
            self.current = None;
            self.heard = None;
        }
    }

    fn go(&mut self, now: Instant, way: Way) -> bool {
        self.heard = Some(now);
        self.current.replace(way) != Some(way)
    }
}

#[cfg(test)]
mod tests {
    use inlet_common::clock;

    use super::*;

    fn way(path: Path, port: u16) -> Way {
        Way {
            path,
            remote: ([198, 51, 100, 7], port).into(),
            local: ([203, 0, 113, 1], 40_000).into(),
        }
    }

    #[test]
    fn the_latest_nomination_holds_until_media_flow() {
        let (mut ways, now) = (Ways::default(), clock::now());
        let (first, second) = (way(Path::HostUdp, 1), way(Path::HostTcp, 2));
        assert!(!ways.note_request(now, first, false, false));
        assert_eq!(ways.current(), None);
        assert!(ways.note_request(now, first, true, false));
        assert!(ways.note_request(now, second, true, false));
        assert!(!ways.note_request(now, second, true, false));
        // Connected, nominations of another change nothing while this one speaks.
        assert!(!ways.note_request(now, first, true, true));
        assert_eq!(ways.current(), Some(second));
    }

    #[test]
    fn media_lead_to_another_nominated_way_only() {
        let (mut ways, now) = (Ways::default(), clock::now());
        let (first, second) = (way(Path::HostUdp, 1), way(Path::RelayTls, 2));
        ways.note_request(now, first, true, false);
        assert!(!ways.note_media(now, second));
        ways.note_request(now, second, true, true);
        assert!(ways.note_media(now, second));
        assert_eq!(ways.current(), Some(second));
        assert!(!ways.note_media(now, second));
    }

    #[test]
    fn a_silent_way_gives_way() {
        let (mut ways, now) = (Ways::default(), clock::now());
        let (first, second) = (way(Path::HostUdp, 1), way(Path::HostUdp, 2));
        ways.note_request(now, first, true, false);
        assert!(!ways.note_request(now + QUIET / 2, second, true, true));
        ways.note_media(now + QUIET / 2, first);
        assert!(!ways.note_request(now + QUIET, second, true, true));
        assert!(ways.note_request(now + QUIET * 2, second, true, true));
    }

    #[test]
    fn a_way_that_has_ended_is_followed_by_the_next_nomination() {
        let (mut ways, now) = (Ways::default(), clock::now());
        let (first, second) = (way(Path::HostTcp, 1), way(Path::HostTcp, 2));
        ways.note_request(now, first, true, false);
        ways.forget(|known| known.remote == first.remote);
        assert_eq!(ways.current(), None);
        assert!(!ways.note_media(now, first));
        assert!(ways.note_request(now, second, true, true));
    }

    #[test]
    fn few_nominations_are_remembered() {
        let (mut ways, now) = (Ways::default(), clock::now());
        for port in 1..=100 {
            ways.note_request(now, way(Path::HostUdp, port), true, false);
        }
        assert_eq!(ways.nominated.len(), MAX_NOMINATED);
    }

    #[test]
    fn each_path_has_its_place() {
        for (at, path) in Path::ALL.into_iter().enumerate() {
            assert_eq!(path.index(), at);
        }
    }
}
