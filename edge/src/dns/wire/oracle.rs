//! Somebody else's parser (`hickory-proto`) as a judge of ours: what both read they must
//! read alike, and what one of the two refuses must have a reason that has a name.
//!
//! Tests of this crate use it, and the fuzz target `dns` in a copy of its own.

use std::fmt;

use hickory_proto::{
    op::{Edns as TheirEdns, Message, MessageType, OpCode},
    rr::{
        Record, RecordType,
        rdata::opt::{EdnsCode, EdnsOption},
    },
    serialize::binary::{BinDecodable as _, BinDecoder},
};

use super::{Edns, Family, HEADER, Query, parse};

/// Where the two differ, and nobody knows why.
#[derive(Debug)]
pub(super) struct Differs(String);

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why what others read is refused here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    /// It is an answer.
    Response,
    /// It wants something else than to know.
    OtherOpcode,
    /// It asks nothing, and has no cookie either; or more than once.
    Questions,
    /// The question's name is one by a pointer, and only the header is before it.
    PointerInQuestion,
    /// More records than a query has.
    ManyRecords,
    /// Something stands behind its last record.
    Behind,
    /// EDNS of a version to come.
    OtherVersion,
    /// An option is cut off, or there are more than a query has.
    Options,
    /// A client subnet with bits that it must not have (RFC 7871 §6), or two.
    Subnet,
    /// A cookie of a length that there is not (RFC 7873 §5.2.2), or two.
    Cookie,
}

/// Compares what both make of a message; the reason, where ours alone refuses it.
pub(super) fn compare(message: &[u8]) -> Result<Option<Known>, Differs> {
    let mut decoder = BinDecoder::new(message);
    let theirs = Message::read(&mut decoder);
    match (parse(message), theirs) {
        (Ok(ours), Ok(theirs)) => alike(&ours, &theirs).map(|()| None),
        (Ok(ours), Err(_)) if are_records_stepped_over(message, &ours) => Ok(None),
        (Ok(ours), Err(_)) if says_nothing(&ours) => Ok(None),
        (Ok(ours), Err(error)) => Err(Differs(format!("{ours:?} alone: {error}"))),
        (Err(ours), Ok(theirs)) => match why(message, &theirs, !decoder.is_empty()) {
            Some(known) => Ok(Some(known)),
            None => Err(Differs(format!("{theirs:?} is refused: {ours:?}"))),
        },
        (Err(_), Err(_)) => Ok(None),
    }
}

/// Records other than OPT are stepped over here, and read by the other parser.
fn are_records_stepped_over(message: &[u8], ours: &Query<'_>) -> bool {
    let counts = [0, 0, 0, 0, 0, u8::from(ours.edns.is_some())];
    message.get(6..HEADER) != Some(&counts[..])
}

/// A client says by its subnet that it says nothing, which the other parser does not know
/// (RFC 7871 §7.1.2).
fn says_nothing(ours: &Query<'_>) -> bool {
    let subnet = ours.edns.and_then(|edns| edns.client_subnet);
    subnet.is_some_and(|subnet| subnet.family == Family::Unspecified)
}

fn alike(ours: &Query<'_>, theirs: &Message) -> Result<(), Differs> {
    let same = |what: &str, is_same: bool| {
        let differs = || Differs(format!("{what}: {ours:?}, {theirs:?}"));
        is_same.then_some(()).ok_or_else(differs)
    };
    same("id", ours.head.id == theirs.metadata.id)?;
    same("opcode", theirs.metadata.op_code == OpCode::Query)?;
    same(
        "questions",
        usize::from(ours.question.is_some()) == theirs.queries.len(),
    )?;
    if let (Some(ours), Some(theirs)) = (&ours.question, theirs.queries.first()) {
        let labels = theirs.name().iter();
        let mut name: Vec<u8> = labels
            .flat_map(|label| {
                [&[u8::try_from(label.len()).unwrap_or_default()][..], label].concat()
            })
            .collect();
        name.push(0);
        // A label's length is no letter.
        name.make_ascii_lowercase();
        same("name", ours.name.as_bytes() == name)?;
        same("type", ours.kind.0 == u16::from(theirs.query_type()))?;
        same("class", ours.class.0 == u16::from(theirs.query_class()))?;
    }
    same("OPT", ours.edns.is_some() == theirs.edns.is_some())?;
    if let (Some(ours), Some(theirs)) = (&ours.edns, &theirs.edns) {
        // RFC 6891 §6.2.3: theirs has a floor.
        same("payload", ours.payload.max(512) == theirs.max_payload())?;
        same("version", ours.version == theirs.version())?;
        same("DO", ours.is_dnssec_ok == theirs.flags().dnssec_ok)?;
        same("client subnet", is_subnet_alike(ours, theirs))?;
        same("cookie", is_cookie_alike(ours, theirs))?;
        let has = |code| theirs.option(code).is_some();
        same("NSID", ours.wants_nsid == has(EdnsCode::NSID))?;
        same(
            "keepalive",
            ours.wants_keepalive == has(EdnsCode::Keepalive),
        )?;
        same("padding", ours.is_padded == has(EdnsCode::Padding))?;
    }
    Ok(())
}

