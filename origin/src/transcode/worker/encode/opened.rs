//! An open encoder, whichever it is: what all have in common.
//!
//! The rules are the ladder's, and an encoder that breaks one is given up with an
//! error that says which: one frame out for each frame in, at once; an IDR when
//! it is asked for and never else; parameter sets that stay.

use ffmpeg_next::{
    Dictionary, Packet, Rational, codec, color, encoder,
    error::EAGAIN,
    format::Pixel,
    frame, picture,
    software::scaling::{Context, Flags},
};

use super::nal::{Framing, ParameterSets, Slices};
use crate::{
    timeline::FrameRate,
    transcode::{Encoder, ffi, ladder::Rung, worker::Error},
};

/// What tells one encoder from another.
pub(super) struct Plan {
    pub(super) encoder: Encoder,
    pub(super) framing: Framing,
    pub(super) way: Way,
    /// Its own options, by FFmpeg's names.
    pub(super) options: Vec<(&'static str, &'static str)>,
}

/// How a picture gets from the canvas into the encoder.
pub(super) enum Way {
    /// As it is: three planes in memory.
    Planar,
    /// As NV12, in memory.
    SemiPlanar,
    /// As NV12, in memory of the device's.
    Device(ffi::device::Frames),
}

/// An open encoder that may still change its thread.
pub(in super::super) struct Opened {
    plan: Plan,
    encoder: encoder::video::Encoder,
    parameter_sets: ParameterSets,
}

impl Opened {
    pub(super) fn new(plan: Plan, rung: &Rung, rate: FrameRate) -> Result<Self, Error> {
        let failed = failed(plan.encoder.as_str());
        let codec = encoder::find_by_name(plan.encoder.as_str());
        let codec = codec.ok_or_else(|| failed(ffmpeg_next::Error::EncoderNotFound))?;
        let context = codec::Context::new_with_codec(codec);
        let mut video = context.encoder().video().map_err(&failed)?;
        describe(&mut video, rung, rate);
        match &plan.way {
            Way::Planar => video.set_format(Pixel::YUV420P),
            Way::SemiPlanar => video.set_format(Pixel::NV12),
            Way::Device(frames) => frames.attach(&mut video).map_err(&failed)?,
        }
        let bitrate = rung.bitrate.to_string();
        // One second of rate in the VBV.
        let common = [("bufsize", bitrate.as_str())];
        let options: Dictionary<'_> = plan.options.iter().chain(&common).collect();
        let encoder = video.open_as_with(codec, options).map_err(&failed)?;
        let header = ffi::extradata(&encoder);
        let parameter_sets = ParameterSets::find(&plan.framing.units(&header));
        let parameter_sets =
            parameter_sets.ok_or_else(|| broken(plan.encoder, Breach::NoParameterSets))?;
        Ok(Self {
            plan,
            encoder,
            parameter_sets,
        })
    }

    pub(super) fn parameter_sets(&self) -> &ParameterSets {
        &self.parameter_sets
    }
}

fn describe(video: &mut encoder::video::Video, rung: &Rung, rate: FrameRate) {
    let fps = i32::try_from(rate.as_u32()).unwrap_or(30);
    video.set_width(rung.resolution.width);
    video.set_height(rung.resolution.height);
    video.set_aspect_ratio(Rational(1, 1));
    video.set_time_base(Rational(1, fps));
    video.set_frame_rate(Some(Rational(fps, 1)));
    video.set_bit_rate(rung.bitrate as usize);
    video.set_max_bit_rate(rung.bitrate as usize);
    video.set_max_b_frames(0);
    video.set_color_range(color::Range::MPEG);
    // Parameter sets in the extradata, as avcC wants them.
    video.set_flags(codec::Flags::GLOBAL_HEADER | codec::Flags::CLOSED_GOP);
}

/// An encoder at work, on its thread.
pub(super) struct Encoding {
    opened: Opened,
    /// From the canvas' three planes to NV12; `None` where they are taken.
    converter: Option<Context>,
    packet: Packet,
}

