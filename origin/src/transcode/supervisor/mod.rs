//! Starts, seeds, watches and restarts the worker.
//!
//! One task per live stream drives one worker process. The caller's side never
//! blocks: inputs go into a bounded queue, outputs come out of another. When
//! the worker ends, or answers nothing for [`HANG_LIMIT`], the task takes the
//! warm spare from the [`Pool`] and goes on: the new worker first decodes the
//! *seed*, our own last frames, so that viewers keep seeing what they saw, and
//! then answers the ticks that the old one left.
//!
//! When the worker falls behind, rungs are shed, the dearest first, before
//! viewers are delayed; they return after a calm. [`Output::RungPlanned`] tells
//! the caller, who has to show something else in their place. What bounds the
//! delay meanwhile is the ledger: a rung far behind is left out of ticks.
//!
//! | file | holds |
//! |---|---|
//! | `pool` | processes: starting, the spare, ending |
//! | `groups` | how much CPU each may have, where systemd lets us say so |
//! | `outbox` | pure: what waits for the socket, and what is dropped |
//! | `ledger` | pure: ticks without an answer, and when that is a hang |
//! | `load` | pure: whether the worker keeps up, and which rung goes |
//! | `roster` | pure: which rungs a tick asks |
//! | `seed` | pure: frames since the last IDR of the tallest rung that is made |
//! | `backoff` | pure: how long to wait after a death |
//! | `relief` | carries out what `load` decides |
//! | `task` | the driver |

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

use tokio::sync::mpsc::{self, error::TrySendError};

use super::{
    Input, Output, Spec,
    metrics::{Counters, DropReason},
};

mod backoff;
mod groups;
mod ledger;
mod load;
mod outbox;
mod pool;
mod relief;
mod roster;
mod seed;
mod task;

pub use ledger::HANG_LIMIT;
pub use pool::{Pool, Process, Program};

/// Starts workers for live streams.
#[derive(Debug)]
pub struct Supervisor;

impl Supervisor {
    /// Starts a stream's worker and the task that keeps it alive, until the
    /// [`Handle`] or the receiver is dropped. Must be called inside a tokio
    /// runtime.
    pub fn start(pool: &Pool, spec: Spec) -> (Handle, mpsc::Receiver<Output>) {
        let (inputs, input_receiver) = mpsc::channel(MAX_INPUTS);
        let (output_sender, outputs) = mpsc::channel(MAX_OUTPUTS);
        let shared = Arc::new(Shared::default());
        let task = task::Task::new(pool.clone(), spec, output_sender, shared.clone());
        tokio::spawn(task.run(input_receiver));
        (
            Handle {
                inputs,
                shared,
                counters: Counters::default(),
            },
            outputs,
        )
    }
}

/// Feeds one stream's worker. Dropping it ends the worker.
#[derive(Debug)]
pub struct Handle {
    inputs: mpsc::Sender<Input>,
    shared: Arc<Shared>,
    counters: Counters,
}

impl Handle {
    /// Hands an input over. Never blocks: at a full queue coded media is
    /// dropped and counted, and video waits for the next key frame, which
    /// [`Output::KeyFrameNeeded`] asks for.
    pub fn send(&self, input: Input) {
        let Err(TrySendError::Full(input)) = self.inputs.try_send(input) else {
            return;
        };
        match input {
            Input::Video { .. } => {
                self.counters.dropped(DropReason::QueueFull);
                self.shared.video_lost.store(true, Relaxed);
            }
            Input::Audio { .. } => self.counters.dropped(DropReason::QueueFull),
            Input::VideoTick { idr, .. } => {
                self.counters.ticks_dropped.increment(1);
                self.shared.idr_lost.fetch_or(idr, Relaxed);
            }
            Input::AudioTick { .. } => self.counters.ticks_dropped.increment(1),
        }
    }

    /// Process id of the present worker; `None` while there is none.
    pub fn worker_pid(&self) -> Option<u32> {
        Some(self.shared.pid.load(Relaxed)).filter(|pid| *pid != 0)
    }
}

/// What the handle and the task tell each other beside the queue.
#[derive(Debug, Default)]
struct Shared {
    pid: AtomicU32,
    /// A coded picture was dropped in front of the queue.
    video_lost: AtomicBool,
    /// A tick that asked for an IDR was.
    idr_lost: AtomicBool,
}

/// Inputs between the caller and the task, which takes them at once: several
/// seconds of a stream.
const MAX_INPUTS: usize = 1024;

/// Outputs that the caller has not taken: above it the worker has to wait.
const MAX_OUTPUTS: usize = 256;
