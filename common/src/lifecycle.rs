//! The named phases of a process, from start to stop.
//!
//! ```text
//!  Starting ─▶ Ready ─▶ Draining ─▶ Closing ─▶ Stopped
//! ```
//!
//! A [`Lifecycle`] is the shared state: it only ever moves forward, may skip a
//! phase, and hands out cancellation tokens. [`Tasks`] holds what the process
//! is made of and runs it to its end under one deadline. A task that ends by
//! itself before `Closing` ends the process: a service that has lost its
//! listener must be started anew, not look alive.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// How long tasks may take to return once `Closing` has begun. Enough for a
/// QUIC close and a DTLS close_notify; systemd kills after `TimeoutStopSec`,
/// which must be larger than the drain timeout by more than this.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Binding sockets, loading certificates.
    Starting,
    /// Serving.
    Ready,
    /// Takes nothing new; what runs may finish.
    Draining,
    /// Ends what still runs.
    Closing,
    /// Nothing runs any more.
    Stopped,
}

/// The phase of this process, shared by all of its parts.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    phase: watch::Sender<Phase>,
    draining: CancellationToken,
    closing: CancellationToken,
}

impl Lifecycle {
    /// Begins in [`Phase::Starting`].
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                phase: watch::Sender::new(Phase::Starting),
                draining: CancellationToken::new(),
                closing: CancellationToken::new(),
            }),
        }
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.shared.phase.borrow()
    }

    /// Whether the process serves and takes new work.
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Ready
    }

    /// Follows the phase.
    pub fn subscribe(&self) -> watch::Receiver<Phase> {
        self.shared.phase.subscribe()
    }

    /// Cancelled when draining begins: stop taking new work.
    pub fn draining(&self) -> CancellationToken {
        self.shared.draining.clone()
    }

    /// Cancelled when closing begins: end and return.
    pub fn closing(&self) -> CancellationToken {
        self.shared.closing.clone()
    }

    /// Moves forward to `phase`; nothing happens when it is already there or
    /// beyond. Returns whether it moved.
    pub fn advance(&self, phase: Phase) -> bool {
        let moved = self.shared.phase.send_if_modified(|current| {
            let forward = phase > *current;
            if forward {
                *current = phase;
            }
            forward
        });
        if moved {
            tracing::debug!(?phase, "phase");
        }
        if phase >= Phase::Draining {
            self.shared.draining.cancel();
        }
        if phase >= Phase::Closing {
            self.shared.closing.cancel();
        }
        moved
    }

    /// Returns once `phase` or a later one is reached.
    pub async fn reached(&self, phase: Phase) {
        let mut follow = self.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        follow.wait_for(|current| *current >= phase).await.ok();
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a task could not go on.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;

/// What a process is made of: its long-running tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<(&'static str, Result<(), TaskError>)>,
}

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything had finished by itself before the deadline.
    Drained,
    /// The drain timeout passed, and what still ran was ended.
    DeadlinePassed,
    /// A second signal asked to end at once.
    Hurried,
    /// This task ended before its time; the log says why.
    TaskFailed(&'static str),
}

impl Ended {
    /// Whether the process did what it was told, so that it exits with 0.
    pub fn is_orderly(self) -> bool {
        !matches!(self, Self::TaskFailed(_))
    }
}

impl Tasks {
    /// Starts with no task.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that runs until [`Lifecycle::closing`].
    pub fn spawn<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        self.set.spawn(async move { (name, task.await) });
    }

    /// Starts a task that cannot fail and runs until [`Lifecycle::closing`].
    pub fn spawn_infallible<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn(name, async {
            task.await;
            Ok(())
        });
    }

    /// Runs the process to its end: waits for `Draining`, then until `drained`
    /// returns or `drain_timeout` is over, then for the tasks to return.
    ///
    /// Tasks that have not returned [`CLOSE_TIMEOUT`] after closing began are
    /// aborted.
    pub async fn run(
        mut self,
        lifecycle: &Lifecycle,
        drained: impl Future<Output = ()>,
        drain_timeout: Duration,
    ) -> Ended {
        let ended = tokio::select! {
            // First: tasks that end because it closes do not end before their time.
            biased;
            ended = drain(lifecycle, drained, drain_timeout) => ended,
            name = self.first_end() => Ended::TaskFailed(name),
        };
        lifecycle.advance(Phase::Closing);
        self.close().await;
        lifecycle.advance(Phase::Stopped);
        tracing::info!(?ended, "stopped");
        ended
    }

    /// Returns the name of the first task to end, whatever its result.
    async fn first_end(&mut self) -> &'static str {
        match self.set.join_next().await {
            Some(Ok((name, result))) => {
                report(name, result);
                tracing::error!(task = name, "a task ended before its time");
                name
            }
            Some(Err(error)) => {
                tracing::error!(%error, "a task panicked");
                "panicked"
            }
            None => std::future::pending().await,
        }
    }

    async fn close(&mut self) {
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        while let Ok(Some(end)) = timeout_at(deadline, self.set.join_next()).await {
            match end {
                Ok((name, result)) => report(name, result),
                Err(error) => tracing::error!(%error, "a task panicked"),
            }
        }
        if !self.set.is_empty() {
            tracing::warn!(tasks = self.set.len(), "tasks did not return in time");
            self.set.shutdown().await;
        }
    }
}

