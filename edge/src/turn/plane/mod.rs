//! The appliance's data plane in one worker: sockets around the [`Relay`].
//!
//! The numbers of the engine's driving contract stand at the calls. What makes
//! it fast: sockets are read in batches that the kernel has already put
//! together (GRO), and each run of packets of one size to one destination
//! leaves by one system call (`run`); a payload is never copied on its way
//! through a worker.
//!
//! | file | holds |
//! |---|---|
//! | `config` | what a plane is made of |
//! | `command` | what is asked of it |
//! | `io` | passing on what the engine decides |
//! | `run` | packets on their way out, gathered by destination |
//! | `sockets` | listeners and relayed sockets |
//! | `streams` | clients' TCP and TLS connections |
//! | `clients` | reading and feeding them |
//! | `peers` | relayed TCP: listeners and connections to peers |
//! | `pipe` | bytes between a client's connection and a peer's |
//! | `ring` | what goes to other workers |

mod clients;
mod command;
mod config;
mod io;
mod peers;
mod pipe;
mod ring;
mod run;
mod sockets;
mod streams;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use inlet_common::clock::UtcTime;

use self::{
    io::Io,
    ring::{Hop, Parcel},
    run::Runs,
};
use super::{
    allocation::Allotted,
    client::{Client, Via},
    relay::{Icmp, MediaHop, Output, Relay},
    tally::Dropped,
};
use crate::{
    udp::{Batch, Receiver},
    worker::token::Source,
};

pub use self::{
    command::Command,
    config::{Config, Error},
    ring::{Ring, rings},
};

/// Rounds read from one socket per turn: timers must not wait longer.
const MAX_BATCHES: usize = 4;

/// Parcels of other workers that are taken per turn.
const MAX_PARCELS: usize = 1024;

/// ICMP errors read from one socket before its datagrams: peers can send as many
/// as they like.
const MAX_ERRORS: usize = 64;

/// Idle time after which a connection without an allocation is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Hands a datagram to media of this worker; returns whether a session took it.
type ToMedia<'m> = dyn FnMut(MediaHop<'_>) -> bool + 'm;

/// The appliance in one worker.
#[derive(Debug)]
pub struct Plane {
    relay: Relay,
    io: Io,
}

impl Plane {
    /// When [`Plane::handle_timeout`] is to be called next.
    pub fn next_timeout(&self) -> Instant {
        let streams = self.io.streams.next_timeout();
        streams.map_or(self.relay.next_timeout(), |at| {
            at.min(self.relay.next_timeout())
        })
    }

