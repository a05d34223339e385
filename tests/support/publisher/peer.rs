//! The WebRTC half: a peer connection of the `webrtc` crate that sends one
//! video and one audio track.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use inlet_common::clock;
use rtc::{
    interceptor::{Registry, Slot},
    media_stream::MediaStreamTrack,
    peer_connection::configuration::{
        interceptor_registry::{configure_nack, configure_twcc_sender_only},
        media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8, MediaEngine},
    },
    rtcp::sender_report::SenderReport,
    rtp::{self, packetizer::Payloader},
    rtp_transceiver::{
        RTCRtpTransceiverDirection, RTCRtpTransceiverInit,
        rtp_sender::{
            RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters,
            RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
        },
    },
};
use tokio::sync::watch;
use webrtc::{
    media_stream::track_local::{TrackLocal as _, static_rtp::TrackLocalStaticRTP},
    peer_connection::{
        PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
        RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder, crypto,
    },
    runtime::TokioRuntime,
};

use super::{
    Codec,
    feedback::{Feedback, Listener},
    whip::{self, Resource},
};

/// Largest RTP payload, so that SRTP, UDP and IPv6 headers still fit 1,280 bytes.
const MTU: usize = 1_188;

const VIDEO: u8 = 102;
const VIDEO_RTX: u8 = 103;
const AUDIO: u8 = 111;

/// A connected presenter.
pub(super) struct Peer {
    connection: Arc<dyn PeerConnection>,
    resource: Resource,
    /// Follows the state of the connection.
    pub(super) state: watch::Receiver<RTCPeerConnectionState>,
    /// The two tracks, until the media threads take them.
    pub(super) tracks: Option<(Track, Track)>,
}

struct Events {
    gathered: watch::Sender<bool>,
    state: watch::Sender<RTCPeerConnectionState>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }
}

impl Peer {
    /// Offers the two tracks to `endpoint` and waits until DTLS is up.
    pub(super) async fn connect(
        endpoint: &reqwest::Url,
        codec: Codec,
        feedback: Arc<Feedback>,
    ) -> Result<Self> {
        let (gathered, mut is_gathered) = watch::channel(false);
        let (state, state_seen) = watch::channel(RTCPeerConnectionState::New);
        let connection = build(endpoint, codec, feedback, Events { gathered, state }).await?;
        let video = Track::add(
            connection.as_ref(),
            video_codec(codec),
            Some(rand::random()),
        )
        .await?;
        let audio = Track::add(connection.as_ref(), opus(), None).await?;

        let offer = connection.create_offer(None).await?;
        connection.set_local_description(offer).await?;
        is_gathered.wait_for(|done| *done).await?;
        let offer = connection.local_description().await.context("no offer")?;
        let (resource, answer) = whip::post(endpoint, offer.sdp).await?;
        let answer = RTCSessionDescription::answer(answer).context("the answer is no SDP")?;
        connection.set_remote_description(answer).await?;

        let mut peer = Self {
            connection,
            resource,
            state: state_seen,
            tracks: Some((video, audio)),
        };
        peer.wait_connected().await?;
        Ok(peer)
    }

    async fn wait_connected(&mut self) -> Result<()> {
        use RTCPeerConnectionState::{Closed, Connected, Failed};
        let settled = |state: &RTCPeerConnectionState| matches!(state, Connected | Failed | Closed);
        let state = *self.state.wait_for(settled).await?;
        if state != Connected {
            bail!("the connection is {state}");
        }
        Ok(())
    }

    /// URL of the session at the edge.
    pub(super) const fn url(&self) -> &reqwest::Url {
        self.resource.url()
    }

    /// Ends the session with a DELETE and closes DTLS.
    pub(super) async fn close(&self) -> Result<()> {
        let deleted = self.resource.delete().await;
        self.connection.close().await?;
        deleted
    }

    /// Closes DTLS without a DELETE, as a browser tab does that is closed.
    pub(super) async fn hang_up(&self) -> Result<()> {
        Ok(self.connection.close().await?)
    }
}

