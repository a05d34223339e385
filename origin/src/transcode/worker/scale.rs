//! From a decoded picture of any shape to a rung's canvas.
//!
//! The canvas never changes; the source may, at any frame. The scaler is
//! keyed by the source's size and format and rebuilt when they change. What
//! does not fill the canvas is letterboxed in black, a turned source is turned
//! after scaling, when there are fewest pixels to move. A picture that fits as
//! it is passes through without a copy.

use std::sync::Arc;

use ffmpeg_next::{
    Error,
    color::Range,
    format::Pixel,
    frame,
    software::scaling::{Context, Flags},
};

use crate::transcode::{ffi, ladder::Resolution};

/// A decoded picture, shared by the rungs.
pub(super) struct Picture {
    frame: frame::Video,
    quarter_turns: u8,
}

impl Picture {
    /// Takes a decoder's frame. Full-range pictures are marked by their
    /// format from here on: it is how the scaler learns of it.
    pub(super) fn new(mut frame: frame::Video, quarter_turns: u8) -> Self {
        if frame.color_range() == Range::JPEG {
            let full = match frame.format() {
                Pixel::YUV420P => Pixel::YUVJ420P,
                Pixel::YUV422P => Pixel::YUVJ422P,
                Pixel::YUV444P => Pixel::YUVJ444P,
                other => other,
            };
            frame.set_format(full);
        }
        Self {
            frame,
            quarter_turns: quarter_turns % 4,
        }
    }

    /// Size as it is shown upright.
    pub(super) fn upright(&self) -> Resolution {
        let (width, height) = (self.frame.width(), self.frame.height());
        if self.is_sideways() {
            Resolution {
                width: height,
                height: width,
            }
        } else {
            Resolution { width, height }
        }
    }

    fn is_sideways(&self) -> bool {
        self.quarter_turns % 2 == 1
    }

    /// Width over height when shown upright, pixel aspect counted in.
    fn aspect(&self) -> f64 {
        let pixel = self.frame.aspect_ratio();
        let pixel = f64::from(pixel.numerator()) / f64::from(pixel.denominator());
        let pixel = if pixel.is_finite() && pixel > 0.0 {
            pixel
        } else {
            1.0
        };
        let coded = f64::from(self.frame.width()) * pixel / f64::from(self.frame.height().max(1));
        if self.is_sideways() {
            1.0 / coded
        } else {
            coded
        }
    }
}

/// A rung's canvas.
pub(super) struct Canvas {
    size: Resolution,
    scaler: Option<Scaler>,
    /// What is drawn on; there is none while pictures pass through.
    canvas: Option<frame::Video>,
    /// Where a picture lands that does not fill the canvas.
    inner: frame::Video,
    placed: Option<(Rect, u8)>,
    last: Option<(Arc<Picture>, frame::Video)>,
}

struct Scaler {
    key: (Pixel, u32, u32, u32, u32),
    context: Context,
}

impl Canvas {
    pub(super) fn new(size: Resolution) -> Self {
        Self {
            size,
            scaler: None,
            canvas: None,
            inner: frame::Video::empty(),
            placed: None,
            last: None,
        }
    }

    /// The canvas with `picture` on it, black with none. The frame shares its
    /// pixels with the canvas: encode it before the next call.
    pub(super) fn render(&mut self, picture: Option<&Arc<Picture>>) -> Result<frame::Video, Error> {
        let Some(picture) = picture else {
            return ffi::share(blank(&mut self.canvas, self.size));
        };
        if let Some((last, rendered)) = &self.last
            && Arc::ptr_eq(last, picture)
        {
            return ffi::share(rendered);
        }
        // Frees the old picture before a new one is made.
        self.last = None;
        let rendered = self.draw(picture)?;
        let shared = ffi::share(&rendered)?;
        self.last = Some((picture.clone(), rendered));
        Ok(shared)
    }

    fn draw(&mut self, picture: &Picture) -> Result<frame::Video, Error> {
        let source = &picture.frame;
        let Resolution { width, height } = self.size;
        let rect = fit(picture.aspect(), self.size);
        let fills = rect.width == width && rect.height == height;
        if fills && picture.quarter_turns == 0 {
            if source.format() == Pixel::YUV420P
                && (source.width(), source.height()) == (width, height)
            {
                self.canvas = None;
                return ffi::share(source);
            }
            self.placed = None;
            let canvas = blank(&mut self.canvas, self.size);
            scale(&mut self.scaler, source, canvas, (width, height))?;
            return ffi::share(canvas);
        }
        let inner = if picture.is_sideways() {
            (rect.height, rect.width)
        } else {
            (rect.width, rect.height)
        };
        if (self.inner.width(), self.inner.height()) != inner {
            self.inner = frame::Video::new(Pixel::YUV420P, inner.0, inner.1);
        }
        scale(&mut self.scaler, source, &mut self.inner, inner)?;
        if self.placed != Some((rect, picture.quarter_turns)) {
            self.canvas = None;
            self.placed = Some((rect, picture.quarter_turns));
        }
        let canvas = blank(&mut self.canvas, self.size);
        place(&self.inner, canvas, rect, picture.quarter_turns);
        ffi::share(canvas)
    }
}

