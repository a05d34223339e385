//! Whether a worker keeps up, and which rung is given up when it does not.
//!
//! Pure: time, reports and the ledger's state in, at most one [`Change`] at a
//! time out. The dearest rung goes first, which is the tallest that is made
//! (all have one frame rate and one aspect); the last one never goes. A worker
//! that answers nothing at all is not overloaded but hung, and the ledger's
//! business.
//!
//! 1. Tell it of every look at the ledger ([`Load::handle_look`]), every report
//!    and every restart.
//! 2. Ask [`Load::poll`] after each of them, and do what it says.

use std::time::{Duration, Instant};

use crate::transcode::{Report, ladder::Rung};

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The rung is not to be made any more.
    Shed(usize),
    /// The rung is to be made again.
    Restore(usize),
}

/// The ledger at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Age of the oldest tick that the worker has not answered.
    pub(super) lag: Duration,
    /// Frames not asked for since the last look because their rung was behind.
    pub(super) skipped: u64,
    /// Whether the worker has answered anything since the last look.
    pub(super) is_moving: bool,
}

/// Judges one stream's worker.
#[derive(Debug)]
pub(super) struct Load {
    /// Work of each rung, in pixels.
    costs: Vec<u64>,
    /// The first rung that is made here: 1 while the presenter's own frames are the top
    /// one's, which costs nothing and is never shed.
    first: usize,
    /// Rungs that are not made: so many, from `first` on.
    shed: usize,
    /// Nothing is judged before: a new worker starts, or a change takes effect.
    settles_at: Instant,
    late_since: Option<Instant>,
    slow_reports: u32,
    calm_since: Instant,
    /// Calm that a rung's return takes, doubled by every return that failed.
    patience: Duration,
    restored_at: Option<Instant>,
}

impl Load {
    pub(super) fn new(now: Instant, ladder: &[Rung]) -> Self {
        let pixels =
            |rung: &Rung| u64::from(rung.resolution.width) * u64::from(rung.resolution.height);
        Self {
            costs: ladder.iter().map(pixels).collect(),
            first: 0,
            shed: 0,
            settles_at: now + START,
            late_since: None,
            slow_reports: 0,
            calm_since: now,
            patience: CALM,
            restored_at: None,
        }
    }

    /// How many rungs are shed.
    pub(super) fn shed(&self) -> usize {
        self.shed
    }

    /// Takes a look at the ledger.
    pub(super) fn handle_look(&mut self, now: Instant, look: Look) {
        let is_late = look.is_moving && (look.lag >= LATE || look.skipped > 0);
        if is_late {
            self.late_since.get_or_insert(now);
            self.calm_since = now;
        } else if look.lag < LATE && look.skipped == 0 {
            self.late_since = None;
        }
    }

    /// Takes what the worker measured over a second.
    pub(super) fn handle_report(&mut self, now: Instant, report: &Report) {
        if report.speed < 1.0 {
            self.slow_reports += 1;
        } else {
            self.slow_reports = 0;
        }
        if !self.has_room(report.speed) {
            self.calm_since = now;
        }
    }

    /// A new worker takes over: it starts behind, and that is no overload.
    pub(super) fn handle_restart(&mut self, now: Instant) {
        self.settle(now, START);
    }

    /// The presenter's own frames are the top rung's from now on, or are no longer. A
    /// rung that has to be made again where there is no room for those below is shed.
    pub(super) fn set_passing(&mut self, now: Instant, is_passing: bool) -> Option<Change> {
        match (is_passing, self.first) {
            (true, 0) if self.shed == 0 => self.first = 1,
            (false, 1) => {
                self.first = 0;
                if self.shed > 0 {
                    self.settle(now, SETTLE);
                    self.shed += 1;
                    return Some(Change::Shed(0));
                }
            }
            _ => {}
        }
        None
    }

    /// What has to be done now, if anything.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Change> {
        if now < self.settles_at {
            self.late_since = None;
            self.slow_reports = 0;
            return None;
        }
        let has_been_late = self.late_since.is_some_and(|since| now >= since + LATE_FOR);
        if has_been_late || self.slow_reports >= SLOW_REPORTS {
            return self.shed_one(now);
        }
        self.restore_one(now)
    }

    fn shed_one(&mut self, now: Instant) -> Option<Change> {
        if self.first + self.shed + 1 >= self.costs.len() {
            return None;
        }
        if self.restored_at.take().is_some_and(|at| now < at + PROVEN) {
            self.patience = (self.patience * 2).min(LONGEST_CALM);
        } else if self.shed == 0 {
            self.patience = CALM;
        }
        self.settle(now, SETTLE);
        self.shed += 1;
        Some(Change::Shed(self.first + self.shed - 1))
    }

    fn restore_one(&mut self, now: Instant) -> Option<Change> {
        if self.shed == 0 || now < self.calm_since + self.patience {
            return None;
        }
        self.settle(now, SETTLE);
        self.restored_at = Some(now);
        self.shed -= 1;
        Some(Change::Restore(self.first + self.shed))
    }

    fn settle(&mut self, now: Instant, time: Duration) {
        self.settles_at = now + time;
        self.calm_since = now;
        self.late_since = None;
        self.slow_reports = 0;
    }

    /// Whether the next rung could be made beside the others. Speed is that of
    /// the busiest thread, so of the tallest rung that is made; its work grows
    /// with the picture.
    fn has_room(&self, speed: f64) -> bool {
        let Some(next) = self.shed.checked_sub(1) else {
            return speed >= 1.0;
        };
        let cost = |shed: usize| {
            let cost = self.costs.get(self.first + shed).copied();
            cost.unwrap_or(1).max(1) as f64
        };
        speed * cost(self.shed) / cost(next) >= ROOM
    }
}

/// A worker on an idle machine answers within 20 ms, and one that shares a
/// core with others' key frames within 100 ms. What lies above eats the time
/// that LL-DASH players have in hand.
const LATE: Duration = Duration::from_millis(200);

/// A disk or a neighbour that stops the machine for a moment is over by then,
/// and the backlog is made up for; a player's buffer survives as much.
const LATE_FOR: Duration = Duration::from_millis(500);

/// One report under 1.0 may be that of one bad second.
const SLOW_REPORTS: u32 = 2;

/// A rung thins out with the next tick; what is queued until then is at most
/// some ten frames. The report that follows the change covers time before it.
const SETTLE: Duration = Duration::from_millis(1500);

/// A new worker decodes the seed, opens encoders, and makes up for the outage.
const START: Duration = Duration::from_secs(4);

/// Calm before the first return. Each one is a new period for every player,
/// so a load that comes and goes by the minute must not make many.
const CALM: Duration = Duration::from_secs(30);

/// The longest that a stream waits for its rung on a machine with room again.
const LONGEST_CALM: Duration = Duration::from_secs(16 * 60);

/// A return that is undone within this time has failed.
const PROVEN: Duration = Duration::from_secs(5 * 60);

/// Predicted speed with the rung: a quarter in hand, because what the rungs
/// beside it lose to it is not in the prediction.
const ROOM: f64 = 1.25;

#[cfg(test)]
mod tests;
