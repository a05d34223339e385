//! x264: on the cores, without any delay.
//!
//! `zerolatency` takes lookahead and frame threads away; one thread per rung costs
//! a quarter less than slices on several, and a rung's thread is this one.

use super::{
    nal::Framing,
    opened::{Plan, Way},
};
use crate::transcode::{Encoder, Preset};

pub(super) fn plan(preset: Preset) -> Plan {
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
            (
                "x264-params",
                "annexb=0:keyint=infinite:scenecut=0:sliced-threads=0",
            ),
        ],
    }
}
