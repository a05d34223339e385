//! Whether anything happens on a connection.
//!
//! A request counts from its arrival until the last byte of its response's
//! body was handed on, so that a long answer (a held playlist, an event
//! stream) never looks idle. A body whose client takes nothing looks busy for
//! ever, and keeps what it is made of in memory: that ends a connection too.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// The requests of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    running: AtomicUsize,
    begun: AtomicU64,
    /// Pieces that clients took.
    taken: AtomicU64,
    /// Looks of [`Activity::ceased`] so far.
    looks: AtomicUsize,
    /// Bodies that gave a piece and were not asked for the next, by whether the
    /// looks before that were even or odd.
    given: [AtomicUsize; 2],
}

/// Why nothing more is to be expected of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ceased {
    /// No request runs, and none comes.
    Idle,
    /// A client takes nothing of an answer.
    Stalled,
}

impl Activity {
    /// Notes a request that runs until the guard is dropped.
    pub(super) fn begin(&self) -> Running {
        self.counts.running.fetch_add(1, Ordering::Relaxed);
        self.counts.begun.fetch_add(1, Ordering::Relaxed);
        Running {
            counts: Arc::clone(&self.counts),
            given: None,
        }
    }

    /// Returns when no request came within `first`, or later when none ran
    /// for `idle`, or the client took nothing so long (and at most twice that). By
    /// HTTP/2 one viewer of a proxy may be slow among hundreds: as long as the
    /// connection takes anything it lives, and what it keeps is bounded.
    pub(super) async fn ceased(&self, first: Duration, idle: Duration) -> Ceased {
        tokio::time::sleep(first).await;
        let (mut seen, mut taken_before) = (0, 0);
        loop {
            let begun = self.counts.begun.load(Ordering::Relaxed);
            if begun == seen && self.counts.running.load(Ordering::Relaxed) == 0 {
                return Ceased::Idle;
            }
            seen = begun;
            // Those that gave before the last look count where those that give
            // from now on will.
            let looks = self.counts.looks.fetch_add(1, Ordering::Relaxed) + 1;
            let taken = self.counts.taken.load(Ordering::Relaxed);
            let waits = self.counts.given[looks % 2].load(Ordering::Relaxed) > 0;
            if waits && taken == taken_before {
                return Ceased::Stalled;
            }
            taken_before = taken;
            tokio::time::sleep(idle).await;
        }
    }
}

/// One request, while it runs.
#[derive(Debug)]
pub(super) struct Running {
    counts: Arc<Counts>,
    /// Where its body is counted among those that gave a piece.
    given: Option<usize>,
}

impl Running {
    /// Notes that the client wants more, since it took what there was.
    fn taken(&mut self) {
        if let Some(at) = self.given.take() {
            self.counts.given[at].fetch_sub(1, Ordering::Relaxed);
            self.counts.taken.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that the client has something to take.
    fn given(&mut self) {
        let at = self.counts.looks.load(Ordering::Relaxed) % 2;
        self.counts.given[at].fetch_add(1, Ordering::Relaxed);
        self.given = Some(at);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.taken();
        self.counts.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response's body that keeps its request running until it is sent.
#[derive(Debug)]
pub(super) struct Guarded {
    body: Body,
    running: Running,
}

impl Guarded {
    pub(super) fn new(body: Body, running: Running) -> Self {
        Self { body, running }
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.running.taken();
        let polled = Pin::new(&mut self.body).poll_frame(context);
        // After its last piece a body is not asked again.
        if matches!(polled, Poll::Ready(Some(Ok(_)))) && !self.body.is_end_stream() {
            self.running.given();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const FIRST: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_connection_early() {
        let begun = Instant::now();
        let ceased = Activity::default().ceased(FIRST, IDLE).await;
        assert_eq!(ceased, Ceased::Idle);
        assert_eq!(begun.elapsed(), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_buys_an_idle_period() {
        let activity = Activity::default();
        drop(activity.begin());
        let begun = Instant::now();
        activity.ceased(FIRST, IDLE).await;
        assert_eq!(begun.elapsed(), FIRST + IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_request_is_never_idle() {
        let activity = Activity::default();
        let running = activity.begin();
        let begun = Instant::now();
        tokio::spawn(async move {
            tokio::time::sleep(IDLE * 10).await;
            drop(running);
        });
        activity.ceased(FIRST, IDLE).await;
        assert!(begun.elapsed() > IDLE * 10);
    }

    /// A body that has so many pieces and then nothing for ever.
    struct Pieces(usize);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            let Some(left) = self.0.checked_sub(1) else {
                return Poll::Pending;
            };
            self.0 = left;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"piece")))))
        }
    }

    fn guarded(activity: &Activity, pieces: usize) -> Guarded {
        Guarded::new(Body::new(Pieces(pieces)), activity.begin())
    }

    async fn piece(body: &mut Guarded) {
        std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context))
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_not_waited_for() {
        let activity = Activity::default();
        let mut body = guarded(&activity, 2);
        piece(&mut body).await;
        let begun = Instant::now();
        assert_eq!(activity.ceased(FIRST, IDLE).await, Ceased::Stalled);
        assert_eq!(begun.elapsed(), FIRST + IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_waited_for_as_long_as_it_takes_something() {
        let activity = Activity::default();
        let (mut first, mut second) = (guarded(&activity, 2), guarded(&activity, 2));
        piece(&mut first).await;
        piece(&mut second).await;
        let begun = Instant::now();
        tokio::spawn(async move {
            tokio::time::sleep(IDLE).await;
            drop(first);
            piece(&mut second).await;
            tokio::time::sleep(IDLE).await;
            drop(second);
        });
        assert_eq!(activity.ceased(FIRST, IDLE).await, Ceased::Idle);
        assert!(begun.elapsed() > IDLE * 2);
    }

    /// As a CDN's is, with one viewer among many who takes nothing.
    #[tokio::test(start_paused = true)]
    async fn a_connection_lives_while_another_of_its_bodies_is_taken() {
        let activity = Activity::default();
        let (mut stuck, mut lively) = (guarded(&activity, 2), guarded(&activity, 100));
        piece(&mut stuck).await;
        let begun = Instant::now();
        tokio::spawn(async move {
            for _ in 0..10 {
                piece(&mut lively).await;
                tokio::time::sleep(IDLE).await;
            }
            // Gone, and the stuck one is alone.
            drop(lively);
        });
        assert_eq!(activity.ceased(FIRST, IDLE).await, Ceased::Stalled);
        assert!(begun.elapsed() > IDLE * 9);
        drop(stuck);
    }

    /// Such as a segment whose next chunk is still to be made.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_has_nothing_to_give_is_no_fault_of_the_client() {
        let activity = Activity::default();
        let mut body = guarded(&activity, 1);
        piece(&mut body).await;
        let more = tokio::time::timeout(IDLE * 5, piece(&mut body));
        let ceased = activity.ceased(FIRST, IDLE);
        tokio::select! {
            biased;
            ceased = ceased => panic!("{ceased:?}"),
            more = more => assert!(more.is_err()),
        }
    }
}
