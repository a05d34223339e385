//! What engines of probes have in common, so that one driver runs them.
//!
//! How to drive one:
//!
//! 1. [`Engine::poll_output`] until it is a [`Output::Timeout`].
//! 2. When a message has come, [`Engine::handle_message`]; when the time-out has,
//!    [`Engine::handle_timeout`]; when a way is broken, [`Engine::handle_closed`].
//!    Then 1. again.
//! 3. [`Output::Verdict`] comes once. What comes behind it takes back what the server
//!    keeps for us; `Timeout(None)` is the end.

use std::time::Instant;

use super::Error;

/// Which of a probe's two clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Side {
    First,
    Second,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Output {
    /// Send a whole message, from this client.
    Transmit { side: Side, message: Vec<u8> },
    /// How it went.
    Verdict(Result<(), Error>),
    /// When [`Engine::handle_timeout`] is due; `None` when all is over.
    Timeout(Option<Instant>),
}

/// A probe's protocol, without sockets and clock.
pub(super) trait Engine {
    /// A datagram, or a frame of a stream, has come to this client.
    fn handle_message(&mut self, now: Instant, side: Side, message: &[u8]);

    /// The time-out has come, or another message might have come in its place.
    fn handle_timeout(&mut self, now: Instant);

    /// A way to the server is broken.
    fn handle_closed(&mut self, error: Error);

    /// What is to be done next.
    fn poll_output(&mut self) -> Output;
}
