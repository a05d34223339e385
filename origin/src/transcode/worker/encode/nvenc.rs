//! NVIDIA's NVENC.
//!
//! It takes the canvas as it is and copies it to the device itself. It speaks to
//! the driver through `libcuda.so.1` and `libnvidia-encode.so.1`, which it loads
//! when it is opened.

use super::{
    nal::Framing,
    opened::{Plan, Way},
};
use crate::transcode::Encoder;

pub(super) fn plan() -> Plan {
    Plan {
        encoder: Encoder::H264Nvenc,
        framing: Framing::StartCodes,
        way: Way::Planar,
        options: vec![
            ("preset", "p4"),
            ("tune", "ull"),
            ("profile", "high"),
            ("rc", "cbr"),
            // Pictures that it may keep before it gives one out.
            ("delay", "0"),
            ("zerolatency", "1"),
            ("rc-lookahead", "0"),
            ("forced-idr", "1"),
            // As good as never: two years at 30 frames per second.
            ("g", "2147483647"),
        ],
    }
}
