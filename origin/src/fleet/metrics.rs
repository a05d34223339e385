//! What the origin counts of its points of presence.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use super::Outcome;

/// Handles of every metric of the room.
#[derive(Debug)]
pub(super) struct Metrics {
    open: Gauge,
    draining: Gauge,
    taken: Counter,
    late: Counter,
    refused: Counter,
}

impl Metrics {
    /// Registers every metric with its meaning.
    pub(super) fn new() -> Self {
        const POPS: &str = "inlet_origin_pops";
        const REPORTS: &str = "inlet_origin_pop_reports_total";
        describe_gauge!(
            POPS,
            "points of presence that have reported in the last 30 seconds, by state"
        );
        describe_counter!(
            REPORTS,
            "reports of points of presence: taken, late (overtaken by a later one), or \
             refused (no name, or too many points of presence)"
        );
        Self {
            open: gauge!(POPS, "state" => "open"),
            draining: gauge!(POPS, "state" => "draining"),
            taken: counter!(REPORTS, "result" => "taken"),
            late: counter!(REPORTS, "result" => "late"),
            refused: counter!(REPORTS, "result" => "refused"),
        }
    }

    /// A report has come; `None` under a name that is none.
    pub(super) fn note(&self, outcome: Option<Outcome>) {
        let counter = match outcome {
            Some(Outcome::Taken { .. }) => &self.taken,
            Some(Outcome::Late) => &self.late,
            Some(Outcome::Full) | None => &self.refused,
        };
        counter.increment(1);
    }

    /// So many take clients, and so many drain.
    pub(super) fn set(&self, (open, draining): (usize, usize)) {
        self.open.set(open as f64);
        self.draining.set(draining as f64);
    }
}
