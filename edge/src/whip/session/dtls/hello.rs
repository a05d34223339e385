//! The first ClientHello, put together from its fragments, to see which
//! versions of DTLS it offers.
//!
//! ```text
//! record     type (22) | version (2) | epoch (2) | sequence (6) | length (2)
//! handshake  type (1)  | length (3) | message_seq (2) | offset (3) | length (3)
//! hello      version (2) | random (32) | session id <1> | cookie <1>
//!            | cipher suites <2> | compression <1> | extensions <2>
//! ```
//!
//! The numbers in brackets are bytes, in angles the bytes of a length (RFC 6347
//! §4.2, RFC 9147 §5.3). A hello with a key for a post-quantum group no longer
//! fits one datagram, so fragments are the rule with browsers, and they come in
//! any order. Whoever cannot be read is OpenSSL's to answer.

/// Longest hello that is put together.
const MAX_HELLO: usize = 8 * 1024;

/// Datagrams that are kept until the choice is made.
const MAX_DATAGRAMS: usize = 12;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SUPPORTED_VERSIONS: u16 = 43;
const DTLS_1_2: [u8; 2] = [0xFE, 0xFD];
const DTLS_1_3: [u8; 2] = [0xFE, 0xFC];

/// Who is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not known yet.
    Wait,
    /// The hello offers DTLS 1.3 and not 1.2.
    Only13,
    /// Anything else.
    Any,
}

/// A hello of which more is to come.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    datagrams: Vec<Vec<u8>>,
    body: Vec<u8>,
    /// Ranges of `body` that are there, in no order.
    there: Vec<(usize, usize)>,
}

impl Gathering {
    /// Takes a datagram, and keeps it unless it is nothing of a handshake.
    pub(super) fn take(&mut self, datagram: &[u8]) -> Verdict {
        if datagram.first() != Some(&HANDSHAKE) {
            return Verdict::Wait;
        }
        self.datagrams.push(datagram.to_vec());
        let mut rest = datagram;
        while let Some((record, after)) = take_record(rest) {
            rest = after;
            match self.take_fragment(record) {
                Verdict::Wait => {}
                verdict => return verdict,
            }
        }
        if self.datagrams.len() == MAX_DATAGRAMS {
            return Verdict::Any;
        }
        Verdict::Wait
    }

    /// What was kept, in order of arrival.
    pub(super) fn into_datagrams(self) -> Vec<Vec<u8>> {
        self.datagrams
    }

    fn take_fragment(&mut self, record: &[u8]) -> Verdict {
        let Some(fragment) = Fragment::parse(record) else {
            return Verdict::Any;
        };
        let end = fragment.offset + fragment.bytes.len();
        let is_first = self.there.is_empty();
        if fragment.len > MAX_HELLO || end > fragment.len {
            return Verdict::Any;
        }
        if is_first {
            self.body = vec![0; fragment.len];
        }
        let Some(into) = self.body.get_mut(fragment.offset..end) else {
            return Verdict::Any;
        };
        into.copy_from_slice(fragment.bytes);
        self.there.push((fragment.offset, end));
        if !self.is_whole() {
            return Verdict::Wait;
        }
        match offers_only_13(&self.body) {
            Some(true) => Verdict::Only13,
            Some(false) | None => Verdict::Any,
        }
    }

    fn is_whole(&self) -> bool {
        let mut there = self.there.clone();
        there.sort_unstable();
        let reached = there.into_iter().fold(0, |reached, (start, end)| {
            if start <= reached {
                reached.max(end)
            } else {
                reached
            }
        });
        reached == self.body.len()
    }
}

struct Fragment<'a> {
    /// Of the whole message.
    len: usize,
    offset: usize,
    bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// The fragment of a ClientHello that fills a record.
    fn parse(record: &'a [u8]) -> Option<Self> {
        let (head, bytes) = record.split_first_chunk::<12>()?;
        let [kind, l2, l1, l0, _, _, o2, o1, o0, f2, f1, f0] = *head;
        let number =
            |high, mid, low| usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low);
        let bytes = bytes.get(..number(f2, f1, f0))?;
        (kind == CLIENT_HELLO).then_some(Self {
            len: number(l2, l1, l0),
            offset: number(o2, o1, o0),
            bytes,
        })
    }
}

/// The first record's contents, and what follows it.
fn take_record(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = datagram.split_first_chunk::<13>()?;
    let len = usize::from(u16::from_be_bytes([head[11], head[12]]));
    rest.split_at_checked(len)
}

