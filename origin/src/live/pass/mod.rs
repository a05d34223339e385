//! The presenter's own coded pictures as the top rung; pure.
//!
//! A segment begins with a key frame on every rung, and a presenter's key frames come
//! when it makes them. So it is asked for one ahead of each segment, and while its
//! pictures are passed through the segment begins, on all rungs, with the frame that
//! this turns out to be, a little beside its nominal place. When none comes in time, or
//! the pictures change in any way that the track does not bear, the worker makes the top
//! rung too, from that very frame on: the track knows both pairs of parameter sets. That
//! is for the rest of the session, so that nothing flaps.
//!
//! ```text
//!            growth is       three key frames    a segment        the next one's
//!            over            came as asked       begins           key frame comes
//!  Waiting ─────────▶ Tuning ─────────▶ … ─────────▶ Armed ─────────▶ Passing
//!                       ▲                              │ it is late      │ late, another
//!                       └──────────────────────────────┘                 ▼ picture, stall
//!                       └────────────── too often ────────────────▶ Off(reason)
//! ```
//!
//! Tell it of every picture of the presenter's ([`Passage::handle_frame`]) before the
//! tick that may show it, of every tick ([`Passage::handle_tick`]) and of the time
//! ([`Passage::handle_timeout`]); then [`Passage::poll_event`] until there is none.

mod asking;
mod picture;
mod reason;
#[cfg(test)]
pub(super) mod tests;
mod tick;

use std::collections::{BTreeSet, VecDeque};

pub(super) use self::picture::Sets;
pub use self::reason::{Progress, Reason};
use self::{asking::Asking, picture::Picture};
use crate::{
    ingest::Frame,
    package::{Coded, Passed},
    timeline::{FrameRate, MediaTime},
    transcode::Budget,
};

/// Segments known at a time to begin a period; there is one for each rung that is shed or
/// restored within some seconds.
const MAX_BREAKS: usize = 16;

/// Pictures that share a slot; more of them are no jitter.
const MAX_GROUP: usize = 8;

/// The rhythm that is to be kept, in frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    pub(super) rate: FrameRate,
    pub(super) segment_frames: u64,
    pub(super) part_frames: u64,
    /// The rate that the presenter is told to keep, in bits per second, without sound.
    pub(super) bitrate: u32,
}

/// What comes out.
#[derive(Debug)]
pub(super) enum Event {
    /// For the packager.
    Passed(Passed),
    /// For whoever asks.
    Changed(Progress),
    /// A key frame has begun a segment, so many microseconds after its nominal place.
    KeyFrame(i64),
}

/// What a tick asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// Whether every rung has to make an IDR.
    pub(super) idr: bool,
    /// Whether the top rung has nothing to do.
    pub(super) top_passed: bool,
}

/// One presenter's pictures on their way past the worker.
#[derive(Debug)]
pub(super) struct Passage {
    rhythm: Rhythm,
    /// Those of the presenter, if it may be passed through.
    candidate: Result<Sets, Reason>,
    /// Of the newest key frame, while the ladder may grow.
    newest: Option<Sets>,
    state: State,
    asking: Asking,
    is_wanted: bool,
    /// What the next tick finds.
    trouble: Option<End>,
    /// Since the last tick.
    group: Vec<Coded>,
    /// The last ones before it, whose time is not over.
    held: Option<Held>,
    /// Pictures of the segment.
    pictures: u64,
    /// What they may have in bytes.
    budget: Budget,
    hits: u32,
    misses: u32,
    /// Nominal first frames of segments that begin a period.
    breaks: BTreeSet<u64>,
    /// Nothing is passed through up to this frame.
    suspended_until: u64,
    events: VecDeque<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Tuning,
    /// Segments begin when that is told; the worker still makes the top rung.
    Armed(Begun),
    Passing(Begun),
    Off,
}

/// The segment that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begun {
    segment: u64,
    frame: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// For the rest of the session.
    For(Reason),
    /// The presenter has to show anew that it keeps the beat.
    ForNow,
}

#[derive(Debug)]
struct Held {
    first: u64,
    /// The tick that they came with.
    came: u64,
    frames: Vec<Coded>,
}

