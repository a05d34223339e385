//! Small pictures beside the media.

use std::sync::Arc;

use bytes::Bytes;

use super::{Output, Packager, Segmenter, State};
use crate::transcode::ladder::{Resolution, thumbnail};

impl Packager {
    /// Takes a picture of the lowest rung, whose frame has been packaged.
    pub(super) fn handle_thumbnail(&mut self, number: u64, data: &Bytes) {
        let lowest = self.segmenters.iter().take(self.audio_index()).next_back();
        let next = lowest.and_then(Segmenter::next);
        // The worker has looked at a stranger's bytes: a number out of time would end
        // the pictures of all that follows.
        if self.state != State::Live || next.is_none_or(|next| number >= next) {
            return;
        }
        let is_first = self.album.is_empty();
        if self.album.push(number, data.clone()) {
            self.presentation_changed |= is_first;
            let snapshot = Arc::new(self.album.snapshot());
            self.outputs.push_back(Output::Thumbnails(snapshot));
        }
    }

    /// The size of the pictures, once there is one.
    pub(super) fn thumbnail_size(&self) -> Option<Resolution> {
        let lowest = self.spec.ladder.last();
        let size = lowest.map(|rung| thumbnail(rung.resolution));
        size.filter(|_| !self.album.is_empty())
    }
}
