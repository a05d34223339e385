//! The STUN and TURN appliance (RFC 8489, RFC 8656, RFC 6062).
//!
//! ```text
//!  client ─ UDP, by SO_REUSEPORT ─▶ worker: plane ─▶ Relay::handle_client ─▶ Forward
//!         ─ TCP, TLS ─▶ listener ─▶    (driver)        (engine, pure)          │
//!                       handshake                                              ▼
//!                                    relayed socket ◀── runs by UDP_SEGMENT ── plane
//!                                    media of this process, another worker ◀───┘
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `wire` | messages, decoded and encoded |
//! | `relay` | the engine of one worker, and how it is driven |
//! | `plane` | its driver: sockets, connections, rings between workers |
//! | `allocation`, `permission`, `channel` | an allocation and what hangs on it |
//! | `auth`, `nonce`, `challenge` | who may allocate, and how strangers are answered |
//! | `revocation` | credentials that were taken back |
//! | `peer_policy` | who may be a peer |
//! | `ports`, `quota`, `shared` | what workers share |
//! | `settings` | what a reload exchanges |
//! | `client` | a client's end |
//! | `tally`, `metrics` | what is counted |

pub mod allocation;
pub mod auth;
pub mod challenge;
pub mod channel;
pub mod client;
pub mod metrics;
pub mod nonce;
pub mod peer_policy;
pub mod permission;
pub mod plane;
pub mod ports;
pub mod quota;
pub mod relay;
pub mod revocation;
pub mod settings;
pub mod shared;
pub mod tally;
pub mod wire;
