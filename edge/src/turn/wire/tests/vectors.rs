//! The vectors of RFC 5769 and of RFC 8489, appendix B.1.

use std::net::SocketAddr;

use crate::turn::{
    auth::{long_term_key, userhash},
    wire::{Class, Encoder, IntegrityKey, Mac, Message, Method, PasswordAlgorithm, TransactionId},
};

const SHORT_TERM_PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const SHORT_TERM_TRANSACTION: &str = "b7e7a701bc34d686fa87dfae";
const LONG_TERM_TRANSACTION: &str = "78ad3433c6ad72c029da412e";

/// "Matrix", before and after its preparation.
const USERNAME: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
const REALM: &str = "example.org";
/// After its preparation.
const PASSWORD: &str = "TheMatrIX";

/// RFC 5769 §2.1; its padding is of spaces.
const REQUEST: &str = "\
    00010058 2112a442 b7e7a701 bc34d686 fa87dfae\
    80220010 5354554e 20746573 7420636c 69656e74\
    00240004 6e0001ff\
    80290008 932ff9b1 51263b36\
    00060009 6576746a 3a683676 59202020\
    00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2\
    80280004 e57a3bcf";

/// RFC 5769 §2.2.
const RESPONSE_V4: &str = "\
    0101003c 2112a442 b7e7a701 bc34d686 fa87dfae\
    8022000b 74657374 20766563 746f7220\
    00200008 0001a147 e112a643\
    00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7\
    80280004 c07d4c96";

/// RFC 5769 §2.3.
const RESPONSE_V6: &str = "\
    01010048 2112a442 b7e7a701 bc34d686 fa87dfae\
    8022000b 74657374 20766563 746f7220\
    00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9\
    00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41\
    80280004 c8fb0b4c";

/// RFC 5769 §2.4.
const LONG_TERM: &str = "\
    00010060 2112a442 78ad3433 c6ad72c0 29da412e\
    00060012 e3839ee3 8388e383 aae38383 e382afe3 82b90000\
    0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341\
    0014000b 6578616d 706c652e 6f726700\
    00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666";

/// RFC 8489, appendix B.1, with erratum 6268.
const LONG_TERM_SHA256: &str = "\
    00010090 2112a442 78ad3433 c6ad72c0 29da412e\
    001e0020 4a3cf38f ef6992bd a952c678 0417da0f 24819415 569e60b2 05c46e41 407f1704\
    00150029 6f624d61 744a6f73 32414141 43662f2f 3439396b 39353464 364f4c33 346f4c39\
             46535476 79363473 41000000\
    0014000b 6578616d 706c652e 6f726700\
    001d0004 00020000\
    001c0020 b5c7bf00 5b6c52a2 1c51c5e8 92f81924 136296cb 927c4314 9309278c c6518e65";

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

fn transaction(text: &str) -> TransactionId {
    TransactionId(bytes(text).try_into().unwrap())
}

#[test]
fn the_sample_request_is_read_and_believed() {
    let raw = bytes(REQUEST);
    let message = Message::decode(&raw).unwrap();
    assert_eq!(
        (message.class, message.method),
        (Class::Request, Method::Binding)
    );
    assert_eq!(message.transaction, transaction(SHORT_TERM_TRANSACTION));
    assert_eq!(message.attributes.username, Some(b"evtj:h6vY".as_slice()));
    assert!(message.attributes.has_fingerprint && !message.attributes.is_malformed);
    // PRIORITY is ICE's.
    assert_eq!(message.unknown(), [0x0024]);
    assert_eq!(message.mac(), Some(Mac::Sha1));
    assert!(message.is_signed_with(&IntegrityKey::password(SHORT_TERM_PASSWORD)));
    assert!(!message.is_signed_with(&IntegrityKey::password("VOkJxbRl1RmTxUk/WvJxBu")));
}

