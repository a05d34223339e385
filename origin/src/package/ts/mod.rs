//! MPEG-2 transport streams, for players that know nothing newer; pure.
//!
//! A segment is muxed when it is asked for, from the same chunks that CMAF is
//! made of:
//!
//! ```text
//!  Segment of a rung ┐ fmp4::samples
//!  Segment of audio  ┘      │ one access unit, or some AAC frames
//!    ▼                      ▼
//!  elementary         Annex B with AUD and parameter sets; ADTS
//!    ▼                      │
//!  pes                packetized elementary stream, with the PTS
//!    ▼                      │
//!  packet             packets of 188 bytes, continuity counters, PCR
//! ```
//!
//! Nothing is kept between segments. So that continuity counters run on all
//! the same, each segment begins with counter 0 and the number of packets of
//! each elementary stream is a multiple of 16; PAT and PMT come once per
//! segment and count segments. Reference: ISO/IEC 13818-1; ADTS is ISO/IEC
//! 13818-7 §6.2, Annex B that of ITU-T H.264.

mod elementary;
mod packet;
mod pes;
mod tables;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use self::{
    elementary::{AudioFrames, Picture},
    packet::{Clock, Packetizer},
    pes::Pes,
};
use super::{
    Beat, Config, Segment,
    fmp4::{self, Sample},
};
use crate::timeline::{FrameRate, VIDEO_TIMESCALE};

/// How long after its bytes a frame is shown: PTS less PCR, in 90 kHz ticks.
/// 100 ms keeps the audio within the 3,584 bytes of a decoder's buffer
/// (ISO/IEC 13818-1 §2.4.2.3), and no clock below zero at the epoch.
const LEAD: u64 = 9_000;

/// AAC frames that share a PES packet: 85 ms. A frame of its own for each
/// would waste half a packet on every one.
const MAX_FRAMES_PER_PES: usize = 4;

/// Why a segment could not be muxed; all of them are faults of ours.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A chunk could not be read back.
    #[error("chunk")]
    Chunk(#[from] ChunkError),
    /// The renditions are not what a transport stream is made of.
    #[error("segment of the wrong kind")]
    Kind,
}

/// A chunk that could not be read back.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ChunkError(#[from] fmp4::Error);

/// Muxes a segment of a video rendition with the audio's of the same number;
/// without audio when that has no media.
///
/// # Errors
///
/// [`Error`] when the segments are not what the packager made.
pub fn segment(video: &Segment, audio: Option<(&Segment, &Beat)>) -> Result<Bytes, Error> {
    let mut units = pictures(video)?;
    let video_units = units.len();
    if let Some((audio, beat)) = audio {
        units.extend(sounds(audio, beat)?);
    }
    let last_audio = units.len().checked_sub(1).filter(|i| *i >= video_units);
    let is_last = |index: usize| Some(index) == last_audio || index + 1 == video_units;
    let mut order: Vec<_> = (0..units.len()).collect();
    // Stable: a picture goes before the sound of the same moment.
    order.sort_by_key(|index| units.get(*index).map(|unit| unit.pts));

    let payload: usize = units.iter().map(|unit| unit.payload.len()).sum();
    let packets = payload / packet::CAPACITY + 2 * units.len() + 64;
    let mut out = Packetizer::new(packets);
    tables::write(&mut out, video.number);
    for index in order {
        let Some(unit) = units.get(index) else {
            continue;
        };
        let clock = (index < video_units).then(|| Clock {
            reference: unit.pts - LEAD,
            is_random_access: unit.sync,
        });
        out.write(unit.pid, &unit.packet(), clock, is_last(index));
    }
    Ok(out.finish())
}

/// The rate of a transport stream of so many bits of media per second.
pub fn bits_per_second(media: u64, rate: FrameRate) -> u64 {
    // Sound is cut into a dozen units.
    let units = u64::from(rate.as_u32()) + 12;
    // PES header and delimiter, PCR, and half a packet of stuffing.
    let stuffing = units * (20 + 8 + 92);
    // Both tables, and what evens the two counters out at the worst.
    let fixed = (2 + 2 * 15) * packet::SIZE as u64;
    media * packet::SIZE as u64 / packet::CAPACITY as u64 + (stuffing + fixed) * 8
}

fn pictures(segment: &Segment) -> Result<Vec<Pes>, Error> {
    let Config::Video { sps, pps, passed } = &segment.init.config else {
        return Err(Error::Kind);
    };
    let passed = passed.iter().flat_map(|sets| [&sets.sps, &sets.pps]);
    let sets: Vec<&Bytes> = [sps, pps].into_iter().chain(passed).collect();
    let mut units = Vec::new();
    for (at, sample) in samples(&segment.chunks)? {
        let picture = Picture {
            sample: &sample.data,
            parameter_sets: if sample.sync { &sets } else { &[] },
        };
        units.push(Pes {
            pid: tables::VIDEO_PID,
            stream_id: pes::VIDEO,
            pts: at.saturating_add(LEAD),
            sync: sample.sync,
            payload: picture.annex_b(),
        });
    }
    Ok(units)
}

fn sounds(segment: &Segment, beat: &Beat) -> Result<Vec<Pes>, Error> {
    let Config::Audio {
        object_type,
        channels,
    } = segment.init.config
    else {
        return Err(Error::Kind);
    };
    let frames = AudioFrames {
        object_type,
        channels,
    };
    let samples = samples(&segment.chunks)?;
    let mut units: Vec<Pes> = Vec::new();
    let mut held = 0;
    let mut follows = None;
    for (at, sample) in samples.into_iter().filter(|it| frames.fits(&it.1.data)) {
        // Frames that share a PES packet follow each other without a hole.
        match units
            .last_mut()
            .filter(|_| held < MAX_FRAMES_PER_PES && follows == Some(at))
        {
            Some(unit) => frames.append_adts(&sample.data, &mut unit.payload),
            None => {
                let mut payload = Vec::new();
                frames.append_adts(&sample.data, &mut payload);
                units.push(Pes {
                    pid: tables::AUDIO_PID,
                    stream_id: pes::AUDIO,
                    pts: presented(at, beat),
                    sync: false,
                    payload,
                });
                held = 0;
            }
        }
        held += 1;
        follows = Some(at.saturating_add(sample.duration));
    }
    Ok(units)
}

/// When sound is heard, in 90 kHz ticks. A worker that numbers its frames out of this
/// world gets a wrong moment.
fn presented(at: u64, beat: &Beat) -> u64 {
    let ticks = u128::from(at) * u128::from(VIDEO_TIMESCALE) / u128::from(beat.timescale);
    u64::try_from(ticks)
        .unwrap_or(u64::MAX)
        .saturating_add(LEAD)
}

/// The samples of all chunks with the ticks at which each begins.
fn samples(chunks: &[Bytes]) -> Result<Vec<(u64, Sample)>, ChunkError> {
    let mut all = Vec::new();
    for chunk in chunks {
        let (mut at, samples) = fmp4::samples(chunk)?;
        for sample in samples {
            let duration = sample.duration;
            all.push((at, sample));
            at = at.saturating_add(duration);
        }
    }
    Ok(all)
}
