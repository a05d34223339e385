//! How long chunks, parts and segments are, for a stream's whole life.
//!
//! Everything is counted in *units*: one unit is one video frame, one AAC frame or one
//! Opus packet. A rendition's [`Beat`] says how many units make a chunk and a part,
//! and which segment a unit belongs to; video and audio differ in nothing else.

use std::time::Duration;

use super::{AudioCodec, thumbnails::MAX_STRETCHES};
use crate::{
    timeline::{
        AAC_FRAME_SAMPLES, AUDIO_TIMESCALE, Epoch, FrameRate, MediaTime, OPUS_FRAME_SAMPLES,
        VIDEO_TIMESCALE,
    },
    transcode::ladder::Rung,
};

/// What a packager is told about its stream.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The rungs, tallest first, in the order of `transcode::Output`'s index.
    pub ladder: Vec<Rung>,
    /// Frames per second of every rung.
    pub rate: FrameRate,
    /// Where the stream's time begins.
    pub epoch: Epoch,
    /// Length of a segment, whole seconds; default 1 s.
    pub segment: Duration,
    /// Wished length of an LL-HLS part; becomes the nearest whole number of
    /// frames. Default 200 ms. Shorter parts double the requests and do not
    /// help stock players.
    pub part: Duration,
    /// Longest DASH chunk; becomes the largest number of frames that fits and
    /// divides a part. Default 100 ms.
    pub chunk: Duration,
    /// How far back viewers may seek; default 60 s.
    pub window: Duration,
    /// Distance from capture to display that DASH players aim at; default 800 ms.
    pub latency: Duration,
    /// Time from a chunk's last frame to its publication that DASH's
    /// availability times allow for; default 50 ms.
    pub publish_margin: Duration,
    /// Rate of the AAC encoder in bits per second; default 128,000.
    pub audio_bitrate: u32,
    /// Rate of the Opus encoder in bits per second; `None`, the default, where there is
    /// no such rendition.
    pub opus_bitrate: Option<u32>,
    /// Whether players may hold segments of the same stream that an earlier
    /// process made: then it begins with a discontinuity. Default false.
    pub is_continued: bool,
    /// Segments that begin at this moment or earlier may have been made by an
    /// earlier process, and are not made again: a cache may hold them. Default
    /// before the epoch: none.
    pub taken_until: MediaTime,
}

impl Spec {
    /// A stream with the product's defaults.
    pub fn new(ladder: Vec<Rung>, rate: FrameRate, epoch: Epoch) -> Self {
        Self {
            ladder,
            rate,
            epoch,
            segment: Duration::from_secs(1),
            part: Duration::from_millis(200),
            chunk: Duration::from_millis(100),
            window: Duration::from_secs(60),
            latency: Duration::from_millis(800),
            publish_margin: Duration::from_millis(50),
            audio_bitrate: 128_000,
            opus_bitrate: None,
            is_continued: false,
            taken_until: MediaTime::from_micros(-1),
        }
    }
}

/// Why a [`Spec`] makes no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The ladder is empty, or a rung has no pixels or more than a box can say.
    #[error("the ladder has no rung, or a rung of impossible size")]
    Ladder,
    /// The segment is not 1–10 whole seconds.
    #[error("a segment must last 1 to 10 whole seconds")]
    Segment,
    /// The part is shorter than two AAC frames or longer than a segment.
    #[error("a part must last from 50 ms to one segment")]
    Part,
    /// The window does not hold the ten segments that live players need.
    #[error("the window must hold 10 to 3600 segments")]
    Window,
}

/// The lengths that follow from a [`Spec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Length of a segment in seconds, and so HLS's target duration.
    pub segment_seconds: u32,
    /// Complete segments in a playlist.
    pub window_segments: usize,
    /// Segments that share a small picture; see [`super::Thumbnails`].
    pub thumbnail_segments: u64,
    /// The video renditions' beat.
    pub video: Beat,
    /// The AAC rendition's beat.
    pub audio: Beat,
    /// The Opus rendition's beat.
    pub opus: Beat,
    /// See [`Spec::latency`].
    pub latency: Duration,
    /// See [`Spec::publish_margin`].
    pub publish_margin: Duration,
}

