//! A presenter under virtual time, whose media tells when it was captured.
//!
//! All times are true microseconds since the presenter began. Its wall clock
//! and the clocks of its two tracks each have an error of their own.

use std::ops::Range;

use bytes::{BufMut, Bytes};
use inlet_common::{
    roq::{
        FlowId,
        control::{self, Codec, Kind},
    },
    rtp::{
        Header, Ssrc,
        rtcp::{Rtcp, SenderReport},
    },
};

use super::second;
use crate::live::opus;

/// What its wall clock shows as it begins: it is years slow.
const SENDER_START: i64 = 1_700_000_000_000_000;

const NTP_TO_UNIX_SECONDS: i64 = 2_208_988_800;

/// From one packet of sound to the next.
const PACKET: i64 = 20_000;

/// What a scenario says of its presenter.
pub(super) struct Script {
    /// How long it presents.
    pub(super) length: i64,
    /// Parts per million by which its clocks are fast.
    pub(super) wall_ppm: i64,
    pub(super) audio_ppm: i64,
    pub(super) video_ppm: i64,
    /// From sending to arrival, and how much more at random.
    pub(super) delay: fn(i64) -> i64,
    pub(super) jitter: i64,
    /// First report of either track, and the time between two.
    pub(super) audio_reports: (i64, i64),
    pub(super) video_reports: (i64, i64),
    /// From a picture's capture to the next one's.
    pub(super) picture_interval: fn(i64) -> i64,
    /// Whether the picture captured then is sent.
    pub(super) has_picture: fn(i64) -> bool,
    /// First byte of the packet of sound captured then (RFC 6716 §3.1), if one
    /// is sent.
    pub(super) sound: fn(i64) -> Option<u8>,
    /// What is sent then is lost.
    pub(super) lost: Range<i64>,
    /// When its wall clock is set, and by how much.
    pub(super) wall_steps: Vec<(i64, i64)>,
    /// When the origin's is set, and by how much.
    pub(super) own_steps: Vec<(i64, i64)>,
    /// Sizes of key frames.
    pub(super) size: fn(i64) -> (u16, u16),
    pub(super) announced: Option<(u32, u32)>,
}

/// One frame of 20 ms, mono and stereo.
pub(super) const MONO: u8 = 0xF8;
pub(super) const STEREO: u8 = 0xFC;
/// One frame of 60 ms, mono.
pub(super) const LONG: u8 = 0x18;

impl Default for Script {
    fn default() -> Self {
        Self {
            length: second(20),
            wall_ppm: 0,
            audio_ppm: 0,
            video_ppm: 0,
            delay: |_| 40_000,
            jitter: 20_000,
            audio_reports: (700_000, second(5)),
            video_reports: (300_000, second(1)),
            picture_interval: |_| 33_333,
            has_picture: |_| true,
            sound: |_| Some(MONO),
            lost: 0..0,
            wall_steps: Vec::new(),
            own_steps: Vec::new(),
            size: |_| (1280, 720),
            announced: Some((1280, 720)),
        }
    }
}

/// Where its packets stand.
#[derive(Default)]
pub(super) struct Presenter {
    audio_sequence: u16,
    video_sequence: u16,
    has_key: bool,
    size: (u16, u16),
}

impl Presenter {
    /// Its tracks, as an edge describes them.
    pub(super) fn tracks() -> [control::Track; 2] {
        let track = |flow, codec, payload_type, clock_rate| control::Track {
            flow: FlowId(flow),
            codec,
            payload_types: vec![payload_type],
            clock_rate,
            fmtp: None,
            ssrc: Some(ssrc(codec.kind())),
            extensions: Vec::new(),
        };
        [
            track(1, Codec::Vp8, 96, 90_000),
            track(2, Codec::Opus, 111, 48_000),
        ]
    }

    /// The next picture is to be a key frame.
    pub(super) fn want_key_frame(&mut self) {
        self.has_key = false;
    }

    /// The picture captured at `at`, in one packet of VP8.
    pub(super) fn picture(&mut self, script: &Script, at: i64) -> Option<Bytes> {
        if !(script.has_picture)(at) {
            return None;
        }
        self.video_sequence = self.video_sequence.wrapping_add(1);
        let (width, height) = (script.size)(at);
        if std::mem::replace(&mut self.size, (width, height)) != (width, height) {
            self.has_key = false;
        }
        let mut payload = vec![0x10];
        if std::mem::replace(&mut self.has_key, true) {
            payload.push(0x01);
        } else {
            payload.extend([0x02, 0, 0, 0x9D, 0x01, 0x2A]);
            payload.put_u16_le(width);
            payload.put_u16_le(height);
        }
        payload.put_i64(at);
        let timestamp = script.rtp(Kind::Video, at);
        Some(packet(Kind::Video, self.video_sequence, timestamp, payload))
    }

