//! x264: on the cores, without any delay.
//!
//! `zerolatency` takes lookahead and frame threads away; one thread per rung costs
//! a quarter less than slices on several, and a rung's thread is this one.
//!
//! It is the default because it holds rate and buffer whatever is shown. OpenH264
//! is as good for up to a fifth less CPU, but bounds its rate by leaving frames out
//! alone: with a frame for each frame it made 8 Mbps of noise where 1.8 were asked
//! for (`make bench BENCH=encoders`).

use super::{
    nal::Framing,
    opened::{Plan, Way},
};
use crate::transcode::{Encoder, Preset};

/// `beside_passed`: the parameter sets stand beside a presenter's, which are numbered
/// from 0.
pub(super) fn plan(preset: Preset, beside_passed: bool) -> Plan {
    // `sps-id` is the number of both, `Spec::PASSED_BESIDE`.
    let params = match beside_passed {
        true => "annexb=0:keyint=infinite:scenecut=0:sliced-threads=0:sps-id=7",
        false => "annexb=0:keyint=infinite:scenecut=0:sliced-threads=0",
    };
    Plan {
        encoder: Encoder::Libx264,
        framing: Framing::Lengths,
        way: Way::Planar,
        options: vec![
            ("preset", preset.as_str()),
            ("tune", "zerolatency"),
            ("profile", "high"),
            ("threads", "1"),
            ("forced-idr", "1"),
            ("x264-params", params),
        ],
    }
}
