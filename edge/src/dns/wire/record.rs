//! Record types, response codes, and a record's data.

use super::name::Name;

/// A record's type. Codes without a name here are types like any other: a name
/// that exists just has none of them (RFC 3597).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u16);

impl Kind {
    /// An IPv4 address (RFC 1035 §3.4.1).
    pub const A: Self = Self(1);
    /// A name server (RFC 1035 §3.3.11).
    pub const NS: Self = Self(2);
    /// Another name of this one (RFC 1035 §3.3.1).
    pub const CNAME: Self = Self(5);
    /// A zone's start (RFC 1035 §3.3.13).
    pub const SOA: Self = Self(6);
    /// Host information, which stands for "ask for what you want" (RFC 8482 §4.2).
    pub const HINFO: Self = Self(13);
    /// A mail exchange (RFC 1035 §3.3.9).
    pub const MX: Self = Self(15);
    /// Text (RFC 1035 §3.3.14).
    pub const TXT: Self = Self(16);
    /// An IPv6 address (RFC 3596).
    pub const AAAA: Self = Self(28);
    /// Where a service is (RFC 2782).
    pub const SRV: Self = Self(33);
    /// EDNS (RFC 6891).
    pub const OPT: Self = Self(41);
    /// How to reach an HTTPS origin (RFC 9460).
    pub const HTTPS: Self = Self(65);
    /// A zone's transfer, in part (RFC 1995).
    pub const IXFR: Self = Self(251);
    /// A zone's transfer (RFC 5936).
    pub const AXFR: Self = Self(252);
    /// Mail records of old (RFC 1035 §3.2.3).
    pub const MAILB: Self = Self(253);
    /// The same (RFC 1035 §3.2.3).
    pub const MAILA: Self = Self(254);
    /// All there is (RFC 1035 §3.2.3), answered with one record (RFC 8482).
    pub const ANY: Self = Self(255);
    /// Which CAs may sign (RFC 8659).
    pub const CAA: Self = Self(257);

    /// Whether a query of this type wants a zone's transfer, or what nobody serves
    /// any more.
    pub const fn is_transfer(self) -> bool {
        matches!(self, Self::IXFR | Self::AXFR | Self::MAILA | Self::MAILB)
    }
}

/// A record's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(pub u16);

impl Class {
    /// The Internet.
    pub const IN: Self = Self(1);
}

/// A response code of up to twelve bits: four in the header, eight in OPT
/// (RFC 6891 §6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rcode(u16);

impl Rcode {
    /// All is well.
    pub const NOERROR: Self = Self(0);
    /// The query cannot be read.
    pub const FORMERR: Self = Self(1);
    /// There is no such name.
    pub const NXDOMAIN: Self = Self(3);
    /// Nobody here does that.
    pub const NOTIMP: Self = Self(4);
    /// Not for you, or not from here.
    pub const REFUSED: Self = Self(5);
    /// A version of EDNS that nobody has (RFC 6891 §9).
    pub const BADVERS: Self = Self(16);
    /// The cookie is not ours: come back with this one (RFC 7873 §8).
    pub const BADCOOKIE: Self = Self(23);

    /// The bits that stand in the header.
    pub const fn low(self) -> u16 {
        self.0 & 0xf
    }

    /// The bits that stand in OPT.
    pub const fn high(self) -> u8 {
        // Twelve bits at most.
        (self.0 >> 4).to_be_bytes()[1]
    }

    /// The code as a number.
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

/// A record's data, made once and written often.
///
/// Names in it that end in the zone's own name may be shortened by a pointer to
/// where the question spells that; where they stand is noted, and the pointer is
/// put in when the record is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rdata {
    bytes: Vec<u8>,
    /// Offsets of two-byte pointers to the zone's name.
    pointers: Vec<usize>,
}

impl Rdata {
    /// Data without a name that may be shortened.
    pub const fn plain(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            pointers: Vec::new(),
        }
    }

    /// Adds bytes.
    #[must_use]
    pub fn with(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Adds a name in full, as SRV and HTTPS want it (RFC 2782, RFC 9460 §2.2).
    #[must_use]
    pub fn with_whole(self, name: &Name) -> Self {
        self.with(name.as_bytes())
    }

    /// Adds a name that is shortened when it ends in `apex`: for the types of
    /// RFC 1035 alone (RFC 3597 §4).
    #[must_use]
    pub fn with_name(mut self, name: &Name, apex: &Name) -> Self {
        match name.labels_before(apex) {
            Some(before) => {
                self.bytes.extend_from_slice(before);
                self.pointers.push(self.bytes.len());
                self.bytes.extend_from_slice(&[0, 0]);
            }
            None => self.bytes.extend_from_slice(name.as_bytes()),
        }
        self
    }

    /// How long it is when written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes it, with `apex` as the pointer to the zone's name.
    pub(super) fn write(&self, apex: u16, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for at in &self.pointers {
            if let Some(place) = out.get_mut(start + at..start + at + 2) {
                place.copy_from_slice(&apex.to_be_bytes());
            }
        }
    }
}
