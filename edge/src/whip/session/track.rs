//! One track of a session: which source feeds it, and what came from it.

use std::time::{Duration, Instant};

use inlet_common::{
    roq::control::{Kind, Track},
    rtp::Ssrc,
};
use str0m::{media::Mid, rtp::SeqNo};

use super::{arrival::Arrival, simulcast::Simulcast};

/// A second source takes a track over only when the first has been silent for
/// this long: a camera that is exchanged may come with a new SSRC, but two
/// sources at once (simulcast the old way) must not be mixed on one flow.
const TAKEOVER: Duration = Duration::from_millis(1_000);

/// The feedback that the presenter understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Feedback {
    pub(super) nack: bool,
    pub(super) pli: bool,
    pub(super) fir: bool,
    pub(super) remb: bool,
}

/// One track.
#[derive(Debug)]
pub(super) struct SessionTrack {
    pub(super) described: Track,
    pub(super) mid: Mid,
    pub(super) rtx_payload_types: Vec<u8>,
    /// The id of the MID header extension, when the presenter offered it.
    pub(super) mid_extension: Option<u8>,
    pub(super) feedback: Feedback,
    /// What is forwarded is put together from layers then.
    pub(super) simulcast: Option<Simulcast>,
    source: Option<Source>,
    packets: u64,
    lost_before: u64,
    pub(super) arrival: Arrival,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: Ssrc,
    last_packet: Instant,
    first: u64,
    highest: u64,
    received: u64,
}

/// What a packet's source is to its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The track's own source.
    Known,
    /// The source from now on, other than the one before.
    New,
    /// Another source while the track's own is alive: not forwarded.
    Foreign,
}

impl SessionTrack {
    pub(super) fn new(
        described: Track,
        mid: Mid,
        rtx_payload_types: Vec<u8>,
        mid_extension: Option<u8>,
        feedback: Feedback,
    ) -> Self {
        Self {
            arrival: Arrival::new(described.clock_rate),
            described,
            mid,
            rtx_payload_types,
            mid_extension,
            feedback,
            simulcast: None,
            source: None,
            packets: 0,
            lost_before: 0,
        }
    }

    pub(super) fn with_simulcast(mut self, simulcast: Option<Simulcast>) -> Self {
        self.simulcast = simulcast;
        self
    }

    pub(super) fn is_video(&self) -> bool {
        self.described.codec.kind() == Kind::Video
    }

    /// The source that feeds the track, or is announced to.
    pub(super) fn ssrc(&self) -> Option<Ssrc> {
        self.source
            .map(|source| source.ssrc)
            .or(self.described.ssrc)
    }

    /// A source of the track's that the engine knows.
    pub(super) fn engine_ssrc(&self) -> Option<Ssrc> {
        match &self.simulcast {
            Some(simulcast) => simulcast.any_ssrc(),
            None => self.ssrc(),
        }
    }

    /// Judges a packet's source and counts the packet when it is the track's.
    pub(super) fn note_packet(&mut self, ssrc: Ssrc, seq: SeqNo, now: Instant) -> Verdict {
        let seq = *seq;
        match &mut self.source {
            Some(source) if source.ssrc == ssrc => {
                source.last_packet = now;
                source.highest = source.highest.max(seq);
                source.first = source.first.min(seq);
                source.received += 1;
                self.packets += 1;
                Verdict::Known
            }
            Some(source) if now < source.last_packet + TAKEOVER => Verdict::Foreign,
            _ => {
                self.lost_before = self.lost();
                self.source = Some(Source {
                    ssrc,
                    last_packet: now,
                    first: seq,
                    highest: seq,
                    received: 1,
                });
                self.packets += 1;
                self.described.ssrc = Some(ssrc);
                Verdict::New
            }
        }
    }

    pub(super) const fn packets(&self) -> u64 {
        self.packets
    }

    /// Packets that never came, retransmission included: RFC 3550 §A.3.
    pub(super) fn lost(&self) -> u64 {
        let current = self.source.map_or(0, |source| {
            (source.highest - source.first + 1).saturating_sub(source.received)
        });
        self.lost_before + current
    }
}

#[cfg(test)]
mod tests {
    use inlet_common::roq::{FlowId, control::Codec};

    use super::*;

    fn track() -> SessionTrack {
        let described = Track {
            flow: FlowId(0),
            codec: Codec::Vp8,
            payload_types: vec![96],
            clock_rate: 90_000,
            fmtp: None,
            ssrc: None,
            extensions: Vec::new(),
        };
        SessionTrack::new(
            described,
            Mid::from("0"),
            vec![97],
            None,
            Feedback::default(),
        )
    }

    #[test]
    fn what_never_came_is_lost() {
        let mut track = track();
        let now = inlet_common::clock::now();
        for seq in [10_u64, 11, 14, 13] {
            track.note_packet(Ssrc(1), seq.into(), now);
        }
        assert_eq!((track.packets(), track.lost()), (4, 1));
    }

    #[test]
    fn a_second_source_waits_until_the_first_is_silent() {
        let mut track = track();
        let now = inlet_common::clock::now();
        assert_eq!(track.note_packet(Ssrc(1), 1.into(), now), Verdict::New);
        assert_eq!(track.note_packet(Ssrc(1), 2.into(), now), Verdict::Known);
        assert_eq!(
            track.note_packet(Ssrc(2), 900.into(), now),
            Verdict::Foreign
        );
        let later = now + TAKEOVER;
        assert_eq!(track.note_packet(Ssrc(2), 901.into(), later), Verdict::New);
        assert_eq!(
            track.note_packet(Ssrc(1), 3.into(), later),
            Verdict::Foreign
        );
        assert_eq!((track.ssrc(), track.lost()), (Some(Ssrc(2)), 0));
    }
}
