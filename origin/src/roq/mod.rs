//! RTP over QUIC from the edges.
