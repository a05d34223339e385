//! Dual allocation: REQUESTED- and ADDITIONAL-ADDRESS-FAMILY (RFC 8656 §7.2).

use super::{
    Caller, Rig, Went,
    rig::{PEER, PEER_V6, at},
};
use crate::turn::wire::{Encoder, Family, Method};

const ADDRESS_ERROR_CODE: u16 = 0x8001;

fn dual(encoder: Encoder) -> Encoder {
    encoder
        .requested_transport(17)
        .additional_family(Family::V6)
}

#[test]
fn a_dual_allocation_has_an_address_of_each_family() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let answer = rig.ask(&mut anna, Method::Allocate, dual);
    let relayed = answer.relayed();
    assert_eq!(relayed.len(), 2);
    assert!(relayed[0].is_ipv4() && relayed[1].is_ipv6());
    assert!(answer.values(ADDRESS_ERROR_CODE).is_empty());
    for (peer, own) in [(at(PEER), relayed[0]), (at(PEER_V6), relayed[1])] {
        assert!(rig.permit(&mut anna, peer).is_success());
        let Went::Peer { from, .. } = rig.send(&anna, peer, b"hello") else {
            panic!("not sent");
        };
        assert_eq!(from.port(), own.port());
        assert!(matches!(rig.arrive(own, peer, b"hi"), Went::Client { .. }));
    }
    rig.assert_all_comes_back();
}

#[test]
fn the_family_that_cannot_be_had_is_told_with_its_code() {
    for (address, family, code) in [("20.0.0.1", 2, 40), ("2a00::1", 1, 40)] {
        let mut rig = Rig::with(&[address], 50_000..=50_009);
        let answer = rig.ask(&mut Caller::anna(), Method::Allocate, dual);
        assert!(answer.is_success());
        assert_eq!(answer.relayed().len(), 1);
        let error = &answer.values(ADDRESS_ERROR_CODE)[0];
        assert_eq!(error[..4], [family, 0, 4, code], "{address}");
        rig.assert_all_comes_back();
    }
}

#[test]
fn a_family_whose_ports_are_used_up_is_told_with_508() {
    let mut rig = Rig::with(&["20.0.0.1", "2a00::1"], 50_000..=50_001);
    for port in [1, 2] {
        let mut bert = Caller::bert();
        bert.client.remote.set_port(port);
        rig.allocate_v6(&mut bert);
    }
    let answer = rig.ask(&mut Caller::anna(), Method::Allocate, dual);
    assert!(answer.is_success() && answer.relayed()[0].is_ipv4());
    assert_eq!(answer.values(ADDRESS_ERROR_CODE)[0][..4], [2, 0, 5, 8]);
    rig.assert_all_comes_back();
}

#[test]
fn without_any_port_the_whole_request_is_508() {
    let mut rig = Rig::with(&["20.0.0.1", "2a00::1"], 50_000..=50_000);
    let first = rig.ask(&mut Caller::bert(), Method::Allocate, dual);
    assert_eq!(first.relayed().len(), 2);
    let answer = rig.ask(&mut Caller::anna(), Method::Allocate, dual);
    assert_eq!(answer.code(), Some(508));
    rig.assert_all_comes_back();
}

#[test]
fn a_peer_of_a_family_without_address_is_443() {
    let (mut rig, mut anna, mut bert) = (Rig::new(), Caller::anna(), Caller::bert());
    rig.allocate(&mut anna);
    rig.allocate_v6(&mut bert);
    for (caller, peer) in [(&mut anna, PEER_V6), (&mut bert, PEER)] {
        let peer = at(peer);
        assert_eq!(rig.permit(caller, peer).code(), Some(443));
        assert_eq!(rig.bind_channel(caller, 0x4000, peer).code(), Some(443));
        assert_eq!(rig.send(caller, peer, b"x"), Went::Nowhere);
    }
    // An IPv4-mapped peer is one of IPv6 on the wire.
    let mapped = at("[::ffff:1.2.3.4]:5000");
    assert_eq!(rig.permit(&mut anna, mapped).code(), Some(443));
}
