//! What is refused for being too much: 486, 508, 300, and the bounds of a user.

use std::time::Duration;

use super::{
    Answer, Caller, Rig, Went,
    rig::{PEER, at},
};
use crate::turn::{tally::Dropped, wire::Method};

fn allocate(rig: &mut Rig, caller: &Caller, port: u16) -> Answer {
    let mut caller = caller.clone();
    caller.client.remote.set_port(port);
    caller.nonce.clear();
    rig.ask(&mut caller, Method::Allocate, |encoder| {
        encoder.requested_transport(17)
    })
}

#[test]
fn a_user_with_too_many_allocations_gets_486() {
    let mut rig = Rig::new();
    rig.change(|settings| settings.limits.allocations_per_user = 2);
    for port in [1, 2] {
        assert!(allocate(&mut rig, &Caller::anna(), port).is_success());
    }
    // At whatever worker; another user is not concerned.
    for worker in [0, 1] {
        let anna = Caller::anna().at_worker(worker);
        assert_eq!(allocate(&mut rig, &anna, 3).code(), Some(486));
    }
    assert!(allocate(&mut rig, &Caller::bert(), 1).is_success());
    rig.pass(Duration::from_secs(600));
    assert!(allocate(&mut rig, &Caller::anna(), 3).is_success());
    rig.assert_all_comes_back();
}

#[test]
fn a_full_process_answers_508_or_sends_elsewhere() {
    let mut rig = Rig::new();
    rig.change(|settings| settings.limits.allocations = 1);
    assert!(allocate(&mut rig, &Caller::anna(), 1).is_success());
    let answer = allocate(&mut rig, &Caller::bert(), 1);
    assert_eq!(answer.code(), Some(508));
    rig.change(|settings| {
        settings.alternate_servers = vec![at("[2a00::9]:3478"), at("20.0.0.9:3478")];
    });
    let answer = allocate(&mut rig, &Caller::bert(), 1);
    assert_eq!(answer.code(), Some(300));
    // Of the client's own family, and not XORed (RFC 8489 §14.15).
    assert_eq!(answer.values(0x8023), [[0, 1, 0x0D, 0x96, 20, 0, 0, 9]]);
    assert!(answer.with(|message| message.is_signed_with(&Caller::bert().key())));
    rig.assert_all_comes_back();
}

#[test]
fn used_up_ports_are_508_until_one_comes_back() {
    let mut rig = Rig::with(&["20.0.0.1"], 50_000..=50_001);
    for port in [1, 2] {
        assert!(allocate(&mut rig, &Caller::anna(), port).is_success());
    }
    assert_eq!(allocate(&mut rig, &Caller::bert(), 1).code(), Some(508));
    assert_eq!(rig.shared.quotas.allocations(), 2);
    rig.pass(Duration::from_secs(600));
    assert!(allocate(&mut rig, &Caller::bert(), 1).is_success());
    rig.assert_all_comes_back();
}

#[test]
fn one_client_that_makes_a_million_permissions_meets_a_bound() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate(&mut anna);
    let mut refused = 0;
    for start in (0..1_000_000_u32).step_by(100) {
        let answer = rig.ask(&mut anna, Method::CreatePermission, |encoder| {
            (start..start + 100).fold(encoder, |encoder, host| {
                let [_, b, c, d] = host.to_be_bytes();
                encoder.xor_peer_address(at(&format!("8.{b}.{c}.{d}:9")))
            })
        });
        match answer.code() {
            None => {}
            Some(code) => {
                assert_eq!(code, 508);
                refused += 1;
            }
        }
    }
    assert_eq!((rig.shared.quotas.permissions(), refused), (1_000, 9_990));
    rig.assert_all_comes_back();
}

#[test]
fn a_users_allocations_share_its_permissions_and_channels() {
    let mut rig = Rig::new();
    rig.change(|settings| {
        settings.limits.permissions_per_user = 3;
        settings.limits.channels_per_user = 2;
    });
    let (mut one, mut two) = (
        Caller::anna(),
        Caller::new("anna", "192.0.2.1:9").at_worker(1),
    );
    rig.allocate(&mut one);
    rig.allocate(&mut two);
    let peer = |last: u8| at(&format!("1.2.3.{last}:9"));
    assert!(rig.bind_channel(&mut one, 0x4000, peer(1)).is_success());
    assert!(rig.bind_channel(&mut two, 0x4000, peer(2)).is_success());
    assert_eq!(
        rig.bind_channel(&mut two, 0x4001, peer(3)).code(),
        Some(508)
    );
    assert!(rig.permit(&mut one, peer(4)).is_success());
    assert_eq!(rig.permit(&mut two, peer(5)).code(), Some(508));
    // What is there may be refreshed all the same, and another user is free.
    assert!(rig.permit(&mut two, peer(2)).is_success());
    assert!(rig.bind_channel(&mut two, 0x4000, peer(2)).is_success());
    let mut bert = Caller::bert();
    rig.allocate(&mut bert);
    assert!(rig.permit(&mut bert, peer(1)).is_success());
    rig.assert_all_comes_back();
}

#[test]
fn a_users_bit_rate_is_kept_in_both_directions_together() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.change(|settings| settings.limits.bitrate_per_user = Some(800_000));
    let relayed = rig.allocate(&mut anna);
    rig.permit(&mut anna, at(PEER));
    let mut passed = 0;
    for _ in 0..1_000 {
        rig.pass(Duration::from_millis(10));
        let sent = rig.send(&anna, at(PEER), &[0; 1_000]);
        let came = rig.arrive(relayed, at(PEER), &[0; 1_000]);
        passed += usize::from(sent != Went::Nowhere) + usize::from(came != Went::Nowhere);
    }
    // 100 packets of 1,000 bytes per second, and a burst of 25.
    assert!((1_000..=1_026).contains(&passed), "{passed}");
    rig.send(&anna, at(PEER), &[0; 60_000]);
    assert!(rig.dropped(Dropped::Bitrate) > 0);
}
