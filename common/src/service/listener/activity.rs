//! Whether anything happens on a connection.
//!
//! A request counts from its arrival until the last byte of its response's
//! body was handed on, so that a long answer (a held playlist, an event
//! stream) never looks idle.

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
}

impl Activity {
    /// Notes a request that runs until the guard is dropped.
    pub(super) fn begin(&self) -> Running {
        self.counts.running.fetch_add(1, Ordering::Relaxed);
        self.counts.begun.fetch_add(1, Ordering::Relaxed);
        Running {
            counts: Arc::clone(&self.counts),
        }
    }

    /// Returns when no request came within `first`, or later when none ran
    /// for `idle` (and at most twice that).
    pub(super) async fn ceased(&self, first: Duration, idle: Duration) {
        tokio::time::sleep(first).await;
        let mut seen = 0;
        loop {
            let begun = self.counts.begun.load(Ordering::Relaxed);
            if begun == seen && self.counts.running.load(Ordering::Relaxed) == 0 {
                return;
            }
            seen = begun;
            tokio::time::sleep(idle).await;
        }
    }
}

/// One request, while it runs.
#[derive(Debug)]
pub(super) struct Running {
    counts: Arc<Counts>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.counts.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response's body that keeps its request running until it is sent.
#[derive(Debug)]
pub(super) struct Guarded {
    body: Body,
    _running: Running,
}

impl Guarded {
    pub(super) fn new(body: Body, running: Running) -> Self {
        Self {
            body,
            _running: running,
        }
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
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
        Activity::default().ceased(FIRST, IDLE).await;
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
}
