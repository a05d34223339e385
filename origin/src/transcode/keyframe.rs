//! Whether decoding can begin with a coded picture, from its first bytes.
//!
//! Pure and cheap: it looks at headers only and runs in the main process on a
//! stranger's bytes, so it must neither panic nor trust a length. A wrong
//! answer costs a moment of frozen picture, never more.

use super::VideoCodec;

/// Whether `data` is a key frame of `codec`. Truncated or foreign bytes are
/// not.
pub fn is_key_frame(codec: VideoCodec, data: &[u8]) -> bool {
    match codec {
        VideoCodec::H264 => is_h264_idr(data),
        VideoCodec::Vp8 => is_vp8_key(data),
        VideoCodec::Vp9 => is_vp9_key(data).unwrap_or(false),
    }
}

/// ITU-T H.264 Annex B and table 7-1: the first slice decides; 5 is an IDR.
fn is_h264_idr(data: &[u8]) -> bool {
    let mut zeros = 0usize;
    let mut bytes = data.iter();
    while let Some(&byte) = bytes.next() {
        if byte == 1 && zeros >= 2 {
            match bytes.as_slice().first().map(|header| header & 0x1f) {
                Some(5) => return true,
                Some(1..=4) => return false,
                _ => {}
            }
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    false
}

/// RFC 6386 §9.1: bit 0 of the frame tag is clear on a key frame, which then
/// has the start code 9d 01 2a.
fn is_vp8_key(data: &[u8]) -> bool {
    match data {
        [tag, _, _, start @ ..] => tag & 1 == 0 && start.starts_with(&[0x9d, 0x01, 0x2a]),
        _ => false,
    }
}

/// VP9 bitstream specification §6.2 (`uncompressed_header`), up to
/// `frame_type`. In a super frame the first frame decides.
fn is_vp9_key(data: &[u8]) -> Option<bool> {
    let bits = u16::from_be_bytes([*data.first()?, *data.get(1)?]);
    let bit = |index: u32| (bits >> (15 - index)) & 1;
    if bits >> 14 != 0b10 {
        return Some(false);
    }
    let profile = bit(2) | bit(3) << 1;
    let mut at = 4;
    if profile == 3 {
        at += 1; // reserved_zero
    }
    let shows_existing_frame = bit(at) == 1;
    Some(!shows_existing_frame && bit(at + 1) == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn h264_idr_behind_parameter_sets_is_key() {
        let idr = [
            0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 9, 9,
        ];
        assert!(is_key_frame(VideoCodec::H264, &idr));
        let slice = [0, 0, 0, 1, 0x09, 0xf0, 0, 0, 1, 0x41, 9, 0, 0, 1, 0x65];
        assert!(!is_key_frame(VideoCodec::H264, &slice));
    }

    #[test]
    fn vp8_key_needs_its_start_code() {
        assert!(is_key_frame(
            VideoCodec::Vp8,
            &[0x10, 2, 0, 0x9d, 0x01, 0x2a, 0, 0]
        ));
        assert!(!is_key_frame(
            VideoCodec::Vp8,
            &[0x11, 2, 0, 0x9d, 0x01, 0x2a, 0, 0]
        ));
        assert!(!is_key_frame(VideoCodec::Vp8, &[0x10, 2, 0, 0, 0, 0]));
    }

    #[test]
    fn vp9_key_is_read_behind_the_profile() {
        assert!(is_key_frame(VideoCodec::Vp9, &[0x82, 0x49]));
        assert!(!is_key_frame(VideoCodec::Vp9, &[0x86, 0x00]));
        assert!(!is_key_frame(VideoCodec::Vp9, &[0x8a, 0x00]));
        assert!(!is_key_frame(VideoCodec::Vp9, &[0x02, 0x49]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            for codec in [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9] {
                is_key_frame(codec, &data);
            }
        }
    }
}
