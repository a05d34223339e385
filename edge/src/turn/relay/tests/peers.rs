//! Who may be a peer, by CreatePermission, ChannelBind, Send and Connect.

use std::net::{IpAddr, SocketAddr};

use super::{
    Caller, Rig, Went,
    connect::{allocate_tcp, connect},
    rig::{at, ip},
};
use crate::turn::{
    client::Client,
    peer_policy::{MediaRange, Policy, REFUSED},
    tally::Dropped,
    wire::{Class, Encoder, Family, Method},
};

/// A caller with a dual allocation, by UDP or TCP.
fn dual(policy: Policy, transport: u8) -> (Rig, Caller) {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    rig.change(|settings| {
        settings.peers.policy = policy;
        settings.peers.listeners = vec![
            at("0.0.0.0:3478"),
            at("[::]:3478"),
            at("20.0.0.1:443"),
            at("127.0.0.1:9091"),
        ];
        settings.peers.machine = vec![ip("20.0.0.1"), ip("2a00::1"), ip("10.9.9.9")];
    });
    let answer = rig.ask(&mut anna, Method::Allocate, |encoder: Encoder| {
        encoder
            .requested_transport(transport)
            .additional_family(Family::V6)
    });
    assert_eq!(answer.relayed().len(), 2);
    (rig, anna)
}

/// Puts a permission in where no request would.
fn force(rig: &mut Rig, client: Client, peer: IpAddr) {
    let key = rig.relays[0].by_client[&client];
    let (now, limits) = (rig.now, rig.settings.limits);
    let allocation = rig.relays[0].allocations.get_mut(key.0).unwrap();
    let share = allocation.place.share();
    let installed = allocation
        .permissions
        .install(now, peer, || share.permission(&limits));
    assert!(installed);
}

fn is_sent(rig: &mut Rig, caller: &Caller, peer: SocketAddr) -> bool {
    force(rig, caller.client, peer.ip());
    rig.send(caller, peer, b"x") != Went::Nowhere
}

#[test]
fn what_nobody_may_reach_is_refused_in_every_spelling_by_every_way() {
    for policy in [Policy::Appliance, Policy::Open] {
        let (mut rig, mut anna) = dual(policy, 17);
        let (mut tcp_rig, mut tcp_anna) = dual(policy, 6);
        for text in REFUSED {
            let peer = SocketAddr::new(ip(text), 5_000);
            let what = format!("{text} {policy:?}");
            assert_eq!(rig.permit(&mut anna, peer).code(), Some(403), "{what}");
            let bound = rig.bind_channel(&mut anna, 0x4000, peer);
            assert_eq!(bound.code(), Some(403), "{what}");
            assert_eq!(rig.send(&anna, peer, b"x"), Went::Nowhere, "{what}");
            let permitted = tcp_rig.permit(&mut tcp_anna, peer);
            assert_eq!(permitted.code(), Some(403), "{what}");
            let called = connect(&mut tcp_rig, &tcp_anna, &peer.to_string());
            assert_eq!(called.unwrap().code(), Some(403), "{what}");
        }
        assert_eq!(rig.shared.quotas.permissions(), 0);
        // Nor where a permission is there: by its port it is judged again.
        let before = rig.dropped(Dropped::Forbidden);
        for text in REFUSED {
            let peer = SocketAddr::new(ip(text), 5_000);
            assert!(!is_sent(&mut rig, &anna, peer), "{text} {policy:?}");
        }
        let refused = rig.dropped(Dropped::Forbidden) - before;
        assert_eq!(refused, REFUSED.len() as u64);
        assert!(tcp_rig.told.is_empty());
    }
}

#[test]
fn our_own_listeners_are_refused_by_their_ports() {
    let listeners = [
        "20.0.0.1:3478",
        "20.0.0.1:443",
        "[2a00::1]:3478",
        "[::ffff:20.0.0.1]:3478",
        "[64:ff9b::1400:1]:443",
        "[2002:1400:1::]:443",
        "10.9.9.9:3478",
        "127.0.0.1:9091",
        "127.0.0.1:3478",
        "[::ffff:127.0.0.1]:9091",
        "[::1]:3478",
    ];
    for policy in [Policy::Appliance, Policy::Open] {
        let (mut rig, mut anna) = dual(policy, 17);
        let (mut tcp_rig, mut tcp_anna) = dual(policy, 6);
        for rig in [&mut rig, &mut tcp_rig] {
            rig.change(|settings| {
                let all = [
                    "127.0.0.0/8",
                    "::1/128",
                    "10.0.0.0/8",
                    "20.0.0.0/8",
                    "2a00::/16",
                ];
                settings.peers.allow = all.iter().map(|net| net.parse().unwrap()).collect();
            });
        }
        for text in listeners {
            let (peer, what) = (at(text), format!("{text} {policy:?}"));
            // By address alone they are permitted (RFC 8656 §10.2).
            assert!(rig.permit(&mut anna, peer).is_success(), "{what}");
            let bound = rig.bind_channel(&mut anna, 0x4000, peer);
            assert_eq!(bound.code(), Some(403), "{what}");
            assert_eq!(rig.send(&anna, peer, b"x"), Went::Nowhere, "{what}");
            assert!(tcp_rig.permit(&mut tcp_anna, peer).is_success());
            let called = connect(&mut tcp_rig, &tcp_anna, text);
            assert_eq!(called.unwrap().code(), Some(403), "{what}");
            // The next port is open to them.
            let beside = SocketAddr::new(peer.ip(), 9_999);
            assert!(is_sent(&mut rig, &anna, beside), "{what}");
        }
    }
}

