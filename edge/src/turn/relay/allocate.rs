//! Allocate (RFC 8656 §7.2, RFC 6062 §5.1).
//!
//! The answer waits until the sockets are bound: a port that the pool thinks
//! free may be somebody else's on this machine, and then another is drawn.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::Rng as _;

use super::{Output, Relay, answer::Reply};
use crate::turn::{
    allocation::{Allocation, Key, Protocol, RelayId, Relayed},
    auth::Identity,
    channel::Channels,
    client::Via,
    permission::Permissions,
    ports::Wish,
    quota::Exhausted,
    shared::{RESERVATION_LIFETIME, Reservation},
    wire::{Attributes, ErrorCode, Family, Message, ReservationToken, Transport},
};

/// Ports that are tried for one relayed address.
const MAX_TRIES: u8 = 8;

/// An allocation whose sockets are not all bound.
#[derive(Debug)]
pub(super) struct Pending {
    reply: Reply,
    wish: Wish,
    /// Sockets that the driver still has to tell of.
    outstanding: u8,
    tries: u8,
    /// The family that was asked for in addition and cannot be had.
    missing: Option<(Family, ErrorCode)>,
    /// The port in reserve, of a pair.
    reserved: Option<(Family, u16)>,
    /// A reserved port was claimed; no other will do.
    is_claimed: bool,
}

/// What a request asks for, in order.
#[derive(Clone, Copy, Debug)]
struct Asked {
    protocol: Protocol,
    family: Family,
    additional: Option<Family>,
    wish: Wish,
    token: Option<ReservationToken>,
    lifetime: Duration,
}

impl Relay {
    pub(super) fn allocate(
        &mut self,
        now: Instant,
        reply: Reply,
        message: &Message<'_>,
        identity: Identity,
    ) {
        if let Some(key) = self.by_client.get(&reply.client).copied() {
            return self.allocate_again(&reply, key, &identity);
        }
        if let Err(failure) = (self.settings.credentials).check_expiry(&identity.username, self.utc)
        {
            return self.fail(now, &reply, failure);
        }
        let asked = match self.asked(&reply, &message.attributes) {
            Ok(asked) => asked,
            Err(code) => return self.refuse(&reply, code),
        };
        if asked.protocol == Protocol::Tcp && identity.username.stream().is_some() {
            // Media speak no TCP to relayed clients, and nothing else is a peer.
            return self.refuse(&reply, ErrorCode::Forbidden);
        }
        if self.is_draining {
            return self.send_elsewhere(&reply);
        }
        let place = (self.shared.quotas).allocate(&identity.username, &self.settings.limits);
        let place = match place {
            Ok(place) => place,
            Err(Exhausted::User) => return self.refuse(&reply, ErrorCode::AllocationQuotaReached),
            Err(Exhausted::Process) => return self.send_elsewhere(&reply),
        };
        let allocation = Allocation {
            client: reply.client,
            stream: identity.username.stream(),
            username: identity.username,
            protocol: asked.protocol,
            transaction: reply.transaction,
            lifetime: asked.lifetime,
            token: None,
            missing: None,
            relays: [None; 2],
            created: now,
            expires: now + asked.lifetime,
            permissions: Permissions::default(),
            channels: Channels::default(),
            place,
            traffic: Default::default(),
        };
        self.by_client
            .insert(reply.client, Key(self.allocations.vacant_key()));
        let key = Key(self.allocations.insert(allocation));
        let pending = Pending {
            reply,
            wish: asked.wish,
            outstanding: 0,
            tries: MAX_TRIES,
            missing: None,
            reserved: None,
            is_claimed: asked.token.is_some(),
        };
        self.pending.insert(key, pending);
        self.draw_ports(now, key, &asked);
    }

    /// A retransmission gets the first success again; a new request on the same
    /// 5-tuple is refused (RFC 8656 §7.2).
    fn allocate_again(&mut self, reply: &Reply, key: Key, identity: &Identity) {
        let Some(allocation) = self.allocation(key) else {
            return;
        };
        let is_same =
            allocation.transaction == reply.transaction && allocation.username == identity.username;
        if self.pending.contains_key(&key) {
            // Its answer is under way.
        } else if is_same {
            self.tell_allocated(reply, key);
        } else {
            self.refuse(reply, ErrorCode::AllocationMismatch);
        }
    }

