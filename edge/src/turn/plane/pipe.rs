//! Bytes between a client's connection and a peer's, once they are joined
//! (RFC 6062 §5.4): neither side is read while the other has no room, so memory
//! is bounded and nothing is lost.

use std::{io, time::Instant};

use mio::Registry;

use super::{Plane, io::Io};
use crate::{
    turn::{client::StreamId, wire::ConnectionId},
    worker::token::Source,
};

/// Reads from one peer per turn.
const MAX_READS: usize = 4;

/// Peers that are taken at one relayed address per turn.
const MAX_ACCEPTS: usize = 16;

impl Plane {
    /// Joins a client's connection and a peer's.
    pub(super) fn join(&mut self, stream: StreamId, connection: ConnectionId) {
        if let Some(stream) = self.io.streams.by_id(stream) {
            stream.joined = Some(connection);
        }
        let Some(at) = self.io.peers.place_of(connection) else {
            return;
        };
        if let Some(peer) = self.io.peers.get_mut(at) {
            peer.joined = Some(stream);
        }
        // What the peer has sent while it waited.
        self.io.again.push(Source::Peer(at));
    }

    /// Takes peers who call a relayed address.
    pub(super) fn accept_peers(&mut self, now: Instant, at: usize, registry: &Registry) -> bool {
        for _ in 0..MAX_ACCEPTS {
            let Some(listener) = self.io.peers.listener(at) else {
                return false;
            };
            let relay = listener.id;
            let (socket, address) = match listener.listener.accept() {
                Ok(accepted) => accepted,
                // The caller has hung up again; the next may wait behind it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(_) => return false,
            };
            // Without a permission the socket is dropped, which ends it.
            let Some(id) = self.relay.handle_accepted(now, relay, address) else {
                continue;
            };
            if let Err(error) = self.io.peers.insert(registry, id, socket, true) {
                tracing::debug!(%error, "peer not registered");
                self.relay.handle_disconnected(id);
            }
        }
        true
    }

    /// Something has happened to a connection to a peer.
    pub(super) fn receive_peer_stream(
        &mut self,
        now: Instant,
        at: usize,
        registry: &Registry,
    ) -> bool {
        let Some(peer) = self.io.peers.get_mut(at) else {
            return false;
        };
        let id = peer.id;
        if !peer.is_connected {
            match peer.finish_connect() {
                Ok(false) => return false,
                Ok(true) => {
                    peer.is_connected = true;
                    self.relay.handle_connected(now, id, true);
                }
                Err(error) => {
                    tracing::debug!(%error, "peer not reached");
                    self.io.peers.disconnect(registry, id);
                    self.relay.handle_connected(now, id, false);
                    return false;
                }
            }
        }
        self.flush_peer(at, registry);
        self.read_peer(at, registry)
    }

    fn flush_peer(&mut self, at: usize, registry: &Registry) {
        let Some(peer) = self.io.peers.get_mut(at) else {
            return;
        };
        let (id, joined) = (peer.id, peer.joined);
        let is_broken = peer.flush().is_err();
        let is_sent = peer.outbox.is_empty();
        if is_broken || (peer.is_closing() && is_sent) {
            self.end_pair(id, joined, registry);
        } else if is_sent && let Some(stream) = joined {
            self.io.resume_stream(stream);
        }
    }

    fn read_peer(&mut self, at: usize, registry: &Registry) -> bool {
        let mut buffer = std::mem::take(&mut self.io.streams.scratch);
        let has_more = self.read_peer_into(at, registry, &mut buffer);
        self.io.streams.scratch = buffer;
        has_more
    }

    fn read_peer_into(&mut self, at: usize, registry: &Registry, buffer: &mut [u8]) -> bool {
        for _ in 0..MAX_READS {
            let Some(peer) = self.io.peers.get_mut(at) else {
                return false;
            };
            // Until a client has come for it, the kernel keeps what it sends.
            let Some(stream) = peer.joined else {
                return false;
            };
            let room = self.io.streams.by_id(stream);
            peer.is_paused = room.is_some_and(|stream| !stream.connection.outbox.is_empty());
            if peer.is_paused {
                return false;
            }
            match peer.read(buffer) {
                None => return false,
                Some(0) => {
                    let id = peer.id;
                    self.end_pair(id, Some(stream), registry);
                    return false;
                }
                Some(bytes) => {
                    let bytes = buffer.get(..bytes).unwrap_or_default();
                    // Its outbox is empty, so there is room.
                    self.io.streams.write(stream, &[bytes]);
                }
            }
        }
        true
    }

    /// Ends a peer's connection, and the client's once it has what was sent.
    fn end_pair(&mut self, id: ConnectionId, stream: Option<StreamId>, registry: &Registry) {
        self.relay.handle_disconnected(id);
        self.io.peers.disconnect(registry, id);
        if let Some(stream) = stream {
            self.io.streams.close_when_sent(stream);
        }
    }
}

impl Io {
    /// Passes a client's bytes on to its peer.
    pub(super) fn pipe(&mut self, connection: ConnectionId, bytes: &[u8]) {
        let Some(at) = self.peers.place_of(connection) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(at) {
            // A read's worth always fits: nothing is read while something waits.
            peer.outbox.push(&[bytes]);
            if peer.flush().is_err() {
                self.again.push(Source::Peer(at));
            }
        }
    }

    /// A client's connection has sent everything: its peer may go on.
    pub(super) fn resume_peer(&mut self, connection: ConnectionId) {
        let Some(at) = self.peers.place_of(connection) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(at)
            && peer.is_paused
        {
            peer.is_paused = false;
            self.again.push(Source::Peer(at));
        }
    }

    /// A peer's connection has sent everything: its client may go on.
    fn resume_stream(&mut self, id: StreamId) {
        let Some(at) = self.streams.place(id) else {
            return;
        };
        if let Some(stream) = self.streams.by_id(id)
            && stream.is_paused
        {
            stream.is_paused = false;
            self.again.push(Source::Stream(at));
        }
    }
}
