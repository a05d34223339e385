//! VA-API: the encoders of Intel's and AMD's graphics.
//!
//! It takes pictures in the device's memory alone, so the canvas is uploaded as
//! NV12. The driver is loaded and the device opened with the encoder.

use ffmpeg_next::log;

use super::{
    nal::Framing,
    opened::{Plan, Way, failed},
};
use crate::transcode::{Encoder, ffi::device::Frames, ladder::Rung, worker::Error};

pub(super) fn plan(rung: &Rung) -> Result<Plan, Error> {
    let encoder = Encoder::H264Vaapi;
    let frames = Frames::vaapi(rung.resolution)
        .or_else(|_| told_why(|| Frames::vaapi(rung.resolution)))
        .map_err(failed(encoder.as_str()))?;
    Ok(Plan {
        encoder,
        framing: Framing::StartCodes,
        way: Way::Device(frames),
        options: OPTIONS.to_vec(),
    })
}

/// Tries once more: what is missing, FFmpeg tells only who wants to know it all.
fn told_why<T>(attempt: impl FnOnce() -> T) -> T {
    log::set_level(log::Level::Verbose);
    let outcome = attempt();
    log::set_level(log::Level::Warning);
    outcome
}

pub(super) const OPTIONS: &[(&str, &str)] = &[
    ("profile", "high"),
    ("rc_mode", "CBR"),
    // Each picture is waited for.
    ("async_depth", "1"),
    // SEI is left out of the slices anyhow.
    ("sei", "0"),
    // Never reached: each IDR on demand begins the count anew, and one comes with
    // each segment.
    ("g", "65535"),
];
