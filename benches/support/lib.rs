//! What Inlet's benchmarks share.
//!
//! | module | holds |
//! |---|---|
//! | [`figure`] | a measured figure beside its peer and its target: table and JSON |
//! | [`process`] | CPU time and memory of a process |
//! | [`sink`] | an origin that takes every session and throws the media away |
//! | [`fleet`] | many presenters on one thread |
//! | [`transcode`] | one ladder by the worker and by the `ffmpeg` command line |
//! | [`turn`] | TURN servers under load, in network namespaces |
//! | [`viewer`] | Chromium on the player page |
//!
//! Two cores carry everything that a benchmark starts, so figures of one run
//! are compared with figures of the same run, and medians with medians.

pub mod figure;
pub mod fleet;
pub mod process;
pub mod sink;
pub mod transcode;
pub mod turn;
pub mod viewer;
