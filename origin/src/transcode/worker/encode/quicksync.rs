//! Intel's Quick Sync Video.
//!
//! It takes NV12 in memory and copies it to the device itself, which it opens by
//! VA-API.

use super::{
    nal::Framing,
    opened::{Plan, Way},
};
use crate::transcode::Encoder;

pub(super) fn plan() -> Plan {
    Plan {
        encoder: Encoder::H264Qsv,
        framing: Framing::StartCodes,
        way: Way::SemiPlanar,
        options: vec![
            ("preset", "veryfast"),
            ("profile", "high"),
            // Each picture is waited for. With `bufsize` and the same highest and
            // mean rate it is CBR.
            ("async_depth", "1"),
            ("look_ahead", "0"),
            ("forced_idr", "1"),
            ("adaptive_i", "0"),
            // The longest that it can count. Never reached: each IDR on demand
            // begins the count anew, and one comes with each segment.
            ("g", "65535"),
        ],
    }
}
