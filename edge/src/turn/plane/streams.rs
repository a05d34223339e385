//! Clients' TCP and TLS connections: the sockets of a worker's, and what waits.
//!
//! What a client is to get waits in a bounded outbox: a client that does not
//! read loses packets, as it would over UDP, and costs no more memory.

use std::time::{Duration, Instant};

use inlet_common::service::listener::{Diverted, Place};
use mio::{Interest, Registry, net::TcpStream};
use slab::Slab;

use crate::{
    schedule::Schedule,
    stream::{Connection, READ_SIZE},
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

/// Bytes that may wait for a client: a quarter of a second of 8 Mbps. Media that
/// are older are of no use; a byte stream stops being read instead.
const MAX_WAITING: usize = 256 * 1024;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) client: Client,
    pub(super) connection: Connection,
    /// The beginning of a message whose end has not come.
    pub(super) inbox: Vec<u8>,
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

impl Stream {
    pub(super) fn new(connection: Diverted) -> Self {
        Self {
            client: Client {
                via: Via::Tcp(StreamId(0)),
                remote: connection.peer,
            },
            connection: Connection::new(
                TcpStream::from_std(connection.stream),
                connection.tls,
                MAX_WAITING,
            ),
            inbox: Vec::new(),
            joined: None,
            is_paused: false,
            is_closing: false,
            _place: connection.place,
        }
    }
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
        if stream.connection.outbox.is_empty() {
            self.dirty.push(at);
        }
        !stream.is_closing && stream.connection.outbox.push(pieces)
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
        stream.client.via = match stream.connection.is_tls() {
            true => Via::Tls(id),
            false => Via::Tcp(id),
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Source::Stream(at).token();
        if let Err(error) = registry.register(stream.connection.source(), token, interest) {
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
        if let Err(error) = registry.deregister(stream.connection.source()) {
            tracing::debug!(%error, "connection not deregistered");
        }
        Some(stream)
    }
}
