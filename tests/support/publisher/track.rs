//! One track on its way out: coded frames become RTP packets, and sender
//! reports say which wall time they stand for.
//!
//! The reports are ours and not the crate's: those would name the time at which
//! a packet left, not the one at which its frame was captured.

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use inlet_common::clock;
use rtc::{
    media_stream::MediaStreamTrack,
    rtcp::sender_report::SenderReport,
    rtp::{
        self,
        extension::{
            HeaderExtension,
            video_orientation_extension::{VideoOrientationExtension, VideoRotation},
        },
        packetizer::Payloader,
    },
    rtp_transceiver::{
        RTCRtpTransceiverDirection, RTCRtpTransceiverInit,
        rtp_sender::{
            RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
            RTCRtpRtxParameters, RtpCodecKind,
        },
    },
};
use webrtc::{
    media_stream::track_local::{TrackLocal as _, static_rtp::TrackLocalStaticRTP},
    peer_connection::PeerConnection,
};

/// Largest RTP payload, so that SRTP, UDP and IPv6 headers still fit 1,280 bytes.
const MTU: usize = 1_188;

/// One track on its way out: coded frames become RTP packets.
pub(super) struct Track {
    local: Arc<TrackLocalStaticRTP>,
    payloader: Box<dyn Payloader>,
    payload_type: u8,
    /// What the offer says.
    announced: u32,
    ssrc: u32,
    sequence: u16,
    /// RTP time of media time 0.
    base: u32,
    /// Ticks of RTP time in a second.
    pub(super) clock_rate: u32,
    packets: u32,
    octets: u32,
}

impl Track {
    /// Adds a track to a connection; `rtx` is the SSRC of its retransmissions, where they
    /// have one of their own.
    pub(super) async fn add(
        connection: &dyn PeerConnection,
        kind: RtpCodecKind,
        codec: RTCRtpCodecParameters,
        rtx: Option<u32>,
    ) -> Result<Self> {
        let ssrc = rand::random();
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(ssrc),
                rtx: rtx.map(|ssrc| RTCRtpRtxParameters { ssrc }),
                ..Default::default()
            },
            codec: codec.rtp_codec.clone(),
            ..Default::default()
        };
        let track = MediaStreamTrack::new(
            "inlet".to_owned(),
            kind.to_string(),
            kind.to_string(),
            kind,
            vec![encoding.clone()],
        );
        let local = Arc::new(TrackLocalStaticRTP::new(track));
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec!["inlet".to_owned()],
            send_encodings: vec![encoding],
        };
        connection
            .add_transceiver_from_track(Arc::clone(&local) as _, Some(init))
            .await?;
        Ok(Self {
            local,
            payloader: codec.rtp_codec.payloader()?,
            payload_type: codec.payload_type,
            announced: ssrc,
            ssrc,
            sequence: rand::random(),
            base: rand::random(),
            clock_rate: codec.rtp_codec.clock_rate,
            packets: 0,
            octets: 0,
        })
    }

    /// Goes on as another source, which nobody has announced.
    pub(super) fn begin_anew(&mut self) {
        self.ssrc = rand::random();
        self.sequence = rand::random();
        self.base = rand::random();
        (self.packets, self.octets) = (0, 0);
    }

    /// Sends a coded frame captured `ticks` of RTP time after media time 0; its last
    /// packet tells the quarter turns that show it upright (3GPP TS 26.114 §7.4.5).
    ///
    /// Returns the number of packets and of payload bytes.
    pub(super) async fn send(
        &mut self,
        data: &Bytes,
        ticks: u64,
        quarter_turns: Option<u8>,
    ) -> Result<(u64, u64)> {
        let payloads = self.payloader.payload(MTU, data)?;
        let (count, mut bytes) = (payloads.len(), 0);
        for (index, payload) in payloads.into_iter().enumerate() {
            bytes += payload.len() as u64;
            self.packets = self.packets.wrapping_add(1);
            self.octets = self.octets.wrapping_add(payload.len() as u32);
            let header = rtp::header::Header {
                version: 2,
                marker: self.clock_rate == 90_000 && index + 1 == count,
                payload_type: self.payload_type,
                sequence_number: self.sequence,
                timestamp: self.base.wrapping_add(ticks as u32),
                ssrc: self.announced,
                // See `rename`.
                csrc: (self.ssrc != self.announced)
                    .then_some(self.ssrc)
                    .into_iter()
                    .collect(),
                ..Default::default()
            };
            self.sequence = self.sequence.wrapping_add(1);
            let packet = rtp::Packet { header, payload };
            match quarter_turns.filter(|_| packet.header.marker) {
                Some(turns) => {
                    let extension = [orientation(turns)];
                    self.local
                        .write_rtp_with_extensions(packet, &extension)
                        .await?;
                }
                None => self.local.write_rtp(packet).await?,
            }
        }
        Ok((count as u64, bytes))
    }

    /// Tells the receiver which wall time `ticks` of RTP time stand for.
    pub(super) async fn report(&self, utc: clock::UtcTime, ticks: u64) -> Result<()> {
        let report = SenderReport {
            ssrc: self.ssrc,
            ntp_time: ntp(utc),
            rtp_time: self.base.wrapping_add(ticks as u32),
            packet_count: self.packets,
            octet_count: self.octets,
            ..Default::default()
        };
        Ok(self.local.write_rtcp(vec![Box::new(report)]).await?)
    }
}

fn orientation(quarter_turns: u8) -> HeaderExtension {
    let rotation = match quarter_turns % 4 {
        0 => VideoRotation::Degree0,
        1 => VideoRotation::Degree90,
        2 => VideoRotation::Degree180,
        _ => VideoRotation::Degree270,
    };
    HeaderExtension::VideoOrientation(VideoOrientationExtension {
        rotation,
        ..Default::default()
    })
}

/// RFC 5905 §6: seconds since 1900 in the upper half, a binary fraction below.
fn ntp(utc: clock::UtcTime) -> u64 {
    const UNIX_EPOCH: u64 = 2_208_988_800;
    let micros = u64::try_from(utc.as_unix_micros()).unwrap_or(0);
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    ((seconds + UNIX_EPOCH) << 32) | ((rest << 32) / 1_000_000)
}
