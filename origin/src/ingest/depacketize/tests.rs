//! Frames as real encoders make them, cut as real senders cut them.

use inlet_common::rtp::{Header, Ssrc};
use proptest::prelude::*;

use super::*;

/// Made by libx264 for 1280x720, High profile, and for 854x480, Constrained
/// Baseline, whose width is cropped.
const SPS_720P_HIGH: &str = "6764001facd9405005bb0110000003001000000303c0f1831960";

fn packet(timestamp: u32, marker: bool, payload: &[u8]) -> Packet {
    let header = Header {
        marker,
        payload_type: 96,
        sequence: 0,
        timestamp,
        ssrc: Ssrc(1),
    };
    let mut wire = Vec::new();
    header.encode(&[], &mut wire);
    wire.extend_from_slice(payload);
    Packet::decode(&wire.into()).unwrap()
}

fn whole(depacketizer: &mut Depacketizer, packet: &Packet) -> Option<Unit> {
    let [before, own] = depacketizer.handle_packet(packet).unwrap();
    assert_eq!(before, None);
    own
}

/// A baseline SPS for 854x480, put together bit by bit: 54×30 macroblocks,
/// right crop of 5 units.
fn sps_854x480() -> Vec<u8> {
    let mut bits = String::new();
    let ue = |value: u32| {
        let code = format!("{:b}", value + 1);
        "0".repeat(code.len() - 1) + &code
    };
    bits += &format!("{:08b}{:08b}{:08b}", 66, 0xC0, 30);
    for value in [0, 0, 2, 1] {
        bits += &ue(value);
    }
    bits += "0";
    bits += &ue(53);
    bits += &ue(29);
    bits += "11";
    bits += "1";
    for value in [0, 5, 0, 0] {
        bits += &ue(value);
    }
    bits += "01";
    while !bits.len().is_multiple_of(8) {
        bits += "0";
    }
    let body = (0..bits.len() / 8).map(|n| u8::from_str_radix(&bits[n * 8..n * 8 + 8], 2).unwrap());
    std::iter::once(0x67).chain(body).collect()
}

#[test]
fn sps_tells_the_cropped_size() {
    let sps = sps_854x480();
    assert_eq!(
        h264::sps_resolution(&sps),
        Some(Resolution {
            width: 854,
            height: 480
        })
    );
    let high = hex::decode(SPS_720P_HIGH).unwrap();
    assert_eq!(
        h264::sps_resolution(&high),
        Some(Resolution {
            width: 1280,
            height: 720
        })
    );
}

#[test]
fn h264_idr_gets_its_parameter_sets_back() {
    let sps = sps_854x480();
    let pps = [0x68, 0xCE];
    let mut depacketizer = Depacketizer::new(Codec::H264, None);
    let mut stap = vec![24];
    for nal in [&sps[..], &pps[..], &[0x65, 0x88, 1, 2]] {
        stap.extend_from_slice(&u16::try_from(nal.len()).unwrap().to_be_bytes());
        stap.extend_from_slice(nal);
    }
    let first = whole(&mut depacketizer, &packet(1, true, &stap)).unwrap();
    assert!(first.is_key);
    assert_eq!(
        first.resolution,
        Some(Resolution {
            width: 854,
            height: 480
        })
    );
    // The next IDR comes fragmented and bare, and is made whole.
    for (payload, marker) in [
        ([0x7C, 0x85, 0x88, 7], false),
        ([0x7C, 0x05, 8, 9], false),
        ([0x7C, 0x45, 10, 11], true),
    ] {
        let unit = whole(&mut depacketizer, &packet(2, marker, &payload));
        assert_eq!(unit.is_some(), marker);
        if let Some(unit) = unit {
            let idr = [&[0, 0, 0, 1, 0x65, 0x88, 7, 8, 9, 10, 11][..]].concat();
            let expected = [&[0, 0, 0, 1][..], &sps, &[0, 0, 0, 1], &pps, &idr].concat();
            assert_eq!(&unit.data[..], &expected[..]);
        }
    }
}

