//! Permissions: who may send to an allocation, and for how long (RFC 8656 §9,
//! §10).

use std::time::Duration;

use super::{
    Caller, Rig, Went,
    rig::{PEER, at},
};
use crate::turn::{tally::Dropped, wire::Method};

#[test]
fn nothing_passes_without_permission_in_either_direction() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let relayed = rig.allocate(&mut anna);
    assert_eq!(rig.send(&anna, at(PEER), b"x"), Went::Nowhere);
    assert_eq!(rig.arrive(relayed, at(PEER), b"x"), Went::Nowhere);
    assert_eq!(rig.dropped(Dropped::NoPermission), 2);
    assert!(rig.permit(&mut anna, at(PEER)).is_success());
    assert!(matches!(rig.send(&anna, at(PEER), b"x"), Went::Peer { .. }));
    assert!(matches!(
        rig.arrive(relayed, at(PEER), b"x"),
        Went::Client { .. }
    ));
    // A permission is for every port, and for no other address.
    let (other_port, other) = (at("1.2.3.4:6000"), at("1.2.3.5:5000"));
    assert!(matches!(
        rig.arrive(relayed, other_port, b"x"),
        Went::Client { .. }
    ));
    assert_eq!(rig.arrive(relayed, other, b"x"), Went::Nowhere);
    rig.assert_all_comes_back();
}

#[test]
fn a_permission_lasts_five_minutes() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let relayed = rig.allocate(&mut anna);
    rig.permit(&mut anna, at(PEER));
    rig.pass(Duration::from_secs(200));
    rig.permit(&mut anna, at(PEER));
    rig.pass(Duration::from_millis(299_999));
    assert!(matches!(rig.send(&anna, at(PEER), b"x"), Went::Peer { .. }));
    assert!(matches!(
        rig.arrive(relayed, at(PEER), b"x"),
        Went::Client { .. }
    ));
    // Even before the driver has told the time.
    rig.now += Duration::from_millis(1);
    assert_eq!(rig.send(&anna, at(PEER), b"x"), Went::Nowhere);
    assert_eq!(rig.arrive(relayed, at(PEER), b"x"), Went::Nowhere);
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.shared.quotas.permissions(), 0);
}

#[test]
fn data_do_not_prolong_a_permission() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    rig.permit(&mut anna, at(PEER));
    for _ in 0..29 {
        rig.pass(Duration::from_secs(10));
        assert!(matches!(rig.send(&anna, at(PEER), b"x"), Went::Peer { .. }));
    }
    rig.pass(Duration::from_secs(10));
    assert_eq!(rig.send(&anna, at(PEER), b"x"), Went::Nowhere);
}

#[test]
fn several_peers_are_permitted_at_once_or_none() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let relayed = rig.allocate(&mut anna);
    let (other, forbidden) = (at("1.2.3.5:5000"), at("10.0.0.1:5000"));
    let answer = rig.ask(&mut anna, Method::CreatePermission, |encoder| {
        encoder
            .xor_peer_address(at(PEER))
            .xor_peer_address(forbidden)
            .xor_peer_address(other)
    });
    assert_eq!(answer.code(), Some(403));
    assert_eq!(rig.arrive(relayed, at(PEER), b"x"), Went::Nowhere);
    let answer = rig.ask(&mut anna, Method::CreatePermission, |encoder| {
        encoder
            .xor_peer_address(at(PEER))
            .raw_attribute(0x0012, &[0, 1, 0])
    });
    assert_eq!(answer.code(), Some(400));
    assert_eq!(rig.shared.quotas.permissions(), 0);
    let answer = rig.ask(&mut anna, Method::CreatePermission, |encoder| {
        encoder.xor_peer_address(at(PEER)).xor_peer_address(other)
    });
    assert!(answer.is_success());
    for peer in [at(PEER), other] {
        assert!(matches!(
            rig.arrive(relayed, peer, b"x"),
            Went::Client { .. }
        ));
    }
}

#[test]
fn a_create_permission_without_peer_is_400() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    let answer = rig.ask(&mut anna, Method::CreatePermission, |encoder| encoder);
    assert_eq!(answer.code(), Some(400));
}

#[test]
fn more_peers_than_one_request_may_have_are_refused_whole() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    rig.allocate(&mut anna);
    let ask = |rig: &mut Rig, anna: &mut Caller, peers: u8| {
        rig.ask(anna, Method::CreatePermission, |encoder| {
            (0..peers).fold(encoder, |encoder, last| {
                encoder.xor_peer_address(at(&format!("1.2.3.{last}:5000")))
            })
        })
    };
    assert_eq!(ask(&mut rig, &mut anna, 129).code(), Some(508));
    assert_eq!(rig.shared.quotas.permissions(), 0);
    assert!(ask(&mut rig, &mut anna, 128).is_success());
    assert_eq!(rig.shared.quotas.permissions(), 128);
    rig.assert_all_comes_back();
}

#[test]
fn what_is_permitted_is_judged_again_by_a_reload() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    rig.permit(&mut anna, at(PEER));
    rig.bind_channel(&mut anna, 0x4000, at(PEER));
    rig.change(|settings| settings.peers.deny = vec!["1.2.3.0/24".parse().unwrap()]);
    assert_eq!(rig.send(&anna, at(PEER), b"x"), Went::Nowhere);
    assert_eq!(rig.send_on(&anna, 0x4000, b"x"), Went::Nowhere);
    assert_eq!(rig.dropped(Dropped::NoPermission), 2);
    assert_eq!(rig.shared.quotas.permissions(), 0);
}
