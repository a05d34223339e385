//! A wall time that never goes back; pure.
//!
//! Live media is numbered by wall time, and what is numbered cannot be numbered
//! again: a clock that is set back would stop every stream for as long as the step.
//! So this one counts as the monotonic clock does, from what the system's clock
//! showed at first, and only looks at that one now and then:
//!
//! - set forward, it is followed, behind a gap, as after a suspended machine wakes up;
//!   but only when it has shown the same for [`AGREE_FOR`], because a step that was
//!   wrong and is taken back could not be taken back here;
//! - set back, it is approached by [`SLEW_PPM`], which no presenter's media shows.
//!
//! Hand it a [`Steady::look`] whenever [`Steady::is_due`]; ask [`Steady::at`] between.

use std::time::{Duration, Instant};

use super::{UtcTime, micros_between};

/// How much slower (or faster) than the monotonic clock this one runs while it is
/// off the system's: as much again as a presenter's clocks may be off.
const SLEW_PPM: i64 = 200;

/// A step forward that is larger is followed, and one back is told.
const MIN_STEP_MICROS: i64 = 100_000;

/// How long two looks must be apart that agree on a step forward.
const AGREE_FOR: Duration = Duration::from_secs(2);

/// How often the system's clock is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What the system's clock was found to have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was set forward by so many microseconds, and followed.
    Forward(i64),
    /// It was set back by so many microseconds: this clock is ahead by them.
    Back(i64),
}

/// The clock.
#[derive(Clone, Debug)]
pub struct Steady {
    /// The last look, and what this clock showed then.
    base: Instant,
    shown: i64,
    /// By how much it was ahead of the system's.
    ahead: i64,
    /// When the system's clock was first seen to be set forward, and how far this one
    /// was ahead of it then, which is less than nothing.
    forward: Option<(Instant, i64)>,
}

impl Steady {
    /// Begins with what the system's clock shows.
    pub const fn new(now: Instant, system: UtcTime) -> Self {
        Self {
            base: now,
            shown: system.as_unix_micros(),
            ahead: 0,
            forward: None,
        }
    }

    /// What it shows at `now`. It only rises with `now`, whoever looks meanwhile.
    pub fn at(&self, now: Instant) -> UtcTime {
        let passed = micros_between(self.base, now);
        UtcTime::from_unix_micros(self.shown + passed - self.slewed(passed))
    }

