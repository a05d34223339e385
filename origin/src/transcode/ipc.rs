//! The messages on the socket pair between main process and worker.
//!
//! ```text
//!  0        4      5
//!  +--------+------+------------------+-----------------------------+
//!  | length | kind | fixed fields     | payload, to the length's end |
//!  +--------+------+------------------+-----------------------------+
//! ```
//!
//! All numbers are big endian; `length` counts from `kind` on. The worker
//! trusts what it gets; the main process must not, because the worker has
//! looked at a stranger's bytes: every length is bounded and every number
//! that has a range is checked. Payloads are slices of the received buffer.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    Encoder, Input, Output, Preset, Report, Spec, VideoCodec,
    ladder::{MAX_RUNGS, Resolution, Rung},
};
use crate::timeline::{FrameRate, MediaTime};

/// Longest message after its length field: an intra picture of 4K at the
/// worst quality is about half of it.
pub const MAX_MESSAGE: usize = 8 << 20;

/// What the main process tells a worker.
#[derive(Clone, Debug)]
pub enum ToWorker {
    /// The first message: what to make.
    Configure(Spec),
    /// Parameter sets of the seed, right after `Configure`, if there is one.
    SeedConfig {
        /// Sequence parameter set without start code.
        sps: Bytes,
        /// Picture parameter set without start code.
        pps: Bytes,
    },
    /// A frame of the seed: what viewers saw last, in the form of
    /// [`Output::Video`]. The first one is an IDR.
    SeedFrame {
        /// Slices as length-prefixed NAL units.
        data: Bytes,
    },
    /// Coded media or a tick of the audio.
    Input(Input),
    /// A tick of the video, which not all rungs may have to answer.
    Tick {
        /// See [`Input::VideoTick`].
        number: u64,
        /// See [`Input::VideoTick`].
        idr: bool,
        /// The rungs that have to, one bit each; bit 0 is the tallest.
        rungs: u8,
    },
}

/// A message in two pieces, so that its payload is never copied.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Length, kind and fixed fields.
    pub head: Bytes,
    /// The rest; may be empty.
    pub payload: Bytes,
}

impl Encoded {
    /// Bytes on the socket.
    pub fn size(&self) -> usize {
        self.head.len() + self.payload.len()
    }
}

/// A message that cannot be understood: the stream is lost from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The length is zero or above [`MAX_MESSAGE`].
    #[error("message of {0} bytes")]
    Length(u32),
    /// The kind is unknown.
    #[error("unknown message kind {0}")]
    Kind(u8),
    /// The message ends before its fields do.
    #[error("truncated message")]
    Truncated,
    /// A field is out of its range.
    #[error("{0} out of range")]
    Range(&'static str),
}

/// Takes the next whole message out of `buffer`, without its length; `None`
/// while it is incomplete.
///
/// # Errors
///
/// [`DecodeError::Length`] when the length cannot be right.
pub fn next_message(buffer: &mut BytesMut) -> Result<Option<Bytes>, DecodeError> {
    let Some(Ok(length)) = buffer.get(..4).map(<[u8; 4]>::try_from) else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(length);
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if size == 0 || size > MAX_MESSAGE {
        return Err(DecodeError::Length(length));
    }
    if buffer.len() < 4 + size {
        // One allocation for a large message instead of many doublings.
        buffer.reserve(4 + size - buffer.len());
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(size).freeze()))
}

impl ToWorker {
    /// The message as it goes on the socket; `None` when it is larger than
    /// [`MAX_MESSAGE`].
    pub fn encode(&self) -> Option<Encoded> {
        let mut head = Head::default();
        let payload = match self {
            Self::Configure(spec) => {
                head.kind(CONFIGURE);
                put_spec(&mut head, spec);
                Bytes::new()
            }
            Self::SeedConfig { sps, pps } => {
                head.kind(SEED_CONFIG);
                two_parts(&mut head, sps, pps)?
            }
            Self::SeedFrame { data } => {
                head.kind(SEED_FRAME);
                data.clone()
            }
            Self::Input(input) => put_input(&mut head, input),
            Self::Tick { number, idr, rungs } => {
                put_tick(&mut head, *number, *idr, *rungs);
                Bytes::new()
            }
        };
        head.finish(payload)
    }

