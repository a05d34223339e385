//! What is made for players of transport streams, and only when they ask.
//!
//! One viewer's request makes a segment for all others who ask within the
//! next seconds; older ones are muxed again, which costs a millisecond, rather
//! than kept: the DVR window would take twice the memory. It is made beside the
//! threads that serve everyone, a few at a time, and to its end though its viewer
//! leaves. A segment's length is remembered for longer: who asks for that alone
//! has nothing muxed.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::{
    sync::{OnceCell, Semaphore},
    task::JoinError,
};

use super::Rendered;
use crate::package::{State, ts};

/// Segments kept: a player begins three behind the edge.
const MAX_KEPT: usize = 6;

/// Lengths remembered: those of an hour's segments.
const MAX_LENGTHS: usize = 3600;

/// Segments muxed at once by this process: two thousand a second.
static MUXING: Semaphore = Semaphore::const_new(2);

/// Why a segment could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// It could not be muxed, which is a fault of ours.
    #[error("mux")]
    Mux(#[from] ts::Error),
    /// The process is about to stop, or the muxer has panicked.
    #[error("stopped")]
    Stopped(#[from] JoinError),
}

/// The transport streams of one rung.
#[derive(Debug, Default)]
pub(super) struct Transport {
    playlist: Mutex<Option<Playlist>>,
    segments: Mutex<VecDeque<(u64, Arc<OnceCell<Bytes>>)>>,
    lengths: Arc<Mutex<BTreeMap<u64, usize>>>,
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

    /// How long segment `number` is, if it has ever been made.
    pub(super) fn length(&self, number: u64) -> Option<usize> {
        lock(&self.lengths).get(&number).copied()
    }

    /// Segment `number`. Whoever asks at the same time waits for the one that is
    /// being made.
    pub(super) async fn segment(
        &self,
        number: u64,
        mux: impl FnOnce() -> Result<Bytes, ts::Error> + Send + 'static,
    ) -> Result<Bytes, TransportError> {
        let place = self.place(number);
        if let Some(made) = place.get() {
            return Ok(made.clone());
        }
        let lengths = Arc::clone(&self.lengths);
        let make = async move {
            let made = place.get_or_try_init(|| in_background(mux)).await?;
            remember(&lengths, number, made.len());
            Ok(made.clone())
        };
        tokio::spawn(make).await?
    }

    fn place(&self, number: u64) -> Arc<OnceCell<Bytes>> {
        let mut kept = lock(&self.segments);
        if let Some((_, place)) = kept.iter().find(|(known, _)| *known == number) {
            return Arc::clone(place);
        }
        let place = Arc::default();
        kept.push_back((number, Arc::clone(&place)));
        if kept.len() > MAX_KEPT {
            kept.pop_front();
        }
        place
    }
}

/// Muxes on a thread that may be kept busy, when it is its turn.
async fn in_background(
    mux: impl FnOnce() -> Result<Bytes, ts::Error> + Send + 'static,
) -> Result<Bytes, TransportError> {
    // It is never closed; were it, nothing would be bounded and all would go on.
    let turn = MUXING.acquire().await.ok();
    let made = tokio::task::spawn_blocking(mux).await?;
    drop(turn);
    Ok(made?)
}

fn remember(lengths: &Mutex<BTreeMap<u64, usize>>, number: u64, length: usize) {
    let mut lengths = lock(lengths);
    lengths.insert(number, length);
    if lengths.len() > MAX_LENGTHS {
        lengths.pop_first();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const SEGMENT: Bytes = Bytes::from_static(b"a segment");

    #[tokio::test]
    async fn who_asks_at_the_same_time_shares_one_mux_on_another_thread() {
        let transport = Transport::default();
        let muxed = Arc::new(AtomicU32::new(0));
        let own = std::thread::current().id();
        let ask = || {
            let muxed = Arc::clone(&muxed);
            transport.segment(7, move || {
                assert_ne!(std::thread::current().id(), own);
                muxed.fetch_add(1, Ordering::Relaxed);
                Ok(SEGMENT)
            })
        };
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        for made in [one, two, three, ask().await] {
            assert_eq!(made.unwrap(), SEGMENT);
        }
        assert_eq!(muxed.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_length_is_remembered_when_the_segment_is_not_kept() {
        let transport = Transport::default();
        assert_eq!(transport.length(0), None);
        for number in 0..20 {
            transport.segment(number, || Ok(SEGMENT)).await.unwrap();
        }
        assert_eq!(transport.length(0), Some(SEGMENT.len()));
        assert_eq!(lock(&transport.segments).len(), MAX_KEPT);
    }

    #[tokio::test]
    async fn one_whose_viewer_has_left_is_made_all_the_same() {
        let transport = Transport::default();
        {
            let asked = transport.segment(7, || Ok(SEGMENT));
            let mut asked = std::pin::pin!(asked);
            let once = std::future::poll_fn(|context| {
                std::task::Poll::Ready(asked.as_mut().poll(context).is_ready())
            });
            assert!(!once.await);
        }
        while transport.length(7).is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_failed_is_tried_again() {
        let transport = Transport::default();
        let failed = transport.segment(7, || Err(ts::Error::Kind)).await;
        assert!(matches!(failed, Err(TransportError::Mux(ts::Error::Kind))));
        assert_eq!(transport.length(7), None);
        assert!(transport.segment(7, || Ok(SEGMENT)).await.is_ok());
    }
}
