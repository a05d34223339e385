//! Who is taken: the workers and their room, the origin's word, and the sessions that
//! there are. How a session comes about is in `opening`.

use std::{
    fmt,
    hash::RandomState,
    net::IpAddr,
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
use tokio::sync::{Semaphore, oneshot, watch};

use super::{
    metrics,
    rate::{Caller, Charge, Limited, Refusals, Rule},
    resource::{Directory, Place, Secret},
    session::{Addresses, Config as SessionConfig},
};
use crate::{
    fleet,
    placement::Tally,
    trace::{Book, Notice},
    worker::{self, Command, Event, Hearing, Refusal, SendError},
};

/// Pause before a full command channel is tried again; a worker empties it
/// once per turn, which takes a millisecond.
const RETRY: Duration = Duration::from_millis(2);

/// Tries before a worker that takes no command counts as dead.
const MAX_TRIES: usize = 1_000;

mod opening;
mod outage;

pub use opening::Opened;
use outage::Outage;

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
    outage: Outage,
    lifecycle: Lifecycle,
    book: Book,
    fleet: Arc<fleet::Reports>,
    /// Where presenters are; `None` where nothing is known of a fleet.
    tally: Option<Arc<Tally>>,
    /// Workers that have told that no session is left.
    drained: watch::Sender<usize>,
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
            outage: Outage::default(),
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
            Ok(()) | Err(_) => self.is_cut_off().then(no_origin),
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

    /// Whether no worker can ask the origin, and not for a moment only.
    pub fn is_cut_off(&self) -> bool {
        self.outage.look(clock::now(), self.has_origin())
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
