//! When to order a certificate, when to renew it, and how long to leave the CA
//! alone after a failure. Pure: time and randomness come from outside.
//!
//! # Driving contract
//!
//! 1. Tell what is there: [`Schedule::new`], with the attempts of an earlier run.
//! 2. Call [`Schedule::poll_output`] until it answers [`Output::Timeout`].
//! 3. After [`Output::Order`] keep [`Schedule::attempts`] on disk *before* the CA
//!    is asked: the attempt counts as failed until it has succeeded, so that a
//!    process that crashes over and over does not order over and over.
//! 4. Tell how it ended by [`Schedule::handle_issued`] or
//!    [`Schedule::handle_failure`], and keep the attempts again.
//! 5. After [`Output::AskRenewalInfo`] tell the answer by
//!    [`Schedule::handle_renewal_info`] or [`Schedule::handle_no_renewal_info`].
//! 6. When the operator reloads, call [`Schedule::handle_reload`].
//!
//! Time is wall time, since that is what certificates are written in; a clock
//! that is set back never makes a wait longer than the longest backoff.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

use crate::clock::UtcTime;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Waits after a failure that cost the CA nothing: it was not reached, or has
/// trouble itself, or the fault is on this machine.
const SOFT_BACKOFF: Backoff = Backoff {
    first: 10 * SECOND,
    longest: 30 * MINUTE,
};

/// Waits after the CA refused. Doubled from two minutes there are five attempts in
/// the first hour (0, 2, 6, 14, 30 min), as many as Let's Encrypt permits to fail
/// for a name.
const HARD_BACKOFF: Backoff = Backoff {
    first: 2 * MINUTE,
    longest: 6 * HOUR,
};

/// Waits after the CA said that it was asked too often.
const LIMITED_BACKOFF: Backoff = Backoff {
    first: HOUR,
    longest: DAY,
};

/// Longest wait that a CA can ask for; Let's Encrypt counts some limits by weeks.
const MAX_RETRY_AFTER: i64 = 7 * DAY;

/// Part of a wait that is added at random, so that a fleet that failed together
/// does not come back together.
const JITTER: f64 = 0.25;

/// Part of `renew_before` by which a renewal may be earlier, for the same reason.
const RENEWAL_JITTER: f64 = 0.1;

/// Shortest time between two attempts that an operator asks for, after the CA
/// refused one.
const MIN_BETWEEN_WISHES: i64 = MINUTE;

/// Shortest time from an attempt to a renewal that the CA suggests, so that a
/// suggestion in the past for each new certificate does not order without end.
const MIN_BETWEEN_SUGGESTED: i64 = HOUR;

/// How often a CA is asked for its suggestion: RFC 9773 §4.3.2 leaves it to the
/// CA, within bounds of our own.
const RENEWAL_INFO_INTERVAL: (i64, i64) = (HOUR, DAY);

/// When it is asked again after it gave none.
const RENEWAL_INFO_RETRY: i64 = 6 * HOUR;

#[derive(Clone, Copy)]
struct Backoff {
    first: i64,
    longest: i64,
}

impl Backoff {
    /// The wait after `failures` in a row, without jitter.
    fn after(self, failures: u32) -> i64 {
        let doublings = failures.saturating_sub(1).min(30);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: UtcTime,
    pub(super) not_after: UtcTime,
}

impl Validity {
    fn lifetime(self) -> i64 {
        self.not_after.micros_since(self.not_before).max(0)
    }
}

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) validity: Validity,
    /// Whether it has every name that is wanted.
    pub(super) covers: bool,
}

