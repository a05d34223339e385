//! RTP and RTCP on the wire, sequence numbers.
