//! A worker's loop: sockets and clock around the [`Engine`].
//!
//! One turn: read the clock once, take commands and datagrams, do what is due,
//! send. The trap is waking: a turn for each packet costs more than the packet
//! (batches of 1 ms saved 39 % of the CPU), so after a turn that had work the
//! thread rests for the remainder of [`MIN_TURN`] before it looks again.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::Receiver as CommandReceiver,
    },
    time::{Duration, Instant},
};

use inlet_common::{clock, roq::control::CloseReason};
use quinn_proto::Transmit as LinkTransmit;

use super::{Command, engine::Engine};
use crate::{
    metrics::Media,
    udp::{Outgoing, Receiver, Socket, addresses::Advertised},
};

/// Least time from one turn to the next while there is work.
const MIN_TURN: Duration = Duration::from_millis(1);

/// Batches read from one socket per turn: 8 × 32 GRO batches are milliseconds
/// of a full core, and timers must not wait longer.
const MAX_BATCHES: usize = 8;

/// Commands per turn.
const MAX_COMMANDS: usize = 64;

/// Batches sent on the link per turn.
const MAX_LINK_SENDS: usize = 1024;

/// How long a worker that stops waits for the origin to have heard of it.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Numbers that others may read at any time.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) turns: AtomicU64,
    pub(super) sessions: AtomicUsize,
    pub(super) is_link_up: AtomicBool,
}

/// A media socket and what it goes by.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: Socket,
    pub(super) advertised: Advertised,
    pub(super) candidates: Vec<SocketAddr>,
}

/// A worker, ready to run.
pub(super) struct Driver {
    pub(super) engine: Engine,
    pub(super) poll: mio::Poll,
    pub(super) listeners: Vec<Listener>,
    pub(super) link_socket: Socket,
    pub(super) commands: CommandReceiver<Command>,
    pub(super) live: Arc<Live>,
    pub(super) metrics: Media,
    pub(super) receiver: Receiver,
    pub(super) link_out: Vec<u8>,
    /// What the kernel had no room for.
    pub(super) unsent: Option<LinkTransmit>,
}

/// Whether to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

