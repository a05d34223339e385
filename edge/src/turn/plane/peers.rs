//! Relayed TCP (RFC 6062): addresses that peers call, and connections to them.
//!
//! Outgoing connections come from the relayed address itself, so listener and
//! connections share a port (SO_REUSEPORT; the pool gives it to one allocation).

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use mio::{
    Interest, Registry,
    net::{TcpListener, TcpStream},
};
use slab::Slab;
use socket2::{Domain, Protocol, SockRef, TcpKeepalive, Type};

use crate::{
    stream::Outbox,
    turn::{
        allocation::{RelayId, slot},
        client::StreamId,
        wire::ConnectionId,
    },
    worker::token::Source,
};

/// How long a peer may leave what was sent unacknowledged, or its window shut.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that may wait for a peer: a read's worth, four times. Nothing is read for
/// it while some wait.
const MAX_WAITING: usize = 256 * 1024;

/// Peers that may wait at a relayed address.
const BACKLOG: i32 = 16;

/// A relayed TCP address.
#[derive(Debug)]
pub(super) struct PeerListener {
    pub(super) id: RelayId,
    pub(super) listener: TcpListener,
}

/// A connection to a peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: ConnectionId,
    socket: TcpStream,
    pub(super) is_connected: bool,
    pub(super) outbox: Outbox,
    /// The client's connection that its bytes go to.
    pub(super) joined: Option<StreamId>,
    /// It waits until the client's outbox has room.
    pub(super) is_paused: bool,
    is_closing: bool,
}

/// All relayed TCP of a worker.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// By allocation and family.
    listeners: Vec<Option<PeerListener>>,
    peers: Slab<Peer>,
    by_id: HashMap<ConnectionId, usize>,
}

const fn place(relay: RelayId) -> usize {
    relay.allocation.0 * 2 + slot(relay.family)
}

impl Peers {
    /// Binds a relayed address.
    pub(super) fn listen(
        &mut self,
        registry: &Registry,
        id: RelayId,
        address: SocketAddr,
    ) -> io::Result<()> {
        let socket = bind(address)?;
        socket.listen(BACKLOG)?;
        let mut listener = TcpListener::from_std(socket.into());
        let at = place(id);
        let token = Source::PeerListener(at).token();
        registry.register(&mut listener, token, Interest::READABLE)?;
        if self.listeners.len() <= at {
            self.listeners.resize_with(at + 1, || None);
        }
        if let Some(place) = self.listeners.get_mut(at) {
            *place = Some(PeerListener { id, listener });
        }
        Ok(())
    }

    /// Closes a relayed address, if it is one of TCP.
    pub(super) fn unlisten(&mut self, registry: &Registry, id: RelayId) {
        let listener = self.listeners.get_mut(place(id)).and_then(Option::take);
        if let Some(mut listener) = listener
            && let Err(error) = registry.deregister(&mut listener.listener)
        {
            tracing::debug!(%error, "relayed address not deregistered");
        }
    }

    pub(super) fn listener(&self, at: usize) -> Option<&PeerListener> {
        self.listeners.get(at)?.as_ref()
    }

    /// Begins a connection from a relayed address to a peer.
    pub(super) fn connect(
        &mut self,
        registry: &Registry,
        id: ConnectionId,
        relay: RelayId,
        peer: SocketAddr,
    ) -> io::Result<()> {
        let listener = self.listener(place(relay));
        let from = listener.ok_or(io::ErrorKind::NotFound)?;
        let socket = bind(from.listener.local_addr()?)?;
        match socket.connect(&peer.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        self.insert(registry, id, TcpStream::from_std(socket.into()), false)
    }

    /// Takes a connection in.
    pub(super) fn insert(
        &mut self,
        registry: &Registry,
        id: ConnectionId,
        mut socket: TcpStream,
        is_connected: bool,
    ) -> io::Result<()> {
        let at = self.peers.vacant_key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut socket, Source::Peer(at).token(), interest)?;
        if let Err(error) = tune(&socket) {
            tracing::debug!(%error, "socket options of a peer");
        }
        self.peers.insert(Peer {
            id,
            socket,
            is_connected,
            outbox: Outbox::new(MAX_WAITING),
            joined: None,
            is_paused: false,
            is_closing: false,
        });
        self.by_id.insert(id, at);
        Ok(())
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Peer> {
        self.peers.get_mut(at)
    }

    pub(super) fn place_of(&self, id: ConnectionId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// Whether a connection takes more bytes.
    pub(super) fn has_room(&self, id: ConnectionId) -> bool {
        let peer = self.place_of(id).and_then(|at| self.peers.get(at));
        peer.is_some_and(|peer| peer.outbox.is_empty())
    }

    /// Ends a connection at once.
    pub(super) fn disconnect(&mut self, registry: &Registry, id: ConnectionId) {
        let Some(mut peer) = self
            .by_id
            .remove(&id)
            .and_then(|at| self.peers.try_remove(at))
        else {
            return;
        };
        if let Err(error) = registry.deregister(&mut peer.socket) {
            tracing::debug!(%error, "peer not deregistered");
        }
    }

    /// Ends a connection once it has what was sent to it.
    pub(super) fn disconnect_when_sent(&mut self, registry: &Registry, id: ConnectionId) {
        let peer = self.place_of(id).and_then(|at| self.peers.get_mut(at));
        let Some(peer) = peer else {
            return;
        };
        peer.is_closing = true;
        peer.joined = None;
        let is_over = peer.flush().is_err() || peer.outbox.is_empty();
        if is_over {
            self.disconnect(registry, id);
        }
    }
}

impl Peer {
    /// Whether the connection is up; `Err` when it could not be made.
    pub(super) fn finish_connect(&self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads; `None` when nothing is there, 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        match self.socket.read(buffer) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(0),
        }
    }

    /// Sends what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.socket.write(self.outbox.waiting()) {
                Ok(bytes) => self.outbox.advance(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.is_closing
    }
}

/// Delay is worse than a small packet, and a peer that takes nothing, or is gone,
/// must not keep what waits for it.
fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_tcp_user_timeout(Some(PEER_TIMEOUT))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PEER_TIMEOUT))
}

fn bind(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
