//! One task per stream, from its first presenter to a minute after its last.
//!
//! The task owns the packager, so the playlist outlives every session: a
//! presenter who returns within the minute continues it behind a discontinuity.
//! It takes commands, packets, the worker's output and the clock, and waits for
//! nothing else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use inlet_common::{
    clock::{self, UtcTime},
    ids::{SessionId, SessionKey},
    roq::control::{Announced, CloseReason, Track, Update},
};
use metrics::Histogram;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::{
    Directory, Metrics, Status,
    directory::{Claim, LastMedia, Running},
    notes,
    on_air::OnAir,
    programme::Programme,
    room::Room,
    schedule::Schedule,
};
use crate::{
    config::{Limits, Media as MediaConfig},
    registry::{Authorised, Registry},
    roq::{Link, flow::Media},
    store,
    transcode::{self, supervisor},
};

mod growth;
mod passing;
mod transcoding;

use self::passing::Counted;
pub(super) use self::transcoding::bits;

/// A session that is silent for so long is over, whatever its edge believes.
const SILENCE_MICROS: i64 = 30_000_000;

/// How often counters are handed over and silence is looked for.
const BEAT: Duration = Duration::from_secs(1);

/// What every broadcast needs of the origin.
#[derive(Debug)]
pub struct Settings {
    /// This origin's name, for HELLO.
    pub origin_name: String,
    /// When this process began; what was made before is another's.
    pub started_at: UtcTime,
    /// How streams are made.
    pub media: MediaConfig,
    /// How much is taken on.
    pub limits: Limits,
    /// How much of it this machine can transcode.
    pub room: Room,
    /// Makes workers.
    pub workers: supervisor::Pool,
    /// Where viewers find the output.
    pub store: Arc<store::Directory>,
    /// Clients, keys and streams.
    pub registry: Registry,
    /// From the capture of a part's last sample to its publication.
    pub part_delay: Histogram,
    /// What is counted.
    pub metrics: Metrics,
    /// Turns of all broadcasts' tasks.
    pub turns: AtomicU64,
    /// Every broadcast's task, to be awaited when the process stops.
    pub tasks: TaskTracker,
}

/// Told to a broadcast.
#[derive(Debug)]
pub(super) enum Command {
    /// A presenter comes in, or moves to another connection.
    Begin(Box<Begin>),
    /// A running session's tracks have changed.
    Update(Update),
    /// A session is over.
    End {
        session: SessionId,
        reason: CloseReason,
    },
    /// Whoever presents is sent away.
    EndStream { reason: CloseReason },
    /// A connection is gone.
    LinkLost { link: Link },
}

/// A presenter, as its edge describes it.
#[derive(Debug)]
pub(super) struct Begin {
    /// What the registry says of the stream by now.
    pub(super) authorised: Authorised,
    pub(super) session: SessionId,
    pub(super) epoch: u32,
    pub(super) tracks: Vec<Track>,
    pub(super) announced: Option<Announced>,
    pub(super) link: Link,
    pub(super) region: String,
    pub(super) started_at: UtcTime,
    pub(super) last_media: LastMedia,
    /// Who shows the secret behind it may replace the session.
    pub(super) key: Option<SessionKey>,
    /// What the directory found it to have.
    pub(super) claim: Claim,
    /// What its ladder will probably take.
    pub(super) cores: f64,
}

impl Begin {
    /// What the directory keeps of it.
    pub(super) fn running(&self) -> Running {
        Running {
            session: self.session,
            key: self.key,
            epoch: self.epoch,
            last_media: self.last_media.clone(),
            status: Status {
                cores: self.cores,
                ..Status::new(self.started_at, self.region.clone())
            },
        }
    }
}

/// Starts a stream's task.
pub(super) fn spawn(
    authorised: Authorised,
    settings: Arc<Settings>,
    directory: Arc<Directory>,
    commands: mpsc::UnboundedReceiver<Command>,
    media: mpsc::Receiver<Media>,
) {
    let span = tracing::info_span!("stream", id = %authorised.stream);
    let tasks = settings.tasks.clone();
    let broadcast = Broadcast {
        authorised,
        settings,
        directory,
        on_air: None,
        successor: None,
        outputs: None,
        passing: None,
        programme: None,
        schedule: None,
        ended_at: None,
        off_air_since: None,
        ended: false,
    };
    tasks.spawn(broadcast.run(commands, media).instrument(span));
}

struct Broadcast {
    authorised: Authorised,
    settings: Arc<Settings>,
    directory: Arc<Directory>,
    on_air: Option<OnAir>,
    /// Goes on air in its stead at its own first key frame; there is none without
    /// a session on air.
    successor: Option<OnAir>,
    /// Of the running worker.
    outputs: Option<mpsc::Receiver<transcode::Output>>,
    /// Counted while the presenter's own picture is the top rung.
    passing: Option<Counted>,
    /// What viewers see; made with the first ladder.
    programme: Option<Programme>,
    /// Where the slots of an earlier session ended.
    schedule: Option<Schedule>,
    /// When an earlier playlist of this process made its last segment.
    ended_at: Option<UtcTime>,
    off_air_since: Option<Instant>,
    ended: bool,
}

