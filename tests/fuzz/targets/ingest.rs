//! Feeds a track: packets of each codec that come late, twice or never, and sender
//! reports.
//!
//! ```text
//!  codec { flags · length · payload }*      flags: 0–2 sequence, 3 marker, 4 timestamp,
//!                                           5 the payload is a whole packet, 6–7 time
//! ```
#![no_main]

use std::time::{Duration, Instant};

use bytes::Bytes;
use inlet_common::{
    clock::{self, UtcTime},
    roq::{
        FlowId,
        control::{self, Codec, Kind},
    },
    rtp::{Header, Ssrc},
};
use inlet_origin::ingest::{Clock, Output, Track};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((codec, mut rest)) = bytes.split_first() else {
        return;
    };
    let mut feed = Feed::new(*codec);
    while let [flags, length, behind @ ..] = rest {
        let (payload, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        feed.packet(*flags, payload);
        rest = behind;
    }
    let counters = feed.track.counters();
    assert!(counters.packets <= feed.packets && counters.malformed <= feed.packets);
});

struct Feed {
    track: Track,
    clock: Clock,
    now: Instant,
    utc: UtcTime,
    sequence: u16,
    timestamp: u32,
    packets: u64,
    has_key: bool,
}

impl Feed {
    fn new(codec: u8) -> Self {
        let codec = [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Opus][usize::from(codec % 4)];
        let track = Track::new(&control::Track {
            flow: FlowId(1),
            codec,
            payload_types: vec![96],
            clock_rate: 90_000,
            fmtp: Some("sprop-parameter-sets=Z0LAHtkA2D3n,aM4=".to_owned()),
            ssrc: Some(Ssrc(7)),
            extensions: vec![control::HeaderExtension {
                id: 4,
                uri: control::VIDEO_ORIENTATION.to_owned(),
            }],
        });
        Self {
            has_key: codec.kind() == Kind::Audio,
            track,
            clock: Clock::default(),
            now: clock::now(),
            utc: UtcTime::from_unix_micros(1_800_000_000_000_000),
            sequence: 65_530,
            timestamp: u32::MAX - 9_000,
            packets: 0,
        }
    }

    fn packet(&mut self, flags: u8, payload: &[u8]) {
        let packet = if flags & 0x20 != 0 {
            Bytes::copy_from_slice(payload)
        } else {
            self.rtp(flags, payload)
        };
        self.packets += 1;
        let (now, utc) = (self.now, self.utc);
        self.track.handle_packet(now, utc, &mut self.clock, &packet);
        let timeout = self.drain();
        let passed = Duration::from_millis([0, 5, 90, 600][usize::from(flags >> 6)]);
        self.now += passed;
        self.utc = self.utc.plus_micros(passed.as_micros() as i64);
        if timeout.is_some_and(|timeout| timeout <= self.now) {
            let (now, utc) = (self.now, self.utc);
            self.track.handle_timeout(now, utc, &mut self.clock);
            let next = self.drain();
            assert!(next.is_none_or(|next| next > now), "it was handled");
        }
    }

    /// The next packet, one a little further on, or the one before.
    fn rtp(&mut self, flags: u8, payload: &[u8]) -> Bytes {
        self.sequence = self
            .sequence
            .wrapping_add(u16::from(flags & 7))
            .wrapping_sub(1);
        self.timestamp = self.timestamp.wrapping_add(u32::from(flags & 0x10) * 188);
        let header = Header {
            marker: flags & 8 != 0,
            payload_type: 96,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: Ssrc(7),
        };
        let mut wire = Vec::new();
        header.encode(&[], &mut wire);
        wire.extend_from_slice(payload);
        wire.into()
    }

    /// Nothing is handed out before a key frame.
    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.track.poll_output() {
                Output::Frame(frame) => {
                    self.has_key |= frame.is_key;
                    assert!(self.has_key && !frame.data.is_empty());
                    assert!(frame.quarter_turns < 4);
                }
                Output::KeyFrameWanted(_) => {}
                Output::Timeout(timeout) => return timeout,
            }
        }
    }
}
