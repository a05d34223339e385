//! ConnectionBind: a client comes for the connection that it asked for (RFC 6062
//! §5.4), perhaps at the other worker.

use std::time::Duration;

use super::{
    Answer, Caller, Rig,
    caller::new_transaction,
    connect::{allocate_tcp, connect, connected, opened},
    rig::PEER,
};
use crate::turn::{
    client::StreamId,
    relay::Output,
    wire::{ConnectionId, Method},
};

/// A caller with a connection that waits for it.
fn waiting() -> (Rig, Caller, ConnectionId) {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    allocate_tcp(&mut rig, &mut anna);
    assert!(connect(&mut rig, &anna, PEER).is_none());
    let id = opened(&mut rig);
    assert!(connected(&mut rig, id, true).is_success());
    (rig, anna, id)
}

/// The same user's next connection.
fn second() -> Caller {
    let mut caller = Caller::anna().by_tcp(2);
    caller.client.remote.set_port(1_001);
    caller
}

fn bind(rig: &mut Rig, caller: &mut Caller, id: ConnectionId) -> Answer {
    rig.ask(caller, Method::ConnectionBind, |encoder| {
        encoder.connection_id(id)
    })
}

#[test]
fn a_bound_pair_is_joined_and_ends_with_its_allocation() {
    let (mut rig, mut anna, id) = waiting();
    let answer = bind(&mut rig, &mut second(), id);
    assert!(answer.is_success());
    assert_eq!(answer.connection(), Some(id));
    let stream = StreamId(2);
    let connection = id;
    assert_eq!(rig.told, [(0, Output::Join { stream, connection })]);
    // It has no deadline of its own any more.
    rig.pass(Duration::from_secs(299));
    assert_eq!(rig.told.len(), 1);
    rig.told.clear();
    rig.ask(&mut anna, Method::Refresh, |encoder| encoder.lifetime(0));
    let expected = [
        (0, Output::Disconnect { connection }),
        (0, Output::Close { stream }),
    ];
    assert_eq!(rig.told, expected);
    rig.assert_all_comes_back();
}

#[test]
fn a_connection_is_bound_once_and_by_its_user() {
    let (mut rig, _, id) = waiting();
    let mut bert = Caller::bert().by_tcp(3);
    assert_eq!(bind(&mut rig, &mut bert, id).code(), Some(441));
    assert!(bind(&mut rig, &mut second(), id).is_success());
    let mut third = second().by_tcp(4);
    third.client.remote.set_port(1_002);
    assert_eq!(bind(&mut rig, &mut third, id).code(), Some(400));
}

#[test]
fn a_wrong_connection_bind_is_400() {
    let (mut rig, mut anna, id) = waiting();
    // Nobody's, by UDP, without id, and on the control connection itself.
    let nobodys = ConnectionId(id.0 ^ 1);
    assert_eq!(bind(&mut rig, &mut second(), nobodys).code(), Some(400));
    let mut by_udp = Caller::new("anna", "192.0.2.1:1001");
    assert_eq!(bind(&mut rig, &mut by_udp, id).code(), Some(400));
    let answer = rig.ask(&mut second(), Method::ConnectionBind, |encoder| encoder);
    assert_eq!(answer.code(), Some(400));
    assert_eq!(bind(&mut rig, &mut anna, id).code(), Some(400));
    assert!(rig.told.is_empty());
    assert!(bind(&mut rig, &mut second(), id).is_success());
}

#[test]
fn a_connection_that_nobody_comes_for_ends_after_thirty_seconds() {
    let (mut rig, _, id) = waiting();
    rig.pass(Duration::from_millis(29_999));
    assert!(rig.told.is_empty());
    // Late, although the driver has not told the time.
    rig.now += Duration::from_millis(1);
    assert_eq!(bind(&mut rig, &mut second(), id).code(), Some(400));
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.told, [(0, Output::Disconnect { connection: id })]);
    rig.assert_all_comes_back();
}

#[test]
fn a_client_that_comes_to_the_other_worker_is_handed_over() {
    let (mut rig, _, id) = waiting();
    let mut elsewhere = second().at_worker(1);
    rig.greet(&mut elsewhere);
    let request = elsewhere.request(Method::ConnectionBind, new_transaction(), |encoder| {
        encoder.connection_id(id)
    });
    assert!(rig.exchange(&elsewhere, &request).is_none());
    let stream = StreamId(2);
    let handed = Output::Migrate {
        stream,
        worker: 0,
        request: request.clone(),
    };
    assert_eq!(rig.told, [(1, handed)]);
    // There its request is served as if it had come so, under a name of there.
    let here = elsewhere.by_tcp(9).at_worker(0);
    assert!(rig.exchange(&here, &request).unwrap().is_success());
    let stream = StreamId(9);
    assert_eq!(
        rig.told[1],
        (
            0,
            Output::Join {
                stream,
                connection: id
            }
        )
    );
}

#[test]
fn a_control_connection_is_never_handed_over() {
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    allocate_tcp(&mut rig, &mut anna);
    let of_other = ConnectionId(1 << 24 | 5);
    assert_eq!(bind(&mut rig, &mut anna, of_other).code(), Some(400));
    assert!(rig.told.is_empty());
}

#[test]
fn a_stranger_is_not_handed_over() {
    let mut rig = Rig::new();
    let mut nobody = Caller::new("nobody", "192.0.2.1:1").by_tcp(1);
    let of_other = ConnectionId(1 << 24 | 5);
    assert_eq!(bind(&mut rig, &mut nobody, of_other).code(), Some(401));
    assert!(rig.told.is_empty());
}

#[test]
fn a_joined_pair_that_has_ended_is_forgotten() {
    let (mut rig, anna, id) = waiting();
    bind(&mut rig, &mut second(), id);
    rig.relays[0].handle_disconnected(id);
    // So its peer may be called again.
    assert!(connect(&mut rig, &anna, PEER).is_none());
    rig.assert_all_comes_back();
}
