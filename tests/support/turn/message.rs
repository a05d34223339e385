//! STUN messages, as much of them as clients need (RFC 8489, RFC 8656).
//!
//! Written apart from the edge's own codec, so that both cannot be wrong alike.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::hmac;
use md5::{Digest as _, Md5};

/// Binding request.
pub const BINDING: u16 = 0x0001;
/// Allocate request.
pub const ALLOCATE: u16 = 0x0003;
/// Refresh request.
pub const REFRESH: u16 = 0x0004;
/// CreatePermission request.
pub const CREATE_PERMISSION: u16 = 0x0008;
/// ChannelBind request.
pub const CHANNEL_BIND: u16 = 0x0009;
/// Send indication.
pub const SEND: u16 = 0x0016;
/// Data indication.
pub const DATA_INDICATION: u16 = 0x0017;

/// CHANNEL-NUMBER.
pub const CHANNEL_NUMBER: u16 = 0x000C;
/// LIFETIME.
pub const LIFETIME: u16 = 0x000D;
/// XOR-PEER-ADDRESS.
pub const XOR_PEER_ADDRESS: u16 = 0x0012;
/// DATA.
pub const DATA: u16 = 0x0013;
/// XOR-RELAYED-ADDRESS.
pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
/// REQUESTED-ADDRESS-FAMILY.
pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
/// EVEN-PORT.
pub const EVEN_PORT: u16 = 0x0018;
/// REQUESTED-TRANSPORT.
pub const REQUESTED_TRANSPORT: u16 = 0x0019;
/// RESERVATION-TOKEN.
pub const RESERVATION_TOKEN: u16 = 0x0022;
/// ADDITIONAL-ADDRESS-FAMILY.
pub const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;

/// Bytes of a STUN header.
pub const HEADER: usize = 20;
const COOKIE: u32 = 0x2112_A442;
/// The bit of a type that success and error responses have in common.
const IS_RESPONSE: u16 = 0x0100;
/// What an error response has besides.
const IS_ERROR: u16 = 0x0010;
/// MESSAGE-INTEGRITY with its attribute header.
const INTEGRITY_LEN: usize = 24;

/// What a client signs with; realm and nonce are the server's.
#[derive(Clone, Debug)]
pub struct Credentials {
    username: String,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: hmac::Key,
}

impl Credentials {
    /// Takes realm and nonce out of the response that asked for credentials.
    ///
    /// # Errors
    ///
    /// When the response asks for something else.
    pub fn learn(response: &Message, username: &str, password: &str) -> Result<Self> {
        let code = response.error_code();
        ensure!(code == 401, "expected 401, got {code}");
        let realm = response.attribute(REALM).context("401 without REALM")?;
        let nonce = response.attribute(NONCE).context("401 without NONCE")?;
        // RFC 8489 §9.2.2: the key of the long-term credential mechanism.
        let mut key = Md5::new();
        key.update(format!("{username}:"));
        key.update(realm);
        key.update(format!(":{password}"));
        Ok(Self {
            username: username.to_owned(),
            realm: realm.to_vec(),
            nonce: nonce.to_vec(),
            key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key.finalize()),
        })
    }

    /// Whose passwords the server knows.
    pub fn realm(&self) -> &[u8] {
        &self.realm
    }
}

/// A message being written.
#[derive(Clone, Debug)]
pub struct Draft(Vec<u8>);

impl Draft {
    /// Begins a message with a transaction ID of its own.
    pub fn new(kind: u16) -> Self {
        let mut bytes = Vec::with_capacity(160);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(COOKIE.to_be_bytes());
        bytes.extend(rand::random::<[u8; 12]>());
        Self(bytes)
    }

    /// Appends an attribute, padded.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(kind.to_be_bytes());
        self.0.extend((value.len() as u16).to_be_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.set_length(0);
        self
    }

