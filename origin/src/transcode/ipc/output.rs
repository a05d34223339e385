//! What a worker tells the main process, which believes none of it unseen.

use bytes::{BufMut as _, Bytes};

use super::{
    DecodeError, Encoded,
    fields::{Fields, Head, two_parts},
};
use crate::transcode::{Output, Report};

const VIDEO_CONFIG: u8 = 65;
pub(super) const VIDEO_FRAME: u8 = 66;
const AUDIO_CONFIG: u8 = 67;
const AUDIO_FRAME: u8 = 68;
const REPORT: u8 = 69;
const KEY_FRAME_NEEDED: u8 = 70;
const RESTARTED: u8 = 71;
const STILL: u8 = 72;
const THUMBNAIL: u8 = 73;
const OPUS_PACKET: u8 = 74;

/// Largest still: a JPEG of the lowest rung has a twentieth of it.
const MAX_STILL: usize = 1 << 20;

/// Largest parameter set: an encoder's have some thirty bytes.
const MAX_PARAMETER_SET: usize = 4 << 10;

/// Largest packet of sound and its configuration: a stereo AAC frame has 1,536 bytes at
/// the most (ISO/IEC 14496-3), an Opus packet of one frame 1,276 (RFC 6716 §3.4).
const MAX_SOUND: usize = 8 << 10;

/// Largest thumbnail: its pixels have half of it before they are compressed.
const MAX_THUMBNAIL: usize = 64 << 10;

impl Output {
    /// The message as it goes on the socket; `None` when it is larger than
    /// [`MAX_MESSAGE`](super::MAX_MESSAGE), or none of a worker's.
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

    /// Reads a message that [`next_message`](super::next_message) has cut out.
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
                if sps.len().max(pps.len()) > MAX_PARAMETER_SET {
                    return Err(DecodeError::Range("size of a parameter set"));
                }
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
                asc: Bytes::copy_from_slice(&take_sound(&mut fields)?),
            },
            AUDIO_FRAME => Self::Audio {
                number: fields.u64()?,
                data: take_sound(&mut fields)?,
            },
            OPUS_PACKET => Self::Opus {
                number: fields.u64()?,
                data: take_sound(&mut fields)?,
            },
            STILL => Self::Still {
                data: take_picture(&fields.rest(), MAX_STILL)?,
            },
            THUMBNAIL => Self::Thumbnail {
                number: fields.u64()?,
                data: take_picture(&fields.rest(), MAX_THUMBNAIL)?,
            },
            REPORT => Self::Report(take_report(&mut fields)?),
            KEY_FRAME_NEEDED => nothing_more(&fields, Self::KeyFrameNeeded)?,
            RESTARTED => nothing_more(&fields, Self::Restarted)?,
            kind => return Err(DecodeError::Kind(kind)),
        })
    }
}

/// What comes behind a message's last field would be read in vain.
fn nothing_more<T>(fields: &Fields, value: T) -> Result<T, DecodeError> {
    let is_over = fields.0.is_empty();
    is_over
        .then_some(value)
        .ok_or(DecodeError::Range("size of a message"))
}

fn take_sound(fields: &mut Fields) -> Result<Bytes, DecodeError> {
    let data = fields.rest();
    if data.len() > MAX_SOUND {
        return Err(DecodeError::Range("size of sound"));
    }
    Ok(data)
}

/// A picture is kept for long: it must not pin the buffer.
fn take_picture(data: &Bytes, max: usize) -> Result<Bytes, DecodeError> {
    if data.len() > max {
        return Err(DecodeError::Range("size of a picture"));
    }
    Ok(Bytes::copy_from_slice(data))
}

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
    let report = Report {
        speed,
        queued_ticks: fields.u32()?,
        decode_errors: fields.u32()?,
        repeated_frames: fields.u32()?,
        silent_frames: fields.u32()?,
        source_width: fields.u32()?,
        source_height: fields.u32()?,
    };
    nothing_more(fields, report)
}
