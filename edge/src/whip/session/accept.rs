//! From an offer to a session and its answer.
//!
//! Costs about 1.5 ms, so it runs beside the workers; the finished session
//! moves to its worker. The trap: str0m answers with every codec that it knows,
//! so it is given exactly one per kind, and then payload types are unambiguous.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use inlet_common::{
    ids::SessionId,
    reason::ReasonCode,
    roq::{
        FlowId,
        control::{Codec, HeaderExtension, Kind, Track},
    },
    rtp::Ssrc,
};
use rand::Rng;
use str0m::{
    Candidate, IceCreds, Rtc, RtcConfig,
    change::SdpOffer,
    config::DtlsVersion,
    format::{Codec as EngineCodec, CodecConfig, CodecSpec, FormatParams, PayloadParams},
    media::{Frequency, Mid},
    net::TcpType,
    rtp::{Extension, ExtensionMap},
};

use super::{
    Config, Ice, Session,
    dtls::{Fingerprint, Handshake},
    offer::{self, Format, Layer, Offer, Section},
    simulcast::Simulcast,
    track::{Feedback, SessionTrack},
    ufrag::random_credentials,
    way::Addresses,
};

/// What goes back to the presenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The SDP, CRLF-ended, recvonly, with every candidate in it.
    pub sdp: String,
    /// What restarting ICE will take.
    pub ice: Ice,
}

/// The offer cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The SDP lacks something without which there is no session, or says
    /// something that the engine refuses.
    #[error("malformed offer")]
    Malformed(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// No video codec that Inlet takes; it takes H.264, VP8 and VP9.
    #[error("no video codec that is taken here")]
    VideoCodec,
    /// No audio codec that Inlet takes; it takes Opus.
    #[error("no audio codec that is taken here")]
    AudioCodec,
    /// More than one video or audio track, none at all, or something that is
    /// neither.
    #[error("other than one video and one audio track")]
    Tracks,
    /// An address of the worker cannot stand in a candidate.
    #[error("address that cannot be a candidate")]
    Candidate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AcceptError {
    /// The reason code that the presenter is given.
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Malformed(_) => ReasonCode::Malformed,
            Self::VideoCodec => ReasonCode::VideoCodec,
            Self::AudioCodec => ReasonCode::AudioCodec,
            Self::Tracks => ReasonCode::Tracks,
            Self::Candidate(_) => ReasonCode::Overload,
        }
    }
}

/// Video codecs in the order in which one is chosen: H.264 needs no
/// transcoding to be understood everywhere, and VP8 is cheaper than VP9.
const VIDEO_CODECS: [Codec; 3] = [Codec::H264, Codec::Vp8, Codec::Vp9];