    /// Reads a source that has something, up to its share. Returns whether there
    /// is more.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        source: Source,
        registry: &mio::Registry,
        receiver: &mut Receiver,
        to_media: &mut ToMedia<'_>,
    ) -> bool {
        let has_more = match source {
            Source::TurnUdp(at) => self.receive_clients(now, at, registry, receiver, to_media),
            Source::Relay(at) => self.receive_peers(now, at, receiver),
            Source::Waker => self.receive_hops(now, registry, to_media),
            Source::Stream(at) => self.receive_stream(now, at, registry, to_media),
            Source::PeerListener(at) => self.accept_peers(now, at, registry),
            Source::Peer(at) => self.receive_peer_stream(now, at, registry),
            Source::Media(_) | Source::MediaListener(_) | Source::MediaStream(_) | Source::Link => {
                false
            }
        };
        self.settle(now, registry);
        has_more
    }

    /// What became of allocations of streams since the last call.
    pub(crate) fn take_allotted(&mut self) -> std::vec::Drain<'_, Allotted> {
        self.io.allotted.drain(..)
    }

    /// Sources that have something although no event will say so.
    pub(crate) fn take_again(&mut self) -> std::vec::Drain<'_, Source> {
        self.io.again.drain(..)
    }

    /// Datagrams of clients.
    fn receive_clients(
        &mut self,
        now: Instant,
        at: usize,
        registry: &mio::Registry,
        receiver: &mut Receiver,
        to_media: &mut ToMedia<'_>,
    ) -> bool {
        for _ in 0..MAX_BATCHES {
            let Some(listener) = self.io.sockets.listener(at) else {
                return false;
            };
            let batch = match receiver.receive_round(&listener.socket) {
                Ok(Batch::Empty) => return false,
                Ok(batch) => batch,
                Err(error) => {
                    tracing::debug!(%error, "TURN listener");
                    return true;
                }
            };
            let is_wildcard = listener.is_wildcard;
            let mut runs = Runs::default();
            for datagram in receiver.datagrams() {
                let client = Client {
                    via: Via::Udp {
                        listener: at as u16,
                        local: datagram.destination.filter(|_| is_wildcard),
                    },
                    remote: datagram.source,
                };
                // Contract 1.
                let forward = self.relay.handle_client(now, client, datagram.contents);
                self.io.pass(forward, &mut runs, to_media);
            }
            self.io.flush(&mut runs);
            self.settle(now, registry);
            if batch == Batch::Last {
                return false;
            }
        }
        true
    }

    /// Datagrams of peers, and ICMP errors.
    fn receive_peers(&mut self, now: Instant, at: usize, receiver: &mut Receiver) -> bool {
        for _ in 0..MAX_BATCHES {
            let Some(relayed) = self.io.sockets.relayed(at) else {
                return false;
            };
            let relay = relayed.id;
            for _ in 0..MAX_ERRORS {
                let Some(error) = relayed.socket.receive_error() else {
                    break;
                };
                let icmp = Icmp {
                    kind: error.kind,
                    code: error.code,
                    data: error.mtu,
                };
                self.relay.handle_icmp(now, relay, error.destination, icmp);
            }
            let batch = match receiver.receive_round(&relayed.socket) {
                Ok(Batch::Empty) => return false,
                Ok(batch) => batch,
                // The errors behind it are read in the next turn.
                Err(_) => return true,
            };
            let mut runs = Runs::default();
            for datagram in receiver.datagrams() {
                // Contract 1.
                let forward =
                    self.relay
                        .handle_peer(now, relay, datagram.source, datagram.contents);
                self.io.pass(forward, &mut runs, &mut |_| false);
            }
            self.io.flush(&mut runs);
            if batch == Batch::Last {
                return false;
            }
        }
        true
    }

    /// What other workers have for this one.
    fn receive_hops(
        &mut self,
        now: Instant,
        registry: &mio::Registry,
        to_media: &mut ToMedia<'_>,
    ) -> bool {
        for _ in 0..MAX_PARCELS {
            let Some(parcel) = self.io.ring.receive() else {
                return false;
            };
            self.take_parcel(now, parcel, registry, to_media);
        }
        true
    }

    fn take_parcel(
        &mut self,
        now: Instant,
        parcel: Parcel,
        registry: &mio::Registry,
        to_media: &mut ToMedia<'_>,
    ) {
        let mut runs = Runs::default();
        for (hop, data) in parcel.hops() {
            match hop {
                Hop::ToRelay { from, to } => {
                    // Contract 1.
                    let forward = self.relay.handle_hop(now, from, to, data);
                    self.io.pass(forward, &mut runs, to_media);
                }
                Hop::ToMedia {
                    from,
                    to,
                    transport,
                    stream,
                } => {
                    let hop = MediaHop {
                        from,
                        to,
                        transport,
                        stream,
                        data,
                    };
                    if !to_media(hop) {
                        self.io.note_dropped(Dropped::Media, 1);
                    }
                }
            }
        }
        self.io.flush(&mut runs);
        for migrant in parcel.into_migrants() {
            self.adopt_migrant(now, migrant, registry);
        }
    }

    /// Takes what media of this worker send to `to`, if that is a relayed
    /// address of this process. Returns whether it is.
    pub fn relay_media(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        data: &[u8],
    ) -> bool {
        let Some(worker) = self.io.shared.ports.owner(to) else {
            return false;
        };
        if worker == self.io.worker {
            let mut runs = Runs::default();
            let forward = self.relay.handle_hop(now, from, to, data);
            self.io.pass(forward, &mut runs, &mut |_| false);
            self.io.flush(&mut runs);
        } else {
            self.io.ring.push(worker, Hop::ToRelay { from, to }, data);
        }
        true
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, utc: UtcTime, registry: &mio::Registry) {
        // Contract 3.
        self.relay.handle_timeout(now, utc);
        self.expire_streams(now, registry);
        self.settle(now, registry);
    }

    /// Sends what has gathered during a turn.
    pub fn send(&mut self, now: Instant, registry: &mio::Registry) {
        self.flush_streams(now, registry);
        // A connection that ended there took its allocation with it.
        self.settle(now, registry);
        let lost = self.io.ring.send();
        self.io.note_dropped(Dropped::RingFull, lost);
        for (reason, packets) in self.io.dropped.drain(..) {
            self.relay.note_dropped(reason, packets);
        }
    }

    /// Contract 2: does what the engine says until it is silent.
    fn settle(&mut self, now: Instant, registry: &mio::Registry) {
        while let Some(output) = self.relay.poll_output() {
            self.perform(now, registry, output);
        }
    }

    fn perform(&mut self, now: Instant, registry: &mio::Registry, output: Output) {
        match output {
            Output::Transmit { client, contents } => self.io.transmit(client, &contents),
            Output::Bind {
                relay,
                protocol,
                address,
            } => {
                let bound = match protocol {
                    super::allocation::Protocol::Udp => {
                        self.io.sockets.bind(registry, relay, address)
                    }
                    super::allocation::Protocol::Tcp => {
                        self.io.peers.listen(registry, relay, address)
                    }
                };
                if let Err(error) = &bound {
                    self.relay.note_unbound();
                    tracing::debug!(%error, "relayed socket not bound");
                }
                self.relay.handle_bound(now, relay, bound.is_ok());
            }
            Output::Unbind { relay } => {
                self.io.sockets.unbind(registry, relay);
                self.io.peers.unlisten(registry, relay);
            }
            Output::Connect {
                connection,
                relay,
                peer,
            } => {
                if let Err(error) = self.io.peers.connect(registry, connection, relay, peer) {
                    tracing::debug!(%error, "peer not reached");
                    self.relay.handle_connected(now, connection, false);
                }
            }
            Output::Join { stream, connection } => self.join(stream, connection),
            Output::Migrate {
                stream,
                worker,
                request,
            } => self.io.streams.note_migration(stream, worker, request),
            Output::Disconnect { connection } => self.io.peers.disconnect(registry, connection),
            Output::Close { stream } => self.io.streams.close_when_sent(stream),
            Output::Tell(allotted) => self.io.allotted.push(allotted),
        }
    }
}
