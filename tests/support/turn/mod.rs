//! TURN clients that share no code with the edge's server, and a load of them.
//!
//! | module | holds |
//! |---|---|
//! | [`message`] | STUN messages, written and read |
//! | [`link`] | the way to a server, by UDP, TCP or TLS |
//! | [`client`] | an allocation, and data by it |
//! | [`session`] | two clients from their allocations to their ends |
//! | [`load`] | many sessions at once, a peer that echoes, and junk |

pub mod client;
pub mod link;
pub mod load;
pub mod message;
pub mod session;
