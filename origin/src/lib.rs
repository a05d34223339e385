//! Inlet's origin: takes RTP over QUIC from the edges, makes an ABR ladder of
//! it, and serves LL-HLS, LL-DASH and HLS MPEG-TS.
//!
//! # How a frame travels
//!
//! ```text
//!  QUIC connection of an edge's worker     roq/receiver.rs   datagrams and streams → RTP packets
//!    │  (flow, RTP packet)                 roq/flow.rs       which session and track a flow is
//!    ▼
//!  ingest::Track::handle_packet            ingest/           pure: reorder with a deadline,
//!    │  Frame { capture, data, key }       ingest/depacketize  frames; one clock for both tracks
//!    ▼
//!  live (one task per stream)              live/             owns the stream's timeline: which
//!    │  transcode::Input                                     frame number is due, and when;
//!    │                                                       hands the presenter's own pictures
//!    │                                                       to the packager where that is asked
//!    ▼
//!  worker process per stream               transcode/        decode · scale · encode (FFmpeg)
//!    │  transcode::Output                                    the only place with C code
//!    ▼
//!  package::Packager::handle_output        package/          pure: CMAF chunks, parts, segments
//!    │
//!    ▼
//!  store::Stream                           store/            what viewers may fetch right now
//!    │  watch: waiters wake once per part
//!    ▼
//!  http::…                                 http/             playlists, segments, pages
//! ```
//!
//! The registry (SQLite) and the API decide who may publish; the control stream
//! of each edge's connection asks them (`roq/control.rs`). On the same stream the
//! points of presence hear of each other (`fleet/`).
//!
//! # Time
//!
//! Each stream has an *epoch*, a moment of UTC kept in the registry. All media
//! time is counted from it ([`timeline`]), so frame numbers, AAC frame numbers
//! and segment numbers follow from the clock alone and survive a restart.

pub mod api;
pub mod cli;
pub mod config;
pub mod fleet;
pub mod http;
pub mod ingest;
pub mod live;
pub mod metrics;
pub mod package;
pub mod playback;
pub mod registry;
pub mod roq;
pub mod service;
pub mod store;
#[cfg(test)]
mod test_util;
pub mod timeline;
pub mod transcode;