impl Encoding {
    pub(super) fn new(opened: Opened) -> Result<Self, Error> {
        let converter = match opened.plan.way {
            Way::Planar => None,
            Way::SemiPlanar | Way::Device(_) => {
                let (width, height) = (opened.encoder.width(), opened.encoder.height());
                let (from, to) = (Pixel::YUV420P, Pixel::NV12);
                let context = Context::get(from, width, height, to, width, height, Flags::POINT);
                Some(context.map_err(failed("NV12"))?)
            }
        };
        Ok(Self {
            opened,
            converter,
            packet: Packet::empty(),
        })
    }

    /// Encodes the picture on the canvas as frame `number`.
    pub(super) fn encode(
        &mut self,
        canvas: &frame::Video,
        number: u64,
        idr: bool,
    ) -> Result<Slices, Error> {
        let encoder = self.opened.plan.encoder;
        let failed = failed(encoder.as_str());
        let mut frame = self.input(canvas).map_err(&failed)?;
        frame.set_pts(i64::try_from(number).ok());
        frame.set_kind(if idr {
            picture::Type::I
        } else {
            picture::Type::None
        });
        self.opened.encoder.send_frame(&frame).map_err(&failed)?;
        match self.opened.encoder.receive_packet(&mut self.packet) {
            Ok(()) => {}
            Err(ffmpeg_next::Error::Other { errno: EAGAIN }) => {
                return Err(broken(encoder, Breach::Owed));
            }
            Err(error) => return Err(failed(error)),
        }
        let made = self.packet.pts().and_then(|pts| u64::try_from(pts).ok());
        let units = self.opened.plan.framing;
        let units = units.units(self.packet.data().unwrap_or_default());
        judge(
            &units,
            &self.opened.parameter_sets,
            made == Some(number),
            idr,
        )
        .map_err(|breach| broken(encoder, breach))
    }

    /// The picture as the encoder takes it.
    fn input(&mut self, canvas: &frame::Video) -> Result<frame::Video, ffmpeg_next::Error> {
        let Some(converter) = &mut self.converter else {
            return ffi::share(canvas);
        };
        // A new one each time: the encoder may hold the last one still.
        let mut frame = frame::Video::empty();
        converter.run(canvas, &mut frame)?;
        if let Way::Device(frames) = &self.opened.plan.way {
            frame = frames.upload(&frame)?;
        }
        frame.set_color_range(color::Range::MPEG);
        Ok(frame)
    }
}

/// A rule that an encoder broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Sequence or picture parameter set are missing in its header.
    #[error("gives no parameter sets")]
    NoParameterSets,
    /// It keeps frames back.
    #[error("owes a frame: it delays")]
    Owed,
    /// It answered an earlier frame than the one it got.
    #[error("answered another frame than the one it got: it delays")]
    Late,
    /// No slice came for a frame.
    #[error("made a frame of nothing")]
    Empty,
    /// Decoding cannot begin where the tick wanted it to.
    #[error("made no key frame where one was asked for")]
    NoKeyFrame,
    /// The rungs would no longer be aligned.
    #[error("made a key frame that nobody asked for")]
    KeyFrame,
    /// Those that were announced do not describe its pictures.
    #[error("changed its parameter sets")]
    ParameterSets,
}

/// The slices of a frame, if it is the one that was asked for.
fn judge(
    units: &[&[u8]],
    parameter_sets: &ParameterSets,
    is_its_own: bool,
    idr: bool,
) -> Result<Slices, Breach> {
    if !is_its_own {
        return Err(Breach::Late);
    }
    if !parameter_sets.hold_for(units) {
        return Err(Breach::ParameterSets);
    }
    let slices = Slices::of(units).ok_or(Breach::Empty)?;
    match (idr, slices.is_idr) {
        (true, false) => Err(Breach::NoKeyFrame),
        (false, true) => Err(Breach::KeyFrame),
        _ => Ok(slices),
    }
}

fn broken(encoder: Encoder, breach: Breach) -> Error {
    Error::Breach {
        encoder: encoder.as_str(),
        breach,
    }
}

