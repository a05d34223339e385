//! Whether this machine can transcode another stream.
//!
//! Pure. Two answers are no: the estimate says that its ladder does not fit
//! beside those that run, or the machine proves to be short of what was estimated,
//! because streams lack rungs that should have fitted. One such stream among many, or on
//! a machine that is nearly idle, proves nothing: its worker may have other troubles.
//! A stream that is alone is always taken: where even that is too much, it loses rungs,
//! which serves its viewers better than nothing.

use crate::{
    timeline::FrameRate,
    transcode::{Encoder, Preset, cost, ladder::Rung},
};

/// One in so many streams that starves shows that the machine is short.
const STARVING_SHARE: usize = 4;

/// By no more than this factor the estimate may be wrong: below so much of what is
/// there, streams starve for another reason.
const WRONG_BY: f64 = 8.0;

/// From this share of what is there on, one stream that starves is enough.
const NEARLY_FULL: f64 = 0.75;

/// What one thread makes for sure of a core: some is its neighbours'.
const ONE_THREAD: f64 = 0.9;

/// What there is room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// `None`: nothing is estimated.
    ceiling: Option<f64>,
}

/// A running stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taken {
    /// Cores that it takes, estimated, for the rungs that it makes.
    pub(super) cores: f64,
    /// Whether it lacks rungs that should fit; see [`starves`].
    pub(super) is_starving: bool,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The estimate says so.
    Estimated,
    /// Running streams have rungs shed.
    Shedding,
}

impl Room {
    /// Room on so many cores, of which transcoding may take `percent`; zero
    /// means that nothing is estimated.
    pub fn new(cores: usize, percent: u32) -> Self {
        let ceiling = cores as f64 * f64::from(percent) / 100.0;
        Self {
            ceiling: (percent > 0).then_some(ceiling),
        }
    }

    /// Whether a stream that takes `cores` fits beside those that run.
    pub(super) fn check(
        &self,
        running: impl IntoIterator<Item = Taken>,
        cores: f64,
    ) -> Result<(), Full> {
        let (mut count, mut starving, mut sum) = (0, 0, cores);
        for taken in running {
            count += 1;
            starving += usize::from(taken.is_starving);
            sum += taken.cores;
        }
        if self.is_short(count, starving, sum) {
            return Err(Full::Shedding);
        }
        match self.ceiling {
            Some(ceiling) if count > 0 && sum > ceiling => Err(Full::Estimated),
            _ => Ok(()),
        }
    }

    /// Whether so many that starve, of `count`, are the machine's fault, which is to
    /// have `sum` cores taken.
    fn is_short(&self, count: usize, starving: usize, sum: f64) -> bool {
        let is_share = starving > 0 && starving * STARVING_SHARE >= count;
        match self.ceiling {
            None => is_share,
            Some(ceiling) => {
                let is_nearly_full = starving > 0 && sum >= ceiling * NEARLY_FULL;
                is_nearly_full || (is_share && sum * WRONG_BY >= ceiling)
            }
        }
    }
}

/// Whether a stream that has lost these rungs lacks any that a thread of its own should
/// have made. One that needs more than a thread leaves, however many cores are idle.
pub(super) fn starves<'a>(
    shed: impl IntoIterator<Item = &'a Rung>,
    rate: FrameRate,
    work: (Encoder, Preset),
) -> bool {
    shed.into_iter().any(|rung| fits_a_thread(rung, rate, work))
}

/// Whether one thread can make the rung, as estimated.
pub(super) fn fits_a_thread(rung: &Rung, rate: FrameRate, work: (Encoder, Preset)) -> bool {
    cost::thread(rung, rate, work) <= ONE_THREAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcode::ladder::Resolution;

    const STREAM: Taken = Taken {
        cores: 0.5,
        is_starving: false,
    };
    const STARVING: Taken = Taken {
        is_starving: true,
        ..STREAM
    };

    #[test]
    fn what_does_not_fit_is_refused() {
        let room = Room::new(2, 90);
        assert_eq!(room.check([STREAM; 2], 0.8), Ok(()));
        assert_eq!(room.check([STREAM; 2], 0.81), Err(Full::Estimated));
        assert_eq!(room.check([STREAM; 3], 0.5), Err(Full::Estimated));
    }

    #[test]
    fn the_first_is_always_taken() {
        assert_eq!(Room::new(1, 1).check([], 9.0), Ok(()));
    }

    #[test]
    fn zero_estimates_nothing() {
        assert_eq!(Room::new(1, 0).check([STREAM; 50], 9.0), Ok(()));
    }

    #[test]
    fn nobody_comes_while_the_machine_is_short() {
        for percent in [0, 90] {
            let room = Room::new(2, percent);
            assert_eq!(room.check([STARVING], 0.1), Err(Full::Shedding));
            assert_eq!(room.check([STREAM, STARVING], 0.1), Err(Full::Shedding));
        }
        // Ten of a large machine's streams, which the estimate leaves half empty.
        let mut streams = [STREAM; 40];
        streams[..10].fill(STARVING);
        assert_eq!(Room::new(64, 90).check(streams, 0.5), Err(Full::Shedding));
    }

    #[test]
    fn one_that_starves_does_not_close_a_large_machine() {
        let room = Room::new(64, 90);
        assert_eq!(room.check([STARVING], 0.5), Ok(()), "nearly idle");
        let mut streams = [STREAM; 20];
        streams[0] = STARVING;
        assert_eq!(room.check(streams, 0.5), Ok(()), "one of twenty");
        let mut streams = [STREAM; 90];
        streams[0] = STARVING;
        assert_eq!(room.check(streams, 0.5), Err(Full::Shedding), "nearly full");
    }

    #[test]
    fn a_rung_beyond_one_thread_is_not_the_machines_fault() {
        let rung = |width, height| Rung {
            resolution: Resolution { width, height },
            bitrate: 1,
        };
        let work = (Encoder::Libx264, Preset::Superfast);
        let fast = FrameRate::try_from(60).unwrap();
        let (full, high) = (rung(1920, 1080), rung(1280, 720));
        assert!(!starves([&full], fast, work));
        assert!(starves([&full, &high], fast, work));
        assert!(starves([&full], FrameRate::DEFAULT, work));
        assert!(!starves([], fast, work));
    }
}
