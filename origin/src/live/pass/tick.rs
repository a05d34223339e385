//! What each tick makes of the pictures before it: from the first key frames that come as
//! asked to the last picture that is passed through.

use super::{Begun, End, Event, Held, Passage, Progress, Reason, State, Tick};
use crate::package::{Coded, Passed};

/// Key frames in a row that have to come in time before anything is passed through.
const HITS: u32 = 3;

/// Those that may fail to, until the presenter is taken not to keep the beat.
const MAX_MISSES: u32 = 10;

/// A presenter whose pictures stay away so long is not waited for: a lost one and the
/// key frame after it take a quarter of it.
const STALL_SECONDS: u64 = 1;

impl Passage {
    /// Takes a tick that is an IDR, nominally, or is not. Tells what the worker is to
    /// make of it.
    pub(in crate::live) fn handle_tick(&mut self, number: u64, nominal: bool) -> Tick {
        let group = std::mem::take(&mut self.group);
        self.pay(number, &group);
        if let Some(end) = self.trouble.take() {
            return self.leave(number, nominal, end);
        }
        match self.state {
            State::Off | State::Waiting => encoded(nominal),
            State::Tuning => self.tune(number, nominal, &group),
            State::Armed(begun) | State::Passing(begun) => self.follow(number, begun, group),
        }
    }

    /// Counts the key frames that come as asked.
    fn tune(&mut self, number: u64, nominal: bool, group: &[Coded]) -> Tick {
        let length = self.rhythm.segment_frames;
        let target = self.asking.target();
        let target = target.unwrap_or((number / length + 1) * length);
        if self.asking.target().is_none() {
            self.asking.aim(Some(target));
        }
        let has_key = group.iter().any(|coded| coded.sync);
        if has_key && number >= target.saturating_sub(self.early()) {
            self.hits += 1;
            self.note_key_frame(number, target);
        } else if number >= target + self.late() {
            self.hits = 0;
            self.misses += 1;
            self.asking.aim(Some(target + length));
            if self.misses > MAX_MISSES {
                return self.leave(number, nominal, End::For(Reason::KeyFrames));
            }
        }
        if !number.is_multiple_of(length) {
            return encoded(nominal);
        }
        if self.is_too_fast() {
            return self.leave(number, nominal, End::For(Reason::FrameRate));
        }
        if self.hits >= HITS && number > self.suspended_until {
            let begun = self.begin(number / length, number);
            self.state = State::Armed(begun);
            self.aim(Some(begun.frame + length));
        }
        encoded(nominal)
    }

    /// Waits for the key frame that begins the next segment.
    fn follow(&mut self, number: u64, begun: Begun, group: Vec<Coded>) -> Tick {
        let next = self.next_nominal(begun);
        let is_passing = matches!(self.state, State::Passing(_));
        let is_near = number >= next.saturating_sub(self.early());
        let may_begin = is_near && (number >= next || !self.breaks.contains(&next));
        let key = group.iter().position(|coded| coded.sync);
        if let Some(key) = key.filter(|_| may_begin) {
            return self.turn(number, begun, group, key);
        }
        if self.has_stalled(number) {
            return self.leave(number, false, End::For(Reason::Stall));
        }
        if number >= next + self.late() {
            return match is_passing {
                true => self.leave(number, false, End::For(Reason::KeyFrames)),
                false => self.miss(number),
            };
        }
        if is_near {
            self.tell(Passed::Continues { frame: number });
        }
        if is_passing && !group.is_empty() {
            let first = self.flush(number, begun, true);
            self.hold(first, number, group);
        }
        Tick {
            idr: false,
            top_passed: is_passing,
        }
    }

    /// The next segment begins with a key frame of the presenter's.
    fn turn(&mut self, number: u64, begun: Begun, mut group: Vec<Coded>, key: usize) -> Tick {
        let frames = group.split_off(key);
        if self.is_too_fast() {
            return self.leave(number, false, End::For(Reason::FrameRate));
        }
        let next = self.begin(begun.segment + 1, number);
        // What came before the key frame in its slot shares the one before.
        if let Some(held) = &mut self.held {
            held.frames.extend(group);
        }
        self.flush(number, begun, false);
        self.hold(number, number, frames);
        if let State::Armed(_) = self.state {
            self.events.push_back(Event::Changed(Progress::Passing));
        }
        self.state = State::Passing(next);
        self.note_key_frame(number, self.next_nominal(begun));
        Tick {
            idr: true,
            top_passed: true,
        }
    }

    /// No key frame has come for the first segment that was to begin with one: it begins
    /// all the same.
    fn miss(&mut self, number: u64) -> Tick {
        self.misses += 1;
        let end = match self.misses > MAX_MISSES {
            true => End::For(Reason::KeyFrames),
            false => End::ForNow,
        };
        self.leave(number, false, end)
    }

