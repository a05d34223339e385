//! Gaps, their deadlines, and what is asked for after them; turns of the picture.

use inlet_common::{
    clock,
    roq::FlowId,
    rtp::{Header, Ssrc},
};

use super::*;

/// A frame of VP8 in one packet, a key frame where it begins as one.
fn vp8(sequence: u16, payload: &[u8]) -> Bytes {
    packet(Ssrc(7), sequence, &[], payload)
}

fn packet(ssrc: Ssrc, sequence: u16, extensions: &[(u8, &[u8])], payload: &[u8]) -> Bytes {
    let header = Header {
        marker: true,
        payload_type: 96,
        sequence,
        timestamp: 0,
        ssrc,
    };
    let mut wire = Vec::new();
    header.encode(extensions, &mut wire);
    wire.extend_from_slice(payload);
    wire.into()
}

fn described(extensions: Vec<control::HeaderExtension>) -> control::Track {
    control::Track {
        flow: FlowId(1),
        codec: Codec::Vp8,
        payload_types: vec![96],
        clock_rate: 90_000,
        fmtp: None,
        ssrc: Some(Ssrc(7)),
        extensions,
    }
}

/// A key frame of 1280×720, as far as it is looked at.
const KEY: [u8; 11] = [0x10, 0x02, 0, 0, 0x9D, 0x01, 0x2A, 0x00, 0x05, 0xD0, 0x02];

/// A frame that builds on another.
const DELTA: [u8; 4] = [0x10, 0x01, 0, 0];

fn requests(track: &mut Track) -> (usize, Option<Instant>) {
    let mut requests = 0;
    loop {
        match track.poll_output() {
            Output::KeyFrameWanted(ssrc) => {
                assert_eq!(ssrc, Ssrc(7));
                requests += 1;
            }
            Output::Frame(_) => {}
            Output::Timeout(timeout) => return (requests, timeout),
        }
    }
}

#[test]
fn a_key_frame_is_asked_for_until_one_comes() {
    let (now, utc) = (clock::now(), clock::utc());
    let mut clock = Clock::default();
    let mut track = Track::new(&described(Vec::new()));
    track.handle_packet(now, utc, &mut clock, &vp8(1, &KEY));
    assert_eq!(requests(&mut track), (0, None));

    track.want_key_frame(now);
    track.want_key_frame(now);
    let (asked, again) = requests(&mut track);
    assert_eq!((asked, again), (1, Some(now + KEY_FRAME_INTERVAL)));
    track.handle_timeout(now + KEY_FRAME_INTERVAL, utc, &mut clock);
    assert_eq!(requests(&mut track).0, 1);

    track.handle_packet(now, utc, &mut clock, &vp8(2, &KEY));
    assert_eq!(requests(&mut track), (0, None));
}

#[test]
fn a_turn_lasts_until_it_is_told_anew_or_another_source_comes() {
    let (now, utc) = (clock::now(), clock::utc());
    let mut clock = Clock::default();
    let mut track = Track::new(&described(vec![control::HeaderExtension {
        id: 4,
        uri: VIDEO_ORIENTATION.to_owned(),
    }]));
    let mut turns = |packet: Bytes| {
        track.handle_packet(now, utc, &mut clock, &packet);
        let Output::Frame(frame) = track.poll_output() else {
            panic!("no frame")
        };
        frame.quarter_turns
    };
    // Mirrored, from the back camera, turned once.
    assert_eq!(turns(packet(Ssrc(7), 1, &[(4, &[0b1101])], &KEY)), 1);
    assert_eq!(turns(vp8(2, &KEY)), 1);
    assert_eq!(turns(packet(Ssrc(7), 3, &[(4, &[2])], &KEY)), 2);
    assert_eq!(turns(packet(Ssrc(8), 900, &[], &KEY)), 0);
}

/// Until when a missing packet is waited for, from its hole on.
fn deadline(track: &mut Track, now: Instant, clock: &mut Clock, sequence: u16) -> Duration {
    track.handle_packet(now, clock::utc(), clock, &vp8(sequence, &DELTA));
    requests(track).1.expect("a hole") - now
}