pub(super) fn failed(what: &'static str) -> impl Fn(ffmpeg_next::Error) -> Error {
    move |source| Error::Codec { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: &[u8] = &[0x67, 1];
    const PPS: &[u8] = &[0x68, 1];
    const SLICE: &[u8] = &[0x41, 1];
    const IDR: &[u8] = &[0x65, 1];

    #[test]
    fn a_frame_that_breaks_a_rule_is_refused_by_its_name() {
        let sets = ParameterSets::find(&[SPS, PPS]).unwrap();
        let judged = |units: &[&[u8]], is_its_own, idr| {
            judge(units, &sets, is_its_own, idr).map(|slices| slices.is_idr)
        };
        assert_eq!(judged(&[SLICE], true, false), Ok(false));
        assert_eq!(judged(&[SPS, PPS, IDR], true, true), Ok(true));
        assert_eq!(judged(&[SLICE], false, false), Err(Breach::Late));
        assert_eq!(judged(&[SPS, PPS], true, false), Err(Breach::Empty));
        assert_eq!(judged(&[SLICE], true, true), Err(Breach::NoKeyFrame));
        assert_eq!(judged(&[IDR], true, false), Err(Breach::KeyFrame));
        let changed = judged(&[&[0x67, 2], PPS, IDR], true, true);
        assert_eq!(changed, Err(Breach::ParameterSets));
    }

    #[test]
    fn an_encoder_that_looks_ahead_is_found_out() {
        let mut plan = super::super::x264::plan(crate::transcode::Preset::Ultrafast, false);
        plan.options.retain(|(name, _)| *name != "tune");
        let rung = super::super::tests::rung();
        let opened = Opened::new(plan, &rung, FrameRate::DEFAULT).unwrap();
        let mut encoding = Encoding::new(opened).unwrap();
        let (width, height) = (rung.resolution.width, rung.resolution.height);
        let canvas = frame::Video::new(Pixel::YUV420P, width, height);
        let error = encoding.encode(&canvas, 7, true).unwrap_err();
        let owed = Breach::Owed;
        assert!(matches!(error, Error::Breach { breach, .. } if breach == owed));
        assert_eq!(error.to_string(), "libx264 owes a frame: it delays");
    }

    /// As encoders in hardware get and give them, by x264, which takes both.
    #[test]
    fn nv12_and_start_codes_make_the_same_slices() {
        let rung = super::super::tests::rung();
        let encode = |change: fn(&mut Plan)| {
            let mut plan = super::super::x264::plan(crate::transcode::Preset::Superfast, false);
            change(&mut plan);
            let opened = Opened::new(plan, &rung, FrameRate::DEFAULT).unwrap();
            let sets = opened.parameter_sets().clone();
            let mut encoding = Encoding::new(opened).unwrap();
            let slices = [true, false, true]
                .into_iter()
                .zip(0..)
                .map(|(idr, number)| {
                    let slices = encoding.encode(&pattern(&rung, number), number, idr);
                    slices.unwrap()
                });
            (sets, slices.collect::<Vec<_>>())
        };
        let (sets, slices) = encode(|_| {});
        let as_hardware = encode(|plan| {
            plan.way = Way::SemiPlanar;
            plan.framing = Framing::StartCodes;
            for (name, value) in &mut plan.options {
                if *name == "x264-params" {
                    *value = "keyint=infinite:scenecut=0:sliced-threads=0";
                }
            }
        });
        let is_idr: Vec<_> = slices.iter().map(|slices| slices.is_idr).collect();
        assert_eq!(is_idr, [true, false, true]);
        assert_eq!(as_hardware, (sets, slices));
    }

    fn pattern(rung: &Rung, number: u64) -> frame::Video {
        let (width, height) = (rung.resolution.width, rung.resolution.height);
        let mut frame = frame::Video::new(Pixel::YUV420P, width, height);
        for plane in 0..3 {
            let pixels = frame.data_mut(plane).iter_mut().enumerate();
            pixels.for_each(|(at, pixel)| *pixel = ((at * 7 + 40 * plane) as u64 + number) as u8);
        }
        frame
    }
}