async fn drain(
    lifecycle: &Lifecycle,
    drained: impl Future<Output = ()>,
    timeout: Duration,
) -> Ended {
    lifecycle.reached(Phase::Draining).await;
    let drained = pin!(drained);
    tokio::select! {
        // A process that was told twice is hurried, even if it is also idle.
        biased;
        () = lifecycle.reached(Phase::Closing) => Ended::Hurried,
        () = drained => Ended::Drained,
        () = tokio::time::sleep(timeout) => Ended::DeadlinePassed,
    }
}

fn report(name: &'static str, result: Result<(), TaskError>) {
    match result {
        Ok(()) => tracing::debug!(task = name, "task ended"),
        Err(error) => tracing::error!(task = name, %error, "task failed"),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const DRAIN: Duration = Duration::from_secs(30);

    fn until_closing(lifecycle: &Lifecycle) -> impl Future<Output = Result<(), TaskError>> + use<> {
        let closing = lifecycle.closing();
        async move {
            closing.cancelled().await;
            Ok(())
        }
    }

    #[test]
    fn phases_only_move_forward() {
        let lifecycle = Lifecycle::new();
        assert!(lifecycle.advance(Phase::Ready));
        assert!(lifecycle.is_ready());
        assert!(lifecycle.advance(Phase::Closing));
        assert!(!lifecycle.advance(Phase::Draining));
        assert_eq!(lifecycle.phase(), Phase::Closing);
        assert!(lifecycle.draining().is_cancelled() && lifecycle.closing().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_process_stops_as_soon_as_it_drains() {
        let lifecycle = Lifecycle::new();
        let mut tasks = Tasks::new();
        tasks.spawn("listener", until_closing(&lifecycle));
        lifecycle.advance(Phase::Draining);
        let ended = tasks.run(&lifecycle, ready(()), DRAIN).await;
        assert_eq!(ended, Ended::Drained);
        assert_eq!(lifecycle.phase(), Phase::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_that_stay_are_ended_at_the_deadline() {
        let lifecycle = Lifecycle::new();
        let mut tasks = Tasks::new();
        tasks.spawn("listener", until_closing(&lifecycle));
        lifecycle.advance(Phase::Draining);
        let begun = Instant::now();
        let ended = tasks.run(&lifecycle, pending(), DRAIN).await;
        assert_eq!(ended, Ended::DeadlinePassed);
        assert_eq!(begun.elapsed(), DRAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_at_once() {
        let lifecycle = Lifecycle::new();
        let begun = Instant::now();
        lifecycle.advance(Phase::Draining);
        let second = lifecycle.clone();
        tokio::spawn(async move { second.advance(Phase::Closing) });
        let ended = Tasks::new().run(&lifecycle, pending(), DRAIN).await;
        assert_eq!(ended, Ended::Hurried);
        assert!(begun.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_end_because_it_closes_have_not_failed() {
        // Which of two ready branches is looked at first is chance, unless it is told.
        for _ in 0..50 {
            let lifecycle = Lifecycle::new();
            let mut tasks = Tasks::new();
            tasks.spawn("listener", until_closing(&lifecycle));
            lifecycle.advance(Phase::Closing);
            tokio::task::yield_now().await;
            let ended = tasks.run(&lifecycle, pending(), DRAIN).await;
            assert_eq!(ended, Ended::Hurried);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_ends_the_process() {
        let lifecycle = Lifecycle::new();
        lifecycle.advance(Phase::Ready);
        let mut tasks = Tasks::new();
        tasks.spawn("listener", until_closing(&lifecycle));
        tasks.spawn("link", async { Err("socket gone".into()) });
        let ended = tasks.run(&lifecycle, pending(), DRAIN).await;
        assert_eq!(ended, Ended::TaskFailed("link"));
        assert!(!ended.is_orderly());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_never_returns_is_aborted() {
        let lifecycle = Lifecycle::new();
        let mut tasks = Tasks::new();
        tasks.spawn("stuck", pending());
        lifecycle.advance(Phase::Draining);
        let begun = Instant::now();
        tasks.run(&lifecycle, ready(()), DRAIN).await;
        assert_eq!(begun.elapsed(), CLOSE_TIMEOUT);
    }
}