/// What went before; kept over restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Attempts {
    /// Soft failures in a row.
    soft: u32,
    /// Refusals in a row, whatever soft failures there were between them.
    hard: u32,
    /// When the last attempt began; 0 for never.
    last: i64,
    /// No attempt before, for our own reasons; an operator may ask for one.
    backoff_until: i64,
    /// No attempt before, since the CA said so.
    held_until: i64,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// On this machine, before the CA was asked.
    Local,
    /// The CA was not reached, or has trouble itself.
    Unreachable,
    /// The CA refused.
    Refused,
    /// The CA was asked too often.
    RateLimited,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Output {
    /// Order a certificate now.
    Order,
    /// Ask the CA when it would like the certificate to be renewed.
    AskRenewalInfo,
    /// Nothing until then.
    Timeout(UtcTime),
}

/// The state machine; see the module for how it is driven.
#[derive(Debug)]
pub(super) struct Schedule<R> {
    renew_before: Option<Duration>,
    held: Option<Held>,
    attempts: Attempts,
    /// When the lifetime says that it is time.
    by_lifetime: UtcTime,
    /// When the CA says so.
    by_info: Option<UtcTime>,
    ask_info_at: UtcTime,
    rng: R,
}

impl<R: Rng> Schedule<R> {
    /// `renew_before` is the operator's wish, `held` what is served at the start.
    pub(super) fn new(
        now: UtcTime,
        renew_before: Option<Duration>,
        held: Option<Held>,
        attempts: Attempts,
        rng: R,
    ) -> Self {
        let mut schedule = Self {
            renew_before,
            held,
            attempts,
            by_lifetime: now,
            by_info: None,
            ask_info_at: now,
            rng,
        };
        if let Some(held) = held {
            schedule.by_lifetime = schedule.renewal_of(held.validity);
        }
        schedule
    }

    /// What to do at `now`.
    pub(super) fn poll_output(&mut self, now: UtcTime) -> Output {
        let due = self.due(now);
        if due <= now {
            // Soft, until we know better: a crash has cost the CA nothing we know of.
            self.attempts.last = now.as_unix_micros();
            self.attempts.soft = self.attempts.soft.saturating_add(1);
            self.back_off(now, SOFT_BACKOFF.after(self.attempts.soft));
            return Output::Order;
        }
        if self.held.is_none() {
            return Output::Timeout(due);
        }
        if self.ask_info_at <= now {
            // Whatever becomes of this one.
            self.ask_info_at = now.plus_micros(RENEWAL_INFO_RETRY);
            return Output::AskRenewalInfo;
        }
        Output::Timeout(due.min(self.ask_info_at))
    }

    /// The order that was begun has brought a certificate, with every name.
    pub(super) fn handle_issued(&mut self, now: UtcTime, validity: Validity) {
        self.attempts = Attempts {
            last: self.attempts.last,
            ..Attempts::default()
        };
        self.held = Some(Held {
            validity,
            covers: true,
        });
        // Were it due at once, however short it lives, we would order for ever.
        let left = validity.not_after.micros_since(now).max(0);
        let earliest = now.plus_micros(left / 3);
        self.by_lifetime = self.renewal_of(validity).max(earliest);
        self.by_info = None;
        self.ask_info_at = now;
    }

    /// The order that was begun has failed; `retry_after` is what the CA said.
    pub(super) fn handle_failure(
        &mut self,
        now: UtcTime,
        kind: Kind,
        retry_after: Option<Duration>,
    ) {
        let wait = match kind {
            // Counted when it began.
            Kind::Local | Kind::Unreachable => SOFT_BACKOFF.after(self.attempts.soft),
            Kind::Refused | Kind::RateLimited => {
                self.attempts.soft = 0;
                self.attempts.hard = self.attempts.hard.saturating_add(1);
                match kind {
                    Kind::RateLimited => LIMITED_BACKOFF.after(self.attempts.hard),
                    _ => HARD_BACKOFF.after(self.attempts.hard),
                }
            }
        };
        self.back_off(now, wait);
        if let Some(retry_after) = retry_after {
            let wait = micros(retry_after).min(MAX_RETRY_AFTER);
            self.attempts.held_until = now.plus_micros(wait).as_unix_micros();
        }
    }