fn is_subnet_alike(ours: &Edns<'_>, theirs: &TheirEdns) -> bool {
    match (ours.client_subnet, theirs.option(EdnsCode::Subnet)) {
        (None, None) => true,
        (Some(ours), Some(EdnsOption::Subnet(theirs))) => {
            let is_same_family = (ours.family == Family::V4) == theirs.addr().is_ipv4();
            let is_same = ours.ip().is_none_or(|ip| ip == theirs.addr());
            is_same_family && is_same && ours.source == theirs.source_prefix()
        }
        _ => false,
    }
}

fn is_cookie_alike(ours: &Edns<'_>, theirs: &TheirEdns) -> bool {
    match (ours.cookie, theirs.option(EdnsCode::Cookie)) {
        (None, None) => true,
        (Some(ours), Some(EdnsOption::Unknown(_, theirs))) => {
            *theirs == [&ours.client[..], ours.server.unwrap_or_default()].concat()
        }
        _ => false,
    }
}

/// Why ours refuses what theirs has read; looked for in the bytes, and not in ours.
fn why(message: &[u8], theirs: &Message, is_more_behind: bool) -> Option<Known> {
    let head = &theirs.metadata;
    let records = message.get(6..HEADER)?.chunks_exact(2);
    let records: usize = records
        .map(|count| usize::from(u16::from_be_bytes([count[0], count[1]])))
        .sum();
    let has_cookie = || theirs.edns.as_ref()?.option(EdnsCode::Cookie);
    let version = theirs.edns.as_ref().map_or(0, TheirEdns::version);
    match theirs.queries.len() {
        _ if head.message_type == MessageType::Response => Some(Known::Response),
        _ if head.op_code != OpCode::Query => Some(Known::OtherOpcode),
        0 if has_cookie().is_none() && version == 0 => Some(Known::Questions),
        2.. => Some(Known::Questions),
        1 if is_pointed_at(message) => Some(Known::PointerInQuestion),
        _ if records > 8 => Some(Known::ManyRecords),
        _ if is_more_behind => Some(Known::Behind),
        _ if version != 0 => Some(Known::OtherVersion),
        _ => why_options(opt(message, theirs.queries.len())?),
    }
}

/// Whether the question's name ends in a pointer.
fn is_pointed_at(message: &[u8]) -> bool {
    let mut at = HEADER;
    while let Some(length) = message.get(at).filter(|length| **length != 0) {
        if length & 0xc0 != 0 {
            return true;
        }
        at += 1 + usize::from(*length);
    }
    false
}

/// The data of OPT.
fn opt(message: &[u8], questions: usize) -> Option<&[u8]> {
    let mut decoder = BinDecoder::new(message);
    decoder.read_slice(HEADER).ok()?;
    Message::read_queries(&mut decoder, questions).ok()?;
    loop {
        let start = decoder.index();
        let record = Record::read(&mut decoder).ok()?;
        if record.record_type() == RecordType::OPT {
            // The root, type, class, TTL and length.
            return message.get(start + 11..decoder.index());
        }
    }
}

fn why_options(mut data: &[u8]) -> Option<Known> {
    let (mut count, mut subnets, mut cookies) = (0, 0, 0);
    while !data.is_empty() {
        count += 1;
        let Some(([c1, c2, l1, l2], rest)) = data.split_first_chunk() else {
            return Some(Known::Options);
        };
        let length = usize::from(u16::from_be_bytes([*l1, *l2]));
        let Some((option, rest)) = rest.split_at_checked(length) else {
            return Some(Known::Options);
        };
        data = rest;
        match u16::from_be_bytes([*c1, *c2]) {
            8 => {
                subnets += 1;
                if subnets > 1 || !is_subnet(option) {
                    return Some(Known::Subnet);
                }
            }
            10 => {
                cookies += 1;
                if cookies > 1 || !matches!(length, 8 | 16..=40) {
                    return Some(Known::Cookie);
                }
            }
            _ => {}
        }
    }
    (count > 16).then_some(Known::Options)
}

/// RFC 7871 §6.
fn is_subnet(option: &[u8]) -> bool {
    let [0, family, source, 0, address @ ..] = option else {
        return false;
    };
    let Some(bits) = [0_u8, 32, 128].get(usize::from(*family)) else {
        return false;
    };
    let is_zero_behind = (usize::from(*source)..address.len() * 8)
        .all(|bit| address[bit / 8] & (0x80 >> (bit % 8)) == 0);
    source <= bits && address.len() == usize::from(*source).div_ceil(8) && is_zero_behind
}
