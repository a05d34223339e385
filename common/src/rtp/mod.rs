//! RTP and RTCP on the wire, and sequence numbers that do not wrap.
//!
//! Between presenter and edge str0m speaks RTP; these types are what travels
//! from edge to origin inside QUIC, already decrypted and authenticated by the
//! edge, but still a stranger's bytes: parsing never panics and copies nothing.

pub mod packet;
pub mod rtcp;
mod seq;

pub use packet::{Header, Packet};
pub use seq::{Extender, SeqNo};

/// A synchronisation source (RFC 3550 §3).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Ssrc(pub u32);

/// Whether a packet that shares its flow with RTP is RTCP (RFC 5761 §4).
pub fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|kind| (192..=223).contains(kind))
}
