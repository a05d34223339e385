//! The streams that are live right now, each with its timeline.
//!
//! | file | holds |
//! |---|---|
//! | [`directory`] | who is live; what the API sees of it |
//! | [`gate`] | OPEN and CLOSE of the edges: may this presenter publish? |
//! | `broadcast` | one task per stream, from its first presenter to a minute after its last |
//! | `on_air` | one presenter's session within a broadcast: its worker and its edge |
//! | `intake` | a session's media, from packets to the worker's input; pure |
//! | `feed` | frames and the clock become coded media and ticks; pure |
//! | `pass` | whether and how a presenter's own pictures are the top rung; pure |
//! | `programme` | the stream as viewers see it: ladder, packager, store |
//! | `room` | whether this machine can transcode another stream; pure |
//! | [`schedule`] | which frame is due, and when; pure |
//! | `notes` | what the registry is told of sessions |
//! | `opus` | how long a packet of sound lasts; pure |

mod broadcast;
pub mod directory;
mod feed;
pub mod gate;
mod intake;
mod metrics;
mod notes;
mod on_air;
mod opus;
mod pass;
mod programme;
#[cfg(test)]
mod rehearsal;
mod room;
pub mod schedule;

pub use broadcast::Settings;
pub use directory::{Directory, Status};
pub use gate::{Gate, Refusal, Sinks};
pub use metrics::Metrics;
pub use pass::{Progress, Reason};
pub use room::Room;