    fn asked(&self, reply: &Reply, said: &Attributes<'_>) -> Result<Asked, ErrorCode> {
        let is_stream = !matches!(reply.client.via, Via::Udp { .. });
        let protocol = match said.requested_transport.ok_or(ErrorCode::BadRequest)? {
            Transport::Udp => Protocol::Udp,
            // RFC 6062 §5.1: over TCP alone, and without what UDP's ports have.
            Transport::Tcp if is_stream => Protocol::Tcp,
            Transport::Tcp => return Err(ErrorCode::BadRequest),
            Transport::Other(_) => return Err(ErrorCode::UnsupportedTransport),
        };
        let has_port_wish = said.even_port.is_some() || said.reservation_token.is_some();
        if protocol == Protocol::Tcp && (has_port_wish || said.dont_fragment) {
            return Err(ErrorCode::BadRequest);
        }
        let is_contradictory = (said.reservation_token.is_some()
            && (said.even_port.is_some()
                || said.requested_family.is_some()
                || said.additional_family.is_some()))
            || (said.requested_family.is_some() && said.additional_family.is_some())
            || (said.additional_family.is_some()
                && said.even_port.is_some_and(|even| even.reserve_next));
        if is_contradictory {
            return Err(ErrorCode::BadRequest);
        }
        let family = match said.requested_family {
            None => Family::V4,
            Some(family) => family.map_err(|_| ErrorCode::AddressFamilyNotSupported)?,
        };
        let additional = match said.additional_family {
            None => None,
            Some(Ok(Family::V6)) => Some(Family::V6),
            // RFC 8656 §7.2: IPv4 is what one gets anyway.
            Some(_) => return Err(ErrorCode::BadRequest),
        };
        let wish = match said.even_port {
            None => Wish::Any,
            Some(even) if even.reserve_next => Wish::Pair,
            Some(_) => Wish::Even,
        };
        Ok(Asked {
            protocol,
            family,
            additional,
            wish,
            token: said.reservation_token,
            lifetime: self.settings.lifetime(said.lifetime),
        })
    }

    /// 300 where there is somewhere else, else 508.
    fn send_elsewhere(&mut self, reply: &Reply) {
        match self.settings.alternate(reply.client.remote) {
            Some(server) => self.refuse_with(reply, ErrorCode::TryAlternate, |encoder| {
                encoder.alternate_server(server)
            }),
            None => self.refuse(reply, ErrorCode::InsufficientCapacity),
        }
    }

    fn draw_ports(&mut self, now: Instant, key: Key, asked: &Asked) {
        if let Some(token) = asked.token {
            return self.claim(now, key, token);
        }
        for family in [Some(asked.family), asked.additional].into_iter().flatten() {
            if let Err(code) = self.draw(key, family) {
                let pending = self.pending.get_mut(&key);
                if let Some(pending) = pending {
                    pending.missing = pending.missing.or(Some((family, code)));
                }
                if asked.additional.is_none() {
                    break;
                }
            }
        }
        self.conclude(now, key);
    }

    /// Takes the port that was reserved for the holder of this token.
    fn claim(&mut self, now: Instant, key: Key, token: ReservationToken) {
        let shared = Arc::clone(&self.shared);
        let username = self
            .allocation(key)
            .map(|allocation| allocation.username.clone());
        let claimed = username.and_then(|username| shared.claim(now, token, &username));
        match claimed {
            Some(reservation) => self.bind(key, reservation.family, reservation.port),
            None => self.give_up(key, ErrorCode::InsufficientCapacity),
        }
    }

    /// Draws a port and has it bound.
    fn draw(&mut self, key: Key, family: Family) -> Result<(), ErrorCode> {
        if self.shared.ports.address(family).is_none() {
            return Err(ErrorCode::AddressFamilyNotSupported);
        }
        let wish = self
            .pending
            .get(&key)
            .map_or(Wish::Any, |pending| pending.wish);
        let port = self.shared.ports.take(family, wish, &mut self.rng);
        let port = port.ok_or(ErrorCode::InsufficientCapacity)?;
        if wish == Wish::Pair
            && let Some(pending) = self.pending.get_mut(&key)
        {
            pending.reserved = Some((family, port + 1));
        }
        self.bind(key, family, port);
        Ok(())
    }

    fn bind(&mut self, key: Key, family: Family, port: u16) {
        let Some(address) = self.shared.ports.address(family) else {
            return;
        };
        let Some(allocation) = self.allocations.get_mut(key.0) else {
            return;
        };
        if let Some(relayed) = allocation.relayed_mut(family) {
            *relayed = Some(Relayed {
                port,
                address: SocketAddr::new(address.advertised, port),
            });
        }
        let protocol = allocation.protocol;
        if let Some(pending) = self.pending.get_mut(&key) {
            pending.outstanding += 1;
        }
        self.outputs.push_back(Output::Bind {
            relay: RelayId {
                allocation: key,
                family,
            },
            protocol,
            address: SocketAddr::new(address.bind, port),
        });
    }

    /// The driver tells whether a socket could be bound.
    pub fn handle_bound(&mut self, now: Instant, relay: RelayId, is_bound: bool) {
        let key = relay.allocation;
        let Some(pending) = self.pending.get_mut(&key) else {
            return;
        };
        pending.outstanding -= 1;
        if is_bound {
            self.note_bound(relay);
        } else {
            pending.tries = pending.tries.saturating_sub(1);
            let may_retry = pending.tries > 0 && !pending.is_claimed;
            self.forget_port(relay);
            if !may_retry || self.draw(key, relay.family).is_err() {
                let code = ErrorCode::InsufficientCapacity;
                if let Some(pending) = self.pending.get_mut(&key) {
                    pending.missing = pending.missing.or(Some((relay.family, code)));
                }
            }
        }
        self.conclude(now, key);
    }

