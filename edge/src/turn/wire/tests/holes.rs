//! What broke other parsers.

use std::net::SocketAddr;

use crate::turn::wire::{
    ChannelData, ChannelNumber, Class, DecodeError, Encoder, Message, Method, TransactionId,
};

fn begin() -> Encoder {
    Encoder::new(Class::Request, Method::Allocate, TransactionId([9; 12]))
}

/// A header in front of `attributes` that says `len`.
fn raw(len: u16, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = begin().finish();
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    bytes.extend(attributes);
    bytes
}

#[test]
fn what_is_no_message_is_refused() {
    let good = begin().username(b"x").finish();
    let changed = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    let table: &[(&str, Vec<u8>)] = &[
        ("nothing", vec![]),
        ("a byte short of a header", good[..19].to_vec()),
        ("a header without its attributes", good[..20].to_vec()),
        ("a byte short", good[..good.len() - 1].to_vec()),
        ("a byte too many", [good.as_slice(), &[0]].concat()),
        ("a word too many", [good.as_slice(), &[0; 4]].concat()),
        ("the third bit of the type", changed(0, 0x40)),
        ("the first bit of the type", changed(0, 0x80)),
        ("a wrong cookie", changed(4, 0x20)),
        ("a length of no multiple of four", raw(5, &[0; 5])),
        ("half a header of an attribute", raw(2, &[0, 6])),
        ("a length far beyond the end", raw(4, &[0, 6, 0xFF, 0xFF])),
        (
            "a length that wraps when it is padded",
            raw(8, &[0, 6, 0xFF, 0xFD, 1, 2, 3, 4]),
        ),
        (
            "a length that ends in the padding",
            raw(8, &[0, 6, 0, 5, 1, 2, 3, 4]),
        ),
        ("a header that says 65,535", raw(0xFFFF, &[0, 6, 0, 0])),
        ("a header that says 0", raw(0, &[0, 6, 0, 0])),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".to_vec(),
        ),
    ];
    for (what, bytes) in table {
        let error = Message::decode(bytes).unwrap_err();
        assert_eq!(error, DecodeError::NotStun, "{what}");
    }
}

#[test]
fn a_method_that_nobody_knows_is_told_apart() {
    for kind in [[0x00, 0x02], [0x00, 0x0D], [0x3E, 0xEF]] {
        let mut bytes = begin().finish();
        bytes[..2].copy_from_slice(&kind);
        assert_eq!(
            Message::decode(&bytes).unwrap_err(),
            DecodeError::UnknownMethod
        );
    }
}

#[test]
fn values_of_a_wrong_length_are_malformed() {
    let sizes: &[(u16, &[usize])] = &[
        (0x0006, &[509, 600]),
        (0x000C, &[0, 1, 3, 5, 8]),
        (0x000D, &[0, 1, 3, 5, 8]),
        (0x0012, &[0, 3, 4, 7, 9, 19, 21]),
        (0x0014, &[764]),
        (0x0015, &[764]),
        (0x0017, &[0, 1, 3, 5]),
        (0x0018, &[0]),
        (0x0019, &[0, 1, 3, 5]),
        (0x001D, &[0, 2, 3, 5, 8]),
        (0x001E, &[0, 31, 33]),
        (0x0022, &[0, 7, 9]),
        (0x002A, &[0, 3, 5]),
        (0x8000, &[0, 1, 5]),
        (0x0008, &[0, 19, 21, 24]),
        (0x001C, &[0, 12, 15, 17, 33, 36]),
    ];
    for (kind, lengths) in sizes {
        for len in *lengths {
            let bytes = begin().raw_attribute(*kind, &vec![1; *len]).finish();
            let message = Message::decode(&bytes).unwrap();
            assert!(message.attributes.is_malformed, "{kind:x} {len}");
            assert_eq!(message.mac(), None);
        }
    }
}

#[test]
fn of_duplicates_the_first_counts() {
    let one: SocketAddr = "1.2.3.4:5".parse().unwrap();
    let two: SocketAddr = "[2a01::5]:5".parse().unwrap();
    let bytes = begin()
        .username(b"first")
        .username(b"second")
        .lifetime(1)
        .lifetime(2)
        .xor_peer_address(one)
        .xor_peer_address(two)
        .finish();
    let message = Message::decode(&bytes).unwrap();
    assert_eq!(message.attributes.username, Some(b"first".as_slice()));
    assert_eq!(message.attributes.lifetime, Some(1));
    assert_eq!(message.attributes.xor_peer_address, Some(one));
    assert!(message.peers().eq([Some(one), Some(two)]));
}

#[test]
fn strange_bytes_in_a_username_are_bytes() {
    for name in [
        b"%s%n%x".as_slice(),
        b"\"'`;--",
        b"a\0b",
        b"",
        b"\xFF\xFE",
        &[b'a'; 508],
    ] {
        let bytes = begin().username(name).finish();
        let message = Message::decode(&bytes).unwrap();
        assert_eq!(message.attributes.username, Some(name));
        assert!(!message.attributes.is_malformed);
    }
}

#[test]
fn padding_is_sent_as_zero_and_read_as_anything() {
    for len in 0..9 {
        let mut bytes = begin().data(&vec![0xFF; len]).finish();
        assert!(bytes[24 + len..].iter().all(|byte| *byte == 0), "{len}");
        bytes[24 + len..].fill(0xAA);
        let message = Message::decode(&bytes).unwrap();
        assert_eq!(message.attributes.data, Some(vec![0xFF; len].as_slice()));
    }
}

#[test]
fn unknown_attributes_are_told_up_to_a_bound() {
    let bytes = (0..100).fold(begin(), |encoder, kind| {
        encoder
            .raw_attribute(0x7000 + kind, &[])
            .raw_attribute(0xC000 + kind, &[])
    });
    let bytes = bytes.finish();
    let message = Message::decode(&bytes).unwrap();
    assert!(message.unknown().iter().copied().eq(0x7000..0x7008));
}

#[test]
fn channel_data_are_no_longer_than_what_came() {
    let data = |bytes: &'static [u8]| ChannelData::decode(bytes).map(|message| message.data);
    assert_eq!(data(b"\x40\0\0\x04four"), Some(b"four".as_slice()));
    assert_eq!(data(b"\x40\0\0\x03four"), Some(b"fou".as_slice()));
    assert_eq!(data(b"\x40\0\0\0"), Some(b"".as_slice()));
    assert_eq!(data(b"\x40\0\0\x05four"), None);
    assert_eq!(data(b"\x40\0\xFF\xFFfour"), None);
    assert_eq!(data(b"\x40\0\0"), None);
    assert_eq!(data(b""), None);
}

#[test]
fn channel_numbers_end_at_0x4fff() {
    for number in 0..=u16::MAX {
        let is_one = (0x4000..=0x4FFF).contains(&number);
        assert_eq!(ChannelNumber::new(number).is_some(), is_one);
        let [n1, n2] = number.to_be_bytes();
        assert_eq!(ChannelData::decode(&[n1, n2, 0, 0]).is_some(), is_one);
    }
}
