//! What stands before the encoder: a camera that is turned, unplugged or exchanged
//! while the presenter is live.

use anyhow::{Result, ensure};
use ffmpeg_next::{format::Pixel, frame};

/// What the camera delivers. A change shows with the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Camera {
    /// Width and height as viewers shall see it, both even.
    pub size: (u32, u32),
    /// Quarter turns clockwise that show what is sent upright; told by
    /// `urn:3gpp:video-orientation`, as a phone does that is turned.
    pub quarter_turns: u8,
    /// Every so-manieth frame of the schedule is sent: 2 is half the frame rate.
    pub every: u64,
    /// Whether it delivers nothing: unplugged, or taken by another program.
    pub is_dark: bool,
    /// Which camera it is. Another number is another source: SSRC, sequence numbers
    /// and timestamps begin anew, and nobody has announced them.
    pub source: u32,
    /// Whether requests for key frames are left unanswered while it is so.
    pub is_deaf: bool,
}

impl Camera {
    /// The first camera, upright, with every frame.
    pub const fn new(size: (u32, u32)) -> Self {
        Self {
            size,
            quarter_turns: 0,
            every: 1,
            is_dark: false,
            source: 0,
            is_deaf: false,
        }
    }

    /// Checks that it can be encoded.
    pub(super) fn check(&self) -> Result<()> {
        let (width, height) = self.size;
        ensure!(
            width % 2 == 0 && height % 2 == 0 && width >= 64 && height >= 64,
            "{width}x{height}: both sides must be even and at least 64"
        );
        ensure!(
            self.every > 0 && self.quarter_turns < 4,
            "no such camera: {self:?}"
        );
        Ok(())
    }

    /// Width and height as they are sent.
    pub(super) const fn coded(&self) -> (u32, u32) {
        if self.quarter_turns.is_multiple_of(2) {
            self.size
        } else {
            (self.size.1, self.size.0)
        }
    }

    /// Whether it takes this frame of the schedule.
    pub(super) const fn shoots(&self, counter: u64) -> bool {
        !self.is_dark && counter.is_multiple_of(self.every)
    }

    /// Whether the encoder of `other` cannot go on with its pictures.
    pub(super) fn needs_encoder_after(&self, other: &Self) -> bool {
        (self.coded(), self.every, self.source) != (other.coded(), other.every, other.source)
    }
}

/// An upright picture as a camera takes it that has to be turned clockwise so often.
pub(super) fn turned(upright: frame::Video, quarter_turns: u8) -> frame::Video {
    let (width, height) = match quarter_turns % 4 {
        0 => return upright,
        2 => (upright.width(), upright.height()),
        _ => (upright.height(), upright.width()),
    };
    let mut taken = frame::Video::new(Pixel::YUV420P, width, height);
    for plane in 0..3 {
        let (columns, rows) = (
            taken.plane_width(plane) as usize,
            taken.plane_height(plane) as usize,
        );
        let (from, to) = (upright.stride(plane), taken.stride(plane));
        let source = upright.data(plane);
        for (y, row) in taken.data_mut(plane).chunks_mut(to).take(rows).enumerate() {
            for (x, sample) in row.iter_mut().take(columns).enumerate() {
                let (column, line) = match quarter_turns % 4 {
                    1 => (rows - 1 - y, x),
                    2 => (columns - 1 - x, rows - 1 - y),
                    _ => (y, columns - 1 - x),
                };
                *sample = source[line * from + column];
            }
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 4×2 whose luma counts from 0, row by row.
    fn counted() -> frame::Video {
        let mut picture = frame::Video::new(Pixel::YUV420P, 4, 2);
        let stride = picture.stride(0);
        for index in 0..8 {
            picture.data_mut(0)[index / 4 * stride + index % 4] = index as u8;
        }
        picture
    }

    fn luma(picture: &frame::Video) -> Vec<Vec<u8>> {
        let rows = picture.data(0).chunks(picture.stride(0));
        rows.take(picture.height() as usize)
            .map(|row| row[..picture.width() as usize].to_vec())
            .collect()
    }

    #[test]
    fn a_turned_camera_sees_the_picture_turned_the_other_way() {
        let turn = |turns| luma(&turned(counted(), turns));
        assert_eq!(turn(0), [[0, 1, 2, 3], [4, 5, 6, 7]]);
        assert_eq!(turn(1), [[3, 7], [2, 6], [1, 5], [0, 4]]);
        assert_eq!(turn(2), [[7, 6, 5, 4], [3, 2, 1, 0]]);
        assert_eq!(turn(3), [[4, 0], [5, 1], [6, 2], [7, 3]]);
    }
}