    fn note_bound(&mut self, relay: RelayId) {
        let Some(allocation) = self.allocation(relay.allocation) else {
            return;
        };
        let Some(relayed) = allocation.relayed(relay.family) else {
            return;
        };
        let (port, protocol) = (relayed.port, allocation.protocol);
        let ports = &self.shared.ports;
        ports.set_owner(relay.family, port, protocol, self.worker);
        if protocol == Protocol::Udp {
            self.by_port.insert((relay.family, port), relay);
        }
    }

    /// The socket of a drawn port was not bound: the port goes back, and so does
    /// its neighbour in reserve.
    fn forget_port(&mut self, relay: RelayId) {
        let allocation = self.allocations.get_mut(relay.allocation.0);
        let relayed = allocation
            .and_then(|allocation| allocation.relayed_mut(relay.family))
            .and_then(Option::take);
        if let Some(relayed) = relayed {
            self.shared.ports.give_back(relay.family, relayed.port);
        }
        if let Some(pending) = self.pending.get_mut(&relay.allocation)
            && let Some((family, port)) = pending.reserved.take()
        {
            self.shared.ports.give_back(family, port);
        }
    }

    /// Forgets that an allocation waits for its sockets; a port in reserve that
    /// nobody was told of goes back.
    pub(super) fn forget_pending(&mut self, key: Key) {
        let reserved = self.pending.remove(&key).and_then(|it| it.reserved);
        if let Some((family, port)) = reserved {
            self.shared.ports.give_back(family, port);
        }
    }

    /// Answers once every socket is bound or given up.
    fn conclude(&mut self, now: Instant, key: Key) {
        let Some(pending) = self.pending.get(&key) else {
            return;
        };
        if pending.outstanding > 0 {
            return;
        }
        let missing = pending.missing;
        let has_relay = self
            .allocation(key)
            .is_some_and(|allocation| allocation.families().next().is_some());
        if !has_relay {
            let code = missing.map_or(ErrorCode::InsufficientCapacity, |(_, code)| code);
            return self.give_up(key, code);
        }
        let Some(pending) = self.pending.remove(&key) else {
            return;
        };
        self.keep_reserve(now, key, &pending);
        if let Some(allocation) = self.allocations.get_mut(key.0) {
            allocation.missing = missing;
            let (via, families) = (allocation.client.via, allocation.families());
            self.schedule.set(key.0, allocation.expires);
            for family in families {
                self.tally.note_created(&self.metrics, via, family);
            }
            let told = allocation.allotted(None);
            self.outputs.extend(told.map(Output::Tell));
            tracing::debug!(transport = via.index(), "allocation made");
        }
        self.tell_allocated(&pending.reply, key);
    }

    /// Puts the second port of a pair aside, for whoever shows its token.
    fn keep_reserve(&mut self, now: Instant, key: Key, pending: &Pending) {
        let (Some((family, port)), Some(allocation)) =
            (pending.reserved, self.allocations.get_mut(key.0))
        else {
            return;
        };
        let mut token = [0; 8];
        self.rng.fill_bytes(&mut token);
        let token = ReservationToken(token);
        allocation.token = Some(token);
        let reservation = Reservation {
            family,
            port,
            username: allocation.username.clone(),
            expires: now + RESERVATION_LIFETIME,
        };
        self.shared.reserve(token, reservation);
    }

    /// Takes an allocation back that never was.
    fn give_up(&mut self, key: Key, code: ErrorCode) {
        let Some(pending) = self.pending.remove(&key) else {
            return;
        };
        self.remove(key);
        if code == ErrorCode::InsufficientCapacity {
            self.send_elsewhere(&pending.reply);
        } else {
            self.refuse(&pending.reply, code);
        }
    }

    fn tell_allocated(&mut self, reply: &Reply, key: Key) {
        let Some(allocation) = self.allocation(key) else {
            return;
        };
        let addresses = allocation
            .relays
            .map(|relay| relay.map(|relay| relay.address));
        let lifetime = u32::try_from(allocation.lifetime.as_secs()).unwrap_or(u32::MAX);
        let (token, missing) = (allocation.token, allocation.missing);
        self.succeed(reply, |mut encoder| {
            for address in addresses.into_iter().flatten() {
                encoder = encoder.xor_relayed_address(address);
            }
            encoder = encoder.lifetime(lifetime);
            if let Some(token) = token {
                encoder = encoder.reservation_token(token);
            }
            if let Some((family, code)) = missing {
                encoder = encoder.address_error(family, code);
            }
            encoder.xor_mapped_address(reply.client.remote)
        });
    }
}
