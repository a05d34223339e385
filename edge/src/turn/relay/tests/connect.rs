//! TCP allocations and connections to peers (RFC 6062 §5.1–§5.3).

use std::{net::SocketAddr, time::Duration};

use super::{
    Answer, Caller, Rig,
    rig::{PEER, at},
};
use crate::turn::{
    allocation::{Protocol, RelayId},
    relay::Output,
    tally::Dropped,
    wire::{Class, ConnectionId, Method},
};

/// Makes a TCP allocation.
pub(super) fn allocate_tcp(rig: &mut Rig, caller: &mut Caller) -> SocketAddr {
    let answer = rig.ask(caller, Method::Allocate, |encoder| {
        encoder.requested_transport(6)
    });
    answer.relayed()[0]
}

/// Sends a Connect; its answer comes when the peer has.
pub(super) fn connect(rig: &mut Rig, caller: &Caller, peer: &str) -> Option<Answer> {
    let transaction = super::caller::new_transaction();
    let request = caller.request(Method::Connect, transaction, |encoder| {
        encoder.xor_peer_address(at(peer))
    });
    rig.exchange(caller, &request)
}

/// Takes the connection that the driver was last told to open.
pub(super) fn opened(rig: &mut Rig) -> ConnectionId {
    match rig.told.pop() {
        Some((_, Output::Connect { connection, .. })) => connection,
        other => panic!("no connection: {other:?}"),
    }
}

/// Tells how a connection went, and takes the answer.
pub(super) fn connected(rig: &mut Rig, id: ConnectionId, is_connected: bool) -> Answer {
    rig.sent.clear();
    let worker = usize::try_from(id.0 >> 24).unwrap();
    rig.relays[worker].handle_connected(rig.now, id, is_connected);
    rig.drain();
    let (_, bytes) = rig.sent.pop_front().unwrap();
    Answer { bytes }
}

fn socket(rig: &Rig) -> RelayId {
    rig.sockets.keys().next().unwrap().1
}

#[test]
fn a_tcp_allocation_binds_a_listener_and_carries_no_datagrams() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    let relayed = allocate_tcp(&mut rig, &mut anna);
    assert_eq!(rig.sockets.values().next().unwrap().0, Protocol::Tcp);
    assert!(rig.permit(&mut anna, at(PEER)).is_success());
    assert_eq!(
        rig.bind_channel(&mut anna, 0x4000, at(PEER)).code(),
        Some(403)
    );
    assert_eq!(rig.send(&anna, at(PEER), b"x"), super::Went::Nowhere);
    assert_eq!(rig.shared.ports.owner(relayed), None);
    assert!(rig.shared.ports.is_relayed_tcp(relayed));
    assert_eq!(rig.relays[0].list(rig.now, 1, false)[0].relays, "tcp");
    rig.assert_all_comes_back();
}

#[test]
fn a_tcp_allocation_has_no_wishes_for_its_port() {
    for (attribute, value) in [
        (0x0018, [0x80].as_slice()),
        (0x0022, &[7; 8]),
        (0x001A, &[]),
    ] {
        let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
        let answer = rig.ask(&mut anna, Method::Allocate, |encoder| {
            encoder
                .requested_transport(6)
                .raw_attribute(attribute, value)
        });
        assert_eq!(answer.code(), Some(400), "{attribute:x}");
    }
}

#[test]
fn a_connect_is_answered_when_the_peer_has() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    allocate_tcp(&mut rig, &mut anna);
    assert!(connect(&mut rig, &anna, PEER).is_none());
    let id = opened(&mut rig);
    assert_eq!(id.0 >> 24, 0, "the worker");
    let answer = connected(&mut rig, id, true);
    assert!(answer.is_success());
    assert_eq!(answer.connection(), Some(id));
    assert!(answer.with(|message| message.is_signed_with(&anna.key())));
    rig.assert_all_comes_back();
}

#[test]
fn a_peer_that_refuses_or_is_silent_is_447() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    allocate_tcp(&mut rig, &mut anna);
    assert!(connect(&mut rig, &anna, PEER).is_none());
    let id = opened(&mut rig);
    assert_eq!(connected(&mut rig, id, false).code(), Some(447));
    assert!(connect(&mut rig, &anna, PEER).is_none());
    let id = opened(&mut rig);
    rig.pass(Duration::from_millis(29_999));
    assert!(rig.sent.is_empty() && rig.told.is_empty());
    rig.pass(Duration::from_millis(1));
    let (_, bytes) = rig.sent.pop_front().unwrap();
    assert_eq!(Answer { bytes }.code(), Some(447));
    assert_eq!(rig.told, [(0, Output::Disconnect { connection: id })]);
    // What comes of it after that is nobody's.
    rig.relays[0].handle_connected(rig.now, id, true);
    assert_eq!(rig.relays[0].poll_output(), None);
    rig.assert_all_comes_back();
}

