//! The one place that reads a clock.
//!
//! Engines take `now` as an argument, so that they run under virtual time in
//! tests; drivers call these two functions once per batch and hand the result
//! down.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
