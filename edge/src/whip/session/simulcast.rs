//! A track that comes in several layers: binding them, and forwarding one.
//!
//! Which one is decided by [`super::layers`]. The trap: only the first packets
//! of a layer tell its name, until the presenter knows that they were heard
//! (RFC 8852 §3.3), so a source is bound by what the engine made of those.

use std::time::Instant;

use inlet_common::rtp::{Ssrc, rtcp::SenderReport};
use str0m::{
    media::Rid,
    rtp::{RtpPacket, Ssrc as EngineSsrc},
};

use super::{
    Rtp, Session,
    layers::{Layers, Packet},
    media::described,
    offer::{Layer, LayerName},
    picture,
};

/// The layers of a track.
#[derive(Debug)]
pub(super) struct Simulcast {
    /// In the order of the offer; `None` for those that are known by source.
    rids: Vec<Option<Rid>>,
    /// NACKs sent for each, as the engine has counted.
    nacks: Vec<u64>,
    layers: Layers<(Rtp, Instant)>,
}

impl Simulcast {
    pub(super) fn new(clock_rate: u32, offered: Vec<Layer>) -> Self {
        let rid = |layer: &Layer| match &layer.name {
            LayerName::Rid(id) => Some(Rid::from(id.as_str())),
            LayerName::Ssrc(_) => None,
        };
        let source = |layer: &Layer| match layer.name {
            LayerName::Rid(_) => None,
            LayerName::Ssrc(ssrc) => Some(Ssrc(ssrc)),
        };
        Self {
            rids: offered.iter().map(rid).collect(),
            nacks: vec![0; offered.len()],
            layers: Layers::new(
                clock_rate,
                offered
                    .iter()
                    .map(|layer| (source(layer), !layer.is_paused)),
            ),
        }
    }

    /// Whether a source is bound to one of the layers.
    fn knows(&self, ssrc: Ssrc) -> bool {
        self.layers.position(ssrc).is_some()
    }

    fn bind(&mut self, ssrc: Ssrc, rid: Rid) {
        if let Some(at) = self.rids.iter().position(|own| *own == Some(rid)) {
            self.layers.bind(at, ssrc);
        }
    }

    /// Who is to be asked for a key frame.
    pub(super) fn keyframe_source(&self, now: Instant) -> Option<Ssrc> {
        self.layers.keyframe_source(now)
    }

    /// A source was asked for a key frame.
    pub(super) fn note_asked(&mut self, now: Instant, ssrc: Ssrc) {
        self.layers.note_asked(now, ssrc);
    }

    /// A source that the engine knows.
    pub(super) fn any_ssrc(&self) -> Option<Ssrc> {
        self.layers.any_ssrc()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.layers.next_timeout()
    }

    /// A layer's report, as the origin is to see it.
    pub(super) fn handle_report(&mut self, report: &SenderReport) -> Option<SenderReport> {
        self.layers.handle_report(report)
    }

    /// Notes what the engine has counted of a layer; all NACKs of the track.
    pub(super) fn note_nacks(&mut self, rid: Option<Rid>, nacks: u64) -> u64 {
        let mut layers = self.rids.iter().zip(&mut self.nacks);
        if let Some((_, known)) = layers.find(|(own, _)| **own == rid) {
            *known = nacks.max(*known);
        }
        self.nacks.iter().sum()
    }
}

impl Session {
    /// Takes a packet of a layer.
    pub(super) fn handle_layer(&mut self, at: usize, packet: RtpPacket) {
        let now = packet.timestamp;
        let ssrc = Ssrc(*packet.header.ssrc);
        let Some(track) = self.tracks.get_mut(at) else {
            return;
        };
        let codec = track.described.codec;
        let Some(simulcast) = &mut track.simulcast else {
            return;
        };
        if !simulcast.knows(ssrc) {
            let mut api = self.rtc.direct_api();
            let stream = api.stream_rx(&EngineSsrc::from(ssrc.0));
            if let Some(rid) = stream.and_then(|stream| stream.rid()) {
                simulcast.bind(ssrc, rid);
            }
        }
        let described_packet = Packet {
            seq: *packet.seq_no,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            len: packet.payload.len(),
            start: picture::start(codec, &packet.payload),
        };
        let body = (described(at, packet), now);
        simulcast
            .layers
            .handle_packet(now, ssrc, described_packet, body);
        if simulcast.layers.wants_keyframe(now) {
            self.keyframes.want();
        }
        self.forward_layers(at);
    }

    /// Forwards what has waited long enough for a change of layers.
    pub(super) fn change_what_is_due(&mut self, now: Instant) {
        for at in 0..self.tracks.len() {
            let simulcast = self.tracks.get_mut(at).and_then(|t| t.simulcast.as_mut());
            if let Some(simulcast) = simulcast {
                simulcast.layers.handle_timeout(now);
                self.forward_layers(at);
            }
        }
    }

    fn forward_layers(&mut self, at: usize) {
        while let Some(simulcast) = self.tracks.get_mut(at).and_then(|t| t.simulcast.as_mut()) {
            self.counters.layer_dropped = simulcast.layers.dropped();
            self.counters.layer_changes = simulcast.layers.changes();
            let Some(placed) = simulcast.layers.poll_output() else {
                return;
            };
            let (mut rtp, arrived) = placed.body;
            rtp.header.ssrc = placed.ssrc;
            rtp.header.timestamp = placed.timestamp;
            // The wire's 16 bits.
            rtp.header.sequence = (placed.seq & u64::from(u16::MAX)) as u16;
            self.forward(placed.seq, rtp, arrived);
        }
    }
}
