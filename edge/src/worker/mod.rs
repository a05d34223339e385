//! One worker per core: a thread that owns its sockets, sessions and links.
//!
//! The rest of the process speaks to it through one bounded channel of
//! [`Command`]s, drained once per turn, and hears of it through [`Event`]s.
//!
//! | file | holds |
//! |---|---|
//! | `command` | what is asked and heard |
//! | `telling` | how it is heard |
//! | `watch` | how each session does, every few seconds |
//! | `handle` | the sending end of the channel, and starting the thread |
//! | `driver` | the loop: clock, commands, one turn after another |
//! | `pace` | how long it rests between two turns |
//! | `token` | what an event is about |
//! | `media` | the sockets of media and link |
//! | `ice_tcp` | presenters' TCP connections |
//! | `engine` | what a worker does with media, without socket or clock |
//! | `table` | sessions by id, ufrag and address, and their deadlines |

mod command;
mod driver;
mod engine;
mod handle;
mod ice_tcp;
mod media;
mod pace;
mod table;
mod tally;
mod telling;
#[cfg(test)]
mod tests;
pub(crate) mod token;
mod watch;

pub use command::{Command, Event, OpenRequest, Refusal};
pub use handle::{Config, Error, Handle, MediaConfig, SendError, start};
pub use ice_tcp::shared_candidates;
pub use telling::{Hearing, Telling, telling};
