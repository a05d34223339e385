//! The moving test picture: a pure function of its frame's number and time.
//!
//! Diagonal bands travel to the left, a bright box crosses the frame once in
//! three seconds, and the [frame strip](crate::strip) lies on top. Everything
//! is drawn by whole rows, so that an unoptimised build keeps up with 30 fps.

use ffmpeg_next::{format::Pixel, frame};

use crate::strip;

/// How far the bands travel from one frame to the next, in luma samples.
const SPEED: u64 = 4;
/// Width of one band.
const BAND: usize = 64;
/// Frames in which the box crosses the picture.
const BOX_PERIOD: u64 = 90;

/// Luma, Cb and Cr of the bands: slate, navy, teal, night, moss, plum.
const BANDS: [(u8, u8, u8); 6] = [
    (78, 138, 120),
    (48, 158, 116),
    (88, 134, 98),
    (38, 140, 124),
    (96, 112, 112),
    (62, 140, 146),
];

/// Draws frames of one size.
pub(super) struct Picture {
    width: usize,
    height: usize,
    /// One period of the bands beyond the width, so that any shift is one slice.
    lines: [Vec<u8>; 3],
}

impl Picture {
    /// Prepares to draw frames of this size; both sides are even.
    pub(super) fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        let period = BAND * BANDS.len();
        let line = |pick: fn((u8, u8, u8)) -> u8, band: usize| {
            (0..width + period)
                .map(|x| pick(BANDS[x / band % BANDS.len()]))
                .collect()
        };
        Self {
            width,
            height,
            lines: [
                line(|(y, _, _)| y, BAND),
                line(|(_, u, _)| u, BAND / 2),
                line(|(_, _, v)| v, BAND / 2),
            ],
        }
    }

    /// Draws frame number `counter`, captured at Unix time `time` in milliseconds.
    pub(super) fn draw(&self, counter: u64, time: u64) -> frame::Video {
        let mut frame = frame::Video::new(Pixel::YUV420P, self.width as u32, self.height as u32);
        for plane in 0..3 {
            self.draw_bands(&mut frame, plane, counter);
        }
        self.draw_box(&mut frame, counter);
        self.neutralise_strip(&mut frame);
        let stride = frame.stride(0);
        strip::draw(
            frame.data_mut(0),
            stride,
            (self.width, self.height),
            [counter, time],
        );
        frame
    }

    fn draw_bands(&self, frame: &mut frame::Video, plane: usize, counter: u64) {
        let scale = if plane == 0 { 1 } else { 2 };
        let period = BAND * BANDS.len() / scale;
        let travelled = (counter * SPEED) as usize / scale;
        let (width, height) = (self.width / scale, self.height / scale);
        let stride = frame.stride(plane);
        for (y, row) in frame
            .data_mut(plane)
            .chunks_mut(stride)
            .take(height)
            .enumerate()
        {
            let shift = (travelled + y) % period;
            row[..width].copy_from_slice(&self.lines[plane][shift..shift + width]);
        }
    }

    fn draw_box(&self, frame: &mut frame::Video, counter: u64) {
        let side = self.height / 5;
        let phase = (counter % BOX_PERIOD) as usize;
        let left = (self.width - side) * phase / BOX_PERIOD as usize;
        let top = self.height / 2;
        let stride = frame.stride(0);
        for row in frame.data_mut(0).chunks_mut(stride).skip(top).take(side) {
            row[left..left + side].fill(210);
        }
    }

    fn neutralise_strip(&self, frame: &mut frame::Video) {
        let rows = strip::height_in(self.height).div_ceil(2);
        for plane in 1..3 {
            let stride = frame.stride(plane);
            frame.data_mut(plane)[..rows * stride].fill(128);
        }
    }
}
