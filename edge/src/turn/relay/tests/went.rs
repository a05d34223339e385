//! Data through the engine, and where they went.

use std::net::SocketAddr;

use super::{Caller, Rig};
use crate::turn::{client::Client, relay::Forward};

/// Where data went, of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Went {
    Nowhere,
    Peer {
        from: SocketAddr,
        peer: SocketAddr,
        data: Vec<u8>,
        dont_fragment: bool,
    },
    Client {
        client: Client,
        message: Vec<u8>,
    },
    Relay {
        worker: u16,
        from: SocketAddr,
        to: SocketAddr,
        data: Vec<u8>,
    },
    Media {
        worker: u16,
        to: SocketAddr,
        stream: Option<u64>,
    },
}

impl Rig {
    /// Feeds what a client sends.
    pub(super) fn feed(&mut self, caller: &Caller, bytes: &[u8]) -> Went {
        let relay = &mut self.relays[caller.worker];
        let forward = relay.handle_client(self.now, caller.client, bytes);
        let went = self.went(caller.worker, forward);
        self.drain();
        went
    }

    /// Feeds a datagram that comes to a relayed address from outside.
    pub(super) fn arrive(&mut self, relayed: SocketAddr, peer: SocketAddr, data: &[u8]) -> Went {
        let of_family = |bound: &SocketAddr| bound.is_ipv4() == relayed.is_ipv4();
        let mut sockets = self.sockets.iter();
        let bound = sockets
            .find(|(_, (_, bound))| bound.port() == relayed.port() && of_family(bound))
            .map(|(key, _)| *key);
        let Some((worker, id)) = bound else {
            return Went::Nowhere;
        };
        let forward = self.relays[worker].handle_peer(self.now, id, peer, data);
        self.went(worker, forward)
    }

    /// Takes data to the other worker, or from media to a relayed address.
    pub(super) fn hop(
        &mut self,
        worker: u16,
        from: SocketAddr,
        to: SocketAddr,
        data: &[u8],
    ) -> Went {
        let worker = usize::from(worker);
        let forward = self.relays[worker].handle_hop(self.now, from, to, data);
        self.went(worker, forward)
    }

    fn went(&self, worker: usize, forward: Forward<'_>) -> Went {
        match forward {
            Forward::Nothing => Went::Nowhere,
            Forward::ToPeer {
                relay,
                peer,
                data,
                dont_fragment,
            } => Went::Peer {
                from: self.sockets[&(worker, relay)].1,
                peer,
                data: data.to_vec(),
                dont_fragment,
            },
            Forward::ToClient {
                client,
                prefix,
                data,
            } => Went::Client {
                client,
                message: {
                    let padding = prefix.padding(client.via.stream().is_some());
                    [prefix.bytes(), data, padding].concat()
                },
            },
            Forward::ToRelay {
                worker,
                from,
                to,
                data,
            } => Went::Relay {
                worker,
                from,
                to,
                data: data.to_vec(),
            },
            Forward::ToMedia { worker, hop } => Went::Media {
                worker,
                to: hop.to,
                stream: hop.stream,
            },
        }
    }
}
