//! STUN and TURN on the wire: decoding what strangers send, encoding answers.
//!
//! Nothing here knows of allocations, clocks or keys' owners; it imports nothing
//! of ours. What is decoded borrows the datagram it came in.
//!
//! | file | holds |
//! |---|---|
//! | `message` | a STUN message and its attributes, decoded once (RFC 8489 §5, §14) |
//! | `attribute` | attribute types and the shapes of their values |
//! | `address` | XOR-MAPPED-ADDRESS and its kin |
//! | `encode` | building a message, with integrity and fingerprint |
//! | `integrity` | keys, MESSAGE-INTEGRITY in both forms, FINGERPRINT |
//! | `channel_data` | ChannelData (RFC 8656 §12.4) |
//! | `frame` | where messages begin and end in a TCP stream (RFC 8656 §12.5) |
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod address;
mod attribute;
mod channel_data;
mod encode;
mod frame;
mod integrity;
mod message;
#[cfg(test)]
mod tests;

pub use attribute::{
    ConnectionId, EvenPort, Family, PasswordAlgorithm, ReservationToken, Transport,
};
pub use channel_data::{ChannelData, ChannelNumber, HEADER as CHANNEL_DATA_HEADER};
pub use encode::{Encoder, ErrorCode};
pub use frame::{Frame, Framing, MAX_FRAME};
pub use integrity::{IntegrityKey, Mac};
pub use message::{Attributes, Class, DecodeError, Message, Method, PeerAddresses, TransactionId};
