//! Worker processes: starting them, keeping one ready, ending them.
//!
//! A spare has done its `exec` and loaded FFmpeg's hundred libraries; it waits
//! for its configuration, so that a restart costs milliseconds.
//!
//! The kernel sends a worker its parent-death signal when the *thread* that
//! started it ends, so all are started by one thread that lives as long as any
//! of them. The same thread waits for the dead, and bounds the CPU of the living.

use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    sync::{
        Arc,
        mpsc::{self, TryRecvError},
    },
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use super::groups::Groups;
use crate::transcode::{metrics, worker};

/// What to execute as a worker.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// This executable with [`worker::SUBCOMMAND`]. It is the one that is
    /// running, even when an upgrade has replaced it on disk.
    pub fn current() -> Self {
        Self::new("/proc/self/exe", [worker::SUBCOMMAND])
    }

    /// Any executable that calls [`worker::run`] when started like this.
    pub fn new<A: Into<OsString>>(
        path: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            path: path.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }

    /// A running worker and our end of its socket; its standard error is piped.
    pub(in crate::transcode) fn start(&self) -> io::Result<(Child, UnixStream)> {
        // Both ends are close-on-exec; the worker gets its own as fd 0.
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).current_dir("/");
        // Credentials may stand in the environment; a worker needs none.
        command.env_clear();
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Ok((command.spawn()?, ours))
    }
}

/// Variables that a worker inherits: those of libraries, and which device and
/// driver to take where there are several.
const PASSED_ON: [&str; 6] = [
    "LD_LIBRARY_PATH",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "LIBVA_DRIVER_NAME",
    "LIBVA_DRIVERS_PATH",
    "CUDA_VISIBLE_DEVICES",
];

/// Where workers come from; one per origin, cheap to clone. The spare lives as
/// long as a clone does.
#[derive(Clone, Debug)]
pub struct Pool {
    counter: Arc<Counter>,
}

/// The other side of all clones of a pool.
#[derive(Debug)]
struct Counter {
    orders: mpsc::Sender<Order>,
}

impl Drop for Counter {
    fn drop(&mut self) {
        drop(self.orders.send(Order::Close));
    }
}

enum Order {
    /// A process that may have so many cores.
    Take(f64, oneshot::Sender<io::Result<Process>>),
    Reap(Child),
    /// The last pool is gone: no more spares.
    Close,
}

impl Pool {
    /// Starts the thread that starts workers, and the first spare.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started. A spare that cannot be is logged.
    pub fn start(program: Program) -> io::Result<Self> {
        let (orders, receiver) = mpsc::channel();
        let groups = Groups::claim().unwrap_or_else(|error| {
            tracing::warn!(%error, "the control group that is delegated cannot be used");
            None
        });
        if groups.is_none() {
            tracing::info!("no control group is delegated: workers have their niceness alone");
        }
        let foreman = Foreman {
            program,
            groups,
            spare: None,
            dying: Vec::new(),
            is_closing: false,
            orders: orders.clone(),
        };
        let thread = thread::Builder::new().name("worker-pool".to_owned());
        thread.spawn(move || foreman.run(&receiver))?;
        Ok(Self {
            counter: Arc::new(Counter { orders }),
        })
    }

    /// Takes the spare, or a new process when there is none. It may have `cores` of
    /// the machine and no more, where a control group is delegated to the origin. It
    /// must not outlive the pool's last clone: with the pool's thread it dies.
    ///
    /// # Errors
    ///
    /// The system's, when no process can be started.
    pub async fn take(&self, cores: f64) -> io::Result<Process> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the worker pool has ended");
        self.counter
            .orders
            .send(Order::Take(cores, reply))
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// A running worker. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Option<Child>,
    orders: mpsc::Sender<Order>,
    pub(super) socket: Option<UnixStream>,
    pub(super) stderr: Option<ChildStderr>,
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    fn is_alive(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        ::metrics::gauge!(metrics::WORKER_PROCESSES).decrement(1);
        let Some(mut child) = self.child.take() else {
            return;
        };
        if let Err(error) = child.kill() {
            tracing::debug!(%error, "worker not killed");
        }
        if let Err(mpsc::SendError(Order::Reap(mut child))) = self.orders.send(Order::Reap(child)) {
            // The thread is gone only when it panicked.
            drop(child.wait());
        }
    }
}

/// The thread.
struct Foreman {
    program: Program,
    groups: Option<Groups>,
    spare: Option<Process>,
    dying: Vec<Child>,
    is_closing: bool,
    orders: mpsc::Sender<Order>,
}

impl Foreman {
    fn run(mut self, orders: &mpsc::Receiver<Order>) {
        loop {
            // Orders first: a stream may be waiting.
            let order = match orders.try_recv() {
                Err(TryRecvError::Empty) if self.is_closing && self.dying.is_empty() => return,
                Err(TryRecvError::Empty) => {
                    self.refill();
                    self.wait(orders)
                }
                other => other.ok(),
            };
            match order {
                Some(Order::Take(cores, reply)) => {
                    let process = self.take(cores);
                    // A caller that has gone away drops the process, which kills it.
                    drop(reply.send(process));
                }
                Some(Order::Reap(child)) => self.dying.push(child),
                Some(Order::Close) => {
                    self.is_closing = true;
                    self.spare = None;
                }
                None => {}
            }
            self.bury();
        }
    }

    fn bury(&mut self) {
        let groups = &self.groups;
        self.dying.retain_mut(|child| {
            let is_alive = matches!(child.try_wait(), Ok(None));
            if let Some(groups) = groups.as_ref().filter(|_| !is_alive) {
                groups.release(child.id());
            }
            is_alive
        });
    }

    fn wait(&self, orders: &mpsc::Receiver<Order>) -> Option<Order> {
        let limit = if self.dying.is_empty() { IDLE } else { REAPING };
        orders.recv_timeout(limit).ok()
    }

    fn take(&mut self, cores: f64) -> io::Result<Process> {
        let process = match self.spare.take_if(Process::is_alive) {
            Some(spare) => spare,
            None => self.start()?,
        };
        if let Some(groups) = &self.groups
            && let Err(error) = groups.bound(process.pid(), cores)
        {
            tracing::warn!(%error, "the worker's CPU is not bounded");
        }
        Ok(process)
    }

    fn refill(&mut self) {
        if self.is_closing || self.spare.as_mut().is_some_and(Process::is_alive) {
            return;
        }
        match self.start() {
            Ok(process) => self.spare = Some(process),
            Err(error) => tracing::warn!(%error, "no spare worker"),
        }
    }

    fn start(&self) -> io::Result<Process> {
        let (mut child, socket) = self.program.start()?;
        ::metrics::gauge!(metrics::WORKER_PROCESSES).increment(1);
        let (socket, stderr) = (Some(socket), child.stderr.take());
        Ok(Process {
            child: Some(child),
            orders: self.orders.clone(),
            socket,
            stderr,
        })
    }
}

/// How often the spare is looked at: it may have been killed.
const IDLE: Duration = Duration::from_secs(5);

/// How often killed processes are waited for; they take milliseconds.
const REAPING: Duration = Duration::from_millis(20);
