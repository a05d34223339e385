//! Rungs that leave and return, and the periods that come of it.

use std::sync::Arc;

use super::{Dropped, Packager};
use crate::package::{
    Init, Period,
    segmenter::Segmenter,
    stand_in::{Frame, StandIns, Way},
};

impl Packager {
    /// Shows a rung's frame in a rendition, its own or another's.
    pub(super) fn show(&mut self, rendition: usize, rung: usize, segment: u64, frame: Frame) {
        let first = self.course.first_unit(&self.layout.video, segment);
        let next = self.segmenters.get(rendition).and_then(Segmenter::next);
        let is_whole = next.is_none_or(|next| next >= first);
        match self.stand_ins.way(rendition, rung, segment, is_whole) {
            Way::Goes => {}
            Way::Waits => return self.stand_ins.hold(rendition, frame),
            Way::Late => return self.count(Dropped::Late),
            Way::Switches => {
                let waiting = self.stand_ins.release(rendition);
                let first = waiting.front().map_or(frame.number, |it| it.number);
                let segment = self.course.segment_of(&self.layout.video, first);
                self.switch(rendition, segment);
                for earlier in waiting {
                    self.push(rendition, earlier.number, earlier.data, earlier.idr);
                }
            }
        }
        self.push(rendition, frame.number, frame.data, frame.idr);
    }

    /// Lets a rendition go on from `segment` with the pictures of another rung.
    fn switch(&mut self, rendition: usize, segment: u64) {
        let Some(segmenter) = self.segmenters.get_mut(rendition) else {
            return;
        };
        let growth = segmenter.restart_from(segment);
        if let Some(init) = self.stand_ins.present_init(rendition) {
            // Nothing has begun that it could break.
            _ = segmenter.configure(Init::clone(init));
        }
        self.publish(rendition, growth);
    }

    /// A rung leaves or returns with frame `from`: all renditions break there, as
    /// their discontinuity sequences must stay equal.
    pub(super) fn plan_rung(&mut self, rung: usize, is_made: bool, from: u64) {
        if rung >= self.audio_index() {
            return self.count(Dropped::NoRung);
        }
        let segment = self.layout.video.segment_of(from);
        let segment = segment.max(self.next_common_segment().unwrap_or(0));
        self.stand_ins.plan(rung, is_made, segment);
        for segmenter in &mut self.segmenters {
            segmenter.break_from(segment);
        }
        self.announce_periods();
    }

    pub(super) fn announce_periods(&mut self) {
        let Some(newest) = self.segmenters.iter().filter_map(Segmenter::newest).max() else {
            return;
        };
        for segment in self.stand_ins.after(newest) {
            let period = self.period(segment);
            let start = self.layout.segment_start(segment);
            self.periods.announce(period, start);
            self.presentation_changed = true;
        }
    }

    /// A period as it is known before it begins.
    pub(super) fn period(&self, first_segment: u64) -> Period {
        Period {
            first_segment,
            end: None,
            inits: self.inits_in(first_segment),
            absent: self.stand_ins.absent(first_segment),
        }
    }

    pub(super) fn fill_periods(&mut self) {
        let (stand_ins, rungs) = (&self.stand_ins, self.spec.ladder.len());
        let sounds = self.sound_inits();
        self.periods
            .fill(|segment| inits_in(stand_ins, rungs, &sounds, segment));
    }

    fn inits_in(&self, segment: u64) -> Vec<Option<Arc<Init>>> {
        let (stand_ins, rungs) = (&self.stand_ins, self.spec.ladder.len());
        inits_in(stand_ins, rungs, &self.sound_inits(), segment)
    }
}

/// Init segments of all renditions in a segment.
fn inits_in(
    stand_ins: &StandIns,
    rungs: usize,
    sounds: &[Option<Arc<Init>>],
    segment: u64,
) -> Vec<Option<Arc<Init>>> {
    let video = (0..rungs).map(|rendition| stand_ins.init(rendition, segment).cloned());
    video.chain(sounds.iter().cloned()).collect()
}
