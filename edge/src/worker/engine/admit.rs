//! From an offer that asks to run, over the origin's word, to a running session;
//! and the ICE restarts of one that runs.

use std::time::Instant;

use inlet_common::{
    ids::{PublishPath, SessionId, StreamId},
    reason::ReasonCode,
    roq::control::{CloseReason, Track},
};
use tokio::sync::oneshot;

use super::Engine;
use crate::{
    roq::link,
    whip::session::{Restart, Session},
    worker::{OpenRequest, Refusal},
};

/// A presenter that draining turned away may try again here, or elsewhere,
/// after so many seconds.
const RETRY_AFTER: u32 = 5;

/// Tokens that the origin is being asked about; more are told to come back.
const MAX_CHECKS: usize = 256;

/// A session whose presenter waits for the origin's answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) session: Box<Session>,
    stream: StreamId,
    pub(super) link: link::Key,
    pub(super) reply: oneshot::Sender<Result<(), Refusal>>,
}

impl Engine {
    pub(super) fn open(
        &mut self,
        now: Instant,
        session: Box<Session>,
        request: OpenRequest,
        reply: oneshot::Sender<Result<(), Refusal>>,
    ) {
        if self.is_draining {
            return answer(reply, Err(draining()));
        }
        if self.table.len() + self.waiting.len() >= self.max_sessions {
            return answer(reply, Err(overload("no room for another session")));
        }
        let tracks: Vec<Track> = session.tracks().cloned().collect();
        let stream = request.path.stream;
        match self.link.open(now, session.id(), request, tracks) {
            Ok(link) => {
                let waiting = Waiting {
                    session,
                    stream,
                    link,
                    reply,
                };
                self.waiting.insert(waiting.session.id(), waiting);
            }
            Err(refusal) => answer(reply, Err(refusal)),
        }
    }

    /// The origin takes a session.
    pub(super) fn take_on(&mut self, now: Instant, id: SessionId) {
        let Some(Waiting {
            session,
            stream,
            link,
            reply,
        }) = self.waiting.remove(&id)
        else {
            return;
        };
        if reply.send(Ok(())).is_err() {
            // The presenter has hung up and will never learn of the session.
            self.link
                .close(now, link, CloseReason::Deleted, session.totals());
            return;
        }
        self.metrics.connecting.increment(1);
        let key = self.table.insert(*session, stream, link);
        self.with_session(now, key, |session| session.handle_timeout(now));
    }

    /// Asks the origin about a token.
    pub(super) fn check(
        &mut self,
        now: Instant,
        path: PublishPath,
        reply: oneshot::Sender<Result<(), Refusal>>,
    ) {
        // Whoever has given up waiting makes room.
        self.checks.retain(|_, reply| !reply.is_closed());
        if self.checks.len() >= MAX_CHECKS {
            return answer(reply, Err(overload("too many presenters at once")));
        }
        let request = uuid::Uuid::new_v4();
        match self.link.check(now, request, path) {
            Ok(()) => {
                self.checks.insert(request, reply);
            }
            Err(refusal) => answer(reply, Err(refusal)),
        }
    }

    /// Gets a session ready for new ICE credentials; `false` when it has ended.
    pub(super) fn restart(&mut self, id: SessionId, restart: Box<Restart>) -> bool {
        let Some(key) = self.table.key_of(id) else {
            return false;
        };
        let ufrag = restart.ufrag().to_owned();
        let Some(running) = self.table.get_mut(key) else {
            return false;
        };
        if running.session.awaits_restart() {
            self.metrics.restarts_unused.increment(1);
        }
        let is_alive = running.session.restart(restart);
        if is_alive {
            self.table.await_ufrag(key, &ufrag);
        }
        is_alive
    }
}

fn overload(message: &str) -> Refusal {
    Refusal {
        code: ReasonCode::Overload,
        message: message.to_owned(),
        retry_after: Some(RETRY_AFTER),
    }
}

pub(super) fn draining() -> Refusal {
    Refusal {
        code: ReasonCode::Draining,
        message: "about to stop".to_owned(),
        retry_after: Some(RETRY_AFTER),
    }
}

pub(super) fn answer(reply: oneshot::Sender<Result<(), Refusal>>, with: Result<(), Refusal>) {
    if reply.send(with).is_err() {
        tracing::debug!("presenter has hung up");
    }
}
