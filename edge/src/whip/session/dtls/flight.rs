//! When the last flight of a handshake is sent again.
//!
//! OpenSSL has a timer of its own, but counts wall time and begins at one
//! second. Over ICE the way is known to work and to be short, so what got lost
//! is sent again sooner (RFC 9147 §5.8.2 permits it; browsers begin at 50 ms),
//! byte by byte as it was: whoever has it already drops it as a replay, whoever
//! has it not reads it. The one thing that this cannot mend is a lost answer to
//! our own last flight, since the peer answers only a fresh record: there
//! OpenSSL's own timer helps, which runs whenever we call it.

use std::time::{Duration, Instant};

/// How long a flight is waited for first. FFmpeg throws away the ClientHello that
/// comes before it has read its Binding response, so this delays its every start.
const FIRST: Duration = Duration::from_millis(100);

/// The longest that is waited between two times.
const LONGEST: Duration = Duration::from_secs(2);

/// Datagrams of a flight that are kept. Our largest, as a server, has two.
const MAX_KEPT: usize = 16;

/// The last flight, for when it is lost.
#[derive(Debug, Default)]
pub(super) struct Flight {
    datagrams: Vec<Vec<u8>>,
    interval: Duration,
    due: Due,
}

#[derive(Clone, Copy, Debug, Default)]
enum Due {
    #[default]
    Never,
    /// Runs from the next time that the clock is told.
    FromNow,
    At(Instant),
}

impl Flight {
    /// A new flight has been sent, and the wait for its answer begins.
    pub(super) fn sent(&mut self, datagrams: &[Vec<u8>]) {
        self.datagrams.clear();
        self.datagrams
            .extend(datagrams.iter().take(MAX_KEPT).cloned());
        self.interval = FIRST;
        self.due = Due::FromNow;
    }

    /// The handshake is over.
    pub(super) fn finish(&mut self) {
        *self = Self::default();
    }

    /// When the clock is to be told next; `now` means at once.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        match self.due {
            Due::Never => None,
            Due::FromNow => Some(now),
            Due::At(at) => Some(at),
        }
    }

    /// Tells the clock. Returns whether the flight is to be sent again.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        match self.due {
            Due::FromNow => self.due = Due::At(now + self.interval),
            Due::At(at) if at <= now => {
                self.interval = (2 * self.interval).min(LONGEST);
                self.due = Due::At(now + self.interval);
                return true;
            }
            Due::Never | Due::At(_) => {}
        }
        false
    }

    /// Waits anew, as if nothing had been sent yet: the peer cannot be reached.
    pub(super) fn hold(&mut self, now: Instant) {
        self.interval = FIRST;
        self.due = Due::At(now + FIRST);
    }

    /// What is sent again.
    pub(super) fn datagrams(&self) -> &[Vec<u8>] {
        &self.datagrams
    }
}

#[cfg(test)]
mod unit {
    use inlet_common::clock;

    use super::*;

    #[test]
    fn a_flight_is_repeated_ever_more_slowly_until_the_handshake_is_over() {
        let start = clock::now();
        let mut flight = Flight::default();
        assert_eq!(flight.next(start), None);
        flight.sent(&[vec![1], vec![2]]);
        let mut repeated = Vec::new();
        for millis in 0..7_000 {
            let now = start + Duration::from_millis(millis);
            if flight.next(now).is_some_and(|at| at <= now) && flight.handle_timeout(now) {
                repeated.push(millis);
            }
        }
        assert_eq!(repeated, [100, 300, 700, 1_500, 3_100, 5_100]);
        assert_eq!(flight.datagrams(), [vec![1], vec![2]]);
        flight.finish();
        assert_eq!(flight.next(start + LONGEST), None);
        assert!(flight.datagrams().is_empty());
    }
}
