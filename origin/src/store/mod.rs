//! What viewers may fetch right now.
//!
//! The owner of a stream makes a [`Stream`] beside its packager, applies the
//! packager's outputs to it, and puts it into the [`Directory`]; HTTP only
//! reads. When the presenter has left for good, the owner removes it, and
//! everyone who still waits is told so.

mod rendered;
mod stream;
mod thumbnails;
mod transport;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use inlet_common::ids::{ClientId, StreamId};

pub use rendered::Rendered;
pub use stream::{Still, Stream, Track};
pub use transport::TransportError;

/// Every stream that has output, by its owner and its id.
#[derive(Debug, Default)]
pub struct Directory {
    streams: RwLock<BTreeMap<(ClientId, StreamId), Arc<Stream>>>,
}

impl Directory {
    /// Adds a stream. One that was there before is retired.
    pub fn insert(&self, client: ClientId, id: StreamId, stream: Arc<Stream>) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = streams.insert((client, id), stream) {
            old.retire();
        }
    }

    /// A stream's output; `None` when there is none.
    pub fn find(&self, client: ClientId, id: StreamId) -> Option<Arc<Stream>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.get(&(client, id)).map(Arc::clone)
    }

    /// Removes a stream and releases everyone who waits for more of it.
    /// Returns whether it was there.
    pub fn remove(&self, client: ClientId, id: StreamId) -> bool {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams
            .remove(&(client, id))
            .inspect(|stream| stream.retire())
            .is_some()
    }
}
