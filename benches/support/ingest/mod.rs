//! Presenters at an edge, and the same packets at a plain forwarder.
//!
//! | module | holds |
//! |---|---|
//! | [`tempo`] | when a presenter sends, and how much |
//! | [`presenter`] | one presenter, with ICE, DTLS and SRTP |
//! | [`fleet`] | many on one thread |
//! | [`sink`] | an origin that takes every session and throws the media away |
//! | [`plain`] | a forwarder without WebRTC and QUIC, its fleet and its sink |
//! | [`case`] | one measurement |

pub mod case;
pub mod fleet;
pub mod plain;
pub mod presenter;
pub mod sink;
pub mod tempo;
