//! The highest rate that a server carries with hardly a loss.
//!
//! A search by halves, with short trials. A short trial fits into a large socket
//! buffer, so what is still on its way when sending ends must be little, too.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::generator::{Generator, Pace};
use crate::figure::say;

/// Where a search for the highest rate begins, packets per second.
const FIRST_RATE: f64 = 80_000.0;
/// Where it gives up.
const LAST_RATE: f64 = 5_000.0;
const SEARCH_GROWTH: f64 = 1.5;
/// How close to each other the rates that did and did not pass become.
const SEARCH_GRAIN: f64 = 0.05;
const SEARCH_TRIAL: Duration = Duration::from_millis(400);
const SEARCH_ATTEMPTS: usize = 3;
/// What may still be on its way when sending ends, of all that was sent.
const LATE: f64 = 0.02;
/// Less than this part of the asked rate is the generator's end, not the server's.
const GENERATOR_SHORT: f64 = 0.9;

impl Generator {
    /// The highest rate of which less than `loss` is lost, to a twentieth.
    ///
    /// # Errors
    ///
    /// As a trial.
    pub fn highest_rate(&mut self, loss: f64) -> Result<f64> {
        let (mut carried, mut lost) = (0.0, f64::INFINITY);
        let (mut rate, mut highest) = (FIRST_RATE, 0.0);
        while lost - carried > SEARCH_GRAIN * carried {
            match self.search_trial(rate, loss)? {
                Verdict::Carried(sent) => (carried, highest) = (rate, sent),
                Verdict::Lost => lost = rate,
                Verdict::NotSent(sent) => {
                    say(format!(
                        "the generator stops at {sent:.0} packets per second"
                    ));
                    return Ok(f64::max(highest, sent));
                }
            }
            ensure!(lost > LAST_RATE, "no rate is carried without loss");
            rate = if lost.is_finite() {
                (carried + lost) / 2.0
            } else {
                carried * SEARCH_GROWTH
            };
        }
        Ok(highest)
    }

    /// A trial that fails is repeated: machines have pauses.
    fn search_trial(&mut self, rate: f64, loss: f64) -> Result<Verdict> {
        let lasts = SEARCH_TRIAL;
        let mut verdict = Verdict::Lost;
        for _ in 0..SEARCH_ATTEMPTS {
            let trial = self.trial(Pace { rate, lasts })?;
            verdict = if trial.loss() >= loss || trial.late() >= LATE {
                Verdict::Lost
            } else if trial.sent_rate() < GENERATOR_SHORT * rate {
                Verdict::NotSent(trial.sent_rate())
            } else {
                return Ok(Verdict::Carried(trial.sent_rate()));
            };
        }
        Ok(verdict)
    }
}

/// What became of a rate; numbers are packets per second that left.
enum Verdict {
    Carried(f64),
    Lost,
    /// The generator did not get as far, and hardly any was lost.
    NotSent(f64),
}
