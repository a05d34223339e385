//! Whether an RTP packet begins a key frame.
//!
//! Asked for each packet while a track waits for one after frames were given
//! up, and for each of a simulcast layer, so it looks at the first bytes and no further. Parameter
//! sets count as the beginning: without them the key frame is of no use.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use inlet_common::roq::control::Codec;

/// Whether the payload is the beginning of a key frame.
pub(crate) fn begins(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => h264(payload).unwrap_or(false),
        Codec::Vp8 => vp8(payload).unwrap_or(false),
        Codec::Vp9 => vp9(payload).unwrap_or(false),
        Codec::Opus => true,
    }
}

const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// RFC 6184 §5.
fn h264(payload: &[u8]) -> Option<bool> {
    match *payload.first()? & 0x1F {
        IDR | SPS => Some(true),
        STAP_A => {
            let mut rest = payload.get(1..)?;
            while let Some((&[high, low], after)) = rest.split_first_chunk::<2>() {
                if matches!(*after.first()? & 0x1F, IDR | SPS) {
                    return Some(true);
                }
                rest = after.get(usize::from(u16::from_be_bytes([high, low]))..)?;
            }
            Some(false)
        }
        FU_A => {
            let head = *payload.get(1)?;
            Some(head & 0x80 != 0 && head & 0x1F == IDR)
        }
        _ => Some(false),
    }
}

/// RFC 7741 §4.2: the first partition's first packet, and the frame's P bit.
fn vp8(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    if first & 0x10 == 0 || first & 0x07 != 0 {
        return Some(false);
    }
    let mut at = 1;
    if first & 0x80 != 0 {
        let extended = *payload.get(1)?;
        at = 2;
        if extended & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 == 0 { 1 } else { 2 };
        }
        at += usize::from(extended & 0x40 != 0);
        at += usize::from(extended & 0x30 != 0);
    }
    Some(payload.get(at)? & 0x01 == 0)
}

/// RFC 9628 §4.2: not inter-predicted, beginning of a frame, lowest layer.
fn vp9(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    let (has_id, is_predicted, has_layers, is_beginning) = (
        first & 0x80 != 0,
        first & 0x40 != 0,
        first & 0x20 != 0,
        first & 0x08 != 0,
    );
    if is_predicted || !is_beginning {
        return Some(false);
    }
    if !has_layers {
        return Some(true);
    }
    let mut at = 1;
    if has_id {
        at += if payload.get(at)? & 0x80 == 0 { 1 } else { 2 };
    }
    let spatial = (payload.get(at)? >> 1) & 0x07;
    Some(spatial == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn h264_key_frames_are_recognised() {
        let begins = |payload: &[u8]| begins(Codec::H264, payload);
        assert!(begins(&[0x67, 0x42]), "SPS");
        assert!(begins(&[0x65, 0]), "IDR");
        assert!(begins(&[0x7C, 0x85]), "first fragment of an IDR");
        assert!(!begins(&[0x7C, 0x05]), "later fragment of an IDR");
        assert!(!begins(&[0x7C, 0x81]), "first fragment of another slice");
        assert!(!begins(&[0x41, 0]), "slice");
        assert!(
            begins(&[0x78, 0, 2, 0x68, 1, 0, 1, 0x65]),
            "IDR behind a PPS"
        );
        assert!(!begins(&[0x78, 0, 2, 0x68, 1, 0, 1, 0x41]));
    }

    #[test]
    fn vp8_key_frames_are_recognised() {
        let begins = |payload: &[u8]| begins(Codec::Vp8, payload);
        assert!(begins(&[0x10, 0x00]));
        assert!(!begins(&[0x10, 0x01]), "inter frame");
        assert!(!begins(&[0x00, 0x00]), "not the frame's first packet");
        assert!(
            begins(&[0x90, 0x80, 0x81, 0x02, 0x00]),
            "picture id of 15 bits"
        );
        assert!(
            begins(&[0x90, 0xE0, 0x11, 1, 0x20, 0x00]),
            "picture id, TL0PICIDX, TID"
        );
        assert!(!begins(&[0x90, 0xE0, 0x11, 1, 0x20, 0x01]));
    }

    #[test]
    fn vp9_key_frames_are_recognised() {
        let begins = |payload: &[u8]| begins(Codec::Vp9, payload);
        assert!(begins(&[0x88, 0x01]));
        assert!(!begins(&[0xC8, 0x01]), "inter-predicted");
        assert!(!begins(&[0x80, 0x01]), "not the frame's first packet");
        assert!(begins(&[0xA8, 0x81, 0x02, 0x00]));
        assert!(!begins(&[0xA8, 0x81, 0x02, 0x02]), "a higher spatial layer");
    }

    proptest! {
        #[test]
        fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..20)) {
            for codec in [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Opus] {
                let _ = begins(codec, &junk);
            }
        }
    }
}