impl Layout {
    /// Works out the lengths.
    ///
    /// # Errors
    ///
    /// The member of [`SpecError`] that names the first impossible setting.
    pub fn new(spec: &Spec) -> Result<Self, SpecError> {
        let sides = spec
            .ladder
            .iter()
            .flat_map(|r| [r.resolution.width, r.resolution.height]);
        if spec.ladder.is_empty() || sides.into_iter().any(|s| !(2..=16_384).contains(&s)) {
            return Err(SpecError::Ladder);
        }
        let segment_seconds = u32::try_from(spec.segment.as_secs())
            .ok()
            .filter(|s| (1..=10).contains(s) && spec.segment.subsec_nanos() == 0)
            .ok_or(SpecError::Segment)?;
        if spec.part < Duration::from_millis(50) || spec.part > spec.segment {
            return Err(SpecError::Part);
        }
        let window_segments = usize::try_from(spec.window.as_secs() / u64::from(segment_seconds))
            .ok()
            .filter(|n| (10..=3600).contains(n))
            .ok_or(SpecError::Window)?;
        let video = Beat::video(spec, segment_seconds);
        let target = video.part_target_micros();
        let sound = |samples| Beat::sound(spec, segment_seconds, target, samples);
        Ok(Self {
            segment_seconds,
            window_segments,
            thumbnail_segments: window_segments.div_ceil(MAX_STRETCHES) as u64,
            video,
            audio: sound(AAC_FRAME_SAMPLES),
            opus: sound(OPUS_FRAME_SAMPLES),
            latency: spec.latency,
            publish_margin: spec.publish_margin,
        })
    }

    /// The beat of the sound that is coded so.
    pub fn sound(&self, codec: AudioCodec) -> Beat {
        match codec {
            AudioCodec::Aac => self.audio,
            AudioCodec::Opus => self.opus,
        }
    }

    /// One target duration.
    pub fn target_duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.segment_seconds))
    }

    /// The first segment that begins after `at`.
    pub fn first_segment_after(&self, at: MediaTime) -> u64 {
        let segment = i64::from(self.segment_seconds) * 1_000_000;
        u64::try_from(at.as_micros().div_euclid(segment) + 1).unwrap_or(0)
    }

    /// Where segment `number` begins.
    pub fn segment_start(&self, number: u64) -> MediaTime {
        self.video
            .time(number.saturating_mul(self.video.segment_ticks))
    }
}

/// The lengths of one rendition, in its own units and ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Ticks per second.
    pub timescale: u32,
    /// Ticks of one unit.
    pub unit_ticks: u32,
    /// Ticks of one segment.
    pub segment_ticks: u64,
    /// Units of a full part.
    pub part_units: u64,
    /// Units of a full chunk.
    pub chunk_units: u64,
}

impl Beat {
    fn video(spec: &Spec, segment_seconds: u32) -> Self {
        let fps = u64::from(spec.rate.as_u32());
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        let wished = ((micros(spec.part) * fps + 500_000) / 1_000_000).max(1);
        // A part that no whole number of AAC frames fills to 85 % has a frame more.
        let fills = |units: &u64| {
            let (shortest, longest) = sound_units(units * 1_000_000 / fps, AAC_FRAME_SAMPLES);
            shortest <= longest
        };
        let part_units = (wished..=wished.max(fps)).find(fills).unwrap_or(wished);
        let fits = |n: u64| n * 1_000_000 <= micros(spec.chunk) * fps;
        Self {
            timescale: VIDEO_TIMESCALE,
            unit_ticks: spec.rate.frame_ticks(),
            segment_ticks: u64::from(segment_seconds) * u64::from(VIDEO_TIMESCALE),
            part_units,
            chunk_units: largest_divisor(part_units, fits),
        }
    }

