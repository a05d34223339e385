//! The WebRTC half: a peer connection of the `webrtc` crate that sends one
//! video and one audio track.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use rtc::{
    ice::mdns::MulticastDnsMode,
    interceptor::{Registry, Slot},
    peer_connection::configuration::{
        interceptor_registry::{configure_nack, configure_twcc_sender_only},
        media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8, MediaEngine},
    },
    peer_connection::transport::RTCDtlsTransportState,
    rtp_transceiver::{
        RTCRtpTransceiverDirection,
        rtp_sender::{
            RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability,
            RtpCodecKind,
        },
    },
};
use tokio::sync::watch;
use webrtc::{
    peer_connection::{
        PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfiguration,
        RTCConfigurationBuilder, RTCIceGatheringState, RTCIceServer, RTCIceTransportPolicy,
        RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder, crypto,
    },
    runtime::TokioRuntime,
};

use super::{
    Codec, Options, Tracks,
    feedback::{Feedback, Listener},
    rename::Rename,
    track::Track,
    whip::{self, Resource},
};
use crate::rig::TurnCredential;

const VIDEO: u8 = 102;
const VIDEO_RTX: u8 = 103;
const AUDIO: u8 = 111;

/// A connected presenter.
pub(super) struct Peer {
    connection: Arc<dyn PeerConnection>,
    resource: Resource,
    state: watch::Receiver<RTCPeerConnectionState>,
    /// Video and audio, until the media threads take them.
    pub(super) tracks: (Option<Track>, Option<Track>),
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
    /// Offers the tracks to `endpoint` and waits until DTLS is up.
    pub(super) async fn connect(
        endpoint: &reqwest::Url,
        options: &Options,
        feedback: Arc<Feedback>,
    ) -> Result<Self> {
        let (codec, tracks) = (options.codec, options.tracks);
        let (gathered, mut is_gathered) = watch::channel(false);
        let (state, state_seen) = watch::channel(RTCPeerConnectionState::New);
        let connection = build(endpoint, options, feedback, Events { gathered, state }).await?;
        let peer = connection.as_ref();
        let rtx = options.has_rtx.then(rand::random);
        let video = match tracks {
            Tracks::Audio => None,
            _ => Some(Track::add(peer, RtpCodecKind::Video, video_codec(codec), rtx).await?),
        };
        let audio = match tracks {
            Tracks::Video => None,
            _ => Some(Track::add(peer, RtpCodecKind::Audio, opus(), None).await?),
        };

        let offer = connection.create_offer(None).await?;
        connection.set_local_description(offer).await?;
        is_gathered.wait_for(|done| *done).await?;
        let offer = connection.local_description().await.context("no offer")?;
        let (resource, answer) = whip::post(endpoint, options.resolved, offer.sdp).await?;
        let answer = match &options.via {
            Some(via) => via.replace(&answer).await?,
            None => answer,
        };
        let answer = RTCSessionDescription::answer(answer).context("the answer is no SDP")?;
        connection.set_remote_description(answer).await?;

        let mut peer = Self {
            connection,
            resource,
            state: state_seen,
            tracks: (video, audio),
        };
        peer.wait_connected().await?;
        Ok(peer)
    }

    /// Waits until the connection is over, and says how.
    ///
    /// The crate knows of a DTLS close in its transport and does not tell it by
    /// the state of the connection: so the transport is asked, ten times a second.
    pub(super) async fn over(&mut self) -> anyhow::Error {
        use RTCPeerConnectionState::{Closed, Failed};
        let mut ask = tokio::time::interval(Duration::from_millis(100));
        loop {
            let state = *self.state.borrow_and_update();
            if matches!(state, Failed | Closed) {
                return anyhow!("the connection is {state}");
            }
            if self.is_dtls_closed().await {
                return anyhow!("the edge closed DTLS");
            }
            tokio::select! {
                _ = ask.tick() => {}
                _ = self.state.changed() => {}
            }
        }
    }

    async fn is_dtls_closed(&self) -> bool {
        let Some(sender) = self.connection.get_senders().await.into_iter().next() else {
            return true;
        };
        match sender.transport().await {
            Ok(Some(dtls)) => !matches!(dtls.state().await, Ok(RTCDtlsTransportState::Connected)),
            _ => true,
        }
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
    options: &Options,
    feedback: Arc<Feedback>,
    events: Events,
) -> Result<Arc<dyn PeerConnection>> {
    let mut media = MediaEngine::default();
    media.register_codec(video_codec(options.codec), RtpCodecKind::Video)?;
    if options.has_rtx {
        media.register_codec(rtx(), RtpCodecKind::Video)?;
    }
    media.register_codec(opus(), RtpCodecKind::Audio)?;
    let orientation = RTCRtpHeaderExtensionCapability {
        uri: "urn:3gpp:video-orientation".to_owned(),
    };
    let send = Some(RTCRtpTransceiverDirection::Sendonly);
    media.register_header_extension(orientation, RtpCodecKind::Video, send)?;
    // Sender reports are ours (`Track::report`): the crate's would name the time
    // at which a packet left, not the one at which its frame was captured.
    let registry = configure_nack(Registry::new(), &mut media);
    let registry = configure_twcc_sender_only(registry, &mut media)?;
    let registry = registry.with(Slot::from(14_000), Listener::new(feedback));
    let registry = registry.with(Slot::from(500), Rename::default());
    let settings = SettingEngineBuilder::new()
        .with_crypto_provider(Arc::new(crypto::providers::AwsLcRsProvider::new()))
        .with_include_loopback_candidate(true)
        // The edge has no names to be asked for, and a network apart no multicast.
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .build();
    let connection = PeerConnectionBuilder::new()
        .with_configuration(configuration(options.relay.as_ref()))
        .with_media_engine(media)
        .with_interceptor_registry(registry)
        .with_setting_engine(settings)
        .with_runtime(Arc::new(TokioRuntime))
        .with_handler(Arc::new(events))
        .with_udp_addrs(vec![local_address(endpoint, options.resolved)])
        .build()
        .await?;
    Ok(Arc::new(connection))
}

/// Relayed by this server and in no other way, or directly.
fn configuration(relay: Option<&TurnCredential>) -> RTCConfiguration {
    let Some(relay) = relay else {
        return RTCConfiguration::default();
    };
    let server = RTCIceServer {
        urls: relay.urls.clone(),
        username: relay.username.clone(),
        credential: relay.credential.clone(),
    };
    RTCConfigurationBuilder::new()
        .with_ice_servers(vec![server])
        .with_ice_transport_policy(RTCIceTransportPolicy::Relay)
        .build()
}

/// Loopback for an edge on loopback, else every interface.
fn local_address(endpoint: &reqwest::Url, resolved: Option<IpAddr>) -> SocketAddr {
    let host = endpoint.host_str().unwrap_or_default();
    let literal = || host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let is_loopback = match resolved.or_else(literal) {
        Some(address) => address.is_loopback(),
        None => host == "localhost",
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
