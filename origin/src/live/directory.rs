//! Who is live, and what the API sees of it.
//!
//! The directory is the one place where two presenters of a stream meet, so
//! every decision about them is made under its lock, which is held for a map
//! look-up and never across a wait.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Instant,
};

use inlet_common::{
    clock::{UtcTime, micros_between},
    ids::{ClientId, SessionId, SessionKey, StreamId},
    roq::control::CloseReason,
};
use tokio::sync::mpsc;

use super::{
    broadcast::Command,
    on_air::OnAir,
    pass::Progress,
    room::{Full, Room, Taken},
};
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
    /// Takes the place of the running one at its own first key frame; there is
    /// none without a running one.
    pub(super) successor: Option<Running>,
}

/// The presenter of a stream.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) session: SessionId,
    /// Who shows the secret behind it may replace the session.
    pub(super) key: Option<SessionKey>,
    /// Counts its moves between connections, as in OPEN.
    pub(super) epoch: u32,
    pub(super) last_media: LastMedia,
    pub(super) status: Status,
}

/// When a session was last heard of, by a clock that nobody sets; shared with the task
/// that hears it.
#[derive(Clone, Debug)]
pub(super) struct LastMedia(Arc<Heard>);

#[derive(Debug)]
struct Heard {
    opened: Instant,
    micros_after: AtomicI64,
    /// Whether a packet has come at all; until then the time is that of the OPEN.
    any: AtomicBool,
}

impl LastMedia {
    /// Of a session that was opened at `at`, and has sent nothing yet.
    pub(super) fn new(at: Instant) -> Self {
        Self(Arc::new(Heard {
            opened: at,
            micros_after: AtomicI64::new(0),
            any: AtomicBool::new(false),
        }))
    }

    /// Notes a packet.
    pub(super) fn set(&self, at: Instant) {
        let after = micros_between(self.0.opened, at);
        self.0.micros_after.store(after, Ordering::Relaxed);
        self.0.any.store(true, Ordering::Relaxed);
    }

    /// Whether a packet has come since `moment`: an OPEN alone may be that of an
    /// offer whose presenter has given up.
    pub(super) fn is_after(&self, moment: Instant) -> bool {
        self.0.any.load(Ordering::Relaxed) && self.micros_ago(moment) < 0
    }

    pub(super) fn micros_ago(&self, now: Instant) -> i64 {
        let after = self.0.micros_after.load(Ordering::Relaxed);
        micros_between(self.0.opened, now).saturating_sub(after)
    }

    /// Whether a new presenter may take the place of this one.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        self.micros_ago(now) >= DEAD_AFTER_MICROS
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
    /// Whether rungs are missing there because the machine could not keep up.
    pub is_shedding: bool,
    /// Whether any of those should have fitted, so that the machine is to blame.
    pub is_starving: bool,
    /// What the rungs being made take of the machine, estimated; a guess until the
    /// source's size is known.
    pub cores: f64,
    /// Media seconds made per second; under 1.0 the machine cannot keep up.
    pub speed: Option<f64>,
    /// Frames per second of every rung.
    pub frame_rate: Option<u32>,
    /// How it stands with passing the presenter's own picture through; `None` where
    /// that is not asked, or not known yet.
    pub pass_through: Option<Progress>,
}

