//! Where decoded audio goes on the stream's sample timeline.
//!
//! Pure. [`Placer`] puts a block next to the one before as long as its capture
//! time nearly agrees, and corrects what little it does not by speed; a lost
//! packet or a jump of the clock is placed anew at once. [`Track`] holds the
//! samples until their AAC frame is due, with silence where nothing came.

use std::collections::VecDeque;

use super::drift::{Resampler, Stereo};
use crate::timeline::{AAC_FRAME_SAMPLES, AUDIO_TIMESCALE, MediaTime};

/// Puts blocks of decoded samples onto a track.
#[derive(Debug)]
pub(super) struct Placer {
    resampler: Resampler,
    /// Position of the resampler's next output; `None` before the first block.
    next: Option<i64>,
    /// How much later than the current end blocks should begin, in samples,
    /// averaged over about a second.
    deviation: f64,
    out: Vec<Stereo>,
}

impl Placer {
    pub(super) fn new() -> Self {
        Self {
            resampler: Resampler::new(),
            next: None,
            deviation: 0.0,
            out: Vec::new(),
        }
    }

    /// Puts `samples`, whose first one was captured at `capture`, on `track`.
    pub(super) fn handle_block(
        &mut self,
        capture: MediaTime,
        samples: &[Stereo],
        track: &mut Track,
    ) {
        let target = position(capture) - OPUS_LOOKAHEAD;
        let step = self.step();
        let deviation = self
            .next
            .map(|next| target - to_f64(next) - self.resampler.pending(step));
        match deviation {
            Some(deviation) if !self.is_jump(deviation, samples.len()) => {
                let weight = to_f64_len(samples.len()) / RATE / AVERAGING_SECONDS;
                self.deviation += (deviation - self.deviation) * weight.min(1.0);
            }
            _ => self.place_anew(target, track),
        }
        let step = self.step();
        self.out.clear();
        self.resampler.push(samples, step, &mut self.out);
        self.write_out(track);
    }

    /// Input samples per output sample: under one while the sound is early.
    fn step(&self) -> f64 {
        let correction = self.deviation / RATE / CORRECTION_SECONDS;
        1.0 - correction.clamp(-MAX_CORRECTION, MAX_CORRECTION)
    }

    /// Whether the deviation is none of drift and jitter: too much, or just
    /// what a lost packet or two leave.
    fn is_jump(&self, deviation: f64, block: usize) -> bool {
        if deviation.abs() > MAX_DEVIATION {
            return true;
        }
        let (change, block) = (deviation - self.deviation, to_f64_len(block.max(1)));
        let lost = (change / block).round();
        lost >= 1.0 && block >= SHORTEST_LOSS && (change - lost * block).abs() < LOSS_JITTER
    }

    fn place_anew(&mut self, target: f64, track: &mut Track) {
        self.out.clear();
        let step = self.step();
        self.resampler.flush(step, &mut self.out);
        self.write_out(track);
        self.resampler.reset();
        self.deviation = 0.0;
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
        let next = target.round() as i64;
        self.next = Some(next);
    }

    fn write_out(&mut self, track: &mut Track) {
        let Some(next) = &mut self.next else { return };
        track.write(*next, &self.out);
        *next = next.saturating_add(i64::try_from(self.out.len()).unwrap_or(i64::MAX));
    }
}

/// Samples per second.
const RATE: f64 = AUDIO_TIMESCALE as f64;

/// What a decoded Opus packet lags behind its timestamp: libopus's encoder
/// looks 6.5 ms ahead (the usual pre-skip of RFC 7845 §4.2), and senders stamp
/// packets with the time of the samples that went in.
const OPUS_LOOKAHEAD: f64 = 312.0;

/// 20 ms: what is further off was not drift. The picture follows the capture
/// clock at once, so this is skew until it is worked off; half a frame of the
/// picture comes on top, and both stay under 40 ms.
const MAX_DEVIATION: f64 = 0.02 * RATE;

/// A lost packet of 10 ms or more leaves a hole; shorter ones are drawn over.
const SHORTEST_LOSS: f64 = 0.01 * RATE;

/// How exactly the change must be whole packets to count as loss.
const LOSS_JITTER: f64 = 0.002 * RATE;

/// Blocks are weighed over this time: capture times jitter.
const AVERAGING_SECONDS: f64 = 1.0;

/// A deviation is worked off over about this time. With the averaging it
/// settles without overshoot worth the name (damping 0.7).
const CORRECTION_SECONDS: f64 = 2.0;

/// Half a per cent of speed: a twelfth of a semitone, and ten times what a
/// bad sound card needs.
const MAX_CORRECTION: f64 = 0.005;

