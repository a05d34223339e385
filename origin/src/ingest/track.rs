//! One track of a session, from packets to frames.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use inlet_common::{
    clock::UtcTime,
    roq::control::{self, Codec, Kind, VIDEO_ORIENTATION},
    rtp::{
        Packet, Ssrc,
        rtcp::{self, Rtcp},
    },
};

use super::{
    clock::{Clock, Which},
    depacketize::{Depacketizer, Unit},
    reorder::{Reorder, Step, Taken},
};
use crate::transcode::{VideoCodec, ladder::Resolution};

/// How long a missing packet is waited for before the link's round trip is known, and
/// beside it afterwards: 1.2 round trips and 30 ms for a NACK to a presenter who is 75 ms
/// away from its edge, there and back. One who is further away teaches
/// [`super::reorder`] to wait longer.
const PATIENCE: Duration = Duration::from_millis(120);

/// A key frame is asked for again after so long without one.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// Frames waiting to be polled; the driver polls after every packet, so this
/// only bounds a broken driver.
const MAX_QUEUED: usize = 256;

/// A whole coded frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// How it is coded.
    pub codec: FrameCodec,
    /// When it was captured, on our clock.
    pub capture: UtcTime,
    /// Whether decoding can begin here; true for all audio.
    pub is_key: bool,
    /// The picture's size as coded, on key frames that tell it.
    pub resolution: Option<Resolution>,
    /// Clockwise turn that shows it upright, in quarter turns (0–3).
    pub quarter_turns: u8,
    /// The coded bytes, as [`crate::transcode::Input`] wants them.
    pub data: Bytes,
}

/// Which decoder a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameCodec {
    /// A picture.
    Video(VideoCodec),
    /// An Opus packet.
    Opus,
}

/// What a track tells its driver.
#[derive(Debug, PartialEq)]
#[must_use]
pub enum Output {
    /// A whole frame, in the order of sequence numbers.
    Frame(Frame),
    /// Nothing can be decoded before the presenter sends a key frame.
    KeyFrameWanted(Ssrc),
    /// Nothing more until then, or until the next packet.
    Timeout(Option<Instant>),
}

/// What a track has counted, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackCounters {
    /// Packets taken in order.
    pub packets: u64,
    /// Bytes of these packets' payloads.
    pub bytes: u64,
    /// Packets given up as lost.
    pub lost: u64,
    /// Packets that came after they were given up.
    pub late: u64,
    /// Packets that came twice.
    pub duplicate: u64,
    /// Packets that are no RTP, of a foreign payload type, or unreadable.
    pub malformed: u64,
    /// Frames dropped because something they build on is missing.
    pub undecodable: u64,
}

/// One track.
#[derive(Debug)]
pub struct Track {
    which: Which,
    clock_rate: u32,
    payload_types: Vec<u8>,
    orientation_id: Option<u8>,
    quarter_turns: u8,
    patience: Duration,
    reorder: Reorder,
    depacketizer: Depacketizer,
    source: Option<Ssrc>,
    /// Nothing is handed out until the next key frame.
    is_damaged: bool,
    /// A key frame is wanted, and is asked for again until one comes: any
    /// single request may be lost on its way.
    awaits_key: bool,
    key_frame_asked: Option<Instant>,
    output: VecDeque<Output>,
    counters: TrackCounters,
}

impl Track {
    /// A track as the edge has described it.
    pub fn new(track: &control::Track) -> Self {
        let is_video = track.codec.kind() == Kind::Video;
        let orientation_id = track
            .extensions
            .iter()
            .find(|ext| ext.uri == VIDEO_ORIENTATION)
            .map(|ext| ext.id);
        Self {
            which: if is_video { Which::Video } else { Which::Audio },
            clock_rate: track.clock_rate,
            payload_types: track.payload_types.clone(),
            orientation_id,
            quarter_turns: 0,
            patience: PATIENCE,
            reorder: Reorder::new(PATIENCE),
            depacketizer: Depacketizer::new(track.codec, track.fmtp.as_deref()),
            source: track.ssrc,
            is_damaged: is_video,
            awaits_key: false,
            key_frame_asked: None,
            output: VecDeque::new(),
            counters: TrackCounters::default(),
        }
    }

    /// Takes what the edge has learned of this track: its source, mostly. The
    /// codec stays, since an answer names one per kind.
    pub fn update(&mut self, track: &control::Track) {
        self.payload_types.clone_from(&track.payload_types);
        if self.counters.packets == 0 {
            self.source = track.ssrc;
        }
    }

    /// Whether this is the sound or the picture.
    pub fn kind(&self) -> Kind {
        match self.which {
            Which::Audio => Kind::Audio,
            Which::Video => Kind::Video,
        }
    }

    /// What has been counted so far.
    pub fn counters(&self) -> TrackCounters {
        self.counters
    }