/// The canvas, black when it is new.
fn blank(canvas: &mut Option<frame::Video>, size: Resolution) -> &mut frame::Video {
    canvas.get_or_insert_with(|| black(size))
}

fn scale(
    scaler: &mut Option<Scaler>,
    source: &frame::Video,
    target: &mut frame::Video,
    (width, height): (u32, u32),
) -> Result<(), Error> {
    let key = (
        source.format(),
        source.width(),
        source.height(),
        width,
        height,
    );
    if scaler.as_ref().is_none_or(|scaler| scaler.key != key) {
        // Bilinear is wide enough when scaling down: swscale spreads the
        // filter over all source pixels that one target pixel covers.
        let context = Context::get(
            key.0,
            key.1,
            key.2,
            Pixel::YUV420P,
            width,
            height,
            Flags::BILINEAR,
        )?;
        *scaler = Some(Scaler { key, context });
    }
    match scaler {
        Some(scaler) => scaler.context.run(source, target),
        None => Err(Error::Bug),
    }
}

/// Part of a canvas; all numbers even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rect {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

/// The largest centred part of `canvas` with the given aspect.
///
/// Rungs have even numbers, so a source's aspect is rarely met to the pixel:
/// within [`TOLERANCE`] it counts as met, else every frame would have a line
/// of black.
fn fit(aspect: f64, canvas: Resolution) -> Rect {
    let (width, height) = (f64::from(canvas.width), f64::from(canvas.height));
    let whole = Rect {
        x: 0,
        y: 0,
        width: canvas.width,
        height: canvas.height,
    };
    let slack = (aspect * height / width).ln().abs();
    if !slack.is_finite() || slack < TOLERANCE || slack * width.min(height) < 2.0 {
        return whole;
    }
    let (inner_width, inner_height) = if aspect * height < width {
        (even(aspect * height, canvas.width), canvas.height)
    } else {
        (canvas.width, even(width / aspect, canvas.height))
    };
    Rect {
        x: (canvas.width - inner_width) / 4 * 2,
        y: (canvas.height - inner_height) / 4 * 2,
        width: inner_width,
        height: inner_height,
    }
}

/// 1 %: nobody sees it, and it is more than rounding to even numbers takes at
/// the smallest default rung.
const TOLERANCE: f64 = 0.01;

fn even(length: f64, most: u32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and the result is clamped"
    )]
    let pairs = (length / 2.0).round() as u32;
    pairs.saturating_mul(2).clamp(2, most.max(2))
}

fn black(size: Resolution) -> frame::Video {
    let mut frame = frame::Video::new(Pixel::YUV420P, size.width, size.height);
    for (plane, value) in [(0, 16), (1, 128), (2, 128)] {
        frame.data_mut(plane).fill(value);
    }
    frame
}

/// Copies `inner`, turned clockwise, into `rect` of `canvas`.
fn place(inner: &frame::Video, canvas: &mut frame::Video, rect: Rect, quarter_turns: u8) {
    for plane in 0..3 {
        let shift = u32::from(plane > 0);
        let source = Plane {
            data: inner.data(plane),
            stride: inner.stride(plane),
            width: (inner.width() >> shift) as usize,
            height: (inner.height() >> shift) as usize,
        };
        let stride = canvas.stride(plane);
        let offset = (rect.y >> shift) as usize * stride + (rect.x >> shift) as usize;
        if let Some(target) = canvas.data_mut(plane).get_mut(offset..) {
            turn(&source, target, stride, quarter_turns);
        }
    }
}

struct Plane<'a> {
    data: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
}

impl Plane<'_> {
    fn row(&self, y: usize) -> &[u8] {
        self.data
            .get(y * self.stride..)
            .and_then(|row| row.get(..self.width))
            .unwrap_or_default()
    }
}

