//! By which paths presenters come.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use crate::whip::session::Path;

const SESSIONS: &str = "inlet_edge_sessions_by_path";
const CONNECTED: &str = "inlet_edge_sessions_connected_total";
const CHANGES: &str = "inlet_edge_session_path_changes_total";

/// Handles of these metrics, each by [`Path::index`].
#[derive(Clone, Debug)]
pub struct Paths {
    sessions: [Gauge; Path::ALL.len()],
    connected: [Counter; Path::ALL.len()],
    changes: [Counter; Path::ALL.len()],
}

impl Paths {
    /// Registers with the process's recorder.
    pub fn register() -> Self {
        let count = Unit::Count;
        describe_gauge!(SESSIONS, count, "Sessions whose media come by this path");
        describe_counter!(CONNECTED, count, "Sessions that connected, by their path");
        describe_counter!(CHANGES, count, "Running sessions that went over to a path");
        Self {
            sessions: Path::ALL.map(|path| gauge!(SESSIONS, "path" => path.as_str())),
            connected: Path::ALL.map(|path| counter!(CONNECTED, "path" => path.as_str())),
            changes: Path::ALL.map(|path| counter!(CHANGES, "path" => path.as_str())),
        }
    }

    /// A session's media come by this path from now on.
    pub fn note_taken(&self, path: Path, is_change: bool) {
        if let Some(gauge) = self.sessions.get(path.index()) {
            gauge.increment(1);
        }
        if is_change && let Some(counter) = self.changes.get(path.index()) {
            counter.increment(1);
        }
    }

    /// A session has left this path, or has ended.
    pub fn note_left(&self, path: Path) {
        if let Some(gauge) = self.sessions.get(path.index()) {
            gauge.decrement(1);
        }
    }

    /// ICE and DTLS of a session are up.
    pub fn note_connected(&self, path: Path) {
        if let Some(counter) = self.connected.get(path.index()) {
            counter.increment(1);
        }
    }
}
