//! The worker process.
//!
//! `inlet-origin transcode-worker` with one end of a socket pair as standard
//! input runs [`run`] and nothing else: no tokio, no configuration, no other
//! descriptor. Messages are read here and handed to one thread that decodes
//! (`decode`), one per rung that scales and encodes (`encode`) and one for
//! audio (`audio`). All queues are bounded and may block, down to the
//! socket; it is the main process that never waits, and that asks a rung which
//! is slow for less than its queue holds.
//!
//! Encoders are opened first, and devices with them; then the process is locked up,
//! and only then does it meet what a stranger sent.
//!
//! Any thread's end is the process's end: there is no state worth saving, and
//! the supervisor starts a new worker where this one stopped.

use std::{
    io::{ErrorKind, Read},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use bytes::BytesMut;
use nix::sys::{
    prctl,
    signal::{SigSet, Signal},
};

use super::{
    Input, Output, Spec, ffi,
    ipc::{self, ToWorker},
};

mod audio;
mod decode;
mod drift;
#[cfg(test)]
pub(crate) mod dry;
mod encode;
mod gauge;
mod opus;
mod placement;
mod sandbox;
mod scale;
mod screen;
mod sink;
mod still;

pub use self::{
    encode::Breach,
    sandbox::{Error as SandboxError, lock_up},
};
use self::{encode::Opened, gauge::Gauges, sink::Sink};

/// The argument that makes `inlet-origin` a worker.
pub const SUBCOMMAND: &str = "transcode-worker";

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Standard input is not a usable socket.
    #[error("the socket to the main process")]
    Socket(#[source] std::io::Error),
    /// The main process sent something that cannot be understood.
    #[error("a message of the main process")]
    Message(#[from] ipc::DecodeError),
    /// The first message was not `Configure`, or came twice.
    #[error("message out of order")]
    Order,
    /// The process could not be locked up.
    #[error("the sandbox")]
    Sandbox(#[from] sandbox::Error),
    /// FFmpeg lacks a codec or refused its settings.
    #[error("{what}")]
    Codec {
        /// Which one.
        what: &'static str,
        /// FFmpeg's answer.
        #[source]
        source: ffmpeg_next::Error,
    },
    /// An encoder broke a rule that the ladder is built on.
    #[error("{encoder} {breach}")]
    Breach {
        /// Which one.
        encoder: &'static str,
        /// Which rule.
        breach: Breach,
    },
    /// A thread could not be started, or is gone.
    #[error("a thread of the pipeline ended")]
    Thread,
}

/// Runs the worker on standard input until the main process closes it.
///
/// Must be called before anything else is opened or any thread is started.
/// Returns only with an error; the orderly end exits the process.
///
/// # Errors
///
/// Any [`Error`]; the caller should log it and exit with a failure.
pub fn run() -> Result<std::convert::Infallible, Error> {
    ffi::close_inherited_descriptors();
    leave_signals_to_the_parent();
    let socket = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(Error::Socket)?;
    let mut messages = Messages::new(UnixStream::from(socket))?;
    let sink = messages.sink()?;
    // A spare waits here until its stream comes.
    let Some(first) = messages.next()? else {
        ffi::exit_now(0)
    };
    let ToWorker::Configure(spec) = first else {
        return Err(Error::Order);
    };
    // Without it FFmpeg's errors have no text.
    ffmpeg_next::init().map_err(|source| Error::Codec {
        what: "FFmpeg",
        source,
    })?;
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Warning);
    ffi::lower_priority(NICE);
    // Nothing of a stranger's has come yet; afterwards no device can be opened.
    let open = |(index, rung)| encode::open(&spec, index, rung);
    let rungs = spec.ladder.iter().enumerate();
    let encoders: Vec<_> = rungs.map(open).collect::<Result<_, _>>()?;
    lock_up(spec.memory_limit, spec.encoder.device())?;
    let pipeline = Pipeline::start(spec, encoders, sink)?;
    while let Some(message) = messages.next()? {
        pipeline.handle_message(message)?;
    }
    ffi::exit_now(0)
}

/// Below the main process, which must answer viewers whatever the encoders do.
const NICE: i32 = 5;

/// Units of coded media and ticks between the reader and a thread; the socket
/// and the main process's own queue hold the rest.
const QUEUE: usize = 64;

/// When systemd or a terminal stops the whole group, the main process still
/// drains; it is the one that ends its workers. Its death ends them too.
fn leave_signals_to_the_parent() {
    let mut blocked = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        blocked.add(signal);
    }
    if let Err(error) = blocked.thread_block() {
        tracing::warn!(%error, "signals are not blocked");
    }
    if let Err(error) = prctl::set_pdeathsig(Signal::SIGKILL) {
        tracing::warn!(%error, "the worker may outlive its parent");
    }
}

/// Whole messages off the socket.
struct Messages {
    socket: UnixStream,
    buffer: BytesMut,
    chunk: Vec<u8>,
}

impl Messages {
    fn new(socket: UnixStream) -> Result<Self, Error> {
        socket.set_nonblocking(false).map_err(Error::Socket)?;
        Ok(Self {
            socket,
            buffer: BytesMut::new(),
            chunk: vec![0; 64 << 10],
        })
    }

    fn sink(&self) -> Result<Sink, Error> {
        Ok(Sink::new(self.socket.try_clone().map_err(Error::Socket)?))
    }

    /// The next message; `None` when the main process has closed the socket.
    fn next(&mut self) -> Result<Option<ToWorker>, Error> {
        loop {
            if let Some(message) = ipc::next_message(&mut self.buffer)? {
                return Ok(Some(ToWorker::decode(message)?));
            }
            match self.socket.read(&mut self.chunk) {
                Ok(0) => return Ok(None),
                Ok(size) => {
                    self.buffer
                        .extend_from_slice(self.chunk.get(..size).unwrap_or_default());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(Error::Socket(error)),
            }
        }
    }
}

/// The threads behind the reader.
struct Pipeline {
    video: SyncSender<decode::Job>,
    audio: SyncSender<audio::Job>,
    gauges: Arc<Gauges>,
}

impl Pipeline {
    fn start(spec: Spec, encoders: Vec<Opened>, sink: Sink) -> Result<Self, Error> {
        let gauges = Arc::new(Gauges::new(spec.ladder.len()));
        let mut rungs = Vec::with_capacity(spec.ladder.len());
        for (index, (rung, encoder)) in spec.ladder.iter().zip(encoders).enumerate() {
            let (jobs, receiver) = sync_channel(encode::QUEUE);
            let task = encode::Task {
                index,
                rung: rung.clone(),
                rate: spec.rate,
                encoder,
                // The last one is the cheapest, and is always made.
                thumbnail_frames: (index + 1 == spec.ladder.len()).then_some(spec.thumbnail_frames),
            };
            let (sink, gauges) = (sink.clone(), gauges.clone());
            spawn(&format!("rung-{}", rung.name()), move || {
                encode::run(task, receiver, &sink, &gauges)
            })?;
            rungs.push(jobs);
        }
        let (video, receiver) = sync_channel(QUEUE);
        let (rate, video_sink, video_gauges) = (spec.rate, sink.clone(), gauges.clone());
        spawn("decode", move || {
            decode::run(rate, receiver, &rungs, &video_sink, &video_gauges)
        })?;
        let (audio, receiver) = sync_channel(QUEUE);
        let (bitrate, opus) = (spec.audio_bitrate, spec.opus_bitrate);
        let audio_gauges = gauges.clone();
        spawn("audio", move || {
            audio::run(bitrate, opus, receiver, &sink, &audio_gauges)
        })?;
        Ok(Self {
            video,
            audio,
            gauges,
        })
    }

    fn handle_message(&self, message: ToWorker) -> Result<(), Error> {
        match message {
            ToWorker::Configure(_) => return Err(Error::Order),
            ToWorker::SeedConfig { sps, pps } => {
                self.video
                    .send(decode::Job::SeedConfig { sps, pps })
                    .map_err(|_| Error::Thread)?;
            }
            ToWorker::SeedFrame { data } => {
                self.video
                    .send(decode::Job::SeedFrame { data })
                    .map_err(|_| Error::Thread)?;
            }
            ToWorker::Input(Input::Video {
                codec,
                capture,
                quarter_turns,
                data,
            }) => {
                let coded = decode::Coded {
                    codec,
                    capture,
                    quarter_turns,
                    data,
                };
                self.video
                    .send(decode::Job::Coded(coded))
                    .map_err(|_| Error::Thread)?;
            }
            // The supervisor says which rungs are meant.
            ToWorker::Input(Input::VideoTick { .. }) => return Err(Error::Order),
            ToWorker::Tick { number, idr, rungs } => {
                self.gauges.tick_came(rungs);
                self.video
                    .send(decode::Job::Tick { number, idr, rungs })
                    .map_err(|_| Error::Thread)?;
            }
            ToWorker::Input(Input::Audio { capture, data }) => {
                self.audio
                    .send(audio::Job::Coded { capture, data })
                    .map_err(|_| Error::Thread)?;
            }
            ToWorker::Input(Input::AudioTick { number }) => {
                self.audio
                    .send(audio::Job::Tick { number })
                    .map_err(|_| Error::Thread)?;
            }
        }
        Ok(())
    }
}

/// Starts a thread whose end, by error or panic, ends the process.
fn spawn(
    name: &str,
    body: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let run = move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        match result {
            Ok(Ok(())) => ffi::exit_now(0),
            Ok(Err(error)) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, source, "transcoding ended");
                ffi::exit_now(1)
            }
            Err(_) => ffi::exit_now(1),
        }
    };
    let builder = thread::Builder::new().name(name.to_owned());
    builder.spawn(run).map(drop).map_err(|_| Error::Thread)
}

/// Sends an output to the main process. When it is gone so are we.
fn send(sink: &Sink, output: &Output) -> Result<(), Error> {
    sink.send(output).map_err(Error::Socket)
}
