//! From RTP packets to frames on one clock; pure.
