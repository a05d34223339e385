//! RTP over QUIC to the origin.