#[test]
fn h264_parameter_sets_come_from_the_offer_too() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let sets = format!(
        "packetization-mode=1; sprop-parameter-sets={},{}",
        STANDARD.encode(sps_854x480()),
        STANDARD.encode([0x68, 0xCE])
    );
    let mut depacketizer = Depacketizer::new(Codec::H264, Some(&sets));
    let unit = whole(&mut depacketizer, &packet(1, true, &[0x65, 0x88])).unwrap();
    assert!(unit.is_key && unit.resolution.is_some());
}

#[test]
fn h264_without_marker_ends_at_the_next_timestamp() {
    let mut depacketizer = Depacketizer::new(Codec::H264, None);
    assert_eq!(
        whole(&mut depacketizer, &packet(1, false, &[0x41, 0x9A])),
        None
    );
    let [before, own] = depacketizer
        .handle_packet(&packet(2, true, &[0x41, 0x9B]))
        .unwrap();
    assert_eq!(before.unwrap().timestamp, 1);
    assert_eq!(own.unwrap().timestamp, 2);
}

#[test]
fn a_frame_whose_fragments_are_missing_is_not_handed_out() {
    let mut depacketizer = Depacketizer::new(Codec::H264, None);
    whole(&mut depacketizer, &packet(1, false, &[0x7C, 0x85, 1]));
    depacketizer.reset();
    assert_eq!(
        depacketizer.handle_packet(&packet(1, true, &[0x7C, 0x45, 3])),
        Err(Malformed)
    );
    let next = whole(&mut depacketizer, &packet(2, true, &[0x41, 0x9A]));
    assert!(next.is_some());
}

#[test]
fn vp8_tells_key_frames_and_their_size() {
    let mut depacketizer = Depacketizer::new(Codec::Vp8, None);
    let key = [0x10, 0x02, 0, 0, 0x9D, 0x01, 0x2A, 0x00, 0x05, 0xD0, 0x02];
    assert_eq!(whole(&mut depacketizer, &packet(1, false, &key)), None);
    // With picture id (two bytes), TL0PICIDX and TID.
    let unit = whole(
        &mut depacketizer,
        &packet(1, true, &[0x80, 0xE0, 0x81, 2, 3, 4, 0xAA]),
    )
    .unwrap();
    assert!(unit.is_key);
    assert_eq!(
        unit.resolution,
        Some(Resolution {
            width: 1280,
            height: 720
        })
    );
    assert_eq!(unit.data.last(), Some(&0xAA));
    let delta = whole(&mut depacketizer, &packet(2, true, &[0x10, 0x01, 0, 0])).unwrap();
    assert!(!delta.is_key);
}

#[test]
fn vp9_tells_key_frames_and_their_size() {
    let mut depacketizer = Depacketizer::new(Codec::Vp9, None);
    // frame_marker 10, profile 0, no existing, key, shown, sync code, then
    // colour space 1, range, 1279, 719.
    let mut bits = String::from("10000010");
    bits += "010010011000001101000010";
    bits += "0010";
    bits += &format!("{:016b}{:016b}0000", 1279, 719);
    let frame: Vec<u8> = (0..bits.len() / 8)
        .map(|n| u8::from_str_radix(&bits[n * 8..n * 8 + 8], 2).unwrap())
        .collect();
    // I, B, E, V with one layer's size, then the frame.
    let payload = [&[0x8E, 0x85, 0x01, 0x10, 5, 0, 2, 0xD0][..], &frame].concat();
    let unit = whole(&mut depacketizer, &packet(1, true, &payload)).unwrap();
    assert!(unit.is_key);
    assert_eq!(
        unit.resolution,
        Some(Resolution {
            width: 1280,
            height: 720
        })
    );
    assert_eq!(&unit.data[..], &frame[..]);
}

proptest! {
    #[test]
    fn junk_never_panics(
        codec in prop_oneof![
            Just(Codec::H264), Just(Codec::Vp8), Just(Codec::Vp9), Just(Codec::Opus)
        ],
        payloads in proptest::collection::vec(
            (any::<u32>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..40),
    ) {
        let mut depacketizer = Depacketizer::new(codec, Some("sprop-parameter-sets=Z,,=="));
        for (timestamp, marker, payload) in payloads {
            drop(depacketizer.handle_packet(&packet(timestamp, marker, &payload)));
        }
    }

    #[test]
    fn a_junk_sps_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = h264::sps_resolution(&junk);
    }
}
