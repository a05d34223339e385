//! Whether the origin is lost, or only starts anew.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long an origin may be away before that counts: what its restart takes, and the
/// longest pause before a link is tried again.
///
/// The trap: links come back one after another. Were each loss told at once, then after a
/// restart of the origin the first point of presence that has it again would be the only
/// one that takes anybody, and every resolver would lead everybody there.
const BRIDGED: Duration = Duration::from_secs(10);

/// When there last was an origin; `None` before the first one.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// Notes at `now` whether there is one; whether it is lost for good, as far as can be
    /// told. Who never had one has lost it.
    pub(super) fn look(&self, now: Instant, has_origin: bool) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if has_origin {
            *seen = Some(now);
        }
        seen.is_none_or(|seen| now.saturating_duration_since(seen) > BRIDGED)
    }
}

#[cfg(test)]
mod tests {
    use inlet_common::clock;

    use super::*;

    #[test]
    fn who_never_had_an_origin_is_without() {
        let (outage, now) = (Outage::default(), clock::now());
        assert!(outage.look(now, false));
        assert!(!outage.look(now, true));
    }

    #[test]
    fn a_restart_is_bridged_and_a_loss_is_told() {
        let (outage, now) = (Outage::default(), clock::now());
        outage.look(now, true);
        assert!(!outage.look(now + BRIDGED, false), "it may start anew");
        assert!(outage.look(now + BRIDGED + Duration::from_millis(1), false));
        assert!(!outage.look(now + 2 * BRIDGED, true), "it is back");
        assert!(!outage.look(now + 3 * BRIDGED, false), "and counts anew");
    }
}
