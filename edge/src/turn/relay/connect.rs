//! TCP connections to peers (RFC 6062 §5.2–§5.4).
//!
//! ```text
//!  Connect ───────▶ Connecting ── done ──▶ Waiting ── ConnectionBind ──▶ Joined
//!  a peer calls ────────────────────────────┘ │ 30 s
//!                       │ 30 s, refused: 447  ▼
//!                       └──────────────────▶ gone
//! ```
//!
//! A connection's id carries its worker, so that a client's new connection,
//! which any worker may get, finds the way.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::Rng as _;

use super::{Output, Relay, answer::Reply};
use crate::turn::{
    allocation::{Allocation, Key, Protocol, RelayId},
    auth::Identity,
    client::StreamId,
    peer_policy::{self, Own},
    tally::Dropped,
    wire::{Class, ConnectionId, Encoder, ErrorCode, Family, Message, Method},
};

/// How long a peer may take to answer, and a client to come for what it asked
/// for (RFC 6062 §5.2, §5.3).
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections of one allocation.
const MAX_CONNECTIONS: usize = 64;

/// All connections to peers of a worker.
#[derive(Debug, Default)]
pub(super) struct Peers {
    connections: HashMap<ConnectionId, Connection>,
    deadlines: BTreeSet<(Instant, ConnectionId)>,
}

#[derive(Debug)]
struct Connection {
    allocation: Key,
    peer: SocketAddr,
    state: State,
}

#[derive(Debug)]
enum State {
    Connecting { reply: Box<Reply>, until: Instant },
    Waiting { until: Instant },
    Joined { stream: StreamId },
}

impl Peers {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn of(&self, allocation: Key) -> impl Iterator<Item = (&ConnectionId, &Connection)> {
        let all = self.connections.iter();
        all.filter(move |(_, connection)| connection.allocation == allocation)
    }

    fn insert(&mut self, id: ConnectionId, connection: Connection) {
        if let Some(until) = connection.until() {
            self.deadlines.insert((until, id));
        }
        self.connections.insert(id, connection);
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        if let Some(until) = connection.until() {
            self.deadlines.remove(&(until, id));
        }
        Some(connection)
    }
}

impl Connection {
    const fn until(&self) -> Option<Instant> {
        match &self.state {
            State::Connecting { until, .. } | State::Waiting { until } => Some(*until),
            State::Joined { .. } => None,
        }
    }
}

impl Relay {
    pub(super) fn connect(
        &mut self,
        now: Instant,
        reply: Reply,
        message: &Message<'_>,
        identity: &Identity,
    ) {
        match self.start_connect(now, &reply, message, identity) {
            Ok(()) => {}
            Err(code) => self.refuse(&reply, code),
        }
    }

    fn start_connect(
        &mut self,
        now: Instant,
        reply: &Reply,
        message: &Message<'_>,
        identity: &Identity,
    ) -> Result<(), ErrorCode> {
        let key = self.owned(&reply.client, &identity.username)?;
        if self.protocol(key) != Some(Protocol::Tcp) {
            return Err(ErrorCode::Forbidden);
        }
        let peer = message.attributes.xor_peer_address;
        let peer = peer.ok_or(ErrorCode::BadRequest)?;
        self.judge_tcp(key, peer)?;
        if self.peers.of(key).any(|(_, other)| other.peer == peer) {
            return Err(ErrorCode::ConnectionAlreadyExists);
        }
        let connection = self.new_connection(key);
        let connection = connection.ok_or(ErrorCode::InsufficientCapacity)?;
        let state = State::Connecting {
            reply: Box::new(reply.clone()),
            until: now + PATIENCE,
        };
        let entry = Connection {
            allocation: key,
            peer,
            state,
        };
        self.peers.insert(connection, entry);
        self.outputs.push_back(Output::Connect {
            connection,
            relay: RelayId {
                allocation: key,
                family: Family::of(&peer),
            },
            peer,
        });
        Ok(())
    }

    /// The guard for TCP: relayed TCP addresses of ours are peers; media are
    /// not, as they speak no TCP to relayed clients, so a credential that was
    /// made for a stream has no peer at all.
    fn judge_tcp(&self, key: Key, peer: SocketAddr) -> Result<(), ErrorCode> {
        let allocation = self.allocation(key);
        let allocation = allocation.ok_or(ErrorCode::AllocationMismatch)?;
        if allocation.relayed(Family::of(&peer)).is_none() {
            return Err(ErrorCode::PeerAddressFamilyMismatch);
        }
        let real = SocketAddr::new(peer_policy::real(peer.ip()), peer.port());
        let peers = &self.settings.peers;
        let is_permitted = match allocation.stream {
            Some(_) => false,
            None if self.shared.ports.is_relayed_tcp(real) => peers.permits(real, Own::Reachable),
            None => peers.permits(real, Own::Stranger),
        };
        match is_permitted {
            true => Ok(()),
            false => Err(ErrorCode::Forbidden),
        }
    }

    /// An id that nobody has; `None` when the allocation has too many.
    fn new_connection(&mut self, key: Key) -> Option<ConnectionId> {
        if self.peers.of(key).count() >= MAX_CONNECTIONS {
            return None;
        }
        let worker = u32::from(self.worker) << 24;
        (0..8)
            .map(|_| ConnectionId(worker | (self.rng.next_u32() & 0x00FF_FFFF)))
            .find(|id| !self.peers.connections.contains_key(id))
    }

