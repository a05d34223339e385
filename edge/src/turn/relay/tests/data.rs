//! Send and Data indications, and ICMP (RFC 8656 §11).

use std::time::Duration;

use super::{
    Answer, Caller, Rig, Went,
    caller::new_transaction,
    rig::{PEER, PEER_V6, at},
};
use crate::turn::{
    client::Client,
    relay::Icmp,
    tally::Dropped,
    wire::{Class, Encoder, Method},
};

fn allocated() -> (Rig, Caller, std::net::SocketAddr) {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    let relayed = rig.allocate(&mut anna);
    rig.permit(&mut anna, at(PEER));
    (rig, anna, relayed)
}

#[test]
fn a_send_indication_goes_to_its_peer_as_it_is() {
    let (mut rig, anna, relayed) = allocated();
    let went = rig.send(&anna, at(PEER), b"hello");
    let from = std::net::SocketAddr::new("10.9.9.9".parse().unwrap(), relayed.port());
    let expected = Went::Peer {
        from,
        peer: at(PEER),
        data: b"hello".to_vec(),
        dont_fragment: false,
    };
    assert_eq!(went, expected);
}

#[test]
fn dont_fragment_is_passed_on() {
    let (mut rig, anna, _) = allocated();
    let indication = Encoder::new(Class::Indication, Method::Send, new_transaction())
        .xor_peer_address(at(PEER))
        .dont_fragment()
        .data(b"x");
    let Went::Peer { dont_fragment, .. } = rig.feed(&anna, &indication.finish()) else {
        panic!("not sent");
    };
    assert!(dont_fragment);
}

#[test]
fn a_data_indication_tells_peer_and_data_and_is_padded() {
    for (caller, peer) in [
        (Caller::anna(), PEER),
        (Caller::anna().by_tcp(1), PEER),
        (Caller::anna(), PEER_V6),
    ] {
        let (mut rig, mut anna, peer) = (Rig::new(), caller, at(peer));
        let relayed = match peer.is_ipv4() {
            true => rig.allocate(&mut anna),
            false => rig.allocate_v6(&mut anna),
        };
        rig.permit(&mut anna, peer);
        for len in [0, 1, 2, 3, 4, 1_200, 65_000] {
            let data = vec![b'x'; len];
            let Went::Client { client, message } = rig.arrive(relayed, peer, &data) else {
                panic!("not sent");
            };
            assert_eq!(client, anna.client);
            let indication = Answer { bytes: message };
            indication.with(|message| {
                assert_eq!(
                    (message.class, message.method),
                    (Class::Indication, Method::Data)
                );
                assert_eq!(message.attributes.xor_peer_address, Some(peer));
                assert_eq!(message.attributes.data, Some(data.as_slice()));
            });
        }
    }
}

#[test]
fn what_fits_in_no_message_is_dropped() {
    let (mut rig, anna, relayed) = allocated();
    let data = vec![0; 65_535];
    assert_eq!(rig.arrive(relayed, at(PEER), &data), Went::Nowhere);
    let entry = &rig.relays[0].list(rig.now, 1, false)[0];
    assert_eq!(entry.to_client_packets, 0);
    assert!(rig.relays[0].has_allocation(&anna.client));
}

#[test]
fn a_wrong_send_gets_no_answer_and_is_counted() {
    let (mut rig, anna, _) = allocated();
    let begin = || Encoder::new(Class::Indication, Method::Send, new_transaction());
    for wrong in [
        begin().xor_peer_address(at(PEER)),
        begin().data(b"x"),
        begin()
            .xor_peer_address(at(PEER))
            .data(b"x")
            .raw_attribute(0x7FFF, &[]),
        begin().raw_attribute(0x0012, &[0, 9, 0, 0]).data(b"x"),
    ] {
        assert!(rig.exchange(&anna, &wrong.finish()).is_none());
    }
    assert_eq!(rig.dropped(Dropped::Malformed), 4);
    let stranger = Caller::bert();
    assert_eq!(rig.send(&stranger, at(PEER), b"x"), Went::Nowhere);
    assert_eq!(rig.dropped(Dropped::NoAllocation), 1);
}

#[test]
fn an_allocation_is_one_five_tuples_alone() {
    let (mut rig, anna, _) = allocated();
    let mut others = vec![
        anna.clone().by_tcp(1),
        anna.clone().at_worker(1),
        anna.clone(),
    ];
    others[2].client.remote.set_port(1_001);
    let mut listener = anna.clone();
    listener.client = Client {
        via: crate::turn::client::Via::Udp {
            listener: 1,
            local: None,
        },
        ..anna.client
    };
    others.push(listener);
    for other in others {
        assert_eq!(rig.send(&other, at(PEER), b"x"), Went::Nowhere);
    }
    assert!(matches!(rig.send(&anna, at(PEER), b"x"), Went::Peer { .. }));
}

#[test]
fn nothing_passes_when_the_time_is_over_even_before_the_driver_says_so() {
    let (mut rig, mut anna, relayed) = allocated();
    rig.pass(Duration::from_secs(400));
    rig.permit(&mut anna, at(PEER));
    rig.now += Duration::from_secs(200);
    assert_eq!(rig.send(&anna, at(PEER), b"x"), Went::Nowhere);
    assert_eq!(rig.arrive(relayed, at(PEER), b"x"), Went::Nowhere);
    assert_eq!(rig.dropped(Dropped::NoAllocation), 2);
}

fn icmp(rig: &mut Rig, peer: &str, kind: u8, code: u8, data: u32) -> Option<Answer> {
    rig.sent.clear();
    let id = rig.sockets.keys().next().unwrap().1;
    let icmp = Icmp { kind, code, data };
    rig.relays[0].handle_icmp(rig.now, id, at(peer), icmp);
    rig.drain();
    rig.sent.pop_front().map(|(_, bytes)| Answer { bytes })
}

#[test]
fn an_icmp_error_reaches_the_client_of_a_permitted_peer() {
    let (mut rig, _, _) = allocated();
    let told = icmp(&mut rig, PEER, 3, 4, 1_280).unwrap();
    told.with(|message| {
        assert_eq!(
            (message.class, message.method),
            (Class::Indication, Method::Data)
        );
        assert_eq!(message.attributes.xor_peer_address, Some(at(PEER)));
        assert_eq!(message.attributes.data, None);
    });
    // Seven bits of type and nine of code (RFC 8656 §18.13).
    assert_eq!(told.values(0x8004), [[0, 0, 6, 4, 0, 0, 5, 0]]);
    assert!(icmp(&mut rig, PEER, 11, 0, 0).is_some());
    for (peer, kind) in [("1.2.3.5:5000", 3), (PEER, 5), (PEER, 8)] {
        assert!(icmp(&mut rig, peer, kind, 0, 0).is_none(), "{peer} {kind}");
    }
    assert_eq!(rig.dropped(Dropped::Icmp), 3);
}

#[test]
fn icmp_of_ipv6_has_types_of_its_own() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna());
    rig.allocate_v6(&mut anna);
    rig.permit(&mut anna, at(PEER_V6));
    for kind in [1, 2, 3] {
        assert!(icmp(&mut rig, PEER_V6, kind, 0, 0).is_some(), "{kind}");
    }
    assert!(icmp(&mut rig, PEER_V6, 128, 0, 0).is_none());
}
