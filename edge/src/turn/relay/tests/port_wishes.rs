//! EVEN-PORT and RESERVATION-TOKEN (RFC 8656 §7.2, §18.5, §18.8).

use std::time::Duration;

use super::{Answer, Caller, Rig};
use crate::turn::wire::{Encoder, Method, ReservationToken};

fn pair(rig: &mut Rig, caller: &mut Caller) -> Answer {
    let answer = rig.ask(caller, Method::Allocate, |encoder: Encoder| {
        encoder.requested_transport(17).even_port(true)
    });
    assert!(answer.is_success());
    answer
}

fn claim(rig: &mut Rig, caller: &mut Caller, token: ReservationToken) -> Answer {
    rig.ask(caller, Method::Allocate, |encoder: Encoder| {
        encoder.requested_transport(17).reservation_token(token)
    })
}

#[test]
fn an_even_port_is_even() {
    let mut rig = Rig::new();
    for port in 0..30 {
        let mut anna = Caller::anna();
        anna.client.remote.set_port(1_000 + port);
        let answer = rig.ask(&mut anna, Method::Allocate, |encoder| {
            encoder.requested_transport(17).even_port(false)
        });
        assert!(answer.relayed()[0].port().is_multiple_of(2));
        assert_eq!(answer.token(), None);
    }
    assert_eq!(rig.shared.ports.usage().0, 30);
    rig.assert_all_comes_back();
}

#[test]
fn the_next_port_goes_to_who_shows_its_token_once() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let first = pair(&mut rig, &mut anna);
    let token = first.token().unwrap();
    assert_eq!(rig.shared.ports.usage().0, 2);
    let mut second = Caller::new("anna", "192.0.2.1:1001");
    let answer = claim(&mut rig, &mut second, token);
    assert_eq!(answer.relayed()[0].port(), first.relayed()[0].port() + 1);
    let mut third = Caller::new("anna", "192.0.2.1:1002");
    assert_eq!(claim(&mut rig, &mut third, token).code(), Some(508));
    rig.assert_all_comes_back();
}

#[test]
fn a_token_is_good_at_the_other_worker() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let first = pair(&mut rig, &mut anna);
    let mut second = Caller::new("anna", "192.0.2.1:1001").at_worker(1);
    let answer = claim(&mut rig, &mut second, first.token().unwrap());
    let relayed = answer.relayed()[0];
    assert_eq!(relayed.port(), first.relayed()[0].port() + 1);
    assert_eq!(rig.shared.ports.owner(relayed), Some(1));
    rig.assert_all_comes_back();
}

#[test]
fn a_token_is_another_users_no_help() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let token = pair(&mut rig, &mut anna).token().unwrap();
    let refused = claim(&mut rig, &mut Caller::bert(), token);
    assert_eq!(refused.code(), Some(508));
    // And it is not lost by that.
    let mut second = Caller::new("anna", "192.0.2.1:1001");
    assert!(claim(&mut rig, &mut second, token).is_success());
    rig.assert_all_comes_back();
}

#[test]
fn a_port_in_reserve_goes_back_after_thirty_seconds() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let token = pair(&mut rig, &mut anna).token().unwrap();
    rig.pass(Duration::from_secs(29));
    assert_eq!(rig.shared.ports.usage().0, 2);
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.shared.ports.usage().0, 1);
    let mut second = Caller::new("anna", "192.0.2.1:1001");
    assert_eq!(claim(&mut rig, &mut second, token).code(), Some(508));
    rig.assert_all_comes_back();
}

#[test]
fn a_reserved_port_that_cannot_be_bound_is_508_and_goes_back() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let first = pair(&mut rig, &mut anna);
    rig.occupied.insert(first.relayed()[0].port() + 1);
    let mut second = Caller::new("anna", "192.0.2.1:1001");
    let answer = claim(&mut rig, &mut second, first.token().unwrap());
    assert_eq!(answer.code(), Some(508));
    assert_eq!(rig.shared.ports.usage().0, 1);
    rig.assert_all_comes_back();
}

#[test]
fn a_pair_whose_first_port_is_somebody_elses_goes_back_whole() {
    let mut rig = Rig::with(&["20.0.0.1"], 50_000..=50_003);
    rig.occupied.insert(50_000);
    let first = pair(&mut rig, &mut Caller::anna());
    assert_eq!(first.relayed()[0].port(), 50_002);
    assert_eq!(rig.shared.ports.usage().0, 2);
    rig.assert_all_comes_back();
}

#[test]
fn twenty_thousand_cycles_with_even_port_return_every_port() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.greet(&mut anna);
    for cycle in 0..20_000_u32 {
        let answer = rig.ask(&mut anna, Method::Allocate, |encoder| {
            encoder
                .requested_transport(17)
                .even_port(!cycle.is_multiple_of(4))
        });
        assert!(answer.is_success(), "{cycle}: {:?}", answer.code());
        let freed = rig.ask(&mut anna, Method::Refresh, |encoder| encoder.lifetime(0));
        assert!(freed.is_success(), "{cycle}");
        // Each reserved port waits for half a minute.
        if cycle.is_multiple_of(30) {
            rig.pass(Duration::from_secs(31));
            anna.nonce.clear();
        }
    }
    rig.assert_all_comes_back();
}
