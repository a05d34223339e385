//! CreatePermission and ChannelBind (RFC 8656 §10.2, §12.2).
//!
//! CreatePermission is judged by address alone, as the RFC has it; what is then
//! sent is judged again, with its port.

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use super::{Relay, answer::Reply};
use crate::turn::{
    allocation::{Key, Protocol},
    auth::Identity,
    channel::Refused,
    peer_policy::{self, Own},
    wire::{ChannelNumber, ErrorCode, Family, Message},
};

/// Peers of one CreatePermission; a datagram of 1,500 bytes holds 118. More get
/// 508.
const MAX_PEERS: usize = 128;

impl Relay {
    pub(super) fn create_permission(
        &mut self,
        now: Instant,
        reply: &Reply,
        message: &Message<'_>,
        identity: &Identity,
    ) {
        let key = match self.owned(&reply.client, &identity.username) {
            Ok(key) => key,
            Err(code) => return self.refuse(reply, code),
        };
        let mut peers = Vec::new();
        for peer in message.peers().take(MAX_PEERS + 1) {
            match peer.ok_or(ErrorCode::BadRequest).and_then(|peer| {
                self.judge_ip(key, peer)?;
                Ok(peer.ip())
            }) {
                Ok(ip) => peers.push(ip),
                // All or nothing, as far as the policy is asked.
                Err(code) => return self.refuse(reply, code),
            }
        }
        match peers.len() {
            0 => return self.refuse(reply, ErrorCode::BadRequest),
            1..=MAX_PEERS => {}
            _ => return self.refuse(reply, ErrorCode::InsufficientCapacity),
        }
        for ip in peers {
            if !self.install(now, key, ip) {
                return self.refuse(reply, ErrorCode::InsufficientCapacity);
            }
        }
        self.succeed(reply, |encoder| encoder);
    }

    pub(super) fn channel_bind(
        &mut self,
        now: Instant,
        reply: &Reply,
        message: &Message<'_>,
        identity: &Identity,
    ) {
        let key = match self.owned(&reply.client, &identity.username) {
            Ok(key) => key,
            Err(code) => return self.refuse(reply, code),
        };
        match self.bind_channel(now, key, message) {
            Ok(()) => self.succeed(reply, |encoder| encoder),
            Err(code) => self.refuse(reply, code),
        }
    }

    fn bind_channel(
        &mut self,
        now: Instant,
        key: Key,
        message: &Message<'_>,
    ) -> Result<(), ErrorCode> {
        let said = &message.attributes;
        let number = said.channel_number.and_then(ChannelNumber::new);
        let number = number.ok_or(ErrorCode::BadRequest)?;
        let peer = said.xor_peer_address.ok_or(ErrorCode::BadRequest)?;
        // RFC 6062 §5: a TCP allocation has no channels.
        if self.protocol(key) != Some(Protocol::Udp) {
            return Err(ErrorCode::Forbidden);
        }
        self.judge(key, peer)?;
        let settings = &self.settings;
        let allocation = self.allocations.get_mut(key.0);
        let allocation = allocation.ok_or(ErrorCode::AllocationMismatch)?;
        let share = allocation.place.share();
        let is_new = allocation.channels.peer(now, number).is_none();
        let bound = allocation
            .channels
            .bind(now, number, peer, || share.channel(&settings.limits));
        bound.map_err(|refused| match refused {
            Refused::Taken => ErrorCode::BadRequest,
            Refused::Quota => ErrorCode::InsufficientCapacity,
        })?;
        // RFC 8656 §12.2: a binding installs or refreshes the permission too.
        if self.install(now, key, peer.ip()) {
            return Ok(());
        }
        if is_new && let Some(allocation) = self.allocations.get_mut(key.0) {
            allocation.channels.unbind(number);
        }
        Err(ErrorCode::InsufficientCapacity)
    }

    fn install(&mut self, now: Instant, key: Key, ip: IpAddr) -> bool {
        let limits = self.settings.limits;
        let Some(allocation) = self.allocations.get_mut(key.0) else {
            return false;
        };
        allocation.permissions.expire(now);
        let share = allocation.place.share();
        let is_installed = (allocation.permissions).install(now, ip, || share.permission(&limits));
        let at = allocation.next_expiry();
        self.schedule.set(key.0, at);
        is_installed
    }

    pub(super) fn protocol(&self, key: Key) -> Option<Protocol> {
        self.allocation(key).map(|allocation| allocation.protocol)
    }

    /// Takes back what new settings refuse.
    pub(super) fn judge_anew(&mut self) {
        let keys: Vec<Key> = self.allocations.iter().map(|(key, _)| Key(key)).collect();
        for key in keys {
            let Some(allocation) = self.allocation(key) else {
                continue;
            };
            let peers = allocation.permissions.peers();
            let refused: Vec<IpAddr> = peers.filter(|ip| !self.permits_ip(key, *ip)).collect();
            for ip in refused {
                if let Some(allocation) = self.allocations.get_mut(key.0) {
                    allocation.permissions.remove(ip);
                }
            }
            self.judge_connections(key);
        }
    }

    /// Whether an allocation may have this peer, by address alone.
    fn judge_ip(&self, key: Key, peer: SocketAddr) -> Result<(), ErrorCode> {
        self.check_family(key, peer)?;
        match self.permits_ip(key, peer.ip()) {
            true => Ok(()),
            false => Err(ErrorCode::Forbidden),
        }
    }

    fn permits_ip(&self, key: Key, ip: IpAddr) -> bool {
        let ip = peer_policy::real(ip);
        let is_media = self.shared.is_media_ip(ip);
        let peers = &self.settings.peers;
        match self.is_bound_to_stream(key) {
            true => peers.permits_media_ip(ip, is_media),
            false => peers.permits_ip(ip, is_media || self.shared.ports.is_relay_ip(ip)),
        }
    }

    /// Whether an allocation may have this peer.
    pub(super) fn judge(&self, key: Key, peer: SocketAddr) -> Result<(), ErrorCode> {
        self.check_family(key, peer)?;
        match self.permits(key, peer) {
            true => Ok(()),
            false => Err(ErrorCode::Forbidden),
        }
    }

    /// The guard, on the address that a packet would really reach.
    pub(super) fn permits(&self, key: Key, peer: SocketAddr) -> bool {
        let real = SocketAddr::new(peer_policy::real(peer.ip()), peer.port());
        let is_media = self.shared.media_worker(&real).is_some();
        let peers = &self.settings.peers;
        if self.is_bound_to_stream(key) {
            return peers.permits_media(real, is_media);
        }
        let own = match is_media || self.shared.ports.owner(real).is_some() {
            true => Own::Reachable,
            false => Own::Stranger,
        };
        peers.permits(real, own)
    }

    fn is_bound_to_stream(&self, key: Key) -> bool {
        let allocation = self.allocation(key);
        allocation.is_some_and(|allocation| allocation.stream.is_some())
    }

    /// RFC 8656 §10.2: 443 for a peer of a family that there is no relayed
    /// address of.
    fn check_family(&self, key: Key, peer: SocketAddr) -> Result<(), ErrorCode> {
        let has_family = self
            .allocation(key)
            .is_some_and(|allocation| allocation.relayed(Family::of(&peer)).is_some());
        match has_family {
            true => Ok(()),
            false => Err(ErrorCode::PeerAddressFamilyMismatch),
        }
    }
}
