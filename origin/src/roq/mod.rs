//! RTP over QUIC from the edges.
//!
//! | file | holds |
//! |---|---|
//! | [`receiver`] | accepts connections; moves datagrams and streams to their flows |
//! | [`flow`] | which session and track a flow is |
//! | [`control`] | the control stream: OPEN is asked of [`crate::live`], CLOSE comes and goes |
//! | [`link`] | what the rest of the origin may do to an edge: PLI, CLOSE, target rate |
//! | [`reset`] | how edges learn that this process knows nothing of their connections |
//!
//! Framing and messages are in [`inlet_common::roq`].

pub mod control;
pub mod flow;
pub mod link;
mod metrics;
pub mod receiver;
pub mod reset;

pub use link::Link;
pub use metrics::Metrics;
