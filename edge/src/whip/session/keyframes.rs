//! When a key frame may be asked for.
//!
//! The origin, the link and the session itself want key frames, often at the
//! same moment, and each costs the presenter's uplink a burst: at most one
//! request per [`MIN_INTERVAL`], and what is wanted in between waits.

use std::time::{Duration, Instant};

/// Least time between two requests.
pub(super) const MIN_INTERVAL: Duration = Duration::from_millis(500);

/// Coalesces requests.
#[derive(Debug, Default)]
pub(super) struct Keyframes {
    is_wanted: bool,
    last: Option<Instant>,
}

impl Keyframes {
    /// Notes that one is wanted.
    pub(super) const fn want(&mut self) {
        self.is_wanted = true;
    }

    /// Whether a request may go out now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_wanted && self.last.is_none_or(|last| now >= last + MIN_INTERVAL)
    }

    /// When the next request may go out, `at_once` when it may now; `None` when
    /// none is wanted.
    pub(super) fn next(&self, at_once: Instant) -> Option<Instant> {
        self.is_wanted
            .then(|| self.last.map_or(at_once, |last| last + MIN_INTERVAL))
    }

    /// A request has gone out.
    pub(super) const fn note_request(&mut self, now: Instant) {
        self.is_wanted = false;
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_coalesced_to_one_per_interval() {
        let start = inlet_common::clock::now();
        let mut keyframes = Keyframes::default();
        assert!(!keyframes.is_due(start));
        keyframes.want();
        assert!(keyframes.is_due(start));
        keyframes.note_request(start);
        keyframes.want();
        keyframes.want();
        assert!(!keyframes.is_due(start + MIN_INTERVAL / 2));
        assert!(keyframes.is_due(start + MIN_INTERVAL));
        keyframes.note_request(start + MIN_INTERVAL);
        assert!(!keyframes.is_due(start + 2 * MIN_INTERVAL));
    }
}