impl Status {
    pub(super) fn new(started_at: UtcTime, region: String) -> Self {
        Self {
            started_at,
            region,
            source: None,
            qualities: Vec::new(),
            is_shedding: false,
            is_starving: false,
            cores: 0.0,
            speed: None,
            frame_rate: None,
            pass_through: None,
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

    /// Takes so many cores for a session that still runs, where there is room for them
    /// beside the other streams: in one go, since others ask at the same time. They are
    /// given back as they are changed, by [`Directory::update`].
    pub(super) fn reserve(
        &self,
        (stream, session): (StreamId, SessionId),
        room: &Room,
        cores: f64,
    ) -> Result<(), Full> {
        let mut streams = self.lock();
        room.check(taken(&streams, stream), cores)?;
        let entry = streams.get_mut(&stream);
        if let Some(running) = entry.and_then(|entry| entry.running.as_mut())
            && running.session == session
        {
            running.status.cores = cores;
        }
        Ok(())
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

    /// Notes that a session is over, and that its successor runs in its stead, if
    /// it has one; a newer one is left alone.
    pub(super) fn finish(&self, stream: StreamId, session: SessionId) {
        let mut streams = self.lock();
        let Some(entry) = streams.get_mut(&stream) else {
            return;
        };
        if is(entry.running.as_ref(), session) {
            entry.running = entry.successor.take();
        } else if is(entry.successor.as_ref(), session) {
            entry.successor = None;
        }
    }

    /// The successor `to` runs from now on in the stead of `from`. What is told of
    /// the stream stays, but for the way it comes in by.
    pub(super) fn hand_over(&self, stream: StreamId, from: SessionId, to: &OnAir) {
        let mut streams = self.lock();
        let Some(entry) = streams.get_mut(&stream) else {
            return;
        };
        let Some(running) = entry.running.as_mut().filter(|it| it.session == from) else {
            return;
        };
        // Where it is another one, `to` has a successor of its own by now.
        entry.successor.take_if(|next| next.session == to.session);
        *running = Running {
            session: to.session,
            key: to.key,
            epoch: to.moves,
            last_media: to.last_media.clone(),
            status: Status {
                region: to.region.clone(),
                ..running.status.clone()
            },
        };
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

    /// Tells the stream that has this session.
    pub(super) fn tell_session(&self, session: SessionId, command: Command) {
        let streams = self.lock();
        let mut entries = streams.values();
        let has = |entry: &&Entry| {
            is(entry.running.as_ref(), session) || is(entry.successor.as_ref(), session)
        };
        if let Some(entry) = entries.find(has) {
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

/// How a presenter who asks stands to those whom the stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It has a place already and moves to another connection.
    Moves,
    /// Such an OPEN, overtaken by one over a newer connection.
    Outdated,
    /// Nobody is there, or only the dead.
    Free,
    /// It has shown the secret of the one that is there.
    Follows,
    /// Somebody is there who has been heard since it asked.
    Taken,
    /// Somebody is there who has not been heard since, and is not dead yet.
    PerhapsGhost,
}

impl Entry {
    /// Judges a presenter who asked at `asked`, and who has shown the secret of the
    /// session `replaces`, if of any.
    pub(super) fn judge(
        &self,
        newcomer: &Running,
        replaces: Option<SessionKey>,
        asked: Instant,
        now: Instant,
    ) -> Claim {
        let mut known = self.known();
        let mut own = known.clone();
        if let Some(own) = own.find(|own| own.session == newcomer.session) {
            let is_outdated = newcomer.epoch < own.epoch;
            return if is_outdated {
                Claim::Outdated
            } else {
                Claim::Moves
            };
        }
        let is_replaced = |known: &Running| known.key.is_some() && known.key == replaces;
        if known.clone().any(is_replaced) {
            Claim::Follows
        } else if known.clone().any(|known| known.last_media.is_after(asked)) {
            Claim::Taken
        } else if known.all(|known| known.last_media.is_dead(now)) {
            Claim::Free
        } else {
            Claim::PerhapsGhost
        }
    }

    /// Gives a presenter the place that it was found to have a claim to.
    pub(super) fn admit(&mut self, claim: Claim, newcomer: Running) {
        match claim {
            Claim::Free => (self.running, self.successor) = (Some(newcomer), None),
            Claim::Follows => self.successor = Some(newcomer),
            Claim::Moves => {
                let known = [&mut self.running, &mut self.successor];
                let mut known = known.into_iter().flatten();
                if let Some(own) = known.find(|own| own.session == newcomer.session) {
                    own.epoch = newcomer.epoch;
                    own.last_media = newcomer.last_media;
                }
            }
            Claim::Outdated | Claim::Taken | Claim::PerhapsGhost => {}
        }
    }

    fn known(&self) -> impl Iterator<Item = &Running> + Clone {
        self.running.iter().chain(&self.successor)
    }
}

/// What the streams besides `except` take of the machine.
pub(super) fn taken(
    streams: &BTreeMap<StreamId, Entry>,
    except: StreamId,
) -> impl Iterator<Item = Taken> {
    let others = streams.iter().filter(move |(id, _)| **id != except);
    let running = others.filter_map(|(_, entry)| entry.running.as_ref());
    running.map(|running| Taken {
        cores: running.status.cores,
        is_starving: running.status.is_starving,
    })
}

fn is(running: Option<&Running>, session: SessionId) -> bool {
    running.is_some_and(|running| running.session == session)
}

#[cfg(test)]
mod tests;
