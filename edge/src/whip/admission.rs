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
    fmt,
    hash::RandomState,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use inlet_common::{
    clock,
    ids::{PublishPath, SessionId},
    lifecycle::{Lifecycle, Phase},
    reason::ReasonCode,
    roq::{
        control::{CloseReason, Totals},
        pop::Load,
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tracing::Instrument as _;

use super::{
    metrics,
    rate::{Caller, Charge, Limited, Refusals, Rule},
    resource::{Directory, Place, Secret},
    sdp::Offer,
    session::{AcceptError, Addresses, Answer, Config as SessionConfig, Session},
    trickle::IceSession,
};
use crate::{
    fleet,
    placement::Tally,
    trace::{Book, Notice, mask},
    worker::{self, Command, Event, Hearing, OpenRequest, Refusal, SendError},
};

/// Added to a worker's own `open_timeout` before we stop waiting for it.
const WORKER_GRACE: Duration = Duration::from_secs(1);

/// Pause before a full command channel is tried again; a worker empties it
/// once per turn, which takes a millisecond.
const RETRY: Duration = Duration::from_millis(2);

/// Tries before a worker that takes no command counts as dead.
const MAX_TRIES: usize = 1_000;

/// One worker, as seen from the tokio side.
pub trait Worker: Send + Sync + fmt::Debug {
    /// Puts a command into the worker's channel; never blocks. A command that
    /// is not taken is dropped, and with it its session.
    ///
    /// # Errors
    ///
    /// When the channel is full or the worker is gone.
    fn send(&self, command: Command) -> Result<(), SendError>;

    /// The addresses that its sessions are reached at.
    fn addresses(&self) -> &Addresses;

    /// Whether it can ask the origin right now.
    fn is_link_up(&self) -> bool;

    /// Share of its time that it works, from 0 to 1.
    fn load(&self) -> f64;
}

impl Worker for worker::Handle {
    fn send(&self, command: Command) -> Result<(), SendError> {
        Self::send(self, command)
    }

    fn addresses(&self) -> &Addresses {
        Self::addresses(self)
    }

    fn is_link_up(&self) -> bool {
        Self::is_link_up(self)
    }

    fn load(&self) -> f64 {
        Self::load(self)
    }
}

/// How much is admitted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most sessions at once.
    pub max_sessions: usize,
    /// Most offers that are being answered at once; more are told to come back.
    pub max_admissions: usize,
    /// A worker whose load is higher takes no new session.
    pub max_load: f64,
    /// How long a worker waits for the origin.
    pub open_timeout: Duration,
    /// How often a stream key, and a source, may be refused.
    pub refused: Rule,
}

/// The way in: all workers, and who is on them.
#[derive(Debug)]
pub struct Gateway {
    pub(super) workers: Vec<Arc<dyn Worker>>,
    sessions: SessionConfig,
    pub(super) directory: Directory,
    admissions: Arc<Semaphore>,
    max_load: f64,
    open_timeout: Duration,
    refusals: Mutex<Refusals>,
    lifecycle: Lifecycle,
    book: Book,
    fleet: Arc<fleet::Reports>,
    /// Where presenters are; `None` where nothing is known of a fleet.
    tally: Option<Arc<Tally>>,
    /// Workers that have told that no session is left.
    drained: watch::Sender<usize>,
}

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
    /// Makes the way in to `workers`, at least one; `tally` counts who comes.
    pub fn new(
        workers: Vec<Arc<dyn Worker>>,
        sessions: SessionConfig,
        limits: Limits,
        lifecycle: Lifecycle,
        tally: Option<Arc<Tally>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            directory: Directory::new(workers.len(), limits.max_sessions),
            workers,
            sessions,
            admissions: Arc::new(Semaphore::new(limits.max_admissions)),
            max_load: limits.max_load,
            open_timeout: limits.open_timeout,
            refusals: Mutex::new(Refusals::new(limits.refused, RandomState::new())),
            lifecycle,
            book: Book::default(),
            fleet: Arc::default(),
            tally,
            drained: watch::Sender::new(0),
        })
    }

    /// Tells whether anybody is let in at all.
    ///
    /// # Errors
    ///
    /// [`ReasonCode::Draining`] from the moment the process drains;
    /// [`ReasonCode::Overload`] while all workers are too busy, or have as many
    /// sessions as may be.
    pub fn check_open(&self) -> Result<(), Refusal> {
        if self.lifecycle.phase() >= Phase::Draining {
            return Err(refusal(
                ReasonCode::Draining,
                "this server is about to stop: try again, another one will answer",
            ));
        }
        let is_busy = |worker: &Arc<dyn Worker>| worker.load() > self.max_load;
        if self.workers.iter().all(is_busy) || self.directory.is_full() {
            let what = "this server has as much to do as it can: try again, or elsewhere";
            return Err(refusal(ReasonCode::Overload, what));
        }
        Ok(())
    }

    /// Share of what may be taken on that is: of sessions, or of the workers' time if
    /// that is more. Full is where [`Gateway::check_open`] refuses.
    pub fn load(&self) -> Load {
        let shares = self.workers.iter();
        let shares = shares.map(|worker| Load::new(worker.load() / self.max_load).share());
        let busy = Load::new(shares.sum::<f64>() / self.workers.len() as f64);
        busy.max(self.directory.load())
    }

    /// Why an offer would be refused now whatever it says, if it would: another
    /// point of presence may do better.
    pub fn inability(&self) -> Option<ReasonCode> {
        match self.check_open() {
            Err(refusal) => Some(refusal.code),
            Ok(()) if !self.has_origin() => Some(ReasonCode::NoOrigin),
            Ok(()) if self.admissions.available_permits() == 0 => Some(ReasonCode::Overload),
            Ok(()) => None,
        }
    }

    /// Why nobody is taken until further notice, if so: it drains, or has no origin. One
    /// that is only full tells that by its load.
    pub fn closure(&self) -> Option<Refusal> {
        match self.check_open() {
            Err(refusal) if refusal.code == ReasonCode::Draining => Some(refusal),
            Ok(()) | Err(_) => (!self.has_origin()).then(no_origin),
        }
    }

    /// Asks the origin whether a token is right for its stream.
    ///
    /// # Errors
    ///
    /// The origin's refusal, or why it could not be asked.
    pub async fn check_token(&self, path: PublishPath) -> Result<(), Refusal> {
        let mut workers = self.workers.iter();
        let worker = workers.find(|worker| worker.is_link_up());
        let worker = worker.ok_or_else(no_origin)?;
        let (reply, told) = oneshot::channel();
        let check = Command::Check { path, reply };
        worker.send(check).map_err(|_| no_origin())?;
        told.await.unwrap_or_else(|_| Err(no_origin()))
    }

    /// Tells whether an offer from there may be made at all. Whom it is charged
    /// to comes back, for [`Gateway::note_refusal`].
    ///
    /// # Errors
    ///
    /// [`Limited`] after too many refused ones.
    pub fn check_rate(
        &self,
        source: IpAddr,
        path: Option<&PublishPath>,
    ) -> Result<Caller, Limited> {
        let refusals = self.refusals();
        let caller = refusals.caller(source, path);
        refusals.check(caller, clock::now())?;
        Ok(caller)
    }

    /// An offer has been refused through its presenter's own fault.
    pub fn note_refusal(&self, caller: Caller, charge: Charge) {
        let forgotten = self.refusals().note(caller, charge, clock::now());
        metrics::forgotten(forgotten);
    }

    /// Notes that somebody from there asks for a session that there is not.
    ///
    /// # Errors
    ///
    /// [`Limited`] after too many.
    pub fn note_guess(&self, source: IpAddr) -> Result<(), Limited> {
        let (guess, forgotten) = self.refusals().guess(source, clock::now());
        metrics::forgotten(forgotten);
        guess
    }

    /// A panic elsewhere does not make them wrong.
    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

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

    /// Where the session of this URL is; `None` when it has ended.
    pub fn find(&self, secret: &Secret) -> Option<Place> {
        self.directory.find(secret)
    }

    /// Ends the session of this URL; `false` when it has ended already.
    pub async fn close(&self, secret: &Secret, reason: CloseReason) -> bool {
        let Some(place) = self.directory.take(secret) else {
            return false;
        };
        if let Some(worker) = self.workers.get(place.worker) {
            let session = place.session;
            deliver(worker.as_ref(), || Command::Close { session, reason }).await;
        }
        true
    }

    /// Whether any worker can ask the origin.
    pub fn has_origin(&self) -> bool {
        self.workers.iter().any(|worker| worker.is_link_up())
    }

    /// Every session and its worker.
    pub fn places(&self) -> Vec<Place> {
        self.directory.places()
    }

    /// How many sessions each worker has.
    pub fn loads(&self) -> Vec<usize> {
        self.directory.loads()
    }

    /// Takes in what workers tell, until they have all ended.
    pub async fn listen(&self, mut hearing: Hearing) {
        while let Some(event) = hearing.recv().await {
            match event {
                Event::Noticed {
                    session,
                    at,
                    notice,
                } => {
                    if let Some(tally) = &self.tally {
                        tally.note(session, &notice);
                    }
                    self.book.note(at, session, notice);
                }
                Event::Allotted { stream, at, notice } => {
                    self.book.note_stream(at, stream, notice);
                }
                Event::Ended { session, reason } => {
                    self.directory.remove(session);
                    if let Some(tally) = &self.tally {
                        tally.end(session);
                    }
                    // In case the notice of it was left out.
                    let totals = Totals::default();
                    self.note(session, Notice::Ended { reason, totals });
                }
                Event::Fleet { at, fleet } => self.fleet.handle_fleet(at, &fleet),
                Event::Drained => self.drained.send_modify(|workers| *workers += 1),
            }
        }
    }

    /// What happened to each session.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// How the points of presence do.
    pub const fn fleet(&self) -> &Arc<fleet::Reports> {
        &self.fleet
    }

    /// Where presenters are; `None` where nothing is known of a fleet.
    pub const fn tally(&self) -> Option<&Arc<Tally>> {
        self.tally.as_ref()
    }

    /// A session was given so many ICE servers.
    pub fn note_links(&self, opened: &Opened, urls: usize) {
        self.note(opened.session, Notice::LinksIssued { urls });
    }

    pub(super) fn note(&self, session: SessionId, notice: Notice) {
        self.book.note(clock::utc(), session, notice);
    }

    /// A session that never began.
    fn forget(&self, session: SessionId) {
        self.directory.remove(session);
        self.book.forget(session);
        if let Some(tally) = &self.tally {
            tally.forget(session);
        }
    }

    /// Asks every worker to take no new session; returns when none is left.
    pub async fn drain(&self) {
        for worker in &self.workers {
            deliver(worker.as_ref(), || Command::Drain).await;
        }
        let mut drained = self.drained.subscribe();
        let all = self.workers.len();
        // The sender lives in `self`, so waiting cannot fail.
        drained.wait_for(|workers| *workers >= all).await.ok();
    }

    /// Asks every worker to end its sessions and itself.
    pub async fn stop(&self) {
        for worker in &self.workers {
            deliver(worker.as_ref(), || Command::Stop).await;
        }
    }
}

/// Puts a command that must not be lost into a channel that may be full.
async fn deliver(worker: &dyn Worker, command: impl Fn() -> Command) {
    for _ in 0..MAX_TRIES {
        match worker.send(command()) {
            Ok(()) => return,
            // Nothing runs there any more: whatever was asked has come to pass.
            Err(SendError::Stopped) => return,
            Err(SendError::Full) => tokio::time::sleep(RETRY).await,
        }
    }
    tracing::error!(?worker, "a worker takes no commands");
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

fn no_origin() -> Refusal {
    refusal(ReasonCode::NoOrigin, "no origin can be reached")
}

fn refusal(code: ReasonCode, message: &str) -> Refusal {
    Refusal {
        code,
        message: message.to_owned(),
        retry_after: None,
    }
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