fn turn(source: &Plane<'_>, target: &mut [u8], stride: usize, quarter_turns: u8) {
    let (width, height) = match quarter_turns % 2 {
        0 => (source.width, source.height),
        _ => (source.height, source.width),
    };
    for (y, row) in target.chunks_mut(stride).take(height).enumerate() {
        let Some(row) = row.get_mut(..width) else {
            return;
        };
        match quarter_turns {
            0 => row.copy_from_slice(source.row(y)),
            2 => {
                row.copy_from_slice(source.row(height - 1 - y));
                row.reverse();
            }
            turns => {
                // One turn: the left column, read upwards, becomes the top row.
                let x = if turns == 1 { y } else { source.width - 1 - y };
                let column = source.data.get(x..).unwrap_or_default();
                let column = column.iter().step_by(source.stride).take(source.height);
                if turns == 1 {
                    row.iter_mut()
                        .rev()
                        .zip(column)
                        .for_each(|(to, from)| *to = *from);
                } else {
                    row.iter_mut()
                        .zip(column)
                        .for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn same_aspect_fills_the_canvas() {
        let canvas = Resolution {
            width: 832,
            height: 468,
        };
        let whole = Rect {
            x: 0,
            y: 0,
            width: 832,
            height: 468,
        };
        assert_eq!(fit(854.0 / 480.0, canvas), whole);
        assert_eq!(fit(16.0 / 9.0, canvas), whole);
        assert_eq!(fit(f64::NAN, canvas), whole);
    }

    #[test]
    fn portrait_in_landscape_is_pillarboxed() {
        let canvas = Resolution {
            width: 1280,
            height: 720,
        };
        assert_eq!(
            fit(9.0 / 16.0, canvas),
            Rect {
                x: 436,
                y: 0,
                width: 406,
                height: 720
            }
        );
        let canvas = Resolution {
            width: 720,
            height: 1280,
        };
        assert_eq!(
            fit(16.0 / 9.0, canvas),
            Rect {
                x: 0,
                y: 436,
                width: 720,
                height: 406
            }
        );
    }

    #[test]
    fn turning_moves_every_pixel_clockwise() {
        // a b c      d a
        // d e f  →   e b   after one turn
        //            f c
        let data = *b"abc.def.";
        let source = Plane {
            data: &data,
            stride: 4,
            width: 3,
            height: 2,
        };
        let turned = |turns, size: (usize, usize)| {
            let mut target = [b'-'; 25];
            turn(&source, &mut target, 5, turns);
            let rows = target
                .chunks(5)
                .take(size.1)
                .map(|row| row[..size.0].to_vec());
            String::from_utf8(rows.collect::<Vec<_>>().join(&b'/')).unwrap()
        };
        assert_eq!(turned(0, (3, 2)), "abc/def");
        assert_eq!(turned(1, (2, 3)), "da/eb/fc");
        assert_eq!(turned(2, (3, 2)), "fed/cba");
        assert_eq!(turned(3, (2, 3)), "cf/be/ad");
    }

    #[test]
    fn turned_picture_stands_upright_between_black_bars() {
        let mut source = frame::Video::new(Pixel::YUV420P, 64, 32);
        for plane in 0..3 {
            source.data_mut(plane).fill(200);
        }
        let picture = Arc::new(Picture::new(source, 1));
        assert_eq!(
            picture.upright(),
            Resolution {
                width: 32,
                height: 64
            }
        );
        let mut canvas = Canvas::new(Resolution {
            width: 128,
            height: 64,
        });
        let shown = canvas.render(Some(&picture)).unwrap();
        let row = &shown.data(0)[10 * shown.stride(0)..][..128];
        assert_eq!(
            (row[0], row[47], row[48], row[79], row[80], row[127]),
            (16, 16, 200, 200, 16, 16)
        );
    }

    #[test]
    fn full_range_becomes_limited() {
        let mut source = frame::Video::new(Pixel::YUV420P, 64, 64);
        source.set_color_range(Range::JPEG);
        source.data_mut(0).fill(255);
        source.data_mut(1).fill(128);
        source.data_mut(2).fill(128);
        let picture = Arc::new(Picture::new(source, 0));
        for side in [64, 32] {
            let mut canvas = Canvas::new(Resolution {
                width: side,
                height: side,
            });
            let shown = canvas.render(Some(&picture)).unwrap();
            let luma = shown.data(0)[0];
            assert!((233..=236).contains(&luma), "{luma}");
        }
    }

    #[test]
    fn nothing_decoded_yet_is_black() {
        let mut canvas = Canvas::new(Resolution {
            width: 32,
            height: 16,
        });
        let shown = canvas.render(None).unwrap();
        assert_eq!(
            (shown.data(0)[0], shown.data(1)[0], shown.data(2)[0]),
            (16, 128, 128)
        );
    }

    proptest! {
        #[test]
        fn a_fit_lies_inside_its_canvas(
            aspect in 0.001f64..1000.0,
            width in 1u32..2000,
            height in 1u32..2000,
        ) {
            let canvas = Resolution { width: width * 2, height: height * 2 };
            let rect = fit(aspect, canvas);
            prop_assert!(rect.x + rect.width <= canvas.width);
            prop_assert!(rect.y + rect.height <= canvas.height);
            prop_assert!(rect.width >= 2 && rect.height >= 2);
            prop_assert!([rect.x, rect.y, rect.width, rect.height].iter().all(|n| n % 2 == 0));
        }
    }
}