impl Driver {
    /// Runs until told to stop.
    pub(super) fn run(mut self) {
        let mut events = mio::Events::with_capacity(16);
        let mut now = clock::now();
        loop {
            let timeout = self.timeout(now);
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "poll failed");
                self.metrics.socket_errors.increment(1);
            }
            let start = clock::now();
            now = start;
            let (next, had_work) = self.turn(now);
            self.live.turns.fetch_add(1, Ordering::Relaxed);
            if next == Next::Stop {
                break;
            }
            let spent = clock::now().saturating_duration_since(start);
            self.metrics.turn.record(spent.as_secs_f64());
            if had_work {
                std::thread::sleep(MIN_TURN.saturating_sub(spent));
            }
        }
        self.stop(now);
    }

    fn timeout(&mut self, now: Instant) -> Duration {
        if self.unsent.is_some() {
            return MIN_TURN;
        }
        self.engine.next_timeout().saturating_duration_since(now)
    }

    fn turn(&mut self, now: Instant) -> (Next, bool) {
        let mut next = Next::GoOn;
        let mut had_work = false;
        for _ in 0..MAX_COMMANDS {
            match self.commands.try_recv() {
                Ok(Command::Stop) => next = Next::Stop,
                Ok(command) => self.engine.handle_command(now, command),
                Err(std::sync::mpsc::TryRecvError::Empty) => break,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    next = Next::Stop;
                    break;
                }
            }
            had_work = true;
        }
        had_work |= self.receive_media(now);
        had_work |= self.receive_link(now);
        self.engine.handle_timeout(now, clock::utc());
        self.send(now);
        self.live
            .sessions
            .store(self.engine.sessions(), Ordering::Relaxed);
        self.live
            .is_link_up
            .store(self.engine.link.is_up(), Ordering::Relaxed);
        (next, had_work)
    }

    /// Every socket is read each turn until it is empty or has had its share:
    /// readiness is edge-triggered, and a read that finds nothing is cheap.
    fn receive_media(&mut self, now: Instant) -> bool {
        let mut had_work = false;
        for listener in &self.listeners {
            for _ in 0..MAX_BATCHES {
                match self.receiver.receive(&listener.socket) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        // An ICMP error of some presenter's network, mostly.
                        tracing::debug!(%error, "media socket");
                        self.metrics.socket_errors.increment(1);
                        break;
                    }
                }
                had_work = true;
                for datagram in self.receiver.datagrams() {
                    let destination = listener.advertised.destination(datagram.destination);
                    self.engine
                        .handle_media(now, datagram.source, destination, datagram.contents);
                }
            }
        }
        had_work
    }

    fn receive_link(&mut self, now: Instant) -> bool {
        let mut had_work = false;
        for _ in 0..MAX_BATCHES {
            match self.receiver.receive(&self.link_socket) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::debug!(%error, "link socket");
                    self.metrics.socket_errors.increment(1);
                    break;
                }
            }
            had_work = true;
            for datagram in self.receiver.datagrams() {
                let ecn = datagram
                    .ecn
                    .and_then(|ecn| quinn_proto::EcnCodepoint::from_bits(ecn as u8));
                self.engine
                    .handle_link(now, datagram.source, ecn, datagram.contents);
            }
        }
        had_work
    }

    fn send(&mut self, now: Instant) {
        for transmit in self.engine.take_transmits() {
            let mut listeners = self.listeners.iter();
            let Some(listener) =
                listeners.find(|listener| listener.candidates.contains(&transmit.source))
            else {
                continue;
            };
            let outgoing = Outgoing {
                destination: transmit.destination,
                source: listener.advertised.source(transmit.source.ip()),
                contents: &transmit.contents,
                segment_size: None,
                ecn: None,
            };
            if let Err(error) = listener.socket.send(&outgoing) {
                // STUN, DTLS and RTCP all come again.
                tracing::trace!(%error, "not sent");
                self.metrics.unsent_datagrams.increment(1);
            }
        }
        self.send_link(now);
    }

    fn send_link(&mut self, now: Instant) {
        for _ in 0..MAX_LINK_SENDS {
            if self.unsent.is_none() {
                let segments = self.link_socket.max_segments();
                self.unsent = self
                    .engine
                    .link
                    .poll_transmit(now, segments, &mut self.link_out);
            }
            let Some(transmit) = &self.unsent else {
                return;
            };
            let outgoing = Outgoing {
                destination: transmit.destination,
                source: transmit.src_ip,
                contents: self.link_out.get(..transmit.size).unwrap_or_default(),
                segment_size: transmit.segment_size,
                ecn: transmit
                    .ecn
                    .and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            };
            match self.link_socket.send(&outgoing) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // QUIC takes it for lost.
                    tracing::debug!(%error, "link send");
                    self.metrics.socket_errors.increment(1);
                }
                Ok(()) => {}
            }
            self.unsent = None;
        }
    }

    /// Ends every session and the link, and waits a moment for the origin to
    /// have heard of it.
    fn stop(mut self, now: Instant) {
        self.engine.end_all(now, CloseReason::Draining);
        self.send(now);
        let mut events = mio::Events::with_capacity(16);
        let deadline = now + STOP_TIMEOUT;
        let mut now = now;
        while now < deadline && !self.engine.link.is_flushed() {
            let timeout = self.timeout(now).min(deadline - now);
            if self.poll.poll(&mut events, Some(timeout)).is_err() {
                break;
            }
            now = clock::now();
            self.receive_link(now);
            self.engine.handle_timeout(now, clock::utc());
            self.send(now);
        }
        self.engine.link.stop(now);
        self.send_link(now);
        self.live.is_link_up.store(false, Ordering::Relaxed);
        self.live.sessions.store(0, Ordering::Relaxed);
    }
}
