//! One worker per core: a thread that owns its sockets, sessions and links.
//!
//! The rest of the process speaks to it through one bounded channel of
//! [`Command`]s, drained once per turn, and hears of it through [`Event`]s.

mod command;

pub use command::{Command, Event, OpenRequest, Refusal};
