//! RTP over QUIC: media framing and the control stream.