impl Broadcast {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut media: mpsc::Receiver<Media>,
    ) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let timeout = self.next_timeout();
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.handle_command(command),
                    None => self.ended = true,
                },
                Some(output) = next_output(&mut self.outputs) => self.handle_output(&output),
                Some(media) = media.recv() => self.handle_media(&media),
                () = sleep_until(timeout) => {}
                _ = beat.tick() => self.handle_beat(),
            }
            self.settings.turns.fetch_add(1, Ordering::Relaxed);
            self.handle_timeout();
            if self.is_over() {
                break;
            }
        }
        self.leave();
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Begin(begin) => self.begin(*begin),
            Command::End { session, reason } => self.end(session, reason),
            Command::Update(update) => {
                if let Some(known) = self.session_mut(update.session) {
                    known.update(&update.tracks);
                }
            }
            Command::EndStream { reason } => self.end_stream(reason),
            Command::LinkLost { link } => {
                if self
                    .on_air
                    .as_ref()
                    .is_some_and(|on_air| on_air.link.is_same(&link))
                {
                    tracing::warn!("link lost; waiting for the edge to come back");
                }
            }
        }
    }

    /// A reset token sends the presenter away, but not the viewers: whoever has
    /// the new token continues the playlist.
    fn end_stream(&mut self, reason: CloseReason) {
        self.send_away(reason);
        if reason == CloseReason::TokenReset {
            return;
        }
        // Another process may go on where a draining one stops.
        if reason != CloseReason::Draining
            && let Some(programme) = &mut self.programme
        {
            programme.end();
            notes::ended(&self.settings, self.authorised.stream);
        }
        self.ended = matches!(reason, CloseReason::StreamDeleted | CloseReason::Draining);
    }

    fn begin(&mut self, begin: Begin) {
        if let Some(known) = self.session_mut(begin.session) {
            tracing::info!(session = %begin.session, "session moved to a new link");
            known.move_to(begin);
            let now = clock::now();
            known.want_key_frame(now, clock::steady(now));
            return;
        }
        if begin.claim == Claim::Moves {
            // It was ended while it moved; its edge heard that by the former link, if
            // at all.
            return begin.link.close(begin.session, CloseReason::Replaced);
        }
        let known = self.authorised.canvas.take();
        let known = known.filter(|_| self.programme.is_none());
        self.authorised = begin.authorised.clone();
        // The registry forgets it with each session that begins, and one that
        // begins and fails must not cost viewers their ladder.
        self.authorised.canvas = self.authorised.canvas.take().or(known);
        let epoch = self.authorised.epoch;
        if begin.claim == Claim::Follows && self.on_air.is_some() {
            self.drop_successor(CloseReason::Replaced);
            tracing::info!(session = %begin.session, region = begin.region, "a successor comes");
            self.successor = Some(OnAir::new(begin, epoch, Arc::clone(&self.settings)));
            return;
        }
        self.send_away(CloseReason::Replaced);
        tracing::info!(session = %begin.session, region = begin.region, "session begins");
        notes::started(
            &self.settings,
            self.authorised.stream,
            begin.started_at,
            &begin.region,
        );
        self.settings.metrics.live.increment(1.0);
        self.off_air_since = None;
        self.ended = false;
        self.on_air = Some(OnAir::new(begin, epoch, Arc::clone(&self.settings)));
    }

    fn handle_media(&mut self, media: &Media) {
        if let Some(known) = self.session_mut(media.session) {
            known.handle_media(media);
        }
    }

    /// The session of this id, on air or about to be.
    fn session_mut(&mut self, session: SessionId) -> Option<&mut OnAir> {
        let known = [&mut self.on_air, &mut self.successor];
        known
            .into_iter()
            .flatten()
            .find(|known| known.session == session)
    }

    fn handle_timeout(&mut self) {
        let now = clock::now();
        let utc = clock::steady(now);
        let beside = self.is_heard(now);
        if let Some(successor) = &mut self.successor {
            successor.handle_timeout(now, utc);
            if successor.is_ready(beside, now) {
                self.finish(CloseReason::Replaced);
            }
        }
        let Some(on_air) = &mut self.on_air else {
            return;
        };
        on_air.handle_timeout(now, utc);
        if on_air.take_skipped()
            && let Some(programme) = &mut self.programme
        {
            tracing::warn!("the clock jumped: a stretch of time is left out");
            self.settings.metrics.timeline_gaps.increment(1);
            programme.interrupt();
            programme.resume();
        }
        if let Some(source) = on_air.wants_start(now) {
            self.start(source, utc);
        }
        self.grow(now, utc);
        self.pass();
    }

    /// Whether the session on air lives.
    fn is_heard(&self, now: Instant) -> bool {
        let on_air = self.on_air.as_ref();
        on_air.is_some_and(|on_air| !on_air.is_silent(now))
    }

    fn handle_beat(&mut self) {
        let now = clock::now();
        let is_silent = |known: &mut OnAir| {
            known.report();
            known.last_media.micros_ago(now) > SILENCE_MICROS
        };
        if self.successor.as_mut().is_some_and(is_silent) {
            self.drop_successor(CloseReason::Timeout);
        }
        if self.on_air.as_mut().is_some_and(is_silent) {
            self.finish(CloseReason::Timeout);
        }
    }

    /// Ends a session that its edge has ended already.
    fn end(&mut self, session: SessionId, reason: CloseReason) {
        if self.on_air.as_ref().is_some_and(|it| it.session == session) {
            self.leave_air(reason);
        } else if let Some(gone) = self.successor.take_if(|it| it.session == session) {
            self.forget(&gone, reason);
        }
    }

    /// Sends away whoever presents, and whoever waits for its place; the playlist
    /// stays.
    fn send_away(&mut self, reason: CloseReason) {
        self.drop_successor(reason);
        self.finish(reason);
    }

    /// Sends the presenter away, if there is one; its successor goes on.
    fn finish(&mut self, reason: CloseReason) {
        if let Some(on_air) = &self.on_air {
            on_air.link.close(on_air.session, reason);
        }
        self.leave_air(reason);
    }

    fn drop_successor(&mut self, reason: CloseReason) {
        if let Some(successor) = self.successor.take() {
            successor.link.close(successor.session, reason);
            self.forget(&successor, reason);
        }
    }

    /// A session is over that the programme goes on without.
    fn forget(&self, gone: &OnAir, reason: CloseReason) {
        tracing::info!(session = %gone.session, ?reason, "session ended");
        self.settings.metrics.ended(reason);
        self.directory.finish(self.authorised.stream, gone.session);
    }

    /// Puts the successor on air in the stead of a session that is over: with its
    /// worker and its slots, so that viewers see one programme.
    fn hand_over(&mut self, from: OnAir, mut to: OnAir, reason: CloseReason) {
        let (stream, session) = (self.authorised.stream, from.session);
        tracing::info!(session = %to.session, replaced = %session, "on air in its stead");
        self.directory.hand_over(stream, session, &to);
        self.forget(&from, reason);
        to.take_over(from);
        notes::moved(&self.settings, stream, to.started_at, &to.region);
        self.on_air = Some(to);
    }

    /// Ends the running session, which its edge has ended already.
    fn leave_air(&mut self, reason: CloseReason) {
        let Some(mut on_air) = self.on_air.take() else {
            return;
        };
        let now = clock::now();
        if let Some(successor) = self.successor.take_if(|it| !it.is_silent(now)) {
            return self.hand_over(on_air, successor, reason);
        }
        self.drop_successor(CloseReason::Timeout);
        tracing::info!(session = %on_air.session, ?reason, "session ended");
        self.settings.metrics.live.decrement(1.0);
        self.settings.metrics.ended(reason);
        self.directory
            .finish(self.authorised.stream, on_air.session);
        notes::finished(&self.settings, self.authorised.stream, on_air.started_at);
        self.end_passing(&mut on_air);
        if let Some(schedule) = on_air.stop() {
            self.schedule = Some(schedule);
        }
        self.outputs = None;
        self.off_air_since = Some(clock::now());
        if let Some(programme) = &mut self.programme {
            programme.interrupt();
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let now = clock::now();
        let utc = clock::steady(now);
        let (on_air, successor) = (self.on_air.as_ref(), self.successor.as_ref());
        let linger = self
            .off_air_since
            .map(|since| since + self.settings.media.linger);
        on_air
            .and_then(|on_air| on_air.next_timeout(now, utc))
            .into_iter()
            .chain(on_air.and_then(OnAir::start_timeout))
            .chain(successor.and_then(|it| it.next_timeout(now, utc)))
            .chain(successor.and_then(|it| it.ready_timeout(self.is_heard(now), now)))
            .chain(linger)
            .min()
    }

    fn is_over(&self) -> bool {
        let lingered = self
            .off_air_since
            .is_some_and(|since| clock::now() >= since + self.settings.media.linger);
        self.on_air.is_none()
            && (self.ended || lingered)
            && self.directory.retire(self.authorised.stream)
    }

    fn leave(mut self) {
        self.retire_programme();
        tracing::debug!("stream's task ends");
    }

    fn retire_programme(&mut self) {
        if let Some(programme) = self.programme.take() {
            programme.retire(&self.authorised, &self.settings);
        }
    }
}

async fn next_output(
    outputs: &mut Option<mpsc::Receiver<transcode::Output>>,
) -> Option<transcode::Output> {
    match outputs {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(timeout: Option<Instant>) {
    match timeout {
        Some(timeout) => tokio::time::sleep_until(timeout.into()).await,
        None => std::future::pending().await,
    }
}