    /// Reads a message that [`next_message`] has cut out.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`] but `Length`.
    pub fn decode(message: Bytes) -> Result<Self, DecodeError> {
        let mut fields = Fields(message);
        Ok(match fields.u8()? {
            CONFIGURE => Self::Configure(take_spec(&mut fields)?),
            SEED_CONFIG => {
                let (sps, pps) = fields.two_parts()?;
                Self::SeedConfig { sps, pps }
            }
            SEED_FRAME => Self::SeedFrame {
                data: fields.rest(),
            },
            VIDEO_TICK => Self::Tick {
                number: fields.u64()?,
                idr: fields.bool()?,
                rungs: fields.u8()?,
            },
            kind => Self::Input(take_input(kind, &mut fields)?),
        })
    }
}

impl Output {
    /// The message as it goes on the socket; `None` when it is larger than
    /// [`MAX_MESSAGE`], or none of a worker's.
    pub fn encode(&self) -> Option<Encoded> {
        let mut head = Head::default();
        let payload = match self {
            Self::VideoConfig { rung, sps, pps } => {
                head.kind(VIDEO_CONFIG);
                head.0.put_u8(u8::try_from(*rung).ok()?);
                two_parts(&mut head, sps, pps)?
            }
            Self::Video {
                rung,
                number,
                idr,
                data,
            } => {
                head.kind(VIDEO_FRAME);
                head.0.put_u8(u8::try_from(*rung).ok()?);
                head.0.put_u64(*number);
                head.0.put_u8(u8::from(*idr));
                data.clone()
            }
            Self::AudioConfig { asc } => {
                head.kind(AUDIO_CONFIG);
                asc.clone()
            }
            Self::Audio { number, data } => {
                head.kind(AUDIO_FRAME);
                head.0.put_u64(*number);
                data.clone()
            }
            Self::Opus { number, data } => {
                head.kind(OPUS_PACKET);
                head.0.put_u64(*number);
                data.clone()
            }
            Self::Still { data } => {
                head.kind(STILL);
                data.clone()
            }
            Self::Thumbnail { number, data } => {
                head.kind(THUMBNAIL);
                head.0.put_u64(*number);
                data.clone()
            }
            Self::Report(report) => {
                head.kind(REPORT);
                put_report(&mut head, report);
                Bytes::new()
            }
            Self::KeyFrameNeeded => {
                head.kind(KEY_FRAME_NEEDED);
                Bytes::new()
            }
            Self::Restarted => {
                head.kind(RESTARTED);
                Bytes::new()
            }
            // A worker has no say in it.
            Self::RungPlanned { .. } => return None,
        };
        head.finish(payload)
    }

    /// Reads a message that [`next_message`] has cut out.
    ///
    /// # Errors
    ///
    /// Any [`DecodeError`] but `Length`.
    pub fn decode(message: Bytes) -> Result<Self, DecodeError> {
        let mut fields = Fields(message);
        Ok(match fields.u8()? {
            VIDEO_CONFIG => {
                let rung = fields.rung()?;
                let (sps, pps) = fields.two_parts()?;
                // They live as long as the stream: they must not pin the buffer.
                let [sps, pps] = [sps, pps].map(|set| Bytes::copy_from_slice(&set));
                Self::VideoConfig { rung, sps, pps }
            }
            VIDEO_FRAME => Self::Video {
                rung: fields.rung()?,
                number: fields.u64()?,
                idr: fields.bool()?,
                data: fields.rest(),
            },
            AUDIO_CONFIG => Self::AudioConfig {
                asc: Bytes::copy_from_slice(&fields.rest()),
            },
            AUDIO_FRAME => Self::Audio {
                number: fields.u64()?,
                data: fields.rest(),
            },
            OPUS_PACKET => Self::Opus {
                number: fields.u64()?,
                data: fields.rest(),
            },
            STILL => Self::Still {
                data: take_picture(&fields.rest(), MAX_STILL)?,
            },
            THUMBNAIL => Self::Thumbnail {
                number: fields.u64()?,
                data: take_picture(&fields.rest(), MAX_THUMBNAIL)?,
            },
            REPORT => Self::Report(take_report(&mut fields)?),
            KEY_FRAME_NEEDED => Self::KeyFrameNeeded,
            RESTARTED => Self::Restarted,
            kind => return Err(DecodeError::Kind(kind)),
        })
    }
}

