//! Requests that are refused, by code: what is wrong with an Allocate (RFC 8656
//! §7.2), and what other requests get without one.

use super::{
    Caller, Rig,
    caller::{new_transaction, unsigned},
    rig::{PEER, REALM, at},
};
use crate::turn::wire::{Class, Encoder, Family, Mac, Method, ReservationToken};

const TOKEN: ReservationToken = ReservationToken([7; 8]);
const REQUESTED_TRANSPORT: u16 = 0x0019;
const REQUESTED_FAMILY: u16 = 0x0017;
const ADDITIONAL_FAMILY: u16 = 0x8000;

fn udp(encoder: Encoder) -> Encoder {
    encoder.requested_transport(17)
}

/// What is wrong with an Allocate, how it is asked for, and the code that it gets
/// by UDP.
struct Wrong(&'static str, fn(Encoder) -> Encoder, u16);

const WRONG: &[Wrong] = &[
    Wrong("no transport", |encoder| encoder, 400),
    Wrong("SCTP", |encoder| encoder.requested_transport(132), 442),
    Wrong("TCP by UDP", |encoder| encoder.requested_transport(6), 400),
    Wrong(
        "a short transport",
        |encoder| encoder.raw_attribute(REQUESTED_TRANSPORT, &[17]),
        400,
    ),
    Wrong(
        "a long lifetime",
        |encoder| udp(encoder).raw_attribute(0x000D, &[0; 8]),
        400,
    ),
    Wrong(
        "a token and an even port",
        |encoder| udp(encoder).reservation_token(TOKEN).even_port(false),
        400,
    ),
    Wrong(
        "a token and a family",
        |encoder| {
            udp(encoder)
                .reservation_token(TOKEN)
                .requested_family(Family::V4)
        },
        400,
    ),
    Wrong(
        "a token and another family",
        |encoder| {
            udp(encoder)
                .reservation_token(TOKEN)
                .additional_family(Family::V6)
        },
        400,
    ),
    Wrong(
        "a token that nobody was given",
        |encoder| udp(encoder).reservation_token(TOKEN),
        508,
    ),
    Wrong(
        "a short token",
        |encoder| udp(encoder).raw_attribute(0x0022, &[7; 4]),
        400,
    ),
    Wrong(
        "one family and another",
        |encoder| {
            udp(encoder)
                .requested_family(Family::V4)
                .additional_family(Family::V6)
        },
        400,
    ),
    Wrong(
        "IPv4 in addition",
        |encoder| udp(encoder).additional_family(Family::V4),
        400,
    ),
    Wrong(
        "another family and a pair",
        |encoder| udp(encoder).additional_family(Family::V6).even_port(true),
        400,
    ),
    Wrong(
        "a family that nobody knows",
        |encoder| udp(encoder).raw_attribute(REQUESTED_FAMILY, &[3, 0, 0, 0]),
        440,
    ),
    Wrong(
        "another that nobody knows",
        |encoder| udp(encoder).raw_attribute(ADDITIONAL_FAMILY, &[3, 0, 0, 0]),
        400,
    ),
    Wrong(
        "an unknown attribute that must be known",
        |encoder| udp(encoder).raw_attribute(0x7FFF, &[]),
        420,
    ),
];

#[test]
fn a_wrong_allocate_gets_the_code_for_what_is_wrong() {
    for Wrong(what, fill, code) in WRONG {
        let (mut rig, mut anna) = (Rig::new(), Caller::anna());
        let answer = rig.ask(&mut anna, Method::Allocate, fill);
        assert_eq!(answer.code(), Some(*code), "{what}");
        let is_signed = answer.with(|message| message.is_signed_with(&anna.key()));
        assert!(is_signed, "{what}");
        assert!(rig.relays[0].is_empty(), "{what}");
        rig.assert_all_comes_back();
    }
}

#[test]
fn unknown_attributes_are_named() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let answer = rig.ask(&mut anna, Method::Allocate, |encoder| {
        udp(encoder)
            .raw_attribute(0x7FFE, &[1])
            .raw_attribute(0xFFFE, &[1])
            .raw_attribute(0x0024, &[1, 2, 3, 4])
    });
    assert_eq!(answer.code(), Some(420));
    assert_eq!(answer.values(0x000A), [[0x7F, 0xFE, 0x00, 0x24]]);
}

