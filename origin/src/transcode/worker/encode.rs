//! One rung: scales the picture that is due and encodes it, on its own thread.
//!
//! libx264 runs without any delay, so each job leaves as one frame before the
//! next is looked at. An IDR comes when a tick asks for it and never else:
//! scene cuts and a GOP length would break the rungs' alignment. The encoder
//! lives as long as the worker, whatever the source does.

use std::sync::{Arc, mpsc::Receiver};

use bytes::Bytes;
use ffmpeg_next::{
    Dictionary, Packet, Rational, codec, color, encoder, format::Pixel, frame, picture,
};
use inlet_common::clock;

use super::{
    Error,
    gauge::Gauges,
    scale::{Canvas, Picture},
    send,
    sink::Sink,
    still::Stills,
};
use crate::{
    timeline::FrameRate,
    transcode::{Output, Preset, ffi, ladder::Rung},
};

/// Jobs between the decoder and a rung: as many as the supervisor lets a slow
/// rung owe (`MAX_BEHIND` there), so that the decoder does not wait for it; few
/// enough that pictures do not pile up.
pub(super) const QUEUE: usize = 8;

/// A frame that is due.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) idr: bool,
    /// What to show; black when there is nothing yet.
    pub(super) picture: Option<Arc<Picture>>,
}

/// What a rung's thread is to make.
pub(super) struct Task {
    pub(super) index: usize,
    pub(super) rung: Rung,
    pub(super) rate: FrameRate,
    pub(super) preset: Preset,
    /// Whether the stream's stills come from it.
    pub(super) makes_stills: bool,
}

/// Answers each job with one frame until the sender is gone.
pub(super) fn run(
    task: &Task,
    jobs: Receiver<Job>,
    sink: &Sink,
    gauges: &Gauges,
) -> Result<(), Error> {
    let Task {
        index, ref rung, ..
    } = *task;
    let mut encoder = open(rung, task.rate, task.preset)?;
    let stills = || Stills::new(rung.resolution, task.rate);
    let stills = task.makes_stills.then(stills).transpose();
    let mut stills = stills.map_err(failed("JPEG"))?;
    let (sps, pps) = parameter_sets(&ffi::extradata(&encoder)).ok_or(Error::Codec {
        what: "libx264's header",
        source: ffmpeg_next::Error::InvalidData,
    })?;
    send(
        sink,
        &Output::VideoConfig {
            rung: index,
            sps,
            pps,
        },
    )?;
    let mut canvas = Canvas::new(rung.resolution);
    let mut packet = Packet::empty();
    // The first frame of an encoder is an IDR in any case.
    let mut idr_owed = true;
    for job in jobs {
        let begin = clock::now();
        let mut frame = render(&mut canvas, &job, gauges)?;
        frame.set_pts(i64::try_from(job.number).ok());
        let idr = job.idr || idr_owed;
        idr_owed = false;
        frame.set_kind(if idr {
            picture::Type::I
        } else {
            picture::Type::None
        });
        encoder.send_frame(&frame).map_err(failed("libx264"))?;
        let still = match stills.as_mut().filter(|_| job.picture.is_some()) {
            Some(stills) => stills.take(job.number, &frame).map_err(failed("JPEG"))?,
            None => None,
        };
        drop(frame);
        encoder
            .receive_packet(&mut packet)
            .map_err(failed("libx264"))?;
        let data = slices(packet.data().unwrap_or_default());
        let output = Output::Video {
            rung: index,
            number: job.number,
            idr: packet.is_key(),
            data,
        };
        gauges.rung_answered(index, clock::now().saturating_duration_since(begin));
        send(sink, &output)?;
        if let Some(data) = still {
            send(sink, &Output::Still { data })?;
        }
    }
    Ok(())
}

fn render(canvas: &mut Canvas, job: &Job, gauges: &Gauges) -> Result<frame::Video, Error> {
    canvas.render(job.picture.as_ref()).or_else(|error| {
        // A source that cannot be scaled: show what is on the canvas.
        tracing::debug!(%error, "picture not scaled");
        gauges.decode_error();
        canvas.render(None).map_err(failed("scaling"))
    })
}

fn failed(what: &'static str) -> impl Fn(ffmpeg_next::Error) -> Error {
    move |source| Error::Codec { what, source }
}

