//! A message, read as a query.
//!
//! ```text
//!  0        2        4        6        8        10       12
//!  +--------+--------+--------+--------+--------+--------+---- - -
//!  |   ID   | flags  |QDCOUNT |ANCOUNT |NSCOUNT |ARCOUNT | question, records
//!  +--------+--------+--------+--------+--------+--------+---- - -
//!  flags: QR, opcode (4 bits), AA, TC, RD, RA, Z, AD, CD, RCODE (4 bits)
//! ```
//!
//! Nothing is built for what turns out malformed: reading ends at the first fault,
//! and what was read until then is what its refusal is made of.

use super::{
    cursor::Cursor,
    name::NameBuf,
    option::{DNSSEC_OK, Edns},
    record::{Class, Kind, Rcode},
};

/// Length of a message's header.
pub const HEADER: usize = 12;

/// Most records of a query beside its question: OPT, a signature, what IXFR
/// brings, and some to spare.
const MAX_RECORDS: usize = 8;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Tells a client's queries apart.
    pub id: u16,
    /// As they came.
    pub flags: u16,
}

impl Head {
    const RESPONSE: u16 = 0x8000;
    const OPCODE: u16 = 0x7800;

    /// Whether this is somebody's answer.
    const fn is_response(self) -> bool {
        self.flags & Self::RESPONSE != 0
    }

    /// Whether this asks something, and does not notify or update.
    const fn is_query(self) -> bool {
        self.flags & Self::OPCODE == 0
    }

    /// What a response keeps: opcode, RD, and CD (RFC 4035 §3.2.2).
    pub(super) const fn echoed(self) -> u16 {
        const RECURSION_DESIRED: u16 = 0x0100;
        const CHECKING_DISABLED: u16 = 0x0010;
        self.flags & (Self::OPCODE | RECURSION_DESIRED | CHECKING_DISABLED)
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Name, type and class as they were spelled, for the echo.
    pub raw: &'a [u8],
    /// The name, lower case.
    pub name: NameBuf,
    /// The type.
    pub kind: Kind,
    /// The class.
    pub class: Class,
}

/// A query that can be answered.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Its header.
    pub head: Head,
    /// What is asked; `None` when only a cookie is (RFC 7873 §5.4).
    pub question: Option<Question<'a>>,
    /// What its OPT says; `None` without one.
    pub edns: Option<Edns<'a>>,
}

/// A message that gets no answer of substance.
#[derive(Clone, Copy, Debug)]
pub enum Reject<'a> {
    /// Nothing is said to it: too short for a header, or an answer itself, which
    /// would go to and fro for ever.
    Silent,
    /// An error is said to it.
    Error {
        /// Its header.
        head: Head,
        /// Its question, as far as it could be read.
        question: Option<&'a [u8]>,
        /// The error.
        rcode: Rcode,
        /// The DO bit of the query's OPT, for that of the error; `None` without OPT, when
        /// the error has none either (RFC 6891 §7).
        is_dnssec_ok: Option<bool>,
    },
}

/// Reads a message.
///
/// # Errors
///
/// [`Reject`]: what to say instead of an answer.
pub fn parse(message: &[u8]) -> Result<Query<'_>, Reject<'_>> {
    let Some((head, counts)) = header(message).filter(|(head, _)| !head.is_response()) else {
        return Err(Reject::Silent);
    };
    let mut reading = Reading {
        head,
        question: None,
        is_dnssec_ok: None,
        cursor: Cursor::new(message, HEADER),
    };
    let body = reading.body(counts);
    if !head.is_query() {
        return Err(reading.reject(Rcode::NOTIMP));
    }
    let (question, edns) = body.ok_or_else(|| reading.reject(Rcode::FORMERR))?;
    if edns.is_some_and(|edns| edns.version != 0) {
        return Err(reading.reject(Rcode::BADVERS));
    }
    if question.is_none() && edns.is_none_or(|edns| edns.cookie.is_none()) {
        return Err(reading.reject(Rcode::FORMERR));
    }
    Ok(Query {
        head,
        question,
        edns,
    })
}

/// How many entries each section has.
#[derive(Clone, Copy, Debug)]
struct Counts {
    questions: u16,
    answers: u16,
    authority: u16,
    additional: u16,
}

fn header(message: &[u8]) -> Option<(Head, Counts)> {
    let mut cursor = Cursor::new(message, 0);
    let head = Head {
        id: cursor.u16()?,
        flags: cursor.u16()?,
    };
    let counts = Counts {
        questions: cursor.u16()?,
        answers: cursor.u16()?,
        authority: cursor.u16()?,
        additional: cursor.u16()?,
    };
    Some((head, counts))
}

/// What was read so far.
struct Reading<'a> {
    head: Head,
    question: Option<&'a [u8]>,
    /// Of the last OPT.
    is_dnssec_ok: Option<bool>,
    cursor: Cursor<'a>,
}

impl<'a> Reading<'a> {
    const fn reject(&self, rcode: Rcode) -> Reject<'a> {
        Reject::Error {
            head: self.head,
            question: self.question,
            rcode,
            is_dnssec_ok: self.is_dnssec_ok,
        }
    }

    /// The question and OPT, where there are such.
    fn body(&mut self, counts: Counts) -> Option<(Option<Question<'a>>, Option<Edns<'a>>)> {
        let question = match counts.questions {
            0 => None,
            1 => Some(self.question()?),
            _ => return None,
        };
        let before = usize::from(counts.answers) + usize::from(counts.authority);
        if before + usize::from(counts.additional) > MAX_RECORDS {
            return None;
        }
        for _ in 0..before {
            // OPT belongs to the additional section alone (RFC 6891 §6.1.1).
            if self.record()?.0 == Kind::OPT {
                return None;
            }
        }
        let mut edns = None;
        for _ in 0..counts.additional {
            if let (Kind::OPT, read) = self.record()? {
                let is_first = edns.replace(read?).is_none();
                if !is_first {
                    return None;
                }
            }
        }
        self.cursor.is_at_end().then_some((question, edns))
    }

    fn question(&mut self) -> Option<Question<'a>> {
        let name = self.cursor.whole_name()?;
        let kind = Kind(self.cursor.u16()?);
        let class = Class(self.cursor.u16()?);
        let raw = self.cursor.since(HEADER);
        self.question = Some(raw);
        Some(Question {
            raw,
            name,
            kind,
            class,
        })
    }

    /// Steps over a record, and reads it when it is OPT, which must be the root's.
    fn record(&mut self) -> Option<(Kind, Option<Edns<'a>>)> {
        let is_root = self.cursor.skip_name()?;
        let kind = Kind(self.cursor.u16()?);
        // Class and TTL of OPT mean something else (RFC 6891 §6.1.2, §6.1.3).
        let payload = self.cursor.u16()?;
        let _extended_rcode = self.cursor.u8()?;
        let version = self.cursor.u8()?;
        let flags = self.cursor.u16()?;
        let length = self.cursor.u16()?;
        let data = self.cursor.take(usize::from(length))?;
        if kind != Kind::OPT {
            return Some((kind, None));
        }
        self.is_dnssec_ok = Some(flags & DNSSEC_OK != 0);
        let edns = is_root.then(|| Edns::read(payload, version, flags, data));
        Some((kind, edns.flatten()))
    }
}