    /// The CA suggests a renewal from `start` to `end`, and to ask again after a
    /// while (RFC 9773 §4.2: a moment in between is chosen at random).
    pub(super) fn handle_renewal_info(
        &mut self,
        now: UtcTime,
        (start, end): (UtcTime, UtcTime),
        ask_after: Duration,
    ) {
        let window = end.micros_since(start);
        let is_new = self.by_info.is_none_or(|at| at < start || at > end);
        if is_new {
            let into = match window > 0 {
                true => self.rng.random_range(0..=window),
                false => 0,
            };
            self.by_info = Some(start.plus_micros(into));
        }
        let (shortest, longest) = RENEWAL_INFO_INTERVAL;
        let wait = micros(ask_after).clamp(shortest, longest);
        self.ask_info_at = now.plus_micros(wait);
    }

    /// The CA suggests nothing, or could not be asked.
    pub(super) fn handle_no_renewal_info(&mut self, now: UtcTime) {
        self.ask_info_at = now.plus_micros(RENEWAL_INFO_RETRY);
    }

    /// The operator has reloaded: `covers` says whether what is served has every
    /// name that is wanted now. A wait of our own choice ends, one of the CA's
    /// does not.
    pub(super) fn handle_reload(&mut self, now: UtcTime, covers: bool) {
        if let Some(held) = &mut self.held {
            held.covers = covers;
        }
        let refused = self.attempts.hard > 0;
        let last = UtcTime::from_unix_micros(self.attempts.last);
        let earliest = match refused {
            true => last.plus_micros(MIN_BETWEEN_WISHES).max(now),
            false => now,
        };
        let backoff = &mut self.attempts.backoff_until;
        *backoff = (*backoff).min(earliest.as_unix_micros());
    }

    /// What has to be kept over a restart.
    pub(super) const fn attempts(&self) -> Attempts {
        self.attempts
    }

    /// When the next order is due, if all stays as it is.
    pub(super) fn due(&self, now: UtcTime) -> UtcTime {
        // A clock that was set back must not turn minutes into years.
        let longest = LIMITED_BACKOFF.longest + LIMITED_BACKOFF.longest / 4;
        let backoff = self.attempts.backoff_until;
        let backoff = backoff.min(now.plus_micros(longest).as_unix_micros());
        let held = self.attempts.held_until;
        let held = held.min(now.plus_micros(MAX_RETRY_AFTER).as_unix_micros());
        let allowed = UtcTime::from_unix_micros(backoff.max(held));
        match self.held {
            Some(held) if held.covers => self.renewal(held.validity).max(allowed),
            _ => allowed,
        }
    }

    fn back_off(&mut self, now: UtcTime, wait: i64) {
        let jitter = wait as f64 * JITTER * self.rng.random::<f64>();
        let until = now.plus_micros(wait + jitter as i64);
        self.attempts.backoff_until = until.as_unix_micros();
    }

    /// By the lifetime and the CA's suggestion together.
    fn renewal(&self, validity: Validity) -> UtcTime {
        let Some(suggested) = self.by_info else {
            return self.by_lifetime;
        };
        let last = UtcTime::from_unix_micros(self.attempts.last);
        let suggested = suggested.max(last.plus_micros(MIN_BETWEEN_SUGGESTED));
        let latest = match self.renew_before {
            Some(_) => self.by_lifetime,
            // Late enough for any suggestion that makes sense, early enough to
            // survive days of failures.
            None => validity.not_after.plus_micros(-(validity.lifetime() / 6)),
        };
        suggested.min(latest)
    }

    /// When `validity` alone says that it is time.
    fn renewal_of(&mut self, validity: Validity) -> UtcTime {
        let lifetime = validity.lifetime();
        // More than two thirds would be renewing all the time.
        let before = self.renew_before.map_or(lifetime / 3, micros);
        let before = before.min(lifetime / 3 * 2);
        let jitter = before as f64 * RENEWAL_JITTER * self.rng.random::<f64>();
        validity.not_after.plus_micros(-(before + jitter as i64))
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
