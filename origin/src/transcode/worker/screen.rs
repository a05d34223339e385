//! Which picture each frame shows.
//!
//! Pure. Pictures are decoded as they arrive, most of them before the tick that
//! is to show them; each waits here for the frame of its capture time.

use std::collections::VecDeque;

use crate::timeline::{FrameRate, MediaTime};

/// Pictures on their way to the viewers' screens.
#[derive(Debug)]
pub(super) struct Screen<P> {
    shown: Option<P>,
    /// Decoded before their time, oldest first.
    coming: VecDeque<(MediaTime, P)>,
}

impl<P> Default for Screen<P> {
    fn default() -> Self {
        Self {
            shown: None,
            coming: VecDeque::new(),
        }
    }
}

impl<P> Screen<P> {
    /// Shows a picture at once.
    pub(super) fn seed(&mut self, picture: P) {
        self.shown = Some(picture);
    }

    /// What the frame shows that came last; `None` before the first picture.
    pub(super) fn shown(&self) -> Option<&P> {
        self.shown.as_ref()
    }

    /// Takes a picture captured at this time.
    pub(super) fn push(&mut self, capture: MediaTime, picture: P) {
        if self.coming.len() == MAX_COMING
            && let Some((_, oldest)) = self.coming.pop_front()
        {
            // A capture clock that runs ahead must not freeze the picture.
            self.shown = Some(oldest);
        }
        self.coming.push_back((capture, picture));
    }

    /// Makes the newest picture captured by half a frame after frame
    /// `number`'s time the shown one. False when the old one stays.
    pub(super) fn advance(&mut self, rate: FrameRate, number: u64) -> bool {
        let half = i64::from(500_000 / rate.as_u32());
        let until = rate.time_of(number).plus_micros(half);
        let mut is_new = false;
        while let Some((_, picture)) = self.coming.pop_front_if(|(capture, _)| *capture <= until) {
            self.shown = Some(picture);
            is_new = true;
        }
        is_new
    }
}

/// Pictures kept before their time: a quarter of a second at 60 per second.
const MAX_COMING: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_picture_of_its_time_is_shown() {
        let mut screen = Screen::default();
        let rate = FrameRate::DEFAULT;
        assert!(!screen.advance(rate, 0));
        assert_eq!(screen.shown(), None);
        for (capture, picture) in [(0, 'a'), (20_000, 'b'), (60_000, 'c')] {
            screen.push(MediaTime::from_micros(capture), picture);
        }
        // Frame 1 is shown at 33.3 ms; half a frame later is 50 ms.
        assert!(screen.advance(rate, 1));
        assert_eq!(screen.shown(), Some(&'b'));
        assert!(screen.advance(rate, 2));
        assert_eq!(screen.shown(), Some(&'c'));
        assert!(!screen.advance(rate, 3));
        assert_eq!(screen.shown(), Some(&'c'));
    }

    #[test]
    fn a_capture_clock_far_ahead_does_not_freeze_the_screen() {
        let mut screen = Screen::default();
        for picture in 0..=MAX_COMING {
            screen.push(MediaTime::from_micros(i64::MAX), picture);
        }
        assert_eq!(screen.shown(), Some(&0));
        assert_eq!(screen.coming.len(), MAX_COMING);
    }
}
