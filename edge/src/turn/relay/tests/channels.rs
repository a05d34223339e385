//! Channels (RFC 8656 §12).

use std::time::Duration;

use super::{
    Caller, Rig, Went,
    rig::{PEER, at},
};
use crate::turn::{tally::Dropped, wire::Method};

const OTHER: &str = "1.2.3.4:6000";

#[test]
fn channel_data_pass_both_ways() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let relayed = rig.allocate(&mut anna);
    assert!(rig.bind_channel(&mut anna, 0x4FFF, at(PEER)).is_success());
    let Went::Peer { peer, data, .. } = rig.send_on(&anna, 0x4FFF, b"hello") else {
        panic!("not sent");
    };
    assert_eq!((peer, data.as_slice()), (at(PEER), b"hello".as_slice()));
    let Went::Client { client, message } = rig.arrive(relayed, at(PEER), b"hi") else {
        panic!("not sent");
    };
    assert_eq!(
        (client, message.as_slice()),
        (anna.client, b"\x4F\xFF\0\x02hi".as_slice())
    );
    // Empty data are data.
    assert!(matches!(rig.send_on(&anna, 0x4FFF, b""), Went::Peer { .. }));
    rig.assert_all_comes_back();
}

#[test]
fn channel_data_are_padded_over_tcp_alone() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    let relayed = rig.allocate(&mut anna);
    rig.bind_channel(&mut anna, 0x4000, at(PEER));
    for (data, padding) in [("", 0), ("1", 3), ("12", 2), ("123", 1), ("1234", 0)] {
        let Went::Client { message, .. } = rig.arrive(relayed, at(PEER), data.as_bytes()) else {
            panic!("not sent");
        };
        let expected = [
            &[0x40, 0, 0, data.len() as u8],
            data.as_bytes(),
            &vec![0; padding],
        ]
        .concat();
        assert_eq!(message, expected);
    }
}

#[test]
fn a_channel_lasts_ten_minutes_and_its_permission_five() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.ask(&mut anna, Method::Allocate, |encoder| {
        encoder.requested_transport(17).lifetime(3_600)
    });
    rig.bind_channel(&mut anna, 0x4000, at(PEER));
    rig.pass(Duration::from_secs(300));
    assert_eq!(rig.send_on(&anna, 0x4000, b"x"), Went::Nowhere);
    assert_eq!(rig.dropped(Dropped::NoPermission), 1);
    // The permission alone can be made again.
    rig.permit(&mut anna, at(PEER));
    rig.pass(Duration::from_millis(299_999));
    assert!(matches!(
        rig.send_on(&anna, 0x4000, b"x"),
        Went::Peer { .. }
    ));
    rig.permit(&mut anna, at(PEER));
    // Even before the driver has told the time.
    rig.now += Duration::from_millis(1);
    assert_eq!(rig.send_on(&anna, 0x4000, b"x"), Went::Nowhere);
    assert_eq!(rig.dropped(Dropped::NoChannel), 1);
    rig.pass(Duration::ZERO);
    assert_eq!(rig.shared.quotas.channels(), 0);
    // And the number be bound to another.
    assert!(rig.bind_channel(&mut anna, 0x4000, at(OTHER)).is_success());
}

#[test]
fn binding_again_prolongs_channel_and_permission() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.ask(&mut anna, Method::Allocate, |encoder| {
        encoder.requested_transport(17).lifetime(3_600)
    });
    for _ in 0..8 {
        assert!(rig.bind_channel(&mut anna, 0x4000, at(PEER)).is_success());
        rig.pass(Duration::from_secs(299));
        assert!(matches!(
            rig.send_on(&anna, 0x4000, b"x"),
            Went::Peer { .. }
        ));
        assert_eq!(rig.shared.quotas.channels(), 1);
        anna.nonce.clear();
    }
}

#[test]
fn a_channel_is_one_peers_and_a_peer_has_one() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    rig.bind_channel(&mut anna, 0x4000, at(PEER));
    rig.bind_channel(&mut anna, 0x4001, at(OTHER));
    for (number, peer) in [(0x4000, OTHER), (0x4001, PEER), (0x4002, PEER)] {
        let answer = rig.bind_channel(&mut anna, number, at(peer));
        assert_eq!(answer.code(), Some(400), "{number:x} {peer}");
    }
    assert_eq!(rig.shared.quotas.channels(), 2);
}

#[test]
fn numbers_outside_the_range_are_400() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    for number in [0x0000_u16, 0x3FFF, 0x5000, 0x7FFF, 0xFFFF] {
        let [n1, n2] = number.to_be_bytes();
        let answer = rig.ask(&mut anna, Method::ChannelBind, |encoder| {
            encoder
                .raw_attribute(0x000C, &[n1, n2, 0, 0])
                .xor_peer_address(at(PEER))
        });
        assert_eq!(answer.code(), Some(400), "{number:x}");
        // As data they are nothing, and the client gets no answer.
        assert_eq!(rig.feed(&anna, &[n1, n2, 0, 1, 7]), Went::Nowhere);
    }
    assert_eq!(rig.shared.quotas.channels(), 0);
}

#[test]
fn a_channel_bind_wants_a_number_and_a_peer() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    let answer = rig.ask(&mut anna, Method::ChannelBind, |encoder| {
        encoder.xor_peer_address(at(PEER))
    });
    assert_eq!(answer.code(), Some(400));
    let answer = rig.ask(&mut anna, Method::ChannelBind, |encoder| {
        encoder.raw_attribute(0x000C, &[0x40, 0, 0, 0])
    });
    assert_eq!(answer.code(), Some(400));
}

#[test]
fn a_channel_whose_permission_cannot_be_had_is_not_bound() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    rig.change(|settings| settings.limits.permissions_per_user = 0);
    let answer = rig.bind_channel(&mut anna, 0x4000, at(PEER));
    assert_eq!(answer.code(), Some(508));
    assert_eq!(rig.shared.quotas.channels(), 0);
}

#[test]
fn an_unbound_number_is_dropped_and_counted() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    assert_eq!(rig.send_on(&anna, 0x4000, b"x"), Went::Nowhere);
    assert_eq!(rig.dropped(Dropped::NoAllocation), 1);
    rig.allocate(&mut anna);
    assert_eq!(rig.send_on(&anna, 0x4000, b"x"), Went::Nowhere);
    assert_eq!(rig.dropped(Dropped::NoChannel), 1);
    // Longer than what came.
    rig.bind_channel(&mut anna, 0x4000, at(PEER));
    assert_eq!(rig.feed(&anna, b"\x40\0\0\x05four"), Went::Nowhere);
    assert_eq!(rig.dropped(Dropped::Malformed), 1);
}
