//! What a PROXY header changes, and for whom.

use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::io::AsyncWriteExt as _;

use super::{
    super::*,
    support::{REQUEST, STUN, TlsPair, ask, end, peer_router, read, serve, taker},
};

/// PROXY, TCP over IPv4, 192.0.2.1:12345 to 198.51.100.2:443, and a TLV.
const HEADER: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x10\
    \xC0\x00\x02\x01\xC6\x33\x64\x02\x30\x39\x01\xBB\x04\x00\x01\xFF";

/// LOCAL, without addresses.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

const SOURCE: &str = "192.0.2.1:12345";

fn trusting(network: &str) -> Options {
    Options {
        trusted_proxies: vec![network.parse().unwrap()],
        first_request_timeout: Duration::from_millis(500),
        ..Options::default()
    }
}

#[tokio::test]
async fn turn_has_the_addresses_that_the_proxy_tells() {
    let (divert, mut taken) = taker();
    let served = serve(trusting("127.0.0.0/8"), Tls::Off, Service::turn(divert));
    let mut client = served.connect().await;
    client.write_all(&[HEADER, STUN].concat()).await.unwrap();
    let mut diverted = taken.next().await;
    assert_eq!(diverted.peer, SOURCE.parse().unwrap());
    assert_eq!(diverted.local, "198.51.100.2:443".parse().unwrap());
    assert_eq!(read(&mut diverted, STUN.len()), STUN);
}

#[tokio::test]
async fn ipv6_is_told_too() {
    let (divert, mut taken) = taker();
    let served = serve(trusting("127.0.0.1/32"), Tls::Off, Service::turn(divert));
    let (source, destination) = (Ipv6Addr::from_bits(7), Ipv6Addr::from_bits(8));
    let header = [
        &HEADER[..13],
        b"\x21\x00\x24",
        &source.octets(),
        &destination.octets(),
        b"\x00\x07\x00\x08",
    ];
    let mut client = served.connect().await;
    client.write_all(&header.concat()).await.unwrap();
    client.write_all(STUN).await.unwrap();
    let diverted = taken.next().await;
    assert_eq!(diverted.peer, SocketAddr::from((source, 7)));
    assert_eq!(diverted.local, SocketAddr::from((destination, 8)));
}

#[tokio::test]
async fn the_proxys_own_connections_keep_their_addresses() {
    let (divert, mut taken) = taker();
    let served = serve(trusting("127.0.0.0/8"), Tls::Off, Service::turn(divert));
    let mut client = served.connect().await;
    client.write_all(&[LOCAL, STUN].concat()).await.unwrap();
    let diverted = taken.next().await;
    assert_eq!(diverted.peer, client.local_addr().unwrap());
    assert_eq!(diverted.local, served.address);
}

#[tokio::test]
async fn http_alone_takes_a_header_too() {
    let served = serve(trusting("127.0.0.0/8"), Tls::Off, peer_router());
    let mut client = served.connect().await;
    let answer = ask(&mut client, &[HEADER, REQUEST].concat()).await;
    assert!(answer.ends_with(SOURCE), "{answer}");
}

#[tokio::test]
async fn tls_begins_behind_the_header() {
    let (pair, (divert, mut taken)) = (TlsPair::new(), taker());
    let tls = Tls::Only(Arc::clone(&pair.server));
    let served = serve(trusting("127.0.0.0/8"), tls, Service::turn(divert));
    let mut client = served.connect().await;
    client.write_all(HEADER).await.unwrap();
    pair.cover(client, &[b"stun.turn"]).await.unwrap();
    let diverted = taken.next().await;
    assert!(diverted.tls.is_some());
    assert_eq!(diverted.peer, SOURCE.parse().unwrap());
}

#[tokio::test]
async fn a_trusted_source_must_send_one() {
    let (divert, _taken) = taker();
    let service = Service::http(peer_router()).with_turn(divert);
    let served = serve(trusting("127.0.0.0/8"), Tls::Off, service);
    let mut udp = HEADER.to_vec();
    udp[13] = 0x12;
    let mut long = HEADER.to_vec();
    long[14] = 0xFF;
    let bad = [
        REQUEST,
        STUN,
        b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n",
        &udp,
        &long,
        // These two end by time.
        b"",
        &HEADER[..20],
    ];
    for (count, bytes) in (1..).zip(bad) {
        served.refuses(bytes, "proxy_header", count).await;
    }
}

#[tokio::test]
async fn of_anybody_else_it_is_never_read() {
    let (divert, mut taken) = taker();
    let served = serve(trusting("192.0.2.0/24"), Tls::Off, Service::turn(divert));
    served.refuses(HEADER, "unknown_protocol", 1).await;
    let mut client = served.connect().await;
    client.write_all(STUN).await.unwrap();
    assert_eq!(taken.next().await.peer, client.local_addr().unwrap());

    let served = serve(Options::default(), Tls::Off, peer_router());
    let mut client = served.connect().await;
    client.write_all(&[HEADER, REQUEST].concat()).await.unwrap();
    client.shutdown().await.unwrap();
    let answer = end(&mut client).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
}

#[tokio::test]
async fn half_open_ones_count_for_the_source_that_is_told() {
    let (divert, _taken) = taker();
    let options = Options {
        max_half_open: 1,
        first_request_timeout: Duration::from_secs(10),
        ..trusting("127.0.0.0/8")
    };
    let served = serve(options, Tls::Off, Service::turn(divert));
    let mut kept = Vec::new();
    for begin in [HEADER, LOCAL, LOCAL] {
        let mut client = served.connect().await;
        client.write_all(begin).await.unwrap();
        kept.push(client);
        served.figure("open", kept.len() as u64).await;
    }
    served.refuses(HEADER, "half_open", 1).await;
    let mut other = HEADER.to_vec();
    other[19] = Ipv4Addr::new(192, 0, 2, 9).octets()[3];
    let mut client = served.connect().await;
    client.write_all(&other).await.unwrap();
    served.figure("open", 4).await;
    served.figure("half_open", 1).await;
}
