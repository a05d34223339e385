//! One worker process per live stream turns coded units into a ladder.
//!
//! The main process owns the timeline: it sends coded frames as they arrive
//! and *ticks* that say which frame number is due. The worker answers each
//! video tick with exactly one encoded frame per rung (the last picture
//! repeated when nothing newer came) and each audio tick with exactly one AAC
//! frame (silence where nothing came), and with the Opus packets that it
//! completes where those are wanted. So output is constant whatever the
//! presenter does, and a crash costs only what was in flight. When the machine
//! cannot keep up, ticks ask fewer rungs: see [`supervisor`].
//!
//! | file | holds |
//! |---|---|
//! | [`ladder`] | which rungs a stream gets, from its initial resolution |
//! | [`Budget`] | how many bytes a rung's frames may have |
//! | [`cost`] | what a stream takes of the machine, before it has begun |
//! | [`trial`] | whether the chosen encoder works here, before any stream comes |
//! | [`supervisor`] | starts, seeds, watches and restarts the worker |
//! | [`ipc`] | the messages on the socket pair |
//! | [`keyframe`] | where decoding can begin, from a coded picture's headers |
//! | [`worker`] | the worker process itself: decode, scale, encode, audio |
//! | [`ffi`] | the few FFmpeg and kernel calls that need `unsafe` |
//! | [`metrics`] | names of what is counted here |

use bytes::Bytes;

use self::ladder::Rung;
use crate::timeline::{FrameRate, MediaTime};

mod budget;
pub mod cost;
mod encoder;
pub mod ffi;
pub mod ipc;
pub mod keyframe;
pub mod ladder;
pub mod metrics;
pub mod supervisor;
pub mod trial;
pub mod worker;

pub use self::{
    budget::Budget,
    encoder::{Device, Encoder, Preset},
};

/// FFmpeg's encoder for Opus.
const OPUS: &str = "libopus";

/// What a worker makes, fixed for its stream's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The rungs, tallest first; 1 to [`ladder::MAX_RUNGS`].
    pub ladder: Vec<Rung>,
    /// Frames per second of every rung.
    pub rate: FrameRate,
    /// Which encoder makes the rungs.
    pub encoder: Encoder,
    /// How much CPU libx264 may spend; nothing to the others.
    pub preset: Preset,
    /// Rate of the AAC track, in bits per second.
    pub audio_bitrate: u32,
    /// Rate of the Opus track beside it; `None` for no such track.
    pub opus_bitrate: Option<u32>,
    /// Frames of a stretch that has one thumbnail, its first; stretches begin at
    /// multiples of it.
    pub thumbnail_frames: u32,
    /// Bytes of memory that the worker may hold; above it allocations fail
    /// and the worker is replaced.
    pub memory_limit: u64,
    /// Whether the presenter's own frames may stand in the top rung's place: then the
    /// encoder's parameter sets have the number [`Spec::PASSED_BESIDE`], so that either
    /// may follow the other in one track. Default false.
    pub may_pass: bool,
    /// Where rungs may leave and return when the machine cannot keep up. `None`,
    /// the default: none ever leaves, and every rung answers every tick however
    /// long that takes. The supervisor's business: a worker never sees it.
    pub shedding: Option<Beat>,
}

/// The stream's rhythm, in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Frames of a segment; segments begin at multiples of it.
    pub segment_frames: u64,
    /// Frames of a part.
    pub part_frames: u64,
}

impl Spec {
    /// AAC-LC at this rate is transparent for speech and good for music.
    pub const DEFAULT_AUDIO_BITRATE: u32 = 128_000;

    /// A 1080p source with four rungs holds about 200 MiB, a 4K source about
    /// 400 MiB.
    pub const DEFAULT_MEMORY_LIMIT: u64 = 768 << 20;

    /// Number of the top rung's parameter sets where the presenter's own stand beside
    /// them: encoders number theirs from 0, and hardly any has more than one or two.
    pub const PASSED_BESIDE: u32 = 7;

    /// A spec with the defaults for all but what is given.
    pub fn new(ladder: Vec<Rung>, rate: FrameRate) -> Self {
        Self {
            ladder,
            rate,
            encoder: Encoder::default(),
            preset: Preset::default(),
            audio_bitrate: Self::DEFAULT_AUDIO_BITRATE,
            opus_bitrate: None,
            thumbnail_frames: rate.as_u32(),
            memory_limit: Self::DEFAULT_MEMORY_LIMIT,
            may_pass: false,
            shedding: None,
        }
    }
}

/// A video codec that a presenter may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// H.264, as Annex B with start codes, parameter sets in front of each IDR.
    H264,
    /// VP8, one frame as depacketized (RFC 7741).
    Vp8,
    /// VP9, one super frame as depacketized (RFC 9628).
    Vp9,
}

