//! Against somebody else's codec (`hickory-proto`): what it encodes is read here, what
//! both read they read alike, and what one refuses the other does too, but for reasons
//! that have a name.

use std::collections::BTreeSet;

use hickory_proto::{
    op::{Edns as TheirEdns, Message, Query as TheirQuery},
    rr::{
        Name as TheirName, RecordType,
        rdata::opt::{ClientSubnet as TheirSubnet, EdnsOption},
    },
    serialize::binary::BinEncodable,
};
use proptest::prelude::*;

use super::{
    oracle::{Known, compare},
    *,
};

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

    /// Near a query, both read alike, and refuse alike but for reasons that have a name.
    #[test]
    fn others_read_alike_and_refuse_alike(
        labels in prop::collection::vec("[a-zA-Z0-9_]{1,20}", 0..8),
        kind in 1..1000_u16,
        edns in prop::option::of(their_edns()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        behind in prop::collection::vec(any::<u8>(), 0..2),
    ) {
        let mut bytes = theirs(&labels, kind, edns);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.extend(behind);
        let compared = compare(&bytes);
        prop_assert!(compared.is_ok(), "{}", compared.unwrap_err());
    }
}

/// OPT with whatever is heeded here.
fn their_edns() -> impl Strategy<Value = TheirEdns> {
    let subnet = prop::option::of((any::<bool>(), any::<[u8; 16]>(), 0..=32_u8));
    let cookie = prop::option::of(prop::collection::vec(any::<u8>(), 0..44));
    let parts = (any::<u16>(), any::<bool>(), subnet, cookie, any::<bool>());
    parts.prop_map(|(payload, is_dnssec_ok, subnet, cookie, wants_nsid)| {
        let mut edns = TheirEdns::new();
        edns.set_max_payload(payload).set_dnssec_ok(is_dnssec_ok);
        let options = edns.options_mut();
        if let Some((is_ipv4, address, source)) = subnet {
            let [a, b, c, d, ..] = address;
            let address = match is_ipv4 {
                true => [a, b, c, d].into(),
                false => address.into(),
            };
            options.insert(EdnsOption::Subnet(TheirSubnet::new(address, source, 0)));
        }
        if let Some(cookie) = cookie {
            options.insert(EdnsOption::Unknown(10, cookie));
        }
        if wants_nsid {
            options.insert(EdnsOption::Unknown(3, Vec::new()));
        }
        edns
    })
}

/// Each reason for which ours alone refuses, and no other for it.
#[test]
fn what_others_read_is_refused_for_reasons_with_a_name() {
    let plain = |edns| theirs(&["inlet".to_owned(), "example".to_owned()], 1, edns);
    let with = |code: u16, data: &[u8]| {
        let mut edns = TheirEdns::new();
        let option = EdnsOption::Unknown(code, data.to_vec());
        edns.options_mut().insert(option);
        plain(Some(edns))
    };
    let changed = |at: usize, value: u8| {
        let mut bytes = plain(None);
        bytes[at] = value;
        bytes
    };
    let header = |questions: u8| vec![0, 1, 0, 0, 0, questions, 0, 0, 0, 0, 0, 0];
    let mut version = plain(Some(TheirEdns::new()));
    let at = version.len() - 5;
    version[at] = 1;
    let mut cut = with(65_001, &[0; 4]);
    let at = cut.len() - 5;
    cut[at] = 5;
    let record = [0, 0, 16, 0, 1, 0, 0, 0, 0, 0, 2, 1, b'x'];
    let mut many = plain(None);
    many[11] = 9;
    many.extend(record.repeat(9));
    let mut pointer = header(1);
    pointer.extend([0xc0, 6, 0, 1, 0, 1]);
    let cases = [
        (changed(2, 0x80), Known::Response),
        (changed(2, 0x28), Known::OtherOpcode),
        (header(0), Known::Questions),
        (pointer, Known::PointerInQuestion),
        (many, Known::ManyRecords),
        ([plain(None), vec![0]].concat(), Known::Behind),
        (version, Known::OtherVersion),
        (with(8, &[0, 1, 8, 0, 10, 9]), Known::Subnet),
        (with(8, &[0, 1, 9, 0, 10, 0x7f]), Known::Subnet),
        (with(8, &[0, 1, 8, 8, 10]), Known::Subnet),
        (with(10, &[0; 9]), Known::Cookie),
        (cut, Known::Options),
    ];
    let mut seen = BTreeSet::new();
    for (bytes, known) in cases {
        let told = compare(&bytes).unwrap_or_else(|differs| panic!("{known:?}: {differs}"));
        assert_eq!(told, Some(known), "{bytes:02x?}");
        seen.insert(known);
    }
    assert_eq!(seen.len(), 10, "each of them");
    assert_eq!(compare(&plain(Some(TheirEdns::new()))).unwrap(), None);
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