fn position(at: MediaTime) -> f64 {
    // Microseconds of centuries fit an `f64` to the microsecond.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let micros = at.as_micros() as f64;
    micros * (RATE / 1e6)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sample numbers of centuries are exact"
)]
fn to_f64(samples: i64) -> f64 {
    samples as f64
}

#[expect(clippy::cast_precision_loss, reason = "lengths of short buffers")]
fn to_f64_len(samples: usize) -> f64 {
    samples as f64
}

/// The timeline's samples from the next AAC frame on.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// Number of the first sample held; `None` while nothing is known.
    start: Option<i64>,
    /// `None` where nothing came.
    samples: VecDeque<Option<Stereo>>,
    /// Whether frames have been taken, so that `start` is fixed.
    is_running: bool,
    edge: Edge,
}

impl Track {
    /// Puts samples at `position`. What is due already is lost, and so is
    /// what lies more than [`MAX_AHEAD`] in the future.
    fn write(&mut self, position: i64, samples: &[Stereo]) {
        let start = *self.start.get_or_insert(position);
        let offset = position.saturating_sub(start);
        let late = usize::try_from(offset.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        let Some(samples) = samples.get(late..) else {
            return;
        };
        let begin = usize::try_from(offset.max(0)).unwrap_or(usize::MAX);
        if begin.saturating_add(samples.len()) > MAX_AHEAD {
            if self.is_running {
                return;
            }
            // Nobody has taken anything yet: only the newest matters.
            self.samples.clear();
            self.start = Some(position);
            self.samples
                .extend(samples.iter().take(MAX_AHEAD).map(|sample| Some(*sample)));
            return;
        }
        if begin > self.samples.len() {
            self.samples.resize(begin, None);
        }
        let overlap = samples.len().min(self.samples.len() - begin);
        let (over, beyond) = samples.split_at(overlap);
        for (slot, sample) in self.samples.iter_mut().skip(begin).zip(over) {
            *slot = Some(*sample);
        }
        self.samples
            .extend(beyond.iter().map(|sample| Some(*sample)));
    }

    /// Takes AAC frame `number` off the track. The flag tells whether any of
    /// it is inserted silence.
    pub(super) fn take(&mut self, number: u64) -> (Vec<Stereo>, bool) {
        let begin = number.saturating_mul(AAC_FRAME_SAMPLES);
        let begin = i64::try_from(begin).unwrap_or(i64::MAX);
        let start = self.start.unwrap_or(begin);
        let old = usize::try_from(begin.saturating_sub(start)).unwrap_or(0);
        self.samples.drain(..old.min(self.samples.len()));
        let missing = usize::try_from(start.saturating_sub(begin))
            .unwrap_or(0)
            .min(FRAME);
        let present = (FRAME - missing).min(self.samples.len());
        let mut frame: Vec<Option<Stereo>> = vec![None; missing];
        frame.extend(self.samples.drain(..present));
        frame.resize(FRAME, None);
        self.is_running = true;
        self.start = Some(start.max(begin.saturating_add(FRAME_I64)));
        let is_silent = frame.contains(&None);
        (self.fade(&frame), is_silent)
    }

    /// Silence for `None`, without a click at its edges: the last sample
    /// before it dies away, the first ones after it fade in.
    fn fade(&mut self, frame: &[Option<Stereo>]) -> Vec<Stereo> {
        let gain = |step: u16| f32::from(step) / f32::from(FADE);
        let edge = &mut self.edge;
        let sample = |sample: &Option<Stereo>| match *sample {
            Some(sample) => {
                edge.rising = (edge.rising + 1).min(FADE);
                edge.falling = FADE;
                edge.last = sample.map(|value| value * gain(edge.rising));
                edge.last
            }
            None => {
                edge.rising = 0;
                edge.falling = edge.falling.saturating_sub(1);
                edge.last.map(|value| value * gain(edge.falling))
            }
        };
        frame.iter().map(sample).collect()
    }
}

/// Where a fade stands, in steps of [`FADE`].
#[derive(Debug, Default)]
struct Edge {
    rising: u16,
    falling: u16,
    /// The last sample that was sound.
    last: Stereo,
}

/// Samples kept before their time, two seconds.
const MAX_AHEAD: usize = 2 * AUDIO_TIMESCALE as usize;

const FRAME: usize = AAC_FRAME_SAMPLES as usize;
const FRAME_I64: i64 = AAC_FRAME_SAMPLES as i64;

/// Samples of a fade, 2.7 ms.
const FADE: u16 = 128;

#[cfg(test)]
mod tests;