#[test]
fn a_family_without_relayed_addresses_is_440() {
    for (address, family) in [("20.0.0.1", Family::V6), ("2a00::1", Family::V4)] {
        let mut rig = Rig::with(&[address], 50_000..=50_009);
        let answer = rig.ask(&mut Caller::anna(), Method::Allocate, |encoder| {
            udp(encoder).requested_family(family)
        });
        assert_eq!(answer.code(), Some(440), "{address}");
        rig.assert_all_comes_back();
    }
    // IPv4 is meant where none is named.
    let mut rig = Rig::with(&["2a00::1"], 50_000..=50_009);
    let answer = rig.ask(&mut Caller::anna(), Method::Allocate, udp);
    assert_eq!(answer.code(), Some(440));
}

#[test]
fn every_request_but_allocate_wants_an_allocation() {
    let methods = [
        Method::Refresh,
        Method::CreatePermission,
        Method::ChannelBind,
        Method::Connect,
    ];
    for method in methods {
        let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
        let fill = |encoder: Encoder| {
            encoder
                .xor_peer_address(at(PEER))
                .raw_attribute(0x000C, &[0x40, 0, 0, 0])
        };
        let answer = rig.ask(&mut anna, method, fill);
        assert_eq!(answer.code(), Some(437), "{method:?}");
        // And one's own.
        rig.allocate(&mut anna);
        let mut bert = Caller::bert();
        bert.client = anna.client;
        let answer = rig.ask(&mut bert, method, fill);
        assert_eq!(answer.code(), Some(441), "{method:?}");
        assert_eq!(rig.relays[0].len(), 1);
    }
}

#[test]
fn a_request_without_integrity_is_challenged() {
    let (mut rig, anna) = (Rig::new(), Caller::anna());
    for method in [
        Method::Allocate,
        Method::Refresh,
        Method::CreatePermission,
        Method::ChannelBind,
        Method::Connect,
        Method::ConnectionBind,
    ] {
        let request = unsigned(method, |encoder| encoder.username(b"anna").realm(REALM));
        let answer = rig.exchange(&anna, &request).unwrap();
        assert_eq!(answer.code(), Some(401), "{method:?}");
        assert_eq!(answer.values(0x0014), [REALM.as_bytes()]);
        assert_eq!(answer.values(0x8002), [[0, 2, 0, 0, 0, 1, 0, 0]]);
        assert_eq!(answer.values(0x0015)[0].len(), crate::turn::nonce::LEN);
        // No phrase, no SOFTWARE, no integrity to a stranger.
        assert_eq!(answer.values(0x0009), [[0, 0, 4, 1]]);
        assert!(answer.values(0x8022).is_empty());
        assert_eq!(answer.with(|message| message.mac()), None);
    }
}

#[test]
fn an_integrity_without_user_realm_or_nonce_is_400() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.greet(&mut anna);
    for missing in 0..3 {
        let mut encoder = Encoder::new(Class::Request, Method::Allocate, new_transaction());
        if missing != 0 {
            encoder = encoder.username(b"anna");
        }
        if missing != 1 {
            encoder = encoder.realm(REALM);
        }
        if missing != 2 {
            encoder = encoder.nonce(&anna.nonce);
        }
        let request = udp(encoder).integrity(Mac::Sha1, &anna.key()).finish();
        let answer = rig.exchange(&anna, &request).unwrap();
        assert_eq!(answer.code(), Some(400), "{missing}");
    }
}

#[test]
fn what_no_client_sends_gets_no_answer() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    for (class, method) in [
        (Class::Success, Method::Allocate),
        (Class::Error, Method::Binding),
        (Class::Indication, Method::Allocate),
        (Class::Indication, Method::Data),
        (Class::Request, Method::Send),
        (Class::Request, Method::ConnectionAttempt),
        (Class::Indication, Method::Binding),
    ] {
        let message = Encoder::new(class, method, new_transaction()).finish();
        assert!(
            rig.exchange(&anna, &message).is_none(),
            "{class:?} {method:?}"
        );
    }
}
