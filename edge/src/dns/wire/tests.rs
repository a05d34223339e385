//! Against somebody else's codec (`hickory-proto`): what it encodes is read here, and
//! what both read they read alike.

use hickory_proto::{
    op::{Edns as TheirEdns, Message, OpCode, Query as TheirQuery},
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
        let name = TheirName::from_ascii(labels.join(".") + ".").unwrap();
        let mut theirs = Message::query();
        theirs.metadata.id = id;
        theirs.queries.push(TheirQuery::query(name, RecordType::from(kind)));
        if has_edns {
            let mut edns = TheirEdns::new();
            edns.set_max_payload(payload).set_dnssec_ok(is_dnssec_ok);
            theirs.edns = Some(edns);
        }
        let bytes = theirs.to_bytes().unwrap();
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

    /// What is read here as a query, others can read.
    #[test]
    fn what_is_read_others_read_too(
        mut bytes in prop::collection::vec(any::<u8>(), 12..80),
        additional in 0..2_u8,
    ) {
        bytes[2] &= 0x07;
        bytes[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, additional]);
        if let Ok(query) = parse(&bytes) {
            let theirs = Message::from_bytes(&bytes);
            prop_assert!(theirs.is_ok(), "{query:?}: {theirs:?}");
            let theirs = theirs.unwrap();
            prop_assert_eq!(theirs.metadata.op_code, OpCode::Query);
            prop_assert_eq!(theirs.queries.len(), 1);
        }
    }
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