fn open(rung: &Rung, rate: FrameRate, preset: Preset) -> Result<encoder::video::Encoder, Error> {
    let codec = encoder::find_by_name("libx264").ok_or(Error::Codec {
        what: "libx264",
        source: ffmpeg_next::Error::EncoderNotFound,
    })?;
    let context = codec::Context::new_with_codec(codec);
    let mut video = context.encoder().video().map_err(failed("libx264"))?;
    let fps = i32::try_from(rate.as_u32()).unwrap_or(30);
    video.set_width(rung.resolution.width);
    video.set_height(rung.resolution.height);
    video.set_format(Pixel::YUV420P);
    video.set_aspect_ratio(Rational(1, 1));
    video.set_time_base(Rational(1, fps));
    video.set_frame_rate(Some(Rational(fps, 1)));
    video.set_bit_rate(rung.bitrate as usize);
    video.set_max_bit_rate(rung.bitrate as usize);
    video.set_max_b_frames(0);
    video.set_color_range(color::Range::MPEG);
    // Parameter sets in the extradata only, as avcC wants them.
    video.set_flags(codec::Flags::GLOBAL_HEADER | codec::Flags::CLOSED_GOP);
    let bitrate = rung.bitrate.to_string();
    let options = [
        ("preset", preset.as_str()),
        ("tune", "zerolatency"),
        ("profile", "high"),
        ("threads", "1"),
        ("forced-idr", "1"),
        // One second of rate in the VBV.
        ("bufsize", bitrate.as_str()),
        (
            "x264-params",
            "annexb=0:keyint=infinite:scenecut=0:sliced-threads=0",
        ),
    ];
    let options: Dictionary<'_> = options.iter().collect();
    video
        .open_as_with(codec, options)
        .map_err(failed("libx264"))
}

/// NAL unit types, ITU-T H.264 table 7-1.
mod nal {
    pub(super) const SLICE: u8 = 1;
    pub(super) const IDR: u8 = 5;
    pub(super) const SPS: u8 = 7;
    pub(super) const PPS: u8 = 8;
}

/// The NAL units of an access unit with 4-byte lengths.
pub(super) fn units(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let unit = rest.get(..length).filter(|unit| !unit.is_empty())?;
        data = rest.get(length..)?;
        Some(unit)
    })
}

fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & 0x1f)
}

fn parameter_sets(header: &[u8]) -> Option<(Bytes, Bytes)> {
    let find = |wanted| units(header).find(|unit| kind(unit) == wanted);
    let (sps, pps) = (find(nal::SPS)?, find(nal::PPS)?);
    Some((Bytes::copy_from_slice(sps), Bytes::copy_from_slice(pps)))
}

/// The slices alone: x264 puts its settings as SEI in front of the first frame.
fn slices(data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len());
    for unit in units(data).filter(|unit| (nal::SLICE..=nal::IDR).contains(&kind(unit))) {
        out.extend_from_slice(&u32::try_from(unit.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(unit);
    }
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcode::ladder::Resolution;

    #[test]
    fn slices_are_kept_and_the_rest_is_not() {
        let data = [
            0, 0, 0, 2, 0x06, 9, 0, 0, 0, 3, 0x65, 1, 2, 0, 0, 0, 1, 0x09,
        ];
        assert_eq!(&slices(&data)[..], [0, 0, 0, 3, 0x65, 1, 2]);
        assert!(slices(&[0, 0, 0, 9, 0x65]).is_empty());
    }

    #[test]
    fn every_preset_gives_parameter_sets() {
        let resolution = Resolution {
            width: 640,
            height: 360,
        };
        let rung = Rung {
            resolution,
            bitrate: 450_000,
        };
        for preset in Preset::ALL {
            let encoder = open(&rung, FrameRate::DEFAULT, preset).unwrap();
            let (sps, pps) = parameter_sets(&ffi::extradata(&encoder)).unwrap();
            assert_eq!((kind(&sps), kind(&pps)), (nal::SPS, nal::PPS));
            // profile_idc: main or high, or baseline's superset for ultrafast.
            assert!([66, 77, 100].contains(&sps[1]), "{}", sps[1]);
        }
    }
}