fn put_spec(head: &mut Head, spec: &Spec) {
    head.0
        .put_u8(u8::try_from(spec.ladder.len()).unwrap_or(u8::MAX));
    for rung in &spec.ladder {
        head.0.put_u32(rung.resolution.width);
        head.0.put_u32(rung.resolution.height);
        head.0.put_u32(rung.bitrate);
    }
    head.0.put_u32(spec.rate.as_u32());
    head.0.put_u8(encoder_code(spec.encoder));
    head.0.put_u8(preset_code(spec.preset));
    head.0.put_u32(spec.audio_bitrate);
    head.0.put_u32(spec.opus_bitrate.unwrap_or(0));
    head.0.put_u32(spec.thumbnail_frames);
    head.0.put_u64(spec.memory_limit);
    head.0.put_u8(u8::from(spec.may_pass));
}

fn take_spec(fields: &mut Fields) -> Result<Spec, DecodeError> {
    let rungs = usize::from(fields.u8()?);
    if rungs == 0 || rungs > MAX_RUNGS {
        return Err(DecodeError::Range("number of rungs"));
    }
    let mut ladder = Vec::with_capacity(rungs);
    for _ in 0..rungs {
        let resolution = Resolution {
            width: fields.u32()?,
            height: fields.u32()?,
        };
        ladder.push(Rung {
            resolution,
            bitrate: fields.u32()?,
        });
    }
    let rate = FrameRate::try_from(fields.u32()?).map_err(|_| DecodeError::Range("frame rate"))?;
    let encoder = fields.u8()?;
    let encoder = Encoder::ALL
        .into_iter()
        .find(|each| encoder_code(*each) == encoder);
    let preset = fields.u8()?;
    let preset = Preset::ALL
        .into_iter()
        .find(|each| preset_code(*each) == preset);
    Ok(Spec {
        ladder,
        rate,
        encoder: encoder.ok_or(DecodeError::Range("encoder"))?,
        preset: preset.ok_or(DecodeError::Range("preset"))?,
        audio_bitrate: fields.u32()?,
        opus_bitrate: Some(fields.u32()?).filter(|rate| *rate > 0),
        thumbnail_frames: fields.u32()?,
        memory_limit: fields.u64()?,
        may_pass: fields.bool()?,
        shedding: None,
    })
}

fn encoder_code(encoder: Encoder) -> u8 {
    match encoder {
        Encoder::Libx264 => 0,
        Encoder::H264Nvenc => 1,
        Encoder::H264Vaapi => 2,
        Encoder::H264Qsv => 3,
    }
}

fn preset_code(preset: Preset) -> u8 {
    match preset {
        Preset::Ultrafast => 0,
        Preset::Superfast => 1,
        Preset::Veryfast => 2,
        Preset::Faster => 3,
        Preset::Fast => 4,
        Preset::Medium => 5,
    }
}

fn put_input(head: &mut Head, input: &Input) -> Bytes {
    match input {
        Input::Video {
            codec,
            capture,
            quarter_turns,
            data,
        } => {
            head.kind(VIDEO);
            head.0.put_u8(match codec {
                VideoCodec::H264 => 0,
                VideoCodec::Vp8 => 1,
                VideoCodec::Vp9 => 2,
            });
            head.0.put_i64(capture.as_micros());
            head.0.put_u8(quarter_turns % 4);
            data.clone()
        }
        Input::Audio { capture, data } => {
            head.kind(AUDIO);
            head.0.put_i64(capture.as_micros());
            data.clone()
        }
        Input::VideoTick { number, idr, .. } => {
            put_tick(head, *number, *idr, u8::MAX);
            Bytes::new()
        }
        Input::AudioTick { number } => {
            head.kind(AUDIO_TICK);
            head.0.put_u64(*number);
            Bytes::new()
        }
    }
}

fn put_tick(head: &mut Head, number: u64, idr: bool, rungs: u8) {
    head.kind(VIDEO_TICK);
    head.0.put_u64(number);
    head.0.put_u8(u8::from(idr));
    head.0.put_u8(rungs);
}

fn take_input(kind: u8, fields: &mut Fields) -> Result<Input, DecodeError> {
    Ok(match kind {
        VIDEO => Input::Video {
            codec: match fields.u8()? {
                0 => VideoCodec::H264,
                1 => VideoCodec::Vp8,
                2 => VideoCodec::Vp9,
                _ => return Err(DecodeError::Range("video codec")),
            },
            capture: fields.time()?,
            quarter_turns: match fields.u8()? {
                turns @ 0..=3 => turns,
                _ => return Err(DecodeError::Range("quarter turns")),
            },
            data: fields.rest(),
        },
        AUDIO => Input::Audio {
            capture: fields.time()?,
            data: fields.rest(),
        },
        AUDIO_TICK => Input::AudioTick {
            number: fields.u64()?,
        },
        kind => return Err(DecodeError::Kind(kind)),
    })
}

