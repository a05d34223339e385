//! Who is live, and what the API sees of it.
//!
//! The directory is the one place where two presenters of a stream meet, so
//! every decision about them is made under its lock, which is held for a map
//! look-up and never across a wait.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use inlet_common::{
    clock::UtcTime,
    ids::{ClientId, SessionId, StreamId},
    roq::control::CloseReason,
};
use tokio::sync::mpsc;

use super::broadcast::Command;
use crate::{roq::flow::Media, transcode::ladder::Resolution};

/// A running session that has sent nothing for so long is dead: a new presenter
/// with the right token takes over.
const DEAD_AFTER_MICROS: i64 = 3_000_000;

/// Every stream that is live, or was a minute ago.
#[derive(Debug, Default)]
pub struct Directory {
    streams: Mutex<BTreeMap<StreamId, Entry>>,
    /// Counts calls of [`Directory::end`]; see [`Directory::generation`].
    ended: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) client: ClientId,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) media: mpsc::Sender<Media>,
    pub(super) running: Option<Running>,
}

/// The presenter of a stream.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) session: SessionId,
    /// Counts its moves between connections.
    pub(super) epoch: u32,
    pub(super) last_media: LastMedia,
    pub(super) status: Status,
}

/// When a session was last heard of; shared with the task that hears it.
#[derive(Clone, Debug)]
pub(super) struct LastMedia(Arc<AtomicI64>);

impl LastMedia {
    pub(super) fn new(at: UtcTime) -> Self {
        Self(Arc::new(AtomicI64::new(at.as_unix_micros())))
    }

    pub(super) fn set(&self, at: UtcTime) {
        self.0.store(at.as_unix_micros(), Ordering::Relaxed);
    }

    pub(super) fn is_after(&self, moment: UtcTime) -> bool {
        self.0.load(Ordering::Relaxed) > moment.as_unix_micros()
    }

    pub(super) fn micros_ago(&self, now: UtcTime) -> i64 {
        now.as_unix_micros()
            .saturating_sub(self.0.load(Ordering::Relaxed))
    }
}

/// What the API tells of a live stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// When its presenter began.
    pub started_at: UtcTime,
    /// The PoP through which it comes in.
    pub region: String,
    /// Size of the presenter's picture, once known.
    pub source: Option<Resolution>,
    /// Names of the rungs being made, tallest first (`720p`, …).
    pub qualities: Vec<String>,
    /// Media seconds made per second; under 1.0 the machine cannot keep up.
    pub speed: Option<f64>,
    /// Frames per second of every rung.
    pub frame_rate: Option<u32>,
}

impl Status {
    pub(super) fn new(started_at: UtcTime, region: String) -> Self {
        Self {
            started_at,
            region,
            source: None,
            qualities: Vec::new(),
            speed: None,
            frame_rate: None,
        }
    }
}

impl Directory {
    /// What is known of a stream, `None` when it is not live.
    pub fn status(&self, stream: StreamId) -> Option<Status> {
        let streams = self.lock();
        streams
            .get(&stream)?
            .running
            .as_ref()
            .map(|running| running.status.clone())
    }

    /// Every live stream, in the order of ids.
    pub fn live(&self) -> Vec<(StreamId, Status)> {
        let streams = self.lock();
        streams
            .iter()
            .filter_map(|(id, entry)| Some((*id, entry.running.as_ref()?.status.clone())))
            .collect()
    }

    /// How many streams are live.
    pub fn live_count(&self) -> usize {
        self.lock()
            .values()
            .filter(|entry| entry.running.is_some())
            .count()
    }

    /// Ends a stream's running session, if there is one: its presenter is told
    /// and viewers see the end. With [`CloseReason::StreamDeleted`] its output
    /// goes too. Tells whether the stream was live.
    pub fn end(&self, stream: StreamId, reason: CloseReason) -> bool {
        self.ended.fetch_add(1, Ordering::SeqCst);
        let streams = self.lock();
        let Some(entry) = streams.get(&stream) else {
            return false;
        };
        entry.tell(Command::EndStream { reason });
        entry.running.is_some()
    }

    /// Counts up whenever any stream is ended. Who reads it, asks the registry,
    /// and finds it unchanged under the lock knows that no token was reset in
    /// between.
    pub(super) fn generation(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }

    /// Live streams of a client besides `except`.
    pub(super) fn live_of(&self, client: ClientId, except: StreamId) -> u32 {
        let count = self
            .lock()
            .iter()
            .filter(|(id, entry)| {
                **id != except && entry.client == client && entry.running.is_some()
            })
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Changes what is told of a session that still runs.
    pub(super) fn update(
        &self,
        stream: StreamId,
        session: SessionId,
        change: impl FnOnce(&mut Status),
    ) {
        if let Some(running) = self
            .lock()
            .get_mut(&stream)
            .and_then(|entry| entry.running.as_mut())
            && running.session == session
        {
            change(&mut running.status);
        }
    }

    /// Notes that a session is over; a newer one is left alone.
    pub(super) fn finish(&self, stream: StreamId, session: SessionId) {
        if let Some(entry) = self.lock().get_mut(&stream)
            && entry
                .running
                .as_ref()
                .is_some_and(|running| running.session == session)
        {
            entry.running = None;
        }
    }

    /// Forgets a stream whose task is about to end; `false` when a presenter
    /// has come back meanwhile.
    pub(super) fn retire(&self, stream: StreamId) -> bool {
        let mut streams = self.lock();
        let is_idle = streams
            .get(&stream)
            .is_none_or(|entry| entry.running.is_none());
        if is_idle {
            streams.remove(&stream);
        }
        is_idle
    }

    /// Tells the stream that runs this session.
    pub(super) fn tell_session(&self, session: SessionId, command: Command) {
        let streams = self.lock();
        let entry = streams.values().find(|entry| {
            entry
                .running
                .as_ref()
                .is_some_and(|running| running.session == session)
        });
        if let Some(entry) = entry {
            entry.tell(command);
        }
    }

    /// Tells every stream.
    pub(super) fn tell_all(&self, command: impl Fn() -> Command) {
        for entry in self.lock().values() {
            entry.tell(command());
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamId, Entry>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Commands are few: one per OPEN, CLOSE or API call, so their queue needs
    /// no bound of its own. A closed queue belongs to a task that just ended.
    pub(super) fn tell(&self, command: Command) {
        if self.commands.send(command).is_err() {
            tracing::debug!("command to a stream that has just ended");
        }
    }
}

impl Running {
    /// Whether a new presenter may take this one's place.
    pub(super) fn is_dead(&self, now: UtcTime) -> bool {
        self.last_media.micros_ago(now) >= DEAD_AFTER_MICROS
    }
}
