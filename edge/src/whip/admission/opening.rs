//! From a judged offer to a session on a worker, or a refusal.
//!
//! ```text
//!  enter in the directory ─▶ Session::accept ─▶ Command::Open ─▶ the origin's word
//! ```
//!
//! Each admission is a task of its own, not a part of the request: when the
//! presenter hangs up in the middle, hyper drops the request's future, and a
//! session that the origin accepts a moment later would block the stream. Here
//! the task sees that nobody waits any more and ends the session.

use std::{
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use inlet_common::{clock, ids::SessionId, reason::ReasonCode, roq::control::CloseReason};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::Instrument as _;

use super::{Gateway, refusal};
use crate::{
    trace::{Notice, mask},
    whip::{
        metrics,
        resource::{Place, Secret},
        sdp::Offer,
        session::{AcceptError, Answer, Session},
        trickle::IceSession,
    },
    worker::{Command, OpenRequest, Refusal},
};

/// Added to a worker's own `open_timeout` before we stop waiting for it.
const WORKER_GRACE: Duration = Duration::from_secs(1);

/// A session that may publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Stands in its URL.
    pub secret: Secret,
    /// The entity tag of its ICE session, without quotes.
    pub etag: String,
    /// The SDP answer.
    pub answer: String,
    /// Whose all this is.
    pub session: SessionId,
}

/// A session that waits for the origin's word.
struct Begun {
    opened: Opened,
    place: Place,
    reply: oneshot::Receiver<Result<(), Refusal>>,
}

impl Gateway {
    /// Answers an offer and asks the origin.
    ///
    /// # Errors
    ///
    /// The origin's refusal, or [`ReasonCode::Overload`] when there is no room
    /// here, or one of 2100 to 2103 when the engine cannot take the offer.
    pub async fn open(
        self: &Arc<Self>,
        offer: Offer<'_>,
        request: OpenRequest,
        source: IpAddr,
    ) -> Result<Opened, Refusal> {
        self.check_open()?;
        let busy = |_| refusal(ReasonCode::Overload, "too many offers at once");
        let permit = Arc::clone(&self.admissions)
            .try_acquire_owned()
            .map_err(busy)?;
        let session = SessionId::random();
        let span = tracing::info_span!("whip", %session, stream = %request.path.stream);
        let begun = span.in_scope(|| {
            warn_of_missing(&offer);
            self.begin(offer, session, request, source)
        })?;
        let (tell, told) = oneshot::channel();
        let task = Arc::clone(self).see_through(permit, begun, tell);
        tokio::spawn(task.instrument(span));
        match tokio::time::timeout(self.open_timeout + WORKER_GRACE, told).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(refusal(ReasonCode::Overload, "a worker does not answer")),
        }
    }

    /// Enters the session and hands it to its worker.
    fn begin(
        &self,
        offer: Offer<'_>,
        session: SessionId,
        mut request: OpenRequest,
        source: IpAddr,
    ) -> Result<Begun, Refusal> {
        let (secret, place) = self.enter(session)?;
        request.key = Some(secret.key());
        let stream = request.path.stream;
        self.book.begin(clock::utc(), session, secret, stream);
        if let Some(tally) = &self.tally {
            tally.begin(session, source);
        }
        self.note(
            session,
            Notice::Posted {
                source: mask::address(source),
                user_agent: request.user_agent.clone(),
                offer: mask::sdp(offer.text),
            },
        );
        let begun = self.hand_over(offer, place, request);
        let (answer, reply) = begun.inspect_err(|_| self.forget(session))?;
        let answered = mask::sdp(&answer.sdp);
        self.note(session, Notice::Answered { answer: answered });
        let ice = IceSession::new(answer.ice);
        let opened = Opened {
            secret,
            etag: ice.etag.clone(),
            answer: answer.sdp,
            session,
        };
        self.directory.keep_ice(&secret, ice);
        Ok(Begun {
            opened,
            place,
            reply,
        })
    }

    fn enter(&self, session: SessionId) -> Result<(Secret, Place), Refusal> {
        let is_fit = |at: usize| {
            let worker = self.workers.get(at);
            worker.is_some_and(|it| it.is_link_up() && it.load() <= self.max_load)
        };
        self.directory
            .enter(session, is_fit)
            .map_err(|_| refusal(ReasonCode::Overload, "as many sessions as may be"))
    }

    fn hand_over(
        &self,
        offer: Offer<'_>,
        place: Place,
        request: OpenRequest,
    ) -> Result<(Answer, oneshot::Receiver<Result<(), Refusal>>), Refusal> {
        let overload = || refusal(ReasonCode::Overload, "a worker takes no more");
        let worker = self.workers.get(place.worker).ok_or_else(overload)?;
        let accept = || {
            Session::accept(
                offer.text,
                place.session,
                worker.addresses(),
                &self.sessions,
                clock::now(),
                &mut rand::rng(),
            )
        };
        let (session, answer) = unless_it_panics(accept)?.map_err(|error| unanswerable(&error))?;
        let (reply, replied) = oneshot::channel();
        let open = Command::Open {
            session: Box::new(session),
            request,
            reply,
        };
        worker.send(open).map_err(|_| overload())?;
        Ok((answer, replied))
    }

    /// Waits for the worker, however long, and ends what nobody waits for.
    async fn see_through(
        self: Arc<Self>,
        _permit: OwnedSemaphorePermit,
        begun: Begun,
        tell: oneshot::Sender<Result<Opened, Refusal>>,
    ) {
        let _admission = metrics::Admission::begin();
        let Begun {
            opened,
            place,
            reply,
        } = begun;
        let secret = opened.secret;
        let gone = || Err(refusal(ReasonCode::Overload, "a worker has ended"));
        match reply.await.unwrap_or_else(|_| gone()) {
            Ok(()) => {
                if tell.send(Ok(opened)).is_err() {
                    tracing::info!("nobody waits for the answer any more");
                    metrics::abandoned();
                    self.close(&secret, CloseReason::NeverConnected).await;
                }
            }
            Err(refusal) => {
                tracing::info!(code = refusal.code.as_u16(), "refused");
                self.forget(place.session);
                // The presenter may have gone; then there is nobody to tell.
                tell.send(Err(refusal)).ok();
            }
        }
    }
}

fn warn_of_missing(offer: &Offer<'_>) {
    if !offer.has_video {
        tracing::warn!("the presenter sends no video");
    }
    if !offer.has_audio {
        tracing::warn!("the presenter sends no audio: viewers will hear silence");
    }
}

/// An offer that brings the engine down must cost its own presenter alone: without
/// this its session would stay entered, and hold a place, for good.
fn unless_it_panics<T>(accept: impl FnOnce() -> T) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(accept)).map_err(|_| {
        // The panic itself has been logged where it happened.
        tracing::error!("the engine panicked over an offer");
        refusal(ReasonCode::Malformed, "the offer cannot be read")
    })
}

fn unanswerable(error: &AcceptError) -> Refusal {
    // Sources can quote the offer, which holds the presenter's ICE password.
    tracing::info!(%error, "the offer cannot be answered");
    refusal(error.reason_code(), &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_over_an_offer_is_a_refusal() {
        assert_eq!(unless_it_panics(|| 7).unwrap(), 7);
        let refused = unless_it_panics::<()>(|| panic!("over an offer"));
        assert_eq!(refused.unwrap_err().code, ReasonCode::Malformed);
    }
}
