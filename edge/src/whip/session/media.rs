//! From the engine's events to what crosses the link, and sources that nobody
//! announced.
//!
//! The trap: an SSRC that is neither in the offer nor announced by the MID
//! header extension is nobody's to str0m. Payload types are unambiguous here,
//! so they tell the track; and a source that does not pass the integrity check
//! is taken out again, or any stranger could fill the engine with sources.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use inlet_common::{
    roq::control::CloseReason,
    rtp::{Header, Ssrc, rtcp::SenderReport},
};
use str0m::{
    media::{KeyframeRequestKind, SenderFeedback},
    rtp::{RtpPacket, Ssrc as EngineSsrc},
    stats::MediaIngressStats,
};

use super::{MAX_SOURCES, MAX_UNANNOUNCED, Output, Rtp, Session, track::Verdict};
use crate::demux;

/// Seconds from NTP's epoch, 1900, to Unix's (RFC 5905 §6).
const NTP_TO_UNIX: u64 = 2_208_988_800;

impl Session {
    pub(super) fn handle_rtp(&mut self, packet: RtpPacket) {
        let now = packet.timestamp;
        self.last_heard = self.last_heard.max(now);
        if let Some((way, _)) = self.arrival {
            self.note_media(way);
        }
        let ssrc = *packet.header.ssrc;
        if !self.heard.contains(&ssrc) {
            self.note_source(ssrc, *packet.header.payload_type);
        }
        let payload_type = *packet.header.payload_type;
        let mut tracks = self.tracks.iter().enumerate();
        let Some((at, track)) =
            tracks.find(|(_, track)| track.described.payload_types.contains(&payload_type))
        else {
            return;
        };
        if track.simulcast.is_some() {
            self.handle_layer(at, packet);
            return;
        }
        let seq = *packet.seq_no;
        self.forward(seq, described(at, packet), now);
    }

    /// Judges a packet of a track by its source, counts it, and hands it out.
    /// `seq` is its sequence number, extended.
    pub(super) fn forward(&mut self, seq: u64, rtp: Rtp, arrived: Instant) {
        let Some(track) = self.tracks.get_mut(rtp.track) else {
            return;
        };
        let announced = track.described.ssrc;
        let ssrc = rtp.header.ssrc;
        match track.note_packet(ssrc, seq.into(), arrived) {
            Verdict::Foreign => {
                self.counters.foreign += 1;
                return;
            }
            Verdict::New => {
                if announced != Some(ssrc) {
                    self.outputs.push_back(Output::TracksChanged);
                }
                if track.is_video() {
                    self.keyframes.want();
                }
            }
            Verdict::Known => {}
        }
        let is_video = track.is_video();
        track.arrival.note(arrived, rtp.header.timestamp, is_video);
        self.bytes += rtp.payload.len() as u64;
        self.outputs.push_back(Output::Rtp(rtp));
    }

    /// A source has passed the integrity check for the first time.
    pub(super) fn note_source(&mut self, ssrc: u32, payload_type: u8) {
        if self.heard.len() >= MAX_SOURCES {
            tracing::warn!(id = %self.id, "presenter with too many sources sent away");
            self.end(CloseReason::Other);
            return;
        }
        self.heard.push(ssrc);
        if self.tentative == Some(ssrc) {
            self.tentative = None;
        }
        let wants_nack = self.tracks.iter().any(|track| {
            track.is_video()
                && track.feedback.nack
                && track.described.payload_types.contains(&payload_type)
        });
        // Without RTX the engine stays silent about losses; NACK alone works
        // with OBS and GStreamer, which resend the packet itself.
        if wants_nack && let Some(stream) = self.rtc.direct_api().stream_rx(&EngineSsrc::from(ssrc))
        {
            stream.suppress_nack(false);
        }
    }

    /// Makes a source that nobody announced known to the engine.
    pub(super) fn introduce_source(&mut self, datagram: &[u8]) {
        let Some((payload_type, ssrc)) = demux::rtp_payload_type_and_ssrc(datagram) else {
            return;
        };
        if ssrc == 0 || self.heard.contains(&ssrc) || !self.is_connected() {
            return;
        }
        let mut tracks = self.tracks.iter();
        let Some(track) = tracks.find(|track| {
            track.described.payload_types.contains(&payload_type)
                || track.rtx_payload_types.contains(&payload_type)
        }) else {
            return;
        };
        // A layer that does not tell its name is nobody's.
        if track.simulcast.is_some() {
            return;
        }
        if track
            .mid_extension
            .is_some_and(|id| has_extension(datagram, id))
        {
            return;
        }
        let is_repair = track.rtx_payload_types.contains(&payload_type);
        let (mid, main) = (track.mid, track.ssrc());
        let mut api = self.rtc.direct_api();
        let engine_ssrc = EngineSsrc::from(ssrc);
        if is_repair {
            let Some(main) = main else { return };
            let main = EngineSsrc::from(main.0);
            let has_repair = api
                .stream_rx(&main)
                .is_none_or(|stream| stream.rtx().is_some());
            if !has_repair {
                api.expect_stream_rx(main, Some(engine_ssrc), mid, None);
            }
        } else if api.stream_rx(&engine_ssrc).is_none() && self.unannounced < MAX_UNANNOUNCED {
            api.expect_stream_rx(engine_ssrc, None, mid, None);
            self.unannounced += 1;
            self.tentative = Some(ssrc);
        }
    }

