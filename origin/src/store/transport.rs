//! What is made for players of transport streams, and only when they ask.
//!
//! One viewer's request makes a segment for all others who ask within the
//! next seconds; older ones are muxed again, which costs a millisecond, rather
//! than kept: the DVR window would take twice the memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::Rendered;
use crate::package::State;

/// Segments kept: a player begins three behind the edge.
const MAX_KEPT: usize = 6;

/// The transport streams of one rung.
#[derive(Debug, Default)]
pub(super) struct Transport {
    playlist: Mutex<Option<Playlist>>,
    segments: Mutex<VecDeque<(u64, Bytes)>>,
}

#[derive(Debug)]
struct Playlist {
    last: u64,
    state: State,
    rendered: Arc<Rendered>,
}

impl Transport {
    /// The playlist up to segment `last`, rendered once.
    pub(super) fn playlist(
        &self,
        last: u64,
        state: State,
        render: impl FnOnce() -> String,
    ) -> Arc<Rendered> {
        let mut known = lock(&self.playlist);
        let current = known
            .as_ref()
            .filter(|known| known.last == last && known.state == state);
        if let Some(current) = current {
            return Arc::clone(&current.rendered);
        }
        let rendered = Arc::new(Rendered::new(render()));
        *known = Some(Playlist {
            last,
            state,
            rendered: Arc::clone(&rendered),
        });
        rendered
    }

    /// Segment `number`. Whoever asks at the same time waits for the one who
    /// muxes it.
    pub(super) fn segment<E>(
        &self,
        number: u64,
        mux: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let mut kept = lock(&self.segments);
        if let Some((_, segment)) = kept.iter().find(|(known, _)| *known == number) {
            return Ok(segment.clone());
        }
        let segment = mux()?;
        kept.push_back((number, segment.clone()));
        if kept.len() > MAX_KEPT {
            kept.pop_front();
        }
        Ok(segment)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
