//! The `dns` role: an authoritative name server that answers with the points of
//! presence that are near the client.
//!
//! | module | holds |
//! |---|---|
//! | [`wire`] | queries and responses as bytes |
//! | [`geo`] | client networks, and the points of presence that are near them |

pub mod geo;
pub mod wire;
