//! How much a presenter may send, when the link cannot carry more.
//!
//! QUIC's congestion control decides what the link carries; a second one would
//! fight it. So this only answers frames that were given up: down at once to
//! below what was being sent, up again slowly while nothing is given up.
//! Together with the origin's own wish the lower counts.

use std::time::{Duration, Instant};

/// Down by this much of what was sent when a frame was given up.
const BACKOFF: f64 = 0.75;

/// Several frames of one burst are given up together: one answer.
const MIN_BACKOFF_INTERVAL: Duration = Duration::from_millis(500);

/// Quiet time before the limit rises again.
const HOLD: Duration = Duration::from_secs(4);

/// Then up by this much …
const RISE: f64 = 1.10;

/// … in each such interval, which is also how often the rate is measured.
const INTERVAL: Duration = Duration::from_secs(1);

/// Below this nothing is worth watching: 150 kbps.
const MIN_LIMIT: u64 = 150_000;

/// Limits one presenter.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The most that is of use at all, in bits per second.
    max: u64,
    /// What the origin wants at most.
    wish: Option<u64>,
    own: Option<u64>,
    last_cancel: Option<Instant>,
    measured: u64,
    counted: u64,
    since: Instant,
}

impl Target {
    pub(super) const fn new(max: u64, now: Instant) -> Self {
        Self {
            max,
            wish: None,
            own: None,
            last_cancel: None,
            measured: 0,
            counted: 0,
            since: now,
        }
    }

    /// Notes the origin's wish.
    pub(super) const fn set_wish(&mut self, bitrate: u64) {
        self.wish = Some(bitrate);
    }

    /// What the link allows, for the origin's information.
    pub(super) const fn own(&self) -> Option<u64> {
        self.own
    }

    /// The limit for the presenter, `None` when there is none.
    pub(super) fn limit(&self) -> Option<u64> {
        match (self.wish, self.own) {
            (Some(wish), Some(own)) => Some(wish.min(own)),
            (wish, own) => wish.or(own),
        }
    }

    /// A frame was given up.
    pub(super) fn note_cancel(&mut self, now: Instant) {
        if self
            .last_cancel
            .is_some_and(|last| now < last + MIN_BACKOFF_INTERVAL)
        {
            return;
        }
        self.last_cancel = Some(now);
        let sent = if self.measured == 0 {
            self.max
        } else {
            self.measured
        };
        let base = self.own.map_or(sent, |own| own.min(sent.max(MIN_LIMIT)));
        self.own = Some(((base as f64 * BACKOFF) as u64).clamp(MIN_LIMIT, self.max));
    }

    /// Measures what is sent, `bytes` being the sum since the beginning, and
    /// lets the limit rise. Call about once a second.
    pub(super) fn update(&mut self, now: Instant, bytes: u64) {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < INTERVAL {
            return;
        }
        let bits = bytes.saturating_sub(self.counted) * 8;
        self.measured = (bits as f64 / elapsed.as_secs_f64()) as u64;
        self.counted = bytes;
        self.since = now;
        let is_quiet = self.last_cancel.is_some_and(|last| now >= last + HOLD);
        if let Some(own) = self.own.filter(|_| is_quiet) {
            let risen = (own as f64 * RISE) as u64;
            // At the top there is no limit any more.
            self.own = (risen < self.max).then_some(risen);
        }
    }
}

#[cfg(test)]
mod tests {
    use inlet_common::clock;

    use super::*;

    #[test]
    fn given_up_frames_lower_the_limit_and_quiet_takes_it_away() {
        let start = clock::now();
        let mut target = Target::new(8_000_000, start);
        target.update(start + INTERVAL, 500_000);
        assert_eq!(target.limit(), None);
        let at = start + INTERVAL;
        target.note_cancel(at);
        target.note_cancel(at + Duration::from_millis(100));
        assert_eq!(target.limit(), Some(3_000_000));
        target.note_cancel(at + MIN_BACKOFF_INTERVAL);
        assert_eq!(target.limit(), Some(2_250_000));
        let mut bytes = 500_000;
        let mut seconds = 0;
        while target.limit().is_some() {
            seconds += 1;
            bytes += 300_000;
            target.update(at + INTERVAL * seconds, bytes);
            assert!(seconds < 60);
        }
        assert!((10..30).contains(&seconds), "{seconds}");
    }

    #[test]
    fn the_lower_of_wish_and_limit_counts() {
        let start = clock::now();
        let mut target = Target::new(8_000_000, start);
        target.set_wish(2_000_000);
        assert_eq!(target.limit(), Some(2_000_000));
        target.note_cancel(start);
        assert_eq!(
            (target.own(), target.limit()),
            (Some(6_000_000), Some(2_000_000))
        );
        for second in 0..100 {
            target.note_cancel(start + INTERVAL * second);
        }
        assert_eq!(target.limit(), Some(MIN_LIMIT));
    }
}
