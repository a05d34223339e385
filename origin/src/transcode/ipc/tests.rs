//! Round trips of every message, and hostile bytes.

use proptest::prelude::*;

use super::*;
use crate::{
    timeline::{FrameRate, MediaTime},
    transcode::{
        Encoder, Input, Output, Preset, Report, Spec, VideoCodec,
        ladder::{MAX_RUNGS, Resolution, Rung},
    },
};

proptest! {
    #[test]
    fn inputs_survive_the_round_trip(input in input()) {
        let decoded = round_trip(&ToWorker::Input(input.clone()));
        prop_assert_eq!(format!("{decoded:?}"), format!("{:?}", ToWorker::Input(input)));
    }

    #[test]
    fn ticks_survive_the_round_trip(number: u64, idr: bool, rungs: u8) {
        let tick = ToWorker::Tick { number, idr, rungs };
        prop_assert_eq!(format!("{:?}", round_trip(&tick)), format!("{tick:?}"));
    }

    #[test]
    fn configuration_and_seed_survive_the_round_trip(
        sizes in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<u32>()), 1..=MAX_RUNGS),
        fps in proptest::sample::select(FrameRate::ALLOWED.to_vec()),
        encoder in proptest::sample::select(Encoder::ALL.to_vec()),
        preset in proptest::sample::select(Preset::ALL.to_vec()),
        audio_bitrate: u32,
        memory_limit: u64,
        sps in bytes(200),
        pps in bytes(200),
    ) {
        let ladder = sizes
            .into_iter()
            .map(|(width, height, bitrate)| Rung {
                resolution: Resolution { width, height },
                bitrate,
            })
            .collect();
        let rate = FrameRate::try_from(fps).unwrap();
        let opus_bitrate = Some(audio_bitrate / 2).filter(|rate| *rate > 0);
        let thumbnail_frames = fps * 12;
        let spec = Spec {
            encoder,
            preset,
            audio_bitrate,
            opus_bitrate,
            thumbnail_frames,
            memory_limit,
            ..Spec::new(ladder, rate)
        };
        for message in [
            ToWorker::Configure(spec),
            ToWorker::SeedConfig { sps, pps: pps.clone() },
            ToWorker::SeedFrame { data: pps },
        ] {
            prop_assert_eq!(format!("{:?}", round_trip(&message)), format!("{message:?}"));
        }
    }

    #[test]
    fn outputs_survive_the_round_trip(output in output()) {
        let encoded = output.encode().unwrap();
        let mut buffer = BytesMut::from(&encoded.head[..]);
        buffer.extend_from_slice(&encoded.payload);
        let message = next_message(&mut buffer).unwrap().unwrap();
        let decoded = Output::decode(message).unwrap();
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(format!("{decoded:?}"), format!("{output:?}"));
    }

    #[test]
    fn messages_come_out_whole_however_the_bytes_arrive(
        inputs in proptest::collection::vec(input(), 1..6),
        step in 1usize..50,
    ) {
        let mut wire = Vec::new();
        for input in &inputs {
            let encoded = ToWorker::Input(input.clone()).encode().unwrap();
            prop_assert_eq!(encoded.size(), encoded.head.len() + encoded.payload.len());
            wire.extend_from_slice(&encoded.head);
            wire.extend_from_slice(&encoded.payload);
        }
        let mut buffer = BytesMut::new();
        let mut decoded = Vec::new();
        for chunk in wire.chunks(step) {
            buffer.extend_from_slice(chunk);
            while let Some(message) = next_message(&mut buffer).unwrap() {
                decoded.push(ToWorker::decode(message).unwrap());
            }
        }
        let expected: Vec<_> = inputs.into_iter().map(ToWorker::Input).collect();
        prop_assert_eq!(format!("{decoded:?}"), format!("{expected:?}"));
    }

    #[test]
    fn hostile_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(data.clone());
        drop(ToWorker::decode(bytes.clone()));
        drop(Output::decode(bytes));
        let mut buffer = BytesMut::from(&data[..]);
        while let Ok(Some(_)) = next_message(&mut buffer) {}
    }
}

