//! What an operator may see of each allocation.

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use serde::Serialize;

use super::Relay;
use crate::turn::{allocation::Protocol, client::TRANSPORTS};

/// One allocation, as the admin API lists it.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Which worker has it.
    pub worker: u16,
    /// Seconds since it was made.
    pub age_seconds: u64,
    /// Seconds until it ends unless refreshed.
    pub expires_seconds: u64,
    /// How the client comes: udp, tcp or tls.
    pub transport: &'static str,
    /// What is relayed: udp or tcp.
    pub relays: &'static str,
    /// The client's address; masked unless asked for.
    pub client: String,
    /// Its relayed addresses.
    pub relayed: Vec<SocketAddr>,
    /// Its user's name.
    pub username: String,
    /// Addresses that may send to it.
    pub permissions: usize,
    /// Peers with a channel.
    pub channels: usize,
    /// Payload bytes from client to peers.
    pub to_peer_bytes: u64,
    /// Packets from client to peers.
    pub to_peer_packets: u64,
    /// Payload bytes from peers to client.
    pub to_client_bytes: u64,
    /// Packets from peers to client.
    pub to_client_packets: u64,
}

impl Relay {
    /// At most `limit` allocations, the oldest first.
    pub fn list(&self, now: Instant, limit: usize, with_addresses: bool) -> Vec<Entry> {
        let mut all: Vec<_> = self.allocations.iter().collect();
        all.sort_by_key(|(_, allocation)| allocation.created);
        let entries = all.into_iter().take(limit).map(|(_, allocation)| {
            let traffic = allocation.traffic;
            let transport = TRANSPORTS.get(allocation.client.via.index());
            Entry {
                worker: self.worker,
                age_seconds: now.saturating_duration_since(allocation.created).as_secs(),
                expires_seconds: allocation.expires.saturating_duration_since(now).as_secs(),
                transport: transport.copied().unwrap_or_default(),
                relays: match allocation.protocol {
                    Protocol::Udp => "udp",
                    Protocol::Tcp => "tcp",
                },
                client: match with_addresses {
                    true => allocation.client.remote.to_string(),
                    false => masked(allocation.client.remote.ip()),
                },
                relayed: (allocation.relays.iter().flatten())
                    .map(|relayed| relayed.address)
                    .collect(),
                username: allocation.username.to_text(),
                permissions: allocation.permissions.len(),
                channels: allocation.channels.len(),
                to_peer_bytes: traffic.to_peer_bytes,
                to_peer_packets: traffic.to_peer_packets,
                to_client_bytes: traffic.to_client_bytes,
                to_client_packets: traffic.to_client_packets,
            }
        });
        entries.collect()
    }
}

/// An address that no longer names a household.
fn masked(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.x")
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}::x")
        }
    }
}
