//! One worker per core: a thread that owns its sockets, sessions and links.
//!
//! The rest of the process speaks to it through one bounded channel of
//! [`Command`]s, drained once per turn, and hears of it through [`Event`]s.
//!
//! | file | holds |
//! |---|---|
//! | `command` | what is asked and heard |
//! | `handle` | the sending end of the channel, and starting the thread |
//! | `driver` | the loop: sockets, clock, one turn after another |
//! | `engine` | what a worker does, without socket or clock |
//! | `table` | sessions by id, ufrag and address, and their deadlines |

mod command;
mod driver;
mod engine;
mod handle;
mod table;
mod tally;
#[cfg(test)]
mod tests;

pub use command::{Command, Event, OpenRequest, Refusal};
pub use handle::{Config, Error, Handle, SendError, start};