    /// The driver tells how an [`Output::Connect`] went.
    pub fn handle_connected(&mut self, now: Instant, id: ConnectionId, is_connected: bool) {
        let Some(mut connection) = self.peers.remove(id) else {
            return;
        };
        let State::Connecting { reply, .. } = connection.state else {
            return self.peers.insert(id, connection);
        };
        if !is_connected {
            return self.refuse(&reply, ErrorCode::ConnectionTimeoutOrFailure);
        }
        connection.state = State::Waiting {
            until: now + PATIENCE,
        };
        self.peers.insert(id, connection);
        self.succeed(&reply, |encoder| encoder.connection_id(id));
    }

    /// A peer has connected to a relayed address (RFC 6062 §5.3). `None`: it may
    /// not, and is to be cut off.
    pub fn handle_accepted(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: SocketAddr,
    ) -> Option<ConnectionId> {
        let key = relay.allocation;
        let allocation = self.allocation(key)?;
        let client = allocation.client;
        if allocation.expires <= now || !allocation.permissions.has(now, peer.ip()) {
            self.tally.note_dropped(Dropped::NoPermission);
            return None;
        }
        let id = self.new_connection(key)?;
        let entry = Connection {
            allocation: key,
            peer,
            state: State::Waiting {
                until: now + PATIENCE,
            },
        };
        self.peers.insert(id, entry);
        let transaction = self.new_transaction();
        let attempt = Encoder::new(Class::Indication, Method::ConnectionAttempt, transaction)
            .connection_id(id)
            .xor_peer_address(peer);
        self.transmit(client, attempt.finish());
        Some(id)
    }

    pub(super) fn connection_bind(
        &mut self,
        now: Instant,
        reply: &Reply,
        message: &Message<'_>,
        identity: &Identity,
        bytes: &[u8],
    ) {
        let (Some(stream), Some(id)) =
            (reply.client.via.stream(), message.attributes.connection_id)
        else {
            return self.refuse(reply, ErrorCode::BadRequest);
        };
        // A control connection stays one.
        if self.by_client.contains_key(&reply.client) {
            return self.refuse(reply, ErrorCode::BadRequest);
        }
        let worker = (id.0 >> 24) as u16;
        if worker >= self.shared.workers {
            return self.refuse(reply, ErrorCode::BadRequest);
        }
        if worker != self.worker {
            return self.outputs.push_back(Output::Migrate {
                stream,
                worker,
                request: bytes.to_vec(),
            });
        }
        let Some(connection) = self.peers.connections.get(&id) else {
            return self.refuse(reply, ErrorCode::BadRequest);
        };
        let is_theirs = self
            .allocation(connection.allocation)
            .is_some_and(|allocation| allocation.username == identity.username);
        if !is_theirs {
            return self.refuse(reply, ErrorCode::WrongCredentials);
        }
        let State::Waiting { until } = connection.state else {
            return self.refuse(reply, ErrorCode::BadRequest);
        };
        if until <= now {
            return self.refuse(reply, ErrorCode::BadRequest);
        }
        if let Some(mut connection) = self.peers.remove(id) {
            connection.state = State::Joined { stream };
            self.peers.insert(id, connection);
        }
        self.succeed(reply, |encoder| encoder.connection_id(id));
        self.outputs.push_back(Output::Join {
            stream,
            connection: id,
        });
    }

    /// A connection to a peer, or the client's that it is joined to, has ended.
    pub fn handle_disconnected(&mut self, id: ConnectionId) {
        self.peers.remove(id);
    }

    /// Ends connections that nobody answered or came for.
    pub(super) fn expire_connections(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.peers.deadlines.first()
            && at <= now
        {
            let Some(connection) = self.peers.remove(id) else {
                return;
            };
            if let State::Connecting { reply, .. } = connection.state {
                self.refuse(&reply, ErrorCode::ConnectionTimeoutOrFailure);
            }
            self.outputs
                .push_back(Output::Disconnect { connection: id });
        }
    }

    /// Ends every connection of an allocation with it (RFC 6062 §5.1).
    pub(super) fn disconnect_all(&mut self, key: Key) {
        if self.protocol(key) != Some(Protocol::Tcp) {
            return;
        }
        for family in [Family::V4, Family::V6] {
            self.disconnect(key, family);
        }
    }

    /// Ends connections to peers that new settings refuse. A peer who has called
    /// from a port of its own is judged by the permission that let it in.
    pub(super) fn judge_connections(&mut self, key: Key) {
        let connections = self.peers.of(key);
        let refused = connections.filter(|(_, it)| {
            let has_permission = |allocation: &Allocation| {
                let mut permitted = allocation.permissions.peers();
                permitted.any(|ip| ip == it.peer.ip())
            };
            self.judge_tcp(key, it.peer).is_err()
                && !self.allocation(key).is_some_and(has_permission)
        });
        let ids = refused.map(|(id, _)| *id).collect();
        self.disconnect_these(ids);
    }

    /// Ends every connection to peers of one family.
    pub(super) fn disconnect(&mut self, key: Key, family: Family) {
        let of_family = self.peers.of(key);
        let of_family = of_family.filter(|(_, it)| Family::of(&it.peer) == family);
        let ids = of_family.map(|(id, _)| *id).collect();
        self.disconnect_these(ids);
    }

    fn disconnect_these(&mut self, mut ids: Vec<ConnectionId>) {
        ids.sort_unstable();
        for id in ids {
            let connection = self.peers.remove(id);
            self.outputs
                .push_back(Output::Disconnect { connection: id });
            if let Some(State::Joined { stream }) = connection.map(|connection| connection.state) {
                self.outputs.push_back(Output::Close { stream });
            }
        }
    }
}
