//! JPEGs of the programme from a rung's canvas: nearly free, since the picture is
//! there already.
//!
//! A *still* has the rung's size and comes every few seconds, for pages that show
//! what is on air. A *thumbnail* is small and comes at the rate that the main
//! process asks for, for players that show what lies where on a seek bar.

use bytes::Bytes;
use ffmpeg_next::{
    Error, Packet, Rational, codec, color, encoder,
    format::Pixel,
    frame, log,
    software::scaling::{Context, Flags},
};

use crate::{
    timeline::FrameRate,
    transcode::{
        Output,
        ladder::{Resolution, thumbnail},
    },
};

/// Seconds between two stills. A page that shows many streams is satisfied, and the
/// encoder has 2 ms of work in each.
const STILL_EVERY: u64 = 5;

/// `qscale` 4 of 2–31: 20 to 40 kB at 360p.
const STILL_QUALITY: usize = 4 * 118;

/// `qscale` 5 of 2–31: 3 to 8 kB, and nothing to see of it at that size.
const THUMBNAIL_QUALITY: usize = 5 * 118;

/// Makes the stills and thumbnails of one stream.
pub(super) struct Stills {
    still: Jpeg,
    every: u64,
    due: u64,
    thumbnail: Jpeg,
    thumbnail_frames: u64,
    /// The stretch of `thumbnail_frames` that has its thumbnail.
    taken: Option<u64>,
}

impl Stills {
    /// Of a rung of this size, with a thumbnail in each stretch of so many frames.
    pub(super) fn new(
        size: Resolution,
        rate: FrameRate,
        thumbnail_frames: u32,
    ) -> Result<Self, Error> {
        Ok(Self {
            still: Jpeg::new(size, size, STILL_QUALITY)?,
            every: STILL_EVERY * u64::from(rate.as_u32()),
            due: 0,
            thumbnail: Jpeg::new(size, thumbnail(size), THUMBNAIL_QUALITY)?,
            thumbnail_frames: u64::from(thumbnail_frames.max(1)),
            taken: None,
        })
    }

    /// What is due with frame `number`: a still, a thumbnail.
    pub(super) fn take(
        &mut self,
        number: u64,
        frame: &frame::Video,
    ) -> Result<[Option<Output>; 2], Error> {
        let mut due = [None, None];
        if number >= self.due {
            self.due = number + self.every;
            let data = self.still.encode(number, frame)?;
            due[0] = Some(Output::Still { data });
        }
        let stretch = Some(number / self.thumbnail_frames);
        if self.taken != stretch {
            self.taken = stretch;
            let data = self.thumbnail.encode(number, frame)?;
            due[1] = Some(Output::Thumbnail { number, data });
        }
        Ok(due)
    }
}

/// A JPEG encoder with the scaler before it.
struct Jpeg {
    encoder: encoder::video::Encoder,
    /// To the size wanted, and to JPEG's range, which is the full one.
    scaler: Context,
    scaled: frame::Video,
    packet: Packet,
}

impl Jpeg {
    fn new(from: Resolution, to: Resolution, quality: usize) -> Result<Self, Error> {
        let codec = encoder::find(codec::Id::MJPEG).ok_or(Error::EncoderNotFound)?;
        let context = codec::Context::new_with_codec(codec);
        let mut video = context.encoder().video()?;
        video.set_width(to.width);
        video.set_height(to.height);
        video.set_format(Pixel::YUVJ420P);
        video.set_color_range(color::Range::JPEG);
        video.set_aspect_ratio(Rational(1, 1));
        video.set_time_base(Rational(1, 90_000));
        video.set_flags(codec::Flags::QSCALE);
        video.set_quality(quality);
        let encoder = video.open_as(codec)?;
        // The encoder takes no other name for the full range, and the scaler warns
        // of it in the log of each stream.
        log::set_level(log::Level::Error);
        let scaler = Context::get(
            Pixel::YUV420P,
            from.width,
            from.height,
            Pixel::YUVJ420P,
            to.width,
            to.height,
            Flags::BILINEAR,
        );
        log::set_level(log::Level::Warning);
        Ok(Self {
            encoder,
            scaler: scaler?,
            scaled: frame::Video::empty(),
            packet: Packet::empty(),
        })
    }

    fn encode(&mut self, number: u64, frame: &frame::Video) -> Result<Bytes, Error> {
        self.scaler.run(frame, &mut self.scaled)?;
        self.scaled.set_pts(i64::try_from(number).ok());
        self.encoder.send_frame(&self.scaled)?;
        self.encoder.receive_packet(&mut self.packet)?;
        Ok(Bytes::copy_from_slice(
            self.packet.data().unwrap_or_default(),
        ))
    }
}
