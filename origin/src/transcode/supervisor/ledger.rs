//! Ticks that the worker has not answered yet.
//!
//! Pure. It checks every answer against what was asked (a worker that answers
//! anything else is not to be trusted), tells a hang from a pause, and knows
//! what a new worker has to answer. A frame that some rungs have and others
//! lack is asked for again; the rungs that have it drop the second one.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::transcode::{Input, Output};

/// A worker that lets ticks wait this long has hung: a frame costs some ten
/// milliseconds.
pub const HANG_LIMIT: Duration = Duration::from_secs(2);

/// The books of one worker after another.
#[derive(Debug)]
pub(super) struct Ledger {
    video: VecDeque<VideoTick>,
    audio: VecDeque<AudioTick>,
    /// Last answer of each rung, and of audio at the end.
    lanes: Vec<Instant>,
    /// The next tick must be an IDR whatever it asks for.
    owes_idr: bool,
}

#[derive(Debug)]
struct VideoTick {
    number: u64,
    idr: bool,
    /// Rungs whose frame the caller has, one bit each.
    delivered: u32,
    /// Rungs that the present worker has not answered for.
    open: u32,
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
    pub(super) fn new(now: Instant, rungs: usize) -> Self {
        Self {
            video: VecDeque::new(),
            audio: VecDeque::new(),
            lanes: vec![now; rungs + 1],
            owes_idr: false,
        }
    }

    /// Enters a tick. Returns it as the worker must get it, or `None` when too
    /// many wait: then it will never be answered.
    pub(super) fn handle_tick(&mut self, now: Instant, tick: Input) -> Option<Input> {
        match tick {
            Input::VideoTick { number, idr } => {
                let idr = idr || self.owes_idr;
                let is_next = self.video.back().is_none_or(|last| last.number < number);
                if self.video.len() >= MAX_VIDEO || !is_next {
                    self.owes_idr = idr;
                    return None;
                }
                self.owes_idr = false;
                let open = self.all_rungs();
                self.video.push_back(VideoTick {
                    number,
                    idr,
                    delivered: 0,
                    open,
                    since: now,
                });
                Some(Input::VideoTick { number, idr })
            }
            Input::AudioTick { number } => {
                let is_next = self.audio.back().is_none_or(|last| last.number < number);
                if self.audio.len() >= MAX_AUDIO || !is_next {
                    return None;
                }
                self.audio.push_back(AudioTick { number, since: now });
                Some(Input::AudioTick { number })
            }
            _ => None,
        }
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
            Output::AudioConfig { .. } | Output::Report(_) | Output::KeyFrameNeeded => {
                Verdict::Deliver
            }
            Output::VideoConfig { .. } | Output::Video { .. } | Output::Restarted => {
                Verdict::Violation
            }
        }
    }

    fn answer(&mut self, now: Instant, rung: usize, number: u64) -> Verdict {
        let tick = self.video.binary_search_by_key(&number, |tick| tick.number);
        let Some(tick) = tick.ok().and_then(|index| self.video.get_mut(index)) else {
            return Verdict::Violation;
        };
        let bit = 1u32 << rung;
        if tick.open & bit == 0 {
            return Verdict::Violation;
        }
        let verdict = if tick.delivered & bit == 0 {
            Verdict::Deliver
        } else {
            Verdict::Repeated
        };
        tick.open &= !bit;
        tick.delivered |= bit;
        while self.video.pop_front_if(|tick| tick.open == 0).is_some() {}
        self.touch(now, rung);
        verdict
    }

    fn all_rungs(&self) -> u32 {
        (1u32 << (self.lanes.len() - 1)) - 1
    }

    fn touch(&mut self, now: Instant, lane: usize) {
        if let Some(last) = self.lanes.get_mut(lane) {
            *last = now;
        }
    }

    /// A new worker takes over. Returns the ticks that it has to answer: the
    /// first one is an IDR, and so is the first that no rung has yet, because
    /// that is where rungs begin that have the one before.
    pub(super) fn restart(&mut self, now: Instant) -> Vec<Input> {
        let since = now + START_GRACE;
        let is_partly_answered = self.video.iter().any(|tick| tick.delivered != 0);
        self.owes_idr |= is_partly_answered;
        let all = self.all_rungs();
        let mut ticks = Vec::with_capacity(self.video.len() + self.audio.len());
        for (index, tick) in self.video.iter_mut().enumerate() {
            let is_whole = tick.delivered == 0;
            tick.idr |= index == 0 || (is_whole && self.owes_idr);
            self.owes_idr &= !is_whole;
            tick.open = all;
            tick.since = since;
            ticks.push(Input::VideoTick {
                number: tick.number,
                idr: tick.idr,
            });
        }
        for tick in &mut self.audio {
            tick.since = since;
            ticks.push(Input::AudioTick {
                number: tick.number,
            });
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
                let mut waiting = self.video.iter().filter(|tick| tick.open >> lane & 1 == 1);
                waiting.next().map(|tick| tick.since)
            } else {
                self.audio.get(AUDIO_LAG).map(|tick| tick.since)
            };
            oldest.is_some_and(|since| is_overdue(last, since))
        })
    }
}

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
            ledger
                .handle_tick(now, Input::AudioTick { number })
                .unwrap();
        }
        assert!(!ledger.is_hung(later));
        ledger
            .handle_tick(now, Input::AudioTick { number: 2 })
            .unwrap();
        assert!(ledger.is_hung(later));
        let output = Output::Audio {
            number: 0,
            data: Bytes::new(),
        };
        assert_eq!(ledger.handle_output(later, &output), Verdict::Deliver);
        assert_eq!(ledger.handle_output(later, &output), Verdict::Violation);
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
                .handle_tick(now, Input::VideoTick { number, idr: true })
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

    fn ledger() -> (Ledger, Instant) {
        let now = inlet_common::clock::now();
        (Ledger::new(now, 2), now)
    }

    fn tick(ledger: &mut Ledger, now: Instant, number: u64, idr: bool) -> Input {
        ledger
            .handle_tick(now, Input::VideoTick { number, idr })
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

    fn asked(ticks: &[Input]) -> Vec<(u64, bool)> {
        ticks
            .iter()
            .map(|tick| match tick {
                Input::VideoTick { number, idr } => (*number, *idr),
                other => panic!("{other:?}"),
            })
            .collect()
    }
}
