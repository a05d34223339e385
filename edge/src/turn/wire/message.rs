//! A STUN message, decoded once at the edge of the engine (RFC 8489 §5, §14).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---+---------------------------+-------------------------------+
//! |0 0|   Message Type (14 bits)  |         Message Length        |
//! +---+---------------------------+-------------------------------+
//! |                  Magic Cookie 0x2112A442                      |
//! +---------------------------------------------------------------+
//! |                  Transaction ID (96 bits)                     |
//! +---------------------------------------------------------------+
//! |  Attributes: type, length, value padded to four bytes         |
//! +---------------------------------------------------------------+
//! ```
//!
//! Two kinds of bad input: what is no STUN at all is a [`DecodeError`] and gets
//! no answer; a message whose attributes are wrong is decoded as far as it goes
//! and says so ([`Attributes::is_malformed`]), since it is owed a 400.

use std::net::SocketAddr;

use super::{
    ConnectionId, EvenPort, Family, IntegrityKey, Mac, PasswordAlgorithm, ReservationToken,
    Transport, address,
    attribute::{self as types, is_comprehension_required},
    integrity::{SHA1_LEN, SHA256_LEN, SHA256_MIN_LEN, fingerprint},
};

pub(super) const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// Length of the header.
pub(super) const HEADER: usize = 20;

/// Unknown comprehension-required attributes that are told with 420; a request
/// with more of them is told the first.
const MAX_UNKNOWN: usize = 8;

/// A username is shorter than 509 bytes (RFC 8489 §14.3).
const MAX_USERNAME: usize = 508;

/// REALM and NONCE have at most 763 bytes (RFC 8489 §14.9, §14.10).
const MAX_REALM: usize = 763;

/// 96 random bits that tie an answer to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// The class of a message (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// The good answer.
    Success,
    /// The bad one.
    Error,
}

/// The method of a message (RFC 8489 §18.2, RFC 8656 §17, RFC 6062 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the RFCs'")]
pub enum Method {
    Binding,
    Allocate,
    Refresh,
    Send,
    Data,
    CreatePermission,
    ChannelBind,
    Connect,
    ConnectionBind,
    ConnectionAttempt,
}

impl Method {
    const ALL: [(Self, u16); 10] = [
        (Self::Binding, 0x001),
        (Self::Allocate, 0x003),
        (Self::Refresh, 0x004),
        (Self::Send, 0x006),
        (Self::Data, 0x007),
        (Self::CreatePermission, 0x008),
        (Self::ChannelBind, 0x009),
        (Self::Connect, 0x00A),
        (Self::ConnectionBind, 0x00B),
        (Self::ConnectionAttempt, 0x00C),
    ];

    fn from_wire(number: u16) -> Option<Self> {
        let known = Self::ALL.iter().find(|(_, known)| *known == number)?;
        Some(known.0)
    }

    pub(super) fn to_wire(self) -> u16 {
        let known = Self::ALL.iter().find(|(known, _)| *known == self);
        known.map_or(0, |(_, number)| *number)
    }
}

/// Puts class and method together: the class's two bits lie within the method's
/// twelve (RFC 8489 §5, figure 3). All of our methods fit in the lowest four.
pub(super) fn message_type(class: Class, method: Method) -> u16 {
    let class = match class {
        Class::Request => 0x000,
        Class::Indication => 0x010,
        Class::Success => 0x100,
        Class::Error => 0x110,
    };
    class | method.to_wire()
}

fn split_type(bits: u16) -> (Class, u16) {
    let class = match bits & 0x110 {
        0x000 => Class::Request,
        0x010 => Class::Indication,
        0x100 => Class::Success,
        _ => Class::Error,
    };
    let method = (bits & 0x000F) | ((bits & 0x00E0) >> 1) | ((bits & 0x3E00) >> 2);
    (class, method)
}

/// A datagram or frame is no STUN message that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Too short, a wrong cookie, a length that is not that of what came, or
    /// an attribute that goes beyond the end.
    #[error("no STUN message")]
    NotStun,
    /// A method that is neither STUN's nor TURN's.
    #[error("unknown method")]
    UnknownMethod,
    /// FINGERPRINT does not fit: another protocol, or a bit that fell over.
    #[error("wrong fingerprint")]
    Fingerprint,
}

