//! Allocate: the good case, retransmissions, and its lifetime (RFC 8656 §7.2).

use std::time::Duration;

use super::{
    Caller, Rig,
    caller::new_transaction,
    rig::{FIRST_PORT, LAST_PORT, PEER, at},
};
use crate::turn::wire::{Encoder, Method};

fn udp(encoder: Encoder) -> Encoder {
    encoder.requested_transport(17)
}

#[test]
fn an_allocation_has_a_relayed_address_and_a_lifetime() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let answer = rig.ask(&mut anna, Method::Allocate, udp);
    assert!(answer.is_success());
    let relayed = answer.relayed();
    assert_eq!(relayed.len(), 1);
    assert_eq!(relayed[0].ip().to_string(), "20.0.0.1");
    assert!((FIRST_PORT..=LAST_PORT).contains(&relayed[0].port()));
    assert_eq!(answer.lifetime(), Some(600));
    let mapped = answer.with(|message| message.attributes.xor_mapped_address);
    assert_eq!(mapped, Some(anna.client.remote));
    // The socket is bound to the machine's own address, not to the advertised.
    let bound: Vec<_> = rig.sockets.values().collect();
    assert_eq!(bound.len(), 1);
    assert_eq!(
        bound[0].1.to_string(),
        format!("10.9.9.9:{}", relayed[0].port())
    );
    rig.assert_all_comes_back();
}

#[test]
fn an_allocation_ends_when_it_is_not_refreshed() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let relayed = rig.allocate(&mut anna);
    rig.permit(&mut anna, at(PEER));
    rig.pass(Duration::from_millis(599_999));
    assert_eq!(rig.relays[0].len(), 1);
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.relays[0].len(), 0);
    assert_eq!(rig.shared.ports.owner(relayed), None);
    assert_eq!(rig.shared.quotas.allocations(), 0);
    rig.assert_all_comes_back();
}

#[test]
fn a_lifetime_lies_between_the_default_and_the_maximum() {
    for (asked, got) in [(0, 600), (1, 600), (1_000, 1_000), (u32::MAX, 3_600)] {
        let (mut rig, mut anna) = (Rig::new(), Caller::anna());
        let answer = rig.ask(&mut anna, Method::Allocate, |encoder| {
            udp(encoder).lifetime(asked)
        });
        assert_eq!(answer.lifetime(), Some(got), "{asked}");
        rig.pass(Duration::from_secs(u64::from(got) - 1));
        assert_eq!(rig.relays[0].len(), 1, "{asked}");
        rig.pass(Duration::from_secs(1));
        assert_eq!(rig.relays[0].len(), 0, "{asked}");
    }
}

#[test]
fn a_retransmission_gets_the_first_success_again() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.greet(&mut anna);
    let request = anna.request(Method::Allocate, new_transaction(), |encoder| {
        udp(encoder).even_port(true).lifetime(700)
    });
    let first = rig.exchange(&anna, &request).unwrap();
    assert!(first.is_success());
    rig.pass(Duration::from_secs(1));
    let second = rig.exchange(&anna, &request).unwrap();
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(rig.relays[0].len(), 1);
    rig.assert_all_comes_back();
}

#[test]
fn a_retransmission_hears_again_which_family_is_missing() {
    let mut rig = Rig::with(&["20.0.0.1"], FIRST_PORT..=LAST_PORT);
    let mut anna = Caller::anna();
    rig.greet(&mut anna);
    let request = anna.request(Method::Allocate, new_transaction(), |encoder| {
        udp(encoder).additional_family(crate::turn::wire::Family::V6)
    });
    let first = rig.exchange(&anna, &request).unwrap();
    let second = rig.exchange(&anna, &request).unwrap();
    assert_eq!(first.bytes, second.bytes);
}

#[test]
fn another_request_on_the_same_five_tuple_is_437() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let first = rig.allocate(&mut anna);
    let again = rig.ask(&mut anna, Method::Allocate, udp);
    assert_eq!(again.code(), Some(437));
    // Another user's as well.
    let mut bert = Caller::bert();
    bert.client = anna.client;
    assert_eq!(rig.ask(&mut bert, Method::Allocate, udp).code(), Some(437));
    assert_eq!(rig.relays[0].len(), 1);
    assert_eq!(rig.shared.ports.owner(first), Some(0));
}

#[test]
fn a_five_tuple_may_allocate_again_when_its_first_has_ended() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    rig.pass(Duration::from_secs(600));
    rig.allocate(&mut anna);
    assert_eq!(rig.relays[0].len(), 1);
}

#[test]
fn an_allocation_whose_time_is_over_is_gone_before_the_driver_says_so() {
    for method in [Method::Refresh, Method::CreatePermission] {
        let (mut rig, mut anna) = (Rig::new(), Caller::anna());
        rig.allocate(&mut anna);
        // No handle_timeout in between.
        rig.now += Duration::from_secs(600);
        let late = rig.ask(&mut anna, method, |encoder| {
            encoder.xor_peer_address(at(PEER))
        });
        assert_eq!(late.code(), Some(437), "{method:?}");
        rig.allocate(&mut anna);
        rig.assert_all_comes_back();
    }
}

#[test]
fn a_port_that_is_somebody_elses_is_drawn_again() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    // All but four; eight draws find none of them, or one of them.
    rig.occupied = (FIRST_PORT..=LAST_PORT - 4).collect();
    let mut made = 0;
    for port in 0..50_u16 {
        anna.client.remote.set_port(1_000 + port);
        anna.nonce.clear();
        let answer = rig.ask(&mut anna, Method::Allocate, udp);
        match answer.code() {
            None => {
                assert!(answer.relayed()[0].port() > LAST_PORT - 4);
                made += 1;
            }
            Some(code) => assert_eq!(code, 508),
        }
    }
    assert!((1..=4).contains(&made), "{made}");
    assert_eq!(rig.shared.ports.usage().0, made);
    rig.assert_all_comes_back();
}

#[test]
fn an_allocation_that_ends_while_it_is_bound_gives_everything_back() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    rig.greet(&mut anna);
    let request = anna.request(Method::Allocate, new_transaction(), |encoder| {
        udp(encoder).even_port(true)
    });
    // The client is gone before the driver has bound anything.
    let relay = &mut rig.relays[0];
    relay.handle_client(rig.now, anna.client, &request);
    relay.handle_client_closed(rig.now, &anna.client);
    assert_eq!(rig.shared.ports.usage().0, 0);
    rig.drain();
    rig.assert_all_comes_back();
}
