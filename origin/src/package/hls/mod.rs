//! HLS playlists as text (draft-pantos-hls-rfc8216bis): low latency, and
//! [`legacy`] ones.
//!
//! URIs are relative to the playlist that holds them:
//!
//! ```text
//!  master.m3u8                 multivariant playlist
//!  720p/media.m3u8             media playlist of a rendition
//!  720p/init-<hash>.mp4        init segment
//!  720p/1234.m4s               segment, the same file that DASH fetches
//!  720p/1234.2.m4s             part 2 of it
//!  audio/…, opus/…             the same for the sound
//!
//!  master_mpegts.m3u8          multivariant playlist of transport streams
//!  720p/media.m3u8             media playlist of a rung
//!  720p/1234.ts                the rung's segment with the audio in it
//! ```

pub mod legacy;
mod master;
mod media;

pub use master::master;
pub use media::{Report, media};

/// `EXT-X-VERSION` of every playlist: 9 brings `EXT-X-SKIP`.
const VERSION: u32 = 9;
