//! The codec opposite another one: what one writes the other reads.

use std::net::SocketAddr;

use proptest::prelude::*;
use rtc_stun::{
    attributes as types, fingerprint::FINGERPRINT, integrity::MessageIntegrity, message as other,
    message::Setter as _, textattrs::TextAttribute, xoraddr::XorMappedAddress,
};

use crate::turn::{
    auth::long_term_key,
    wire::{
        Class, Encoder, ErrorCode, IntegrityKey, Mac, Message, Method, PasswordAlgorithm,
        TransactionId,
    },
};

const REALM: &str = "inlet";

fn key(username: &str, password: &str) -> IntegrityKey {
    long_term_key(PasswordAlgorithm::Md5, username.as_bytes(), REALM, password)
}

fn addresses() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        any::<([u8; 16], u16)>().prop_map(SocketAddr::from),
    ]
}

/// Class and method, in both languages.
fn kinds() -> impl Strategy<Value = (Class, Method, other::MessageType)> {
    let classes = [
        (Class::Request, other::CLASS_REQUEST),
        (Class::Indication, other::CLASS_INDICATION),
        (Class::Success, other::CLASS_SUCCESS_RESPONSE),
        (Class::Error, other::CLASS_ERROR_RESPONSE),
    ];
    let methods = [
        (Method::Binding, other::METHOD_BINDING),
        (Method::Allocate, other::METHOD_ALLOCATE),
        (Method::Refresh, other::METHOD_REFRESH),
        (Method::Send, other::METHOD_SEND),
        (Method::Data, other::METHOD_DATA),
        (Method::CreatePermission, other::METHOD_CREATE_PERMISSION),
        (Method::ChannelBind, other::METHOD_CHANNEL_BIND),
        (Method::Connect, other::METHOD_CONNECT),
        (Method::ConnectionBind, other::METHOD_CONNECTION_BIND),
        (Method::ConnectionAttempt, other::METHOD_CONNECTION_ATTEMPT),
    ];
    (0..classes.len(), 0..methods.len()).prop_map(move |(class, method)| {
        let (class, other_class) = classes[class];
        let (method, other_method) = methods[method];
        (
            class,
            method,
            other::MessageType::new(other_method, other_class),
        )
    })
}

fn text(message: &other::Message, kind: types::AttrType) -> String {
    TextAttribute::get_from_as(message, kind).unwrap().text
}

proptest! {
    #[test]
    fn another_codec_reads_what_we_write(
        (class, method, kind) in kinds(),
        transaction in any::<[u8; 12]>(),
        (username, password) in ("[ -~]{1,100}", "[ -~]{0,40}"),
        (mapped, peer) in (addresses(), addresses()),
        data in prop::collection::vec(any::<u8>(), 0..300),
        lifetime in any::<u32>(),
    ) {
        let bytes = Encoder::new(class, method, TransactionId(transaction))
            .username(username.as_bytes())
            .realm(REALM)
            .xor_mapped_address(mapped)
            .xor_peer_address(peer)
            .lifetime(lifetime)
            .data(&data)
            .integrity(Mac::Sha1, &key(&username, &password))
            .fingerprint()
            .finish();
        let mut message = other::Message::new();
        message.unmarshal_binary(&bytes).unwrap();
        prop_assert_eq!(message.typ, kind);
        prop_assert_eq!(message.transaction_id.0, transaction);
        prop_assert_eq!(text(&message, types::ATTR_USERNAME), username.as_str());
        prop_assert_eq!(text(&message, types::ATTR_REALM), REALM);
        for (kind, expected) in [
            (types::ATTR_XORMAPPED_ADDRESS, mapped),
            (types::ATTR_XOR_PEER_ADDRESS, peer),
        ] {
            let mut read = XorMappedAddress::default();
            read.get_from_as(&message, kind).unwrap();
            prop_assert_eq!(SocketAddr::new(read.ip, read.port), expected);
        }
        prop_assert_eq!(message.get(types::ATTR_DATA).unwrap(), data);
        let said = message.get(types::ATTR_LIFETIME).unwrap();
        prop_assert_eq!(said, lifetime.to_be_bytes());
        FINGERPRINT.check(&message).unwrap();
        let crypto = rtc_crypto::default_provider().unwrap();
        let (realm, crypto) = (REALM.to_owned(), crypto.crypto());
        let key = MessageIntegrity::long_term_integrity_key(username, realm, password, crypto);
        MessageIntegrity::check(&mut message, &key.unwrap(), crypto).unwrap();
    }

    #[test]
    fn we_read_what_another_codec_writes(
        (class, method, kind) in kinds(),
        transaction in any::<[u8; 12]>(),
        (username, password) in ("[ -~]{1,100}", "[ -~]{0,40}"),
        (mapped, peer) in (addresses(), addresses()),
        data in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut message = other::Message::new();
        let crypto = rtc_crypto::default_provider().unwrap();
        let integrity = MessageIntegrity::new_long_term_integrity_with_provider(
            username.clone(),
            REALM.to_owned(),
            password.clone(),
            crypto.crypto(),
        );
        message.build(&[Box::new(other::TransactionId(transaction)), Box::new(kind)]).unwrap();
        for (kind, text) in [(types::ATTR_USERNAME, &username), (types::ATTR_REALM, &REALM.to_owned())] {
            TextAttribute::new(kind, text.clone()).add_to(&mut message).unwrap();
        }
        for (kind, address) in [
            (types::ATTR_XORMAPPED_ADDRESS, mapped),
            (types::ATTR_XOR_PEER_ADDRESS, peer),
        ] {
            let xor = XorMappedAddress { ip: address.ip(), port: address.port() };
            xor.add_to_as(&mut message, kind).unwrap();
        }
        message.add(types::ATTR_DATA, &data);
        integrity.unwrap().add_to(&mut message).unwrap();
        FINGERPRINT.add_to(&mut message).unwrap();
        let bytes = message.marshal_binary().unwrap();
        let message = Message::decode(&bytes).unwrap();
        prop_assert_eq!((message.class, message.method), (class, method));
        prop_assert_eq!(message.transaction, TransactionId(transaction));
        let said = &message.attributes;
        prop_assert_eq!(said.username, Some(username.as_bytes()));
        prop_assert_eq!(said.realm, Some(REALM.as_bytes()));
        prop_assert_eq!(said.xor_mapped_address, Some(mapped));
        prop_assert_eq!(said.xor_peer_address, Some(peer));
        prop_assert_eq!(said.data, Some(data.as_slice()));
        prop_assert!(said.has_fingerprint && !said.is_malformed);
        prop_assert!(message.is_signed_with(&key(&username, &password)));
        prop_assert!(!message.is_signed_with(&key(&username, "another password")));
    }
}

#[test]
fn another_codec_reads_our_errors() {
    use rtc_stun::{error_code::ErrorCodeAttribute, message::Getter as _};
    for code in ErrorCode::ALL {
        for with_reason in [false, true] {
            let id = TransactionId([1; 12]);
            let bytes = Encoder::new(Class::Error, Method::Allocate, id)
                .error(code, with_reason)
                .finish();
            let mut message = other::Message::new();
            message.unmarshal_binary(&bytes).unwrap();
            let mut read = ErrorCodeAttribute::default();
            read.get_from(&message).unwrap();
            let (number, reason) = code.parts();
            assert_eq!(read.code.0, number);
            let reason = if with_reason { reason } else { "" };
            assert_eq!(read.reason, reason.as_bytes());
        }
    }
}
