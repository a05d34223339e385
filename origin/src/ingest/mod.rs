//! From RTP packets to frames on one clock; pure.
//!
//! ```text
//!  packet ─▶ reorder (deadline) ─▶ depacketize ─▶ clock ─▶ Frame
//!                 └ a hole: damaged until the next key frame, which is asked for
//! ```
//!
//! The driving contract of [`Track`], after each `handle_…`:
//!
//! 1. call [`Track::poll_output`] until it answers [`Output::Timeout`];
//! 2. call [`Track::handle_timeout`] when that moment has come, not earlier.
//!
//! Both tracks of a session share one [`Clock`], which is why it is an
//! argument: capture times of audio and video are comparable.

mod clock;
mod depacketize;
mod reorder;
mod track;

pub use clock::Clock;
pub(crate) use depacketize::h264::nal_units;
pub use depacketize::h264::sps_resolution;
pub use track::{Frame, FrameCodec, Output, Track, TrackCounters};
