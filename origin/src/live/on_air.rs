//! One presenter's session within a broadcast.
//!
//! Its media goes through [`super::intake`], which decides; here the outcome is
//! handed to the worker and to the edge. Nothing here waits.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use inlet_common::{
    clock::UtcTime,
    ids::{SessionId, SessionKey},
    roq::control,
};
use tokio::sync::mpsc;

use super::{
    broadcast::{Begin, Settings},
    directory::LastMedia,
    intake::{Intake, Output},
    pass::{self, Reason, Rhythm, Sets},
    schedule::Schedule,
};
use crate::{
    roq::{Link, flow::Media},
    timeline::{Epoch, FrameRate},
    transcode::{
        self, Input, keyframe,
        ladder::{Resolution, Rung},
        supervisor,
    },
};

/// A session.
#[derive(Debug)]
pub(super) struct OnAir {
    pub(super) session: SessionId,
    /// Who shows the secret behind it may replace the session.
    pub(super) key: Option<SessionKey>,
    /// Between connections.
    pub(super) moves: u32,
    pub(super) link: Link,
    pub(super) region: String,
    pub(super) started_at: UtcTime,
    pub(super) last_media: LastMedia,
    settings: Arc<Settings>,
    intake: Intake,
    worker: Option<supervisor::Handle>,
    /// Takes the worker's place with the next segment.
    next: Option<NextWorker>,
    entered: Option<Enlarged>,
    /// What is told of pictures that are passed through.
    passed: VecDeque<pass::Event>,
}

/// A worker with a larger ladder, which is given the media beside the other one
/// until it can go on from there.
#[derive(Debug)]
struct NextWorker {
    worker: supervisor::Handle,
    has_key_frame: bool,
    enlarged: Enlarged,
}

/// What comes with a larger ladder.
#[derive(Debug)]
pub(super) struct Enlarged {
    pub(super) ladder: Vec<Rung>,
    pub(super) source: Resolution,
    /// What it takes of the machine.
    pub(super) cores: f64,
    /// Whether its top rung may be the presenter's own, where that is asked.
    pub(super) candidate: Option<Result<Sets, Reason>>,
    pub(super) outputs: mpsc::Receiver<transcode::Output>,
}

impl OnAir {
    pub(super) fn new(begin: Begin, epoch: Epoch, settings: Arc<Settings>) -> Self {
        let announced = begin.announced.map(|size| Resolution {
            width: size.width,
            height: size.height,
        });
        Self {
            session: begin.session,
            key: begin.key,
            moves: begin.epoch,
            link: begin.link,
            region: begin.region,
            started_at: begin.started_at,
            last_media: begin.last_media,
            settings,
            intake: Intake::new(&begin.tracks, announced, epoch),
            worker: None,
            next: None,
            entered: None,
            passed: VecDeque::new(),
        }
    }

    /// Goes on over another connection, with the flows it has there.
    pub(super) fn move_to(&mut self, begin: Begin) {
        self.link = begin.link;
        self.moves = begin.epoch;
        self.last_media = begin.last_media;
        self.intake.move_to(&begin.tracks);
    }

    /// Goes on in the stead of another session: with its worker, its slots and its
    /// beginning. What was kept is handed to the worker.
    pub(super) fn take_over(&mut self, other: Self) {
        self.started_at = other.started_at;
        self.worker = other.worker;
        self.next = other.next;
        self.entered = other.entered;
        self.passed = other.passed;
        self.intake.take_over(other.intake);
        self.deliver();
    }

    /// Whether the worker can go on with what has come in so far: a key frame, or
    /// whatever there is when no picture comes; `beside` tells whether the session
    /// that it follows is still heard. One that is silent is never ready.
    pub(super) fn is_ready(&self, beside: bool, now: Instant) -> bool {
        !self.is_silent(now) && self.intake.is_ready(beside, now)
    }

    /// When [`OnAir::is_ready`] will change its mind by itself.
    pub(super) fn ready_timeout(&self, beside: bool, now: Instant) -> Option<Instant> {
        let timeout = self.intake.ready_timeout(beside);
        timeout.filter(|_| !self.is_silent(now))
    }

