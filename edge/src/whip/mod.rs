//! WHIP: a presenter comes in by one HTTP POST (RFC 9725).
//!
//! HTTP, admission and SDP run on tokio; the finished [`session::Session`]
//! moves to a worker and never comes back.

pub mod session;
