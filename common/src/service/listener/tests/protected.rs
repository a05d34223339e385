//! TURN by TLS, alone and beside HTTPS.

use std::io::{Read as _, Write as _};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::block_in_place,
};

use super::{
    super::*,
    support::{REQUEST, STUN, Served, Taken, TlsPair, ask, end, peer_router, read, serve, taker},
};

const TURN: &[u8] = b"stun.turn";

/// HTTPS and TURN on one port.
fn shared(options: Options) -> (Served, Taken, TlsPair) {
    let (pair, (divert, taken)) = (TlsPair::new(), taker());
    let tls = Tls::OrPlain(Arc::clone(&pair.server));
    let service = Service::http(peer_router()).with_turn(divert);
    (serve(options, tls, service), taken, pair)
}

/// TURN by TLS and nothing else.
fn alone(options: Options) -> (Served, Taken, TlsPair) {
    let (pair, (divert, taken)) = (TlsPair::new(), taker());
    let tls = Tls::Only(Arc::clone(&pair.server));
    (serve(options, tls, Service::turn(divert)), taken, pair)
}

#[tokio::test]
async fn alpn_tells_turn_from_http() {
    let (served, mut taken, pair) = shared(Options::default());
    // Nothing of it is read: it is handed over before it says a word.
    let mut turn = pair.connect(served.address, &[TURN]).await.unwrap();
    let mut diverted = taken.next().await;
    assert_eq!(diverted.peer, turn.get_ref().0.local_addr().unwrap());
    turn.write_all(STUN).await.unwrap();
    turn.flush().await.unwrap();
    assert_eq!(read(&mut diverted, STUN.len()), STUN);

    let mut http = pair.connect(served.address, &[b"http/1.1"]).await.unwrap();
    assert!(ask(&mut http, REQUEST).await.contains("200 OK"));
    let both = pair.connect(served.address, &[TURN, b"h2"]).await.unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn what_is_not_served_is_not_offered() {
    let (served, _taken, pair) = shared(Options::default());
    pair.connect(served.address, &[b"smtp"]).await.unwrap_err();
    served.figure("tls_handshake", 1).await;

    let (served, _taken, pair) = alone(Options::default());
    pair.connect(served.address, &[b"h2", b"http/1.1"])
        .await
        .unwrap_err();
    served.figure("tls_handshake", 1).await;

    let pair = TlsPair::new();
    let tls = Tls::OrPlain(Arc::clone(&pair.server));
    let served = serve(Options::default(), tls, peer_router());
    pair.connect(served.address, &[TURN]).await.unwrap_err();
    served.figure("tls_handshake", 1).await;
}

#[tokio::test]
async fn without_alpn_the_first_byte_tells() {
    let (served, mut taken, pair) = shared(Options::default());
    let mut turn = pair.connect(served.address, &[]).await.unwrap();
    turn.write_all(STUN).await.unwrap();
    turn.flush().await.unwrap();
    assert_eq!(read(&mut taken.next().await, STUN.len()), STUN);

    let mut http = pair.connect(served.address, &[]).await.unwrap();
    let answer = ask(&mut http, REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");

    let (served, _taken, pair) = alone(Options::default());
    let mut neither = pair.connect(served.address, &[]).await.unwrap();
    neither.write_all(b"POST / HTTP/1.1\r\n").await.unwrap();
    neither.flush().await.unwrap();
    assert_eq!(end(&mut neither).await, b"");
    served.figure("unknown_protocol", 1).await;
}

#[tokio::test]
async fn silence_inside_of_tls_is_ended() {
    let options = Options {
        first_request_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let (served, _taken, pair) = alone(options);
    let mut silent = pair.connect(served.address, &[]).await.unwrap();
    assert_eq!(end(&mut silent).await, b"");
    served.figure("silent", 1).await;
}

#[tokio::test]
async fn turn_in_the_clear_comes_only_where_it_may() {
    let (served, mut taken, _pair) = shared(Options::default());
    let mut client = served.connect().await;
    client.write_all(STUN).await.unwrap();
    assert!(taken.next().await.tls.is_none());

    let (served, _taken, _pair) = alone(Options::default());
    served.refuses(STUN, "unknown_protocol", 1).await;
}

/// Both where a byte was waited for and where none was.
#[tokio::test(flavor = "multi_thread")]
async fn plaintext_that_came_with_the_handshake_is_kept() {
    let (served, mut taken, pair) = shared(Options::default());
    for alpn in [&[TURN][..], &[]] {
        let _client = block_in_place(|| pair.connect_in_haste(served.address, alpn, STUN));
        let mut tls = taken.next().await.tls.unwrap();
        let mut bytes = [0; 64];
        let len = tls.reader().read(&mut bytes).unwrap();
        assert_eq!(&bytes[..len], STUN, "without touching the socket");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_plaintext_than_rustls_holds_is_kept_too() {
    let (served, mut taken, pair) = shared(Options::default());
    let first: Vec<u8> = STUN.iter().copied().cycle().take(100_000).collect();
    for alpn in [&[TURN][..], &[]] {
        let _client = block_in_place(|| pair.connect_in_haste(served.address, alpn, &first));
        assert!(read(&mut taken.next().await, first.len()) == first);
    }
}

#[tokio::test]
async fn a_diverted_connection_can_answer() {
    let (served, mut taken, pair) = alone(Options::default());
    let mut client = pair.connect(served.address, &[TURN]).await.unwrap();
    let mut diverted = taken.next().await;
    let mut tls = diverted.tls.take().unwrap();
    tls.writer().write_all(b"answer").unwrap();
    while tls.wants_write() {
        tls.write_tls(&mut diverted.stream).unwrap();
    }
    let mut answer = [0; 6];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");
}

#[tokio::test]
async fn stalled_handshakes_are_ended_and_silence_holds_none() {
    let options = Options {
        max_handshakes: 1,
        handshake_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let (served, mut taken, pair) = shared(options);
    let _silent = served.connect().await;
    served.figure("open", 1).await;
    pair.connect(served.address, &[TURN]).await.unwrap();
    taken.next().await;
    // The second waits for the first's end, within its own time.
    let mut stalled = [served.connect().await, served.connect().await];
    for stream in &mut stalled {
        stream.write_all(b"\x16\x03\x01").await.unwrap();
    }
    for stream in &mut stalled {
        assert_eq!(end(stream).await, b"");
    }
    served.figure("tls_timeout", 2).await;
    pair.connect(served.address, &[TURN]).await.unwrap();
    taken.next().await;
}

#[tokio::test]
async fn a_source_cannot_hold_every_handshake() {
    let options = Options {
        max_half_open: 1,
        ..Options::default()
    };
    let (served, _taken, pair) = shared(options);
    let mut stalled = served.connect().await;
    stalled.write_all(b"\x16\x03\x01").await.unwrap();
    served.figure("open", 1).await;
    served.refuses(b"", "half_open", 1).await;
    drop(stalled);
    served.figure("open", 0).await;
    let mut http = pair.connect(served.address, &[b"http/1.1"]).await.unwrap();
    assert!(ask(&mut http, REQUEST).await.contains("200 OK"));
    // What is being served is not half open.
    pair.connect(served.address, &[TURN]).await.unwrap();
}
