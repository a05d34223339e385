//! Building a message, attribute by attribute (RFC 8489 §5, §6.1).
//!
//! Padding is zero. The header's length is kept true after each attribute, so
//! that integrity and fingerprint are computed over what is sent.

use std::net::SocketAddr;

use super::{
    ChannelNumber, Class, ConnectionId, Family, IntegrityKey, Mac, Method, PasswordAlgorithm,
    ReservationToken, TransactionId, address,
    attribute::{self as types},
    integrity::fingerprint,
    message::{MAGIC_COOKIE, message_type},
};

/// An error code of STUN or TURN, with its reason phrase (RFC 8489 §14.8, RFC
/// 8656 §19, RFC 6062 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the RFCs'")]
pub enum ErrorCode {
    TryAlternate,
    BadRequest,
    Unauthenticated,
    Forbidden,
    UnknownAttribute,
    AllocationMismatch,
    StaleNonce,
    AddressFamilyNotSupported,
    WrongCredentials,
    UnsupportedTransport,
    PeerAddressFamilyMismatch,
    ConnectionAlreadyExists,
    ConnectionTimeoutOrFailure,
    AllocationQuotaReached,
    ServerError,
    InsufficientCapacity,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 16] = [
        Self::TryAlternate,
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::UnknownAttribute,
        Self::AllocationMismatch,
        Self::StaleNonce,
        Self::AddressFamilyNotSupported,
        Self::WrongCredentials,
        Self::UnsupportedTransport,
        Self::PeerAddressFamilyMismatch,
        Self::ConnectionAlreadyExists,
        Self::ConnectionTimeoutOrFailure,
        Self::AllocationQuotaReached,
        Self::ServerError,
        Self::InsufficientCapacity,
    ];

    /// The number, and the phrase for people.
    pub const fn parts(self) -> (u16, &'static str) {
        match self {
            Self::TryAlternate => (300, "Try Alternate"),
            Self::BadRequest => (400, "Bad Request"),
            Self::Unauthenticated => (401, "Unauthenticated"),
            Self::Forbidden => (403, "Forbidden"),
            Self::UnknownAttribute => (420, "Unknown Attribute"),
            Self::AllocationMismatch => (437, "Allocation Mismatch"),
            Self::StaleNonce => (438, "Stale Nonce"),
            Self::AddressFamilyNotSupported => (440, "Address Family not Supported"),
            Self::WrongCredentials => (441, "Wrong Credentials"),
            Self::UnsupportedTransport => (442, "Unsupported Transport Protocol"),
            Self::PeerAddressFamilyMismatch => (443, "Peer Address Family Mismatch"),
            Self::ConnectionAlreadyExists => (446, "Connection Already Exists"),
            Self::ConnectionTimeoutOrFailure => (447, "Connection Timeout or Failure"),
            Self::AllocationQuotaReached => (486, "Allocation Quota Reached"),
            Self::ServerError => (500, "Server Error"),
            Self::InsufficientCapacity => (508, "Insufficient Capacity"),
        }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.parts().0
    }
}

/// A message under construction.
#[derive(Debug)]
pub struct Encoder {
    bytes: Vec<u8>,
    transaction: TransactionId,
}

impl Encoder {
    /// Begins a message.
    pub fn new(class: Class, method: Method, transaction: TransactionId) -> Self {
        // Longer than any answer but a Data indication.
        let mut bytes = Vec::with_capacity(160);
        bytes.extend(message_type(class, method).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(MAGIC_COOKIE);
        bytes.extend(transaction.0);
        Self { bytes, transaction }
    }

    /// Adds an attribute. A value beyond 65,000 bytes does not fit in a
    /// datagram, and is left out.
    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let Ok(len) = u16::try_from(value.len()) else {
            return self;
        };
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(len.to_be_bytes());
        self.bytes.extend(value);
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
        self.set_len(0);
        self
    }

