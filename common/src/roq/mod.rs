//! RTP over QUIC: media framing and our control stream.
//!
//! Media travel as draft-ietf-avtcore-rtp-over-quic-14 lays down; beside them
//! runs one control stream of our own, which is why the ALPN token is a
//! private variant.
//!
//! | file | holds |
//! |---|---|
//! | [`varint`] | QUIC's variable-length integers |
//! | [`datagram`] | one RTP or RTCP packet in a QUIC DATAGRAM |
//! | [`stream`] | packets in a row on a unidirectional stream |
//! | [`control`] | HELLO, OPEN, ACCEPT and their kin |
//! | [`pop`] | what points of presence tell of themselves |
//! | [`error_code`] | why a stream or connection was ended |

pub mod control;
pub mod datagram;
pub mod error_code;
pub mod pop;
pub mod stream;
pub mod varint;

/// The draft whose framing this module speaks.
pub const DRAFT: &str = "draft-ietf-avtcore-rtp-over-quic-14";

/// ALPN token of the link between our own edge and origin: the draft's media
/// framing plus the control stream.
pub const ALPN: &[u8] = b"roq-14-inlet1";

/// Names one RTP session on a connection (§5.1 of the draft).
///
/// Flow 0 is reserved on our own link.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct FlowId(pub u64);
