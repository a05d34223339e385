//! How long to wait before the next worker after one has died.
//!
//! Pure. The first deaths cost no wait at all: a stranger's picture that kills
//! decoders is rare, and viewers are waiting. A worker that keeps dying would
//! take the machine from other streams, so then it is slow, but never given up.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Remembers deaths.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    recent: VecDeque<Instant>,
    slow: u32,
}

impl Backoff {
    /// A worker that lived for `lived` has died. Returns the wait before the
    /// next one.
    pub(super) fn handle_death(&mut self, now: Instant, lived: Duration) -> Duration {
        if lived >= WINDOW {
            *self = Self::default();
        }
        self.recent.push_back(now);
        if self.slow == 0 {
            let is_old = |death: &mut Instant| now.saturating_duration_since(*death) > WINDOW;
            while self.recent.pop_front_if(is_old).is_some() {}
        }
        if self.recent.len() <= MAX_AT_ONCE {
            return Duration::ZERO;
        }
        self.recent.pop_front();
        self.slow = (self.slow + 1).min(10);
        LONGEST.min(Duration::from_millis(500) * 2u32.pow(self.slow))
    }
}

/// Restarts without a wait within [`WINDOW`].
const MAX_AT_ONCE: usize = 5;

/// Also the life that makes a worker count as sound.
const WINDOW: Duration = Duration::from_secs(10);

/// The slowest rhythm of retries.
const LONGEST: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_deaths_cost_nothing_then_it_is_slow_and_stays_so() {
        let mut backoff = Backoff::default();
        let mut now = inlet_common::clock::now();
        let short = Duration::from_millis(100);
        for _ in 0..MAX_AT_ONCE {
            assert_eq!(backoff.handle_death(now, short), Duration::ZERO);
            now += short;
        }
        let waits: Vec<_> = (0..7)
            .map(|_| {
                let wait = backoff.handle_death(now, short);
                now += wait + short;
                wait.as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 15, 15, 15]);
    }

    #[test]
    fn a_worker_that_lived_wipes_the_slate() {
        let mut backoff = Backoff::default();
        let now = inlet_common::clock::now();
        for _ in 0..20 {
            backoff.handle_death(now, Duration::ZERO);
        }
        assert_eq!(backoff.handle_death(now, WINDOW), Duration::ZERO);
    }

    #[test]
    fn rare_deaths_never_add_up() {
        let mut backoff = Backoff::default();
        let mut now = inlet_common::clock::now();
        for _ in 0..50 {
            assert_eq!(
                backoff.handle_death(now, Duration::from_secs(3)),
                Duration::ZERO
            );
            now += Duration::from_secs(3);
        }
    }
}