    /// Makes the header count everything so far, and `more` bytes.
    fn set_len(&mut self, more: usize) {
        let len = u16::try_from(self.bytes.len() + more - 20).unwrap_or(u16::MAX);
        if let Some(place) = self.bytes.get_mut(2..4) {
            place.copy_from_slice(&len.to_be_bytes());
        }
    }

    fn xor(self, kind: u16, address: SocketAddr) -> Self {
        let mut value = Vec::with_capacity(address::MAX_LEN);
        address::encode_xor(address, &self.transaction, &mut value);
        self.attribute(kind, &value)
    }

    /// XOR-MAPPED-ADDRESS.
    #[must_use]
    pub fn xor_mapped_address(self, address: SocketAddr) -> Self {
        self.xor(types::XOR_MAPPED_ADDRESS, address)
    }

    /// XOR-RELAYED-ADDRESS.
    #[must_use]
    pub fn xor_relayed_address(self, address: SocketAddr) -> Self {
        self.xor(types::XOR_RELAYED_ADDRESS, address)
    }

    /// XOR-PEER-ADDRESS.
    #[must_use]
    pub fn xor_peer_address(self, address: SocketAddr) -> Self {
        self.xor(types::XOR_PEER_ADDRESS, address)
    }

    /// ALTERNATE-SERVER.
    #[must_use]
    pub fn alternate_server(self, address: SocketAddr) -> Self {
        let mut value = Vec::with_capacity(address::MAX_LEN);
        address::encode_plain(address, &mut value);
        self.attribute(types::ALTERNATE_SERVER, &value)
    }

    /// ERROR-CODE, with its phrase or without.
    #[must_use]
    pub fn error(self, code: ErrorCode, with_reason: bool) -> Self {
        let value = error_value(code, with_reason);
        self.attribute(types::ERROR_CODE, &value)
    }

    /// ADDRESS-ERROR-CODE: why there is no address of this family (RFC 8656
    /// §18.12).
    #[must_use]
    pub fn address_error(self, family: Family, code: ErrorCode) -> Self {
        let mut value = error_value(code, true);
        if let Some(place) = value.first_mut() {
            *place = family.to_wire();
        }
        self.attribute(types::ADDRESS_ERROR_CODE, &value)
    }

    /// UNKNOWN-ATTRIBUTES.
    #[must_use]
    pub fn unknown_attributes(self, unknown: &[u16]) -> Self {
        let value: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        self.attribute(types::UNKNOWN_ATTRIBUTES, &value)
    }

    /// USERNAME.
    #[must_use]
    pub fn username(self, username: &[u8]) -> Self {
        self.attribute(types::USERNAME, username)
    }

    /// USERHASH.
    #[must_use]
    pub fn userhash(self, hash: &[u8; 32]) -> Self {
        self.attribute(types::USERHASH, hash)
    }

    /// REALM.
    #[must_use]
    pub fn realm(self, realm: &str) -> Self {
        self.attribute(types::REALM, realm.as_bytes())
    }

    /// NONCE.
    #[must_use]
    pub fn nonce(self, nonce: &[u8]) -> Self {
        self.attribute(types::NONCE, nonce)
    }

    /// PASSWORD-ALGORITHMS, with all that we offer.
    #[must_use]
    pub fn password_algorithms(self) -> Self {
        self.attribute(types::PASSWORD_ALGORITHMS, &PasswordAlgorithm::OFFERED)
    }

    /// PASSWORD-ALGORITHM.
    #[must_use]
    pub fn password_algorithm(self, algorithm: PasswordAlgorithm) -> Self {
        let number = match algorithm {
            PasswordAlgorithm::Md5 => 1,
            PasswordAlgorithm::Sha256 => 2,
        };
        self.attribute(types::PASSWORD_ALGORITHM, &[0, number, 0, 0])
    }

    /// LIFETIME, in seconds.
    #[must_use]
    pub fn lifetime(self, seconds: u32) -> Self {
        self.attribute(types::LIFETIME, &seconds.to_be_bytes())
    }