async fn build(
    endpoint: &reqwest::Url,
    codec: Codec,
    feedback: Arc<Feedback>,
    events: Events,
) -> Result<Arc<dyn PeerConnection>> {
    let mut media = MediaEngine::default();
    media.register_codec(video_codec(codec), RtpCodecKind::Video)?;
    media.register_codec(rtx(), RtpCodecKind::Video)?;
    media.register_codec(opus(), RtpCodecKind::Audio)?;
    // Sender reports are ours (`Track::report`): the crate's would name the time
    // at which a packet left, not the one at which its frame was captured.
    let registry = configure_nack(Registry::new(), &mut media);
    let registry = configure_twcc_sender_only(registry, &mut media)?;
    let registry = registry.with(Slot::from(14_000), Listener::new(feedback));
    let settings = SettingEngineBuilder::new()
        .with_crypto_provider(Arc::new(crypto::providers::AwsLcRsProvider::new()))
        .with_include_loopback_candidate(true)
        .build();
    let connection = PeerConnectionBuilder::new()
        .with_media_engine(media)
        .with_interceptor_registry(registry)
        .with_setting_engine(settings)
        .with_runtime(Arc::new(TokioRuntime))
        .with_handler(Arc::new(events))
        .with_udp_addrs(vec![local_address(endpoint)])
        .build()
        .await?;
    Ok(Arc::new(connection))
}

/// Loopback for an edge on loopback, else every interface.
fn local_address(endpoint: &reqwest::Url) -> SocketAddr {
    let is_loopback = match endpoint.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    let address = if is_loopback {
        Ipv4Addr::LOCALHOST
    } else {
        Ipv4Addr::UNSPECIFIED
    };
    SocketAddr::new(address.into(), 0)
}

fn feedback_of_video() -> Vec<RTCPFeedback> {
    [
        ("goog-remb", ""),
        ("ccm", "fir"),
        ("nack", ""),
        ("nack", "pli"),
    ]
    .map(|(typ, parameter)| RTCPFeedback {
        typ: typ.to_owned(),
        parameter: parameter.to_owned(),
    })
    .to_vec()
}

fn video_codec(codec: Codec) -> RTCRtpCodecParameters {
    let (mime_type, fmtp) = match codec {
        Codec::H264 => (
            MIME_TYPE_H264,
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        ),
        Codec::Vp8 => (MIME_TYPE_VP8, ""),
    };
    RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: mime_type.to_owned(),
            clock_rate: 90_000,
            channels: 0,
            sdp_fmtp_line: fmtp.to_owned(),
            rtcp_feedback: feedback_of_video(),
        },
        payload_type: VIDEO,
    }
}

fn rtx() -> RTCRtpCodecParameters {
    RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: MIME_TYPE_RTX.to_owned(),
            clock_rate: 90_000,
            channels: 0,
            sdp_fmtp_line: format!("apt={VIDEO}"),
            rtcp_feedback: Vec::new(),
        },
        payload_type: VIDEO_RTX,
    }
}

fn opus() -> RTCRtpCodecParameters {
    RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: MIME_TYPE_OPUS.to_owned(),
            clock_rate: 48_000,
            channels: 2,
            sdp_fmtp_line: "minptime=10;useinbandfec=1".to_owned(),
            rtcp_feedback: Vec::new(),
        },
        payload_type: AUDIO,
    }
}

/// One track on its way out: coded frames become RTP packets.
pub(super) struct Track {
    local: Arc<TrackLocalStaticRTP>,
    payloader: Box<dyn Payloader>,
    payload_type: u8,
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
    async fn add(
        connection: &dyn PeerConnection,
        codec: RTCRtpCodecParameters,
        rtx: Option<u32>,
    ) -> Result<Self> {
        let kind = match rtx {
            Some(_) => RtpCodecKind::Video,
            None => RtpCodecKind::Audio,
        };
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
            ssrc,
            sequence: rand::random(),
            base: rand::random(),
            clock_rate: codec.rtp_codec.clock_rate,
            packets: 0,
            octets: 0,
        })
    }

    /// Sends a coded frame captured `ticks` of RTP time after media time 0.
    ///
    /// Returns the number of packets and of payload bytes.
    pub(super) async fn send(&mut self, data: &Bytes, ticks: u64) -> Result<(u64, u64)> {
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
                ssrc: self.ssrc,
                ..Default::default()
            };
            self.sequence = self.sequence.wrapping_add(1);
            self.local
                .write_rtp(rtp::Packet { header, payload })
                .await?;
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

/// RFC 5905 §6: seconds since 1900 in the upper half, a binary fraction below.
fn ntp(utc: clock::UtcTime) -> u64 {
    const UNIX_EPOCH: u64 = 2_208_988_800;
    let micros = u64::try_from(utc.as_unix_micros()).unwrap_or(0);
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    ((seconds + UNIX_EPOCH) << 32) | ((rest << 32) / 1_000_000)
}
