//! A stream's time: everything is counted from its epoch.
//!
//! The epoch is a moment of UTC in the registry. Frame `n` is shown at
//! `n / fps` seconds after it, AAC frame `k` begins with sample `1024 k`, and
//! segment `s` covers `[s, s + 1)` segment durations. None of the three needs
//! any other state, which is why a restart or a returning presenter continues
//! the same numbering.

use inlet_common::clock::UtcTime;

/// Ticks per second of every video track. Divisible by each frame rate in
/// [`FrameRate::ALLOWED`], so that every frame has the same whole duration.
pub const VIDEO_TIMESCALE: u32 = 90_000;

/// Samples per second of every audio track, and its timescale.
pub const AUDIO_TIMESCALE: u32 = 48_000;

/// Samples in one AAC-LC frame.
pub const AAC_FRAME_SAMPLES: u64 = 1024;

/// Samples in one of our Opus packets, which last 20 ms. A segment has whole ones.
pub const OPUS_FRAME_SAMPLES: u64 = 960;

/// A moment of a stream, in microseconds since its epoch.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct MediaTime(i64);

impl MediaTime {
    /// Makes a moment from microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The moment `micros` later, or earlier when negative.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// The nearest audio sample since the epoch; zero before it.
    pub fn to_sample(self) -> u64 {
        let samples = (i128::from(self.0) * i128::from(AUDIO_TIMESCALE) + 500_000) / 1_000_000;
        u64::try_from(samples).unwrap_or(0)
    }
}

/// Whole frames per second of every rung of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct FrameRate(u32);

impl FrameRate {
    /// The rates that divide [`VIDEO_TIMESCALE`] and that presenters use.
    pub const ALLOWED: [u32; 6] = [15, 24, 25, 30, 50, 60];

    /// The product's default, 30 frames per second.
    pub const DEFAULT: Self = Self(30);

    /// Frames per second.
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// Length of a frame in [`VIDEO_TIMESCALE`] ticks.
    pub const fn frame_ticks(self) -> u32 {
        VIDEO_TIMESCALE / self.0
    }

    /// Number of the frame whose showing time is nearest to `at`; zero before
    /// the epoch.
    pub fn nearest_frame(self, at: MediaTime) -> u64 {
        let frames = (i128::from(at.0) * i128::from(self.0) + 500_000).div_euclid(1_000_000);
        u64::try_from(frames).unwrap_or(0)
    }

    /// Number of the first frame that is shown at `at` or later.
    pub fn first_frame_from(self, at: MediaTime) -> u64 {
        let ticks = i128::from(at.0) * i128::from(self.0);
        // Rounded up; whole seconds have whole numbers.
        u64::try_from(-(-ticks).div_euclid(1_000_000)).unwrap_or(0)
    }

    /// When frame `number` is shown.
    pub fn time_of(self, number: u64) -> MediaTime {
        let micros = u128::from(number) * 1_000_000 / u128::from(self.0);
        MediaTime(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

impl TryFrom<u32> for FrameRate {
    type Error = UnsupportedFrameRate;

    fn try_from(fps: u32) -> Result<Self, UnsupportedFrameRate> {
        if Self::ALLOWED.contains(&fps) {
            Ok(Self(fps))
        } else {
            Err(UnsupportedFrameRate(fps))
        }
    }
}

impl From<FrameRate> for u32 {
    fn from(rate: FrameRate) -> Self {
        rate.0
    }
}

/// The rate is not one of [`FrameRate::ALLOWED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported frame rate {0}: use 15, 24, 25, 30, 50 or 60")]
pub struct UnsupportedFrameRate(pub u32);

/// Where a stream's time begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub UtcTime);

impl Epoch {
    /// The stream's time at a moment of wall time.
    pub fn at(self, utc: UtcTime) -> MediaTime {
        MediaTime(utc.micros_since(self.0))
    }

    /// The wall time of a moment of the stream.
    pub fn utc(self, at: MediaTime) -> UtcTime {
        self.0.plus_micros(at.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_number_is_the_nearest_one() {
        let rate = FrameRate::DEFAULT;
        assert_eq!(rate.nearest_frame(MediaTime(0)), 0);
        assert_eq!(rate.nearest_frame(MediaTime(16_000)), 0);
        assert_eq!(rate.nearest_frame(MediaTime(17_000)), 1);
        assert_eq!(rate.nearest_frame(MediaTime(-5)), 0);
        for n in [0, 1, 29, 30, 1_000_003] {
            assert_eq!(rate.nearest_frame(rate.time_of(n)), n);
        }
    }

    #[test]
    fn every_allowed_rate_has_whole_frames() {
        for fps in FrameRate::ALLOWED {
            let rate = FrameRate::try_from(fps).unwrap();
            assert_eq!(rate.frame_ticks() * fps, VIDEO_TIMESCALE);
        }
        assert!(FrameRate::try_from(7).is_err());
    }
}
