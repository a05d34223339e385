//! Against somebody else's codec (`hickory-proto`): what it encodes is read here, and
//! what both read they read alike.

use hickory_proto::{
    op::{Edns as TheirEdns, Message, Query as TheirQuery},
    rr::{Name as TheirName, RecordType},
    serialize::binary::{BinDecodable, BinEncodable},
};
use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn what_others_encode_is_read(
        id: u16,
        labels in prop::collection::vec("[a-zA-Z0-9_]{1,20}", 0..8),
        kind in 1..1000_u16,
        payload: u16,
        has_edns: bool,
        is_dnssec_ok: bool,
    ) {
        let edns = has_edns.then(|| {
            let mut edns = TheirEdns::new();
            edns.set_max_payload(payload).set_dnssec_ok(is_dnssec_ok);
            edns
        });
        let mut bytes = theirs(&labels, kind, edns);
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        let query = parse(&bytes).unwrap();
        prop_assert_eq!(query.head.id, id);
        let question = query.question.unwrap();
        prop_assert_eq!(question.kind.0, kind);
        let ours = Name::from(&question.name).to_string();
        let text = labels.join(".").to_lowercase() + ".";
        prop_assert_eq!(ours, text);
        prop_assert_eq!(query.edns.is_some(), has_edns);
        if let Some(edns) = query.edns {
            // RFC 6891 §6.2.3: theirs has a floor.
            prop_assert_eq!(edns.payload.max(512), payload.max(512));
            prop_assert_eq!(edns.is_dnssec_ok, is_dnssec_ok);
        }
    }

    /// Near a query, what is read here others read too, and alike.
    #[test]
    fn what_is_read_others_read_too(
        labels in prop::collection::vec("[a-zA-Z0-9_]{1,20}", 0..8),
        kind in 1..1000_u16,
        has_edns: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = theirs(&labels, kind, has_edns.then(TheirEdns::new));
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let Ok(query) = parse(&bytes) else {
            return Ok(());
        };
        // Records that are stepped over here are read by the other parser.
        if bytes[6..12] == [0, 0, 0, 0, 0, u8::from(query.edns.is_some())] {
            let theirs = Message::from_bytes(&bytes);
            prop_assert!(theirs.is_ok(), "{query:?}: {theirs:?}");
            let theirs = theirs.unwrap();
            prop_assert_eq!(theirs.metadata.id, query.head.id);
            let asked = query.question.map(|question| question.kind.0);
            let they = theirs.queries.first();
            prop_assert_eq!(asked, they.map(|they| u16::from(they.query_type())));
            prop_assert_eq!(query.edns.is_some(), theirs.edns.is_some());
        }
    }
}

/// A query in others' words.
fn theirs(labels: &[String], kind: u16, edns: Option<TheirEdns>) -> Vec<u8> {
    let name = TheirName::from_ascii(labels.join(".") + ".").unwrap();
    let mut message = Message::query();
    message
        .queries
        .push(TheirQuery::query(name, RecordType::from(kind)));
    message.edns = edns;
    message.to_bytes().unwrap()
}

#[test]
fn data_is_written_with_its_names_shortened() {
    let name = |text: &str| text.parse::<Name>().unwrap();
    let apex = name("inlet.example");
    let data = Rdata::default()
        .with_name(&name("ns1.inlet.example"), &apex)
        .with_name(&name("other.example"), &apex)
        .with_name(&apex, &apex);
    let mut out = vec![9];
    data.write(0xc011, &mut out);
    let expected = [
        &b"\x09\x03ns1\xc0\x11"[..],
        b"\x05other\x07example\x00",
        b"\xc0\x11",
    ];
    assert_eq!(out, expected.concat());
    assert_eq!(data.len(), out.len() - 1);
}