    /// The packet of sound whose first sample is captured at `at`, and how long
    /// that takes.
    pub(super) fn sound(&mut self, script: &Script, at: i64) -> Option<(Bytes, i64)> {
        let mut payload = vec![(script.sound)(at)?];
        let length = i64::from(opus::samples(&payload)?) * 1_000 / 48;
        self.audio_sequence = self.audio_sequence.wrapping_add(1);
        payload.put_i64(at);
        let timestamp = script.rtp(Kind::Audio, at);
        let packet = packet(Kind::Audio, self.audio_sequence, timestamp, payload);
        Some((packet, length))
    }
}

impl Script {
    /// The report of a track made at `at`.
    pub(super) fn report(&self, kind: Kind, at: i64) -> Bytes {
        let wall = SENDER_START + at + off(at, self.wall_ppm) + stepped(&self.wall_steps, at);
        let seconds = u64::try_from(wall / 1_000_000 + NTP_TO_UNIX_SECONDS).unwrap();
        let fraction = (u64::try_from(wall % 1_000_000).unwrap() << 32) / 1_000_000;
        let report = Rtcp::SenderReport(SenderReport {
            ssrc: ssrc(kind),
            ntp: (seconds << 32) | fraction,
            rtp: self.rtp(kind, at),
            packets: 0,
            octets: 0,
        });
        let mut wire = Vec::new();
        report.encode(&mut wire);
        wire.into()
    }

    /// How far the origin's system clock is off by its steps.
    pub(super) fn own_stepped(&self, at: i64) -> i64 {
        stepped(&self.own_steps, at)
    }

    /// When the `number`th packet of sound is captured: its card counts samples.
    pub(super) fn sound_at(&self, number: i64) -> i64 {
        number * PACKET - off(number * PACKET, self.audio_ppm)
    }

    fn rtp(&self, kind: Kind, at: i64) -> u32 {
        let (rate, ppm, start) = match kind {
            Kind::Audio => (48_000, self.audio_ppm, 4_294_900_000),
            Kind::Video => (90_000, self.video_ppm, 77),
        };
        // Nanoseconds, so that a rounding is not a drift.
        let nanos = i128::from(at) * 1_000 + i128::from(at) * i128::from(ppm) / 1_000;
        let ticks = (nanos * rate + 500_000_000) / 1_000_000_000 + start;
        u32::try_from(ticks % (1 << 32)).unwrap()
    }
}

/// When the picture was captured.
pub(super) fn captured(picture: &[u8]) -> i64 {
    i64::from_be_bytes(*picture.last_chunk().unwrap())
}

/// Decodes a packet of sound: a carrier whose phase tells each sample's time,
/// behind what an encoder of Opus looks ahead.
pub(super) fn decode_sound(packet: &[u8]) -> Vec<[f32; 2]> {
    let samples = opus::samples(packet).unwrap();
    let begin = captured(packet) as f64 - 6_500.0;
    (0..samples)
        .map(|sample| sound_of(begin + f64::from(sample) * 1e3 / 48.0))
        .collect()
}

/// Period of the carrier.
const PERIOD: f64 = 2e6;

fn sound_of(at: f64) -> [f32; 2] {
    let angle = at.rem_euclid(PERIOD) / PERIOD * std::f64::consts::TAU;
    let (sin, cos) = angle.sin_cos();
    [cos as f32, sin as f32]
}

/// How much earlier than `at` a sample was captured; `None` in silence.
pub(super) fn age_of(sample: [f32; 2], at: i64) -> Option<f64> {
    let [cos, sin] = sample.map(f64::from);
    if cos.hypot(sin) < 0.5 {
        return None;
    }
    let captured = sin.atan2(cos) / std::f64::consts::TAU * PERIOD;
    let age = (at as f64 - captured).rem_euclid(PERIOD);
    Some(if age > PERIOD / 2.0 {
        age - PERIOD
    } else {
        age
    })
}

fn stepped(steps: &[(i64, i64)], at: i64) -> i64 {
    let past = steps.iter().filter(|(when, _)| *when <= at);
    past.map(|(_, by)| by).sum()
}

fn off(at: i64, ppm: i64) -> i64 {
    at * ppm / 1_000_000
}

fn ssrc(kind: Kind) -> Ssrc {
    match kind {
        Kind::Audio => Ssrc(7),
        Kind::Video => Ssrc(8),
    }
}

fn packet(kind: Kind, sequence: u16, timestamp: u32, payload: Vec<u8>) -> Bytes {
    let header = Header {
        marker: kind == Kind::Video,
        payload_type: if kind == Kind::Video { 96 } else { 111 },
        sequence,
        timestamp,
        ssrc: ssrc(kind),
    };
    let mut wire = Vec::new();
    header.encode(&[], &mut wire);
    wire.extend(payload);
    wire.into()
}
