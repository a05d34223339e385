//! XOR-MAPPED-ADDRESS and its kin (RFC 8489 §14.2).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! |0 0 0 0 0 0 0 0|    Family     |  Port XOR cookie's upper half |
//! +---------------+---------------+-------------------------------+
//! |  Address XOR cookie (IPv4), or XOR cookie ‖ transaction (IPv6) |
//! +----------------------------------------------------------------+
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Family, TransactionId, message::MAGIC_COOKIE};

/// Longest value: two bytes, a port and an IPv6 address.
pub(super) const MAX_LEN: usize = 20;

/// Reads a XORed address; `None` when it is none.
pub(super) fn decode_xor(value: &[u8], transaction: &TransactionId) -> Option<SocketAddr> {
    let (&[_, family, p1, p2], address) = value.split_first_chunk::<4>()?;
    let [c1, c2, ..] = MAGIC_COOKIE;
    let port = u16::from_be_bytes([p1 ^ c1, p2 ^ c2]);
    let ip = match Family::from_wire(family)? {
        Family::V4 => {
            let mut octets = <[u8; 4]>::try_from(address).ok()?;
            xor(&mut octets, &MAGIC_COOKIE);
            IpAddr::V4(Ipv4Addr::from(octets))
        }
        Family::V6 => {
            let mut octets = <[u8; 16]>::try_from(address).ok()?;
            xor(&mut octets, &mask(transaction));
            IpAddr::V6(Ipv6Addr::from(octets))
        }
    };
    Some(SocketAddr::new(ip, port))
}

/// Appends a XORed address.
pub(super) fn encode_xor(address: SocketAddr, transaction: &TransactionId, out: &mut Vec<u8>) {
    let [c1, c2, ..] = MAGIC_COOKIE;
    let [p1, p2] = address.port().to_be_bytes();
    let family = Family::of(&address).to_wire();
    out.extend([0, family, p1 ^ c1, p2 ^ c2]);
    match address.ip() {
        IpAddr::V4(ip) => {
            let mut octets = ip.octets();
            xor(&mut octets, &MAGIC_COOKIE);
            out.extend(octets);
        }
        IpAddr::V6(ip) => {
            let mut octets = ip.octets();
            xor(&mut octets, &mask(transaction));
            out.extend(octets);
        }
    }
}

/// Appends an address as it is: ALTERNATE-SERVER is not XORed (RFC 8489 §14.15).
pub(super) fn encode_plain(address: SocketAddr, out: &mut Vec<u8>) {
    let [p1, p2] = address.port().to_be_bytes();
    out.extend([0, Family::of(&address).to_wire(), p1, p2]);
    match address.ip() {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
}

fn mask(transaction: &TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    let (cookie, rest) = mask.split_at_mut(4);
    cookie.copy_from_slice(&MAGIC_COOKIE);
    rest.copy_from_slice(&transaction.0);
    mask
}

fn xor(octets: &mut [u8], mask: &[u8]) {
    for (octet, mask) in octets.iter_mut().zip(mask) {
        *octet ^= mask;
    }
}
