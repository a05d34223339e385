//! The audio thread: Opus in, one AAC frame per tick out, and Opus where it is wanted.
//!
//! The AAC encoder needs two frames beyond the one it completes: one for the
//! overlap of its transform (the *priming* that players would otherwise hear
//! as 21 ms of delay) and one to look ahead. So the answer to tick `k` leaves
//! with tick `k + 2`, and its content is that of frame `k`: the packets carry
//! time stamps, and the number is read off them.

use std::sync::mpsc::Receiver;

use bytes::Bytes;
use ffmpeg_next::{
    ChannelLayout, Dictionary, Packet, Rational, codec, decoder, encoder,
    format::{Sample, sample::Type},
    frame,
};

use super::{
    Error,
    drift::Stereo,
    gauge::Gauges,
    opus::Opus,
    placement::{Placer, Track},
    send,
    sink::Sink,
};
use crate::{
    timeline::{AAC_FRAME_SAMPLES, AUDIO_TIMESCALE, MediaTime},
    transcode::{Output, ffi},
};

/// What the reader hands over, in the stream's order.
pub(super) enum Job {
    Coded { capture: MediaTime, data: Bytes },
    Tick { number: u64 },
}

/// Answers each tick until the sender is gone.
pub(super) fn run(
    bitrate: u32,
    opus_bitrate: Option<u32>,
    jobs: Receiver<Job>,
    sink: &Sink,
    gauges: &Gauges,
) -> Result<(), Error> {
    let mut encoder = Encoder::open(bitrate)?;
    let mut beside = opus_bitrate.map(Opus::open).transpose()?;
    send(
        sink,
        &Output::AudioConfig {
            asc: ffi::extradata(&encoder.aac),
        },
    )?;
    let mut opus = open_opus();
    let mut placer = Placer::new();
    let mut track = Track::default();
    let mut block = Vec::new();
    for job in jobs {
        match job {
            Job::Coded { capture, data } => {
                let decoded = opus
                    .as_mut()
                    .is_some_and(|opus| decode(opus, &data, &mut block));
                if decoded {
                    placer.handle_block(capture, &block, &mut track);
                } else {
                    gauges.decode_error();
                }
            }
            Job::Tick { number } => {
                let (samples, is_silent) = track.take(number);
                if is_silent {
                    gauges.silent_frame();
                }
                encoder.encode(number, &samples, sink)?;
                if let Some(beside) = &mut beside {
                    beside.encode(number, &samples, sink)?;
                }
            }
        }
    }
    Ok(())
}

/// A decoder for Opus; libopus's own where FFmpeg has it.
fn open_opus() -> Option<decoder::Audio> {
    let codec = decoder::find_by_name("libopus").or_else(|| decoder::find(codec::Id::OPUS))?;
    let options = [("request_sample_fmt", "flt"), ("ac", "2"), ("threads", "1")];
    let options: Dictionary<'_> = options.iter().collect();
    let decoder = codec::Context::new_with_codec(codec).decoder();
    match decoder
        .open_as_with(codec, options)
        .and_then(decoder::Opened::audio)
    {
        Ok(decoder) => Some(decoder),
        Err(error) => {
            tracing::warn!(%error, "no decoder for opus: the stream will be silent");
            None
        }
    }
}

/// Decodes a packet to `block`; false when there is nothing in it.
fn decode(opus: &mut decoder::Audio, data: &[u8], block: &mut Vec<Stereo>) -> bool {
    block.clear();
    if data.is_empty() || opus.send_packet(&Packet::copy(data)).is_err() {
        return false;
    }
    let mut frame = frame::Audio::empty();
    while opus.receive_frame(&mut frame).is_ok() {
        append(&frame, block);
    }
    !block.is_empty()
}

fn append(frame: &frame::Audio, block: &mut Vec<Stereo>) {
    let channels = usize::from(frame.channels());
    match frame.format() {
        Sample::F32(Type::Packed) if channels > 0 => {
            let samples = frame.plane::<f32>(0).chunks_exact(channels);
            block.extend(samples.filter_map(|each| Some([*each.first()?, *each.last()?])));
        }
        Sample::F32(Type::Planar) if channels > 0 => {
            let (left, right) = (frame.plane::<f32>(0), frame.plane::<f32>(channels - 1));
            block.extend(left.iter().zip(right).map(|(left, right)| [*left, *right]));
        }
        _ => {}
    }
}

struct Encoder {
    aac: encoder::audio::Encoder,
    /// The first tick's number: what the encoder makes before it is priming.
    first: Option<u64>,
}

impl Encoder {
    fn open(bitrate: u32) -> Result<Self, Error> {
        let failed = |source| Error::Codec {
            what: "the AAC encoder",
            source,
        };
        let codec =
            encoder::find(codec::Id::AAC).ok_or(failed(ffmpeg_next::Error::EncoderNotFound))?;
        let context = codec::Context::new_with_codec(codec);
        let mut audio = context.encoder().audio().map_err(failed)?;
        let rate = i32::try_from(AUDIO_TIMESCALE).unwrap_or(48_000);
        audio.set_rate(rate);
        audio.set_format(Sample::F32(Type::Planar));
        audio.set_channel_layout(ChannelLayout::STEREO);
        audio.set_channels(2);
        audio.set_bit_rate(bitrate as usize);
        audio.set_time_base(Rational(1, rate));
        audio.set_flags(codec::Flags::GLOBAL_HEADER);
        let options: Dictionary<'_> = [("profile", "aac_low")].iter().collect();
        let aac = audio.open_as_with(codec, options).map_err(failed)?;
        Ok(Self { aac, first: None })
    }

    fn encode(&mut self, number: u64, samples: &[Stereo], sink: &Sink) -> Result<(), Error> {
        let failed = |source| Error::Codec {
            what: "the AAC encoder",
            source,
        };
        let first = *self.first.get_or_insert(number);
        let format = Sample::F32(Type::Planar);
        let mut frame = frame::Audio::new(format, samples.len(), ChannelLayout::STEREO);
        frame.set_rate(AUDIO_TIMESCALE);
        frame.set_pts(i64::try_from(number.saturating_mul(AAC_FRAME_SAMPLES)).ok());
        for channel in 0..2 {
            for (to, from) in frame.plane_mut::<f32>(channel).iter_mut().zip(samples) {
                *to = from.get(channel).copied().unwrap_or_default();
            }
        }
        self.aac.send_frame(&frame).map_err(failed)?;
        let mut packet = Packet::empty();
        while self.aac.receive_packet(&mut packet).is_ok() {
            let at = packet.pts().and_then(|pts| u64::try_from(pts).ok());
            let Some(number) = at.map(|at| at / AAC_FRAME_SAMPLES) else {
                continue;
            };
            if number >= first {
                let data = Bytes::copy_from_slice(packet.data().unwrap_or_default());
                send(sink, &Output::Audio { number, data })?;
            }
        }
        Ok(())
    }
}
