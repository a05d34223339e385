//! ICE-TCP (RFC 6544): presenters whose network passes no UDP call us by TCP.
//!
//! ```text
//!  media port, TCP ─▶ accept ─┐
//!  port of HTTPS ─▶ first frame names the worker ─▶ adopt
//!                             └─▶ read ─▶ frames (RFC 4571) ─▶ engine, as datagrams
//!  engine ─▶ Transmit by TCP ─▶ write ─▶ outbox ─▶ flush
//! ```
//!
//! To a session a connection is an address like any other. Until a Binding request
//! has shown whose it is, a connection is a stranger's: few of them, for seconds,
//! and with few frames. The trap: what goes to a presenter is never waited for. A
//! connection that takes nothing loses frames, as datagrams would be lost; STUN and
//! RTCP come again.
//!
//! | file | holds |
//! |---|---|
//! | `listener` | the sockets that are called |
//! | `plane` | taking, reading, feeding and ending connections |

mod listener;
mod plane;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use inlet_common::service::listener::{Entered, HalfOpen, Place};
use mio::{Interest, Registry, net::TcpStream};
use slab::Slab;
use socket2::{SockRef, TcpKeepalive};

pub(super) use self::listener::Listener;
use super::token::Source;
use crate::{
    framing,
    metrics::{IceTcp as Metrics, ice_tcp::Closed},
    schedule::Schedule,
    stream::{Connection, READ_SIZE},
    whip::session::{Path, Transmit, Way},
};

/// Bytes that may wait for a presenter, to whom nothing but STUN, DTLS and feedback
/// goes: seconds of it.
const MAX_WAITING: usize = 64 * 1024;

/// What the kernel may hold of what is sent to a presenter, beside this.
const SEND_BUFFER: usize = 64 * 1024;

/// Connections of one source that have not shown whose they are; an office behind
/// one address begins that many at once.
const MAX_UNPROVEN_OF_SOURCE: usize = 16;

/// Such connections of all sources.
const MAX_UNPROVEN: usize = 256;

/// How long a presenter may leave what was sent unacknowledged, or say nothing
/// before the kernel asks whether it is still there.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);

/// A presenter's connection.
#[derive(Debug)]
struct Stream {
    connection: Connection,
    way: Way,
    /// The beginning of a frame whose end has not come.
    inbox: Vec<u8>,
    /// While it has not shown whose it is.
    unproven: Option<Unproven>,
    /// Since when it has taken nothing of what waits.
    stuck_since: Option<Instant>,
    /// The place at the listener of HTTPS, given back with the connection.
    _place: Option<Place>,
}

/// What a connection is counted by until it has shown whose it is.
#[derive(Debug)]
struct Unproven {
    _entered: Entered,
    frames: u32,
}

/// All TCP connections of a worker's presenters.
#[derive(Debug)]
pub(super) struct Streams {
    listeners: Vec<Listener>,
    /// Our addresses at the port of HTTPS, whose connections are handed to us.
    shared: Vec<SocketAddr>,
    slab: Slab<Stream>,
    by_ends: HashMap<Ends, usize>,
    schedule: Schedule,
    /// Connections with something to send.
    dirty: Vec<usize>,
    scratch: Vec<u8>,
    sources: Arc<HalfOpen>,
    unproven: usize,
    /// When to accept again after a failure.
    retry: Option<Instant>,
    metrics: Metrics,
}

/// The two ends of a connection, as the presenter knows ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ends {
    remote: SocketAddr,
    local: SocketAddr,
}

impl Streams {
    /// Those of a worker that listens at `listeners`, and is handed what comes to
    /// `shared`; both may be empty.
    pub(super) fn new(listeners: Vec<Listener>, shared: Vec<SocketAddr>, metrics: Metrics) -> Self {
        Self {
            listeners,
            shared,
            slab: Slab::new(),
            by_ends: HashMap::new(),
            schedule: Schedule::default(),
            dirty: Vec::new(),
            scratch: vec![0; READ_SIZE],
            sources: HalfOpen::new(MAX_UNPROVEN_OF_SOURCE),
            unproven: 0,
            retry: None,
            metrics,
        }
    }

    /// What presenters are told, the preferred first.
    pub(super) fn candidates(&self) -> Vec<SocketAddr> {
        let own = self.listeners.iter().flat_map(Listener::candidates);
        own.chain(self.shared.iter().copied()).collect()
    }