/// A decoded message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What kind of message.
    pub class: Class,
    /// What it is about.
    pub method: Method,
    /// Which request it is, or belongs to.
    pub transaction: TransactionId,
    /// What it says.
    pub attributes: Attributes<'a>,
    raw: &'a [u8],
}

/// What a message says; of an attribute that comes twice the first counts.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the names are the RFCs'")]
pub struct Attributes<'a> {
    pub username: Option<&'a [u8]>,
    pub userhash: Option<&'a [u8; 32]>,
    pub realm: Option<&'a [u8]>,
    pub nonce: Option<&'a [u8]>,
    pub password_algorithm: Option<PasswordAlgorithm>,
    /// The list that we offered, as it came back.
    pub password_algorithms: Option<&'a [u8]>,
    pub channel_number: Option<u16>,
    pub lifetime: Option<u32>,
    /// The first one; see [`Message::peers`] for all.
    pub xor_peer_address: Option<SocketAddr>,
    pub xor_mapped_address: Option<SocketAddr>,
    pub xor_relayed_address: Option<SocketAddr>,
    pub data: Option<&'a [u8]>,
    pub requested_transport: Option<Transport>,
    pub even_port: Option<EvenPort>,
    pub dont_fragment: bool,
    pub reservation_token: Option<ReservationToken>,
    /// `Err` for a family that nobody knows.
    pub requested_family: Option<Result<Family, u8>>,
    pub additional_family: Option<Result<Family, u8>>,
    pub connection_id: Option<ConnectionId>,
    /// Of an error answer: class times 100 and number.
    pub error_code: Option<u16>,
    /// A FINGERPRINT is there, and right.
    pub has_fingerprint: bool,
    /// Some attribute's value has a wrong length or shape.
    pub is_malformed: bool,
    sha1: Option<Signature<'a>>,
    sha256: Option<Signature<'a>>,
    unknown: Unknown,
}

/// A MESSAGE-INTEGRITY and where it stands.
#[derive(Clone, Copy, Debug)]
struct Signature<'a> {
    at: usize,
    value: &'a [u8],
}

#[derive(Clone, Copy, Debug, Default)]
struct Unknown {
    types: [u16; MAX_UNKNOWN],
    len: usize,
}

impl<'a> Message<'a> {
    /// Decodes a whole datagram, or a frame of a TCP stream.
    ///
    /// # Errors
    ///
    /// See [`DecodeError`].
    pub fn decode(raw: &'a [u8]) -> Result<Self, DecodeError> {
        let (header, mut rest) = raw
            .split_first_chunk::<HEADER>()
            .ok_or(DecodeError::NotStun)?;
        let &[t1, t2, l1, l2, c1, c2, c3, c4, ref transaction @ ..] = header;
        let len = usize::from(u16::from_be_bytes([l1, l2]));
        if t1 > 0x3F || [c1, c2, c3, c4] != MAGIC_COOKIE || len != rest.len() {
            return Err(DecodeError::NotStun);
        }
        // Attributes are padded, so any length is a multiple of four.
        if !len.is_multiple_of(4) {
            return Err(DecodeError::NotStun);
        }
        let (class, method) = split_type(u16::from_be_bytes([t1, t2]));
        let method = Method::from_wire(method).ok_or(DecodeError::UnknownMethod)?;
        let mut message = Self {
            class,
            method,
            transaction: TransactionId(*transaction),
            attributes: Attributes::default(),
            raw,
        };
        let mut at = HEADER;
        while let Some((kind, value, size)) = split_attribute(rest) {
            message.take(kind, value, at)?;
            rest = rest.get(size..).unwrap_or_default();
            at += size;
        }
        if rest.is_empty() {
            Ok(message)
        } else {
            Err(DecodeError::NotStun)
        }
    }

