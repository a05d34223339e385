//! A TURN server under load, coturn or ours, each alone on a core.
//!
//! | module | holds |
//! |---|---|
//! | [`ground`] | two network namespaces and the veth between them |
//! | [`server`] | the server under test: coturn, ours, the forwarder |
//! | [`forwarder`] | what it costs without TURN |
//! | [`client`] | clients with allocations, by UDP, TCP and TLS |
//! | [`path`] | what sends: a train of datagrams, a stream |
//! | [`receiver`] | what counts arrivals |
//! | [`generator`] | pacing, and what became of the packets |
//! | [`search`] | the highest rate without loss |
//! | [`load`] | the loads: who sends what to whom |
//! | [`case`] | one measurement with its figures |
//! | [`growth`] | what an allocation costs |
//!
//! STUN messages are written by [`tests::turn::message`].
//!
//! The server has core 0 and the generator core 1, both under a real-time
//! policy; clients and peers share the generator's namespace. A server pays for
//! the kernel's work up to the queue of the socket it sends to, and none for what
//! it receives: on a veth, that runs in the sender's system call.

use std::net::{Ipv4Addr, SocketAddrV4};

pub mod case;
pub mod client;
pub mod forwarder;
pub mod generator;
pub mod ground;
pub mod growth;
pub mod load;
pub mod path;
pub mod receiver;
pub mod search;
pub mod server;

/// Where servers listen, and bind relayed sockets.
pub const SERVER_IP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// Where clients and peers are.
pub const CLIENT_IP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// TURN by UDP and TCP.
pub const SERVER: SocketAddrV4 = SocketAddrV4::new(SERVER_IP, 3478);
/// TURN by TLS.
pub const SERVER_TLS: SocketAddrV4 = SocketAddrV4::new(SERVER_IP, 5349);
/// The user that servers know.
pub const USER: &str = "user";
/// That user's password.
pub const PASSWORD: &str = "pass";
/// What servers tell as their realm.
pub const REALM: &str = "test";
/// Clients of a load; each has an allocation and a peer of its own.
pub const CLIENTS: u16 = 50;

/// The address of one peer.
pub const fn peer(index: u16) -> SocketAddrV4 {
    SocketAddrV4::new(CLIENT_IP, 7_000 + index)
}

/// The address of one client where it is not the kernel's to choose: the
/// forwarder tells clients apart by port.
pub const fn plain_client(index: u16) -> SocketAddrV4 {
    SocketAddrV4::new(CLIENT_IP, 20_000 + index)
}