#[test]
fn the_sample_responses_are_read_and_written() {
    let v4 = "192.0.2.1:32853";
    let v6 = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
    for (text, address) in [(RESPONSE_V4, v4), (RESPONSE_V6, v6)] {
        let address: SocketAddr = address.parse().unwrap();
        let raw = bytes(text);
        let key = IntegrityKey::password(SHORT_TERM_PASSWORD);
        let message = Message::decode(&raw).unwrap();
        assert_eq!(
            (message.class, message.method),
            (Class::Success, Method::Binding)
        );
        assert_eq!(message.attributes.xor_mapped_address, Some(address));
        assert!(message.attributes.has_fingerprint && message.is_signed_with(&key));
        // The sample pads SOFTWARE with a space, which we do not: its value is
        // written with its padding, and its length set right after that.
        let id = transaction(SHORT_TERM_TRANSACTION);
        let mut front = Encoder::new(Class::Success, Method::Binding, id)
            .raw_attribute(0x8022, b"test vector ")
            .xor_mapped_address(address)
            .finish();
        front[23] = 11;
        assert_eq!(front[20..], raw[20..front.len()]);
    }
}

#[test]
fn the_long_term_request_is_read_and_written() {
    let raw = bytes(LONG_TERM);
    let key = long_term_key(PasswordAlgorithm::Md5, USERNAME.as_bytes(), REALM, PASSWORD);
    let message = Message::decode(&raw).unwrap();
    assert_eq!(message.attributes.username, Some(USERNAME.as_bytes()));
    assert_eq!(message.attributes.realm, Some(REALM.as_bytes()));
    assert!(message.is_signed_with(&key));
    let id = transaction(LONG_TERM_TRANSACTION);
    let written = Encoder::new(Class::Request, Method::Binding, id)
        .username(USERNAME.as_bytes())
        .nonce(b"f//499k954d6OL34oL9FSTvy64sA")
        .realm(REALM)
        .integrity(Mac::Sha1, &key)
        .finish();
    assert_eq!(hex::encode(written), hex::encode(raw));
}

#[test]
fn the_long_term_request_with_sha256_and_userhash_is_read_and_written() {
    let raw = bytes(LONG_TERM_SHA256);
    let name = USERNAME.as_bytes();
    let key = long_term_key(PasswordAlgorithm::Sha256, name, REALM, PASSWORD);
    let hash = userhash(name, REALM);
    let message = Message::decode(&raw).unwrap();
    assert_eq!(message.attributes.userhash, Some(&hash));
    assert_eq!(
        message.attributes.password_algorithm,
        Some(PasswordAlgorithm::Sha256)
    );
    assert_eq!(message.mac(), Some(Mac::Sha256));
    assert!(message.is_signed_with(&key));
    let id = transaction(LONG_TERM_TRANSACTION);
    let written = Encoder::new(Class::Request, Method::Binding, id)
        .userhash(&hash)
        .nonce(b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA")
        .realm(REALM)
        .password_algorithm(PasswordAlgorithm::Sha256)
        .integrity(Mac::Sha256, &key)
        .finish();
    assert_eq!(hex::encode(written), hex::encode(raw));
}

#[test]
fn no_changed_bit_of_a_vector_is_believed() {
    let short = IntegrityKey::password(SHORT_TERM_PASSWORD);
    let name = USERNAME.as_bytes();
    let md5 = long_term_key(PasswordAlgorithm::Md5, name, REALM, PASSWORD);
    let sha256 = long_term_key(PasswordAlgorithm::Sha256, name, REALM, PASSWORD);
    for (text, key) in [
        (REQUEST, &short),
        (RESPONSE_V4, &short),
        (LONG_TERM, &md5),
        (LONG_TERM_SHA256, &sha256),
    ] {
        let raw = bytes(text);
        // A FINGERPRINT of another type is an attribute that nobody must know.
        let end = match Message::decode(&raw).unwrap().attributes.has_fingerprint {
            true => raw.len() - 8,
            false => raw.len(),
        };
        for bit in 0..end * 8 {
            let mut changed = raw.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let message = Message::decode(&changed);
            assert!(
                !message.is_ok_and(|message| message.is_signed_with(key)),
                "{bit}"
            );
        }
    }
}
