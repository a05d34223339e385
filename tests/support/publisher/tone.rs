//! The beep that goes with the picture: 1 kHz for 60 ms on every
//! [`BEEP_EVERY`]th frame, silence otherwise.
//!
//! The sound is computed from the sample's number alone, so that it begins at
//! the capture time of its frame to the sample.

use std::f64::consts::TAU;

use crate::strip::BEEP_EVERY;

/// Samples in a second.
pub(super) const RATE: u32 = 48_000;

const HZ: f64 = 1_000.0;
const LENGTH: u64 = 60 * RATE as u64 / 1_000;
const AMPLITUDE: f64 = 0.5;

/// Fills `samples` (interleaved stereo) from sample number `first` on.
pub(super) fn fill(samples: &mut [i16], first: u64, fps: u32) {
    for (index, pair) in samples.chunks_exact_mut(2).enumerate() {
        pair.fill(sample(first + index as u64, fps));
    }
}

fn sample(number: u64, fps: u32) -> i16 {
    let period = BEEP_EVERY * u64::from(RATE) / u64::from(fps);
    let since_beep = number % period;
    if since_beep >= LENGTH {
        return 0;
    }
    let seconds = since_beep as f64 / f64::from(RATE);
    ((seconds * HZ * TAU).sin() * AMPLITUDE * f64::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beep_starts_with_its_frame_and_lasts_60_ms() {
        let mut second = vec![0; 2 * RATE as usize];
        fill(&mut second, 30 * u64::from(RATE), 30);
        let is_loud = |ms: usize| {
            let at = ms * 48 * 2;
            second[at..at + 96]
                .iter()
                .any(|s| s.unsigned_abs() > 10_000)
        };
        assert!(is_loud(0) && is_loud(59));
        assert!(!is_loud(60) && !is_loud(500) && !is_loud(999));
    }
}
