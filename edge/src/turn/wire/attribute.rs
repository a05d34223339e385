//! Attribute types of STUN and TURN, and the small values that they carry.
//!
//! A type below 0x8000 is comprehension-required: who does not know it must
//! refuse the request with 420 (RFC 8489 §14).

use std::net::SocketAddr;

pub(super) const USERNAME: u16 = 0x0006;
pub(super) const MESSAGE_INTEGRITY: u16 = 0x0008;
pub(super) const ERROR_CODE: u16 = 0x0009;
pub(super) const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
pub(super) const CHANNEL_NUMBER: u16 = 0x000C;
pub(super) const LIFETIME: u16 = 0x000D;
pub(super) const XOR_PEER_ADDRESS: u16 = 0x0012;
pub(super) const DATA: u16 = 0x0013;
pub(super) const REALM: u16 = 0x0014;
pub(super) const NONCE: u16 = 0x0015;
pub(super) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub(super) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
pub(super) const EVEN_PORT: u16 = 0x0018;
pub(super) const REQUESTED_TRANSPORT: u16 = 0x0019;
pub(super) const DONT_FRAGMENT: u16 = 0x001A;
pub(super) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
pub(super) const PASSWORD_ALGORITHM: u16 = 0x001D;
pub(super) const USERHASH: u16 = 0x001E;
pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
pub(super) const RESERVATION_TOKEN: u16 = 0x0022;
pub(super) const CONNECTION_ID: u16 = 0x002A;
pub(super) const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
pub(super) const ADDRESS_ERROR_CODE: u16 = 0x8001;
pub(super) const PASSWORD_ALGORITHMS: u16 = 0x8002;
pub(super) const ICMP: u16 = 0x8004;
pub(super) const ALTERNATE_SERVER: u16 = 0x8023;
pub(super) const FINGERPRINT: u16 = 0x8028;

/// Whether a type must be understood by whoever gets it (RFC 8489 §14).
pub(super) const fn is_comprehension_required(kind: u16) -> bool {
    kind < 0x8000
}

/// An address family, as REQUESTED-ADDRESS-FAMILY names it (RFC 8656 §18.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, 0x01.
    V4,
    /// IPv6, 0x02.
    V6,
}

impl Family {
    /// The family of an address. An IPv4-mapped one is IPv6 on the wire.
    pub const fn of(address: &SocketAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    pub(super) const fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::V4),
            0x02 => Some(Self::V6),
            _ => None,
        }
    }

    pub(super) const fn to_wire(self) -> u8 {
        match self {
            Self::V4 => 0x01,
            Self::V6 => 0x02,
        }
    }
}

/// What REQUESTED-TRANSPORT asks for (RFC 8656 §18.7, RFC 6062 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// 17, UDP.
    Udp,
    /// 6, TCP.
    Tcp,
    /// Any other protocol number, which gets 442.
    Other(u8),
}

impl Transport {
    pub(super) const fn from_wire(byte: u8) -> Self {
        match byte {
            17 => Self::Udp,
            6 => Self::Tcp,
            other => Self::Other(other),
        }
    }
}

/// EVEN-PORT: an even relayed port is wanted (RFC 8656 §18.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvenPort {
    /// The R bit: the next higher port is to be reserved.
    pub reserve_next: bool,
}

/// RESERVATION-TOKEN: names a reserved relayed port (RFC 8656 §18.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationToken(pub [u8; 8]);

/// CONNECTION-ID: names a TCP connection to a peer (RFC 6062 §6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// How a long-term key is made of a password (RFC 8489 §14.11, §18.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PasswordAlgorithm {
    /// 0x0001.
    Md5,
    /// 0x0002.
    Sha256,
}

impl PasswordAlgorithm {
    /// What we offer, best first; the value of PASSWORD-ALGORITHMS: each entry
    /// has a number, and the length of its parameters, which is 0.
    pub const OFFERED: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];

    pub(super) const fn from_wire(value: &[u8]) -> Option<Self> {
        match value {
            [0, 1, 0, 0] => Some(Self::Md5),
            [0, 2, 0, 0] => Some(Self::Sha256),
            _ => None,
        }
    }
}