    /// Every XOR-PEER-ADDRESS in front of the integrity, as a CreatePermission
    /// may have several; `None` for one that cannot be read.
    pub fn peers(&self) -> PeerAddresses<'a> {
        let end = self.attributes.protected_end().unwrap_or(self.raw.len());
        PeerAddresses {
            rest: self.raw.get(HEADER..end).unwrap_or_default(),
            transaction: self.transaction,
        }
    }

    /// Which forms of integrity protect it; the stronger one when both do, as
    /// RFC 8489 §9.2.4 has it. `None` when there is none.
    pub fn mac(&self) -> Option<Mac> {
        match (self.attributes.sha256, self.attributes.sha1) {
            (Some(_), _) => Some(Mac::Sha256),
            (None, Some(_)) => Some(Mac::Sha1),
            (None, None) => None,
        }
    }

    /// Whether its integrity, as [`Message::mac`] says, was made with `key`.
    pub fn is_signed_with(&self, key: &IntegrityKey) -> bool {
        let (mac, signature) = match (self.attributes.sha256, self.attributes.sha1) {
            (Some(signature), _) => (Mac::Sha256, signature),
            (None, Some(signature)) => (Mac::Sha1, signature),
            (None, None) => return false,
        };
        let prefix = self.raw.get(..signature.at).unwrap_or_default();
        key.verify(mac, prefix, signature.value)
    }

    /// Comprehension-required attributes that we do not know.
    pub fn unknown(&self) -> &[u16] {
        let unknown = &self.attributes.unknown;
        unknown.types.get(..unknown.len).unwrap_or_default()
    }

    /// Bytes on the wire.
    pub const fn wire_len(&self) -> usize {
        self.raw.len()
    }

    fn take(&mut self, kind: u16, value: &'a [u8], at: usize) -> Result<(), DecodeError> {
        let seen = &mut self.attributes;
        // RFC 8489 §14.7: FINGERPRINT is the last attribute.
        if seen.has_fingerprint {
            return Ok(());
        }
        if kind == types::FINGERPRINT {
            let prefix = self.raw.get(..at).unwrap_or_default();
            if *value != fingerprint(prefix).to_be_bytes() {
                return Err(DecodeError::Fingerprint);
            }
            seen.has_fingerprint = true;
            return Ok(());
        }
        // RFC 8489 §14.5, §14.6: what follows an integrity is ignored, but for
        // the stronger integrity and FINGERPRINT.
        if seen.sha256.is_some() {
            return Ok(());
        }
        let signature = Some(Signature { at, value });
        match kind {
            types::MESSAGE_INTEGRITY_SHA256 => {
                let len = value.len();
                let fits = (SHA256_MIN_LEN..=SHA256_LEN).contains(&len) && len.is_multiple_of(4);
                seen.sha256 = signature.filter(|_| fits);
                seen.is_malformed |= !fits;
            }
            _ if seen.sha1.is_some() => {}
            types::MESSAGE_INTEGRITY => {
                let fits = value.len() == SHA1_LEN;
                seen.sha1 = signature.filter(|_| fits);
                seen.is_malformed |= !fits;
            }
            _ => seen.read(kind, value, &self.transaction),
        }
        Ok(())
    }
}

impl<'a> Attributes<'a> {
    /// Where the part ends that an integrity protects.
    fn protected_end(&self) -> Option<usize> {
        let ends = self.sha1.iter().chain(&self.sha256);
        ends.map(|signature| signature.at).min()
    }