    /// Whether it is time for another [`Steady::look`].
    pub fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.base) >= LOOK_EVERY
    }

    /// Learns what the system's clock shows at `now`; tells when that was set.
    pub fn look(&mut self, now: Instant, system: UtcTime) -> Option<Step> {
        if now < self.base {
            return None;
        }
        let shown = self.at(now);
        let expected = self.ahead - self.slewed(micros_between(self.base, now));
        let ahead = shown.micros_since(system);
        (self.base, self.shown) = (now, shown.as_unix_micros());
        if ahead < -MIN_STEP_MICROS {
            // As if it had not been set.
            self.ahead = expected;
            return self.consider(now, ahead);
        }
        (self.ahead, self.forward) = (ahead, None);
        let back = ahead - expected;
        (back > MIN_STEP_MICROS).then_some(Step::Back(back))
    }

    /// Follows a step forward on which the looks have agreed for long enough.
    fn consider(&mut self, now: Instant, ahead: i64) -> Option<Step> {
        let agrees = |(_, first): &(_, i64)| (ahead - first).abs() <= MIN_STEP_MICROS;
        let first @ (since, _) = self.forward.filter(agrees).unwrap_or((now, ahead));
        self.forward = Some(first);
        if now.saturating_duration_since(since) < AGREE_FOR {
            return None;
        }
        (self.shown, self.ahead, self.forward) = (self.shown - ahead, 0, None);
        Some(Step::Forward(-ahead))
    }

    /// What of being ahead (or behind) is worked off `passed` microseconds after the
    /// last look.
    fn slewed(&self, passed: i64) -> i64 {
        let most = passed.max(0) / (1_000_000 / SLEW_PPM);
        self.ahead.clamp(-most, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UtcTime = UtcTime::from_unix_micros(1_800_000_000_000_000);
    const SECOND: i64 = 1_000_000;

    /// The clock and the system's, side by side.
    struct Sides {
        base: Instant,
        steady: Steady,
        shown: UtcTime,
        steps: Vec<Step>,
    }

    impl Sides {
        fn new() -> Self {
            let base = crate::clock::now();
            Self {
                base,
                steady: Steady::new(base, START),
                shown: START,
                steps: Vec::new(),
            }
        }

        /// Goes on from one second to another, while the system's clock is `off`.
        fn run(&mut self, from: i64, until: i64, off: i64) -> i64 {
            for at in (from * SECOND..until * SECOND).step_by(50_000) {
                let now = self.base + Duration::from_micros(at.unsigned_abs());
                let system = START.plus_micros(at + off);
                if self.steady.is_due(now) {
                    self.steps.extend(self.steady.look(now, system));
                }
                let shown = self.steady.at(now);
                assert!(shown > self.shown || at == 0, "{shown:?} at {at}");
                self.shown = shown;
            }
            let last = until * SECOND - 50_000;
            self.shown.micros_since(START.plus_micros(last))
        }
    }

    #[test]
    fn a_clock_that_is_not_set_is_followed_to_the_microsecond() {
        let mut sides = Sides::new();
        assert!(sides.run(0, 600, 0).abs() <= 1);
        assert_eq!(sides.steps, []);
    }

    #[test]
    fn a_step_forward_is_followed_when_it_has_lasted() {
        let mut sides = Sides::new();
        sides.run(0, 10, 0);
        assert!(sides.run(10, 12, 60 * SECOND).abs() <= 1);
        assert_eq!(sides.run(12, 14, 60 * SECOND), 60 * SECOND);
        assert_eq!(sides.steps, [Step::Forward(60 * SECOND)]);
    }

    #[test]
    fn a_step_forward_that_is_taken_back_is_not_seen() {
        let mut sides = Sides::new();
        sides.run(0, 10, 0);
        for at in (10..40).step_by(3) {
            assert!(sides.run(at, at + 1, 3600 * SECOND).abs() <= 1);
            assert!(sides.run(at + 1, at + 3, 0).abs() <= 1);
        }
        assert_eq!(sides.steps, []);
    }

    #[test]
    fn steps_forward_that_do_not_agree_are_not_followed() {
        let mut sides = Sides::new();
        sides.run(0, 10, 0);
        for at in 10..20 {
            assert!(sides.run(at, at + 1, at * SECOND).abs() <= 1);
        }
        assert_eq!(sides.steps, []);
        assert_eq!(sides.run(20, 23, 19 * SECOND), 19 * SECOND);
        assert_eq!(sides.steps, [Step::Forward(19 * SECOND)]);
    }

    #[test]
    fn a_step_back_is_told_once_and_slewed() {
        let mut sides = Sides::new();
        sides.run(0, 10, 0);
        let off = sides.run(10, 1_010, -60 * SECOND);
        assert!((-200_100..=-199_000).contains(&off), "{off}");
        assert_eq!(sides.steps, [Step::Back(60 * SECOND)]);
    }

    #[test]
    fn a_leap_second_is_worked_off() {
        let mut sides = Sides::new();
        sides.run(0, 10, 0);
        let off = sides.run(10, 5_100, -SECOND);
        assert!((off + SECOND).abs() <= 2, "{off}");
        assert_eq!(sides.steps, [Step::Back(SECOND)]);
    }

    #[test]
    fn a_little_is_slewed_either_way_and_not_told() {
        for off in [-50_000, 50_000] {
            let mut sides = Sides::new();
            sides.run(0, 10, 0);
            let shown = sides.run(10, 300, off);
            assert!((shown - off).abs() <= 2, "{shown}");
            assert_eq!(sides.steps, []);
        }
    }
}