#[test]
fn oversized_messages_are_refused_on_both_sides() {
    let data = Bytes::from(vec![0; MAX_MESSAGE]);
    assert!(ToWorker::SeedFrame { data }.encode().is_none());
    let mut buffer = BytesMut::from(&(MAX_MESSAGE as u32 + 1).to_be_bytes()[..]);
    assert!(matches!(
        next_message(&mut buffer),
        Err(DecodeError::Length(_))
    ));
    let mut buffer = BytesMut::from(&[0u8; 4][..]);
    assert_eq!(next_message(&mut buffer), Err(DecodeError::Length(0)));
}

#[test]
fn rung_out_of_range_is_refused() {
    let mut message = vec![output::VIDEO_FRAME, MAX_RUNGS as u8];
    message.extend_from_slice(&[0; 9]);
    let error = Output::decode(message.into()).unwrap_err();
    assert_eq!(error, DecodeError::Range("rung"));
}

#[test]
fn messages_beyond_their_kind_are_refused() {
    let sps = Bytes::from(vec![0x67; 5 << 10]);
    let pps = Bytes::from_static(&[0x68]);
    let long = vec![0; 9 << 10];
    let data = Bytes::from(long.clone());
    for output in [
        Output::VideoConfig { rung: 0, sps, pps },
        Output::AudioConfig { asc: data.clone() },
        Output::Audio {
            number: 1,
            data: data.clone(),
        },
        Output::Opus { number: 1, data },
    ] {
        let encoded = output.encode().unwrap();
        let message = [&encoded.head[4..], &encoded.payload].concat();
        let refused = Output::decode(message.into()).unwrap_err();
        assert!(matches!(refused, DecodeError::Range(_)), "{refused}");
    }
    // What nobody reads would pin the buffer that what follows lies in.
    for output in [Output::KeyFrameNeeded, Output::Report(Report::default())] {
        let encoded = output.encode().unwrap();
        let message = [&encoded.head[4..], &encoded.payload, &long].concat();
        let refused = Output::decode(message.into()).unwrap_err();
        assert!(matches!(refused, DecodeError::Range(_)), "{refused}");
    }
}

fn round_trip(message: &ToWorker) -> ToWorker {
    let encoded = message.encode().unwrap();
    let mut buffer = BytesMut::from(&encoded.head[..]);
    buffer.extend_from_slice(&encoded.payload);
    let cut = next_message(&mut buffer).unwrap().unwrap();
    assert!(buffer.is_empty());
    ToWorker::decode(cut).unwrap()
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn input() -> impl Strategy<Value = Input> {
    let codec = proptest::sample::select(vec![VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9]);
    let time = any::<i64>().prop_map(MediaTime::from_micros);
    prop_oneof![
        (codec, time.clone(), 0u8..4, bytes(300)).prop_map(
            |(codec, capture, quarter_turns, data)| Input::Video {
                codec,
                capture,
                quarter_turns,
                data,
            }
        ),
        (time, bytes(300)).prop_map(|(capture, data)| Input::Audio { capture, data }),
        any::<u64>().prop_map(|number| Input::AudioTick { number }),
    ]
}

fn output() -> impl Strategy<Value = Output> {
    let rung = 0..MAX_RUNGS;
    prop_oneof![
        (rung.clone(), bytes(100), bytes(100)).prop_map(|(rung, sps, pps)| Output::VideoConfig {
            rung,
            sps,
            pps
        }),
        (rung, any::<u64>(), any::<bool>(), bytes(300)).prop_map(|(rung, number, idr, data)| {
            Output::Video {
                rung,
                number,
                idr,
                data,
            }
        }),
        bytes(30).prop_map(|asc| Output::AudioConfig { asc }),
        (any::<u64>(), bytes(300)).prop_map(|(number, data)| Output::Audio { number, data }),
        (any::<u64>(), bytes(300)).prop_map(|(number, data)| Output::Opus { number, data }),
        (-1e9..1e9f64, any::<[u32; 6]>()).prop_map(|(speed, [a, b, c, d, e, f])| {
            Output::Report(Report {
                speed,
                queued_ticks: a,
                decode_errors: b,
                repeated_frames: c,
                silent_frames: d,
                source_width: e,
                source_height: f,
            })
        }),
        bytes(2000).prop_map(|data| Output::Still { data }),
        (any::<u64>(), bytes(2000)).prop_map(|(number, data)| Output::Thumbnail { number, data }),
        Just(Output::KeyFrameNeeded),
        Just(Output::Restarted),
    ]
}