#[test]
fn a_second_connect_to_the_same_peer_is_446() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    allocate_tcp(&mut rig, &mut anna);
    assert!(connect(&mut rig, &anna, PEER).is_none());
    let id = opened(&mut rig);
    assert_eq!(connect(&mut rig, &anna, PEER).unwrap().code(), Some(446));
    connected(&mut rig, id, true);
    assert_eq!(connect(&mut rig, &anna, PEER).unwrap().code(), Some(446));
    // Another port is another peer.
    assert!(connect(&mut rig, &anna, "1.2.3.4:5001").is_none());
    // And when it has ended, it may be called again.
    rig.relays[0].handle_disconnected(id);
    assert!(connect(&mut rig, &anna, PEER).is_none());
}

#[test]
fn a_connect_wants_a_tcp_allocation_and_a_peer_of_its_family() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    rig.allocate(&mut anna);
    assert_eq!(connect(&mut rig, &anna, PEER).unwrap().code(), Some(403));
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    allocate_tcp(&mut rig, &mut anna);
    let answer = rig.ask(&mut anna, Method::Connect, |encoder| encoder);
    assert_eq!(answer.code(), Some(400));
    let answer = connect(&mut rig, &anna, "[2a01::5]:5000").unwrap();
    assert_eq!(answer.code(), Some(443));
    let answer = connect(&mut rig, &anna, "1.2.3.4:0").unwrap();
    assert_eq!(answer.code(), Some(403));
}

#[test]
fn a_peer_that_calls_is_announced_when_it_is_permitted() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    allocate_tcp(&mut rig, &mut anna);
    let relay = socket(&rig);
    let now = rig.now;
    assert_eq!(rig.relays[0].handle_accepted(now, relay, at(PEER)), None);
    assert_eq!(rig.dropped(Dropped::NoPermission), 1);
    rig.permit(&mut anna, at(PEER));
    rig.sent.clear();
    let id = rig.relays[0].handle_accepted(now, relay, at(PEER)).unwrap();
    rig.drain();
    let (client, bytes) = rig.sent.pop_front().unwrap();
    assert_eq!(client, anna.client);
    Answer { bytes }.with(|message| {
        assert_eq!(message.class, Class::Indication);
        assert_eq!(message.method, Method::ConnectionAttempt);
        assert_eq!(message.attributes.connection_id, Some(id));
        assert_eq!(message.attributes.xor_peer_address, Some(at(PEER)));
    });
    // Nobody comes for it.
    rig.pass(Duration::from_secs(30));
    assert_eq!(rig.told, [(0, Output::Disconnect { connection: id })]);
    rig.assert_all_comes_back();
}

#[test]
fn a_peer_that_calls_when_the_time_is_over_is_cut_off() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    allocate_tcp(&mut rig, &mut anna);
    rig.pass(Duration::from_secs(500));
    rig.permit(&mut anna, at(PEER));
    rig.now += Duration::from_secs(100);
    let (now, relay) = (rig.now, socket(&rig));
    assert_eq!(rig.relays[0].handle_accepted(now, relay, at(PEER)), None);
}

#[test]
fn connections_of_an_allocation_are_bounded() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    allocate_tcp(&mut rig, &mut anna);
    for port in 1..=64 {
        assert!(connect(&mut rig, &anna, &format!("1.2.3.4:{port}")).is_none());
    }
    let answer = connect(&mut rig, &anna, "1.2.3.4:65").unwrap();
    assert_eq!(answer.code(), Some(508));
    rig.told.clear();
    rig.ask(&mut anna, Method::Refresh, |encoder| encoder.lifetime(0));
    let closed = rig.told.iter();
    let closed = closed.filter(|(_, told)| matches!(told, Output::Disconnect { .. }));
    assert_eq!(closed.count(), 64);
    rig.assert_all_comes_back();
}

#[test]
fn a_family_that_ends_takes_its_connections_along() {
    use crate::turn::wire::Family;
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    rig.ask(&mut anna, Method::Allocate, |encoder| {
        encoder.requested_transport(6).additional_family(Family::V6)
    });
    assert!(connect(&mut rig, &anna, PEER).is_none());
    assert!(connect(&mut rig, &anna, "[2a01::5]:5000").is_none());
    let id = opened(&mut rig);
    rig.told.clear();
    rig.ask(&mut anna, Method::Refresh, |encoder| {
        encoder.lifetime(0).requested_family(Family::V6)
    });
    assert_eq!(rig.told, [(0, Output::Disconnect { connection: id })]);
}
