//! One rung: scales the picture that is due and encodes it, on its own thread.
//!
//! Encoders run without any delay, so each job leaves as one frame before the
//! next is looked at. An IDR comes when a tick asks for it and never else:
//! scene cuts and a GOP length would break the rungs' alignment. The encoder
//! lives as long as the worker, whatever the source does.
//!
//! | file | holds |
//! |---|---|
//! | `opened` | what all encoders have in common, and the rules that they must keep |
//! | `nal` | what they put out becomes slices and parameter sets |
//! | `x264`, `nvenc`, `vaapi`, `quicksync` | what each is opened with, how it takes pictures and frames NAL units |

use std::sync::{Arc, mpsc::Receiver};

use ffmpeg_next::frame;
use inlet_common::clock;

pub use self::opened::Breach;
use self::opened::{Encoding, failed};
pub(super) use self::{nal::units, opened::Opened};
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
    transcode::{Encoder, Output, Spec, ladder::Rung},
};

mod nal;
mod nvenc;
mod opened;
mod quicksync;
mod vaapi;
mod x264;

/// Opens a rung's encoder. A device is opened with it, so this comes before the
/// process is locked up.
pub(super) fn open(spec: &Spec, index: usize, rung: &Rung) -> Result<Opened, Error> {
    let plan = match spec.encoder {
        Encoder::Libx264 => x264::plan(spec.preset, spec.may_pass && index == 0),
        Encoder::H264Nvenc => nvenc::plan(),
        Encoder::H264Vaapi => vaapi::plan(rung)?,
        Encoder::H264Qsv => quicksync::plan(),
    };
    Opened::new(plan, rung, spec.rate)
}

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
    pub(super) encoder: Opened,
    /// Frames between two thumbnails, if the stream's stills and thumbnails come
    /// from it.
    pub(super) thumbnail_frames: Option<u32>,
}

/// Answers each job with one frame until the sender is gone.
pub(super) fn run(
    task: Task,
    jobs: Receiver<Job>,
    sink: &Sink,
    gauges: &Gauges,
) -> Result<(), Error> {
    let Task {
        index,
        rung,
        rate,
        encoder,
        thumbnail_frames,
    } = task;
    let stills = |every| Stills::new(rung.resolution, rate, every);
    let stills = thumbnail_frames.map(stills).transpose();
    let mut stills = stills.map_err(failed("JPEG"))?;
    let parameter_sets = encoder.parameter_sets().clone();
    let mut encoding = Encoding::new(encoder)?;
    send(
        sink,
        &Output::VideoConfig {
            rung: index,
            sps: parameter_sets.sps,
            pps: parameter_sets.pps,
        },
    )?;
    let mut canvas = Canvas::new(rung.resolution);
    // The first frame of an encoder is an IDR in any case.
    let mut idr_owed = true;
    for job in jobs {
        let begin = clock::now();
        let frame = render(&mut canvas, &job, gauges)?;
        let idr = std::mem::take(&mut idr_owed) || job.idr;
        let slices = encoding.encode(&frame, job.number, idr)?;
        let pictures = match stills.as_mut().filter(|_| job.picture.is_some()) {
            Some(stills) => stills.take(job.number, &frame).map_err(failed("JPEG"))?,
            None => [None, None],
        };
        drop(frame);
        let output = Output::Video {
            rung: index,
            number: job.number,
            idr: slices.is_idr,
            data: slices.data,
        };
        gauges.rung_answered(index, clock::now().saturating_duration_since(begin));
        send(sink, &output)?;
        for picture in pictures.iter().flatten() {
            send(sink, picture)?;
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

#[cfg(test)]
mod tests {
    use inlet_common::video::h264;

    use super::*;
    use crate::transcode::{Preset, ladder::Resolution};

    pub(super) fn rung() -> Rung {
        let resolution = Resolution {
            width: 640,
            height: 360,
        };
        Rung {
            resolution,
            bitrate: 450_000,
        }
    }

    /// FFmpeg ignores an option that it does not know, so without the device a
    /// misspelt one would go unnoticed.
    #[test]
    fn the_options_of_encoders_in_hardware_are_theirs() {
        for (encoder, options) in [
            (Encoder::H264Nvenc, nvenc::plan().options),
            (Encoder::H264Vaapi, vaapi::OPTIONS.to_vec()),
            (Encoder::H264Qsv, quicksync::plan().options),
        ] {
            let help = std::process::Command::new("ffmpeg")
                .args(["-hide_banner", "-h"])
                .arg(format!("encoder={}", encoder.as_str()))
                .output()
                .unwrap();
            let help = String::from_utf8(help.stdout).unwrap();
            let words: Vec<_> = help.split_whitespace().collect();
            for (name, value) in options.into_iter().filter(|(name, _)| *name != "g") {
                let own = format!("-{name}");
                assert!(words.contains(&own.as_str()), "{encoder:?} has no {name}");
                let is_known = value.parse::<u32>().is_ok() || words.contains(&value);
                assert!(is_known, "{encoder:?} knows no {name} of {value}");
            }
        }
    }

    #[test]
    fn parameter_sets_beside_a_presenters_have_a_number_of_their_own() {
        let rung = rung();
        let spec = Spec {
            may_pass: true,
            ..Spec::new(vec![rung.clone()], FrameRate::DEFAULT)
        };
        let ids = |index| {
            let opened = open(&spec, index, &rung).unwrap();
            let sets = opened.parameter_sets();
            let sps = h264::read_sps(&sets.sps).unwrap();
            assert_eq!((sps.size.width, sps.size.height), (640, 360));
            (sps.id, h264::pps_ids(&sets.pps).unwrap())
        };
        let own = Spec::PASSED_BESIDE;
        assert_eq!(ids(0), (own, (own, own)));
        assert_eq!(ids(1), (0, (0, 0)), "a rung that is always encoded");
    }

    #[test]
    fn every_preset_gives_parameter_sets() {
        for preset in Preset::ALL {
            let rung = rung();
            let spec = Spec {
                preset,
                ..Spec::new(vec![rung.clone()], FrameRate::DEFAULT)
            };
            let opened = open(&spec, 0, &rung).unwrap();
            // profile_idc: main or high, or baseline's superset for ultrafast.
            let profile = opened.parameter_sets().sps[1];
            assert!([66, 77, 100].contains(&profile), "{profile}");
        }
    }
}
