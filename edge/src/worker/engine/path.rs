//! By which path each session's media come.

use std::time::Instant;

use super::Engine;
use crate::{trace::Notice, whip::session::Way};

impl Engine {
    /// The one place where it becomes known that a session's media come by another
    /// way than before, or by the first.
    pub(super) fn note_path(&mut self, now: Instant, key: usize, way: Way) {
        let Some(running) = self.table.get_mut(key) else {
            return;
        };
        let before = running.path.replace(way.path);
        if before == Some(way.path) {
            return;
        }
        if let Some(before) = before {
            self.metrics.paths.note_left(before);
        }
        self.metrics.paths.note_taken(way.path, before.is_some());
        let session = running.session.id();
        tracing::debug!(%session, path = way.path.as_str(), "media come by this path");
        let notice = Notice::Moved {
            path: way.path,
            remote: way.remote,
        };
        self.notice(now, session, notice);
    }
}
