//! The driver: one stream's inputs, outputs, and one worker after another.
//!
//! Nothing here waits for the worker: the socket is written and read when it
//! is ready, and whatever the caller sends meanwhile goes into the outbox.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use inlet_common::clock;
use tokio::{
    io::{AsyncReadExt, Interest},
    net::{UnixStream, unix::pipe},
    sync::mpsc,
    time::MissedTickBehavior,
};

use super::{
    Shared,
    backoff::Backoff,
    ledger::{Ledger, Verdict},
    outbox::Outbox,
    pool::{Pool, Process},
    relief::Relief,
    seed::Seed,
};
use crate::transcode::{
    Budget, Input, Output, Spec, cost,
    ipc::{self, ToWorker},
    ladder::Rung,
    metrics::{Counters, DropReason, RestartReason},
};

pub(super) struct Task {
    pool: Pool,
    spec: Spec,
    outputs: mpsc::Sender<Output>,
    shared: Arc<Shared>,
    counters: Counters,
    ledger: Ledger,
    outbox: Outbox,
    seed: Seed,
    backoff: Backoff,
    relief: Relief,
    /// When coded pictures were given up last, because the worker was too late.
    swamped_at: Option<Instant>,
    /// Outputs that the caller has no room for yet.
    pending: VecDeque<Output>,
    /// The present worker has encoded something.
    has_answered: bool,
}

/// Why a worker is no longer served.
enum End {
    /// The caller is gone.
    Stream,
    /// The worker is, or has to be.
    Worker(RestartReason),
}

impl Task {
    pub(super) fn new(
        pool: Pool,
        spec: Spec,
        outputs: mpsc::Sender<Output>,
        shared: Arc<Shared>,
    ) -> Self {
        let mut outbox = Outbox::default();
        outbox.push(&ToWorker::Configure(spec.clone()));
        let now = clock::now();
        let relief = Relief::new(now, &spec);
        Self {
            ledger: Ledger::new(now, budgets(&spec), relief.is_on()),
            relief,
            swamped_at: None,
            pool,
            spec,
            outputs,
            shared,
            counters: Counters::default(),
            outbox,
            seed: Seed::default(),
            backoff: Backoff::default(),
            pending: VecDeque::new(),
            has_answered: false,
        }
    }

