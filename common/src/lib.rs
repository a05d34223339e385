//! What both of Inlet's binaries share.
//!
//! | module | holds |
//! |---|---|
//! | [`clock`] | the one place that reads monotonic and wall time |
//! | [`ids`] | newtypes for everything that two hosts name to each other |
//! | [`reason`] | the reason codes a presenter sees, with their HTTP status |
//! | [`rtp`] | RTP and RTCP on the wire, sequence numbers |
//! | [`video`] | what the headers of coded pictures tell |
//! | [`roq`] | RTP over QUIC: media framing and the control stream |
//! | [`config`] | reading one TOML file into a typed configuration |
//! | [`lifecycle`] | the named phases of a process, from start to stop |
//! | [`service`] | what a systemd service needs: TLS, signals, metrics, admin |
//!
//! Nothing here knows of WHIP, TURN, ladders or playlists. Dependencies point
//! one way: `edge` and `origin` use `common`, never the reverse.
#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod ids;
pub mod lifecycle;
pub mod reason;
pub mod roq;
pub mod rtp;
pub mod service;
pub mod video;
