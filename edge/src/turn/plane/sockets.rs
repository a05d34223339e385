//! UDP sockets of the appliance: listeners for clients, relayed ones for peers.

use std::{io, net::SocketAddr};

use mio::{Interest, Registry};

use crate::{
    turn::allocation::{RelayId, slot},
    udp::{Outgoing, Socket},
    worker::token::Source,
};

/// A listener for clients, of which each worker has one of its own.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: Socket,
    /// Answers must leave by the address that was asked.
    pub(super) is_wildcard: bool,
}

/// A relayed socket.
#[derive(Debug)]
pub(super) struct Relayed {
    pub(super) id: RelayId,
    pub(super) socket: Socket,
}

/// All UDP sockets of a worker's appliance.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    listeners: Vec<Listener>,
    /// By [`place`].
    relayed: Vec<Option<Relayed>>,
}

/// Where a relayed socket lies: an allocation has two.
const fn place(relay: RelayId) -> usize {
    relay.allocation.0 * 2 + slot(relay.family)
}

impl Sockets {
    /// Binds every listener.
    pub(super) fn listen(addresses: &[SocketAddr]) -> Result<Self, (SocketAddr, io::Error)> {
        let mut sockets = Self::default();
        for address in addresses {
            let socket = Socket::bind_shared(*address).map_err(|error| (*address, error))?;
            sockets.listeners.push(Listener {
                socket,
                is_wildcard: address.ip().is_unspecified(),
            });
        }
        Ok(sockets)
    }

    pub(super) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for (at, listener) in self.listeners.iter_mut().enumerate() {
            let token = Source::TurnUdp(at).token();
            registry.register(listener.socket.source(), token, Interest::READABLE)?;
        }
        Ok(())
    }

    pub(super) fn listener(&self, at: usize) -> Option<&Listener> {
        self.listeners.get(at)
    }

    pub(super) fn relayed(&self, at: usize) -> Option<&Relayed> {
        self.relayed.get(at)?.as_ref()
    }

    pub(super) fn relayed_by_id(&self, id: RelayId) -> Option<&Socket> {
        self.relayed(place(id)).map(|relayed| &relayed.socket)
    }

    /// Binds a relayed socket.
    pub(super) fn bind(
        &mut self,
        registry: &Registry,
        id: RelayId,
        address: SocketAddr,
    ) -> io::Result<()> {
        let at = place(id);
        let mut socket = Socket::bind_relay(address)?;
        registry.register(
            socket.source(),
            Source::Relay(at).token(),
            Interest::READABLE,
        )?;
        if self.relayed.len() <= at {
            self.relayed.resize_with(at + 1, || None);
        }
        if let Some(place) = self.relayed.get_mut(at) {
            *place = Some(Relayed { id, socket });
        }
        Ok(())
    }

    /// Closes a relayed socket, if there is one.
    pub(super) fn unbind(&mut self, registry: &Registry, id: RelayId) {
        let relayed = self.relayed.get_mut(place(id)).and_then(Option::take);
        if let Some(mut relayed) = relayed
            && let Err(error) = registry.deregister(relayed.socket.source())
        {
            tracing::debug!(%error, "relayed socket not deregistered");
        }
    }

    /// Sends one packet that must not be fragmented; returns whether it left.
    pub(super) fn send_unfragmented(&self, id: RelayId, peer: SocketAddr, data: &[u8]) -> bool {
        let Some(socket) = self.relayed_by_id(id) else {
            return false;
        };
        let outgoing = Outgoing {
            destination: peer,
            source: None,
            contents: data,
            segment_size: None,
            ecn: None,
        };
        // RFC 8656 §15: where the bit cannot be set the data are dropped.
        let is_sent = socket.set_may_fragment(false).is_ok() && socket.send(&outgoing).is_ok();
        socket.set_may_fragment(true).is_ok() && is_sent
    }
}