    /// RESERVATION-TOKEN.
    #[must_use]
    pub fn reservation_token(self, token: ReservationToken) -> Self {
        self.attribute(types::RESERVATION_TOKEN, &token.0)
    }

    /// CONNECTION-ID.
    #[must_use]
    pub fn connection_id(self, id: ConnectionId) -> Self {
        self.attribute(types::CONNECTION_ID, &id.0.to_be_bytes())
    }

    /// REQUESTED-TRANSPORT, by protocol number.
    #[must_use]
    pub fn requested_transport(self, protocol: u8) -> Self {
        self.attribute(types::REQUESTED_TRANSPORT, &[protocol, 0, 0, 0])
    }

    /// REQUESTED-ADDRESS-FAMILY.
    #[must_use]
    pub fn requested_family(self, family: Family) -> Self {
        self.attribute(
            types::REQUESTED_ADDRESS_FAMILY,
            &[family.to_wire(), 0, 0, 0],
        )
    }

    /// ADDITIONAL-ADDRESS-FAMILY.
    #[must_use]
    pub fn additional_family(self, family: Family) -> Self {
        self.attribute(
            types::ADDITIONAL_ADDRESS_FAMILY,
            &[family.to_wire(), 0, 0, 0],
        )
    }

    /// EVEN-PORT.
    #[must_use]
    pub fn even_port(self, reserve_next: bool) -> Self {
        self.attribute(types::EVEN_PORT, &[u8::from(reserve_next) << 7])
    }

    /// DONT-FRAGMENT.
    #[must_use]
    pub fn dont_fragment(self) -> Self {
        self.attribute(types::DONT_FRAGMENT, &[])
    }

    /// CHANNEL-NUMBER.
    #[must_use]
    pub fn channel_number(self, number: ChannelNumber) -> Self {
        let [n1, n2] = number.get().to_be_bytes();
        self.attribute(types::CHANNEL_NUMBER, &[n1, n2, 0, 0])
    }

    /// DATA.
    #[must_use]
    pub fn data(self, data: &[u8]) -> Self {
        self.attribute(types::DATA, data)
    }

    /// ICMP: type, code, and what the error says beyond them, such as the MTU.
    /// The type has seven bits and the code nine (RFC 8656 §18.13).
    #[must_use]
    pub fn icmp(self, kind: u8, code: u8, data: u32) -> Self {
        let [k, c] = (u16::from(kind & 0x7F) << 9 | u16::from(code)).to_be_bytes();
        let [d1, d2, d3, d4] = data.to_be_bytes();
        self.attribute(types::ICMP, &[0, 0, k, c, d1, d2, d3, d4])
    }

    /// An attribute of any type.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn raw_attribute(self, kind: u16, value: &[u8]) -> Self {
        self.attribute(kind, value)
    }

    /// MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 over everything so far.
    #[must_use]
    pub fn integrity(mut self, mac: Mac, key: &IntegrityKey) -> Self {
        let tag = key.sign(mac, &self.bytes, mac.len());
        let kind = match mac {
            Mac::Sha1 => types::MESSAGE_INTEGRITY,
            Mac::Sha256 => types::MESSAGE_INTEGRITY_SHA256,
        };
        self = self.attribute(kind, tag.as_ref());
        self
    }

    /// FINGERPRINT over everything so far; nothing may follow.
    #[must_use]
    pub fn fingerprint(mut self) -> Self {
        self.set_len(8);
        let value = fingerprint(&self.bytes).to_be_bytes();
        self.attribute(types::FINGERPRINT, &value)
    }

    /// The message.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

fn error_value(code: ErrorCode, with_reason: bool) -> Vec<u8> {
    let (number, reason) = code.parts();
    // A class is one of 3, 4 and 5, and a number below 100.
    let class = u8::try_from(number / 100).unwrap_or(5);
    let within = u8::try_from(number % 100).unwrap_or(0);
    let mut value = vec![0, 0, class, within];
    if with_reason {
        value.extend(reason.as_bytes());
    }
    value
}
