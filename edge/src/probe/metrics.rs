//! What probes count.

use metrics::{Histogram, Unit, counter, histogram};

use super::{Error, Findings, Kind, Target};
use crate::metrics::described::{self, Described};

const RESULTS: &str = "inlet_edge_probe_results_total";
const SECONDS: &str = "inlet_edge_probe_seconds";

/// What only rises.
const COUNTERS: &[Described] = &[(
    RESULTS,
    Unit::Count,
    "Probes of other points of presence, by address family, kind and what was found: ok, or \
     what is wrong; kind report is whether they told how they do",
)];

/// What is spread.
const HISTOGRAMS: &[Described] = &[(
    SECONDS,
    Unit::Seconds,
    "Time until a probe had proven that its kind works, handshakes included",
)];

/// Handles of the probes' metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    seconds: [Histogram; Kind::ALL.len()],
}

impl Metrics {
    /// Registers with the process's recorder; call after that is installed.
    pub fn register() -> Self {
        described::tell(COUNTERS, &[], HISTOGRAMS);
        Self {
            seconds: Kind::ALL.map(|kind| histogram!(SECONDS, "kind" => kind.as_str())),
        }
    }

    /// Counts what a run has found. Results that nobody ever had are not shown: there
    /// are hundreds for each point of presence.
    pub(super) fn note(&self, target: &Target, findings: &Findings) {
        if let Some(told) = findings.report {
            count(target, "report", told.err());
        }
        for (kind, found) in findings.all() {
            count(target, kind.as_str(), found.err());
            let at = Kind::ALL.iter().position(|known| *known == kind);
            let seconds = at.and_then(|at| self.seconds.get(at));
            if let (Ok(took), Some(seconds)) = (found, seconds) {
                seconds.record(took.as_secs_f64());
            }
        }
    }
}

fn count(target: &Target, kind: &'static str, error: Option<Error>) {
    let result = error.map_or("ok", Error::as_str);
    let labels = [
        ("pop", target.pop.clone()),
        ("family", target.family().to_owned()),
        ("kind", kind.to_owned()),
        ("result", result.to_owned()),
    ];
    counter!(RESULTS, &labels).increment(1);
}
