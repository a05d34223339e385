//! The presenter's own frames on their way into the top rendition.
//!
//! They come the moment they are there, the worker's frames before them some
//! milliseconds later, or more under load: then they wait.

use std::collections::VecDeque;

use super::{Dropped, Growth, Packager, Segmenter};
use crate::package::{Coded, ParameterSets, Passed};

/// Spans of frames that wait for the worker's last one before them: as many ticks as a
/// worker may owe.
const MAX_WAITING: usize = 600;

/// Bytes of them: four seconds of the largest rate a browser sends.
const MAX_BYTES: usize = 4 << 20;

/// A rung that is so many frames further has answered for what is not there of the top
/// one: that was lost.
const LOST_BEHIND: u64 = 30;

/// The rendition that they are for.
const TOP: usize = 0;

/// Frames and the frame numbers that they take.
#[derive(Debug)]
struct Span {
    first: u64,
    count: u64,
    frames: Vec<Coded>,
}

/// The way of the presenter's own frames.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// Of the presenter, who may be passed through.
    pub(super) sets: Option<ParameterSets>,
    is_on: bool,
    waiting: VecDeque<Span>,
}

impl Passing {
    fn is_full(&self) -> bool {
        let frames = self.waiting.iter().flat_map(|span| &span.frames);
        let bytes: usize = frames.map(|frame| frame.data.len()).sum();
        self.waiting.len() > MAX_WAITING || bytes > MAX_BYTES
    }
}

impl Packager {
    /// A presenter begins whose own frames may become the top rendition's: its init
    /// segment has these parameter sets beside the encoder's, so that either may follow
    /// the other at a key frame. `None`: all frames are the encoder's.
    pub fn expect_passed(&mut self, sets: Option<ParameterSets>) {
        self.passing.sets = sets;
    }

    /// Takes what is told of frames that are passed through.
    pub fn handle_passed(&mut self, passed: Passed) {
        match passed {
            Passed::Begins {
                segment,
                frame,
                sure_until,
            } => {
                self.course.begin(segment, frame, sure_until);
                self.tell_video(|it| it.begin_segment(segment, frame, sure_until));
            }
            Passed::Continues { frame } => {
                self.course.reach(frame);
                self.tell_video(|it| it.reach(frame));
            }
            Passed::Frames {
                first,
                count,
                frames,
            } => {
                self.passing.is_on = true;
                self.passing.waiting.push_back(Span {
                    first,
                    count,
                    frames,
                });
                self.release_passed(false);
            }
            Passed::Ends => self.end_passed(),
        }
        self.announce();
    }

    /// Whether the top rendition's frames are the presenter's.
    pub(super) fn is_passing(&self) -> bool {
        self.passing.is_on
    }

    /// Nothing more is passed through, and nothing waits.
    pub(super) fn end_passed(&mut self) {
        self.release_passed(true);
        self.passing.is_on = false;
        if self.course.is_open() {
            self.course.end();
            self.tell_video(Segmenter::end_course);
        }
    }

    /// Packages what waits, once all before it is there, or anyway.
    pub(super) fn release_passed(&mut self, anyway: bool) {
        while let Some(span) = self.passing.waiting.front() {
            if !(anyway || self.is_due(span.first) || self.passing.is_full()) {
                return;
            }
            if let Some(span) = self.passing.waiting.pop_front() {
                self.push_passed(&span);
            }
        }
    }

    /// Whether all before frame `first` is there, or lost.
    fn is_due(&self, first: u64) -> bool {
        let next = |rung| self.segmenters.get(rung).and_then(Segmenter::next);
        let others = (TOP + 1..self.audio_index()).filter_map(next);
        let furthest = others.max().unwrap_or(0);
        next(TOP).is_none_or(|next| next >= first) || furthest >= first + LOST_BEHIND
    }

    fn push_passed(&mut self, span: &Span) {
        let segment = self.course.segment_of(&self.layout.video, span.first);
        let is_shown = self.stand_ins.shows(TOP).contains(&TOP);
        if !is_shown || !self.stand_ins.targets(TOP, segment).contains(&TOP) {
            return self.count(Dropped::NoRung);
        }
        self.push_span(TOP, span.first, span.count, &span.frames);
    }

    /// A presenter's frames have the rate that it chose: what players are told of it
    /// follows when they have more than that.
    pub(super) fn measure_passed(&mut self) {
        let measured = self.segmenters.get(TOP).map_or(0, Segmenter::average);
        if measured > self.passed_average {
            self.passed_average = measured + measured / 20;
            self.presentation_changed = true;
        }
    }

    fn tell_video(&mut self, mut tell: impl FnMut(&mut Segmenter) -> Growth) {
        for index in 0..self.audio_index() {
            let growth = self.segmenters.get_mut(index).map(&mut tell);
            self.publish(index, growth.unwrap_or_default());
        }
    }
}
