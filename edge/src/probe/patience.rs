//! How long a run waits: for each step by how long those before took, and in all.
//!
//! Far points of presence need time that near ones must not be given, or one that says
//! nothing would keep its clients for that long. So a run has no limit for what is to be
//! done in all of it, but one for each step that has to be answered, which grows with the
//! round trip that the steps before have shown.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use inlet_common::clock;
use tokio::time::timeout_at;

use super::Error;

/// How long a run waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the first answer of any kind, when nothing is known of the way.
    pub first: Duration,
    /// For each later one, beside four times as long as the longest step before took.
    pub step: Duration,
    /// For all of it, goodbyes apart.
    pub whole: Duration,
}

/// Round trips that a step is given: one, and two more in which TCP finds that a packet
/// was lost (RFC 6298 §2.2: the first measurement makes an RTO of three), and sends it
/// again.
const ROUND_TRIPS: u32 = 4;

/// How long a goodbye is waited for at least, and at most.
pub(super) const FAREWELL: Duration = Duration::from_millis(300);
pub(super) const LONGEST_FAREWELL: Duration = Duration::from_secs(1);

impl Patience {
    /// Suits round trips of 500 ms and more with a packet lost on the way, and is over in
    /// two seconds where nobody is.
    pub const USUAL: Self = Self {
        // The SYN is sent again after a second (RFC 6298 §2.1).
        first: Duration::from_millis(1_800),
        // What a busy machine may take.
        step: Duration::from_millis(1_500),
        // Six round trips of 500 ms by TLS, and twice the time that a lost packet takes.
        whole: Duration::from_secs(6),
    };

    /// So many times as long.
    #[must_use]
    pub const fn times(self, factor: u32) -> Self {
        Self {
            first: self.first.saturating_mul(factor),
            step: self.step.saturating_mul(factor),
            whole: self.whole.saturating_mul(factor),
        }
    }
}

/// What is left of the patience of one probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    patience: Patience,
    /// When there is a verdict, whatever it is.
    end: Instant,
    /// When the step under way began.
    since: Instant,
    /// How long the longest step before it took; `None` for the first.
    longest: Option<Duration>,
}

impl Budget {
    pub(super) fn new(now: Instant, patience: Patience) -> Self {
        Self {
            patience,
            end: now + patience.whole,
            since: now,
            longest: None,
        }
    }

    /// When the step under way has failed.
    pub(super) fn deadline(&self) -> Instant {
        let limit = match self.longest {
            None => self.patience.first,
            Some(longest) => self.patience.step + longest * ROUND_TRIPS,
        };
        (self.since + limit).min(self.end)
    }

    /// When all is over, goodbyes too.
    pub(super) fn end(&self) -> Instant {
        self.end + LONGEST_FAREWELL
    }

    /// A step is done at `now`, and the next one begins.
    pub(super) fn advance(&mut self, now: Instant) {
        let took = now.saturating_duration_since(self.since);
        self.longest = Some(self.longest.unwrap_or_default().max(took));
        self.since = now;
    }

    /// Waits for a step. One that nobody has answered shows no round trip: whoever hangs
    /// would be given ever more time.
    pub(super) async fn step<T>(
        &mut self,
        step: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let done = timeout_at(self.deadline().into(), step).await;
        let done = done.map_err(|_| Error::Timeout)?;
        self.advance(clock::now());
        done
    }

    /// Of two ways that were opened at once, what both know.
    pub(super) fn joined(self, other: Self) -> Self {
        Self {
            since: self.since.max(other.since),
            longest: self.longest.max(other.longest),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_step_is_given_what_those_before_took() {
        let begun = clock::now();
        let mut budget = Budget::new(begun, Patience::USUAL);
        let left = |budget: &Budget, now: Instant| (budget.deadline() - now).as_millis();
        assert_eq!(left(&budget, begun), 1_800);
        // Near: as little as before.
        let near = begun + 5 * MS;
        budget.advance(near);
        assert_eq!(left(&budget, near), 1_520);
        let far = near + 500 * MS;
        budget.advance(far);
        assert_eq!(left(&budget, far), 3_500);
        // A quick step shortens nothing.
        budget.advance(far + MS);
        assert_eq!(left(&budget, far + MS), 3_500);
        budget.advance(begun + 5_000 * MS);
        assert_eq!(left(&budget, begun), 6_000, "in all");
    }

    #[tokio::test]
    async fn a_step_that_nobody_answers_gives_the_next_one_no_more() {
        let patience = Patience {
            first: 10 * MS,
            ..Patience::USUAL
        };
        let mut budget = Budget::new(clock::now(), patience);
        let deadline = budget.deadline();
        let found: Result<(), _> = budget.step(std::future::pending()).await;
        assert_eq!(found, Err(Error::Timeout));
        assert_eq!(budget.deadline(), deadline);
        // What says no is an answer.
        let found: Result<(), _> = budget.step(async { Err(Error::Unavailable) }).await;
        assert_eq!(found, Err(Error::Unavailable));
        assert!(budget.deadline() > deadline);
    }
}