    /// When something is to be looked at next.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [self.schedule.next(), self.retry]
            .into_iter()
            .flatten()
            .min()
    }

    /// Registers the listeners.
    pub(super) fn register(&mut self, registry: &Registry) -> std::io::Result<()> {
        for (at, listener) in self.listeners.iter_mut().enumerate() {
            let token = Source::MediaListener(at).token();
            registry.register(listener.source(), token, Interest::READABLE)?;
        }
        Ok(())
    }

    /// Puts a datagram into the outbox of the connection that it is for.
    pub(super) fn write(&mut self, transmit: &Transmit) {
        let ends = Ends {
            remote: transmit.destination,
            local: transmit.source,
        };
        let at = self.by_ends.get(&ends).copied();
        let Some((at, stream)) = at.and_then(|at| Some((at, self.slab.get_mut(at)?))) else {
            return self.metrics.no_connection.increment(1);
        };
        let contents = &transmit.contents[..];
        let is_taken = framing::header(contents)
            .is_some_and(|header| stream.connection.outbox.push(&[&header, contents]));
        if is_taken {
            self.dirty.push(at);
        } else {
            self.metrics.slow_reader.increment(1);
        }
    }

    /// What a connection that was handed over goes by: the presenter's own word
    /// where it is one of ours, else what stands for it behind 1:1 NAT.
    fn advertised(&self, local: SocketAddr) -> Option<SocketAddr> {
        let same_port = |known: &&SocketAddr| {
            known.port() == local.port() && known.is_ipv4() == local.is_ipv4()
        };
        let mut shared = self.shared.iter();
        let exact = shared.clone().find(|known| **known == local);
        exact.or_else(|| shared.find(same_port)).copied()
    }

    /// Takes a connection in that has not shown whose it is.
    fn insert(
        &mut self,
        socket: TcpStream,
        remote: SocketAddr,
        local: SocketAddr,
        place: Option<Place>,
        registry: &Registry,
    ) -> Result<usize, Closed> {
        let entered = self.sources.enter(remote.ip()).ok_or(Closed::Source)?;
        if self.unproven >= MAX_UNPROVEN {
            return Err(Closed::Crowded);
        }
        if let Err(error) = tune(&socket) {
            tracing::debug!(%error, "socket options of a presenter");
        }
        let mut connection = Connection::new(socket, None, MAX_WAITING);
        let at = self.slab.vacant_key();
        let token = Source::MediaStream(at).token();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = registry.register(connection.source(), token, interest) {
            tracing::debug!(%error, "connection not registered");
            return Err(Closed::Failed);
        }
        let ends = Ends { remote, local };
        // The kernel has no two connections with the same ends.
        self.by_ends.insert(ends, at);
        self.unproven += 1;
        self.metrics.connections.increment(1);
        Ok(self.slab.insert(Stream {
            connection,
            way: Way {
                path: Path::HostTcp,
                remote,
                local,
            },
            inbox: Vec::new(),
            unproven: Some(Unproven {
                _entered: entered,
                frames: 0,
            }),
            stuck_since: None,
            _place: place,
        }))
    }

    /// A connection has shown whose it is.
    fn note_proven(&mut self, at: usize) {
        if let Some(stream) = self.slab.get_mut(at)
            && stream.unproven.take().is_some()
        {
            self.unproven -= 1;
        }
    }

    /// Takes a connection out; it closes when it is dropped.
    fn remove(&mut self, at: usize, reason: Closed) -> Option<Stream> {
        let stream = self.slab.try_remove(at)?;
        self.schedule.remove(at);
        let ends = Ends {
            remote: stream.way.remote,
            local: stream.way.local,
        };
        if self.by_ends.get(&ends) == Some(&at) {
            self.by_ends.remove(&ends);
        }
        if stream.unproven.is_some() {
            self.unproven -= 1;
        }
        self.metrics.connections.decrement(1);
        self.metrics.note_closed(reason);
        Some(stream)
    }
}

/// Delay is worse than a small packet, and a presenter that is gone must not keep
/// what waits for it.
fn tune(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_user_timeout(Some(PEER_TIMEOUT))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PEER_TIMEOUT))
}

/// Addresses at the port of HTTPS that presenters are told, given what that
/// listener is bound to. A wildcard of IPv6 takes IPv4 too.
pub fn shared_candidates(
    listen: SocketAddr,
    machine: &[IpAddr],
    public: &[IpAddr],
) -> Vec<SocketAddr> {
    use crate::udp::addresses::Advertised;
    let at = |ip: IpAddr| {
        let bound = SocketAddr::new(ip, listen.port());
        Advertised::new(bound, machine, public).candidates()
    };
    match listen.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => {
            let mut both = at(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
            both.extend(at(ip.into()));
            both
        }
        ip => at(ip),
    }
}