    /// Keeps a worker running until the caller drops either end.
    pub(super) async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let mut wait = Duration::ZERO;
        loop {
            let Some(started) = self.start_worker(&mut inputs, wait).await else {
                return;
            };
            let begin = clock::now();
            let reason = match started {
                Ok(process) => {
                    self.shared.pid.store(process.pid(), Relaxed);
                    let end = self.serve(process, &mut inputs).await;
                    self.shared.pid.store(0, Relaxed);
                    match end {
                        End::Stream => return,
                        End::Worker(reason) => reason,
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "transcode worker not started");
                    RestartReason::Start
                }
            };
            wait = self.handle_death(begin, reason);
        }
    }

    /// Takes a process from the pool after `wait`, while inputs go on. `None`
    /// when the caller is gone.
    async fn start_worker(
        &mut self,
        inputs: &mut mpsc::Receiver<Input>,
        wait: Duration,
    ) -> Option<io::Result<Process>> {
        let (pool, cores) = (self.pool.clone(), cost::bound(&self.spec));
        let taking = async move {
            tokio::time::sleep(wait).await;
            pool.take(cores).await
        };
        tokio::pin!(taking);
        let outputs = self.outputs.clone();
        loop {
            tokio::select! {
                process = &mut taking => return Some(process),
                input = inputs.recv() => self.handle_input(clock::now(), input?),
                permit = outputs.reserve(), if !self.pending.is_empty() => self.deliver(permit.ok()?),
            }
        }
    }

    async fn serve(&mut self, mut process: Process, inputs: &mut mpsc::Receiver<Input>) -> End {
        let socket = match connect(&mut process) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(%error, "transcode worker not connected");
                return End::Worker(RestartReason::Start);
            }
        };
        let outputs = self.outputs.clone();
        let mut buffer = BytesMut::new();
        let mut watchdog = tokio::time::interval(WATCHDOG);
        watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_room = self.pending.len() < MAX_PENDING;
            let interest = match (has_room, self.outbox.is_empty()) {
                (true, true) => Some(Interest::READABLE),
                (true, false) => Some(Interest::READABLE | Interest::WRITABLE),
                (false, false) => Some(Interest::WRITABLE),
                (false, true) => None,
            };
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => self.handle_input(clock::now(), input),
                    None => return End::Stream,
                },
                ready = socket.ready(interest.unwrap_or(Interest::READABLE)), if interest.is_some() => {
                    if let Err(reason) = self.exchange(&socket, ready, has_room, &mut buffer) {
                        return End::Worker(reason);
                    }
                }
                permit = outputs.reserve(), if !self.pending.is_empty() => match permit {
                    Ok(permit) => self.deliver(permit),
                    Err(_) => return End::Stream,
                },
                _ = watchdog.tick() => {
                    if self.watch(clock::now(), has_room).is_err() {
                        return End::Worker(RestartReason::Hang);
                    }
                }
            }
        }
    }

    /// Looks whether the worker hangs or falls behind, unless it is the caller who
    /// has no room for what it makes.
    fn watch(&mut self, now: Instant, has_room: bool) -> Result<(), RestartReason> {
        if !has_room {
            self.ledger.excuse(now);
        }
        if self.ledger.is_hung(now) {
            return Err(RestartReason::Hang);
        }
        if has_room {
            let change = self.relief.look(now, &mut self.ledger);
            self.pending.extend(change);
        }
        Ok(())
    }

    /// Writes and reads what the socket is ready for.
    fn exchange(
        &mut self,
        socket: &UnixStream,
        ready: io::Result<tokio::io::Ready>,
        has_room: bool,
        buffer: &mut BytesMut,
    ) -> Result<(), RestartReason> {
        let ready = ready.map_err(|_| RestartReason::Exit)?;
        let mut is_broken = false;
        if ready.is_writable() && !self.outbox.is_empty() {
            is_broken = self.write(socket).is_err();
        }
        // A dead worker's last answers are still there to be read.
        if has_room && (is_broken || ready.is_readable()) {
            self.read(socket, buffer)?;
        }
        if is_broken {
            Err(RestartReason::Exit)
        } else {
            Ok(())
        }
    }

    fn write(&mut self, socket: &UnixStream) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); 32];
        let count = self.outbox.slices(&mut slices);
        match socket.try_write_vectored(slices.get(..count).unwrap_or_default()) {
            Ok(written) => {
                self.outbox.advance(written);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, socket: &UnixStream, buffer: &mut BytesMut) -> Result<(), RestartReason> {
        buffer.reserve(READ_SIZE);
        match socket.try_read_buf(buffer) {
            Ok(0) => return Err(RestartReason::Exit),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Err(RestartReason::Exit),
        }
        let now = clock::now();
        while let Some(message) = ipc::next_message(buffer).map_err(distrust)? {
            self.handle_output(now, Output::decode(message).map_err(distrust)?)?;
        }
        Ok(())
    }

    fn handle_output(&mut self, now: Instant, output: Output) -> Result<(), RestartReason> {
        match self.ledger.handle_output(now, &output) {
            Verdict::Deliver => {}
            Verdict::Repeated => return Ok(()),
            Verdict::Violation => {
                tracing::error!("transcode worker answered what nobody asked");
                return Err(RestartReason::Protocol);
            }
            Verdict::Excess => {
                tracing::error!("transcode worker answered with far more than was asked for");
                return Err(RestartReason::Protocol);
            }
        }
        self.seed.handle_output(&output);
        match &output {
            Output::Video { .. } => {
                self.has_answered = true;
                self.counters.video_frames.increment(1);
            }
            Output::Report(report) => {
                self.counters.report(report);
                let change = self.relief.handle_report(now, report);
                self.pending.extend(change);
            }
            _ => {}
        }
        self.pending.push_back(output);
        Ok(())
    }

    fn deliver(&mut self, permit: mpsc::Permit<'_, Output>) {
        if let Some(output) = self.pending.pop_front() {
            permit.send(output);
        }
    }

    fn handle_input(&mut self, now: Instant, input: Input) {
        if self.shared.video_lost.swap(false, Relaxed) {
            self.lose_video();
        }
        if self.shared.idr_lost.swap(false, Relaxed) {
            self.ledger.handle_lost_idr();
        }
        match input {
            Input::Video { .. } | Input::Audio { .. } => self.handle_coded(now, input),
            Input::VideoTick {
                number,
                idr,
                top_passed,
            } => {
                self.seed.follow(usize::from(top_passed));
                let change = self.relief.handle_passing(now, top_passed);
                self.pending.extend(change);
                let rungs = self.relief.asked(number, idr);
                let tick = self.ledger.handle_video_tick(now, number, idr, rungs);
                self.ask(tick);
            }
            Input::AudioTick { number } => {
                let tick = self.ledger.handle_audio_tick(now, number);
                self.ask(tick);
            }
        }
    }

    fn handle_coded(&mut self, now: Instant, input: Input) {
        let is_video = matches!(input, Input::Video { .. });
        let is_due = |at: Instant| now.saturating_duration_since(at) > SWAMPED;
        if is_video && self.ledger.is_swamped(now) && self.swamped_at.is_none_or(is_due) {
            self.swamped_at = Some(now);
            self.lose_video();
        }
        let Err(reason) = self.outbox.push_coded(input) else {
            return;
        };
        self.counters.dropped(reason);
        // Waiting for a key frame was told when the waiting began.
        if is_video && reason != DropReason::AwaitingKey {
            self.lose_video();
        }
    }

    fn ask(&mut self, tick: Option<ToWorker>) {
        match tick {
            Some(tick) => self.outbox.push(&tick),
            None => self.counters.ticks_dropped.increment(1),
        }
    }

    fn lose_video(&mut self) {
        self.outbox.handle_loss();
        if !matches!(self.pending.back(), Some(Output::KeyFrameNeeded)) {
            self.pending.push_back(Output::KeyFrameNeeded);
        }
    }

    /// Prepares everything for the next worker. Returns how long to wait for it.
    fn handle_death(&mut self, begin: Instant, reason: RestartReason) -> Duration {
        let now = clock::now();
        let wait = self
            .backoff
            .handle_death(now, now.saturating_duration_since(begin));
        tracing::warn!(
            reason = reason.as_str(),
            ?wait,
            "transcode worker ended: restarting"
        );
        self.counters.restarted(reason);
        if !self.has_answered {
            // It may have died of the seed.
            self.seed.clear();
        }
        self.has_answered = false;
        self.pending.push_back(Output::Restarted);
        self.outbox.restart();
        self.outbox.push(&ToWorker::Configure(self.spec.clone()));
        for message in self.seed.messages() {
            self.outbox.push(&message);
        }
        for tick in self.ledger.restart(now + wait) {
            self.outbox.push(&tick);
        }
        self.relief.handle_restart(now + wait);
        wait
    }
}

