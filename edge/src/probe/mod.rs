//! Probes from here to another point of presence: what its clients would find.
//!
//! ```text
//!  rounds    every target again and again         a task for each target
//!    ▼
//!  canary    one run: every kind at once          no longer than `patience`; no task
//!    ▼
//!  whip      TCP, TLS, OPTIONS of an endpoint     asks nobody for anything
//!            and how it does, by the fleet's secret
//!  stun      Binding                              engine, pure
//!  turn      two allocations that talk            engine, pure
//!    ▼
//!  drive     an engine on links                   UDP, TCP, TLS
//! ```
//!
//! TURN is the one that rots unseen: most clients never need it, and a server that
//! allocates need not relay. So a probe counts only when what one allocation of its
//! has sent has reached the other one, both ways, and by both forms of data.
//!
//! What a probe cannot see: on an Inlet edge, data between two allocations stay in
//! the process. A firewall in front of the relayed ports does not show.

mod canary;
mod dial;
mod drive;
mod engine;
mod error;
mod findings;
mod link;
mod metrics;
mod patience;
pub mod rounds;
mod stun;
mod target;
mod tls;
mod transaction;
mod turn;
pub mod whip;

pub use canary::Canary;
pub use error::Error;
pub use findings::{Findings, Kind, Told};
pub use metrics::Metrics;
pub use patience::Patience;
pub use target::{Credentials, Target};
pub use tls::NoRoots;