/// What goes into a worker, in the order of the stream's time.
#[derive(Clone, Debug)]
pub enum Input {
    /// A coded picture to decode; it is shown when its tick comes.
    Video {
        /// How the picture is coded. It may change in the middle of a stream.
        codec: VideoCodec,
        /// When it was captured.
        capture: MediaTime,
        /// Clockwise turn that shows it upright, in quarter turns (0–3).
        quarter_turns: u8,
        /// The coded picture.
        data: Bytes,
    },
    /// An Opus packet (RFC 7587), mono or stereo as it comes.
    Audio {
        /// Capture time of its first sample.
        capture: MediaTime,
        /// The coded packet.
        data: Bytes,
    },
    /// Frame `number` is due on every rung.
    VideoTick {
        /// Frames since the epoch; rises by one from tick to tick.
        number: u64,
        /// Whether every rung must encode it as IDR.
        idr: bool,
        /// Whether the top rung has nothing to do with it: the presenter's own frame
        /// is shown there.
        top_passed: bool,
    },
    /// AAC frame `number`, samples `1024·number` and on, is due.
    AudioTick {
        /// AAC frames since the epoch; rises by one from tick to tick.
        number: u64,
    },
}

/// What comes out of a worker.
#[derive(Clone, Debug)]
pub enum Output {
    /// A rung's parameter sets, before its first frame.
    VideoConfig {
        /// Index into the ladder, 0 is the tallest.
        rung: usize,
        /// Sequence parameter set without start code.
        sps: Bytes,
        /// Picture parameter set without start code.
        pps: Bytes,
    },
    /// An encoded frame.
    Video {
        /// Index into the ladder, 0 is the tallest.
        rung: usize,
        /// The tick's number.
        number: u64,
        /// Whether decoding can begin here.
        idr: bool,
        /// Slices as length-prefixed NAL units (4 bytes each), no parameter sets.
        data: Bytes,
    },
    /// The shared audio track's AudioSpecificConfig, before its first frame.
    AudioConfig {
        /// As it stands in `esds`.
        asc: Bytes,
    },
    /// An encoded AAC frame. The encoder's priming is already taken off, so
    /// frame `number` sounds at sample `1024·number`.
    Audio {
        /// The tick's number.
        number: u64,
        /// The raw AAC frame, without ADTS.
        data: Bytes,
    },
    /// An encoded Opus packet of 20 ms, from the same samples as the AAC frames. What
    /// the encoder looks ahead is already taken off, so packet `number` sounds at
    /// sample `960·number`.
    Opus {
        /// Packets since the epoch.
        number: u64,
        /// The packet.
        data: Bytes,
    },
    /// The programme's picture as a JPEG, every few seconds.
    Still {
        /// The whole file.
        data: Bytes,
    },
    /// A small picture of the programme as a JPEG, one in each stretch of
    /// [`Spec::thumbnail_frames`]; its size is [`ladder::thumbnail`] of the lowest
    /// rung's.
    Thumbnail {
        /// The frame that it shows.
        number: u64,
        /// The whole file.
        data: Bytes,
    },
    /// What the worker measured since the last report, once a second.
    Report(Report),
    /// Coded video was lost on this side (the decoder refused it, or a full
    /// queue dropped it): the last good picture is repeated until the next key
    /// frame, so the presenter should be asked for one.
    KeyFrameNeeded,
    /// The worker died and a new one took its place. Outputs of the new one
    /// follow, its first video frame an IDR, and ticks unanswered by the old
    /// one are answered by the new one where it still makes sense. Coded video
    /// counts from the next key frame on, as after `KeyFrameNeeded`.
    Restarted,
    /// A rung leaves, because the machine cannot keep up, or returns. Only the
    /// supervisor says it, some seconds ahead; until `from` a rung that leaves
    /// makes fewer frames.
    RungPlanned {
        /// Index into the ladder, 0 is the tallest.
        rung: usize,
        /// Whether it returns.
        is_made: bool,
        /// The first frame without it, or with it again: a segment's first.
        from: u64,
    },
}

/// A worker's own measurements over about one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// Media seconds made per second of busy time; under 1.0 the machine
    /// cannot keep up.
    pub speed: f64,
    /// Ticks that the rung furthest behind has not answered.
    pub queued_ticks: u32,
    /// Coded pictures that the decoder refused.
    pub decode_errors: u32,
    /// Pictures shown again because nothing newer had come.
    pub repeated_frames: u32,
    /// AAC frames that held inserted silence.
    pub silent_frames: u32,
    /// Size of the last decoded picture, upright; zero before the first.
    pub source_width: u32,
    /// See `source_width`.
    pub source_height: u32,
}