    /// Audio parts may not be longer than the video's and not shorter than
    /// 85 % of them, and the segment's last one should not be a splinter: of
    /// the counts allowed, takes the largest that fills a segment with whole parts,
    /// else the smallest.
    fn sound(
        spec: &Spec,
        segment_seconds: u32,
        part_target_micros: u64,
        frame_samples: u64,
    ) -> Self {
        let frame = frame_samples * 1_000_000;
        let scale = u64::from(AUDIO_TIMESCALE);
        let segment_ticks = u64::from(segment_seconds) * scale;
        let (shortest, longest) = sound_units(part_target_micros, frame_samples);
        let fills = |n: &u64| segment_ticks.is_multiple_of(n * frame_samples);
        let part_units = (shortest..=longest).rev().find(fills);
        let part_units = part_units.unwrap_or(shortest.min(longest));
        let chunk = u64::try_from(spec.chunk.as_micros()).unwrap_or(u64::MAX);
        Self {
            timescale: AUDIO_TIMESCALE,
            unit_ticks: u32::try_from(frame_samples).unwrap_or(u32::MAX),
            segment_ticks,
            part_units,
            chunk_units: largest_divisor(part_units, |n| n * frame <= chunk * scale),
        }
    }

    /// Units that a span takes, the last one perhaps in part.
    pub(super) fn units(&self, span: Duration) -> u64 {
        let ticks = span.as_secs().saturating_mul(u64::from(self.timescale));
        ticks.div_ceil(u64::from(self.unit_ticks))
    }

    /// When unit `number` begins, in ticks.
    pub fn ticks(&self, number: u64) -> u64 {
        number.saturating_mul(u64::from(self.unit_ticks))
    }

    /// The segment that unit `number` belongs to.
    pub fn segment_of(&self, number: u64) -> u64 {
        self.ticks(number) / self.segment_ticks
    }

    /// The first unit of a segment.
    pub fn first_unit(&self, segment: u64) -> u64 {
        segment
            .saturating_mul(self.segment_ticks)
            .div_ceil(u64::from(self.unit_ticks))
    }

