//! From encoded frames to CMAF, LL-HLS, LL-DASH and HLS MPEG-TS; pure.
//!
//! ```text
//!  transcode::Output
//!    ▼
//!  Packager::handle_output     packager     which run, which period, which discontinuity
//!    │  one sample
//!    ▼
//!  StandIns                    stand_in     which renditions show a rung's pictures
//!    ▼
//!  Segmenter                   segmenter    samples → chunks → parts → segments, one per rendition
//!    │                         course       which segment a frame belongs to
//!    │  fmp4::chunk            fmp4/        moof + mdat
//!    ▼
//!  Window                      window       the segments that viewers may still fetch
//!    │
//!    ▼
//!  Output::{Rendition, Presentation, Thumbnails}   immutable, which `store` hands to HTTP
//!    │
//!    ▼
//!  hls::media, hls::master, dash::manifest  pure text from a snapshot
//!  ts::segment                 ts/          a transport stream from the same chunks, on request
//!  Thumbnails::webvtt          thumbnails   which small picture lies where
//! ```
//!
//! One chunk stream backs both protocols: a DASH client gets a segment chunk
//! by chunk as it grows, an HLS part is a whole number of the same chunks.
//! Segment numbers follow from media time alone (see [`crate::timeline`]); they
//! are the media sequence numbers, DASH's `$Number$`, and equal in all
//! renditions. Where a presenter's own frames are the top rendition ([`Passed`]),
//! segments begin with its key frames, a little beside their nominal places. Reference: draft-pantos-hls-rfc8216bis, ISO/IEC 23009-1,
//! ISO/IEC 23000-19 (CMAF).

mod calendar;
mod course;
pub mod dash;
mod fmp4;
pub mod hls;
mod layout;
mod packager;
mod passed;
mod periods;
mod presentation;
mod segmenter;
mod silence;
mod stand_in;
#[cfg(test)]
pub(crate) mod tests;
mod thumbnails;
pub mod ts;
mod window;

pub use calendar::iso8601;
pub use fmp4::{Config, Init};
pub use layout::{Beat, Layout, Spec, SpecError};
pub use packager::{Dropped, Output, Packager};
pub use passed::{Coded, ParameterSets, Passed};
pub use presentation::{AudioCodec, Kind, Period, Presentation, Rendition};
pub use thumbnails::{Thumbnail, Thumbnails};
pub use window::{Edge, Part, Segment, Snapshot, State};
