//! RTP over QUIC to the origin.
//!
//! | file | holds |
//! |---|---|
//! | [`link`] | the connection and the sessions on it |
//! | [`sender`] | one track's way onto it: datagram or stream per frame |
//! | [`congestion`] | how much may be in flight |
//! | `control` | the control stream |
//! | `keyframe` | where a key frame begins |
//! | `target` | how much a presenter may send |

mod config;
pub mod congestion;
mod control;
pub(crate) mod keyframe;
pub mod link;
pub mod sender;
mod target;
#[cfg(test)]
pub(crate) mod testing;

pub use config::{Config, NotForQuic};