    /// Appends XOR-PEER-ADDRESS.
    #[must_use]
    pub fn peer(self, address: SocketAddr) -> Self {
        let port = address.port() ^ (COOKIE >> 16) as u16;
        let mut value = vec![0, if address.is_ipv4() { 1 } else { 2 }];
        value.extend(port.to_be_bytes());
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        // RFC 8489 §14.2: the cookie, and for IPv6 the transaction ID behind it.
        value.extend(
            ip.iter()
                .zip(&self.0[4..HEADER])
                .map(|(byte, mask)| byte ^ mask),
        );
        self.attribute(XOR_PEER_ADDRESS, &value)
    }

    /// Signs the message, which ends it.
    #[must_use]
    pub fn sign(self, credentials: &Credentials) -> Vec<u8> {
        let mut message = self
            .attribute(USERNAME, credentials.username.as_bytes())
            .attribute(REALM, &credentials.realm)
            .attribute(NONCE, &credentials.nonce);
        // RFC 8489 §14.5: the length covers the attribute that is about to be.
        message.set_length(INTEGRITY_LEN);
        let tag = hmac::sign(&credentials.key, &message.0);
        message.attribute(MESSAGE_INTEGRITY, tag.as_ref()).finish()
    }

    /// Ends the message unsigned.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn set_length(&mut self, more: usize) {
        let length = (self.0.len() - HEADER + more) as u16;
        self.0[2..4].copy_from_slice(&length.to_be_bytes());
    }
}

/// A message that was read.
#[derive(Clone, Debug)]
pub struct Message {
    kind: u16,
    /// Cookie and transaction ID, by which addresses are masked.
    mask: [u8; 16],
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Message {
    /// Reads a message; `None` when it is none.
    pub fn decode(wire: &[u8]) -> Option<Self> {
        let (header, mut rest) = wire.split_at_checked(HEADER)?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        if kind & 0xC000 != 0 {
            return None;
        }
        let mut attributes = Vec::new();
        while let Some((&[a, b, c, d], after)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([c, d]));
            let value = after.get(..length)?.to_vec();
            attributes.push((u16::from_be_bytes([a, b]), value));
            rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(Self {
            kind,
            mask: header[4..].try_into().ok()?,
            attributes,
        })
    }

    /// Method and class.
    pub const fn kind(&self) -> u16 {
        self.kind
    }

    /// Whether it is the response to this request.
    pub fn answers(&self, request: &[u8]) -> bool {
        self.kind & IS_RESPONSE != 0 && request.get(4..HEADER) == Some(&self.mask)
    }

    /// The code of an error response; 0 of everything else.
    pub fn error_code(&self) -> u16 {
        if self.kind & IS_RESPONSE == 0 || self.kind & IS_ERROR == 0 {
            return 0;
        }
        match self.attribute(ERROR_CODE) {
            Some(&[_, _, class, number, ..]) => u16::from(class) * 100 + u16::from(number),
            _ => 0,
        }
    }

    /// The first attribute of this type.
    pub fn attribute(&self, kind: u16) -> Option<&[u8]> {
        self.all(kind).next()
    }

    /// The address in the first attribute of this type.
    pub fn address(&self, kind: u16) -> Option<SocketAddr> {
        self.addresses(kind).next()
    }

    /// The addresses in all attributes of this type.
    pub fn addresses(&self, kind: u16) -> impl Iterator<Item = SocketAddr> {
        self.all(kind).filter_map(|value| self.unmask(value))
    }

    fn all(&self, kind: u16) -> impl Iterator<Item = &[u8]> {
        let found = self.attributes.iter().filter(move |(it, _)| *it == kind);
        found.map(|(_, value)| value.as_slice())
    }

    fn unmask(&self, value: &[u8]) -> Option<SocketAddr> {
        let (&[_, family, p, q], ip) = value.split_first_chunk()?;
        let port = u16::from_be_bytes([p, q]) ^ (COOKIE >> 16) as u16;
        let ip: Vec<u8> = ip
            .iter()
            .zip(&self.mask)
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        let ip = match family {
            1 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
            2 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?)),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }
}
