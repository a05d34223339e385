//! A JPEG of the programme every few seconds, from a rung's canvas: nearly
//! free, since the picture is there already.

use bytes::Bytes;
use ffmpeg_next::{
    Error, Packet, Rational, codec, color, encoder,
    format::Pixel,
    frame, log,
    software::scaling::{Context, Flags},
};

use crate::{timeline::FrameRate, transcode::ladder::Resolution};

/// Seconds between two. A page that shows many streams is satisfied, and the
/// encoder has 2 ms of work in each.
const EVERY: u64 = 5;

/// `qscale` 4 of 2–31: 20 to 40 kB at 360p.
const QUALITY: usize = 4 * 118;

/// Makes the stills of one stream.
pub(super) struct Stills {
    encoder: encoder::video::Encoder,
    /// From the canvas' range to that of JPEG, which is the full one.
    scaler: Context,
    full: frame::Video,
    packet: Packet,
    every: u64,
    due: u64,
}

impl Stills {
    pub(super) fn new(size: Resolution, rate: FrameRate) -> Result<Self, Error> {
        let Resolution { width, height } = size;
        let codec = encoder::find(codec::Id::MJPEG).ok_or(Error::EncoderNotFound)?;
        let context = codec::Context::new_with_codec(codec);
        let mut video = context.encoder().video()?;
        video.set_width(width);
        video.set_height(height);
        video.set_format(Pixel::YUVJ420P);
        video.set_color_range(color::Range::JPEG);
        video.set_aspect_ratio(Rational(1, 1));
        video.set_time_base(Rational(1, 90_000));
        video.set_flags(codec::Flags::QSCALE);
        video.set_quality(QUALITY);
        let encoder = video.open_as(codec)?;
        // The encoder takes no other name for the full range, and the scaler warns
        // of it in the log of each stream.
        log::set_level(log::Level::Error);
        let scaler = Context::get(
            Pixel::YUV420P,
            width,
            height,
            Pixel::YUVJ420P,
            width,
            height,
            Flags::BILINEAR,
        );
        log::set_level(log::Level::Warning);
        Ok(Self {
            encoder,
            scaler: scaler?,
            full: frame::Video::empty(),
            packet: Packet::empty(),
            every: EVERY * u64::from(rate.as_u32()),
            due: 0,
        })
    }

    /// The still of frame `number`, when one is due.
    pub(super) fn take(
        &mut self,
        number: u64,
        frame: &frame::Video,
    ) -> Result<Option<Bytes>, Error> {
        if number < self.due {
            return Ok(None);
        }
        self.due = number + self.every;
        self.scaler.run(frame, &mut self.full)?;
        self.full.set_pts(i64::try_from(number).ok());
        self.encoder.send_frame(&self.full)?;
        self.encoder.receive_packet(&mut self.packet)?;
        Ok(self.packet.data().map(Bytes::copy_from_slice))
    }
}
