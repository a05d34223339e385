//! What is made for players of transport streams, and only when they ask.
//!
//! One viewer's request makes a segment for all others who ask within the
//! next seconds; older ones are muxed again, which costs a millisecond, rather
//! than kept: the DVR window would take twice the memory. It is made beside the
//! threads that serve everyone, a few at a time, and once begun to its end though its
//! viewer leaves. So many segments may wait for their turn; who leaves waits no more,
//! so that requests which are taken back at once pile up nowhere. A segment's length
//! is remembered for longer: who asks for that alone has nothing muxed.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::Bytes;
use tokio::{sync::Semaphore, task::JoinError};

use super::Rendered;
use crate::package::{State, ts};

/// Segments kept: a player begins three behind the edge.
const MAX_KEPT: usize = 6;

/// Lengths remembered: those of an hour's segments.
const MAX_LENGTHS: usize = 3600;

/// Segments muxed at once by this process: two thousand a second.
static MUXING: Semaphore = Semaphore::const_new(MAX_MUXING);
const MAX_MUXING: usize = 2;

/// Segments that may wait for that: some 0.1 s of work.
static WAITING: Semaphore = Semaphore::const_new(MAX_WAITING);
const MAX_WAITING: usize = 256;

/// Why a segment could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// It could not be muxed, which is a fault of ours.
    #[error("mux")]
    Mux(#[from] ts::Error),
    /// The process is about to stop, or the muxer has panicked.
    #[error("stopped")]
    Stopped(#[from] JoinError),
    /// Too many others wait to be muxed.
    #[error("too many segments wait")]
    Overloaded,
}

/// The transport streams of one rung.
#[derive(Debug, Default)]
pub(super) struct Transport {
    playlist: Mutex<Option<Playlist>>,
    segments: Mutex<VecDeque<(u64, Arc<Place>)>>,
    lengths: Arc<Mutex<BTreeMap<u64, usize>>>,
}

/// A segment's.
#[derive(Debug, Default)]
struct Place {
    made: OnceLock<Bytes>,
    /// Held by who makes it.
    making: Arc<tokio::sync::Mutex<()>>,
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
        if let Some(made) = place.made.get() {
            return Ok(made.clone());
        }
        let making = Arc::clone(&place.making).lock_owned().await;
        if let Some(made) = place.made.get() {
            return Ok(made.clone());
        }
        let queued = WAITING.try_acquire();
        let queued = queued.map_err(|_| TransportError::Overloaded)?;
        // It is never closed; were it, nothing would be bounded and all would go on.
        let turn = MUXING.acquire().await.ok();
        drop(queued);
        let lengths = Arc::clone(&self.lengths);
        let make = move || {
            let _held = (making, turn);
            let made = mux()?;
            remember(&lengths, number, made.len());
            // Nobody else sets it meanwhile.
            Ok(place.made.get_or_init(|| made).clone())
        };
        let made = tokio::task::spawn_blocking(make).await?;
        trim(&mut lock(&self.segments), MAX_KEPT);
        made
    }

    fn place(&self, number: u64) -> Arc<Place> {
        let mut kept = lock(&self.segments);
        if let Some((_, place)) = kept.iter().find(|(known, _)| *known == number) {
            return Arc::clone(place);
        }
        trim(&mut kept, MAX_KEPT - 1);
        let place = Arc::default();
        kept.push_back((number, Arc::clone(&place)));
        place
    }
}

/// Keeps no more than `most`, and those that somebody makes or waits for.
fn trim(kept: &mut VecDeque<(u64, Arc<Place>)>, most: usize) {
    // Whoever comes by one has it from here, so that nobody has the others.
    let is_free = |place: &Arc<Place>| Arc::strong_count(place) == 1;
    kept.retain(|(_, place)| !is_free(place) || place.made.get().is_some());
    while kept.len() > most {
        let oldest = kept.iter().position(|(_, place)| is_free(place));
        if oldest.and_then(|oldest| kept.remove(oldest)).is_none() {
            break;
        }
    }
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
    use std::{
        future::poll_fn,
        pin::{Pin, pin},
        sync::atomic::{AtomicU32, Ordering},
        task::Poll,
    };

    use super::*;

    const SEGMENT: Bytes = Bytes::from_static(b"a segment");

    /// Lets a request go as far as it can at once.
    async fn begin<T>(asked: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let mut asked = asked;
        // A task that never yields is soon told to wait where it need not.
        tokio::task::yield_now().await;
        poll_fn(|context| {
            Poll::Ready(match asked.as_mut().poll(context) {
                Poll::Ready(done) => Some(done),
                Poll::Pending => None,
            })
        })
        .await
    }

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
            let mut asked = pin!(transport.segment(7, || Ok(SEGMENT)));
            assert!(begin(asked.as_mut()).await.is_none());
        }
        while transport.length(7).is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_whose_viewer_has_left_before_its_turn_is_not_made() {
        let transport = Transport::default();
        let turns = MUXING.acquire_many(2).await.unwrap();
        for number in 0..2 * MAX_WAITING as u64 {
            let mut asked = pin!(transport.segment(number, || panic!("made for nobody")));
            assert!(begin(asked.as_mut()).await.is_none());
        }
        assert_eq!(WAITING.available_permits(), MAX_WAITING);
        drop(turns);
        assert_eq!(MUXING.available_permits(), MAX_MUXING);
        assert!(transport.segment(0, || Ok(SEGMENT)).await.is_ok());
        assert_eq!(lock(&transport.segments).len(), 1);
    }

    #[tokio::test]
    async fn so_many_wait_and_one_more_is_sent_away() {
        let transport = Transport::default();
        let turns = MUXING.acquire_many(2).await.unwrap();
        let ask = |number| Box::pin(transport.segment(number, || Ok(SEGMENT)));
        let mut waiting: Vec<_> = (0..MAX_WAITING as u64).map(ask).collect();
        for asked in &mut waiting {
            assert!(begin(asked.as_mut()).await.is_none());
        }
        // It waits for what another one waits for, and takes no place of its own.
        let mut beside = ask(0);
        assert!(begin(beside.as_mut()).await.is_none());
        let refused = ask(1_000).await;
        assert!(matches!(refused, Err(TransportError::Overloaded)));
        drop(turns);
        for asked in waiting {
            assert_eq!(asked.await.unwrap(), SEGMENT);
        }
        assert_eq!(beside.await.unwrap(), SEGMENT);
        assert_eq!(lock(&transport.segments).len(), MAX_KEPT);
        assert!(ask(1_000).await.is_ok());
        assert_eq!(lock(&transport.segments).len(), MAX_KEPT);
    }

    #[tokio::test]
    async fn one_that_is_being_made_keeps_its_place() {
        let transport = Transport::default();
        let turns = MUXING.acquire_many(2).await.unwrap();
        let muxed = AtomicU32::new(0);
        let muxed: &'static AtomicU32 = Box::leak(Box::new(muxed));
        let ask = |number| {
            Box::pin(transport.segment(number, move || {
                muxed.fetch_add(1, Ordering::Relaxed);
                Ok(SEGMENT)
            }))
        };
        let mut asked: Vec<_> = (0..2 * MAX_KEPT as u64).map(ask).collect();
        for asked in &mut asked {
            assert!(begin(asked.as_mut()).await.is_none());
        }
        let mut again = ask(0);
        assert!(begin(again.as_mut()).await.is_none());
        drop(turns);
        for asked in asked.into_iter().chain([again]) {
            assert_eq!(asked.await.unwrap(), SEGMENT);
        }
        assert_eq!(muxed.load(Ordering::Relaxed), 2 * MAX_KEPT as u32);
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
