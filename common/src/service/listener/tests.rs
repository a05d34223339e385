//! Real sockets on the loopback address; HTTP is written by hand, so that a
//! client can be as slow and as rude as it likes. Here: HTTP alone.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Router, body::Body, routing::get};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};
use tokio_util::io::ReaderStream;

use super::*;
use support::{REQUEST, TlsPair, ask, end, peer_router, serve};

mod protected;
mod proxied;
mod support;
mod turn;

#[tokio::test]
async fn a_handler_sees_the_peer() {
    let served = serve(Options::default(), Tls::Off, peer_router());
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let local = stream.local_addr().unwrap();
    let answer = ask(&mut stream, REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(&local.to_string()), "{answer}");
}

#[tokio::test]
async fn https_serves_the_same_router() {
    let pair = TlsPair::new();
    let served = serve(
        Options::default(),
        Tls::Only(Arc::clone(&pair.server)),
        peer_router(),
    );
    let mut stream = pair.connect(served.address, &[b"http/1.1"]).await.unwrap();
    let answer = ask(&mut stream, REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_handshake_that_stalls_is_ended_and_others_go_on() {
    let pair = TlsPair::new();
    let options = Options {
        max_handshakes: 1,
        handshake_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let served = serve(options, Tls::Only(Arc::clone(&pair.server)), peer_router());
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    let mut rest = [0; 1];
    let end = timeout(Duration::from_secs(5), silent.read(&mut rest)).await;
    assert!(
        matches!(end, Ok(Ok(0) | Err(_))),
        "the stalled one is closed"
    );

    let mut stream = pair.connect(served.address, &[b"http/1.1"]).await.unwrap();
    assert!(ask(&mut stream, REQUEST).await.contains("200 OK"));
}

#[tokio::test]
async fn silence_and_half_a_request_are_ended() {
    let options = Options {
        first_request_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let served = serve(options, Tls::Off, peer_router());
    for begin in [
        &b""[..],
        b"G",
        b"GET /peer HTTP/1.1\r\nHo",
        b"PRI * HTTP/2.0\r\n\r\nSM",
    ] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(begin).await.unwrap();
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "still open after {begin:?}");
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn half_a_request_after_a_whole_one_is_ended_too() {
    let options = Options {
        first_request_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let served = serve(options, Tls::Off, peer_router());
    let mut stream = served.connect().await;
    assert!(ask(&mut stream, REQUEST).await.contains("200 OK"));
    stream.write_all(&REQUEST[..9]).await.unwrap();
    assert_eq!(end(&mut stream).await, b"");
    served.figure("idle", 1).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_ended_and_one_that_reads_slowly_is_not() {
    const SIZE: usize = 16 << 20;
    let options = Options {
        first_request_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(1_500),
        ..Options::default()
    };
    let body = || Body::from_stream(ReaderStream::new(tokio::io::repeat(7).take(SIZE as u64)));
    let router = Router::new().route("/", get(async move || body()));
    let served = serve(options, Tls::Off, router);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut deaf = served.connect().await;
    deaf.write_all(request).await.unwrap();
    let mut slow = served.connect().await;
    slow.write_all(request).await.unwrap();
    let mut received = 0;
    let mut buffer = vec![0; 256 * 1024];
    // Takes about four seconds, several times what the other has.
    while let Ok(read @ 1..) = slow.read(&mut buffer).await {
        received += read;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert!(received > SIZE, "{received} with the lengths of its chunks");
    served.figure("stalled", 1).await;
    let rest = end(&mut deaf).await;
    assert!(rest.len() < SIZE, "{} bytes were waiting", rest.len());
}

#[tokio::test]
async fn beyond_the_bound_connections_wait_for_a_place() {
    let options = Options {
        max_connections: 1,
        ..Options::default()
    };
    let served = serve(options, Tls::Off, peer_router());
    let mut first = TcpStream::connect(served.address).await.unwrap();
    assert!(ask(&mut first, REQUEST).await.contains("200 OK"));
    let mut second = TcpStream::connect(served.address).await.unwrap();
    second.write_all(REQUEST).await.unwrap();
    let early = timeout(Duration::from_millis(200), second.read(&mut [0; 1])).await;
    assert!(early.is_err(), "the second has no place yet");
    drop(first);
    let mut answer = [0; 12];
    second.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn shutdown_lets_a_running_request_finish_and_takes_no_new_one() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, go) = (Arc::clone(&entered), Arc::clone(&release));
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    let router = Router::new().route(
        "/slow",
        get(async move || {
            inside.notify_one();
            go.notified().await;
            count.fetch_add(1, Ordering::SeqCst);
            "done"
        }),
    );
    let served = serve(Options::default(), Tls::Off, router);
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let client =
        tokio::spawn(
            async move { ask(&mut stream, b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await },
        );
    entered.notified().await;
    served.shutdown.cancel();
    // The listening socket closes as soon as the loop has seen the shutdown.
    while TcpStream::connect(served.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.notify_one();
    let answer = client.await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    assert!(
        answer.to_lowercase().contains("connection: close"),
        "{answer}"
    );
    served.task.await.unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let options = Options {
        shutdown_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let entered = Arc::new(Notify::new());
    let inside = Arc::clone(&entered);
    let router = Router::new().route(
        "/never",
        get(async move || {
            inside.notify_one();
            std::future::pending::<&str>().await
        }),
    );
    let served = serve(options, Tls::Off, router);
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream
        .write_all(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    entered.notified().await;
    served.shutdown.cancel();
    timeout(Duration::from_secs(5), served.task)
        .await
        .expect("the listener gave up on it")
        .unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let served = serve(Options::default(), Tls::Off, peer_router());
    let error = Listener::bind(
        served.address,
        Options::default(),
        None,
        ListenerMetrics::new("inlet_test", "test"),
    )
    .unwrap_err();
    assert!(
        error.to_string().contains(&served.address.to_string()),
        "{error}"
    );
}
