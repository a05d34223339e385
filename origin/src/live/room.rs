//! Whether this machine can transcode another stream.
//!
//! Pure. Two answers are no: the estimate says that its ladder does not fit
//! beside those that run, or a running stream has rungs shed already, whatever
//! the estimate says. A stream that is alone is always taken: where even that is
//! too much, it loses rungs, which serves its viewers better than nothing.

/// What there is room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// `None`: nothing is estimated.
    ceiling: Option<f64>,
}

/// A running stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Taken {
    /// Cores that it takes, estimated.
    pub(super) cores: f64,
    /// Whether it lacks rungs.
    pub(super) is_shedding: bool,
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
        let (mut count, mut sum) = (0, cores);
        for taken in running {
            if taken.is_shedding {
                return Err(Full::Shedding);
            }
            count += 1;
            sum += taken.cores;
        }
        match self.ceiling {
            Some(ceiling) if count > 0 && sum > ceiling => Err(Full::Estimated),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Taken = Taken {
        cores: 0.5,
        is_shedding: false,
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
    fn nobody_comes_while_rungs_are_shed() {
        let shedding = Taken {
            is_shedding: true,
            ..STREAM
        };
        for percent in [0, 90] {
            let room = Room::new(64, percent);
            assert_eq!(room.check([STREAM, shedding], 0.1), Err(Full::Shedding));
        }
    }
}
