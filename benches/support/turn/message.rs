//! STUN messages, as much of them as a load needs (RFC 8489, RFC 8656).
//!
//! Written apart from the edge's own codec, so that both cannot be wrong alike.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::hmac;
use md5::{Digest as _, Md5};

use super::{PASSWORD, REALM, USER};

/// Binding request.
pub const BINDING: u16 = 0x0001;
/// Allocate request.
pub const ALLOCATE: u16 = 0x0003;
/// CreatePermission request.
pub const CREATE_PERMISSION: u16 = 0x0008;
/// ChannelBind request.
pub const CHANNEL_BIND: u16 = 0x0009;
/// Send indication.
pub const SEND: u16 = 0x0016;

/// CHANNEL-NUMBER.
pub const CHANNEL_NUMBER: u16 = 0x000C;
/// XOR-PEER-ADDRESS.
pub const XOR_PEER_ADDRESS: u16 = 0x0012;
/// DATA.
pub const DATA: u16 = 0x0013;
/// XOR-RELAYED-ADDRESS.
pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
/// REQUESTED-TRANSPORT.
pub const REQUESTED_TRANSPORT: u16 = 0x0019;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const REALM_ATTRIBUTE: u16 = 0x0014;
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

/// What a client signs with; the nonce is the server's.
#[derive(Clone, Debug)]
pub struct Credentials {
    nonce: Vec<u8>,
    key: hmac::Key,
}

impl Credentials {
    /// Takes the nonce out of the response that asked for credentials.
    ///
    /// # Errors
    ///
    /// When the response asks for something else.
    pub fn learn(response: &Response) -> Result<Self> {
        let code = response.error_code();
        ensure!(code == 401, "expected 401, got {code}");
        let realm = response
            .attribute(REALM_ATTRIBUTE)
            .context("401 without REALM")?;
        ensure!(realm == REALM.as_bytes(), "another realm");
        let nonce = response.attribute(NONCE).context("401 without NONCE")?;
        // RFC 8489 §9.2.2: the key of the long-term credential mechanism.
        let key = Md5::digest(format!("{USER}:{REALM}:{PASSWORD}"));
        Ok(Self {
            nonce: nonce.to_vec(),
            key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key),
        })
    }
}

/// A message being written.
#[derive(Clone, Debug)]
pub struct Message(Vec<u8>);

impl Message {
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
    pub fn peer(self, address: SocketAddrV4) -> Self {
        let port = address.port() ^ (COOKIE >> 16) as u16;
        let ip = u32::from(*address.ip()) ^ COOKIE;
        let mut value = vec![0, 1];
        value.extend(port.to_be_bytes());
        value.extend(ip.to_be_bytes());
        self.attribute(XOR_PEER_ADDRESS, &value)
    }

    /// Signs the message, which ends it.
    #[must_use]
    pub fn sign(self, credentials: &Credentials) -> Vec<u8> {
        let mut message = self
            .attribute(USERNAME, USER.as_bytes())
            .attribute(REALM_ATTRIBUTE, REALM.as_bytes())
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

/// A response that was read.
#[derive(Debug)]
pub struct Response {
    kind: u16,
    transaction: [u8; 12],
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Response {
    /// Reads a response; `None` when it is none.
    pub fn decode(wire: &[u8]) -> Option<Self> {
        let (header, mut rest) = wire.split_at_checked(HEADER)?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        if kind & 0xC000 != 0 || kind & IS_RESPONSE == 0 {
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
            transaction: header[8..].try_into().ok()?,
            attributes,
        })
    }

    /// Whether it answers this request.
    pub fn answers(&self, request: &[u8]) -> bool {
        request.get(8..HEADER) == Some(&self.transaction)
    }

    /// The code of an error response; 0 of a success.
    pub fn error_code(&self) -> u16 {
        if self.kind & IS_ERROR == 0 {
            return 0;
        }
        match self.attribute(ERROR_CODE) {
            Some(&[_, _, class, number, ..]) => u16::from(class) * 100 + u16::from(number),
            _ => 0,
        }
    }

    /// XOR-RELAYED-ADDRESS.
    ///
    /// # Errors
    ///
    /// When the response is an error or has no such IPv4 address.
    pub fn relayed_address(&self) -> Result<SocketAddrV4> {
        let code = self.error_code();
        ensure!(code == 0, "an allocation was refused with {code}");
        let value = self.attribute(XOR_RELAYED_ADDRESS);
        let Some(&[_, 1, p, q, a, b, c, d]) = value else {
            anyhow::bail!("no IPv4 relayed address");
        };
        let port = u16::from_be_bytes([p, q]) ^ (COOKIE >> 16) as u16;
        let ip = u32::from_be_bytes([a, b, c, d]) ^ COOKIE;
        Ok(SocketAddrV4::new(Ipv4Addr::from(ip), port))
    }

    fn attribute(&self, kind: u16) -> Option<&[u8]> {
        let (_, value) = self.attributes.iter().find(|(found, _)| *found == kind)?;
        Some(value)
    }
}
