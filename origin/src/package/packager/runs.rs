//! How a run of media ends, and how the next one begins.

use super::{Packager, sound::Sound};
use crate::{
    package::{State, segmenter::Segmenter},
    timeline::MediaTime,
};

impl Packager {
    /// The presenter has left: seals what is open. Playlists stay as they are.
    pub fn interrupt(&mut self) {
        self.stop(State::Interrupted);
    }

    /// A presenter has returned: the next run begins, with a discontinuity, in
    /// a segment of its own.
    ///
    /// Does nothing after [`Self::end`].
    pub fn resume(&mut self) {
        match self.state {
            State::Ended => return,
            State::Live => self.stop(State::Interrupted),
            State::Interrupted => {}
        }
        self.state = State::Live;
        self.run_start = None;
        self.sounds.iter_mut().for_each(Sound::forget);
        if let Some(segment) = self.next_common_segment() {
            self.break_at = Some(segment);
            for segmenter in &mut self.segmenters {
                segmenter.restart_from(segment);
                segmenter.break_from(segment);
            }
        }
    }

    /// A new worker is about to make every rung. [`Self::resume`] should follow.
    pub fn expect_all_rungs(&mut self) {
        self.stand_ins.forget();
    }

    /// Nothing will follow: playlists get ENDLIST.
    pub fn end(&mut self) {
        self.stop(State::Ended);
    }

    fn stop(&mut self, state: State) {
        if self.state == State::Ended || self.state == state {
            return;
        }
        self.end_passed();
        self.state = state;
        self.sounds.iter_mut().for_each(Sound::forget);
        for index in 0..self.segmenters.len() {
            let growth = self
                .segmenters
                .get_mut(index)
                .map(Segmenter::seal)
                .unwrap_or_default();
            self.has_part_now(index, growth);
            self.emit(index, growth, true);
        }
        self.fill_periods();
        self.periods.withdraw();
        let end = self.end_before(u64::MAX);
        self.periods.close(end);
        self.presentation_changed = true;
        self.announce();
    }

    /// Where the video before segment `next` ends.
    pub(super) fn end_before(&self, next: u64) -> Option<MediaTime> {
        let video = self.segmenters.iter().take(self.audio_index());
        video
            .filter_map(|segmenter| segmenter.end_before(next))
            .max()
    }
}
