//! TURN in the clear, alone and beside HTTP, and what is neither.

use std::{
    io::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    super::*,
    support::{REQUEST, SOON, STUN, TlsPair, ask, end, peer_router, read, serve, taker},
};

const ICE: &[u8] = b"\x00\x14\x00\x01\x00\x00\x21\x12\xA4\x42abcdefghijkl";

fn hasty() -> Options {
    Options {
        first_request_timeout: Duration::from_millis(200),
        ..Options::default()
    }
}

#[tokio::test]
async fn a_turn_connection_is_handed_over_whole() {
    let (divert, mut taken) = taker();
    let served = serve(Options::default(), Tls::Off, Service::turn(divert));
    let mut client = served.connect().await;
    client.write_all(STUN).await.unwrap();
    let mut diverted = taken.next().await;
    assert!(diverted.tls.is_none());
    assert_eq!(diverted.peer, client.local_addr().unwrap());
    assert_eq!(diverted.local, served.address);
    assert!(diverted.stream.nodelay().unwrap());
    let nothing = diverted.stream.peek(&mut [0; 64]).unwrap();
    assert_eq!(nothing, STUN.len(), "nothing was read, and nothing blocks");
    assert_eq!(read(&mut diverted, STUN.len()), STUN);
    diverted.stream.write_all(b"answer").unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
}

#[tokio::test]
async fn http_and_turn_share_a_port() {
    let (divert, mut taken) = taker();
    let service = Service::http(peer_router()).with_turn(divert);
    let served = serve(Options::default(), Tls::Off, service);
    let mut turn = served.connect().await;
    turn.write_all(STUN).await.unwrap();
    let diverted = taken.next().await;
    let mut http = served.connect().await;
    let answer = ask(&mut http, REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let local = http.local_addr().unwrap().to_string();
    assert!(answer.ends_with(&local), "{answer}");
    served.figure("open", 2).await;
    drop((diverted, http));
    served.figure("open", 0).await;
}

#[tokio::test]
async fn what_is_neither_is_closed_and_counted() {
    let (divert, _taken) = taker();
    let alone = serve(hasty(), Tls::Off, Service::turn(Arc::clone(&divert)));
    alone
        .refuses(b"POST / HTTP/1.1\r\n\r\n", "unknown_protocol", 1)
        .await;
    alone.refuses(&[0xFF; 20], "unknown_protocol", 2).await;
    alone
        .refuses(
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03",
            "unknown_protocol",
            3,
        )
        .await;
    alone.refuses(ICE, "ice_tcp", 1).await;
    alone.refuses(b"", "silent", 1).await;
    alone.refuses(&STUN[..7], "silent", 2).await;
    alone.figure("open", 0).await;

    let service = Service::http(peer_router()).with_turn(divert);
    let tls = Tls::OrPlain(TlsPair::new().server);
    let shared = serve(hasty(), tls, service);
    shared
        .refuses(b"POST / HTTP/1.1\r\n\r\n", "unknown_protocol", 1)
        .await;
    shared.refuses(ICE, "ice_tcp", 1).await;
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let (divert, mut taken) = taker();
    let service = Service::http(peer_router()).with_turn(divert);
    let served = serve(Options::default(), Tls::Off, service);
    let mut client = served.connect().await;
    for byte in STUN {
        client.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(read(&mut taken.next().await, STUN.len()), STUN);
}

#[tokio::test]
async fn who_closes_before_it_is_told_is_not_waited_for() {
    let (divert, _taken) = taker();
    let served = serve(Options::default(), Tls::Off, Service::turn(divert));
    for begin in [&b""[..], &STUN[..3]] {
        let mut client = served.connect().await;
        client.write_all(begin).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(end(&mut client).await, b"");
    }
    served.figure("open", 0).await;
    served.figure("silent", 0).await;
}

#[tokio::test]
async fn a_place_is_free_again_when_the_receiver_drops_it() {
    let (divert, mut taken) = taker();
    let options = Options {
        max_connections: 1,
        ..Options::default()
    };
    let served = serve(options, Tls::Off, Service::turn(divert));
    let mut first = served.connect().await;
    first.write_all(STUN).await.unwrap();
    let Diverted { stream, place, .. } = taken.next().await;
    let mut second = served.connect().await;
    second.write_all(STUN).await.unwrap();
    drop(stream);
    let early = timeout(Duration::from_millis(200), taken.next()).await;
    assert!(early.is_err(), "the second has no place yet");
    served.figure("open", 1).await;
    drop(place);
    taken.next().await;
}

#[tokio::test]
async fn a_source_has_a_bound_on_half_open_connections() {
    let (divert, mut taken) = taker();
    let options = Options {
        max_half_open: 2,
        ..Options::default()
    };
    let served = serve(options, Tls::Off, Service::turn(divert));
    let (mut first, _second) = (served.connect().await, served.connect().await);
    served.figure("open", 2).await;
    served.refuses(b"", "half_open", 1).await;
    first.write_all(STUN).await.unwrap();
    let _kept = taken.next().await;
    let mut third = served.connect().await;
    third.write_all(STUN).await.unwrap();
    taken.next().await;
}

#[tokio::test]
async fn shutdown_leaves_diverted_connections_alone() {
    let (divert, mut taken) = taker();
    let served = serve(Options::default(), Tls::Off, Service::turn(divert));
    let mut client = served.connect().await;
    client.write_all(STUN).await.unwrap();
    let mut diverted = taken.next().await;
    let mut silent = served.connect().await;
    served.figure("open", 2).await;
    served.shutdown.cancel();
    timeout(SOON, served.task).await.unwrap().unwrap();
    assert_eq!(end(&mut silent).await, b"");
    assert_eq!(read(&mut diverted, STUN.len()), STUN);
}

#[tokio::test]
async fn both_families_can_have_one_port() {
    let options = Options {
        ipv6_only: true,
        ..Options::default()
    };
    let bind = |address: SocketAddr| {
        let metrics = ListenerMetrics::new("inlet_test", "test");
        Listener::bind(address, options.clone(), Tls::Off, metrics)
    };
    let v6 = bind((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
    bind((Ipv4Addr::UNSPECIFIED, v6.local_addr().port()).into()).unwrap();
}

#[tokio::test]
async fn an_ipv4_client_of_an_ipv6_socket_is_told_as_ipv4() {
    let (divert, mut taken) = taker();
    let metrics = ListenerMetrics::new("inlet_test", "test");
    let address = (Ipv6Addr::UNSPECIFIED, 0).into();
    let listener = Listener::bind(address, Options::default(), Tls::Off, metrics).unwrap();
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.local_addr().port()));
    let task = tokio::spawn(listener.serve(Service::turn(divert), CancellationToken::new()));
    let mut client = TcpStream::connect(target).await.unwrap();
    client.write_all(STUN).await.unwrap();
    let diverted = taken.next().await;
    assert_eq!(diverted.peer, client.local_addr().unwrap());
    assert_eq!(diverted.local, target);
    task.abort();
}
