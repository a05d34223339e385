//! Which rungs a tick asks for.
//!
//! Pure. A rung that is shed goes in two steps. At once it becomes *thin*: it
//! makes the frames that end a part or begin a segment and no others, a fifth
//! of its work, and its playlist goes on at its rhythm. From a segment's first
//! frame some seconds later nothing is asked of it; until then every player
//! can have learned of it ([`LEAVES_AFTER`]). It comes back as a whole, again
//! at a segment's first frame, which is an IDR on every rung.

use std::time::Duration;

use crate::{timeline::FrameRate, transcode::Beat};

/// Rungs of a ladder, one bit each; bit 0 is the tallest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rungs(pub(super) u8);

impl Rungs {
    /// All of a ladder's.
    pub(super) fn all(count: usize) -> Self {
        Self((0..count.min(8)).fold(0, |bits, rung| bits | 1 << rung))
    }

    pub(super) fn has(self, rung: usize) -> bool {
        rung < 8 && self.0 >> rung & 1 == 1
    }

    pub(super) fn insert(&mut self, rung: usize) {
        if rung < 8 {
            self.0 |= 1 << rung;
        }
    }

    pub(super) fn remove(&mut self, rung: usize) {
        if rung < 8 {
            self.0 &= !(1 << rung);
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Who works at which pace.
#[derive(Debug)]
pub(super) struct Roster {
    beat: Beat,
    rate: FrameRate,
    paces: Vec<Pace>,
    /// The first frame of the newest segment.
    begun: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Whole,
    /// Thin before this frame, nothing from it on.
    Leaving(u64),
    /// Nothing before this frame, all from it on.
    Coming(u64),
}

impl Roster {
    pub(super) fn new(rungs: usize, rate: FrameRate, beat: Beat) -> Self {
        Self {
            beat,
            rate,
            paces: vec![Pace::Whole; rungs],
            begun: None,
        }
    }

    /// Sheds a rung while frame `now` is the newest. Returns the first frame
    /// that it has no part in.
    pub(super) fn shed(&mut self, rung: usize, now: u64) -> u64 {
        if let Some(Pace::Coming(from)) = self.paces.get(rung).copied()
            && now < from
        {
            // It has not come yet, and makes nothing that could be thinned out.
            self.set(rung, Pace::Leaving(0));
            return from;
        }
        let from = self.beat_after(now);
        self.set(rung, Pace::Leaving(from));
        from
    }

    /// Takes a rung back while frame `now` is the newest. Returns the first
    /// frame that it makes.
    pub(super) fn restore(&mut self, rung: usize, now: u64) -> u64 {
        let from = self.beat_after(now);
        self.set(rung, Pace::Coming(from));
        from
    }

    /// The rungs that a tick asks for.
    pub(super) fn asked(&mut self, number: u64, idr: bool) -> Rungs {
        if idr {
            self.begun = Some(number);
        }
        for rung in 0..self.paces.len() {
            match self.paces.get(rung).copied() {
                Some(Pace::Leaving(from)) if self.has_come(from, number, idr) => {
                    self.set(rung, Pace::Leaving(0));
                }
                Some(Pace::Coming(from)) if self.has_come(from, number, idr) => {
                    self.set(rung, Pace::Whole);
                }
                _ => {}
            }
        }
        let mut rungs = Rungs::default();
        for (rung, pace) in self.paces.iter().enumerate() {
            let is_asked = match *pace {
                Pace::Whole => true,
                Pace::Leaving(from) => from > 0 && (idr || self.ends_part(number)),
                Pace::Coming(_) => false,
            };
            if is_asked {
                rungs.insert(rung);
            }
        }
        rungs
    }

    fn set(&mut self, rung: usize, to: Pace) {
        if let Some(pace) = self.paces.get_mut(rung) {
            *pace = to;
        }
    }

    /// Whether the segment that `from` is the first frame of, nominally, begins with
    /// frame `number` or has begun. Where it begins is told by its key frame; one that
    /// was lost on the way here is not waited for.
    fn has_come(&self, from: u64, number: u64, idr: bool) -> bool {
        let half = self.beat.segment_frames / 2;
        let is_near = number.saturating_add(half) >= from;
        (idr && is_near) || number >= from.saturating_add(half)
    }

    /// Parts are counted from the segment's beginning, and its end ends one.
    fn ends_part(&self, number: u64) -> bool {
        let length = self.beat.segment_frames.max(1);
        let nominal = number % length;
        let begun = self.begun.and_then(|begun| number.checked_sub(begun));
        let place = begun.filter(|place| *place < length).unwrap_or(nominal) + 1;
        place == self.beat.segment_frames || place.is_multiple_of(self.beat.part_frames.max(1))
    }

    /// The first segment that begins [`LEAVES_AFTER`] frame `now` or later.
    fn beat_after(&self, now: u64) -> u64 {
        let ahead = LEAVES_AFTER.as_secs() * u64::from(self.rate.as_u32());
        let length = self.beat.segment_frames.max(1);
        now.saturating_add(ahead)
            .div_ceil(length)
            .saturating_mul(length)
    }
}

/// A DASH player looks for a new period every two seconds, perhaps at a CDN's
/// copy a second old, and must know before the period begins: else it decodes the
/// new pictures by the old init segment, which ends playback. One look may fail,
/// or a busy machine be late with it.
const LEAVES_AFTER: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_thins_out_at_once_and_leaves_with_a_segment() {
        let mut roster = roster(30, 6);
        assert_eq!(roster.asked(905, false), Rungs(0b111));
        assert_eq!(roster.shed(0, 905), 1110);
        let thin: Vec<_> = (906..1140)
            .filter(|&number| roster.asked(number, number % 30 == 0).has(0))
            .collect();
        // Each part's last frame, and each segment's first.
        assert_eq!(thin[..7], [911, 917, 923, 929, 930, 935, 941]);
        assert_eq!(thin.last(), Some(&1109));
        assert_eq!(roster.asked(1110, true), Rungs(0b110));
    }

    #[test]
    fn a_rung_comes_back_with_the_first_frame_of_a_segment() {
        let mut roster = roster(30, 6);
        roster.shed(0, 900);
        assert_eq!(roster.restore(0, 3001), 3210);
        assert_eq!(roster.asked(3209, false), Rungs(0b110));
        assert_eq!(roster.asked(3210, true), Rungs(0b111));
        assert_eq!(roster.asked(3211, false), Rungs(0b111));
    }

    #[test]
    fn a_rung_that_is_shed_before_it_comes_makes_nothing() {
        let mut roster = roster(30, 6);
        roster.shed(0, 900);
        let comes = roster.restore(0, 3001);
        assert_eq!(roster.shed(0, 3050), comes);
        for number in 3051..comes + 300 {
            assert!(!roster.asked(number, number % 30 == 0).has(0), "{number}");
        }
    }

    #[test]
    fn a_segment_that_is_no_whole_number_of_parts_is_ended_all_the_same() {
        let mut roster = roster(24, 5);
        roster.shed(1, 0);
        let thin: Vec<_> = (1..=24)
            .filter(|&number| roster.asked(number, number % 24 == 0).has(1))
            .collect();
        assert_eq!(thin, [4, 9, 14, 19, 23, 24]);
    }

    #[test]
    fn a_rung_leaves_and_comes_with_the_key_frame_that_begins_the_segment() {
        let mut roster = roster(30, 6);
        assert_eq!(roster.shed(0, 905), 1110);
        assert!(roster.asked(1083, true).has(0));
        // The segment begins two frames early: its part ends six behind that.
        assert!(!roster.asked(1087, false).has(0) && roster.asked(1088, false).has(0));
        assert!(!roster.asked(1108, true).has(0));
        assert!(!roster.asked(1110, false).has(0));
        assert_eq!(roster.restore(0, 3001), 3210);
        assert!(!roster.asked(3210, false).has(0), "its key frame is late");
        assert!(roster.asked(3214, true).has(0) && roster.asked(3215, false).has(0));
        assert_eq!(roster.shed(0, 5000), 5190);
        assert!(
            (5205..5240).all(|number| !roster.asked(number, false).has(0)),
            "it was lost"
        );
    }

    fn roster(fps: u32, part_frames: u64) -> Roster {
        let beat = Beat {
            segment_frames: u64::from(fps),
            part_frames,
        };
        Roster::new(3, FrameRate::try_from(fps).unwrap(), beat)
    }
}
