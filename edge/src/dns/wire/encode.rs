//! Building a response: header, the question as it came, records, OPT.
//!
//! A response that does not fit its size loses all its records and says so (TC):
//! the client comes again by TCP.

use super::{
    option::{ClientSubnet, ExtendedError, OptionCode},
    query::{HEADER, Head},
    record::{Class, Kind, Rcode, Rdata},
};

/// Longest UDP response that is offered: what passes without fragments nearly
/// everywhere (DNS flag day 2020).
pub const PAYLOAD: u16 = 1232;

/// A pointer to the question's name, which follows the header.
const QUESTION: u16 = 0xc000 | 12;

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who says so.
    Authority,
}

/// Whose record it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The question's name.
    Question,
    /// The zone's.
    Apex,
}

/// A response under construction.
#[derive(Debug)]
pub struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    head: Head,
    question_end: usize,
    apex: u16,
    answers: u16,
    authority: u16,
    additional: u16,
}

impl<'o> Encoder<'o> {
    /// Begins a response in `out`, which is cleared.
    pub fn new(out: &'o mut Vec<u8>, head: Head, question: Option<&[u8]>) -> Self {
        out.clear();
        out.extend_from_slice(&[0; HEADER]);
        out.extend_from_slice(question.unwrap_or_default());
        Self {
            question_end: out.len(),
            out,
            head,
            apex: QUESTION,
            answers: 0,
            authority: 0,
            additional: 0,
        }
    }

    /// Tells that the zone's name begins `offset` bytes into the question's.
    pub fn set_apex(&mut self, offset: usize) {
        // A name has 255 bytes at most.
        self.apex = QUESTION + u16::try_from(offset).unwrap_or_default();
    }

    /// Adds a record.
    pub fn record(&mut self, section: Section, owner: Owner, kind: Kind, ttl: u32, data: &Rdata) {
        let owner = match owner {
            Owner::Question => QUESTION,
            Owner::Apex => self.apex,
        };
        self.fixed(owner, kind, ttl, data.len());
        data.write(self.apex, self.out);
        match section {
            Section::Answer => self.answers += 1,
            Section::Authority => self.authority += 1,
        }
    }

    /// Adds an answer for the question's name whose data is at hand as bytes.
    pub fn answer(&mut self, kind: Kind, ttl: u32, data: &[&[u8]]) {
        let length = data.iter().map(|piece| piece.len()).sum();
        self.fixed(QUESTION, kind, ttl, length);
        for piece in data {
            self.out.extend_from_slice(piece);
        }
        self.answers += 1;
    }

    fn fixed(&mut self, owner: u16, kind: Kind, ttl: u32, length: usize) {
        self.u16(owner);
        self.u16(kind.0);
        self.u16(Class::IN.0);
        self.out.extend_from_slice(&ttl.to_be_bytes());
        // Records are made from a checked configuration.
        self.u16(u16::try_from(length).unwrap_or_default());
    }

    /// Begins OPT, with the query's DO bit; options may follow until [`Encoder::finish`].
    pub fn opt(self, rcode: Rcode, is_dnssec_ok: bool) -> Options<'o> {
        let start = self.out.len();
        let mut encoder = self;
        encoder.additional += 1;
        encoder.out.push(0);
        encoder.u16(Kind::OPT.0);
        encoder.u16(PAYLOAD);
        let dnssec_ok = u8::from(is_dnssec_ok) << 7;
        encoder
            .out
            .extend_from_slice(&[rcode.high(), 0, dnssec_ok, 0]);
        encoder.u16(0);
        Options { encoder, start }
    }

    /// Ends a response without OPT that may have `limit` bytes; says whether it was
    /// cut.
    pub fn finish(mut self, rcode: Rcode, is_authoritative: bool, limit: usize) -> bool {
        let is_cut = self.out.len() > limit;
        if is_cut {
            self.out.truncate(self.question_end);
            (self.answers, self.authority, self.additional) = (0, 0, 0);
        }
        self.header(rcode, is_authoritative, is_cut);
        is_cut
    }

    fn header(&mut self, rcode: Rcode, is_authoritative: bool, is_cut: bool) {
        const RESPONSE: u16 = 0x8000;
        const AUTHORITATIVE: u16 = 0x0400;
        const TRUNCATED: u16 = 0x0200;
        let mut flags = RESPONSE | self.head.echoed() | rcode.low();
        if is_authoritative {
            flags |= AUTHORITATIVE;
        }
        if is_cut {
            flags |= TRUNCATED;
        }
        let questions = u16::from(self.question_end > HEADER);
        let fields = [
            self.head.id,
            flags,
            questions,
            self.answers,
            self.authority,
            self.additional,
        ];
        for (to, field) in self.out.chunks_exact_mut(2).zip(fields) {
            to.copy_from_slice(&field.to_be_bytes());
        }
    }

    fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Length of an option without its data.
