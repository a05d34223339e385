//! A machine that is too slow for one process, whatever machine this is.
//!
//! The process is stopped and continued in turn, so each of its threads gets a
//! fixed share of a core.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use inlet_common::clock;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Short enough that nobody takes it for a stop.
const PERIOD: Duration = Duration::from_millis(60);

/// Slows a process down until it is dropped.
#[derive(Debug)]
pub struct Brake {
    is_off: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Brake {
    /// Leaves a process so many percent of its time.
    pub fn on(pid: i32, percent: u32) -> Self {
        let is_off = Arc::new(AtomicBool::new(false));
        let (pid, off) = (Pid::from_raw(pid), Arc::clone(&is_off));
        let run = PERIOD * percent.min(100) / 100;
        let body = move || {
            let steps = [
                (Signal::SIGSTOP, PERIOD.saturating_sub(run)),
                (Signal::SIGCONT, run),
            ];
            while !off.load(Relaxed) {
                for (signal, time) in steps {
                    // It may have ended; there is nothing to slow down then.
                    kill(pid, signal).ok();
                    wait(time);
                }
            }
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

fn wait(time: Duration) {
    let until = clock::now() + time;
    while let Some(left) = until.checked_duration_since(clock::now()) {
        thread::park_timeout(left);
    }
}
