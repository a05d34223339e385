//! Ticks that the worker has not answered yet.
//!
//! Pure. It checks every answer against what was asked (a worker that answers
//! anything else is not to be trusted), tells a hang from a pause, and knows
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
    transcode::{Input, Output, ipc::ToWorker},
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
}

impl Ledger {
    pub(super) fn new(now: Instant, rungs: usize, may_skip: bool) -> Self {
        Self {
            video: VecDeque::new(),
            audio: VecDeque::new(),
            sound_end: 0,
            lanes: vec![now; rungs + 1],
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
            Output::VideoConfig { rung, .. } if rung < rungs => Verdict::Deliver,
            Output::Video { rung, number, .. } if rung < rungs => self.answer(now, rung, number),
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
            Output::AudioConfig { .. }
            | Output::Report(_)
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

    fn answer(&mut self, now: Instant, rung: usize, number: u64) -> Verdict {
        let tick = self.video.binary_search_by_key(&number, |tick| tick.number);
        let Some(tick) = tick.ok().and_then(|index| self.video.get_mut(index)) else {
            return Verdict::Violation;
        };
        if !tick.open.has(rung) {
            return Verdict::Violation;
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

/// Over ten seconds.
const MAX_AUDIO: usize = 600;

/// The AAC encoder answers a tick when the second one after it comes.
const AUDIO_LAG: usize = 2;

/// A new worker decodes the seed first and opens its encoders.
const START_GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn every_rung_answers_every_tick_once() {
        let (mut ledger, now) = ledger();
        tick(&mut ledger, now, 5, false);
        assert_eq!(ledger.handle_output(now, &frame(0, 5)), Verdict::Deliver);
        assert_eq!(ledger.handle_output(now, &frame(0, 5)), Verdict::Violation);
        assert_eq!(ledger.handle_output(now, &frame(1, 5)), Verdict::Deliver);
        assert_eq!(ledger.handle_output(now, &frame(1, 5)), Verdict::Violation);
        assert_eq!(ledger.handle_output(now, &frame(2, 5)), Verdict::Violation);
        assert_eq!(
            ledger.handle_output(now, &Output::Restarted),
            Verdict::Violation
        );
    }

    #[test]
    fn a_rung_that_is_asked_again_behind_a_backlog_is_no_hang() {
        let (mut ledger, now) = ledger();
        let second = Duration::from_secs(1);
        let mut lower = Rungs::all(2);
        lower.remove(0);
        for number in 1..=4 {
            ledger.handle_video_tick(now, number, false, lower);
        }
        // The top rung is made again, and the other one is three seconds behind.
        let asked = now + 10 * second;
        ledger.handle_video_tick(asked, 5, true, Rungs::all(2));
        for number in 2..=4 {
            let at = asked + second * u32::try_from(number).unwrap() - second;
            ledger.handle_output(at, &frame(1, number - 1));
            assert!(!ledger.is_hung(at));
        }
        let at = asked + 4 * second;
        ledger.handle_output(at, &frame(1, 4));
        ledger.handle_output(at, &frame(1, 5));
        assert!(ledger.is_hung(at + 3 * second), "now it is its own fault");
    }

    #[test]
    fn a_new_worker_gets_what_is_open_and_the_rungs_begin_together() {
        let (mut ledger, now) = ledger();
        for number in 1..=4 {
            tick(&mut ledger, now, number, false);
        }
        for output in [frame(0, 1), frame(1, 1), frame(0, 2), frame(0, 3)] {
            ledger.handle_output(now, &output);
        }
        // Rung 1 lacks 2 and 3; nobody has 4.
        assert_eq!(
            asked(&ledger.restart(now)),
            [(2, true), (3, false), (4, true)]
        );
        // In whichever order they come.
        assert_eq!(ledger.handle_output(now, &frame(1, 2)), Verdict::Deliver);
        assert_eq!(ledger.handle_output(now, &frame(0, 2)), Verdict::Repeated);
        assert_eq!(ledger.handle_output(now, &frame(0, 2)), Verdict::Violation);
        assert_eq!(ledger.handle_output(now, &frame(0, 3)), Verdict::Repeated);
        assert_eq!(ledger.handle_output(now, &frame(0, 4)), Verdict::Deliver);
    }

    #[test]
    fn the_idr_comes_with_the_next_tick_when_all_open_ones_are_partial() {
        let (mut ledger, now) = ledger();
        tick(&mut ledger, now, 1, false);
        ledger.handle_output(now, &frame(1, 1));
        assert_eq!(asked(&ledger.restart(now)), [(1, true)]);
        assert_eq!(asked(&[tick(&mut ledger, now, 2, false)]), [(2, true)]);
        assert_eq!(asked(&[tick(&mut ledger, now, 3, false)]), [(3, false)]);
    }

    #[test]
    fn a_silent_rung_is_a_hang_though_the_others_answer() {
        let (mut ledger, start) = ledger();
        let mut now = start;
        for number in 0..100 {
            tick(&mut ledger, now, number, false);
            ledger.handle_output(now, &frame(0, number));
            assert_eq!(ledger.is_hung(now), now.duration_since(start) > HANG_LIMIT);
            now += Duration::from_millis(33);
        }
        assert!(ledger.is_hung(now));
        ledger.excuse(now);
        assert!(!ledger.is_hung(now));
        ledger.restart(now);
        assert!(!ledger.is_hung(now + START_GRACE + HANG_LIMIT));
        assert!(ledger.is_hung(now + START_GRACE + HANG_LIMIT + Duration::from_millis(1)));
    }

    #[test]
    fn a_pause_and_the_lag_of_audio_are_no_hang() {
        let (mut ledger, now) = ledger();
        let later = now + Duration::from_secs(60);
        assert!(!ledger.is_hung(later));
        for number in 0..2 {
            ledger.handle_audio_tick(now, number).unwrap();
        }
        assert!(!ledger.is_hung(later));
        ledger.handle_audio_tick(now, 2).unwrap();
        assert!(ledger.is_hung(later));
        let output = Output::Audio {
            number: 0,
            data: Bytes::new(),
        };
        assert_eq!(ledger.handle_output(later, &output), Verdict::Deliver);
        assert_eq!(ledger.handle_output(later, &output), Verdict::Violation);
    }

    #[test]
    fn opus_is_taken_as_far_as_sound_was_asked_for() {
        let (mut ledger, now) = ledger();
        let opus = |number| Output::Opus {
            number,
            data: Bytes::new(),
        };
        assert_eq!(ledger.handle_output(now, &opus(0)), Verdict::Violation);
        for number in 0..15 {
            ledger.handle_audio_tick(now, number).unwrap();
        }
        // 15 AAC frames are as long as 16 packets.
        assert_eq!(ledger.handle_output(now, &opus(15)), Verdict::Deliver);
        assert_eq!(ledger.handle_output(now, &opus(16)), Verdict::Violation);
        let absurd = opus(u64::MAX);
        assert_eq!(ledger.handle_output(now, &absurd), Verdict::Violation);
    }

    #[test]
    fn too_many_ticks_are_given_up_and_an_idr_is_not_forgotten() {
        let (mut ledger, now) = ledger();
        for number in 0..MAX_VIDEO as u64 {
            tick(&mut ledger, now, number, false);
        }
        let number = MAX_VIDEO as u64;
        assert!(
            ledger
                .handle_video_tick(now, number, true, Rungs::all(2))
                .is_none()
        );
        for rung in 0..2 {
            ledger.handle_output(now, &frame(rung, 0));
        }
        assert_eq!(
            asked(&[tick(&mut ledger, now, number + 1, false)]),
            [(number + 1, true)]
        );
    }

    #[test]
    fn a_rung_that_is_not_asked_must_not_answer() {
        let (mut ledger, now) = ledger();
        let tick = ledger.handle_video_tick(now, 1, false, Rungs(0b10));
        assert!(matches!(tick, Some(ToWorker::Tick { rungs: 0b10, .. })));
        assert_eq!(ledger.handle_output(now, &frame(1, 1)), Verdict::Deliver);
        assert_eq!(ledger.lag(now + HANG_LIMIT), Duration::ZERO);
        assert!(!ledger.is_hung(now + 2 * HANG_LIMIT));
        ledger
            .handle_video_tick(now, 2, false, Rungs(0b10))
            .unwrap();
        assert_eq!(ledger.handle_output(now, &frame(0, 2)), Verdict::Violation);
        // Nor is it asked by a restart.
        let again = ledger.restart(now);
        assert!(matches!(again[..], [ToWorker::Tick { rungs: 0b10, .. }]));
    }

    #[test]
    fn a_slow_rung_is_left_out_until_it_has_caught_up() {
        let start = inlet_common::clock::now();
        let mut ledger = Ledger::new(start, 2, true);
        let now = start + START_GRACE;
        let ask = |ledger: &mut Ledger, number, idr| match ledger.handle_video_tick(
            now,
            number,
            idr,
            Rungs::all(2),
        ) {
            Some(ToWorker::Tick { rungs, .. }) => rungs,
            other => panic!("{other:?}"),
        };
        for number in 0..MAX_BEHIND as u64 {
            assert_eq!(ask(&mut ledger, number, false), 0b11);
            ledger.handle_output(now, &frame(1, number));
        }
        assert_eq!(ask(&mut ledger, 8, false), 0b10);
        assert_eq!(ask(&mut ledger, 9, true), 0b11, "key frames are for all");
        let later = now + MAX_LAG;
        let look = ledger.look(later);
        assert_eq!((look.lag, look.skipped, look.is_moving), (MAX_LAG, 1, true));
        assert!(!ledger.is_swamped(later) && ledger.is_swamped(later + MAX_LAG));
        for number in [0, 1, 2] {
            ledger.handle_output(now, &frame(0, number));
        }
        assert_eq!(ask(&mut ledger, 10, false), 0b11);
        assert_eq!(ledger.look(now).skipped, 0);
    }

    #[test]
    fn a_new_worker_may_be_far_behind_for_a_while() {
        let now = inlet_common::clock::now();
        let mut ledger = Ledger::new(now, 2, true);
        for number in 0..60 {
            let tick = ledger.handle_video_tick(now, number, false, Rungs::all(2));
            assert!(matches!(tick, Some(ToWorker::Tick { rungs: 0b11, .. })));
        }
        assert!(!ledger.is_swamped(now + START_GRACE - Duration::from_millis(1)));
    }

    fn ledger() -> (Ledger, Instant) {
        let now = inlet_common::clock::now();
        (Ledger::new(now, 2, false), now)
    }

    fn tick(ledger: &mut Ledger, now: Instant, number: u64, idr: bool) -> ToWorker {
        ledger
            .handle_video_tick(now, number, idr, Rungs::all(2))
            .unwrap()
    }

    fn frame(rung: usize, number: u64) -> Output {
        Output::Video {
            rung,
            number,
            idr: false,
            data: Bytes::new(),
        }
    }

    fn asked(ticks: &[ToWorker]) -> Vec<(u64, bool)> {
        ticks
            .iter()
            .map(|tick| match tick {
                ToWorker::Tick { number, idr, .. } => (*number, *idr),
                other => panic!("{other:?}"),
            })
            .collect()
    }
}
