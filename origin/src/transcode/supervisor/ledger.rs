//! Ticks that the worker has not answered yet.
//!
//! Pure. It checks every answer against what was asked (a worker that answers
//! anything else, or more than a rung's rate comes to, is not to be trusted), tells a hang from a pause, and knows
//! what a new worker has to answer. A frame that some rungs have and others
//! lack is asked for again; the rungs that have it drop the second one.
//!
//! A rung that is [`MAX_BEHIND`] frames behind is not asked for the next ones
//! until it has caught up, where that is wished: its last picture lasts longer,
//! the rungs beside it go on, and nothing queues up. Key frames are always
//! asked for.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{load::Look, roster::Rungs};
use crate::{
    timeline::{AAC_FRAME_SAMPLES, OPUS_FRAME_SAMPLES},
    transcode::{Budget, Input, Output, ipc::ToWorker},
};

/// A worker that lets ticks wait this long has hung: a frame costs some ten
/// milliseconds.
pub const HANG_LIMIT: Duration = Duration::from_secs(2);

/// The books of one worker after another.
#[derive(Debug)]
pub(super) struct Ledger {
    video: VecDeque<VideoTick>,
    audio: VecDeque<AudioTick>,
    /// Where the sound ends that was asked for, in samples.
    sound_end: u64,
    /// Last answer of each rung, and of audio at the end.
    lanes: Vec<Instant>,
    /// What each rung's frames may have in bytes.
    budgets: Vec<Budget>,
    /// Configurations that the present worker may still send.
    configs_left: usize,
    /// The next tick must be an IDR whatever it asks for.
    owes_idr: bool,
    /// Rungs that are far behind are left out.
    may_skip: bool,
    /// A new worker makes up for the outage until then, and nothing is left out.
    catches_up_until: Instant,
    /// Since the last look.
    skipped: u64,
    has_moved: bool,
}

#[derive(Debug)]
struct VideoTick {
    number: u64,
    idr: bool,
    /// Rungs that are asked for it.
    asked: Rungs,
    /// Those of them whose frame the caller has.
    delivered: Rungs,
    /// Those that the present worker has not answered for.
    open: Rungs,
    since: Instant,
}

#[derive(Debug)]
struct AudioTick {
    number: u64,
    since: Instant,
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes to the caller.
    Deliver,
    /// The caller has it from the worker before.
    Repeated,
    /// Nothing like it was asked for.
    Violation,
    /// It is far more than was asked for.
    Excess,
}

impl Ledger {
    /// Of a worker whose rungs have these budgets.
    pub(super) fn new(now: Instant, budgets: Vec<Budget>, may_skip: bool) -> Self {
        let rungs = budgets.len();
        Self {
            video: VecDeque::new(),
            audio: VecDeque::new(),
            sound_end: 0,
            lanes: vec![now; rungs + 1],
            configs_left: (rungs + 1) * MAX_CONFIGS,
            budgets,
            owes_idr: false,
            may_skip,
            catches_up_until: now + START_GRACE,
            skipped: 0,
            has_moved: false,
        }
    }

    /// Enters a tick that asks `rungs` for a frame. Returns it as the worker must
    /// get it, or `None` when too many wait: then it will never be answered.
    pub(super) fn handle_video_tick(
        &mut self,
        now: Instant,
        number: u64,
        idr: bool,
        rungs: Rungs,
    ) -> Option<ToWorker> {
        let idr = idr || self.owes_idr;
        let is_next = self.video.back().is_none_or(|last| last.number < number);
        if self.video.len() >= MAX_VIDEO || !is_next {
            self.owes_idr = idr;
            return None;
        }
        self.owes_idr = false;
        let asked = if idr { rungs } else { self.able(now, rungs) };
        if !asked.is_empty() {
            self.video.push_back(VideoTick {
                number,
                idr,
                asked,
                delivered: Rungs::default(),
                open: asked,
                since: now,
            });
        }
        Some(tick_of(number, idr, asked))
    }