    /// Takes out a source whose first packet did not pass.
    pub(super) fn drop_tentative(&mut self) {
        if let Some(ssrc) = self.tentative.take() {
            self.rtc
                .direct_api()
                .remove_stream_rx(EngineSsrc::from(ssrc));
            self.unannounced -= 1;
        }
    }

    pub(super) fn handle_sender_report(&mut self, feedback: &SenderFeedback) {
        self.last_heard = self.last_heard.max(feedback.received_at);
        let info = &feedback.sender_info;
        let ssrc = Ssrc(*info.ssrc);
        let report = SenderReport {
            ssrc,
            ntp: ntp(info.ntp_time),
            // The wire's 32 bits of what the engine has extended.
            rtp: (info.rtp_time.numer() & u64::from(u32::MAX)) as u32,
            packets: info.sender_packet_count,
            octets: info.sender_octet_count,
        };
        let mut tracks = self.tracks.iter_mut().enumerate();
        let found = tracks.find_map(|(at, track)| match &mut track.simulcast {
            Some(simulcast) => Some((at, simulcast.handle_report(&report)?)),
            None => (track.ssrc() == Some(ssrc)).then_some((at, report)),
        });
        if let Some((track, report)) = found {
            self.outputs
                .push_back(Output::SenderReport { track, report });
        }
    }

    pub(super) fn handle_stats(&mut self, stats: &MediaIngressStats) {
        self.rtt = stats.rtt.or(self.rtt);
        let mut tracks = self.tracks.iter_mut();
        if let Some(track) = tracks.find(|track| track.is_video() && track.mid == stats.mid) {
            let nacks = match &mut track.simulcast {
                Some(simulcast) => simulcast.note_nacks(stats.rid, stats.nacks),
                None => stats.nacks,
            };
            self.counters.nacks = self.counters.nacks.max(nacks);
        }
    }

    pub(super) fn ask_for_keyframe(&mut self, now: Instant) {
        let Some((at, ssrc)) = self
            .keyframe_source()
            .filter(|_| self.keyframes.is_due(now))
        else {
            return;
        };
        let Some(track) = self.tracks.get(at) else {
            return;
        };
        let kind = if track.feedback.pli {
            KeyframeRequestKind::Pli
        } else {
            KeyframeRequestKind::Fir
        };
        // Announced sources are known to the engine from the start, others from
        // their first packet on.
        if let Some(stream) = self.rtc.direct_api().stream_rx(&EngineSsrc::from(ssrc.0)) {
            stream.request_keyframe(kind);
            self.counters.keyframe_requests += 1;
        }
        self.keyframes.note_request(now);
        let track = self.tracks.get_mut(at);
        if let Some(simulcast) = track.and_then(|track| track.simulcast.as_mut()) {
            simulcast.note_asked(now, ssrc);
        }
    }
}

/// A packet as it crosses the link, unless its track is put together from layers.
pub(super) fn described(track: usize, packet: RtpPacket) -> Rtp {
    Rtp {
        track,
        header: Header {
            marker: packet.header.marker,
            payload_type: *packet.header.payload_type,
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            ssrc: Ssrc(*packet.header.ssrc),
        },
        orientation: packet
            .header
            .ext_vals
            .video_orientation
            .map(|angle| angle as u8),
        payload: packet.payload,
    }
}

/// NTP's 64 bits: seconds since 1900 above, their fraction below.
fn ntp(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (since.as_secs().wrapping_add(NTP_TO_UNIX) << 32) | fraction
}

/// Whether an RTP packet carries a one-byte extension element with this id.
fn has_extension(datagram: &[u8], id: u8) -> bool {
    let Some(&first) = datagram.first() else {
        return false;
    };
    let at = Header::LEN + 4 * usize::from(first & 0x0F);
    let Some(&[0xBE, 0xDE, high, low]) =
        datagram.get(at..at + 4).and_then(<[u8]>::first_chunk::<4>)
    else {
        return false;
    };
    let len = 4 * usize::from(u16::from_be_bytes([high, low]));
    let mut rest = datagram.get(at + 4..at + 4 + len).unwrap_or_default();
    while let Some((&head, after)) = rest.split_first() {
        if head == 0 {
            rest = after;
            continue;
        }
        if head >> 4 == id {
            return true;
        }
        rest = after
            .get(usize::from(head & 0x0F) + 1..)
            .unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod unit {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ntp_counts_from_1900() {
        let at = UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(ntp(at), ((NTP_TO_UNIX + 1) << 32) | 0x8000_0000);
    }

    #[test]
    fn an_extension_is_found_behind_others() {
        let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xBE, 0xDE, 0, 2];
        packet.extend([0x31, 1, 2, 0, 0x40, b'0', 0, 0]);
        assert!(has_extension(&packet, 4) && has_extension(&packet, 3));
        assert!(!has_extension(&packet, 5));
        for cut in 0..packet.len() {
            let _ = has_extension(&packet[..cut], 4);
        }
    }
}