/// A picture is kept for long: it must not pin the buffer.
fn take_picture(data: &Bytes, max: usize) -> Result<Bytes, DecodeError> {
    if data.len() > max {
        return Err(DecodeError::Range("size of a picture"));
    }
    Ok(Bytes::copy_from_slice(data))
}

/// Largest still: a JPEG of the lowest rung has a twentieth of it.
const MAX_STILL: usize = 1 << 20;

/// Largest thumbnail: its pixels have half of it before they are compressed.
const MAX_THUMBNAIL: usize = 64 << 10;

fn put_report(head: &mut Head, report: &Report) {
    head.0.put_f64(report.speed);
    for field in [
        report.queued_ticks,
        report.decode_errors,
        report.repeated_frames,
        report.silent_frames,
        report.source_width,
        report.source_height,
    ] {
        head.0.put_u32(field);
    }
}

fn take_report(fields: &mut Fields) -> Result<Report, DecodeError> {
    let speed = f64::from_bits(fields.u64()?);
    if !speed.is_finite() {
        return Err(DecodeError::Range("speed"));
    }
    Ok(Report {
        speed,
        queued_ticks: fields.u32()?,
        decode_errors: fields.u32()?,
        repeated_frames: fields.u32()?,
        silent_frames: fields.u32()?,
        source_width: fields.u32()?,
        source_height: fields.u32()?,
    })
}

/// Writes two byte strings: the first one's length and content into the head,
/// the second one as payload.
fn two_parts(head: &mut Head, first: &Bytes, second: &Bytes) -> Option<Bytes> {
    head.0.put_u16(u16::try_from(first.len()).ok()?);
    head.0.put_slice(first);
    Some(second.clone())
}

/// The beginning of a message; the length is filled in by `finish`.
struct Head(BytesMut);

impl Default for Head {
    fn default() -> Self {
        let mut bytes = BytesMut::with_capacity(64);
        bytes.put_u32(0);
        Self(bytes)
    }
}

impl Head {
    fn kind(&mut self, kind: u8) {
        self.0.put_u8(kind);
    }

    fn finish(mut self, payload: Bytes) -> Option<Encoded> {
        let size = self.0.len() - 4 + payload.len();
        if size > MAX_MESSAGE {
            return None;
        }
        let length = u32::try_from(size).ok()?;
        self.0.get_mut(..4)?.copy_from_slice(&length.to_be_bytes());
        Some(Encoded {
            head: self.0.freeze(),
            payload,
        })
    }
}

/// What is left of a message.
struct Fields(Bytes);

impl Fields {
    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.0.try_get_u8().map_err(|_| DecodeError::Truncated)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.0.try_get_u16().map_err(|_| DecodeError::Truncated)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.0.try_get_u32().map_err(|_| DecodeError::Truncated)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.0.try_get_u64().map_err(|_| DecodeError::Truncated)
    }

    fn time(&mut self) -> Result<MediaTime, DecodeError> {
        let micros = self.0.try_get_i64().map_err(|_| DecodeError::Truncated)?;
        Ok(MediaTime::from_micros(micros))
    }

    fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Range("flag")),
        }
    }

    fn rung(&mut self) -> Result<usize, DecodeError> {
        match usize::from(self.u8()?) {
            rung if rung < MAX_RUNGS => Ok(rung),
            _ => Err(DecodeError::Range("rung")),
        }
    }

    fn two_parts(&mut self) -> Result<(Bytes, Bytes), DecodeError> {
        let first = usize::from(self.u16()?);
        if first > self.0.len() {
            return Err(DecodeError::Truncated);
        }
        Ok((self.0.split_to(first), self.rest()))
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }
}

const CONFIGURE: u8 = 1;
const SEED_CONFIG: u8 = 2;
const SEED_FRAME: u8 = 3;
const VIDEO: u8 = 4;
const AUDIO: u8 = 5;
const VIDEO_TICK: u8 = 6;
const AUDIO_TICK: u8 = 7;

const VIDEO_CONFIG: u8 = 65;
const VIDEO_FRAME: u8 = 66;
const AUDIO_CONFIG: u8 = 67;
const AUDIO_FRAME: u8 = 68;
const REPORT: u8 = 69;
const KEY_FRAME_NEEDED: u8 = 70;
const RESTARTED: u8 = 71;
const STILL: u8 = 72;
const THUMBNAIL: u8 = 73;
const OPUS_PACKET: u8 = 74;

#[cfg(test)]
mod tests;
