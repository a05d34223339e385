//! What Inlet's benchmarks share.
//!
//! | module | holds |
//! |---|---|
//! | [`delivery`] | a server of a stream that is made up, viewers without a screen, nginx |
//! | [`dns`] | name servers under load |
//! | [`encoders`] | video encoders on the same pictures |
//! | [`figure`] | a measured figure beside its peer and its target: table and JSON |
//! | [`process`] | CPU time and memory of a process |
//! | [`ingest`] | many presenters at an edge, and its packets at a plain forwarder |
//! | [`transcode`] | one ladder by the worker and by the `ffmpeg` command line |
//! | [`turn`] | TURN servers under load, in network namespaces |
//! | [`viewer`] | Chromium on the player page |
//!
//! Two cores carry everything that a benchmark starts, so figures of one run
//! are compared with figures of the same run, and medians with medians.

pub mod delivery;
pub mod dns;
pub mod encoders;
pub mod figure;
pub mod ingest;
pub mod process;
pub mod transcode;
pub mod turn;
pub mod viewer;
