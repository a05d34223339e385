//! A machine that is too slow for one process, whatever machine this is.
//!
//! The process may use so much CPU time and no more: it is stopped when it has
//! used more than its allowance, and continued when that has grown again. What
//! others take on the same cores does not count, so tell how much it needs first:
//! [`Appetite`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use inlet_common::clock;
use nix::{
    sys::signal::{Signal, kill},
    time::clock_getcpuclockid,
    unistd::Pid,
};

/// How often its use is looked at: short enough that nobody takes what follows
/// for a stop.
const STEP: Duration = Duration::from_millis(5);

/// What it may leave and use later, as when it waited for a core.
const CREDIT: f64 = 0.1;

/// Tells how many cores a process takes, from its making on.
#[derive(Debug)]
pub struct Appetite {
    pid: i32,
    begin: Instant,
    before: f64,
}

impl Appetite {
    /// None when there is no such process.
    pub fn of(pid: i32) -> Option<Self> {
        Some(Self {
            pid,
            begin: clock::now(),
            before: used(pid)?,
        })
    }

    /// Until now. None when it has ended.
    pub fn cores(&self) -> Option<f64> {
        Some((used(self.pid)? - self.before) / self.begin.elapsed().as_secs_f64())
    }
}

/// Slows a process down until it is dropped.
#[derive(Debug)]
pub struct Brake {
    is_off: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Brake {
    /// Leaves a process so many cores' time.
    pub fn on(pid: i32, cores: f64) -> Self {
        let is_off = Arc::new(AtomicBool::new(false));
        let off = Arc::clone(&is_off);
        let body = move || {
            slow_down(pid, cores, &off);
            signal(pid, Signal::SIGCONT);
        };
        Self {
            is_off,
            thread: Some(thread::spawn(body)),
        }
    }
}

impl Drop for Brake {
    fn drop(&mut self) {
        self.is_off.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Until it has ended, or the brake is off.
fn slow_down(pid: i32, cores: f64, is_off: &AtomicBool) {
    let Some(mut before) = used(pid) else { return };
    let mut last = clock::now();
    let mut left = 0.0;
    while !is_off.load(Relaxed) {
        wait(STEP);
        let now = clock::now();
        let Some(total) = used(pid) else { return };
        left += now.duration_since(last).as_secs_f64() * cores - (total - before);
        left = f64::min(left, CREDIT);
        (last, before) = (now, total);
        let what = if left < 0.0 {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        };
        signal(pid, what);
    }
}

/// It may have ended; there is nothing to slow down then.
fn signal(pid: i32, what: Signal) {
    kill(Pid::from_raw(pid), what).ok();
}

/// Seconds of CPU time that a process has used since its start.
fn used(pid: i32) -> Option<f64> {
    let time = clock_getcpuclockid(Pid::from_raw(pid)).ok()?.now().ok()?;
    Some(Duration::from(time).as_secs_f64())
}

fn wait(time: Duration) {
    let until = clock::now() + time;
    while let Some(left) = until.checked_duration_since(clock::now()) {
        thread::park_timeout(left);
    }
}
