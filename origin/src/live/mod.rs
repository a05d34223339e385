//! The streams that are live right now, each with its timeline.
//!
//! [`Directory`] is how the rest of the origin sees them: the API reads a
//! stream's [`Status`] and asks for its end, the control stream begins and
//! ends publications.

use std::{collections::BTreeMap, sync::Mutex};

use inlet_common::{clock::UtcTime, ids::StreamId};
use tokio_util::sync::CancellationToken;

use crate::transcode::ladder::Resolution;

/// Every live stream by its id.
#[derive(Debug, Default)]
pub struct Directory {
    streams: Mutex<BTreeMap<StreamId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    status: Status,
    end: CancellationToken,
}

/// What the API tells of a live stream.
#[derive(Clone, Debug)]
pub struct Status {
    /// When its presenter began.
    pub started_at: UtcTime,
    /// The PoP through which it comes in.
    pub region: String,
    /// Size of the presenter's picture, once known.
    pub source: Option<Resolution>,
    /// Names of the rungs being made, tallest first (`720p`, …).
    pub qualities: Vec<String>,
    /// Media seconds made per second; under 1.0 the machine cannot keep up.
    pub speed: Option<f64>,
    /// Frames per second of every rung.
    pub frame_rate: Option<u32>,
}

impl Directory {
    /// What is known of a stream, `None` when it is not live.
    pub fn status(&self, stream: StreamId) -> Option<Status> {
        self.lock().get(&stream).map(|entry| entry.status.clone())
    }

    /// Ends a stream's running session, if there is one. The session's own
    /// task does the work and the presenter is told; this only asks.
    pub fn end(&self, stream: StreamId) -> bool {
        self.lock()
            .get(&stream)
            .map(|entry| entry.end.cancel())
            .is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<StreamId, Entry>> {
        self.streams
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