    /// Tells how far away the edge is, which decides how long a missing packet
    /// is waited for.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.patience = PATIENCE + round_trip.mul_f64(1.2);
        self.reorder.set_patience(self.patience);
    }

    /// Takes an RTP or RTCP packet of this track's flow.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        arrived: UtcTime,
        clock: &mut Clock,
        packet: &Bytes,
    ) {
        if inlet_common::rtp::is_rtcp(packet) {
            for rtcp in rtcp::decode(packet) {
                if let Rtcp::SenderReport(report) = rtcp
                    && self.source.is_none_or(|source| source == report.ssrc)
                {
                    clock.handle_report(self.which, self.clock_rate, &report, arrived);
                }
            }
            return;
        }
        let Some(packet) = Packet::decode(packet) else {
            self.counters.malformed += 1;
            return;
        };
        if !self.payload_types.contains(&packet.header.payload_type) {
            self.counters.malformed += 1;
            return;
        }
        self.follow_source(packet.header.ssrc, clock);
        match self.reorder.insert(now, packet) {
            Taken::InOrder => self.counters.packets += 1,
            Taken::Duplicate => self.counters.duplicate += 1,
            Taken::Late => self.counters.late += 1,
        }
        self.drain(now, arrived, clock);
    }

    /// Gives up on packets whose deadline has passed, and asks again for a key
    /// frame that has not come.
    pub fn handle_timeout(&mut self, now: Instant, arrived: UtcTime, clock: &mut Clock) {
        self.drain(now, arrived, clock);
        if self.awaits_key
            && self
                .key_frame_asked
                .is_some_and(|at| at + KEY_FRAME_INTERVAL <= now)
        {
            self.ask_key_frame(now);
        }
    }

    /// Asks the presenter for a key frame, now or as soon as the last request
    /// is old enough, and again until one comes.
    pub fn want_key_frame(&mut self, now: Instant) {
        self.awaits_key = true;
        if self
            .key_frame_asked
            .is_none_or(|at| at + KEY_FRAME_INTERVAL <= now)
        {
            self.ask_key_frame(now);
        }
    }

    /// Asks the presenter for a key frame once, whenever the last request was.
    pub fn ask_key_frame_now(&mut self, now: Instant) {
        self.ask_key_frame(now);
    }

    /// See the driving contract in the module's documentation.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.output.pop_front() {
            return output;
        }
        let hole = self.reorder.next_timeout();
        let key_frame = self
            .key_frame_asked
            .filter(|_| self.awaits_key)
            .map(|asked| asked + KEY_FRAME_INTERVAL);
        Output::Timeout(hole.into_iter().chain(key_frame).min())
    }

    /// A new source means a new sequence and a new RTP clock: a camera was
    /// replaced, or the presenter's page was loaded again.
    fn follow_source(&mut self, ssrc: Ssrc, clock: &mut Clock) {
        if self.source.is_some_and(|source| source != ssrc) {
            self.reorder = Reorder::new(self.patience);
            self.depacketizer.reset();
            clock.reset(self.which);
            // Another camera is upright until it says otherwise.
            self.quarter_turns = 0;
            self.is_damaged = self.which == Which::Video;
        }
        self.source = Some(ssrc);
    }

    fn drain(&mut self, now: Instant, arrived: UtcTime, clock: &mut Clock) {
        while let Some(step) = self.reorder.poll(now) {
            match step {
                Step::Packet(packet) => self.depacketize(now, arrived, clock, &packet),
                Step::Hole(missing) => {
                    self.counters.lost += missing;
                    self.depacketizer.reset();
                    if self.which == Which::Video {
                        self.is_damaged = true;
                        self.want_key_frame(now);
                    }
                }
            }
        }
    }

    fn depacketize(&mut self, now: Instant, arrived: UtcTime, clock: &mut Clock, packet: &Packet) {
        self.counters.bytes += packet.payload.len() as u64;
        if let Some(id) = self.orientation_id
            && let Some(value) = packet.extension(id).and_then(|value| value.first())
        {
            self.quarter_turns = quarter_turns(*value);
        }
        let Ok(units) = self.depacketizer.handle_packet(packet) else {
            self.counters.malformed += 1;
            if self.which == Which::Video {
                self.is_damaged = true;
                self.want_key_frame(now);
            }
            return;
        };
        for unit in units.into_iter().flatten() {
            self.hand_out(now, arrived, clock, unit);
        }
    }

    fn hand_out(&mut self, now: Instant, arrived: UtcTime, clock: &mut Clock, unit: Unit) {
        let capture = clock.capture(self.which, self.clock_rate, unit.timestamp, arrived);
        if unit.is_key {
            self.is_damaged = false;
            self.awaits_key = false;
        } else if self.is_damaged {
            self.counters.undecodable += 1;
            self.want_key_frame(now);
            return;
        }
        if self.output.len() < MAX_QUEUED {
            self.output.push_back(Output::Frame(Frame {
                codec: match self.depacketizer.codec() {
                    Codec::H264 => FrameCodec::Video(VideoCodec::H264),
                    Codec::Vp8 => FrameCodec::Video(VideoCodec::Vp8),
                    Codec::Vp9 => FrameCodec::Video(VideoCodec::Vp9),
                    Codec::Opus => FrameCodec::Opus,
                },
                capture,
                is_key: unit.is_key,
                resolution: unit.resolution,
                quarter_turns: self.quarter_turns,
                data: unit.data,
            }));
        }
    }

    fn ask_key_frame(&mut self, now: Instant) {
        self.key_frame_asked = Some(now);
        if let Some(source) = self.source
            && self.output.len() < MAX_QUEUED
        {
            self.output.push_back(Output::KeyFrameWanted(source));
        }
    }
}

/// Clockwise quarter turns that show the picture upright: the two lowest bits
/// (3GPP TS 26.114 §7.4.5). Mirroring and which camera took it play no part.
fn quarter_turns(value: u8) -> u8 {
    value & 0b11
}

#[cfg(test)]
mod tests;
