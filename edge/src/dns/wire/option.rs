//! EDNS and its options (RFC 6891 §6), as far as they are heeded.
//!
//! ```text
//!  option     +--------+--------+--------+--------+----
//!             |      code       |     length      | …
//!             +--------+--------+--------+--------+----
//!  client     +--------+--------+--------+--------+----
//!  subnet     |     family      | source | scope  | address, no byte more than
//!             +--------+--------+--------+--------+ source needs (RFC 7871 §6)
//!  cookie     client's, 8 bytes; then none of the server's, or 8 to 32 (RFC 7873 §4)
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cursor::Cursor;

/// Most options of a query: what clients send is a handful, and reading them must
/// not cost more than answering.
const MAX_OPTIONS: usize = 16;

/// The flag by which a client wants DNSSEC records (RFC 3225 §3), which comes back.
pub(super) const DNSSEC_OK: u16 = 0x8000;

/// An option's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionCode(pub u16);

impl OptionCode {
    /// The server's name (RFC 5001).
    pub const NSID: Self = Self(3);
    /// The client's network (RFC 7871).
    pub const CLIENT_SUBNET: Self = Self(8);
    /// Cookies (RFC 7873).
    pub const COOKIE: Self = Self(10);
    /// How long a connection may idle (RFC 7828).
    pub const TCP_KEEPALIVE: Self = Self(11);
    /// Bytes that hide a message's length (RFC 7830).
    pub const PADDING: Self = Self(12);
    /// Why, in more detail (RFC 8914).
    pub const EXTENDED_ERROR: Self = Self(15);
}

/// What an error is about (RFC 8914 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedError(pub u16);

impl ExtendedError {
    /// The name is in no zone of this server (RFC 8914 §4.21).
    pub const NOT_AUTHORITATIVE: Self = Self(20);
    /// Nobody here does that (RFC 8914 §4.22).
    pub const NOT_SUPPORTED: Self = Self(21);
}

/// What a query says by OPT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edns<'a> {
    /// Longest UDP answer that the client takes, as it says.
    pub payload: u16,
    /// The version of EDNS.
    pub version: u8,
    /// Whether the client wants DNSSEC records.
    pub is_dnssec_ok: bool,
    /// The network of whoever the query is for.
    pub client_subnet: Option<ClientSubnet<'a>>,
    /// The cookie.
    pub cookie: Option<Cookie<'a>>,
    /// Whether the client wants to know who answers.
    pub wants_nsid: bool,
    /// Whether the client wants to know how long a connection may idle.
    pub wants_keepalive: bool,
    /// Whether the client pads, and wants padding.
    pub is_padded: bool,
}

/// An address family (RFC 7871 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// None: a client that wants to stay unknown may say so (RFC 7871 §7.1.2).
    Unspecified,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A client's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSubnet<'a> {
    /// The family of the address.
    pub family: Family,
    /// How many bits of it are known.
    pub source: u8,
    /// Those bits, in as many bytes as they need.
    pub address: &'a [u8],
}

/// A cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie<'a> {
    /// The client's half.
    pub client: [u8; 8],
    /// Ours, if the client has one.
    pub server: Option<&'a [u8]>,
}

impl<'a> Edns<'a> {
    /// Reads the data of OPT; `None` when an option cannot be read, or one that
    /// says who the client is comes twice. Of a version to come nothing is read: its
    /// options may mean anything (RFC 6891 §6.1.3).
    pub(super) fn read(payload: u16, version: u8, flags: u16, data: &'a [u8]) -> Option<Self> {
        let mut edns = Self {
            payload,
            version,
            is_dnssec_ok: flags & DNSSEC_OK != 0,
            ..Self::default()
        };
        if version != 0 {
            return Some(edns);
        }
        let mut cursor = Cursor::new(data, 0);
        for _ in 0..MAX_OPTIONS {
            if cursor.is_at_end() {
                return Some(edns);
            }
            let code = OptionCode(cursor.u16()?);
            let length = cursor.u16()?;
            edns.heed(code, cursor.take(usize::from(length))?)?;
        }
        cursor.is_at_end().then_some(edns)
    }

    fn heed(&mut self, code: OptionCode, data: &'a [u8]) -> Option<()> {
        match code {
            OptionCode::CLIENT_SUBNET => {
                let subnet = ClientSubnet::read(data)?;
                return self.client_subnet.replace(subnet).is_none().then_some(());
            }
            OptionCode::COOKIE => {
                let cookie = Cookie::read(data)?;
                return self.cookie.replace(cookie).is_none().then_some(());
            }
            OptionCode::NSID => self.wants_nsid = true,
            OptionCode::TCP_KEEPALIVE => self.wants_keepalive = true,
            OptionCode::PADDING => self.is_padded = true,
            _ => {}
        }
        Some(())
    }
}

impl<'a> ClientSubnet<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(data, 0);
        let family = match cursor.u16()? {
            0 => Family::Unspecified,
            1 => Family::V4,
            2 => Family::V6,
            _ => return None,
        };
        let source = cursor.u8()?;
        let scope = cursor.u8()?;
        let address = cursor.take(data.len() - 4)?;
        let subnet = Self {
            family,
            source,
            address,
        };
        (scope == 0 && subnet.is_sound()).then_some(subnet)
    }

    /// RFC 7871 §6: as many bytes as the prefix needs, and zeros behind it.
    fn is_sound(&self) -> bool {
        let bits = match self.family {
            Family::Unspecified => 0,
            Family::V4 => 32,
            Family::V6 => 128,
        };
        if self.source > bits || self.address.len() != usize::from(self.source).div_ceil(8) {
            return false;
        }
        let beyond = match self.source % 8 {
            0 => 0,
            used => 0xff_u8 >> used,
        };
        self.address.last().is_none_or(|last| last & beyond == 0)
    }

    /// The network's first address; `None` when the client said nothing.
    pub fn ip(&self) -> Option<IpAddr> {
        fn padded<const N: usize>(address: &[u8]) -> [u8; N] {
            let mut bytes = [0; N];
            for (to, from) in bytes.iter_mut().zip(address) {
                *to = *from;
            }
            bytes
        }
        match self.family {
            _ if self.source == 0 => None,
            Family::Unspecified => None,
            Family::V4 => Some(Ipv4Addr::from(padded::<4>(self.address)).into()),
            Family::V6 => Some(Ipv6Addr::from(padded::<16>(self.address)).into()),
        }
    }

    pub(super) const fn family_code(&self) -> u16 {
        match self.family {
            Family::Unspecified => 0,
            Family::V4 => 1,
            Family::V6 => 2,
        }
    }
}

impl<'a> Cookie<'a> {
    /// RFC 7873 §5.2.2: 8 bytes, or 16 to 40.
    fn read(data: &'a [u8]) -> Option<Self> {
        let (client, server) = data.split_first_chunk()?;
        let server = match server.len() {
            0 => None,
            8..=32 => Some(server),
            _ => return None,
        };
        Some(Self {
            client: *client,
            server,
        })
    }
}
