//! What Inlet's system tests, benchmarks and demonstration share.
//!
//! | module | holds |
//! |---|---|
//! | [`strip`] | the frame strip: a counter and a capture time drawn into each frame |
//! | [`publisher`] | a WHIP client on an independent WebRTC stack, with picture and sound |
//!
//! The publisher shares no code with `inlet-edge`: what both got wrong in the
//! same way, no test would see.

pub mod publisher;
pub mod strip;
