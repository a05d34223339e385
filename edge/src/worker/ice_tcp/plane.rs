//! Taking, reading, feeding and ending presenters' TCP connections.

use std::{
    io,
    time::{Duration, Instant},
};

use inlet_common::service::listener::Diverted;
use mio::{Registry, net::TcpStream};

use crate::{
    framing::Framing,
    metrics::ice_tcp::Closed,
    stream::Read,
    whip::session::{Datagram, Way},
    worker::{media::Plane, table::Remote, token::Source},
};

/// Connections that are taken at one listener per turn.
const MAX_ACCEPTS: usize = 32;

/// Reads from one connection per turn.
const MAX_READS: usize = 4;

/// Time from a connection to a Binding request that shows whose it is, and between
/// two looks at whether it is still somebody's.
const PROOF_TIMEOUT: Duration = Duration::from_secs(5);

/// Frames in which it may show that: ICE sends a request again after a lost answer,
/// and answers are not lost here.
const MAX_UNPROVEN_FRAMES: u32 = 16;

/// How long a connection may take nothing of what waits for it. Feedback that is
/// older is of no use, and the presenter has to come anew.
const STUCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after `accept` failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Plane {
    /// Takes who calls. Returns whether there may be more.
    pub(in crate::worker) fn accept(
        &mut self,
        now: Instant,
        at: usize,
        registry: &Registry,
    ) -> bool {
        for _ in 0..MAX_ACCEPTS {
            let Some(listener) = self.tcp.listeners.get(at) else {
                return false;
            };
            let (socket, remote, local) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The caller has hung up again; the next may wait behind it.
                Err(error) if is_of_the_peer(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a presenter's connection");
                    self.tcp.metrics.accept_errors.increment(1);
                    self.tcp.retry = Some(now + ACCEPT_PAUSE);
                    return false;
                }
            };
            self.tcp.metrics.accepted.increment(1);
            match self.tcp.insert(socket, remote, local, None, registry) {
                Ok(at) => self.tcp.schedule.set(at, now + PROOF_TIMEOUT),
                Err(reason) => self.tcp.metrics.note_closed(reason),
            }
        }
        true
    }

    /// Takes a connection on that has come in at the port of HTTPS, and what was
    /// read of it.
    pub(in crate::worker) fn adopt(
        &mut self,
        now: Instant,
        connection: Diverted,
        first: &[u8],
        registry: &Registry,
    ) -> Option<Source> {
        let tcp = &mut self.tcp;
        tcp.metrics.accepted.increment(1);
        let Some(local) = tcp.advertised(connection.local) else {
            tcp.metrics.note_closed(Closed::NoWorker);
            return None;
        };
        let socket = TcpStream::from_std(connection.stream);
        let place = Some(connection.place);
        let at = match tcp.insert(socket, connection.peer, local, place, registry) {
            Ok(at) => at,
            Err(reason) => {
                tcp.metrics.note_closed(reason);
                return None;
            }
        };
        tcp.schedule.set(at, now + PROOF_TIMEOUT);
        if let Err(reason) = self.take_bytes(now, at, first) {
            self.close_stream(now, at, reason);
            return None;
        }
        // More may have come, of which no event tells.
        Some(Source::MediaStream(at))
    }

    /// Reads a connection up to its share, and sends what waits for it. Returns
    /// whether there is more.
    pub(in crate::worker) fn receive_stream(&mut self, now: Instant, at: usize) -> bool {
        self.tcp.dirty.push(at);
        let mut scratch = std::mem::take(&mut self.tcp.scratch);
        let mut has_more = true;
        for _ in 0..MAX_READS {
            let stream = self.tcp.slab.get_mut(at);
            match stream.map_or(Read::Nothing, |it| it.connection.read(&mut scratch)) {
                Read::Bytes(bytes) => {
                    let bytes = scratch.get(..bytes).unwrap_or_default();
                    if let Err(reason) = self.take_bytes(now, at, bytes) {
                        self.close_stream(now, at, reason);
                        has_more = false;
                    }
                }
                Read::Nothing => has_more = false,
                Read::End => {
                    self.close_stream(now, at, Closed::Peer);
                    has_more = false;
                }
            }
            if !has_more {
                break;
            }
        }
        self.tcp.scratch = scratch;
        has_more
    }

    /// Cuts frames out of what has come.
    fn take_bytes(&mut self, now: Instant, at: usize, bytes: &[u8]) -> Result<(), Closed> {
        let Some(stream) = self.tcp.slab.get_mut(at) else {
            return Ok(());
        };
        let way = stream.way;
        let mut held = std::mem::take(&mut stream.inbox);
        let mut all = match held.is_empty() {
            true => bytes,
            false => {
                held.extend_from_slice(bytes);
                held.as_slice()
            }
        };
        loop {
            match Framing::next(all) {
                Framing::Whole { message, rest } => {
                    all = rest;
                    self.take_frame(now, at, way, message)?;
                }
                Framing::More => break,
                Framing::TooLong => return Err(Closed::FrameTooLong),
            }
        }
        if let Some(stream) = self.tcp.slab.get_mut(at) {
            stream.inbox = all.to_vec();
        }
        Ok(())
    }

    fn take_frame(
        &mut self,
        now: Instant,
        at: usize,
        way: Way,
        contents: &[u8],
    ) -> Result<(), Closed> {
        let datagram = Datagram { way, contents };
        self.engine.handle_media(now, &datagram);
        let stream = self.tcp.slab.get_mut(at);
        let Some(unproven) = stream.and_then(|stream| stream.unproven.as_mut()) else {
            return Ok(());
        };
        unproven.frames += 1;
        let frames = unproven.frames;
        if self.engine.knows(&Remote::from(&way)) {
            self.tcp.note_proven(at);
        } else if frames >= MAX_UNPROVEN_FRAMES {
            return Err(Closed::Unproven);
        }
        Ok(())
    }

    /// Sends what waits for each connection.
    pub(in crate::worker) fn flush_streams(&mut self, now: Instant) {
        let mut dirty = std::mem::take(&mut self.tcp.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for at in dirty.drain(..) {
            let Some(stream) = self.tcp.slab.get_mut(at) else {
                continue;
            };
            let before = stream.connection.outbox.len();
            if stream.connection.flush().is_err() {
                self.close_stream(now, at, Closed::Peer);
                continue;
            }
            let after = stream.connection.outbox.len();
            stream.stuck_since = match stream.stuck_since {
                _ if after == 0 => None,
                Some(since) if after == before => Some(since),
                _ => Some(now),
            };
        }
        self.tcp.dirty = dirty;
    }

    /// Ends connections that are of no use to anybody, and accepts again after a
    /// failure.
    pub(in crate::worker) fn expire_streams(&mut self, now: Instant, registry: &Registry) {
        if self.tcp.retry.is_some_and(|at| at <= now) {
            self.tcp.retry = None;
            for at in 0..self.tcp.listeners.len() {
                if self.accept(now, at, registry) {
                    self.tcp.retry = Some(now);
                }
            }
        }
        while let Some(at) = self.tcp.schedule.pop_due(now) {
            match self.why_useless(now, at) {
                Some(reason) => self.close_stream(now, at, reason),
                None => self.tcp.schedule.set(at, now + PROOF_TIMEOUT),
            }
        }
    }

    fn why_useless(&self, now: Instant, at: usize) -> Option<Closed> {
        let stream = self.tcp.slab.get(at)?;
        let is_stuck = |since: Instant| now >= since + STUCK_TIMEOUT;
        if stream.unproven.is_some() {
            Some(Closed::Unproven)
        } else if !self.engine.knows(&Remote::from(&stream.way)) {
            Some(Closed::Over)
        } else if stream.stuck_since.is_some_and(is_stuck) {
            Some(Closed::Stuck)
        } else {
            None
        }
    }

    fn close_stream(&mut self, now: Instant, at: usize, reason: Closed) {
        let Some(stream) = self.tcp.remove(at, reason) else {
            return;
        };
        tracing::debug!(?reason, "presenter's connection closed");
        self.engine.handle_gone(now, &Remote::from(&stream.way));
        stream.connection.close();
    }
}

/// The peer gave up before we took its connection; nothing is wrong here.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NotConnected
    )
}
