//! The one place that reads a clock.
//!
//! Engines take `now` as an argument, so that they run under virtual time in
//! tests; drivers call these functions once per batch and hand the result down.
//!
//! | clock | for |
//! |---|---|
//! | [`now`] | how long something takes |
//! | [`utc`] | what others may hold against us: tokens, certificates, reports |
//! | [`steady()`] | live media, whose numbers must never come again |

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

mod steady;

pub use steady::{Steady, Step};

/// Reads the monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the single reader of the monotonic clock"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Reads the wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the single reader of the wall clock"
)]
pub fn utc() -> UtcTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UtcTime::from_unix(since)
}

/// The wall time that belongs to `now`, which never goes back: where the system's
/// clock is set back, this one goes on and comes back to it by 0.2 ms a second; where it
/// is set forward, this one follows when that has lasted for two seconds.
pub fn steady(now: Instant) -> UtcTime {
    static CLOCK: Mutex<Option<Steady>> = Mutex::new(None);
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let clock = clock.get_or_insert_with(|| match read_both() {
        Some((at, system)) => Steady::new(at, system),
        None => Steady::new(now, utc()),
    });
    if clock.is_due(now)
        && let Some((at, system)) = read_both()
        && let Some(step) = clock.look(at, system)
    {
        tell(step);
    }
    clock.at(now)
}

/// Microseconds from one moment to another; negative where `later` is the earlier one.
pub fn micros_between(earlier: Instant, later: Instant) -> i64 {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    match later.checked_duration_since(earlier) {
        Some(span) => micros(span),
        None => -micros(earlier.saturating_duration_since(later)),
    }
}

/// Both clocks at one moment; `None` when this thread had to wait between the two.
fn read_both() -> Option<(Instant, UtcTime)> {
    const AT_ONCE: Duration = Duration::from_millis(1);
    let before = now();
    let system = utc();
    (now().saturating_duration_since(before) < AT_ONCE).then_some((before, system))
}

fn tell(step: Step) {
    match step {
        Step::Forward(micros) => tracing::warn!(
            seconds = micros as f64 / 1e6,
            "the system's clock was set forward: live media follows, behind a gap"
        ),
        Step::Back(micros) => tracing::warn!(
            seconds = micros as f64 / 1e6,
            "the system's clock was set back: live media keeps its own time and comes back to \
             it by 0.2 ms a second; look after time synchronisation. A restart follows at once \
             and numbers media again that caches hold: wait out the step before it, or purge \
             them"
        ),
    }
}

/// A moment of wall time, in whole microseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct UtcTime(i64);

impl UtcTime {
    /// Makes a moment from the time since the Unix epoch.
    pub fn from_unix(since: Duration) -> Self {
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// Makes a moment from microseconds since the Unix epoch.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_unix_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Microseconds from `earlier` to this moment; negative when `earlier` is later.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `micros` microseconds later.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// The moment as the standard library's wall time.
    pub fn to_system_time(self) -> SystemTime {
        match u64::try_from(self.0) {
            Ok(micros) => UNIX_EPOCH + Duration::from_micros(micros),
            Err(_) => UNIX_EPOCH,
        }
    }
}
