//! WHIP: a presenter comes in by one HTTP POST (RFC 9725).
//!
//! HTTP, admission and SDP run on tokio; the finished [`session::Session`]
//! moves to a worker and never comes back.
//!
//! | file | holds |
//! |---|---|
//! | [`routes`] | methods, paths and statuses |
//! | [`fragment`] | reading trickled ICE |
//! | [`sdp`] | reading and judging the offer |
//! | [`admission`] | from the offer to a session on a worker |
//! | [`rate`] | who has been refused too often |
//! | [`resource`] | the directory of session URLs |
//! | [`steer`] | who may send presenters elsewhere |
//! | [`pass`] | the sealed mark of those who were sent on |
//! | [`link`] | ICE servers for presenters |
//! | [`trickle`] | what a PATCH does |
//! | [`session`] | ICE, DTLS, SRTP and the tracks of one presenter |
//! | [`metrics`] | what the HTTP side counts |

pub mod admission;
pub mod fragment;
pub mod link;
pub mod metrics;
mod own_url;
pub mod pass;
pub mod rate;
pub mod resource;
mod respond;
pub mod routes;
pub mod sdp;
pub mod session;
pub mod steer;
pub mod trickle;
