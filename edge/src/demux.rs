//! Tells STUN, DTLS and RTP apart by their first byte; pure.