const OPTION_HEAD: usize = 4;

/// A response whose OPT is under construction.
#[derive(Debug)]
pub struct Options<'o> {
    encoder: Encoder<'o>,
    /// Where OPT begins.
    start: usize,
}

impl Options<'_> {
    /// Length of OPT without its options.
    const FIXED: usize = 11;

    /// Adds an option.
    pub fn add(&mut self, code: OptionCode, data: &[&[u8]]) {
        let length: usize = data.iter().map(|piece| piece.len()).sum();
        self.encoder.u16(code.0);
        // Cookies, names and addresses: short all of them.
        self.encoder.u16(u16::try_from(length).unwrap_or_default());
        for piece in data {
            self.encoder.out.extend_from_slice(piece);
        }
    }

    /// Adds an option that nobody needs, if the response has no more than `limit` bytes
    /// with it.
    pub fn add_if_it_fits(&mut self, code: OptionCode, data: &[u8], limit: usize) {
        if self.encoder.out.len() + OPTION_HEAD + data.len() <= limit {
            self.add(code, &[data]);
        }
    }

    /// Tells for which networks the answer is good (RFC 7871 §7.2.1).
    pub fn client_subnet(&mut self, asked: &ClientSubnet<'_>, scope: u8) {
        let family = asked.family_code().to_be_bytes();
        let fixed = [asked.source, scope];
        self.add(OptionCode::CLIENT_SUBNET, &[&family, &fixed, asked.address]);
    }

    /// Tells why.
    pub fn extended_error(&mut self, error: ExtendedError) {
        self.add(OptionCode::EXTENDED_ERROR, &[&error.0.to_be_bytes()]);
    }

    /// Fills up to a multiple of `block` bytes (RFC 8467 §4.1).
    pub fn pad(&mut self, block: usize) {
        let unpadded = self.encoder.out.len() + OPTION_HEAD;
        let padding = unpadded.next_multiple_of(block) - unpadded;
        self.encoder.u16(OptionCode::PADDING.0);
        self.encoder.u16(u16::try_from(padding).unwrap_or_default());
        let padded = self.encoder.out.len() + padding;
        self.encoder.out.resize(padded, 0);
    }

    /// Ends a response that may have `limit` bytes; says whether it was cut, in
    /// which case OPT stays.
    pub fn finish(mut self, rcode: Rcode, is_authoritative: bool, limit: usize) -> bool {
        let encoder = &mut self.encoder;
        let length = encoder.out.len() - self.start - Self::FIXED;
        let at = self.start + Self::FIXED - 2;
        if let Some(place) = encoder.out.get_mut(at..at + 2) {
            place.copy_from_slice(&u16::try_from(length).unwrap_or_default().to_be_bytes());
        }
        let is_cut = encoder.out.len() > limit;
        if is_cut {
            encoder.out.drain(encoder.question_end..self.start);
            (encoder.answers, encoder.authority) = (0, 0);
        }
        encoder.header(rcode, is_authoritative, is_cut);
        is_cut
    }
}