    /// Enters the tick of an AAC frame, as [`Ledger::handle_video_tick`] does.
    pub(super) fn handle_audio_tick(&mut self, now: Instant, number: u64) -> Option<ToWorker> {
        let is_next = self.audio.back().is_none_or(|last| last.number < number);
        if self.audio.len() >= MAX_AUDIO || !is_next {
            return None;
        }
        self.audio.push_back(AudioTick { number, since: now });
        self.sound_end = number.saturating_add(1).saturating_mul(AAC_FRAME_SAMPLES);
        Some(ToWorker::Input(Input::AudioTick { number }))
    }

    /// Those of `rungs` that are not far behind.
    fn able(&mut self, now: Instant, rungs: Rungs) -> Rungs {
        let mut able = rungs;
        if !self.may_skip || now < self.catches_up_until {
            return able;
        }
        for rung in (0..self.lanes.len() - 1).filter(|rung| rungs.has(*rung)) {
            let waiting = self.video.iter().filter(|tick| tick.open.has(rung));
            if waiting.count() >= MAX_BEHIND {
                able.remove(rung);
                self.skipped += 1;
            }
        }
        able
    }

    /// How it stands, since the last look.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        Look {
            lag: self.lag(now),
            skipped: std::mem::take(&mut self.skipped),
            is_moving: std::mem::take(&mut self.has_moved),
        }
    }

    /// Age of the oldest frame that the worker owes.
    pub(super) fn lag(&self, now: Instant) -> Duration {
        let oldest = self.video.front().map(|tick| tick.since);
        oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Whether so much is owed that coded pictures only add to it.
    pub(super) fn is_swamped(&self, now: Instant) -> bool {
        self.may_skip && now >= self.catches_up_until && self.lag(now) > MAX_LAG
    }

    /// A tick that asked for an IDR was lost on the way here.
    pub(super) fn handle_lost_idr(&mut self) {
        self.owes_idr = true;
    }

    /// Crosses off what `output` answers.
    pub(super) fn handle_output(&mut self, now: Instant, output: &Output) -> Verdict {
        let rungs = self.lanes.len() - 1;
        match *output {
            Output::VideoConfig { rung, .. } if rung < rungs => self.configure(),
            Output::AudioConfig { .. } => self.configure(),
            Output::Video {
                rung,
                number,
                ref data,
                ..
            } if rung < rungs => self.answer(now, rung, number, data.len()),
            Output::Audio { number, .. } => {
                // Ticks before it stay without an answer.
                while self
                    .audio
                    .pop_front_if(|tick| tick.number < number)
                    .is_some()
                {}
                match self.audio.pop_front_if(|tick| tick.number == number) {
                    Some(_) => {
                        self.touch(now, rungs);
                        Verdict::Deliver
                    }
                    None => Verdict::Violation,
                }
            }
            // It has no ticks of its own, but its samples are those of the AAC frames.
            Output::Opus { number, .. }
                if number.saturating_mul(OPUS_FRAME_SAMPLES) < self.sound_end =>
            {
                Verdict::Deliver
            }
            Output::Report(_)
            | Output::Still { .. }
            | Output::Thumbnail { .. }
            | Output::KeyFrameNeeded => Verdict::Deliver,
            Output::VideoConfig { .. }
            | Output::Video { .. }
            | Output::Opus { .. }
            | Output::Restarted
            | Output::RungPlanned { .. } => Verdict::Violation,
        }
    }

    fn answer(&mut self, now: Instant, rung: usize, number: u64, bytes: usize) -> Verdict {
        let tick = self.video.binary_search_by_key(&number, |tick| tick.number);
        let Some(tick) = tick.ok().and_then(|index| self.video.get_mut(index)) else {
            return Verdict::Violation;
        };
        if !tick.open.has(rung) {
            return Verdict::Violation;
        }
        // What is not taken is not crossed off: the next worker has to make it.
        let budget = self.budgets.get_mut(rung);
        if !budget.is_some_and(|budget| budget.spend(number, bytes)) {
            return Verdict::Excess;
        }
        let verdict = if tick.delivered.has(rung) {
            Verdict::Repeated
        } else {
            Verdict::Deliver
        };
        tick.open.remove(rung);
        tick.delivered.insert(rung);
        while self
            .video
            .pop_front_if(|tick| tick.open.is_empty())
            .is_some()
        {}
        self.has_moved = true;
        self.touch(now, rung);
        verdict
    }

    /// Each rung's encoder is made once, as the sound's is, and has one configuration.
    fn configure(&mut self) -> Verdict {
        match self.configs_left.checked_sub(1) {
            Some(left) => {
                self.configs_left = left;
                Verdict::Deliver
            }
            None => Verdict::Excess,
        }
    }

    fn touch(&mut self, now: Instant, lane: usize) {
        if let Some(last) = self.lanes.get_mut(lane) {
            *last = now;
        }
    }

    /// A new worker takes over. Returns the ticks that it has to answer: the
    /// first one is an IDR, and so is the first that no rung has yet, because
    /// that is where rungs begin that have the one before.
    pub(super) fn restart(&mut self, now: Instant) -> Vec<ToWorker> {
        let since = now + START_GRACE;
        self.catches_up_until = since;
        self.configs_left = self.lanes.len() * MAX_CONFIGS;
        // The one before may have used them up, and this one is not to blame.
        self.budgets.iter_mut().for_each(Budget::renew);
        let is_partly_answered = self.video.iter().any(|tick| !tick.delivered.is_empty());
        self.owes_idr |= is_partly_answered;
        let mut ticks = Vec::with_capacity(self.video.len() + self.audio.len());
        for (index, tick) in self.video.iter_mut().enumerate() {
            let is_whole = tick.delivered.is_empty();
            tick.idr |= index == 0 || (is_whole && self.owes_idr);
            self.owes_idr &= !is_whole;
            tick.open = tick.asked;
            tick.since = since;
            ticks.push(tick_of(tick.number, tick.idr, tick.asked));
        }
        for tick in &mut self.audio {
            tick.since = since;
            ticks.push(ToWorker::Input(Input::AudioTick {
                number: tick.number,
            }));
        }
        self.lanes.fill(since);
        ticks
    }

    /// The caller does not take outputs, so the worker is not to blame.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.lanes
            .iter_mut()
            .for_each(|lane| *lane = now.max(*lane));
    }

    /// Whether some lane has had a tick to answer for [`HANG_LIMIT`] and said
    /// nothing.
    pub(super) fn is_hung(&self, now: Instant) -> bool {
        let is_overdue = |lane: &Instant, since: Instant| {
            now.saturating_duration_since(since.max(*lane)) > HANG_LIMIT
        };
        let rungs = self.lanes.len() - 1;
        self.lanes.iter().enumerate().any(|(lane, last)| {
            let oldest = if lane < rungs {
                // A rung that has come back late has its first tick behind those that the
                // others still owe, and is as late as they are.
                let first = self.video.front().filter(|tick| tick.open.has(lane));
                first.map(|tick| tick.since)
            } else {
                self.audio.get(AUDIO_LAG).map(|tick| tick.since)
            };
            oldest.is_some_and(|since| is_overdue(last, since))
        })
    }
}

fn tick_of(number: u64, idr: bool, rungs: Rungs) -> ToWorker {
    ToWorker::Tick {
        number,
        idr,
        rungs: rungs.0,
    }
}

/// Frames that a rung may be behind before it is left out: a key frame's worth
/// at any rate, a quarter of a second at 30 per second, and no more than a
/// rung's own queue in the worker holds, so that the decoder never waits for it.
const MAX_BEHIND: usize = 8;

/// Beyond it coded pictures are dropped up to the next key frame: less than the
/// second that viewers may be delayed, more than a rung can owe.
const MAX_LAG: Duration = Duration::from_millis(700);

/// Ten seconds at 60 frames per second.
const MAX_VIDEO: usize = 600;

/// Configurations of a rung, and of the sound, that one worker may send. Each further one
/// would cost the playlist a break, or the log a line.
const MAX_CONFIGS: usize = 2;

/// Over ten seconds.
const MAX_AUDIO: usize = 600;

/// The AAC encoder answers a tick when the second one after it comes.
const AUDIO_LAG: usize = 2;

/// A new worker decodes the seed first and opens its encoders.
const START_GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