    /// The worker makes the top rung again, from frame `number` on.
    fn leave(&mut self, number: u64, nominal: bool, end: End) -> Tick {
        let (begun, is_passing) = match self.state {
            State::Armed(begun) => (begun, false),
            State::Passing(begun) => (begun, true),
            State::Off | State::Waiting | State::Tuning => {
                self.close(end);
                return encoded(nominal);
            }
        };
        let begins = number >= self.next_nominal(begun);
        if begins {
            self.begin(begun.segment + 1, number);
        }
        self.flush(number, begun, false);
        self.tell(Passed::Ends);
        self.close(end);
        encoded(begins || is_passing)
    }

    pub(super) fn close(&mut self, end: End) {
        let was = match self.state {
            State::Passing(_) => Progress::Passing,
            _ => Progress::Starting,
        };
        self.hits = 0;
        self.pictures = 0;
        self.asking.aim(None);
        let (state, progress) = match end {
            End::For(reason) => (State::Off, Progress::Encoded(reason)),
            End::ForNow => (State::Tuning, Progress::Starting),
        };
        self.state = state;
        if progress != was {
            self.events.push_back(Event::Changed(progress));
        }
    }

    fn begin(&mut self, segment: u64, frame: u64) -> Begun {
        let begun = Begun { segment, frame };
        let sure_until = self.next_nominal(begun).saturating_sub(self.early());
        self.tell(Passed::Begins {
            segment,
            frame,
            sure_until,
        });
        self.pictures = 0;
        begun
    }

    fn note_key_frame(&mut self, number: u64, target: u64) {
        let rate = self.rhythm.rate;
        let off = rate.time_of(number).as_micros() - rate.time_of(target).as_micros();
        self.events.push_back(Event::KeyFrame(off));
        self.aim(Some(target + self.rhythm.segment_frames));
    }

    pub(super) fn aim(&mut self, target: Option<u64>) {
        if target != self.asking.target() {
            self.asking.aim(target);
        }
        if target.is_some_and(|target| self.breaks.contains(&target)) {
            self.asking.aim_behind();
        }
    }

    fn hold(&mut self, first: u64, came: u64, frames: Vec<Coded>) {
        self.held = Some(Held {
            first,
            came,
            frames,
        });
    }

    /// Hands over what is held, shown until frame `until`. Where that reaches a single
    /// frame beyond a part, and `may_cut`, it is shown until the part's end: parts have
    /// to be full, and no longer. Returns where the next ones begin.
    pub(super) fn flush(&mut self, until: u64, begun: Begun, may_cut: bool) -> u64 {
        let Some(held) = self.held.take() else {
            return until;
        };
        let part = self.rhythm.part_frames.max(1);
        let part_ends = begun.frame + (held.first.saturating_sub(begun.frame) / part + 1) * part;
        let end = match may_cut && part_ends + 1 == until {
            true => part_ends,
            false => until,
        };
        self.tell(Passed::Frames {
            first: held.first,
            count: end.saturating_sub(held.first).max(1),
            frames: held.frames,
        });
        end
    }

    fn tell(&mut self, passed: Passed) {
        self.events.push_back(Event::Passed(passed));
    }

    fn has_stalled(&self, number: u64) -> bool {
        let longest = STALL_SECONDS * u64::from(self.rhythm.rate.as_u32());
        let came = self.held.as_ref().map(|held| held.came);
        came.is_some_and(|came| number >= came + longest)
    }

    /// A presenter far above the rate that it was told fills the window with it.
    fn pay(&mut self, number: u64, group: &[Coded]) {
        if matches!(self.state, State::Off | State::Waiting) {
            return;
        }
        let bytes = group.iter().map(|coded| coded.data.len()).sum();
        if !self.budget.spend(number, bytes) {
            self.trouble = Some(End::For(Reason::Bitrate));
        }
    }

    /// A quarter more pictures in a segment than it has frames are no jitter.
    fn is_too_fast(&mut self) -> bool {
        let most = self.rhythm.segment_frames * 5 / 4;
        std::mem::take(&mut self.pictures) > most
    }

    /// Where the segment after one begins, nominally.
    fn next_nominal(&self, begun: Begun) -> u64 {
        (begun.segment + 1) * self.rhythm.segment_frames
    }

    /// By so much a segment may begin before its nominal place. With what it may be late
    /// it is less than half a segment: DASH lets numbers drift no further, and a segment
    /// of one and a half no longer rounds to HLS's target duration.
    fn early(&self) -> u64 {
        self.rhythm.segment_frames / 10
    }

    /// By so much a segment may begin after its nominal place.
    fn late(&self) -> u64 {
        self.rhythm.segment_frames / 3
    }
}

fn encoded(idr: bool) -> Tick {
    Tick {
        idr,
        top_passed: false,
    }
}
