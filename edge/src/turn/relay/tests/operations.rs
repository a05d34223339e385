//! What an operator does: reload, drain, list.

use std::time::Duration;

use super::{
    Caller, Rig, Went,
    rig::{PEER, REALM, UTC, at},
};
use crate::turn::{auth::Credentials, peer_policy::Policy, wire::Method};

#[test]
fn a_draining_worker_takes_nothing_new_and_keeps_what_it_has() {
    let (mut rig, mut anna, mut bert) = (Rig::new(), Caller::anna(), Caller::bert());
    rig.allocate(&mut anna);
    rig.relays[0].drain();
    let allocate = |rig: &mut Rig, caller: &mut Caller| {
        let answer = rig.ask(caller, Method::Allocate, |encoder| {
            encoder.requested_transport(17)
        });
        answer.code()
    };
    assert_eq!(allocate(&mut rig, &mut bert), Some(508));
    rig.change(|settings| settings.alternate_servers = vec![at("20.0.0.9:3478")]);
    assert_eq!(allocate(&mut rig, &mut bert), Some(300));
    // Who is sent elsewhere must have shown who it is.
    let mut nobody = Caller::new("nobody", "192.0.2.9:1");
    assert_eq!(allocate(&mut rig, &mut nobody), Some(401));
    assert!(rig.permit(&mut anna, at(PEER)).is_success());
    rig.pass(Duration::from_secs(299));
    assert!(
        rig.ask(&mut anna, Method::Refresh, |encoder| encoder)
            .is_success()
    );
    assert!(matches!(rig.send(&anna, at(PEER), b"x"), Went::Peer { .. }));
    rig.assert_all_comes_back();
}

#[test]
fn a_retransmitted_allocate_is_answered_while_draining() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.greet(&mut anna);
    let request = anna.request(
        Method::Allocate,
        super::caller::new_transaction(),
        |encoder| encoder.requested_transport(17),
    );
    let first = rig.exchange(&anna, &request).unwrap();
    rig.relays[0].drain();
    assert_eq!(rig.exchange(&anna, &request).unwrap().bytes, first.bytes);
}

#[test]
fn a_reload_keeps_every_allocation_whose_user_is_still_known() {
    let mut rig = Rig::new();
    let (mut anna, mut bert) = (Caller::anna(), Caller::bert());
    let mut limited = Caller::time_limited(&format!("{}:x", UTC + 1_000));
    for caller in [&mut anna, &mut bert, &mut limited] {
        rig.allocate(caller);
    }
    rig.permit(&mut anna, at(PEER));
    let with = |users: &[&str], secrets: Vec<String>| {
        let users = users
            .iter()
            .map(|name| ((*name).to_owned(), format!("secret-of-{name}")));
        Credentials::new(REALM, secrets, users)
    };
    rig.change(|settings| {
        settings.default_lifetime = Duration::from_secs(60);
        settings.credentials = with(&["anna"], vec!["shared".to_owned()]);
    });
    assert!(!rig.relays[0].has_allocation(&bert.client));
    assert!(rig.relays[0].has_allocation(&limited.client));
    rig.change(|settings| settings.credentials = with(&["anna"], Vec::new()));
    assert_eq!(rig.relays[0].len(), 1);
    assert!(matches!(rig.send(&anna, at(PEER), b"x"), Went::Peer { .. }));
    // The new settings are those of the next request.
    let answer = rig.ask(&mut anna, Method::Refresh, |encoder| encoder);
    assert_eq!(answer.lifetime(), Some(60));
    rig.change(|settings| settings.peers.policy = Policy::Appliance);
    assert_eq!(rig.send(&anna, at(PEER), b"x"), Went::Nowhere);
    rig.assert_all_comes_back();
}

#[test]
fn a_default_lifetime_above_the_maximum_is_no_panic() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.change(|settings| settings.max_lifetime = Duration::from_secs(30));
    let answer = rig.ask(&mut anna, Method::Allocate, |encoder| {
        encoder.requested_transport(17)
    });
    assert_eq!(answer.lifetime(), Some(30));
}

#[test]
fn a_client_whose_connection_ends_has_no_allocation() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    rig.allocate(&mut anna);
    rig.permit(&mut anna, at(PEER));
    let (now, client) = (rig.now, anna.client);
    rig.relays[0].handle_client_closed(now, &client);
    rig.drain();
    assert!(rig.relays[0].is_empty() && rig.sockets.is_empty());
    rig.assert_all_comes_back();
}

#[test]
fn the_list_tells_the_oldest_first_and_masks_addresses() {
    let mut rig = Rig::new();
    let (mut anna, mut bert) = (Caller::anna(), Caller::bert().by_tcp(1));
    let relayed = rig.allocate(&mut anna);
    rig.pass(Duration::from_secs(10));
    rig.allocate(&mut bert);
    rig.bind_channel(&mut anna, 0x4000, at(PEER));
    rig.send_on(&anna, 0x4000, b"12345");
    rig.arrive(relayed, at(PEER), b"123");
    let list = rig.relays[0].list(rig.now, 10, false);
    assert_eq!(list.len(), 2);
    let first = &list[0];
    assert_eq!(
        (first.username.as_str(), first.client.as_str()),
        ("anna", "192.0.2.x")
    );
    assert_eq!((first.age_seconds, first.expires_seconds), (10, 590));
    assert_eq!((first.transport, first.relays), ("udp", "udp"));
    assert_eq!((first.permissions, first.channels), (1, 1));
    assert_eq!((first.to_peer_bytes, first.to_peer_packets), (5, 1));
    assert_eq!((first.to_client_bytes, first.to_client_packets), (3, 1));
    assert_eq!(list[1].transport, "tcp");
    let full = rig.relays[0].list(rig.now, 1, true);
    assert_eq!(full.len(), 1);
    assert_eq!(full[0].client, "192.0.2.1:1000");
}
