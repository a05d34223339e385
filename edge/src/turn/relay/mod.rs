//! The TURN server's engine: allocations, permissions, channels, relaying.
//!
//! Pure: no socket, clock or task. One per worker. How to drive it:
//!
//! 1. [`Relay::handle_client`] for each message of a client, a datagram or a
//!    frame of a stream; [`Relay::handle_peer`] for each datagram at a relayed
//!    socket; [`Relay::handle_hop`] for what another worker, or media of this
//!    process, sends to a relayed address. Each returns at once where the data
//!    goes ([`Forward`]), borrowing them: nothing is copied here.
//! 2. After any call, [`Relay::poll_output`] until it is `None`. An
//!    [`Output::Bind`] is answered by [`Relay::handle_bound`], an
//!    [`Output::Connect`] later by [`Relay::handle_connected`].
//! 3. [`Relay::handle_timeout`] when [`Relay::next_timeout`] has come.
//! 4. [`Relay::handle_client_closed`] when a client's connection has ended.
//!
//! | file | holds |
//! |---|---|
//! | `request` | from a message to a believed request, or its refusal |
//! | `answer` | building answers |
//! | `allocate`, `refresh`, `permit`, `connect` | one request each |
//! | `forward` | where data goes |
//! | `expire` | what ends, and giving back what it held |
//! | `listing` | what an operator may see |

mod allocate;
mod answer;
mod connect;
mod expire;
mod forward;
mod listing;
mod permit;
mod refresh;
mod request;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use inlet_common::clock::UtcTime;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use slab::Slab;

use super::{
    allocation::{Allocation, Allotted, Key, Protocol, RelayId},
    auth::Username,
    challenge::Challenges,
    client::{Client, StreamId},
    metrics::Metrics,
    settings::Settings,
    shared::Shared,
    tally::Tally,
    wire::{ConnectionId, ErrorCode, Family, TransactionId},
};
use crate::schedule::Schedule;

pub use self::{
    forward::{Forward, Icmp, MediaHop, Prefix},
    listing::Entry,
};

/// How often the engine tells its numbers, and looks at what it shares.
const TELL_INTERVAL: Duration = Duration::from_millis(500);

/// What the driver is to do, beside relaying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message to a client.
    Transmit {
        /// To whom.
        client: Client,
        /// A whole message; padded to four bytes.
        contents: Vec<u8>,
    },
    /// Bind a relayed socket, and say how that went.
    Bind {
        /// For which relayed address.
        relay: RelayId,
        /// A UDP socket, or a TCP listener.
        protocol: Protocol,
        /// At which address.
        address: SocketAddr,
    },
    /// Close a relayed socket.
    Unbind {
        /// Which.
        relay: RelayId,
    },
    /// Open a TCP connection to a peer from a relayed address, and say how that
    /// went.
    Connect {
        /// Names the connection.
        connection: ConnectionId,
        /// From which relayed address.
        relay: RelayId,
        /// To whom.
        peer: SocketAddr,
    },
    /// From now on bytes flow between a client's connection and a peer's; what
    /// the client has already sent behind its request belongs to the peer.
    Join {
        /// The client's.
        stream: StreamId,
        /// The peer's.
        connection: ConnectionId,
    },
    /// Hand a client's connection to the worker that has the peer's, with the
    /// request that asks for it.
    Migrate {
        /// The client's.
        stream: StreamId,
        /// To whom.
        worker: u16,
        /// The ConnectionBind, as it came.
        request: Vec<u8>,
    },
    /// Close a connection to a peer.
    Disconnect {
        /// Which.
        connection: ConnectionId,
    },
    /// Close a client's connection once it has what was sent to it.
    Close {
        /// Which.
        stream: StreamId,
    },
    /// Tell it to whoever follows the stream.
    Tell(Allotted),
}

/// One worker's TURN server.
#[derive(Debug)]
pub struct Relay {
    worker: u16,
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    allocations: Slab<Allocation>,
    by_client: HashMap<Client, Key>,
    by_port: HashMap<(Family, u16), RelayId>,
    schedule: Schedule,
    /// Allocations whose sockets are not all bound.
    pending: HashMap<Key, allocate::Pending>,
    peers: connect::Peers,
    outputs: VecDeque<Output>,
    challenges: Challenges,
    tally: Tally,
    metrics: Metrics,
    rng: StdRng,
    utc: UtcTime,
    is_draining: bool,
    next_tell: Instant,
}

impl Relay {
    /// A server without allocations. `seed` must be random: relayed ports,
    /// tokens and connection ids are drawn from it.
    pub fn new(
        worker: u16,
        shared: Arc<Shared>,
        settings: Arc<Settings>,
        metrics: Metrics,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        Self {
            worker,
            shared,
            settings,
            allocations: Slab::new(),
            by_client: HashMap::new(),
            by_port: HashMap::new(),
            schedule: Schedule::default(),
            pending: HashMap::new(),
            peers: connect::Peers::default(),
            outputs: VecDeque::new(),
            challenges: Challenges::default(),
            tally: Tally::default(),
            metrics,
            rng: StdRng::from_seed(seed),
            utc: UtcTime::from_unix_micros(0),
            is_draining: false,
            next_tell: now,
        }
    }

    /// What to do next; `None` until something has come.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Relay::handle_timeout`] is to be called next.
    pub fn next_timeout(&self) -> Instant {
        let deadlines = [self.schedule.next(), self.peers.next_timeout()];
        let deadlines = deadlines.into_iter().flatten();
        deadlines.fold(self.next_tell, Instant::min)
    }

    /// Takes no new allocation from now on.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Exchanges the settings. Allocations stay, but for those whose user is no
    /// longer known, and keep the peers that they may still have.
    pub fn reload(&mut self, now: Instant, settings: Arc<Settings>) {
        self.settings = settings;
        self.judge_anew();
        let lost: Vec<Key> = self
            .allocations
            .iter()
            .filter(|(_, allocation)| self.settings.credentials.has_lost(&allocation.username))
            .map(|(key, _)| Key(key))
            .collect();
        for key in lost {
            self.end(now, key);
        }
    }

    /// Allocations that run.
    pub fn len(&self) -> usize {
        self.allocations.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.allocations.is_empty()
    }

    /// The driver could not bind a socket.
    pub fn note_unbound(&self) {
        self.metrics.sockets_refused.increment(1);
    }

    /// The time since the process began.
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.shared.started)
    }

    fn allocation(&self, key: Key) -> Option<&Allocation> {
        self.allocations.get(key.0)
    }

    fn transmit(&mut self, client: Client, contents: Vec<u8>) {
        self.outputs
            .push_back(Output::Transmit { client, contents });
    }

    /// The allocation of a client, if it is `username`'s; `Err` tells the code
    /// that the client gets (RFC 8656 §5: 437 without, 441 with another's).
    fn owned(&self, client: &Client, username: &Username) -> Result<Key, ErrorCode> {
        let key = self.by_client.get(client).copied();
        let key = key.ok_or(ErrorCode::AllocationMismatch)?;
        let allocation = self.allocation(key).ok_or(ErrorCode::AllocationMismatch)?;
        match allocation.username == *username {
            true => Ok(key),
            false => Err(ErrorCode::WrongCredentials),
        }
    }

    fn new_transaction(&mut self) -> TransactionId {
        let mut bytes = [0; 12];
        self.rng.fill_bytes(&mut bytes);
        TransactionId(bytes)
    }
}
