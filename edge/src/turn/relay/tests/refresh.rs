//! Refresh (RFC 8656 §8.2).

use std::time::Duration;

use super::{
    Caller, Rig, Went,
    rig::{PEER, PEER_V6, at},
};
use crate::turn::wire::{Encoder, Family, Method};

#[test]
fn a_refresh_prolongs() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    for _ in 0..10 {
        rig.pass(Duration::from_secs(599));
        anna.nonce.clear();
        let answer = rig.ask(&mut anna, Method::Refresh, |encoder| encoder);
        assert_eq!(answer.lifetime(), Some(600));
    }
    rig.pass(Duration::from_secs(599));
    assert_eq!(rig.relays[0].len(), 1);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.relays[0].len(), 0);
}

#[test]
fn a_refresh_may_shorten_as_well() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.ask(&mut anna, Method::Allocate, |encoder| {
        encoder.requested_transport(17).lifetime(3_600)
    });
    let answer = rig.ask(&mut anna, Method::Refresh, |encoder| encoder.lifetime(700));
    assert_eq!(answer.lifetime(), Some(700));
    rig.pass(Duration::from_secs(700));
    assert_eq!(rig.relays[0].len(), 0);
    rig.assert_all_comes_back();
}

#[test]
fn a_refresh_of_zero_ends_it_at_once_and_twice() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let relayed = rig.allocate(&mut anna);
    rig.permit(&mut anna, at(PEER));
    rig.bind_channel(&mut anna, 0x4000, at(PEER));
    for _ in 0..2 {
        let answer = rig.ask(&mut anna, Method::Refresh, |encoder| encoder.lifetime(0));
        assert!(answer.is_success());
        assert_eq!(answer.lifetime(), Some(0));
        assert!(rig.sockets.is_empty());
    }
    assert_eq!(rig.send_on(&anna, 0x4000, b"x"), Went::Nowhere);
    assert_eq!(rig.shared.ports.owner(relayed), None);
    assert_eq!(rig.shared.quotas.channels(), 0);
    assert_eq!(rig.shared.quotas.permissions(), 0);
    // The 5-tuple may allocate again.
    rig.allocate(&mut anna);
    rig.assert_all_comes_back();
}

#[test]
fn one_family_of_two_ends_alone() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.ask(&mut anna, Method::Allocate, |encoder| {
        encoder
            .requested_transport(17)
            .additional_family(Family::V6)
    });
    rig.permit(&mut anna, at(PEER));
    rig.permit(&mut anna, at(PEER_V6));
    let end = |family: Family| move |encoder: Encoder| encoder.lifetime(0).requested_family(family);
    assert!(
        rig.ask(&mut anna, Method::Refresh, end(Family::V6))
            .is_success()
    );
    assert_eq!(rig.sockets.len(), 1);
    assert_eq!(rig.send(&anna, at(PEER_V6), b"x"), Went::Nowhere);
    assert!(matches!(rig.send(&anna, at(PEER), b"x"), Went::Peer { .. }));
    // What has ended is of the wrong family from now on.
    let again = rig.ask(&mut anna, Method::Refresh, end(Family::V6));
    assert_eq!(again.code(), Some(443));
    assert!(
        rig.ask(&mut anna, Method::Refresh, end(Family::V4))
            .is_success()
    );
    assert_eq!(rig.relays[0].len(), 0);
    rig.assert_all_comes_back();
}

#[test]
fn a_refresh_of_a_family_that_is_not_there_is_443() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    let answer = rig.ask(&mut anna, Method::Refresh, |encoder| {
        encoder.requested_family(Family::V6)
    });
    assert_eq!(answer.code(), Some(443));
    let answer = rig.ask(&mut anna, Method::Refresh, |encoder| {
        encoder.raw_attribute(0x0017, &[9, 0, 0, 0])
    });
    assert_eq!(answer.code(), Some(443));
    assert_eq!(rig.relays[0].len(), 1);
}
