//! Picture and sound into what WebRTC carries: H.264 or VP8, and Opus.
//!
//! One frame in, one frame out: no B-frames, no look-ahead, no periodic key
//! frames. Like a browser, the encoder makes a key frame when it is asked to,
//! and that alone.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use ffmpeg_next::{
    ChannelLayout, Dictionary, Rational, codec, encoder,
    format::{Pixel, Sample, sample},
    frame, packet, picture,
};

use super::{Codec, tone};

/// Samples per channel in one Opus packet: 20 ms.
pub(super) const OPUS_FRAME: usize = 960;

/// Frames between key frames nobody asked for: about eleven hours.
const GROUP: u32 = 1_200_000;

/// A video encoder of one size.
pub(super) struct Video {
    encoder: encoder::Video,
}

/// One coded frame.
pub(super) struct Coded {
    /// The frame as the encoder wrote it; H.264 in Annex B form.
    pub(super) data: Bytes,
    /// Whether a decoder can start here.
    pub(super) is_key: bool,
}

impl Video {
    /// Opens an encoder; `bitrate` in bits per second.
    pub(super) fn open(
        codec: Codec,
        (width, height): (u32, u32),
        fps: u32,
        bitrate: u32,
    ) -> Result<Self> {
        let (name, options) = match codec {
            Codec::H264 => ("libx264", x264_options(bitrate)),
            Codec::Vp8 => ("libvpx", vpx_options(bitrate)),
        };
        let found = encoder::find_by_name(name).with_context(|| format!("FFmpeg has no {name}"))?;
        let mut video = codec::context::Context::new_with_codec(found)
            .encoder()
            .video()?;
        video.set_width(width);
        video.set_height(height);
        video.set_format(Pixel::YUV420P);
        video.set_time_base(Rational(1, i32::try_from(fps)?));
        video.set_frame_rate(Some(Rational(i32::try_from(fps)?, 1)));
        video.set_bit_rate(bitrate as usize);
        video.set_max_b_frames(0);
        video.set_gop(GROUP);
        let encoder = video
            .open_with(options)
            .with_context(|| format!("opening {name} at {width}x{height}"))?;
        Ok(Self { encoder })
    }

    /// Encodes frame number `counter`; with `key`, so that a decoder can start on it.
    pub(super) fn encode(
        &mut self,
        frame: &mut frame::Video,
        counter: u64,
        key: bool,
    ) -> Result<Coded> {
        frame.set_pts(Some(i64::try_from(counter)?));
        frame.set_kind(if key {
            picture::Type::I
        } else {
            picture::Type::None
        });
        self.encoder.send_frame(frame)?;
        let mut packet = packet::Packet::empty();
        self.encoder
            .receive_packet(&mut packet)
            .context("the encoder kept a frame back")?;
        let data = packet.data().context("the encoder wrote an empty frame")?;
        Ok(Coded {
            data: Bytes::copy_from_slice(data),
            is_key: packet.is_key(),
        })
    }
}

fn x264_options(bitrate: u32) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    options.set("preset", "ultrafast");
    options.set("tune", "zerolatency");
    options.set("profile", "baseline");
    options.set("forced-idr", "1");
    options.set("threads", "1");
    options.set("maxrate", &bitrate.to_string());
    // Half a second of the rate: a key frame may be large, the mean may not.
    options.set("bufsize", &(bitrate / 2).to_string());
    options
}

fn vpx_options(bitrate: u32) -> Dictionary<'static> {
    let mut options = Dictionary::new();
    options.set("deadline", "realtime");
    options.set("cpu-used", "8");
    options.set("lag-in-frames", "0");
    options.set("error-resilient", "default");
    options.set("threads", "1");
    options.set("minrate", &bitrate.to_string());
    options.set("maxrate", &bitrate.to_string());
    options.set("bufsize", &(bitrate / 2).to_string());
    options
}

/// An Opus encoder: stereo, 48 kHz, 20 ms.
pub(super) struct Audio {
    encoder: encoder::Audio,
}

impl Audio {
    /// Opens the encoder at 96 kbit/s.
    pub(super) fn open() -> Result<Self> {
        let found = encoder::find_by_name("libopus").context("FFmpeg has no libopus")?;
        let mut audio = codec::context::Context::new_with_codec(found)
            .encoder()
            .audio()?;
        audio.set_rate(i32::try_from(tone::RATE)?);
        audio.set_format(Sample::I16(sample::Type::Packed));
        audio.set_channel_layout(ChannelLayout::STEREO);
        audio.set_time_base(Rational(1, i32::try_from(tone::RATE)?));
        audio.set_bit_rate(96_000);
        let mut options = Dictionary::new();
        options.set("frame_duration", "20");
        let encoder = audio.open_with(options).context("opening libopus")?;
        ensure!(
            encoder.frame_size() as usize == OPUS_FRAME,
            "libopus wants other frames"
        );
        Ok(Self { encoder })
    }

    /// Encodes [`OPUS_FRAME`] samples of interleaved stereo, the first of which has number `first`.
    ///
    /// `None` while the encoder fills its look-ahead.
    pub(super) fn encode(&mut self, samples: &[i16], first: u64) -> Result<Option<Bytes>> {
        let mut frame = frame::Audio::new(
            Sample::I16(sample::Type::Packed),
            OPUS_FRAME,
            ChannelLayout::STEREO,
        );
        frame.set_rate(tone::RATE);
        frame.set_pts(Some(i64::try_from(first)?));
        for (bytes, value) in frame.data_mut(0).chunks_exact_mut(2).zip(samples) {
            bytes.copy_from_slice(&value.to_ne_bytes());
        }
        self.encoder.send_frame(&frame)?;
        let mut packet = packet::Packet::empty();
        match self.encoder.receive_packet(&mut packet) {
            Ok(()) => Ok(packet.data().map(Bytes::copy_from_slice)),
            Err(ffmpeg_next::Error::Other { errno }) if errno == ffmpeg_next::error::EAGAIN => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
