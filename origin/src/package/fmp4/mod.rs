//! The bytes of CMAF: init segments and chunks (ISO/IEC 14496-12, 23000-19).
//!
//! One track per file, and it is always track 1. A chunk is written as
//! `styp`, `prft` when it opens a segment, `moof` and `mdat`; every `traf` has
//! a `tfdt` and offsets count from its own `moof`, so chunks can be joined in
//! any order that keeps time.

mod chunk;
mod init;
mod read;

pub(super) use chunk::{Header, Sample, chunk};
pub use init::{Config, Init};
pub(super) use read::samples;

/// The one track of every file.
const TRACK_ID: u32 = 1;

/// `sample_depends_on` = 2: decoding can begin here (ISO/IEC 14496-12 §8.8.3.1).
const SYNC_SAMPLE: u32 = 0x0200_0000;

/// `sample_depends_on` = 1 and `sample_is_non_sync_sample`.
const NON_SYNC_SAMPLE: u32 = 0x0101_0000;

/// Why boxes could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The parameter set is too short or too long to describe a stream.
    #[error("unusable parameter set")]
    ParameterSet,
    /// A box refused its content.
    #[error("box")]
    Box(#[from] mp4_atom::Error),
    /// A chunk holds more bytes than a 32-bit box can.
    #[error("chunk of 4 GiB or more")]
    TooLarge,
    /// The bytes are not those of a chunk of ours.
    #[error("not a chunk of ours")]
    Foreign,
}
