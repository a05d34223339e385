//! Decoded pictures, in memory that may grow for a moment.
//!
//! A decoder lends out pictures of its own memory and keeps that for good once it has
//! taken it: what piled up while a rung was slow for a moment would stay as long as
//! the stream. So only as many are lent as a stream in step needs; more are copied,
//! and freed when they have been shown.

use std::sync::{Arc, Weak};

use ffmpeg_next::frame;

use super::scale::Picture;

/// Pictures lent at once: one that is shown next, one shown, and one at a rung that is
/// a little late. A worker that keeps up copies none.
const MOST_LENT: usize = 3;

/// Which of a decoder's pictures are out.
#[derive(Default)]
pub(super) struct Lending {
    lent: Vec<Weak<Picture>>,
}

impl Lending {
    /// The picture in a decoder's frame, to be shared by the rungs.
    pub(super) fn lend(&mut self, frame: frame::Video, quarter_turns: u8) -> Arc<Picture> {
        self.lent.retain(|picture| picture.strong_count() > 0);
        if self.lent.len() >= MOST_LENT {
            let mut copy = frame::Video::new(frame.format(), frame.width(), frame.height());
            copy.clone_from(&frame);
            return Arc::new(Picture::new(copy, quarter_turns));
        }
        let picture = Arc::new(Picture::new(frame, quarter_turns));
        self.lent.push(Arc::downgrade(&picture));
        picture
    }
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::format::Pixel;

    use super::*;

    #[test]
    fn pictures_that_pile_up_are_copied_and_look_the_same() {
        let mut lending = Lending::default();
        let mut lend = |value| {
            let mut frame = frame::Video::new(Pixel::YUV420P, 64, 32);
            frame.data_mut(0).fill(value);
            let place = frame.data(0).as_ptr();
            let picture = lending.lend(frame, 1);
            let luma = picture.frame().data(0);
            assert_eq!((luma[0], picture.upright().width), (value, 32));
            (luma.as_ptr() == place, picture)
        };
        let (is_lent, mut held): (Vec<_>, Vec<_>) = (0..5).map(&mut lend).unzip();
        assert_eq!(is_lent, [true, true, true, false, false]);
        drop(held.remove(0));
        let (is_lent, _fifth) = lend(5);
        assert!(is_lent, "one has come back");
        drop(held.pop());
        assert!(!lend(6).0, "a copy was never out");
    }
}
