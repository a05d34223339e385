//! What the main process tells a worker: what to make, then media and ticks.

use bytes::{BufMut as _, Bytes};

use super::{
    DecodeError, Encoded,
    fields::{Fields, Head, two_parts},
};
use crate::{
    timeline::FrameRate,
    transcode::{
        Encoder, Input, Preset, Spec, VideoCodec,
        ladder::{MAX_RUNGS, Resolution, Rung},
    },
};

const CONFIGURE: u8 = 1;
const SEED_CONFIG: u8 = 2;
const SEED_FRAME: u8 = 3;
const VIDEO: u8 = 4;
const AUDIO: u8 = 5;
const VIDEO_TICK: u8 = 6;
const AUDIO_TICK: u8 = 7;

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
    /// [`Output::Video`](crate::transcode::Output::Video). The first one is an IDR.
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

impl ToWorker {
    /// The message as it goes on the socket; `None` when it is larger than
    /// [`MAX_MESSAGE`](super::MAX_MESSAGE).
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

    /// Reads a message that [`next_message`](super::next_message) has cut out.
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
