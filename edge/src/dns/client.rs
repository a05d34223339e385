//! Whom an answer is for: a network, and how deep it is told apart.

use std::net::IpAddr;

use super::{World, geo::Ranked, steer::mix, wire::ClientSubnet};

/// Networks are told apart at least so far, or all clients of a wide leaf, such as all
/// there are without a database, would be shed or sent on together.
const MIN_SCOPE_V4: u8 = 16;
const MIN_SCOPE_V6: u8 = 32;

/// The network that an answer is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// The nearest points of presence, the nearest first.
    pub(super) ranked: Ranked,
    /// Its depth, in bits of the family that the query told.
    pub(super) scope: u8,
    /// Hash of the network.
    pub(super) key: u64,
}

impl Client {
    /// Finds the network of an address of which the first bits are known.
    fn find(world: &World, ip: IpAddr, known: u8) -> Self {
        let found = world.near.table.find_prefix(ip, known);
        let least = match ip {
            IpAddr::V4(_) => MIN_SCOPE_V4,
            IpAddr::V6(_) => MIN_SCOPE_V6,
        };
        let scope = found.depth.max(least);
        Self {
            ranked: found.ranked,
            scope,
            key: network_key(ip, scope),
        }
    }

    /// Finds the network that a query is for: of its client, where the query tells that.
    pub(super) fn of(world: &World, subnet: Option<&ClientSubnet<'_>>, source: IpAddr) -> Self {
        match subnet.and_then(|subnet| Some((subnet.ip()?, subnet.source))) {
            Some((ip, known)) => Self::find(world, ip, known),
            None => Self::whole(world, source),
        }
    }

    /// Finds the network of a whole address.
    pub(super) fn whole(world: &World, ip: IpAddr) -> Self {
        Self::find(world, ip, if ip.is_ipv4() { 32 } else { 128 })
    }
}

/// Hash of a network: the same for each address in it, at each name server.
fn network_key(ip: IpAddr, depth: u8) -> u64 {
    let depth = u32::from(depth);
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - depth).unwrap_or_default();
            mix(u64::from(ip.to_bits() & mask) | 1 << 32)
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - depth).unwrap_or_default();
            let bits = ip.to_bits() & mask;
            let (high, low) = ((bits >> 64) as u64, bits as u64);
            mix(high ^ mix(low))
        }
    }
}