fn offers_only_13(hello: &[u8]) -> Option<bool> {
    let rest = hello.get(2 + 32..)?;
    let (_, rest) = take_vector::<1>(rest)?;
    let (_, rest) = take_vector::<1>(rest)?;
    let (_, rest) = take_vector::<2>(rest)?;
    let (_, rest) = take_vector::<1>(rest)?;
    let (mut extensions, _) = take_vector::<2>(rest)?;
    while let Some((kind, rest)) = extensions.split_first_chunk::<2>() {
        let (body, rest) = take_vector::<2>(rest)?;
        if u16::from_be_bytes(*kind) == SUPPORTED_VERSIONS {
            let (versions, _) = take_vector::<1>(body)?;
            let offers = |version: [u8; 2]| versions.chunks_exact(2).any(|one| one == version);
            return Some(offers(DTLS_1_3) && !offers(DTLS_1_2));
        }
        extensions = rest;
    }
    Some(false)
}

/// A vector behind its length of `N` bytes, and what follows it.
fn take_vector<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<N>()?;
    let len = len
        .iter()
        .fold(0, |len, byte| len << 8 | usize::from(*byte));
    rest.split_at_checked(len)
}

#[cfg(test)]
mod unit {
    use super::*;

    fn hello(versions: &[[u8; 2]], padding: usize) -> Vec<u8> {
        let mut extensions = vec![0, 21];
        extensions.extend((padding as u16).to_be_bytes());
        extensions.extend(vec![0; padding]);
        if !versions.is_empty() {
            let list = versions.concat();
            extensions.extend([0, 43]);
            extensions.extend((list.len() as u16 + 1).to_be_bytes());
            extensions.push(list.len() as u8);
            extensions.extend(list);
        }
        let mut hello = vec![0xFE, 0xFD];
        hello.extend([9; 32]);
        hello.extend([0, 0, 0, 2, 0xC0, 0x2B, 1, 0]);
        hello.extend((extensions.len() as u16).to_be_bytes());
        hello.extend(extensions);
        hello
    }

    fn record(hello: &[u8], start: usize, end: usize) -> Vec<u8> {
        let three = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
        let mut record = vec![22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend((12 + end as u16 - start as u16).to_be_bytes());
        record.push(1);
        record.extend(three(hello.len()));
        record.extend([0, 0]);
        record.extend(three(start));
        record.extend(three(end - start));
        record.extend(&hello[start..end]);
        record
    }

    #[test]
    fn the_versions_decide() {
        for (versions, verdict) in [
            (&[][..], Verdict::Any),
            (&[DTLS_1_2], Verdict::Any),
            (&[DTLS_1_3, DTLS_1_2], Verdict::Any),
            (&[DTLS_1_3], Verdict::Only13),
        ] {
            let hello = hello(versions, 0);
            let mut gathering = Gathering::default();
            assert_eq!(gathering.take(&record(&hello, 0, hello.len())), verdict);
            assert_eq!(gathering.into_datagrams().len(), 1);
        }
    }

    #[test]
    fn fragments_come_in_any_order_and_twice() {
        let hello = hello(&[DTLS_1_3], 1_500);
        let len = hello.len();
        let parts = [record(&hello, 700, len), record(&hello, 0, 500)];
        let last = [record(&hello, 400, 600), record(&hello, 600, 800)].concat();
        let mut gathering = Gathering::default();
        for part in parts.iter().chain(&parts) {
            assert_eq!(gathering.take(part), Verdict::Wait);
        }
        assert_eq!(gathering.take(&last), Verdict::Only13);
        assert_eq!(gathering.into_datagrams().len(), 5);
    }

    #[test]
    fn what_makes_no_sense_is_not_waited_for_long() {
        let hello = hello(&[DTLS_1_3], 100);
        let whole = record(&hello, 0, hello.len());
        // Not of a handshake: not even kept.
        let mut gathering = Gathering::default();
        for first in (0..=255).filter(|first| *first != HANDSHAKE) {
            assert_eq!(gathering.take(&[first; 40]), Verdict::Wait);
        }
        assert!(gathering.into_datagrams().is_empty());
        // Cut anywhere, nothing panics, and nothing is taken for DTLS 1.3.
        for cut in 0..whole.len() {
            assert_ne!(Gathering::default().take(&whole[..cut]), Verdict::Only13);
        }
        // Lengths that cannot be.
        for at in 13..whole.len() {
            let mut forged = whole.clone();
            forged[at] = 0xFF;
            let _ = Gathering::default().take(&forged);
        }
        // Fragments for ever.
        let mut gathering = Gathering::default();
        let verdicts = (0..MAX_DATAGRAMS).map(|_| gathering.take(&record(&hello, 1, 2)));
        assert_eq!(verdicts.last(), Some(Verdict::Any));
    }
}