    /// Whether nothing has been heard of it for so long that another may come.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.last_media.is_dead(now)
    }

    /// Takes what the edge has learned of the tracks since OPEN.
    pub(super) fn update(&mut self, described: &[control::Track]) {
        self.intake.update(described);
    }

    /// Takes a packet.
    pub(super) fn handle_media(&mut self, media: &Media) {
        self.last_media.set(media.at);
        self.intake
            .handle_packet(media.kind, media.at, media.arrived, &media.packet);
        self.deliver();
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, utc: UtcTime) {
        self.intake.handle_timeout(now, utc);
        self.deliver();
    }

    /// When [`OnAir::handle_timeout`] has something to do.
    pub(super) fn next_timeout(&self, now: Instant, utc: UtcTime) -> Option<Instant> {
        self.intake.next_timeout(now, utc)
    }

    /// Which resolution the ladder shall be made for, once that is known and
    /// until [`OnAir::start`] has been called.
    pub(super) fn wants_start(&self, now: Instant) -> Option<Resolution> {
        self.intake.wants_start(now)
    }

    /// When [`OnAir::wants_start`] will change its mind by itself; `None` while
    /// only a packet can change it.
    pub(super) fn start_timeout(&self) -> Option<Instant> {
        self.intake.start_timeout()
    }

    /// Goes on air: the worker gets what was kept, and ticks begin.
    pub(super) fn start(
        &mut self,
        worker: supervisor::Handle,
        rate: FrameRate,
        after: Option<&Schedule>,
        utc: UtcTime,
    ) {
        self.worker = Some(worker);
        let segment = self.settings.media.segment;
        self.intake.start(rate, segment, after, utc);
        self.deliver();
    }

    /// See [`Intake::watch_growth`].
    pub(super) fn watch_growth(&mut self, from: Resolution, enough: u32) {
        self.intake.watch_growth(from, enough);
    }

    /// See [`Intake::wants_growth`].
    pub(super) fn wants_growth(&mut self, now: Instant) -> Option<Resolution> {
        self.intake.wants_growth(now)
    }

    /// Goes on with this worker from the first segment that it can make.
    pub(super) fn prepare(
        &mut self,
        worker: supervisor::Handle,
        enlarged: Enlarged,
        now: Instant,
        utc: UtcTime,
    ) {
        self.next = Some(NextWorker {
            worker,
            has_key_frame: false,
            enlarged,
        });
        self.want_key_frame(now, utc);
    }

    /// What the programme goes on with, now that its next frame will come from
    /// the worker that was prepared.
    pub(super) fn take_enlarged(&mut self) -> Option<Enlarged> {
        self.entered.take()
    }

    /// The cores that a ladder has taken which has not begun yet.
    pub(super) fn growing_to(&self) -> Option<f64> {
        let next = self.next.as_ref().map(|next| &next.enlarged);
        next.or(self.entered.as_ref())
            .map(|enlarged| enlarged.cores)
    }

    /// Gives up the worker that would take the place of this one.
    pub(super) fn give_up_growth(&mut self) {
        if self.next.take().is_some() {
            self.settle_passage();
        }
    }

    /// See [`Intake::settle`].
    pub(super) fn settle_passage(&mut self) {
        self.intake.settle();
    }

    /// See [`Intake::parameter_sets`].
    pub(super) fn parameter_sets(&mut self) -> Result<Sets, Reason> {
        self.intake.parameter_sets()
    }

    /// See [`Intake::begin_passage`].
    pub(super) fn begin_passage(&mut self, rhythm: Rhythm, candidate: Result<Sets, Reason>) {
        self.intake.begin_passage(rhythm, candidate);
        self.deliver();
    }

    /// See [`Intake::suspend_passage`].
    pub(super) fn suspend_passage(&mut self, until: u64) {
        self.intake.suspend_passage(until);
    }

    /// See [`Intake::hold_back`].
    pub(super) fn hold_back(&mut self, frame: u64) {
        self.intake.hold_back(frame);
    }

    /// See [`Intake::end_passage`].
    pub(super) fn end_passage(&mut self) {
        self.intake.end_passage();
        self.deliver();
    }

    /// What is told next of pictures that are passed through.
    pub(super) fn poll_passed(&mut self) -> Option<pass::Event> {
        self.passed.pop_front()
    }

    /// Goes off air; tells where the next session's slots begin.
    pub(super) fn stop(self) -> Option<Schedule> {
        self.intake.stop()
    }

    /// The worker lost its state: nothing decodes before the next key frame.
    pub(super) fn want_key_frame(&mut self, now: Instant, utc: UtcTime) {
        self.intake.want_key_frame(now, utc);
        self.deliver();
    }

    /// Whether slots were left out since the last call.
    pub(super) fn take_skipped(&mut self) -> bool {
        self.intake.take_skipped()
    }

    /// Hands counters to the metrics, and the link's round trip to the tracks.
    pub(super) fn report(&mut self) {
        let metrics = &self.settings.metrics;
        self.intake
            .report(self.link.round_trip(), |kind, before, now| {
                metrics.track(kind, before, now);
            });
    }

    fn deliver(&mut self) {
        while let Some(output) = self.intake.poll_output() {
            match output {
                Output::Input(input) => self.send(input),
                Output::KeyFrameWanted(flow, ssrc) => self.link.ask_key_frame(flow, ssrc),
                Output::Pass(event) => self.passed.push_back(event),
            }
        }
    }

    fn send(&mut self, input: Input) {
        if let Some(next) = &mut self.next {
            match &input {
                Input::Video { codec, data, .. } => {
                    next.has_key_frame |= keyframe::is_key_frame(*codec, data);
                    next.worker.send(input.clone());
                }
                Input::Audio { .. } => next.worker.send(input.clone()),
                Input::VideoTick { idr: true, .. } if next.has_key_frame => self.enter(),
                Input::VideoTick { .. } | Input::AudioTick { .. } => {}
            }
        }
        if let Some(worker) = &self.worker {
            worker.send(input);
        }
    }

    fn enter(&mut self) {
        if let Some(next) = self.next.take() {
            self.worker = Some(next.worker);
            self.entered = Some(next.enlarged);
        }
    }
}
