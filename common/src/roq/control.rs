//! The control stream: one bidirectional stream per connection, opened by the
//! edge as its first.
//!
//! ```text
//!  u32 length (big endian) │ JSON object {"type": "open", …}
//! ```
//!
//! Messages are few (a handful per session), so they are JSON, which a person
//! can read in a trace. Unknown fields are ignored and unknown types are
//! passed over, so that either side can be upgraded first. The first message
//! each way is HELLO. Never in 0-RTT.

use bytes::{Buf, BufMut, BytesMut};
use serde::{Deserialize, Serialize};

use super::{FlowId, pop};
use crate::{
    clock::UtcTime,
    ids::{PublishPath, SessionId, SessionKey},
    reason::ReasonCode,
    rtp::Ssrc,
};

/// Version of the messages below, carried in HELLO.
pub const VERSION: u32 = 1;

/// Longest message taken, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// One message, either way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// First on each side.
    Hello(Hello),
    /// Edge: a presenter asks to publish.
    Open(Box<Open>),
    /// Origin: it may; media on its flows are taken from now on.
    Accept(Accept),
    /// Origin: it may not.
    Reject(Reject),
    /// Edge: may this token publish this stream at all?
    Check(Check),
    /// Origin: the answer to a check.
    Checked(Checked),
    /// Edge: a running session's tracks have changed.
    Update(Update),
    /// Either side: the session is over.
    Close(Close),
    /// Either side will take no new session and closes when the last has ended.
    Drain,
    /// Origin or link: the presenter shall send no more than this.
    TargetRate(TargetRate),
    /// Either side: what is your time?
    ClockRequest(ClockRequest),
    /// The answer to a clock request.
    ClockReply(ClockReply),
    /// Edge: how its point of presence does. Whoever sends it on a connection is sent
    /// FLEET there, for as long as reports come.
    Report(pop::Report),
    /// Origin: how all points of presence do.
    Fleet(pop::Fleet),
    /// A type that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Who speaks, and which version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The sender's [`VERSION`].
    pub version: u32,
    /// The PoP's or the origin's name, for logs and the API's region.
    pub name: String,
    /// The sender's software and version, for logs.
    pub software: String,
}

/// A presenter asks to publish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// The session, the same in every later message about it.
    pub session: SessionId,
    /// Counts the session's moves between origins, from 0.
    #[serde(default)]
    pub epoch: u32,
    /// Which stream, and by which right.
    pub path: PublishPath,
    /// What will be sent, and on which flows.
    pub tracks: Vec<Track>,
    /// The resolution that the presenter announced, if it did.
    #[serde(default)]
    pub announced: Option<Announced>,
    /// The presenter's software, as its User-Agent says it.
    #[serde(default)]
    pub user_agent: Option<String>,
    /// That of the secret in the session's URL.
    #[serde(default)]
    pub key: Option<SessionKey>,
    /// The key of the session whose place this one shall take at its first key
    /// frame; whoever shows it is the same presenter.
    #[serde(default)]
    pub replaces: Option<SessionKey>,
}

/// `?width=&height=` of the WHIP request, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// One track of a session, RTP and RTCP on one flow (RFC 5761).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// The flow that carries it on this connection.
    pub flow: FlowId,
    /// How it is coded.
    pub codec: Codec,
    /// The payload types that mean this codec.
    pub payload_types: Vec<u8>,
    /// Ticks per second of its timestamps.
    pub clock_rate: u32,
    /// The format parameters of its `a=fmtp` line (`sprop-parameter-sets`, …).
    #[serde(default)]
    pub fmtp: Option<String>,
    /// Its source, when the offer named it.
    #[serde(default)]
    pub ssrc: Option<Ssrc>,
    /// Header extensions that are kept on the link.
    #[serde(default)]
    pub extensions: Vec<HeaderExtension>,
}

/// What kind of media a codec makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// The codecs that Inlet takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// RFC 6184.
    H264,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 7587.
    Opus,
}

impl Codec {
    /// What kind of media the codec makes.
    pub const fn kind(self) -> Kind {
        match self {
            Self::H264 | Self::Vp8 | Self::Vp9 => Kind::Video,
            Self::Opus => Kind::Audio,
        }
    }
}

/// A header extension of RTP, by its id on this track (RFC 8285).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderExtension {
    /// 1–14.
    pub id: u8,
    /// Such as [`VIDEO_ORIENTATION`].
    pub uri: String,
}