impl Passage {
    /// Of a presenter who begins with these parameter sets, or whose top rung is encoded
    /// for a reason that is known; `waits`: the ladder may still grow.
    pub(super) fn new(rhythm: Rhythm, candidate: Result<Sets, Reason>, waits: bool) -> Self {
        let mut passage = Self {
            asking: Asking::new(rhythm.rate),
            budget: Budget::new(rhythm.bitrate, rhythm.rate),
            rhythm,
            candidate,
            newest: None,
            state: State::Waiting,
            is_wanted: false,
            trouble: None,
            group: Vec::new(),
            held: None,
            pictures: 0,
            hits: 0,
            misses: 0,
            breaks: BTreeSet::new(),
            suspended_until: 0,
            events: VecDeque::new(),
        };
        if waits {
            passage.events.push_back(Event::Changed(Progress::Starting));
        } else {
            passage.settle();
        }
        passage
    }

    /// The ladder does not grow any more.
    pub(super) fn settle(&mut self) {
        if self.state != State::Waiting {
            return;
        }
        let (state, progress) = match self.candidate {
            Ok(_) => (State::Tuning, Progress::Starting),
            Err(reason) => (State::Off, Progress::Encoded(reason)),
        };
        self.state = state;
        self.events.push_back(Event::Changed(progress));
    }

    /// The parameter sets of the newest key frame, while the ladder may still grow.
    pub(super) fn newest(&self) -> Option<&Sets> {
        self.newest.as_ref()
    }

    /// Takes a picture of the presenter's.
    pub(super) fn handle_frame(&mut self, frame: &Frame, capture: MediaTime) {
        match self.state {
            State::Off => return,
            State::Waiting => {
                if frame.is_key {
                    self.newest = Sets::read(&frame.data).ok();
                }
                return;
            }
            State::Tuning | State::Armed(_) | State::Passing(_) => {}
        }
        if self.trouble.is_some() {
            return;
        }
        match self.examine(frame) {
            Ok(coded) => {
                if coded.sync {
                    self.asking.note_key_frame(capture);
                }
                self.pictures += 1;
                self.group.push(coded);
            }
            Err(reason) => self.trouble = Some(End::For(reason)),
        }
    }

    fn examine(&self, frame: &Frame) -> Result<Coded, Reason> {
        let known = self.candidate.as_ref().map_err(|reason| *reason)?;
        let picture = Picture::read(frame, known)?;
        if let Some(brought) = &picture.sets
            && brought != known
        {
            return Err(match brought.size == known.size {
                true => Reason::ParameterSets,
                false => Reason::Size,
            });
        }
        if self.group.len() >= MAX_GROUP {
            return Err(Reason::FrameRate);
        }
        Ok(picture.coded)
    }

    /// Asks for a key frame that is due.
    pub(super) fn handle_timeout(&mut self, now: MediaTime) {
        if self.asking.due().is_some_and(|due| due <= now) {
            self.asking.note_asked(now);
            self.is_wanted = true;
        }
    }

    /// When [`Passage::handle_timeout`] has something to do.
    pub(super) fn next_timeout(&self) -> Option<MediaTime> {
        self.asking.due()
    }

    /// Whether the presenter is to be asked for a key frame.
    pub(super) fn take_wanted(&mut self) -> bool {
        std::mem::take(&mut self.is_wanted)
    }

    /// What is to be done next.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Stops with the next tick, until the presenter, who may be another one, has shown
    /// anew that it keeps the beat.
    pub(super) fn interrupt(&mut self) {
        if matches!(self.state, State::Armed(_) | State::Passing(_)) {
            self.trouble.get_or_insert(End::ForNow);
        }
        self.hits = 0;
    }

    /// The top rung is shed, and shows another one's pictures, until frame `until`.
    pub(super) fn suspend(&mut self, until: u64) {
        self.suspended_until = until;
        self.interrupt();
    }

    /// The segment whose first frame is `frame`, nominally, begins a DASH period, and
    /// players cut off what lies before the nominal place: so it must not begin earlier.
    pub(super) fn hold_back(&mut self, frame: u64) {
        self.breaks.insert(frame);
        if self.breaks.len() > MAX_BREAKS {
            self.breaks.pop_first();
        }
        self.aim(self.asking.target());
    }

    /// A stretch of time is left out: what is held has nowhere to be.
    pub(super) fn forget(&mut self) {
        self.held = None;
        self.group.clear();
        self.asking.aim(None);
        if let State::Armed(_) | State::Passing(_) = self.state {
            self.events.push_back(Event::Passed(Passed::Ends));
            self.close(End::ForNow);
        }
    }

    /// Nothing will follow: frame `next` is not asked for any more.
    pub(super) fn end(&mut self, next: u64) {
        if let State::Passing(begun) = self.state {
            self.flush(next, begun, false);
        }
        if let State::Armed(_) | State::Passing(_) = self.state {
            self.events.push_back(Event::Passed(Passed::Ends));
        }
        self.state = State::Off;
    }
}
