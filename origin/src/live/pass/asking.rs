//! When a presenter is asked for a key frame, so that it comes with a segment; pure.
//!
//! From the request to the capture of the key frame that answers it, it takes the way
//! there and the rest of a frame. That is measured, and asked so much earlier.

use std::collections::VecDeque;

use crate::timeline::{FrameRate, MediaTime};

/// What it takes before it has been measured: a near presenter, and a frame.
const USUAL: i64 = 60_000;

/// What takes longer was not the answer, or not one to count on.
const LONGEST: i64 = 2_000_000;

/// Measurements of which the middle one counts: one that an earlier request or a loss
/// has held up makes no difference.
const MEASURED: usize = 5;

/// Least time between two requests: an edge hands on no more.
const BETWEEN: i64 = 500_000;

/// More than a frame: a request that comes just behind one misses it.
const SLACK: i64 = 50_000;

/// The requests of one presenter.
#[derive(Debug)]
pub(super) struct Asking {
    rate: FrameRate,
    /// The frame that should be a key frame.
    target: Option<u64>,
    /// How much later than that moment it may rather come than earlier.
    slack: i64,
    /// Whether it has been asked for.
    is_asked: bool,
    asked_at: Option<MediaTime>,
    is_answered: bool,
    reactions: VecDeque<i64>,
}

impl Asking {
    pub(super) fn new(rate: FrameRate) -> Self {
        Self {
            rate,
            target: None,
            slack: 0,
            is_asked: false,
            asked_at: None,
            is_answered: true,
            reactions: VecDeque::new(),
        }
    }

    /// The frame that should be a key frame.
    pub(super) fn target(&self) -> Option<u64> {
        self.target
    }

    /// Another frame should be one, the ones before are past; `None`: none.
    pub(super) fn aim(&mut self, target: Option<u64>) {
        self.target = target;
        self.slack = 0;
        self.is_asked = false;
    }

    /// The frame that should be one must not come before its place.
    pub(super) fn aim_behind(&mut self) {
        self.slack = SLACK;
    }

    /// When to ask; `None` while there is no need.
    pub(super) fn due(&self) -> Option<MediaTime> {
        let target = self.target.filter(|_| !self.is_asked)?;
        let early = self.slack - self.reaction();
        let due = self.rate.time_of(target).plus_micros(early);
        let earliest = self.asked_at.map(|at| at.plus_micros(BETWEEN));
        Some(earliest.map_or(due, |earliest| earliest.max(due)))
    }

    /// The presenter was asked.
    pub(super) fn note_asked(&mut self, now: MediaTime) {
        self.is_asked = true;
        self.is_answered = false;
        self.asked_at = Some(now);
    }

    /// A key frame has come. Where it is not the one that should be, that one may be
    /// asked for again.
    pub(super) fn note_key_frame(&mut self, capture: MediaTime) {
        let Some(asked) = self.asked_at.filter(|_| !self.is_answered) else {
            return;
        };
        let took = capture.as_micros() - asked.as_micros();
        if took <= 0 {
            return;
        }
        self.is_answered = true;
        self.is_asked = false;
        if took <= LONGEST {
            self.reactions.push_back(took);
            if self.reactions.len() > MEASURED {
                self.reactions.pop_front();
            }
        }
    }

    fn reaction(&self) -> i64 {
        let mut sorted: Vec<_> = self.reactions.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(USUAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> MediaTime {
        MediaTime::from_micros(micros)
    }

    #[test]
    fn a_key_frame_is_asked_for_as_early_as_it_takes() {
        let mut asking = Asking::new(FrameRate::DEFAULT);
        assert_eq!(asking.due(), None);
        asking.aim(Some(60));
        assert_eq!(asking.due(), Some(at(2_000_000 - USUAL)));
        for (target, took) in [(60, 130_000), (90, 900_000), (120, 150_000)] {
            asking.aim(Some(target));
            let now = asking.due().unwrap();
            asking.note_asked(now);
            assert_eq!(asking.due(), None);
            asking.note_key_frame(now.plus_micros(took));
        }
        asking.aim(Some(300));
        assert_eq!(asking.due(), Some(at(10_000_000 - 150_000)));
    }

    #[test]
    fn one_that_came_too_early_is_asked_for_again_when_that_is_of_use() {
        let mut asking = Asking::new(FrameRate::DEFAULT);
        asking.aim(Some(60));
        asking.note_asked(at(1_000_000));
        asking.note_key_frame(at(990_000));
        assert_eq!(asking.due(), None, "that was captured before");
        asking.note_key_frame(at(1_050_000));
        assert_eq!(asking.due(), Some(at(1_950_000)));
        asking.note_asked(at(1_900_000));
        asking.note_key_frame(at(1_940_000));
        assert_eq!(asking.due(), Some(at(2_400_000)), "not at once");
    }
}