    fn read(&mut self, kind: u16, value: &'a [u8], transaction: &TransactionId) {
        let is_read = match kind {
            types::USERNAME => first(&mut self.username, bounded(value, MAX_USERNAME)),
            types::USERHASH => first(&mut self.userhash, value.try_into().ok()),
            types::REALM => first(&mut self.realm, bounded(value, MAX_REALM)),
            types::NONCE => first(&mut self.nonce, bounded(value, MAX_REALM)),
            types::PASSWORD_ALGORITHM => {
                let read = PasswordAlgorithm::from_wire(value);
                first(&mut self.password_algorithm, read)
            }
            types::PASSWORD_ALGORITHMS => first(&mut self.password_algorithms, Some(value)),
            types::CHANNEL_NUMBER => first(&mut self.channel_number, number(value)),
            types::LIFETIME => first(&mut self.lifetime, long_number(value)),
            types::DATA => first(&mut self.data, Some(value)),
            types::DONT_FRAGMENT => {
                self.dont_fragment = true;
                true
            }
            types::REQUESTED_TRANSPORT => {
                let read = four(value).map(|[protocol, ..]| Transport::from_wire(protocol));
                first(&mut self.requested_transport, read)
            }
            types::EVEN_PORT => {
                let read = value.first().map(|bits| EvenPort {
                    reserve_next: bits & 0x80 != 0,
                });
                first(&mut self.even_port, read)
            }
            types::RESERVATION_TOKEN => {
                let read = value.try_into().ok().map(ReservationToken);
                first(&mut self.reservation_token, read)
            }
            types::REQUESTED_ADDRESS_FAMILY => first(&mut self.requested_family, family(value)),
            types::ADDITIONAL_ADDRESS_FAMILY => first(&mut self.additional_family, family(value)),
            types::CONNECTION_ID => {
                let read = long_number(value).map(ConnectionId);
                first(&mut self.connection_id, read)
            }
            types::ERROR_CODE => {
                let code = value.first_chunk::<4>();
                let code = code.map(|[_, _, class, number]| {
                    u16::from(class & 0x07) * 100 + u16::from(*number)
                });
                first(&mut self.error_code, code)
            }
            _ => self.read_address(kind, value, transaction),
        };
        self.is_malformed |= !is_read;
    }

    fn read_address(&mut self, kind: u16, value: &[u8], transaction: &TransactionId) -> bool {
        let field = match kind {
            types::XOR_PEER_ADDRESS => &mut self.xor_peer_address,
            types::XOR_MAPPED_ADDRESS => &mut self.xor_mapped_address,
            types::XOR_RELAYED_ADDRESS => &mut self.xor_relayed_address,
            // Of an error answer; requests have none.
            types::UNKNOWN_ATTRIBUTES => return true,
            _ => {
                self.unknown.note(kind);
                return true;
            }
        };
        first(field, address::decode_xor(value, transaction))
    }
}

impl Unknown {
    fn note(&mut self, kind: u16) {
        if is_comprehension_required(kind)
            && let Some(place) = self.types.get_mut(self.len)
        {
            *place = kind;
            self.len += 1;
        }
    }
}

/// The XOR-PEER-ADDRESSes of a message.
#[derive(Clone, Debug)]
pub struct PeerAddresses<'a> {
    rest: &'a [u8],
    transaction: TransactionId,
}

impl Iterator for PeerAddresses<'_> {
    type Item = Option<SocketAddr>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (kind, value, size) = split_attribute(self.rest)?;
            self.rest = self.rest.get(size..).unwrap_or_default();
            if kind == types::XOR_PEER_ADDRESS {
                return Some(address::decode_xor(value, &self.transaction));
            }
        }
    }
}

/// Type, value, and the size with header and padding, of the first attribute;
/// `None` when there is no whole one.
fn split_attribute(bytes: &[u8]) -> Option<(u16, &[u8], usize)> {
    let (&[k1, k2, l1, l2], rest) = bytes.split_first_chunk::<4>()?;
    let len = usize::from(u16::from_be_bytes([l1, l2]));
    let padded = len.next_multiple_of(4);
    rest.get(..padded)?;
    Some((u16::from_be_bytes([k1, k2]), rest.get(..len)?, 4 + padded))
}

/// Keeps the first value; returns whether this one could be read.
fn first<T>(field: &mut Option<T>, read: Option<T>) -> bool {
    let is_read = read.is_some();
    if field.is_none() {
        *field = read;
    }
    is_read
}

fn bounded(value: &[u8], max: usize) -> Option<&[u8]> {
    (value.len() <= max).then_some(value)
}

fn four(value: &[u8]) -> Option<[u8; 4]> {
    value.try_into().ok()
}

fn number(value: &[u8]) -> Option<u16> {
    // Two reserved bytes follow (RFC 8656 §18.1).
    four(value).map(|[n1, n2, _, _]| u16::from_be_bytes([n1, n2]))
}

fn long_number(value: &[u8]) -> Option<u32> {
    four(value).map(u32::from_be_bytes)
}

fn family(value: &[u8]) -> Option<Result<Family, u8>> {
    // Three reserved bytes follow (RFC 8656 §18.6).
    four(value).map(|[family, ..]| Family::from_wire(family).ok_or(family))
}