    /// Ticks as a moment of the stream.
    pub fn time(&self, ticks: u64) -> MediaTime {
        let micros = u128::from(ticks) * 1_000_000 / u128::from(self.timescale);
        MediaTime::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// Ticks as seconds with six decimals, rounded to the nearest.
    pub fn seconds(&self, ticks: u64) -> String {
        let scale = u128::from(self.timescale);
        let micros = (u128::from(ticks) * 1_000_000 + scale / 2) / scale;
        format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }

    /// Ticks of a full part.
    pub fn part_ticks(&self) -> u64 {
        self.ticks(self.part_units)
    }

    /// Ticks of a full chunk.
    pub fn chunk_ticks(&self) -> u64 {
        self.ticks(self.chunk_units)
    }

    fn part_target_micros(&self) -> u64 {
        self.part_ticks() * 1_000_000 / u64::from(self.timescale)
    }
}

/// The fewest and the most units of sound that a part may have.
fn sound_units(part_target_micros: u64, frame_samples: u64) -> (u64, u64) {
    let frame = frame_samples * 1_000_000;
    let ticks = part_target_micros * u64::from(AUDIO_TIMESCALE);
    let shortest = (ticks * 85).div_ceil(frame * 100);
    (shortest.max(1), (ticks / frame).max(1))
}

fn largest_divisor(of: u64, fits: impl Fn(u64) -> bool) -> u64 {
    (1..=of)
        .rev()
        .find(|&n| of.is_multiple_of(n) && fits(n))
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use inlet_common::clock::UtcTime;

    use super::*;
    use crate::transcode::ladder::Resolution;

    fn layout(fps: u32) -> Layout {
        with_parts(fps, Duration::from_millis(200))
    }

    fn with_parts(fps: u32, part: Duration) -> Layout {
        let rung = Rung {
            resolution: Resolution {
                width: 64,
                height: 36,
            },
            bitrate: 1,
        };
        let epoch = Epoch(UtcTime::from_unix_micros(0));
        let spec = Spec::new(vec![rung], fps.try_into().unwrap(), epoch);
        Layout::new(&Spec { part, ..spec }).unwrap()
    }

    #[test]
    fn parts_of_any_length_are_filled_with_sound_to_85_percent() {
        for fps in FrameRate::ALLOWED {
            for part in 50..=1000 {
                let layout = with_parts(fps, Duration::from_millis(part));
                let target = layout.video.part_ticks() * u64::from(AUDIO_TIMESCALE);
                let sound = layout.audio.part_ticks() * u64::from(VIDEO_TIMESCALE);
                let range = target * 85..=target * 100;
                assert!(range.contains(&(sound * 100)), "{fps} {part}");
                // In thousandths of a frame; at most 75 ms more than was wished for.
                let wished = part * u64::from(fps);
                let units = layout.video.part_units * 1000;
                assert!(
                    units <= wished + 75 * u64::from(fps),
                    "{fps} {part}: {units}"
                );
            }
        }
    }

    #[test]
    fn every_rate_has_parts_near_200_ms_and_chunks_up_to_100_ms() {
        for (fps, part, chunk, audio_part, audio_chunk) in [
            (15, 3, 1, 8, 4),
            (24, 5, 1, 9, 3),
            (25, 5, 1, 8, 4),
            (30, 6, 3, 8, 4),
            (50, 10, 5, 8, 4),
            (60, 12, 6, 8, 4),
        ] {
            let layout = layout(fps);
            assert_eq!(
                (layout.video.part_units, layout.video.chunk_units),
                (part, chunk),
                "{fps}"
            );
            let audio = (layout.audio.part_units, layout.audio.chunk_units);
            assert_eq!(audio, (audio_part, audio_chunk), "{fps}");
            // Opus: 200 ms in chunks of 100 ms, and so five parts a second.
            let opus = (layout.opus.part_units, layout.opus.chunk_units);
            assert_eq!(opus, (10, 5), "{fps}");
            assert_eq!(layout.opus.first_unit(1), 50);
        }
    }

    #[test]
    fn units_fall_into_the_segment_of_their_first_tick() {
        let layout = layout(30);
        assert_eq!(layout.video.segment_of(29), 0);
        assert_eq!(layout.video.segment_of(30), 1);
        assert_eq!(layout.video.first_unit(1), 30);
        // AAC frame 46 begins at 0.9813 s and frame 47 at 1.0027 s.
        assert_eq!(layout.audio.segment_of(46), 0);
        assert_eq!(layout.audio.segment_of(47), 1);
        assert_eq!(layout.audio.first_unit(1), 47);
        assert_eq!(layout.video.seconds(layout.video.part_ticks()), "0.200000");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let rung = Rung {
            resolution: Resolution {
                width: 64,
                height: 36,
            },
            bitrate: 1,
        };
        let epoch = Epoch(UtcTime::from_unix_micros(0));
        let good = Spec::new(vec![rung], FrameRate::DEFAULT, epoch);
        let refused = |change: fn(&mut Spec)| {
            let mut spec = good.clone();
            change(&mut spec);
            Layout::new(&spec).unwrap_err()
        };
        assert_eq!(refused(|s| s.ladder.clear()), SpecError::Ladder);
        assert_eq!(
            refused(|s| s.ladder[0].resolution.width = 0),
            SpecError::Ladder
        );
        assert_eq!(
            refused(|s| s.segment = Duration::from_millis(1500)),
            SpecError::Segment
        );
        assert_eq!(
            refused(|s| s.part = Duration::from_millis(1)),
            SpecError::Part
        );
        assert_eq!(
            refused(|s| s.window = Duration::from_secs(3)),
            SpecError::Window
        );
    }
}
