//! Whether a TURN server relays: two allocations that send to each other (RFC 8656).
//!
//! ```text
//!      first                         server                         second
//!        │ Allocate ─▶ 401, with credential ─▶ success, by both        │
//!        │ CreatePermission ─▶                         ◀─ ChannelBind  │
//!        │ Send indication ─────▶ relayed ▶ relayed ─────▶ ChannelData │
//!        │ Data indication ◀───── relayed ◀ relayed ◀───── ChannelData │
//!        │ Refresh, lifetime 0 ─▶                      ◀─ Refresh, 0   │
//! ```
//!
//! Peers that the server's policy must permit: each is one of its own relayed
//! addresses, which the default policy of an Inlet edge permits and no other needs to.
//!
//! Six round trips by TLS, the handshakes included, and one more to take leave. The
//! leave is taken whatever the verdict: a probe that leaves allocations behind would
//! fill the server that it looks after.

mod leg;
mod session;
#[cfg(test)]
pub(super) mod tests;

use std::time::Instant;

use rand::rngs::StdRng;

use self::leg::{Leg, Role};
use super::{
    Error,
    engine::{Engine, Output, Side},
    patience::{Budget, FAREWELL, LONGEST_FAREWELL},
    target::Credential,
};

/// Both clients of a probe.
#[derive(Debug)]
pub(super) struct Exchange {
    first: Leg,
    second: Leg,
    rng: StdRng,
    /// When the steps under way must be done.
    budget: Budget,
    /// How many are, of both.
    steps: u32,
    /// When it goes without a goodbye, once there is a verdict.
    farewell: Option<Instant>,
    /// When data are sent again, once they may be.
    again: Option<Instant>,
    verdict: Verdict,
    is_over: bool,
}

/// Where the verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Open,
    Found(Result<(), Error>),
    Told,
}

impl Exchange {
    /// Begins at `now`, when both clients are connected, and takes no longer than
    /// `budget` has left. Without a credential it is content with a server that asks for
    /// one.
    pub(super) fn new(
        now: Instant,
        budget: Budget,
        is_reliable: bool,
        credential: Option<&Credential>,
        mut rng: StdRng,
    ) -> Self {
        let mut leg = |role| Leg::new(now, role, is_reliable, credential.cloned(), &mut rng);
        Self {
            first: leg(Role::Permission),
            second: leg(Role::Channel),
            rng,
            budget,
            steps: 0,
            farewell: None,
            again: None,
            verdict: Verdict::Open,
            is_over: false,
        }
    }

    /// Does what both legs together have come to.
    fn advance(&mut self, now: Instant) {
        let Self {
            first, second, rng, ..
        } = self;
        if self.verdict != Verdict::Open {
            self.is_over |= first.has_left() && second.has_left();
            return;
        }
        let steps = first.steps() + second.steps();
        if steps > self.steps {
            self.steps = steps;
            self.budget.advance(now);
        }
        if first.is_challenged() && second.is_challenged() {
            return self.conclude(now, Ok(()));
        }
        if let (Some(one), Some(other)) = (first.unpermitted(), second.unpermitted()) {
            first.permit(now, other, rng);
            second.permit(now, one, rng);
        } else if first.has_heard() && second.has_heard() {
            self.conclude(now, Ok(()));
        } else if self.may_send() && self.again.is_none_or(|at| at <= now) {
            self.send(now);
        }
    }

    fn may_send(&self) -> bool {
        self.first.is_permitted() && self.second.is_permitted()
    }

    /// Datagrams between relayed addresses may be lost on any transport.
    fn send(&mut self, now: Instant) {
        self.first.send(&mut self.rng);
        self.second.send(&mut self.rng);
        self.again = Some(now + self.first.rto());
    }

    fn conclude(&mut self, now: Instant, verdict: Result<(), Error>) {
        self.verdict = Verdict::Found(verdict);
        let farewell = self.first.rto().clamp(FAREWELL, LONGEST_FAREWELL);
        self.farewell = Some(now + farewell);
        self.again = None;
        self.first.leave(now, &mut self.rng);
        self.second.leave(now, &mut self.rng);
        self.is_over = self.first.has_left() && self.second.has_left();
    }

    /// What is wrong when the time is over.
    fn why_late(&self) -> Error {
        if self.may_send() {
            Error::Relay
        } else if self.first.is_violated() || self.second.is_violated() {
            Error::Integrity
        } else {
            Error::Timeout
        }
    }

    fn deadline(&self) -> Instant {
        self.farewell.unwrap_or_else(|| self.budget.deadline())
    }

    fn next_timeout(&self) -> Option<Instant> {
        let legs = [&self.first, &self.second];
        let again = legs.into_iter().filter_map(Leg::next_timeout);
        let again = again.chain(self.again).chain([self.deadline()]).min();
        again.filter(|_| !self.is_over)
    }
}

impl Engine for Exchange {
    fn handle_message(&mut self, now: Instant, side: Side, message: &[u8]) {
        let (leg, other) = match side {
            Side::First => (&mut self.first, &self.second),
            Side::Second => (&mut self.second, &self.first),
        };
        match leg.handle_message(now, message, other.payload(), &mut self.rng) {
            // Of what comes behind the verdict, only whether it takes leave matters.
            Err(error) if self.verdict == Verdict::Open => self.conclude(now, Err(error)),
            Ok(()) | Err(_) => self.advance(now),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.deadline() {
            match self.verdict {
                Verdict::Open => self.conclude(now, Err(self.why_late())),
                Verdict::Found(_) | Verdict::Told => self.is_over = true,
            }
        }
        self.first.handle_timeout(now);
        self.second.handle_timeout(now);
        self.advance(now);
    }

    fn handle_closed(&mut self, error: Error) {
        if self.verdict == Verdict::Open {
            self.verdict = Verdict::Found(Err(error));
        }
        // With its connection a server gives an allocation up; and who cannot be
        // reached hears no goodbye.
        self.is_over = true;
    }

    fn poll_output(&mut self) -> Output {
        if let Verdict::Found(verdict) = self.verdict {
            self.verdict = Verdict::Told;
            return Output::Verdict(verdict);
        }
        if self.is_over {
            return Output::Timeout(None);
        }
        for (side, leg) in [
            (Side::First, &mut self.first),
            (Side::Second, &mut self.second),
        ] {
            if let Some(message) = leg.poll_transmit() {
                return Output::Transmit { side, message };
            }
        }
        Output::Timeout(self.next_timeout())
    }
}
