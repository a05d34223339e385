//! The small pictures at one moment, with the file that lists them.

use std::sync::{Arc, OnceLock};

use super::Rendered;
use crate::{package::Thumbnails, timeline::Epoch};

/// What viewers may fetch, and its list once somebody has asked for it.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) thumbnails: Arc<Thumbnails>,
    text: OnceLock<Option<Arc<Rendered>>>,
}

impl Listing {
    pub(super) fn new(thumbnails: Arc<Thumbnails>) -> Self {
        Self {
            thumbnails,
            text: OnceLock::new(),
        }
    }

    /// The WebVTT file; `None` before the first picture.
    pub(super) fn text(&self, epoch: Epoch) -> Option<Arc<Rendered>> {
        let render = || {
            let text = self.thumbnails.webvtt(epoch)?;
            Some(Arc::new(Rendered::new(text)))
        };
        self.text.get_or_init(render).clone()
    }
}
