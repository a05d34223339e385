//! Talking to systemd: READY, STOPPING, RELOADING, STATUS and the watchdog.
//!
//! Outside systemd (no `$NOTIFY_SOCKET`) every call does nothing. The watchdog
//! is pinged only while every [`Progress`] moves: a timer that pings by itself
//! would keep a process alive whose workers are dead.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Tells systemd that every socket is bound and every certificate loaded.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Tells systemd that the process drains and will end.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Tells systemd that configuration is read anew; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot tell systemd of the reload"),
    }
}

/// Sets the line that `systemctl status` shows.
pub fn status(line: &str) {
    notify(&[NotifyState::Status(line)]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}

/// The turns of one loop that must never stand still.
///
/// The loop must turn at least once in a third of `WatchdogSec`, idle or not.
#[derive(Clone)]
pub struct Progress {
    name: Arc<str>,
    own: Arc<AtomicU64>,
    turns: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Progress {
    /// Makes a counter for the loop of this name, which calls
    /// [`Progress::advance`] each turn.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let own = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&own);
        Self {
            name: name.into(),
            own,
            turns: Arc::new(move || counter.load(Ordering::Relaxed)),
        }
    }

    /// Watches a loop that counts its turns itself.
    pub fn watching(
        name: impl Into<Arc<str>>,
        turns: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            own: Arc::default(),
            turns: Arc::new(turns),
        }
    }

    /// Notes one turn.
    pub fn advance(&self) {
        self.own.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Progress({}: {})", self.name, (self.turns)())
    }
}

/// Pings systemd while everything moves; returns at once when the unit has no
/// watchdog, else when cancelled.
pub async fn watchdog(watched: Vec<Progress>, cancelled: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return cancelled.cancelled().await;
    };
    let mut judge = Judge::new(watched);
    let mut tick = tokio::time::interval(period(limit));
    loop {
        tokio::select! {
            () = cancelled.cancelled() => return,
            _ = tick.tick() => match judge.stuck() {
                None => notify(&[NotifyState::Watchdog]),
                Some(name) => tracing::error!(%name, "a loop stands still: no watchdog ping"),
            },
        }
    }
}

/// Three times within the limit, so that one late tick does not kill.
fn period(limit: Duration) -> Duration {
    (limit / 3).max(Duration::from_millis(10))
}

/// Compares each counter with what it was at the last look.
#[derive(Debug)]
struct Judge {
    watched: Vec<(Progress, Option<u64>)>,
}

impl Judge {
    fn new(watched: Vec<Progress>) -> Self {
        Self {
            watched: watched.into_iter().map(|one| (one, None)).collect(),
        }
    }

    /// Names a loop that has not turned since the last look, if there is one.
    fn stuck(&mut self) -> Option<Arc<str>> {
        let mut stuck = None;
        for (progress, seen) in &mut self.watched {
            let turns = Some((progress.turns)());
            if *seen == turns {
                stuck = Some(Arc::clone(&progress.name));
            }
            *seen = turns;
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_loop_that_stands_still_is_named() {
        let a = Progress::new("worker-0");
        let turns = Arc::new(AtomicU64::new(7));
        let counter = Arc::clone(&turns);
        let b = Progress::watching("worker-1", move || counter.load(Ordering::Relaxed));
        let advance_b = || turns.fetch_add(1, Ordering::Relaxed);
        let mut judge = Judge::new(vec![a.clone(), b]);
        assert_eq!(judge.stuck(), None, "the first look has nothing to compare");
        a.advance();
        advance_b();
        assert_eq!(judge.stuck(), None);
        a.advance();
        assert_eq!(judge.stuck().as_deref(), Some("worker-1"));
        advance_b();
        a.advance();
        assert_eq!(judge.stuck(), None, "a loop that moves again is forgiven");
    }

    #[test]
    fn pings_come_three_times_within_the_limit() {
        assert_eq!(period(Duration::from_secs(30)), Duration::from_secs(10));
    }
}