impl Session {
    /// Answers an offer.
    ///
    /// `media` are the addresses of the chosen worker, all of which become host
    /// candidates, those for UDP first. Nothing is sent before the session runs
    /// on its worker.
    ///
    /// # Errors
    ///
    /// See [`AcceptError`].
    pub fn accept(
        offer: &str,
        id: SessionId,
        media: &Addresses,
        config: &Config,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Result<(Self, Answer), AcceptError> {
        let offer = Offer::parse(offer);
        let chosen = choose(&offer)?;
        let plain = offer.to_plain_sdp(&chosen);
        let engine_offer = SdpOffer::from_sdp_string(&plain).map_err(malformed)?;
        let credentials = random_credentials(media.worker, rng);
        let ufrag = credentials.ufrag.clone();
        let fingerprints = Fingerprint::select(offer.fingerprints());
        if fingerprints.is_empty() {
            return Err(AcceptError::Malformed(None));
        }
        let handshake = Arc::new(Handshake::new(fingerprints));
        let mut rtc = config.dtls.with_session(&handshake, || {
            build(&offer, &chosen, config, credentials, now)
        });
        for candidate in candidates(media) {
            rtc.add_local_candidate(candidate?);
        }
        let answer = rtc
            .sdp_api()
            .accept_offer(engine_offer)
            .map_err(malformed)?;
        let sdp = super::answer::finish(&answer.to_sdp_string(), &offer, &chosen, config);
        let ice = Ice::new(media.worker, offer.ice_credentials(), plain, &sdp);
        let tracks = offer.sections.iter().zip(&chosen).enumerate();
        let tracks = tracks
            .map(|(at, (section, formats))| {
                let layers = offer.layers(at, formats);
                track(&offer.inner_mid(at), section, formats, layers)
            })
            .collect();
        Ok((
            Self::new(id, ufrag, rtc, handshake, tracks, config, now),
            Answer { sdp, ice },
        ))
    }
}

/// All candidates of a worker, in the order in which they stand in the answer.
fn candidates(media: &Addresses) -> impl Iterator<Item = Result<Candidate, AcceptError>> {
    let udp = |address: &SocketAddr| Candidate::builder().udp().host(*address).build();
    let tcp = |address: &SocketAddr| {
        // The presenter calls (RFC 6544 §4.5).
        let candidate = Candidate::builder().tcp().host(*address);
        candidate.tcptype(TcpType::Passive).build()
    };
    let all = media.udp.iter().map(udp).chain(media.tcp.iter().map(tcp));
    all.map(|candidate| candidate.map_err(|error| AcceptError::Candidate(Box::new(error))))
}

fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> AcceptError {
    AcceptError::Malformed(Some(Box::new(error)))
}

/// One codec per section.
fn choose(offer: &Offer) -> Result<Vec<Vec<Format>>, AcceptError> {
    let count = |kind| {
        offer
            .sections
            .iter()
            .filter(|section| section.kind == kind)
            .count()
    };
    if offer.has_other
        || offer.sections.is_empty()
        || count(Kind::Video) > 1
        || count(Kind::Audio) > 1
    {
        return Err(AcceptError::Tracks);
    }
    let formats = |section: &Section| match section.kind {
        Kind::Audio => {
            let mut formats = section.formats(Codec::Opus);
            formats.truncate(1);
            (!formats.is_empty())
                .then_some(formats)
                .ok_or(AcceptError::AudioCodec)
        }
        Kind::Video => VIDEO_CODECS
            .into_iter()
            .map(|codec| section.formats(codec))
            .find(|formats| !formats.is_empty())
            .ok_or(AcceptError::VideoCodec),
    };
    offer.sections.iter().map(formats).collect()
}

fn build(
    offer: &Offer,
    chosen: &[Vec<Format>],
    config: &Config,
    credentials: IceCreds,
    now: Instant,
) -> Rtc {
    let params = chosen.iter().flatten().map(payload_params).collect();
    let mut extensions = ExtensionMap::empty();
    for (id, extension) in engine_extensions(offer) {
        extensions.set(id, extension);
    }
    let mut builder = RtcConfig::new()
        .set_crypto_provider(config.dtls.crypto())
        .set_dtls_cert(config.dtls.certificate())
        .set_dtls_version(DtlsVersion::Auto)
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .set_local_ice_credentials(credentials)
        .set_extension_map(extensions)
        .set_stats_interval(Some(super::STATS_INTERVAL));
    *builder.codec_config() = CodecConfig::new_from_payload_params(params);
    builder.build(now)
}

/// Extensions by the presenter's ids, one id for each: bundled m-lines share
/// their ids (RFC 9143 §9.1).
fn engine_extensions(offer: &Offer) -> Vec<(u8, Extension)> {
    let mut map: Vec<(u8, Extension)> = Vec::new();
    for (id, uri) in offer
        .sections
        .iter()
        .flat_map(|section| &section.extensions)
    {
        let extension = match uri.as_str() {
            offer::MID => Extension::RtpMid,
            offer::ABS_SEND_TIME => Extension::AbsoluteSendTime,
            offer::TRANSPORT_CC => Extension::TransportSequenceNumber,
            offer::VIDEO_ORIENTATION => Extension::VideoOrientation,
            // Not negotiated without simulcast.
            offer::RID => Extension::RtpStreamId,
            offer::REPAIRED_RID => Extension::RepairedRtpStreamId,
            _ => continue,
        };
        if map
            .iter()
            .all(|(known, other)| known != id && *other != extension)
        {
            map.push((*id, extension));
        }
    }
    map
}

fn payload_params(format: &Format) -> PayloadParams {
    let (codec, clock_rate, channels) = match format.codec {
        Codec::H264 => (EngineCodec::H264, Frequency::NINETY_KHZ, None),
        Codec::Vp8 => (EngineCodec::Vp8, Frequency::NINETY_KHZ, None),
        Codec::Vp9 => (EngineCodec::Vp9, Frequency::NINETY_KHZ, None),
        Codec::Opus => (EngineCodec::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2)),
    };
    let spec = CodecSpec {
        codec,
        clock_rate,
        channels,
        format: FormatParams::parse_line(&format.plain_fmtp().unwrap_or_default()),
    };
    let mut params =
        PayloadParams::new(format.payload_type.into(), format.rtx.map(Into::into), spec);
    // An answer may hold no feedback that was not offered (RFC 4585 §4.2).
    params.set_fb_transport_cc(format.transport_cc);
    params.set_fb_remb(format.remb);
    params.set_fb_fir(format.fir);
    params.set_fb_nack(format.nack);
    params.set_fb_pli(format.pli);
    params
}

fn track(mid: &str, section: &Section, formats: &[Format], layers: Vec<Layer>) -> SessionTrack {
    let any = |offered: fn(&Format) -> bool| formats.iter().any(offered);
    // All formats of a section have one codec.
    let codec = formats.first().map_or(Codec::Opus, |format| format.codec);
    let orientation = section
        .extension(offer::VIDEO_ORIENTATION)
        .filter(|_| codec.kind() == Kind::Video);
    let described = Track {
        flow: FlowId(0),
        codec,
        payload_types: formats.iter().map(|format| format.payload_type).collect(),
        clock_rate: if codec == Codec::Opus { 48_000 } else { 90_000 },
        fmtp: formats.first().and_then(|format| format.fmtp.clone()),
        ssrc: section.only_ssrc().map(Ssrc),
        extensions: orientation
            .map(|id| HeaderExtension {
                id,
                uri: offer::VIDEO_ORIENTATION.to_owned(),
            })
            .into_iter()
            .collect(),
    };
    let simulcast = (!layers.is_empty()).then(|| Simulcast::new(described.clock_rate, layers));
    SessionTrack::new(
        described,
        Mid::from(mid),
        formats.iter().filter_map(|format| format.rtx).collect(),
        section.extension(offer::MID).filter(|_| section.mid == mid),
        Feedback {
            nack: any(|format| format.nack),
            pli: any(|format| format.pli),
            fir: any(|format| format.fir),
            remb: any(|format| format.remb),
        },
    )
    .with_simulcast(simulcast)
}
