//! What is encoded is decoded again, and junk is only junk.

use std::net::SocketAddr;

use proptest::prelude::*;

use crate::turn::wire::{
    ChannelData, ChannelNumber, Class, ConnectionId, Encoder, ErrorCode, Family, IntegrityKey, Mac,
    Message, Method, PasswordAlgorithm, ReservationToken, TransactionId, Transport,
};

const METHODS: [Method; 10] = [
    Method::Binding,
    Method::Allocate,
    Method::Refresh,
    Method::Send,
    Method::Data,
    Method::CreatePermission,
    Method::ChannelBind,
    Method::Connect,
    Method::ConnectionBind,
    Method::ConnectionAttempt,
];
const CLASSES: [Class; 4] = [
    Class::Request,
    Class::Indication,
    Class::Success,
    Class::Error,
];

fn addresses() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        any::<([u8; 16], u16)>().prop_map(SocketAddr::from),
    ]
}

fn key() -> IntegrityKey {
    IntegrityKey::md5([5; 16])
}

proptest! {
    #[test]
    fn a_request_comes_back_as_it_went(
        transaction in any::<[u8; 12]>(),
        (class, method) in (prop::sample::select(&CLASSES), prop::sample::select(&METHODS)),
        username in prop::collection::vec(any::<u8>(), 0..=508),
        nonce in prop::collection::vec(any::<u8>(), 0..100),
        peers in prop::collection::vec(addresses(), 0..10),
        data in prop::collection::vec(any::<u8>(), 0..1_500),
        (lifetime, protocol, number) in (any::<u32>(), any::<u8>(), 0x4000_u16..=0x4FFF),
        (reserve_next, with_sha256, with_fingerprint) in any::<(bool, bool, bool)>(),
    ) {
        let number = ChannelNumber::new(number).unwrap();
        let mut encoder = Encoder::new(class, method, TransactionId(transaction))
            .username(&username)
            .nonce(&nonce)
            .lifetime(lifetime)
            .requested_transport(protocol)
            .channel_number(number)
            .even_port(reserve_next)
            .data(&data);
        for peer in &peers {
            encoder = encoder.xor_peer_address(*peer);
        }
        let mac = if with_sha256 { Mac::Sha256 } else { Mac::Sha1 };
        encoder = encoder.integrity(mac, &key());
        if with_fingerprint {
            encoder = encoder.fingerprint();
        }
        let bytes = encoder.finish();
        let message = Message::decode(&bytes).unwrap();
        prop_assert_eq!((message.class, message.method), (class, method));
        prop_assert_eq!(message.transaction, TransactionId(transaction));
        prop_assert_eq!(message.wire_len(), bytes.len());
        let said = &message.attributes;
        prop_assert_eq!(said.username, Some(username.as_slice()));
        prop_assert_eq!(said.nonce, Some(nonce.as_slice()));
        prop_assert_eq!(said.data, Some(data.as_slice()));
        prop_assert_eq!(said.lifetime, Some(lifetime));
        prop_assert_eq!(said.channel_number, Some(number.get()));
        prop_assert_eq!(said.even_port.map(|even| even.reserve_next), Some(reserve_next));
        let transport = match protocol {
            17 => Transport::Udp,
            6 => Transport::Tcp,
            other => Transport::Other(other),
        };
        prop_assert_eq!(said.requested_transport, Some(transport));
        prop_assert!(message.peers().eq(peers.iter().copied().map(Some)));
        prop_assert_eq!(said.has_fingerprint, with_fingerprint);
        prop_assert!(!said.is_malformed && message.unknown().is_empty());
        prop_assert_eq!(message.mac(), Some(mac));
        prop_assert!(message.is_signed_with(&key()));
        prop_assert!(!message.is_signed_with(&IntegrityKey::md5([6; 16])));
    }

    #[test]
    fn an_answer_comes_back_as_it_went(
        (mapped, relayed) in (addresses(), addresses()),
        (token, connection, hash) in any::<([u8; 8], u32, [u8; 32])>(),
        code in prop::sample::select(&ErrorCode::ALL),
        is_v6 in any::<bool>(),
    ) {
        let family = if is_v6 { Family::V6 } else { Family::V4 };
        let bytes = Encoder::new(Class::Error, Method::Allocate, TransactionId([1; 12]))
            .error(code, is_v6)
            .xor_mapped_address(mapped)
            .xor_relayed_address(relayed)
            .reservation_token(ReservationToken(token))
            .connection_id(ConnectionId(connection))
            .userhash(&hash)
            .requested_family(family)
            .additional_family(family)
            .password_algorithms()
            .password_algorithm(PasswordAlgorithm::Sha256)
            .realm("inlet")
            .dont_fragment()
            .finish();
        let message = Message::decode(&bytes).unwrap();
        let said = &message.attributes;
        prop_assert_eq!(said.error_code, Some(code.number()));
        prop_assert_eq!(said.xor_mapped_address, Some(mapped));
        prop_assert_eq!(said.xor_relayed_address, Some(relayed));
        prop_assert_eq!(said.reservation_token, Some(ReservationToken(token)));
        prop_assert_eq!(said.connection_id, Some(ConnectionId(connection)));
        prop_assert_eq!(said.userhash, Some(&hash));
        prop_assert_eq!(said.requested_family, Some(Ok(family)));
        prop_assert_eq!(said.additional_family, Some(Ok(family)));
        prop_assert_eq!(said.password_algorithm, Some(PasswordAlgorithm::Sha256));
        prop_assert_eq!(said.password_algorithms, Some(PasswordAlgorithm::OFFERED.as_slice()));
        prop_assert!(said.dont_fragment && !said.is_malformed);
    }

    #[test]
    fn channel_data_come_back_as_they_went(
        number in 0x4000_u16..=0x4FFF,
        data in prop::collection::vec(any::<u8>(), 0..1_500),
        padding in 0_usize..4,
    ) {
        let number = ChannelNumber::new(number).unwrap();
        let header = number.header(u16::try_from(data.len()).unwrap());
        let bytes = [header.as_slice(), &data, &vec![0; padding]].concat();
        let data = data.as_slice();
        prop_assert_eq!(ChannelData::decode(&bytes), Some(ChannelData { number, data }));
    }

    #[test]
    fn junk_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let peers = Message::decode(&bytes).map_or(0, |message| message.peers().count());
        prop_assert!(peers <= bytes.len() / 4);
        let data = ChannelData::decode(&bytes);
        prop_assert!(data.is_none_or(|message| message.data.len() + 4 <= bytes.len()));
    }

    #[test]
    fn junk_behind_a_good_header_never_panics(
        kind in prop::sample::select(&[0x0001_u16, 0x0003, 0x0016, 0x0008][..]),
        words in prop::collection::vec(
            // Types and small lengths are likelier than chance has them.
            prop_oneof![
                any::<[u8; 4]>(),
                (0_u8..0x30, 0_u8..40).prop_map(|(kind, len)| [0, kind, 0, len]),
                (0_u8..0x2A, 0_u8..40).prop_map(|(kind, len)| [0x80, kind, 0, len]),
            ],
            0..40,
        ),
    ) {
        let body = words.concat();
        let len = u16::try_from(body.len()).unwrap();
        let header = [kind.to_be_bytes(), len.to_be_bytes(), [0x21, 0x12], [0xA4, 0x42]];
        let bytes = [header.concat().as_slice(), &[7; 12], &body].concat();
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert!(message.peers().count() <= words.len());
            prop_assert!(!message.is_signed_with(&key()));
        }
    }
}

#[test]
fn every_class_and_method_comes_back() {
    for method in METHODS {
        for class in CLASSES {
            let bytes = Encoder::new(class, method, TransactionId([1; 12])).finish();
            let message = Message::decode(&bytes).unwrap();
            assert_eq!((message.class, message.method), (class, method));
        }
    }
}