/// Coordination of video orientation (3GPP TS 26.114 §7.4.5).
pub const VIDEO_ORIENTATION: &str = "urn:3gpp:video-orientation";

/// The session may publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// Which one.
    pub session: SessionId,
    /// The most that is of use to the origin, video and audio together, in
    /// bits per second.
    #[serde(default)]
    pub max_bitrate: Option<u64>,
}

/// The session may not publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Which one.
    pub session: SessionId,
    /// Why, in a number.
    pub code: ReasonCode,
    /// Why, in words for the presenter.
    pub message: String,
    /// Seconds after which another try makes sense.
    #[serde(default)]
    pub retry_after: Option<u32>,
}

/// May this token publish this stream at all? Asked before there is a session,
/// for a presenter who wants to know its ICE servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Stands in the answer too.
    pub request: uuid::Uuid,
    /// Which stream, and by which right.
    pub path: PublishPath,
}

/// The answer to a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// That of the question.
    pub request: uuid::Uuid,
    /// Why not, in a number; `None` when it may.
    #[serde(default)]
    pub code: Option<ReasonCode>,
    /// Why not, in words for the presenter.
    #[serde(default)]
    pub message: String,
}

/// A running session's tracks, all of them, replacing the earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Which one.
    pub session: SessionId,
    /// Its tracks from now on.
    pub tracks: Vec<Track>,
}

/// The session is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Which one.
    pub session: SessionId,
    /// Why it ended.
    pub reason: CloseReason,
    /// What it carried, from the edge.
    #[serde(default)]
    pub totals: Option<Totals>,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The presenter deleted its session.
    Deleted,
    /// The presenter closed DTLS: a closed tab, mostly.
    DtlsClosed,
    /// The presenter fell silent.
    Timeout,
    /// ICE or DTLS never came up.
    NeverConnected,
    /// A newer session of the same stream took its place.
    Replaced,
    /// The push token was reset.
    TokenReset,
    /// The stream was switched off.
    Deactivated,
    /// The stream was deleted.
    StreamDeleted,
    /// A process stops.
    Draining,
    /// The link broke and did not come back in time.
    LinkLost,
    /// Something is wrong on this side; logs say what.
    Internal,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

impl CloseReason {
    /// The reason as it stands in messages and in the label of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::DtlsClosed => "dtls_closed",
            Self::Timeout => "timeout",
            Self::NeverConnected => "never_connected",
            Self::Replaced => "replaced",
            Self::TokenReset => "token_reset",
            Self::Deactivated => "deactivated",
            Self::StreamDeleted => "stream_deleted",
            Self::Draining => "draining",
            Self::LinkLost => "link_lost",
            Self::Internal => "internal",
            Self::Other => "other",
        }
    }
}

/// What a session carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// RTP packets taken in.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that never came from the presenter.
    pub lost: u64,
    /// Packets dropped in front of the link.
    pub dropped: u64,
}

/// The presenter shall send no more than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRate {
    /// Whose presenter.
    pub session: SessionId,
    /// Video and audio together, in bits per second.
    pub bitrate: u64,
}

/// What is your time? (RFC 5905 §8, without the filter.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRequest {
    /// The asker's time when it asked.
    pub sent: UtcTime,
}

/// The answer to a clock request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReply {
    /// Copied from the request.
    pub sent: UtcTime,
    /// The answerer's time when the request came in.
    pub received: UtcTime,
    /// The answerer's time when the reply went out.
    pub replied: UtcTime,
}

impl ClockReply {
    /// How far the answerer's clock is ahead of the asker's, and the round
    /// trip, both in microseconds, when the reply came in at `now`.
    pub fn offset_and_round_trip(&self, now: UtcTime) -> (i64, i64) {
        let there = self.received.micros_since(self.sent);
        let back = self.replied.micros_since(now);
        let offset = i64::midpoint(there, back);
        let busy = self.replied.micros_since(self.received);
        (offset, now.micros_since(self.sent).saturating_sub(busy))
    }
}

/// Writes a message with its length in front.
///
/// # Panics
///
/// Never: every message serialises to JSON.
pub fn encode(message: &Message, out: &mut impl BufMut) {
    let json = serde_json::to_vec(message).expect("control messages have string keys only");
    out.put_u32(u32::try_from(json.len()).unwrap_or(u32::MAX));
    out.put_slice(&json);
}

