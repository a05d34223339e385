//! The rungs that a stream asks for.
//!
//! A rung's height is the *short side* of its picture, so that the same set
//! serves a presenter who holds a phone upright. What is asked for is an upper
//! bound: rungs above the source's initial resolution are left out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    timeline::FrameRate,
    transcode::ladder::{self, Ladder},
};

/// One rung of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Short side of the picture in pixels; even.
    pub height: u32,
    /// Target video rate in bits per second.
    pub bitrate: u32,
}

impl Quality {
    /// Smallest short side.
    pub const MIN_HEIGHT: u32 = 100;
    /// Largest short side, that of 4K.
    pub const MAX_HEIGHT: u32 = 2160;
    /// Lowest rate; below it x264 cannot keep its promise on any size.
    pub const MIN_BITRATE: u32 = 50_000;
    /// Highest rate, enough for 2160p at 60 frames per second.
    pub const MAX_BITRATE: u32 = 50_000_000;

    /// What is wrong with the height alone, if anything.
    pub fn height_problem(height: u64) -> Option<String> {
        let (min, max) = (Self::MIN_HEIGHT, Self::MAX_HEIGHT);
        let in_range = (u64::from(min)..=u64::from(max)).contains(&height);
        if !in_range {
            return Some(format!(
                "must be from {min} to {max} pixels (the short side)"
            ));
        }
        (!height.is_multiple_of(2)).then(|| "must be even".to_owned())
    }

    /// What is wrong with the rate alone, if anything.
    pub fn bitrate_problem(bitrate: u64) -> Option<String> {
        let (min, max) = (Self::MIN_BITRATE, Self::MAX_BITRATE);
        let in_range = (u64::from(min)..=u64::from(max)).contains(&bitrate);
        (!in_range).then(|| format!("must be from {min} to {max} bits per second"))
    }
}

/// The ladder that a stream asks for, tallest rung first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct QualitySet {
    rungs: Vec<Quality>,
    fps: Option<FrameRate>,
    part_ms: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    rungs: Vec<Quality>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fps: Option<FrameRate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part_ms: Option<u32>,
}

impl QualitySet {
    /// Most rungs in a set. Each costs an encoder for as long as the stream
    /// is live.
    pub const MAX_RUNGS: usize = 6;
    /// Shortest LL-HLS part in milliseconds: players ask for ten in a second then.
    pub const MIN_PART_MS: u32 = 100;
    /// Longest LL-HLS part in milliseconds, that of the shortest segment.
    pub const MAX_PART_MS: u32 = 1000;

    /// Makes a set of rungs in any order, each sound by itself.
    ///
    /// # Errors
    ///
    /// What is wrong with them together: none or too many, two of one height,
    /// or a rung that costs no less than a taller one, which no player would
    /// ever choose.
    pub fn new(mut rungs: Vec<Quality>, fps: Option<FrameRate>) -> Result<Self, InvalidQualitySet> {
        if rungs.is_empty() || rungs.len() > Self::MAX_RUNGS {
            return Err(InvalidQualitySet::Count(rungs.len()));
        }
        for rung in &rungs {
            let problem = Quality::height_problem(rung.height.into())
                .or_else(|| Quality::bitrate_problem(rung.bitrate.into()));
            if let Some(problem) = problem {
                return Err(InvalidQualitySet::Rung(problem));
            }
        }
        rungs.sort_by_key(|rung| std::cmp::Reverse(rung.height));
        for pair in rungs.windows(2) {
            let [taller, shorter] = pair else { continue };
            if taller.height == shorter.height {
                return Err(InvalidQualitySet::SameHeight(taller.height));
            }
            if taller.bitrate <= shorter.bitrate {
                return Err(InvalidQualitySet::Inverted(shorter.height, taller.height));
            }
        }
        let part_ms = None;
        Ok(Self {
            rungs,
            fps,
            part_ms,
        })
    }

    /// The same set with LL-HLS parts of this length in milliseconds, or of the
    /// server's.
    ///
    /// # Errors
    ///
    /// [`InvalidQualitySet::Part`].
    pub fn with_part(self, part_ms: Option<u32>) -> Result<Self, InvalidQualitySet> {
        match part_ms.filter(|it| !(Self::MIN_PART_MS..=Self::MAX_PART_MS).contains(it)) {
            Some(_) => Err(InvalidQualitySet::Part),
            None => Ok(Self { part_ms, ..self }),
        }
    }

    /// The set as the transcoder takes it.
    pub fn ladder(&self) -> Ladder {
        let qualities: Vec<_> = self
            .rungs
            .iter()
            .map(|rung| ladder::Quality {
                short_side: rung.height,
                bitrate: rung.bitrate,
            })
            .collect();
        Ladder::new(&qualities)
    }

    /// The rungs, tallest first.
    pub fn rungs(&self) -> &[Quality] {
        &self.rungs
    }

    /// Frames per second of every rung; `None` means the product's default.
    pub const fn fps(&self) -> Option<FrameRate> {
        self.fps
    }

    /// Length of an LL-HLS part, which becomes the nearest whole number of frames;
    /// `None` means the server's.
    pub fn part(&self) -> Option<Duration> {
        self.part_ms.map(|ms| Duration::from_millis(ms.into()))
    }
}

impl TryFrom<Raw> for QualitySet {
    type Error = InvalidQualitySet;

    fn try_from(raw: Raw) -> Result<Self, InvalidQualitySet> {
        Self::new(raw.rungs, raw.fps)?.with_part(raw.part_ms)
    }
}

impl From<QualitySet> for Raw {
    fn from(set: QualitySet) -> Self {
        Self {
            rungs: set.rungs,
            fps: set.fps,
            part_ms: set.part_ms,
        }
    }
}

/// Why rungs make no set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQualitySet {
    /// None, or more than [`QualitySet::MAX_RUNGS`].
    #[error("must have 1 to {max} rungs, not {0}", max = QualitySet::MAX_RUNGS)]
    Count(usize),
    /// One rung is unsound by itself.
    #[error("has a rung that {0}")]
    Rung(String),
    /// Two rungs have this height.
    #[error("has two rungs of height {0}")]
    SameHeight(u32),
    /// The first height has at least the rate of the second, taller one.
    #[error("must give the rung of height {0} a lower bitrate than that of height {1}")]
    Inverted(u32, u32),
    /// The part is shorter than [`QualitySet::MIN_PART_MS`], or longer than
    /// [`QualitySet::MAX_PART_MS`].
    #[error("must be from {min} to {max} milliseconds", min = QualitySet::MIN_PART_MS, max = QualitySet::MAX_PART_MS)]
    Part,
}
