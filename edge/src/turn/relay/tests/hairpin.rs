//! Peers that are our own: relayed addresses of either worker, and media.

use std::{collections::HashMap, time::Duration};

use super::{
    Answer, Caller, Rig, Went,
    rig::{UTC, at},
};
use crate::turn::{
    allocation::{Allotted, Traffic},
    peer_policy::Policy,
    relay::Output,
    tally::Dropped,
    wire::Method,
};

const MEDIA: &str = "20.0.0.1:40000";

/// Two callers with allocations, each permitted the other's.
fn two(second_worker: usize) -> (Rig, [Caller; 2], [std::net::SocketAddr; 2]) {
    let mut rig = Rig::new();
    rig.change(|settings| settings.peers.policy = Policy::Appliance);
    let (mut anna, mut bert) = (Caller::anna(), Caller::bert().at_worker(second_worker));
    let (a, b) = (rig.allocate(&mut anna), rig.allocate(&mut bert));
    assert!(rig.permit(&mut anna, b).is_success());
    assert!(rig.permit(&mut bert, a).is_success());
    (rig, [anna, bert], [a, b])
}

fn is_data(went: &Went, from: std::net::SocketAddr, data: &[u8]) -> bool {
    let Went::Client { message, .. } = went else {
        return false;
    };
    let bytes = message.clone();
    Answer { bytes }.with(|message| {
        message.attributes.xor_peer_address == Some(from) && message.attributes.data == Some(data)
    })
}

#[test]
fn two_clients_of_one_worker_reach_each_other_without_a_socket() {
    let (mut rig, [anna, bert], [a, b]) = two(0);
    let went = rig.send(&anna, b, b"hello");
    assert!(is_data(&went, a, b"hello"), "{went:?}");
    assert!(matches!(went, Went::Client { client, .. } if client == bert.client));
    assert!(is_data(&rig.send(&bert, a, b"hi"), b, b"hi"));
    // Both sides count.
    for entry in rig.relays[0].list(rig.now, 2, false) {
        assert_eq!((entry.to_peer_packets, entry.to_client_packets), (1, 1));
    }
    rig.assert_all_comes_back();
}

#[test]
fn two_clients_of_two_workers_reach_each_other_by_a_hop() {
    let (mut rig, [anna, bert], [a, b]) = two(1);
    let Went::Relay {
        worker,
        from,
        to,
        data,
    } = rig.send(&anna, b, b"hello")
    else {
        panic!("not sent");
    };
    assert_eq!((worker, from, to), (1, a, b));
    let went = rig.hop(worker, from, to, &data);
    assert!(is_data(&went, a, b"hello"), "{went:?}");
    assert!(matches!(went, Went::Client { client, .. } if client == bert.client));
    rig.assert_all_comes_back();
}

#[test]
fn permission_is_asked_on_both_sides() {
    for worker in [0, 1] {
        let mut rig = Rig::new();
        let (mut anna, mut bert) = (Caller::anna(), Caller::bert().at_worker(worker));
        // One relayed IP address is permitted for all who have it, so the other
        // side must be of the other kind.
        let (_, b) = (rig.allocate(&mut anna), rig.allocate(&mut bert));
        assert_eq!(rig.send(&anna, b, b"x"), Went::Nowhere);
        rig.permit(&mut anna, b);
        let went = match rig.send(&anna, b, b"x") {
            Went::Relay {
                worker,
                from,
                to,
                data,
            } => rig.hop(worker, from, to, &data),
            went => went,
        };
        assert_eq!(went, Went::Nowhere);
        assert_eq!(rig.dropped(Dropped::NoPermission), 2);
    }
}

#[test]
fn a_channel_serves_a_hairpin_as_well() {
    let (mut rig, [mut anna, mut bert], [a, b]) = two(0);
    rig.bind_channel(&mut anna, 0x4000, b);
    rig.bind_channel(&mut bert, 0x4123, a);
    let Went::Client { message, .. } = rig.send_on(&anna, 0x4000, b"hi") else {
        panic!("not sent");
    };
    assert_eq!(message, b"\x41\x23\0\x02hi");
}

#[test]
fn the_bound_address_is_the_advertised_one() {
    let (mut rig, [mut anna, _], [a, b]) = two(0);
    let bound = std::net::SocketAddr::new("10.9.9.9".parse().unwrap(), b.port());
    assert!(rig.permit(&mut anna, bound).is_success());
    assert!(is_data(&rig.send(&anna, bound, b"hello"), a, b"hello"));
}

#[test]
fn a_relayed_address_that_has_ended_is_no_peer() {
    let (mut rig, [mut anna, _], [_, b]) = two(0);
    rig.pass(Duration::from_secs(299));
    rig.ask(&mut anna, Method::Refresh, |encoder| encoder);
    rig.permit(&mut anna, b);
    rig.pass(Duration::from_secs(301));
    rig.permit(&mut anna, b);
    assert_eq!(rig.relays[0].len(), 1);
    assert_eq!(rig.send(&anna, b, b"x"), Went::Nowhere);
    let answer = rig.bind_channel(&mut anna, 0x4000, b);
    assert_eq!(answer.code(), Some(403));
}

