//! RTP over QUIC to the origin.

pub mod congestion;