#[test]
fn port_zero_is_nobodys() {
    let (mut rig, mut anna) = dual(Policy::Open, 17);
    let peer = at("1.2.3.4:0");
    assert!(rig.permit(&mut anna, peer).is_success());
    assert_eq!(rig.bind_channel(&mut anna, 0x4000, peer).code(), Some(403));
    assert_eq!(rig.send(&anna, peer, b"x"), Went::Nowhere);
}

#[test]
fn a_public_address_is_a_peer_of_an_open_relay_alone() {
    for (policy, is_open) in [(Policy::Open, true), (Policy::Appliance, false)] {
        let (mut rig, mut anna) = dual(policy, 17);
        let (mut tcp_rig, tcp_anna) = dual(policy, 6);
        for text in ["1.2.3.4:5000", "[2a01::5]:5000"] {
            let peer = at(text);
            assert_eq!(rig.permit(&mut anna, peer).is_success(), is_open);
            assert_eq!(is_sent(&mut rig, &anna, peer), is_open);
            let number = 0x4000 + u16::from(peer.is_ipv6());
            let bound = rig.bind_channel(&mut anna, number, peer);
            assert_eq!(bound.is_success(), is_open);
            let called = connect(&mut tcp_rig, &tcp_anna, text);
            assert_eq!(called.is_none(), is_open);
        }
    }
}

#[test]
fn the_fleets_media_are_peers_of_both() {
    for policy in [Policy::Open, Policy::Appliance] {
        let (mut rig, mut anna) = dual(policy, 17);
        rig.change(|settings| {
            settings.peers.fleet = vec![MediaRange {
                ip: ip("203.0.113.7"),
                first: 40_000,
                last: 40_015,
            }];
        });
        let inside = at("203.0.113.7:40015");
        assert!(rig.permit(&mut anna, inside).is_success());
        assert!(matches!(rig.send(&anna, inside, b"x"), Went::Peer { .. }));
        assert!(rig.bind_channel(&mut anna, 0x4000, inside).is_success());
        let outside = at("203.0.113.7:40016");
        assert_eq!(rig.send(&anna, outside, b"x"), Went::Nowhere);
        let bound = rig.bind_channel(&mut anna, 0x4001, outside);
        assert_eq!(bound.code(), Some(403));
        assert_eq!(
            rig.permit(&mut anna, at("203.0.113.8:40000")).code(),
            Some(403)
        );
    }
}

#[test]
fn a_relayed_tcp_address_is_a_peer_of_connect_alone() {
    let (mut rig, mut anna) = dual(Policy::Appliance, 6);
    let mut bert = Caller::bert().by_tcp(2);
    let relayed = allocate_tcp(&mut rig, &mut bert);
    assert!(connect(&mut rig, &anna, &relayed.to_string()).is_none());
    rig.told.clear();
    let mut by_udp = Caller::new("anna", "192.0.2.1:9");
    let udp = rig.allocate(&mut by_udp);
    let called = connect(&mut rig, &anna, &udp.to_string());
    assert_eq!(called.unwrap().code(), Some(403));
    let bound = rig.bind_channel(&mut by_udp, 0x4000, relayed);
    assert_eq!(bound.code(), Some(403));
    assert!(rig.permit(&mut anna, relayed).is_success());
}

#[test]
fn an_address_that_cannot_be_read_is_400() {
    let (mut rig, mut anna) = dual(Policy::Open, 17);
    for value in [
        [].as_slice(),
        &[0, 1, 2, 3],
        &[0, 3, 0, 0, 0, 0, 0, 0],
        &[0, 2, 0, 0, 1, 2, 3, 4],
    ] {
        for method in [Method::CreatePermission, Method::ChannelBind] {
            let answer = rig.ask(&mut anna, method, |encoder| {
                encoder
                    .raw_attribute(0x000C, &[0x40, 0, 0, 0])
                    .raw_attribute(0x0012, value)
            });
            assert_eq!(answer.code(), Some(400), "{value:?}");
        }
        let send = Encoder::new(
            Class::Indication,
            Method::Send,
            super::caller::new_transaction(),
        )
        .raw_attribute(0x0012, value)
        .data(b"x");
        assert_eq!(rig.feed(&anna, &send.finish()), Went::Nowhere);
    }
}
