//! Clients' TCP and TLS connections: the sockets of a worker's, and what waits.
//!
//! What a client is to get waits in a bounded outbox: a client that does not
//! read loses packets, as it would over UDP, and costs no more memory.

use std::{
    io::{self, Read as _, Write as _},
    time::{Duration, Instant},
};

use inlet_common::service::listener::{Diverted, Place};
use mio::{Interest, Registry, net::TcpStream};
use rustls::ServerConnection;
use slab::Slab;

use super::outbox::Outbox;
use crate::{
    schedule::Schedule,
    turn::{
        client::{Client, StreamId, Via},
        metrics::Metrics,
        wire::ConnectionId,
    },
    worker::token::Source,
};

/// Time from a connection to its allocation. A listener's places are for those who
/// use them.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes read at once.
const READ_SIZE: usize = 64 * 1024;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) client: Client,
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    /// The beginning of a message whose end has not come.
    pub(super) inbox: Vec<u8>,
    pub(super) outbox: Outbox,
    /// The peer's connection that its bytes go to.
    pub(super) joined: Option<ConnectionId>,
    /// It waits until the peer's outbox has room.
    pub(super) is_paused: bool,
    pub(super) is_closing: bool,
    /// The listener's place, given back with the connection.
    _place: Place,
}

/// A connection on its way to another worker.
#[derive(Debug)]
pub(super) struct Migrant {
    pub(super) stream: Box<Stream>,
    /// What it has brought and nobody has read.
    pub(super) unread: Vec<u8>,
}

/// All connections of a worker.
#[derive(Debug)]
pub(super) struct Streams {
    slab: Slab<Stream>,
    pub(super) schedule: Schedule,
    /// Connections with something to send.
    pub(super) dirty: Vec<usize>,
    pub(super) scratch: Vec<u8>,
    ids: u64,
    /// The connection that is being read is to move.
    pub(super) migration: Option<(u16, Vec<u8>)>,
    metrics: Metrics,
}

/// What a read brought.
pub(super) enum Read {
    Bytes(usize),
    Nothing,
    End,
}

impl Stream {
    pub(super) fn new(connection: Diverted) -> Self {
        Self {
            client: Client {
                via: Via::Tcp(StreamId(0)),
                remote: connection.peer,
            },
            socket: TcpStream::from_std(connection.stream),
            tls: connection.tls,
            inbox: Vec::new(),
            outbox: Outbox::default(),
            joined: None,
            is_paused: false,
            is_closing: false,
            _place: connection.place,
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Read {
        let Some(tls) = &mut self.tls else {
            return match self.socket.read(buffer) {
                Ok(0) => Read::End,
                Ok(bytes) => Read::Bytes(bytes),
                Err(error) if is_nothing(&error) => Read::Nothing,
                Err(_) => Read::End,
            };
        };
        loop {
            match tls.reader().read(buffer) {
                Ok(0) => return Read::End,
                Ok(bytes) => return Read::Bytes(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Read::End,
            }
            match tls.read_tls(&mut self.socket) {
                Ok(0) => return Read::End,
                Ok(_) => {}
                Err(error) if is_nothing(&error) => return Read::Nothing,
                Err(_) => return Read::End,
            }
            if tls.process_new_packets().is_err() {
                return Read::End;
            }
        }
    }

    /// Sends what waits, as far as the socket takes it.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            while !self.outbox.is_empty() {
                match self.socket.write(self.outbox.waiting()) {
                    Ok(bytes) => self.outbox.advance(bytes),
                    Err(error) if is_nothing(&error) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        };
        loop {
            // rustls takes as much as its own bound allows.
            let taken = tls.writer().write(self.outbox.waiting())?;
            self.outbox.advance(taken);
            if !tls.wants_write() {
                return Ok(());
            }
            match tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if is_nothing(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Says goodbye, as far as the socket takes it at once.
    pub(super) fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            if let Err(error) = tls.write_tls(&mut self.socket) {
                tracing::trace!(%error, "no close_notify");
            }
        }
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.outbox.is_empty() && self.tls.as_ref().is_none_or(|tls| !tls.wants_write())
    }
}

/// Nothing now; the socket's event will come.
fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

impl Streams {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            slab: Slab::new(),
            schedule: Schedule::default(),
            dirty: Vec::new(),
            scratch: vec![0; READ_SIZE],
            ids: 0,
            migration: None,
            metrics,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.schedule.next()
    }

    /// The place of a connection that is still there: the lower half of its id.
    pub(super) fn place(&self, id: StreamId) -> Option<usize> {
        let at = usize::try_from(id.0 & u64::from(u32::MAX)).ok()?;
        let stream = self.slab.get(at)?;
        (stream.client.via.stream() == Some(id)).then_some(at)
    }

    pub(super) fn get(&self, at: usize) -> Option<&Stream> {
        self.slab.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Stream> {
        self.slab.get_mut(at)
    }

    pub(super) fn by_id(&mut self, id: StreamId) -> Option<&mut Stream> {
        let at = self.place(id)?;
        self.slab.get_mut(at)
    }

    /// Puts pieces into a connection's outbox; `false` when there is no room.
    pub(super) fn write(&mut self, id: StreamId, pieces: &[&[u8]]) -> bool {
        let Some(at) = self.place(id) else {
            return false;
        };
        let Some(stream) = self.slab.get_mut(at) else {
            return false;
        };
        if stream.outbox.is_empty() {
            self.dirty.push(at);
        }
        !stream.is_closing && stream.outbox.push(pieces)
    }

    pub(super) fn close_when_sent(&mut self, id: StreamId) {
        let Some(at) = self.place(id) else {
            return;
        };
        if let Some(stream) = self.slab.get_mut(at) {
            stream.is_closing = true;
            self.dirty.push(at);
        }
    }

    /// The connection that is being read goes to another worker.
    pub(super) fn note_migration(&mut self, id: StreamId, worker: u16, request: Vec<u8>) {
        if self.place(id).is_some() {
            self.migration = Some((worker, request));
        }
    }

    /// Names a connection anew and takes it in.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        mut stream: Stream,
        registry: &Registry,
    ) -> Option<usize> {
        let at = self.slab.vacant_key();
        self.ids += 1;
        let id = StreamId(self.ids << 32 | at as u64);
        stream.client.via = match stream.tls {
            Some(_) => Via::Tls(id),
            None => Via::Tcp(id),
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Source::Stream(at).token();
        if let Err(error) = registry.register(&mut stream.socket, token, interest) {
            tracing::debug!(%error, "connection not registered");
            return None;
        }
        if let Some(gauge) = self.metrics.connections(stream.client.via) {
            gauge.increment(1);
        }
        self.schedule.set(at, now + FIRST_TIMEOUT);
        Some(self.slab.insert(stream))
    }

    /// Takes a connection out, still open.
    pub(super) fn take(&mut self, at: usize, registry: &Registry) -> Option<Stream> {
        let mut stream = self.slab.try_remove(at)?;
        self.schedule.remove(at);
        if let Some(gauge) = self.metrics.connections(stream.client.via) {
            gauge.decrement(1);
        }
        if let Err(error) = registry.deregister(&mut stream.socket) {
            tracing::debug!(%error, "connection not deregistered");
        }
        Some(stream)
    }
}
