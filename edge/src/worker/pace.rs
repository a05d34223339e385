//! How long a worker rests between two turns.
//!
//! Resting gathers packets into batches, which saves most of their cost, and
//! delays them. Media can wait two milliseconds: their receiver buffers more. A
//! relay stands in the middle of somebody's round trip, so it rests for half of
//! that at most, and only as far as it is busy, when the saving is needed.

use std::time::{Duration, Instant};

/// Least time from one turn to the next while there are media: half of a
/// presenter's frame is here by then, which is the batch that pays.
pub(super) const MEDIA_TURN: Duration = Duration::from_millis(2);

/// The same while a relay is busy.
pub(super) const RELAY_TURN: Duration = Duration::from_millis(1);

/// Share of a thread's time below which a relay does not rest.
const CALM: f64 = 0.25;

/// Share from which on it rests in full.
const BUSY: f64 = 0.6;

/// The span over which the share is taken.
const MEMORY: Duration = Duration::from_millis(20);

/// The span over which a worker counts as busy or not: a presenter's key frame must
/// not turn the next one away.
const LOAD_MEMORY: Duration = Duration::from_secs(2);

/// What a turn had to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Nothing.
    None,
    /// Packets to be relayed, and nothing else.
    Relay,
    /// Media, the link, or a command.
    Media,
}

/// How busy a worker is.
#[derive(Debug)]
pub(super) struct Pace {
    /// Share of the time that turns have taken of late, resting included.
    share: f64,
    /// The same over [`LOAD_MEMORY`], for whoever decides what to take on.
    load: f64,
    last: Option<Instant>,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Self {
            share: 0.0,
            load: 0.0,
            last: None,
        }
    }

    /// Share of the time that turns have taken in the last seconds, from 0 to 1.
    pub(super) const fn load(&self) -> f64 {
        self.load
    }

    /// How long to rest after a turn that began at `now` and took `spent`.
    pub(super) fn rest(&mut self, now: Instant, spent: Duration, work: Work) -> Duration {
        let left = |turn: Duration| turn.saturating_sub(spent);
        let (media, relay) = (left(MEDIA_TURN), left(RELAY_TURN));
        let since = self.last.replace(now);
        let since = since.map_or(MEMORY, |last| now.saturating_duration_since(last));
        // What a turn took is of the time since the one before it; waking and
        // sleeping cost about as much as a short turn itself.
        let spent = spent + WAKING;
        let span = since.max(spent).as_secs_f64();
        let weight = (span / MEMORY.as_secs_f64()).min(1.0);
        let share = spent.as_secs_f64() / span;
        self.share += weight * (share - self.share);
        let weight = (span / LOAD_MEMORY.as_secs_f64()).min(1.0);
        self.load += weight * (share - self.load);
        match work {
            Work::None => Duration::ZERO,
            Work::Media => media,
            Work::Relay => relay.mul_f64(((self.share - CALM) / (BUSY - CALM)).clamp(0.0, 1.0)),
        }
    }
}

/// What it costs to sleep and wake once, measured.
const WAKING: Duration = Duration::from_micros(5);

#[cfg(test)]
mod tests {
    use inlet_common::clock;

    use super::*;

    const MICRO: Duration = Duration::from_micros(1);

    /// The latest rest of a worker that gets `spent` of work every `interval`.
    fn rest(interval: Duration, spent: Duration, work: Work) -> Duration {
        let (mut pace, mut now) = (Pace::new(), clock::now());
        let mut rest = Duration::ZERO;
        for _ in 0..1_000 {
            rest = pace.rest(now, spent, work);
            now += interval.max(spent + rest);
        }
        rest
    }

    #[test]
    fn the_load_follows_within_seconds_and_not_at_once() {
        let (mut pace, mut now) = (Pace::new(), clock::now());
        let mut work = |turns: u32, spent: u32| {
            for _ in 0..turns {
                pace.rest(now, spent * MICRO, Work::Media);
                now += 1_000 * MICRO;
            }
            pace.load()
        };
        assert!(work(50, 900) < 0.1, "a burst");
        assert!(work(10_000, 900) > 0.85);
        assert!(work(50, 10) > 0.8, "a pause");
        assert!(work(10_000, 10) < 0.05);
    }

    #[test]
    fn a_relay_with_little_to_do_answers_at_once() {
        assert_eq!(rest(100 * MICRO, 10 * MICRO, Work::Relay), Duration::ZERO);
        assert_eq!(rest(1_000 * MICRO, 50 * MICRO, Work::Relay), Duration::ZERO);
    }

    #[test]
    fn a_busy_relay_gathers() {
        assert!(rest(10 * MICRO, 10 * MICRO, Work::Relay) > Duration::ZERO);
        assert!(rest(Duration::ZERO, 500 * MICRO, Work::Relay) > 100 * MICRO);
    }

    #[test]
    fn media_always_gather() {
        let at_most = MEDIA_TURN - 10 * MICRO;
        assert_eq!(rest(MEDIA_TURN, 10 * MICRO, Work::Media), at_most);
        assert_eq!(rest(MEDIA_TURN, 10 * MICRO, Work::None), Duration::ZERO);
    }
}
