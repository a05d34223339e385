//! The whole timeline under virtual time: from a presenter's packets and sender
//! reports to the numbers, pictures and samples that a worker answers with.
//!
//! Everything on the way is the real thing but the network, the codecs and the
//! process between: [`Intake`] with its tracks, clock, feed and schedule, and
//! the worker's screen, placement and drift in [`dry`]. Media carries its
//! capture time, so what viewers see and hear together tells the skew.

mod judge;
mod presenter;
mod scenarios;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use inlet_common::{
    clock::{self, Steady, Step, UtcTime},
    roq::control::Kind,
};

use self::{
    judge::Programme,
    presenter::{Presenter, Script},
};
use super::intake::{Intake, Output};
use crate::{
    timeline::{Epoch, FrameRate},
    transcode::{ladder::Resolution, worker::dry},
};

/// When the presenter begins; its stream began three days and a bit before.
const START: UtcTime = UtcTime::from_unix_micros(1_800_000_000_000_000);
const EPOCH: Epoch = Epoch(UtcTime::from_unix_micros(
    1_800_000_000_000_000 - 259_200_000_000 - 12_000_000,
));

const fn second(seconds: i64) -> i64 {
    seconds * 1_000_000
}

/// From a picture's capture to its sending.
const ENCODING: i64 = 15_000;

/// Short side of the tallest rung that there may be.
const ENOUGH: u32 = 1080;

enum Event {
    Picture,
    Sound(i64),
    Report(Kind),
    Arrival(Kind, Bytes),
    KeyFrameWanted,
}

/// A presenter, its way to the origin, and the origin.
struct Rehearsal {
    script: Script,
    presenter: Presenter,
    intake: Intake,
    worker: dry::Worker,
    events: BTreeMap<(i64, u64), Event>,
    events_made: u64,
    /// On one path packets of a track do not pass each other.
    last_arrival: [i64; 2],
    base: Instant,
    /// The origin's.
    steady: Steady,
    programme: Programme,
}

/// Plays a script to its end.
fn play(script: Script) -> Programme {
    let announced = script
        .announced
        .map(|(width, height)| Resolution { width, height });
    let base = clock::now();
    let mut rehearsal = Rehearsal {
        presenter: Presenter::default(),
        intake: Intake::new(&Presenter::tracks(), announced, EPOCH),
        worker: dry::Worker::new(FrameRate::DEFAULT, presenter::decode_sound),
        events: BTreeMap::new(),
        events_made: 0,
        last_arrival: [0; 2],
        base,
        steady: Steady::new(base, START),
        programme: Programme::new(EPOCH.at(START)),
        script,
    };
    rehearsal.run();
    rehearsal.programme
}

impl Rehearsal {
    fn run(&mut self) {
        self.plan(0, Event::Picture);
        self.plan(0, Event::Sound(0));
        self.plan(self.script.audio_reports.0, Event::Report(Kind::Audio));
        self.plan(self.script.video_reports.0, Event::Report(Kind::Video));
        let mut at = 0;
        while at < self.script.length {
            let timeout = self.next_timeout(at);
            let (&(next, _), _) = self.events.first_key_value().unwrap();
            at = next.min(timeout.unwrap_or(i64::MAX)).max(at);
            if next <= at {
                let (_, event) = self.events.pop_first().unwrap();
                self.handle_event(at, event);
            }
            self.settle(at);
        }
    }

    fn plan(&mut self, at: i64, event: Event) {
        self.events.insert((at, self.events_made), event);
        self.events_made += 1;
    }

    fn handle_event(&mut self, at: i64, event: Event) {
        match event {
            Event::Picture => {
                if let Some(packet) = self.presenter.picture(&self.script, at) {
                    self.send(Kind::Video, at + ENCODING, packet);
                }
                self.plan(at + (self.script.picture_interval)(at), Event::Picture);
            }
            Event::Sound(number) => {
                let captured = self.script.sound_at(number);
                if let Some((packet, length)) = self.presenter.sound(&self.script, captured) {
                    self.send(Kind::Audio, at + length, packet);
                }
                let next = self.script.sound_at(number + 1);
                self.plan(next, Event::Sound(number + 1));
            }
            Event::Report(kind) => {
                self.send(kind, at, self.script.report(kind, at));
                let every = match kind {
                    Kind::Audio => self.script.audio_reports.1,
                    Kind::Video => self.script.video_reports.1,
                };
                self.plan(at + every, Event::Report(kind));
            }
            Event::Arrival(kind, packet) => {
                let (now, utc) = self.clocks(at);
                self.intake.handle_packet(kind, now, utc, &packet);
            }
            Event::KeyFrameWanted => self.presenter.want_key_frame(),
        }
    }

    fn send(&mut self, kind: Kind, at: i64, packet: Bytes) {
        if self.script.lost.contains(&at) {
            return;
        }
        // Well spread, and the same in each run.
        let random = (at.unsigned_abs() ^ 0x5bd1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let jitter = i64::try_from(random).unwrap() % (self.script.jitter + 1);
        let last = &mut self.last_arrival[kind as usize];
        *last = (at + (self.script.delay)(at) + jitter).max(*last);
        let arrival = *last;
        self.plan(arrival, Event::Arrival(kind, packet));
    }

    fn settle(&mut self, at: i64) {
        let (now, utc) = self.clocks(at);
        self.intake.handle_timeout(now, utc);
        if self.intake.take_skipped() {
            self.programme.skip();
        }
        if let Some(source) = self.intake.wants_start(now) {
            let segment = Duration::from_secs(1);
            self.intake.start(FrameRate::DEFAULT, segment, None, utc);
            self.intake.watch_growth(source, ENOUGH);
        }
        if let Some(size) = self.intake.wants_growth(now) {
            self.programme.grown.push((at, size));
        }
        while let Some(output) = self.intake.poll_output() {
            match output {
                Output::Input(input) => {
                    if let Some(answer) = self.worker.handle_input(input) {
                        self.programme.handle_answer(at, &answer);
                    }
                }
                Output::Pass(event) => panic!("nothing is passed through: {event:?}"),
                Output::KeyFrameWanted(..) => {
                    self.plan(at + (self.script.delay)(at), Event::KeyFrameWanted);
                }
            }
        }
    }

    fn next_timeout(&mut self, at: i64) -> Option<i64> {
        let (now, utc) = self.clocks(at);
        let timeout = self.intake.next_timeout(now, utc);
        let timeout = timeout
            .into_iter()
            .chain(self.intake.start_timeout())
            .min()?;
        let since = timeout.saturating_duration_since(self.base);
        Some(i64::try_from(since.as_micros()).unwrap())
    }

    fn clocks(&mut self, at: i64) -> (Instant, UtcTime) {
        let now = self.base + Duration::from_micros(at.unsigned_abs());
        let system = START.plus_micros(at + self.script.own_stepped(at));
        if self.steady.is_due(now)
            && let Some(Step::Forward(by)) = self.steady.look(now, system)
        {
            self.programme.follow(by);
        }
        (now, self.steady.at(now))
    }
}
