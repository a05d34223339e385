//! Where a key frame begins, and how large its picture is, from one payload.
//!
//! The trap: an H.264 key frame is of no use at a switch without its parameter
//! sets, which stand in front of it, often in packets of their own. So the
//! packet with the sequence parameter set is the beginning that tells the size;
//! what begins without one tells none.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use inlet_common::{
    roq::control::Codec,
    video::{Size, h264, vp8, vp9},
};

use crate::roq::keyframe;

const SPS: u8 = 7;
const STAP_A: u8 = 24;

/// The beginning of a key frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The picture's size, where this packet tells it.
    pub(super) size: Option<Size>,
}

/// The beginning of a key frame, when the payload is one.
pub(super) fn start(codec: Codec, payload: &[u8]) -> Option<Start> {
    if !keyframe::begins(codec, payload) {
        return None;
    }
    let size = match codec {
        Codec::H264 => sps(payload).and_then(h264::sps_size),
        Codec::Vp8 => vp8::strip_descriptor(payload).and_then(|(frame, _)| vp8::size(frame)),
        Codec::Vp9 => vp9::strip_descriptor(payload).and_then(|(frame, _)| vp9::size(frame)),
        Codec::Opus => None,
    };
    Some(Start { size })
}

/// The sequence parameter set in a payload (RFC 6184 §5.6, §5.7.1).
fn sps(payload: &[u8]) -> Option<&[u8]> {
    match *payload.first()? & 0x1F {
        SPS => Some(payload),
        STAP_A => {
            let mut rest = payload.get(1..)?;
            while let Some((&len, after)) = rest.split_first_chunk::<2>() {
                let (unit, after) = after.split_at_checked(u16::from_be_bytes(len).into())?;
                if unit.first()? & 0x1F == SPS {
                    return Some(unit);
                }
                rest = after;
            }
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1280×720, as `depacketize` of the origin reads it too.
    const SPS_720: [u8; 11] = [
        0x67, 0x42, 0xC0, 0x1F, 0xDA, 0x01, 0x40, 0x16, 0xE8, 0x40, 0x00,
    ];

    fn size(codec: Codec, payload: &[u8]) -> Option<(u32, u32)> {
        let size = start(codec, payload)?.size?;
        Some((size.width, size.height))
    }

    #[test]
    fn a_parameter_set_tells_the_size_alone_or_in_an_aggregate() {
        assert_eq!(size(Codec::H264, &SPS_720), Some((1_280, 720)));
        let mut aggregate = vec![0x78, 0, 2, 0x68, 0xCE, 0, 11];
        aggregate.extend(SPS_720);
        aggregate.extend([0, 2, 0x65, 0x88]);
        assert_eq!(size(Codec::H264, &aggregate), Some((1_280, 720)));
    }

    #[test]
    fn a_key_frame_without_its_parameter_set_has_no_size() {
        assert_eq!(
            start(Codec::H264, &[0x65, 0x88]),
            Some(Start { size: None })
        );
        assert_eq!(start(Codec::H264, &[0x41, 0x9A]), None);
        let cut = [0x78, 0, 99, 0x67, 0x42];
        assert_eq!(start(Codec::H264, &cut), Some(Start { size: None }));
    }

    #[test]
    fn vp8_and_vp9_tell_the_size_in_the_frame() {
        let vp8 = [
            0x10, 0x50, 0x01, 0, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x01,
        ];
        assert_eq!(size(Codec::Vp8, &vp8), Some((640, 360)));
        assert_eq!(start(Codec::Vp8, &[0x10, 0x51, 0x01, 0]), None);
        // Profile 0, a key frame, BT.601: then 639 and 359 in 16 bits each.
        let vp9 = [0x08, 0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xF0, 0x16, 0x70];
        assert_eq!(size(Codec::Vp9, &vp9), Some((640, 360)));
    }

    proptest! {
        #[test]
        fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..40)) {
            for codec in [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Opus] {
                let _ = start(codec, &junk);
            }
        }
    }
}
