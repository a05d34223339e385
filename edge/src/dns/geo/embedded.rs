//! IPv6 addresses that have a client's IPv4 address inside.
//!
//! A database knows such a client by the IPv4 address alone. It is taken out only of
//! an address that is known as far as the IPv4 address reaches: zeros that a resolver
//! put in its place are nobody's address.
//!
//! The trap: what is found for the IPv4 address holds for a prefix of the IPv6 address,
//! and for no shorter one. So in the table the four networks are leaves of their own,
//! and no wider prefix ever covers one of them.

use super::trie::{Full, Prefix, Trie, masked};

/// Which way the IPv4 address is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embedded {
    /// `::ffff:0:0/96`, IPv4-mapped (RFC 4291 §2.5.5.2).
    Mapped,
    /// `64:ff9b::/96`, NAT64's well-known prefix (RFC 6052 §2.1).
    Nat64,
    /// `2002::/16`, 6to4: the IPv4 address is in the 32 bits behind it (RFC 3056 §2).
    SixToFour,
    /// `2001::/32`, Teredo: the client's address is in the last 32 bits, each of them
    /// inverted (RFC 4380 §4).
    Teredo,
}

impl Embedded {
    pub(super) const ALL: [Self; 4] = [Self::Mapped, Self::Nat64, Self::SixToFour, Self::Teredo];

    /// The network that they are in.
    pub(super) const fn network(self) -> (u128, u8) {
        match self {
            Self::Mapped => (0xffff << 32, 96),
            Self::Nat64 => (0x0064_ff9b << 96, 96),
            Self::SixToFour => (0x2002 << 112, 16),
            Self::Teredo => (0x2001 << 112, 32),
        }
    }

    /// Bits in front of the IPv4 address.
    pub(super) const fn offset(self) -> u8 {
        match self {
            Self::SixToFour => 16,
            Self::Mapped | Self::Nat64 | Self::Teredo => 96,
        }
    }

    /// Bits that must be known for the IPv4 address to be.
    pub(super) const fn reach(self) -> u8 {
        self.offset() + 32
    }

    /// The IPv4 address, in the first 32 bits.
    pub(super) const fn take_out(self, bits: u128) -> u128 {
        let bits = match self {
            Self::Teredo => !bits,
            Self::Mapped | Self::Nat64 | Self::SixToFour => bits,
        };
        masked(bits << self.offset(), 32)
    }

    /// Which of them an address is in.
    pub(super) fn of(bits: u128) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| {
            let (network, len) = kind.network();
            masked(bits, len) == network
        })
    }

    /// Whether any of them lies in the network, or the network in one of them.
    pub(super) fn contains(bits: u128, len: u8) -> Option<Self> {
        Self::of(bits).filter(|kind| len >= kind.network().1)
    }

    /// A trie of them: the value is one more than the place in [`Self::ALL`].
    pub(super) fn trie() -> Result<Trie, Full> {
        let prefix = |(kind, value): (Self, u32)| {
            let (bits, len) = kind.network();
            Prefix { bits, len, value }
        };
        let v6 = Self::ALL.into_iter().zip(1..).map(prefix).collect();
        Trie::of_prefixes(Vec::new(), v6)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn taken_out(address: &str) -> Option<(Embedded, Ipv4Addr)> {
        let bits = address.parse::<Ipv6Addr>().unwrap().to_bits();
        let kind = Embedded::of(bits)?;
        let ip = Ipv4Addr::from_bits((kind.take_out(bits) >> 96) as u32);
        Some((kind, ip))
    }

    #[test]
    fn each_spelling_gives_its_ipv4_address() {
        let client = Ipv4Addr::new(81, 2, 69, 160);
        for (address, kind) in [
            ("::ffff:81.2.69.160", Embedded::Mapped),
            ("64:ff9b::81.2.69.160", Embedded::Nat64),
            ("2002:5102:45a0::1", Embedded::SixToFour),
            ("2001:0:4136:e378:8000:63bf:aefd:ba5f", Embedded::Teredo),
        ] {
            assert_eq!(taken_out(address), Some((kind, client)), "{address}");
        }
        // The example of RFC 4380 §4 in its usual spelling.
        let teredo = taken_out("2001:0:4136:e378:8000:63bf:3fff:fdd2");
        assert_eq!(teredo.unwrap().1, Ipv4Addr::new(192, 0, 2, 45));
    }

    #[test]
    fn other_addresses_have_none_inside() {
        for address in [
            "::81.2.69.160",
            "64:ff9b:1::1",
            "2003::1",
            "2001:1::1",
            "::",
        ] {
            assert_eq!(taken_out(address), None, "{address}");
        }
    }
}
