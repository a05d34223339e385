//! Which segment a video frame belongs to; pure.
//!
//! That follows from its number, as long as we make every key frame ourselves. While a
//! presenter's own frames are passed through, a segment begins with the key frame that
//! the presenter has made for it, some frames before or behind its nominal place, and
//! whether the next frame is that one is not known before it is there.

use std::collections::VecDeque;

use super::Beat;

/// Beginnings kept. Frames are on their way for some seconds at most, and segments
/// begin a second apart.
const MAX_BEGINNINGS: usize = 64;

/// The beginnings of segments that were told.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    /// Oldest first, with rising frames and segments.
    beginnings: VecDeque<Beginning>,
}

#[derive(Clone, Copy, Debug)]
struct Beginning {
    segment: u64,
    /// Its first frame.
    frame: u64,
    /// Frames before this one belong to it for sure.
    sure_until: u64,
    /// The next segment begins when that is told; else at its nominal place.
    is_open: bool,
}

impl Course {
    /// Segment `segment` begins with `frame`, and the next one not before frame
    /// `sure_until`, when that is told.
    pub(super) fn begin(&mut self, segment: u64, frame: u64, sure_until: u64) {
        self.beginnings.push_back(Beginning {
            segment,
            frame,
            sure_until,
            is_open: true,
        });
        if self.beginnings.len() > MAX_BEGINNINGS {
            self.beginnings.pop_front();
        }
    }

    /// `frame` belongs to the segment that was begun last.
    pub(super) fn reach(&mut self, frame: u64) {
        if let Some(last) = self.beginnings.back_mut() {
            last.sure_until = last.sure_until.max(frame + 1);
        }
    }

    /// From the next one on, segments begin at their nominal places.
    pub(super) fn end(&mut self) {
        if let Some(last) = self.beginnings.back_mut() {
            last.is_open = false;
        }
    }

    /// Whether the next segment begins when that is told.
    pub(super) fn is_open(&self) -> bool {
        self.beginnings.back().is_some_and(|last| last.is_open)
    }

    /// The segment of a frame that has been told of, or of any where none is told.
    pub(super) fn segment_of(&self, beat: &Beat, number: u64) -> u64 {
        let nominal = beat.segment_of(number);
        match self.last_before(number) {
            None => nominal,
            Some(begun) if begun.is_open => begun.segment,
            // It may have begun a little before its nominal place.
            Some(begun) => begun.segment.max(nominal),
        }
    }

    /// The first frame of a segment.
    pub(super) fn first_unit(&self, beat: &Beat, segment: u64) -> u64 {
        let told = self.beginnings.iter().find(|it| it.segment == segment);
        told.map_or_else(|| beat.first_unit(segment), |begun| begun.frame)
    }

    /// Whether a frame is its segment's last; `None` while that is not known.
    pub(super) fn is_last(&self, beat: &Beat, number: u64) -> Option<bool> {
        let next = number + 1;
        match self.last_before(next) {
            Some(begun) if begun.is_open && begun.frame <= number => {
                let is_sure = next < begun.sure_until || self.is_followed(begun);
                is_sure.then_some(false)
            }
            _ => Some(self.segment_of(beat, next) != self.segment_of(beat, number)),
        }
    }

    fn last_before(&self, number: u64) -> Option<&Beginning> {
        let mut latest = self.beginnings.iter().rev();
        latest.find(|begun| begun.frame <= number)
    }

    fn is_followed(&self, begun: &Beginning) -> bool {
        let last = self.beginnings.back();
        last.is_some_and(|last| last.segment > begun.segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::{Layout, tests::spec};

    fn beat() -> Beat {
        Layout::new(&spec(30)).unwrap().video
    }

    #[test]
    fn segments_are_nominal_where_nothing_is_told() {
        let (course, beat) = (Course::default(), beat());
        assert_eq!(course.segment_of(&beat, 89), 2);
        assert_eq!(course.first_unit(&beat, 3), 90);
        assert_eq!(course.is_last(&beat, 88), Some(false));
        assert_eq!(course.is_last(&beat, 89), Some(true));
    }

    #[test]
    fn a_segment_begins_where_it_was_told_to() {
        let (mut course, beat) = (Course::default(), beat());
        course.begin(2, 60, 87);
        assert_eq!(course.is_last(&beat, 85), Some(false));
        assert_eq!(course.is_last(&beat, 86), None);
        course.reach(87);
        assert_eq!(course.is_last(&beat, 86), Some(false));
        assert_eq!(course.is_last(&beat, 87), None);
        course.begin(3, 88, 117);
        assert_eq!(course.is_last(&beat, 87), Some(true));
        assert_eq!(course.segment_of(&beat, 87), 2);
        assert_eq!(course.segment_of(&beat, 88), 3);
        assert_eq!(course.first_unit(&beat, 3), 88);
        course.begin(4, 125, 147);
        assert_eq!(course.segment_of(&beat, 124), 3);
        assert_eq!(course.is_last(&beat, 118), Some(false), "the end is known");
        assert_eq!(course.is_last(&beat, 124), Some(true));
    }

    #[test]
    fn it_ends_with_the_segment_that_was_begun_last() {
        let (mut course, beat) = (Course::default(), beat());
        course.begin(2, 60, 87);
        course.begin(3, 88, 117);
        course.end();
        assert_eq!(course.segment_of(&beat, 88), 3, "before its nominal place");
        assert_eq!(course.segment_of(&beat, 119), 3);
        assert_eq!(course.is_last(&beat, 119), Some(true));
        assert_eq!(course.segment_of(&beat, 120), 4);
        course.begin(9, 270, 297);
        assert_eq!(course.segment_of(&beat, 269), 8);
        assert_eq!(course.is_last(&beat, 269), Some(true));
        assert_eq!(course.segment_of(&beat, 300), 9, "its end is not told");
    }

    #[test]
    fn beginnings_are_bounded() {
        let mut course = Course::default();
        for segment in 0..1000 {
            course.begin(segment, segment * 30, segment * 30);
        }
        assert_eq!(course.beginnings.len(), MAX_BEGINNINGS);
    }
}
