//! Runs an engine on its links; see `engine` for the order of things.

use std::{
    future::poll_fn,
    task::Poll,
    time::{Duration, Instant},
};

use inlet_common::clock;
use tokio::time::{sleep_until, timeout_at};

use super::{
    Error,
    engine::{Engine, Output, Side},
    link::Link,
};

/// A probe under way.
pub(super) struct Drive<E, L> {
    engine: E,
    /// One for each side.
    links: Vec<L>,
    begun: Instant,
    found: Option<Result<Duration, Error>>,
}

impl<E: Engine, L: Link> Drive<E, L> {
    /// `begun` is when the way to the server was begun to be opened.
    pub(super) fn new(engine: E, links: Vec<L>, begun: Instant) -> Self {
        Self {
            engine,
            links,
            begun,
            found: None,
        }
    }

    /// Runs it to its end, or until `limit`; how long it took until it was proven.
    pub(super) async fn run(mut self, limit: Instant) -> Result<Duration, Error> {
        let is_over = timeout_at(limit.into(), self.follow()).await;
        if is_over.is_err() {
            tracing::trace!("a probe ends without its goodbye");
        }
        self.found.unwrap_or(Err(Error::Timeout))
    }

    async fn follow(&mut self) {
        while let Some(at) = self.drain().await {
            tokio::select! {
                (side, received) = receive(&mut self.links) => match received {
                    Ok(message) => {
                        self.engine.handle_message(clock::now(), side, &message);
                    }
                    Err(error) => self.engine.handle_closed(error),
                },
                () = sleep_until(at.into()) => {}
            }
            // Also behind a message: a server that never stops would be listened to
            // for ever.
            self.engine.handle_timeout(clock::now());
        }
        for link in &mut self.links {
            link.close().await;
        }
    }

    /// Does what the engine wants; when it wants to be called again.
    async fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.engine.poll_output() {
                Output::Transmit { side, message } => {
                    let Some(link) = self.links.get_mut(side as usize) else {
                        continue;
                    };
                    if let Err(error) = link.send(&message).await {
                        self.engine.handle_closed(error);
                    }
                }
                Output::Verdict(verdict) => {
                    let took = clock::now().saturating_duration_since(self.begun);
                    self.found = Some(verdict.map(|()| took));
                }
                Output::Timeout(at) => return at,
            }
        }
    }
}

/// The next message of any link.
async fn receive<L: Link>(links: &mut [L]) -> (Side, Result<Vec<u8>, Error>) {
    poll_fn(|context| {
        for (side, link) in [Side::First, Side::Second]
            .into_iter()
            .zip(links.iter_mut())
        {
            if let Poll::Ready(received) = link.poll_receive(context) {
                return Poll::Ready((side, received));
            }
        }
        Poll::Pending
    })
    .await
}