#[test]
fn a_missing_packet_is_waited_for_as_long_as_the_round_trip_asks() {
    let (now, utc) = (clock::now(), clock::utc());
    for round_trip in [0, 20, 80, 250].map(Duration::from_millis) {
        let mut clock = Clock::default();
        let mut track = Track::new(&described(Vec::new()));
        track.handle_packet(now, utc, &mut clock, &vp8(1, &KEY));
        assert_eq!(requests(&mut track), (0, None));
        track.set_round_trip(round_trip);
        let expected = PATIENCE + round_trip.mul_f64(1.2);
        assert_eq!(deadline(&mut track, now, &mut clock, 3), expected);

        let just_before = now + expected - Duration::from_micros(1);
        track.handle_timeout(just_before, utc, &mut clock);
        assert_eq!((requests(&mut track).0, track.counters().lost), (0, 0));
        track.handle_timeout(now + expected, utc, &mut clock);
        assert_eq!((requests(&mut track).0, track.counters().lost), (1, 1));
    }
}

#[test]
fn another_source_is_waited_for_as_long_as_the_one_before() {
    let now = clock::now();
    let mut clock = Clock::default();
    let mut track = Track::new(&described(Vec::new()));
    track.set_round_trip(Duration::from_millis(100));
    track.handle_packet(now, clock::utc(), &mut clock, &vp8(1, &KEY));
    for sequence in [900, 902] {
        let packet = packet(Ssrc(8), sequence, &[], &KEY);
        track.handle_packet(now, clock::utc(), &mut clock, &packet);
    }
    let timeout = loop {
        if let Output::Timeout(timeout) = track.poll_output() {
            break timeout;
        }
    };
    assert_eq!(timeout, Some(now + PATIENCE + Duration::from_millis(120)));
}

/// What a driver does every 10 ms from `now` on: pictures that build on others come in,
/// without a hole but the first. Tells when key frames were asked for, and how many
/// frames were handed out.
fn after_a_gap(track: &mut Track, clock: &mut Clock, now: Instant) -> (Vec<u64>, usize) {
    let (mut asked, mut frames) = (Vec::new(), 0);
    for tick in 0_u16..160 {
        let millis = u64::from(tick) * 10;
        let at = now + Duration::from_millis(millis);
        track.handle_packet(at, clock::utc(), clock, &vp8(10 + tick, &DELTA));
        track.handle_timeout(at, clock::utc(), clock);
        loop {
            match track.poll_output() {
                Output::Frame(_) => frames += 1,
                Output::KeyFrameWanted(_) => asked.push(millis),
                Output::Timeout(_) => break,
            }
        }
    }
    (asked, frames)
}

#[test]
fn after_a_gap_frames_are_withheld_until_a_key_frame_which_is_asked_for_twice_a_second() {
    let (now, utc) = (clock::now(), clock::utc());
    let mut clock = Clock::default();
    let mut track = Track::new(&described(Vec::new()));
    for packet in [vp8(1, &KEY), vp8(2, &DELTA)] {
        track.handle_packet(now, utc, &mut clock, &packet);
        assert!(matches!(track.poll_output(), Output::Frame(_)));
    }
    // Packets 3 to 9 never come.
    let (asked, frames) = after_a_gap(&mut track, &mut clock, now);
    assert_eq!(frames, 0);
    assert_eq!(asked, [120, 620, 1_120]);
    assert_eq!(track.counters().undecodable, 160);

    let end = now + Duration::from_secs(2);
    for (sequence, payload) in [(170, &KEY[..]), (171, &DELTA[..])] {
        track.handle_packet(end, utc, &mut clock, &vp8(sequence, payload));
        assert!(matches!(track.poll_output(), Output::Frame(_)));
    }
    assert_eq!(requests(&mut track), (0, None));
}

#[test]
fn after_a_gap_sound_goes_on_at_once() {
    let (now, utc) = (clock::now(), clock::utc());
    let mut clock = Clock::default();
    let mut track = Track::new(&control::Track {
        codec: Codec::Opus,
        ..described(Vec::new())
    });
    track.handle_packet(now, utc, &mut clock, &vp8(1, &[0xF8]));
    assert!(matches!(track.poll_output(), Output::Frame(_)));
    track.handle_packet(now, utc, &mut clock, &vp8(3, &[0xF8]));
    assert_eq!(requests(&mut track), (0, Some(now + PATIENCE)));
    track.handle_timeout(now + PATIENCE, utc, &mut clock);
    assert!(matches!(track.poll_output(), Output::Frame(_)));
    assert_eq!(requests(&mut track), (0, None));
}
