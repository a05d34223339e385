//! What an integrity and a fingerprint protect, and what they do not.

use std::net::SocketAddr;

use crate::turn::wire::{
    Class, DecodeError, Encoder, IntegrityKey, Mac, Message, Method, TransactionId,
};

fn begin() -> Encoder {
    Encoder::new(Class::Request, Method::Allocate, TransactionId([9; 12]))
}

fn key() -> IntegrityKey {
    IntegrityKey::password("password")
}

#[test]
fn what_follows_an_integrity_is_ignored_but_for_the_stronger_and_the_fingerprint() {
    let peer: SocketAddr = "1.2.3.4:5".parse().unwrap();
    let bytes = begin()
        .username(b"signed")
        .integrity(Mac::Sha1, &key())
        .lifetime(7)
        .username(b"forged")
        .xor_peer_address(peer)
        .raw_attribute(0x7FFF, &[])
        .raw_attribute(0x000D, &[1])
        .integrity(Mac::Sha256, &key())
        .realm("forged")
        .fingerprint()
        .raw_attribute(0x7FFF, &[])
        .finish();
    let message = Message::decode(&bytes);
    // The fingerprint must be the last, with a length that says so.
    assert_eq!(message.unwrap_err(), DecodeError::Fingerprint);
    let bytes = &bytes[..bytes.len() - 4];
    let mut bytes = bytes.to_vec();
    let len = u16::try_from(bytes.len() - 20).unwrap();
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    let message = Message::decode(&bytes).unwrap();
    let said = &message.attributes;
    assert_eq!(said.username, Some(b"signed".as_slice()));
    assert_eq!(
        (said.lifetime, said.realm, said.xor_peer_address),
        (None, None, None)
    );
    assert!(said.has_fingerprint && !said.is_malformed && message.unknown().is_empty());
    assert_eq!(message.peers().count(), 0);
    assert_eq!(message.mac(), Some(Mac::Sha256));
    assert!(message.is_signed_with(&key()));
}

#[test]
fn only_the_first_of_two_integrities_of_a_kind_counts() {
    let forged = IntegrityKey::password("forged");
    for mac in [Mac::Sha1, Mac::Sha256] {
        let bytes = begin()
            .integrity(mac, &forged)
            .integrity(mac, &key())
            .finish();
        let message = Message::decode(&bytes).unwrap();
        assert!(!message.is_signed_with(&key()) && message.is_signed_with(&forged));
    }
    // SHA-1 behind the stronger one counts as little.
    let bytes = begin()
        .integrity(Mac::Sha256, &forged)
        .integrity(Mac::Sha1, &key())
        .finish();
    assert!(!Message::decode(&bytes).unwrap().is_signed_with(&key()));
    // And a wrong stronger one is not helped by a right weaker one.
    let bytes = begin()
        .integrity(Mac::Sha1, &key())
        .integrity(Mac::Sha256, &forged)
        .finish();
    assert!(!Message::decode(&bytes).unwrap().is_signed_with(&key()));
}

#[test]
fn a_truncated_sha256_is_taken_from_sixteen_bytes_on() {
    for len in [16, 20, 24, 28, 32] {
        let whole = begin().integrity(Mac::Sha256, &key()).finish();
        // What is signed says how long the value is, so it is signed as it will
        // be: with a value of that length.
        let tag = key().sign(Mac::Sha256, &whole[..20], len);
        let bytes = begin().raw_attribute(0x001C, &tag.as_ref()[..len]).finish();
        assert!(
            Message::decode(&bytes).unwrap().is_signed_with(&key()),
            "{len}"
        );
        let tag: Vec<u8> = tag.as_ref()[..len].iter().map(|byte| !byte).collect();
        let bytes = begin().raw_attribute(0x001C, &tag).finish();
        assert!(
            !Message::decode(&bytes).unwrap().is_signed_with(&key()),
            "{len}"
        );
    }
}

#[test]
fn a_wrong_fingerprint_is_no_message() {
    let bytes = begin().username(b"x").fingerprint().finish();
    assert!(Message::decode(&bytes).unwrap().attributes.has_fingerprint);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let message = Message::decode(&changed);
        assert!(
            !message.is_ok_and(|message| message.attributes.has_fingerprint),
            "{at}"
        );
    }
    for value in [[].as_slice(), &[0; 3], &[0; 8]] {
        let bytes = begin().raw_attribute(0x8028, value).finish();
        assert_eq!(
            Message::decode(&bytes).unwrap_err(),
            DecodeError::Fingerprint
        );
    }
}
