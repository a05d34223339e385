//! How many bytes a rung's frames may have; pure.
//!
//! What makes them has looked at a stranger's bytes, or is the stranger, and the DVR
//! window keeps all of it: so it is bounded by a multiple of the rate that was asked
//! for. An encoder keeps to its rate within a second, also where the picture is noise.

use crate::timeline::FrameRate;

/// The rate that is borne, beside the one that was asked for: whoever is above it does
/// not keep a rate at all.
const TIMES: u64 = 4;

/// Added to it, in bits per second: containers and parameter sets of the lowest rates.
const BESIDE: u64 = 1_000_000;

/// So much of it may come at once: the key frames of a restart, and what it makes up for.
const SECONDS: u64 = 4;

/// What is left to one rung.
#[derive(Clone, Debug)]
pub struct Budget {
    per_frame: u64,
    most: u64,
    left: u64,
    last: Option<u64>,
}

impl Budget {
    /// Of a rung that is asked for `bitrate` bits per second.
    pub fn new(bitrate: u32, rate: FrameRate) -> Self {
        let per_second = (u64::from(bitrate) * TIMES + BESIDE) / 8;
        let most = per_second * SECONDS;
        Self {
            per_frame: per_second / u64::from(rate.as_u32()).max(1),
            most,
            left: most,
            last: None,
        }
    }

    /// Of the same rung, made by another: what was spent before does not count.
    pub fn renew(&mut self) {
        (self.left, self.last) = (self.most, None);
    }

    /// Takes so many bytes for frame `number`; tells whether that is within bounds.
    /// Frames are paid for by their numbers, so what catches up is not held up to it.
    #[must_use]
    pub fn spend(&mut self, number: u64, bytes: usize) -> bool {
        let last = self.last.unwrap_or(number);
        let earned = number.saturating_sub(last).saturating_mul(self.per_frame);
        self.last = Some(last.max(number));
        let left = self.left.saturating_add(earned).min(self.most);
        let rest = left.checked_sub(bytes as u64);
        self.left = rest.unwrap_or(left);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: FrameRate = FrameRate::DEFAULT;

    /// For how many frames a rate, in bits per second, is borne.
    fn borne(bitrate: u32, bits: usize) -> Option<u64> {
        let mut budget = Budget::new(bitrate, RATE);
        (0..30 * 600).find(|number| !budget.spend(*number, bits / 8 / 30))
    }

    #[test]
    fn three_times_the_rate_is_borne_for_good_and_ten_times_for_seconds() {
        assert_eq!(borne(2_500_000, 7_500_000), None);
        let ended = borne(2_500_000, 25_000_000).unwrap();
        assert!((30..300).contains(&ended), "{ended}");
    }

    #[test]
    fn a_key_frame_of_a_second_is_borne_in_every_second() {
        let mut budget = Budget::new(400_000, RATE);
        for number in (0..3_000).step_by(30) {
            assert!(budget.spend(number, 50_000), "{number}");
        }
    }

    #[test]
    fn a_new_one_pays_for_frames_that_were_paid_for() {
        let mut budget = Budget::new(400_000, RATE);
        assert!(budget.spend(900, 0));
        assert!(!budget.spend(900, 8 << 20));
        budget.renew();
        for number in 0..900 {
            assert!(budget.spend(number, 400_000 / 8 / 30 * 3), "{number}");
        }
    }

    #[test]
    fn what_is_not_used_is_not_saved_up() {
        let mut budget = Budget::new(400_000, RATE);
        assert!(budget.spend(0, 0) && budget.spend(u64::MAX, 0));
        assert!(!budget.spend(u64::MAX, 8 << 20));
        assert!(budget.spend(u64::MAX, 1_000));
    }
}