/// How often a hang is looked for.
const WATCHDOG: Duration = Duration::from_millis(200);

/// A late worker is spared pictures no more often than this: each time costs the
/// presenter a key frame, and viewers a picture that stands.
const SWAMPED: Duration = Duration::from_secs(2);

/// Outputs kept here while the caller's queue is full; then the worker waits.
const MAX_PENDING: usize = 64;

/// Some frames of every rung.
const READ_SIZE: usize = 64 << 10;

fn budgets(spec: &Spec) -> Vec<Budget> {
    let of = |rung: &Rung| Budget::new(rung.bitrate, spec.rate);
    spec.ladder.iter().map(of).collect()
}

fn distrust(error: ipc::DecodeError) -> RestartReason {
    tracing::error!(%error, "transcode worker sent nonsense");
    RestartReason::Protocol
}

fn connect(process: &mut Process) -> io::Result<UnixStream> {
    if let Some(stderr) = process.stderr.take() {
        let fd = std::os::fd::OwnedFd::from(stderr);
        tokio::spawn(log_lines(pipe::Receiver::from_owned_fd(fd)?));
    }
    let socket = process.socket.take().ok_or(io::ErrorKind::NotConnected)?;
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// Passes on what the worker and its libraries print, as long as it is not too
/// much: a stranger's pictures decide how much FFmpeg has to say.
async fn log_lines(mut stderr: pipe::Receiver) {
    let counters = Counters::default();
    let mut buffer = BytesMut::with_capacity(MAX_LINE);
    let (mut window, mut lines) = (clock::now(), 0);
    while let Ok(1..) = stderr.read_buf(&mut buffer).await {
        let now = clock::now();
        if now.saturating_duration_since(window) > LINE_WINDOW {
            (window, lines) = (now, 0);
        }
        let is_whole = |byte: &u8| *byte == b'\n';
        while let Some(end) = buffer.iter().position(is_whole).or(full(&buffer)) {
            let line = buffer.split_to(end + 1);
            lines += 1;
            if lines <= MAX_LINES {
                let line = String::from_utf8_lossy(&line);
                tracing::warn!(line = line.trim_end(), "transcode worker says");
            } else {
                counters.log_lines_dropped.increment(1);
            }
        }
    }
}

fn full(buffer: &BytesMut) -> Option<usize> {
    (buffer.len() >= MAX_LINE).then(|| buffer.len() - 1)
}

/// Longer lines are broken.
const MAX_LINE: usize = 1024;

/// Lines that are logged within [`LINE_WINDOW`].
const MAX_LINES: u32 = 20;

const LINE_WINDOW: Duration = Duration::from_secs(10);