/// Cuts the control stream into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    buffered: BytesMut,
}

/// The control stream cannot be read any further; the connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A message is longer than [`MAX_MESSAGE`].
    #[error("control message of {0} bytes")]
    TooLong(u32),
    /// A message is not what its type says.
    #[error("malformed control message")]
    Malformed(#[from] serde_json::Error),
}

impl Decoder {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffered.extend_from_slice(chunk);
    }

    /// The next whole message, `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// See [`DecodeError`]; none of them can be recovered from.
    pub fn poll_message(&mut self) -> Result<Option<Message>, DecodeError> {
        let Some(len) = self
            .buffered
            .first_chunk::<4>()
            .map(|head| u32::from_be_bytes(*head))
        else {
            return Ok(None);
        };
        let body = len as usize;
        if body > MAX_MESSAGE {
            return Err(DecodeError::TooLong(len));
        }
        if self.buffered.len() < 4 + body {
            return Ok(None);
        }
        self.buffered.advance(4);
        let json = self.buffered.split_to(body);
        Ok(Some(serde_json::from_slice(&json)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{PushToken, StreamId};

    fn open() -> Message {
        Message::Open(Box::new(Open {
            session: SessionId::random(),
            epoch: 0,
            path: PublishPath {
                stream: StreamId(1),
                token: PushToken::new("t"),
            },
            tracks: vec![Track {
                flow: FlowId(3),
                codec: Codec::H264,
                payload_types: vec![96, 97],
                clock_rate: 90_000,
                fmtp: None,
                ssrc: Some(Ssrc(7)),
                extensions: vec![HeaderExtension {
                    id: 4,
                    uri: VIDEO_ORIENTATION.into(),
                }],
            }],
            announced: Some(Announced {
                width: 1280,
                height: 720,
            }),
            user_agent: None,
            key: Some(SessionKey::of(b"a")),
            replaces: None,
        }))
    }

    #[test]
    fn messages_survive_any_chunking() {
        let session = SessionId::random();
        let sent = [
            open(),
            Message::Accept(Accept {
                session,
                max_bitrate: Some(5_000_000),
            }),
            Message::Reject(Reject {
                session,
                code: ReasonCode::WrongToken,
                message: "no".into(),
                retry_after: None,
            }),
            Message::Close(Close {
                session,
                reason: CloseReason::Deleted,
                totals: None,
            }),
            Message::Drain,
        ];
        let mut wire = Vec::new();
        for message in &sent {
            encode(message, &mut wire);
        }
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for chunk in wire.chunks(7) {
            decoder.push(chunk);
            while let Some(message) = decoder.poll_message().unwrap() {
                seen.push(message);
            }
        }
        assert_eq!(seen, sent);
    }

    #[test]
    fn a_newer_side_is_understood() {
        let mut decoder = Decoder::default();
        for json in [
            r#"{"type":"teleport","to":1}"#,
            r#"{"type":"drain","soon":true}"#,
        ] {
            decoder.push(&u32::try_from(json.len()).unwrap().to_be_bytes());
            decoder.push(json.as_bytes());
        }
        assert_eq!(decoder.poll_message().unwrap(), Some(Message::Unknown));
        assert_eq!(decoder.poll_message().unwrap(), Some(Message::Drain));
    }

    #[test]
    fn a_reason_reads_the_same_in_labels_and_messages() {
        for reason in [
            CloseReason::DtlsClosed,
            CloseReason::NeverConnected,
            CloseReason::Other,
        ] {
            let json = serde_json::to_value(reason).unwrap();
            assert_eq!(json, reason.as_str());
        }
    }

    #[test]
    fn junk_is_an_error() {
        let mut decoder = Decoder::default();
        decoder.push(&[0xFF; 8]);
        assert!(matches!(
            decoder.poll_message(),
            Err(DecodeError::TooLong(_))
        ));
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0, 0, 2, b'{', b'{']);
        assert!(matches!(
            decoder.poll_message(),
            Err(DecodeError::Malformed(_))
        ));
    }

    #[test]
    fn clock_offset_is_half_the_difference() {
        let at = UtcTime::from_unix_micros;
        let reply = ClockReply {
            sent: at(1_000),
            received: at(6_100),
            replied: at(6_200),
        };
        assert_eq!(reply.offset_and_round_trip(at(1_300)), (5_000, 200));
    }
}