#[test]
fn a_hop_that_comes_too_late_is_dropped() {
    let (mut rig, [anna, mut bert], [a, b]) = two(1);
    assert!(matches!(rig.send(&anna, b, b"x"), Went::Relay { .. }));
    rig.ask(&mut bert, Method::Refresh, |encoder| encoder.lifetime(0));
    assert_eq!(rig.hop(1, a, b, b"x"), Went::Nowhere);
}

#[test]
fn media_are_reached_by_a_hop_and_answer_by_one() {
    let (mut rig, [mut anna, _], [a, _]) = two(0);
    rig.shared.set_media(HashMap::from([(at(MEDIA), 1)]));
    assert!(rig.permit(&mut anna, at(MEDIA)).is_success());
    let went = rig.send(&anna, at(MEDIA), b"x");
    let expected = Went::Media {
        worker: 1,
        to: at(MEDIA),
        stream: None,
    };
    assert_eq!(went, expected);
    assert!(is_data(&rig.hop(0, at(MEDIA), a, b"hi"), at(MEDIA), b"hi"));
    rig.assert_all_comes_back();
}

#[test]
fn media_that_the_operator_denies_are_no_peer() {
    let (mut rig, [mut anna, _], _) = two(0);
    rig.shared.set_media(HashMap::from([(at(MEDIA), 1)]));
    rig.bind_channel(&mut anna, 0x4000, at(MEDIA));
    rig.change(|settings| settings.peers.deny = vec!["20.0.0.1/32".parse().unwrap()]);
    assert_eq!(rig.send(&anna, at(MEDIA), b"x"), Went::Nowhere);
    assert_eq!(rig.send_on(&anna, 0x4000, b"x"), Went::Nowhere);
    assert_eq!(rig.permit(&mut anna, at(MEDIA)).code(), Some(403));
}

#[test]
fn a_credential_made_for_a_stream_reaches_media_alone() {
    let mut rig = Rig::new();
    rig.change(|settings| settings.peers.policy = Policy::Appliance);
    rig.shared
        .set_media(HashMap::from([(at("20.0.0.2:40000"), 1)]));
    let mut bound = Caller::time_limited(&format!("{}:77", UTC + 60));
    rig.allocate(&mut bound);
    let other = rig.allocate(&mut Caller::anna());
    assert_eq!(rig.permit(&mut bound, other).code(), Some(403));
    assert_eq!(
        rig.bind_channel(&mut bound, 0x4000, other).code(),
        Some(403)
    );
    let media = at("20.0.0.2:40000");
    assert!(rig.bind_channel(&mut bound, 0x4001, media).is_success());
    let went = rig.send_on(&bound, 0x4001, b"x");
    assert!(
        matches!(
            went,
            Went::Media {
                stream: Some(77),
                ..
            }
        ),
        "{went:?}"
    );
    // Nor does it when both are at one address, which CreatePermission must let
    // pass.
    let mut rig = Rig::new();
    rig.shared.set_media(HashMap::from([(at(MEDIA), 1)]));
    let mut bound = Caller::time_limited(&format!("{}:77", UTC + 60));
    rig.allocate(&mut bound);
    let other = rig.allocate(&mut Caller::anna());
    assert!(rig.permit(&mut bound, other).is_success());
    assert_eq!(rig.send(&bound, other, b"x"), Went::Nowhere);
    assert_eq!(rig.dropped(Dropped::Forbidden), 1);
}

#[test]
fn an_allocation_for_a_stream_is_told_at_its_beginning_and_its_end() {
    let mut rig = Rig::new();
    rig.shared.set_media(HashMap::from([(at(MEDIA), 1)]));
    let mut bound = Caller::time_limited(&format!("{}:77", UTC + 60));
    rig.allocate(&mut bound);
    rig.allocate(&mut Caller::anna());
    rig.bind_channel(&mut bound, 0x4001, at(MEDIA));
    rig.send_on(&bound, 0x4001, b"x");
    rig.pass(Duration::from_secs(2));
    rig.ask(&mut bound, Method::Refresh, |encoder| encoder.lifetime(0));
    let allotted = |ended| Allotted {
        stream: 77,
        transport: "udp",
        ended,
    };
    let traffic = Traffic {
        to_peer_packets: 1,
        to_peer_bytes: 1,
        ..Traffic::default()
    };
    let expected = [None, Some((Duration::from_secs(2), traffic))];
    let expected = expected.map(|ended| (0, Output::Tell(allotted(ended))));
    assert_eq!(rig.told, expected);
}
