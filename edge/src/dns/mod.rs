//! The `dns` role: an authoritative name server that answers with the nearest point
//! of presence that is well.
//!
//! # How a query travels
//!
//! ```text
//!  UDP socket (threads of its own,       server/udp.rs   batches in, batches out
//!    │  by SO_REUSEPORT), TCP, TLS       server/tcp.rs   a runtime of its own
//!    ▼
//!  wire::parse                           wire/           pure; malformed costs no more
//!    ▼  a question
//!  Zones::find(name)                     zone/           one look-up
//!    ▼  a steered name
//!  Client::of(subnet or source)          client.rs       geo/, a trie made at load
//!    ▼  ranked list, depth
//!  steer::choose(list, board, network)   steer.rs        who is well and has room
//!    ▼
//!  Encoder ▶ response                    answer.rs       scope = depth of the leaf
//!    ▼  over UDP, without a cookie of ours
//!  Limiter::judge                        limit.rs        per network and kind of answer
//! ```
//!
//! Everything above but the sockets is pure. What it looks at is a [`World`], which
//! is made anew and swapped whole when a file or a database changes, and a
//! [`steer::Board`], which is made anew every second from what was heard of the fleet
//! ([`health`]).

pub mod answer;
mod client;
pub mod cookie;
pub mod explain;
pub mod fleet;
pub mod geo;
pub mod health;
pub mod limit;
pub mod metrics;
pub mod second_chance;
pub mod server;
pub mod steer;
#[cfg(test)]
mod tests;
pub mod wire;
pub mod zone;

use std::sync::Arc;

/// All that answers are made from, apart from how the fleet does. A copy shares
/// what is large.
#[derive(Clone, Debug)]
pub struct World {
    /// What this server calls itself when asked (NSID).
    pub name: Arc<str>,
    /// What it is the authority for.
    pub zones: Arc<zone::Zones>,
    /// Every point of presence.
    pub fleet: Arc<fleet::Fleet>,
    /// Which networks are near to which of them, and how that is known.
    pub near: geo::Loaded,
    /// Makes and checks cookies.
    pub cookies: cookie::Cookies,
    /// Counts where clients are sent.
    pub steered: Arc<metrics::Steered>,
}
