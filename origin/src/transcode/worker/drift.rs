//! Changes the speed of audio by parts per million, without a click.
//!
//! Pure. A presenter's sound card runs up to 200 ppm off; over ten minutes
//! that is 120 ms. Each output sample is read between input samples by a
//! windowed sinc, at a step close to one that may change at any time.

/// A stereo sample.
pub(super) type Stereo = [f32; 2];

/// Reads its input at a variable step.
#[derive(Debug)]
pub(super) struct Resampler {
    kernel: Vec<[f32; TAPS]>,
    input: Vec<Stereo>,
    /// Where in `input` the next output sample lies.
    at: f64,
}

impl Resampler {
    pub(super) fn new() -> Self {
        let mut resampler = Self {
            kernel: kernel(),
            input: Vec::new(),
            at: 0.0,
        };
        resampler.reset();
        resampler
    }

    /// Forgets everything: the next output sample is the next input sample.
    pub(super) fn reset(&mut self) {
        self.input.clear();
        self.input.resize(BEFORE, [0.0; 2]);
        self.at = f64::from(u32::try_from(BEFORE).unwrap_or(0));
    }

    /// Output samples until the one at which the next pushed sample begins.
    pub(super) fn pending(&self, step: f64) -> f64 {
        (to_f64(self.input.len()) - self.at) / step
    }

    /// Appends input and moves all output that is complete to `out`. A step
    /// over one makes the sound shorter.
    pub(super) fn push(&mut self, samples: &[Stereo], step: f64, out: &mut Vec<Stereo>) {
        self.input.extend_from_slice(samples);
        loop {
            let index = floor(self.at);
            let first = index - BEFORE;
            let Some(window) = self.input.get(first..first + TAPS) else {
                break;
            };
            out.push(self.read(window, self.at - to_f64(index)));
            self.at += step;
        }
        let used = floor(self.at) - BEFORE;
        self.input.drain(..used.min(self.input.len()));
        self.at -= to_f64(used);
    }

    /// Moves out what waits for samples that will not come.
    pub(super) fn flush(&mut self, step: f64, out: &mut Vec<Stereo>) {
        self.push(&[[0.0; 2]; TAPS - BEFORE - 1], step, out);
    }

    fn read(&self, window: &[Stereo], fraction: f64) -> Stereo {
        let phase = fraction * to_f64(PHASES);
        let index = floor(phase).min(PHASES - 1);
        #[expect(clippy::cast_possible_truncation, reason = "a weight between 0 and 1")]
        let weight = (phase - to_f64(index)) as f32;
        let (Some(low), Some(high)) = (self.kernel.get(index), self.kernel.get(index + 1)) else {
            return [0.0; 2];
        };
        let mut sum = [0.0f32; 2];
        for ((sample, low), high) in window.iter().zip(low).zip(high) {
            let tap = low + (high - low) * weight;
            sum[0] += sample[0] * tap;
            sum[1] += sample[1] * tap;
        }
        sum
    }
}

/// Taps of the kernel: flat to 18 kHz.
const TAPS: usize = 32;

/// Taps in front of the sample that is read.
const BEFORE: usize = TAPS / 2 - 1;

/// Positions between two samples that the kernel is tabled for; in between it
/// is interpolated, with an error below −100 dB.
const PHASES: usize = 256;

/// A sinc under a Blackman window, per phase, each with a sum of one.
fn kernel() -> Vec<[f32; TAPS]> {
    use std::f64::consts::PI;
    let half = to_f64(TAPS / 2);
    let tap = |distance: f64| {
        let sinc = if distance == 0.0 {
            1.0
        } else {
            (PI * distance).sin() / (PI * distance)
        };
        let angle = PI * (distance / half);
        sinc * (0.42 + 0.5 * angle.cos() + 0.08 * (2.0 * angle).cos())
    };
    let row = |phase: usize| {
        let fraction = to_f64(phase) / to_f64(PHASES);
        let taps: [f64; TAPS] =
            std::array::from_fn(|index| tap(to_f64(index) - to_f64(BEFORE) - fraction));
        let sum: f64 = taps.iter().sum();
        #[expect(clippy::cast_possible_truncation, reason = "audio is single precision")]
        taps.map(|tap| (tap / sum) as f32)
    };
    (0..=PHASES).map(row).collect()
}

#[expect(clippy::cast_precision_loss, reason = "lengths of short buffers")]
fn to_f64(length: usize) -> f64 {
    length as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positions in short buffers, never negative"
)]
fn floor(position: f64) -> usize {
    position as usize
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    #[test]
    fn a_step_of_one_changes_nothing() {
        let mut resampler = Resampler::new();
        let input: Vec<Stereo> = (0..1000u16)
            .map(|n| [f32::from(n), -f32::from(n)])
            .collect();
        let mut out = Vec::new();
        for block in input.chunks(96) {
            resampler.push(block, 1.0, &mut out);
        }
        resampler.flush(1.0, &mut out);
        assert_eq!(out.len(), 1000);
        for (n, sample) in out.iter().enumerate() {
            assert!((sample[0] - n as f32).abs() < 1e-2, "{n}: {sample:?}");
        }
    }

    #[test]
    fn a_sine_stays_a_sine_at_another_speed() {
        for (step, tone) in [(1.0002, 1000.0), (0.995, 440.0), (0.9998, 10_000.0)] {
            let mut resampler = Resampler::new();
            let sine = |at: f64| (TAU * tone * at / 48_000.0).sin();
            let mut out = Vec::new();
            let input: Vec<Stereo> = (0..48_000)
                .map(|n| [sine(f64::from(n)) as f32, 0.0])
                .collect();
            for block in input.chunks(960) {
                resampler.push(block, step, &mut out);
            }
            let expected_length = (48_000.0 - 16.0) / step;
            assert!((out.len() as f64 - expected_length).abs() < 2.0);
            for (n, sample) in out.iter().enumerate().skip(50) {
                let expected = sine(n as f64 * step);
                assert!(
                    (f64::from(sample[0]) - expected).abs() < 2e-3,
                    "{step} {tone} at {n}"
                );
            }
        }
    }

    #[test]
    fn pending_tells_where_the_next_input_begins() {
        let mut resampler = Resampler::new();
        let mut out = Vec::new();
        resampler.push(&[[0.0; 2]; 960], 1.0, &mut out);
        assert!((out.len() as f64 + resampler.pending(1.0) - 960.0).abs() < 1e-9);
        resampler.push(&[[0.0; 2]; 960], 1.001, &mut out);
        let length = out.len() as f64 + resampler.pending(1.001);
        assert!((length - (960.0 + 960.0 / 1.001)).abs() < 0.1, "{length}");
    }
}
