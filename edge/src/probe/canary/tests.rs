//! Runs against servers that are none, over real sockets.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use inlet_common::roq::pop::{Loads, Report};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

use super::*;

mod far;

/// Long enough for handshakes on a busy machine.
const BRIEF: Patience = Patience {
    first: Duration::from_millis(700),
    step: Duration::from_millis(700),
    whole: Duration::from_millis(1_000),
};

/// An authority, and nobody who has a certificate of it.
fn authority() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let made = rcgen::generate_simple_self_signed(["edge.test".to_owned()]).unwrap();
    let number = COUNT.fetch_add(1, Relaxed);
    let name = format!("inlet-probe-{}-{number}.pem", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, made.cert.pem()).unwrap();
    path
}

fn canary(patience: Patience) -> Canary {
    let path = authority();
    let canary = Canary::new(Some(&path), patience).unwrap();
    std::fs::remove_file(path).unwrap();
    canary
}

/// Everything at these ports.
fn target(tcp: SocketAddr, udp: SocketAddr) -> Target {
    Target {
        pop: "a".to_owned(),
        host: "edge.test".to_owned(),
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        whip: Some(format!("http://edge.test:{}", tcp.port()).parse().unwrap()),
        stun: Some(udp.port()),
        turn_udp: Some(udp.port()),
        turn_tcp: Some(tcp.port()),
        turn_tls: Some(tcp.port()),
    }
}

fn errors(findings: &Findings) -> Vec<Error> {
    findings
        .all()
        .map(|(_, found)| found.unwrap_err())
        .collect()
}

/// A server that does `serve` to each connection, until the set is dropped.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut clients = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            clients.spawn(serve(stream));
        }
    });
    (address, tasks)
}

/// Says this to whoever says something first, and waits for the end.
async fn say(mut stream: TcpStream, answer: Vec<u8>) {
    let mut bytes = [0; 2_048];
    if stream.read(&mut bytes).await.is_ok() && stream.write_all(&answer).await.is_ok() {
        while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
    }
}

async fn run(canary: &Canary, target: &Target) -> Findings {
    let credentials = Credentials::Secret("a secret".to_owned());
    canary.run(target, &credentials).await
}

#[tokio::test]
async fn where_nobody_listens_all_are_refused() {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = target(tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    drop((tcp, udp));
    let findings = run(&canary(Patience::USUAL), &target).await;
    assert_eq!(errors(&findings), [Error::Refused; 5]);
}

#[tokio::test]
async fn silence_is_waited_for_no_longer_than_the_limit() {
    let (tcp, _server) = server(|stream| say(stream, Vec::new())).await;
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let begun = clock::now();
    let target = target(tcp, udp.local_addr().unwrap());
    let findings = run(&canary(BRIEF), &target).await;
    assert_eq!(errors(&findings), [Error::Timeout; 5]);
    let took = clock::now() - begun;
    assert!(took >= BRIEF.step && took < BRIEF.whole * 3, "{took:?}");
}

#[tokio::test]
async fn another_protocol_is_found_out() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (tcp, _server) = server(|stream| say(stream, answer.to_vec())).await;
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut target = target(tcp, udp.local_addr().unwrap());
    (target.stun, target.turn_udp) = (None, None);
    let findings = run(&canary(Patience::USUAL), &target).await;
    // An HTTP server that takes no offers; HTTP where TURN should be, and TLS.
    let expected = [Error::Protocol, Error::Protocol, Error::Tls];
    assert_eq!(errors(&findings), expected);
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_told() {
    let (tcp, _server) = server(|stream| async move { drop(stream) }).await;
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut target = target(tcp, udp.local_addr().unwrap());
    (target.stun, target.turn_udp) = (None, None);
    let findings = run(&canary(Patience::USUAL), &target).await;
    assert_eq!(
        errors(&findings),
        [Error::Closed, Error::Closed, Error::Tls]
    );
}

#[tokio::test]
async fn what_whip_answers_is_told_apart() {
    let whip = "HTTP/1.1 204 No Content\r\nAccept-Post: application/sdp\r\n\r\n";
    let endless = format!("HTTP/1.1 204 No Content\r\nX: {}", "x".repeat(64 * 1024));
    let cases = [
        (whip, None),
        (
            "HTTP/1.1 503 Busy\r\nRetry-After: 5\r\n\r\n",
            Some(Error::Unavailable),
        ),
        ("HTTP/1.1 404 Not Found\r\n\r\n", Some(Error::Status)),
        (
            "HTTP/1.1 308 Moved\r\nLocation: https://b.example/\r\n\r\n",
            Some(Error::Status),
        ),
        ("\0\x01\x02 what?\r\n\r\n", Some(Error::Protocol)),
        (endless.as_str(), Some(Error::Protocol)),
    ];
    for (answer, expected) in cases {
        let text = answer.as_bytes().to_vec();
        let (tcp, _server) = server(move |stream| say(stream, text.clone())).await;
        let mut target = target(tcp, tcp);
        target.stun = None;
        (target.turn_udp, target.turn_tcp, target.turn_tls) = (None, None, None);
        let findings = run(&canary(Patience::USUAL), &target).await;
        let found = findings.whip.map(Result::err);
        assert_eq!(found, Some(expected), "{:.40}", answer);
    }
}

const FLEET: &str = "a secret of the whole fleet";

const WHIP: &str = "HTTP/1.1 204 No Content\r\nAccept-Post: application/sdp\r\n\r\n";

fn secrets() -> Secrets {
    Secrets::new([FLEET])
}

fn idle() -> Report {
    Report {
        made: clock::utc(),
        is_draining: false,
        is_cut_off: false,
        down: Default::default(),
        loads: Loads::default(),
    }
}

/// What `answer` says to a question, as HTTP has it.
fn told(question: &str, own: &str) -> Vec<u8> {
    let body = secrets().answer(own, question, clock::utc(), idle);
    let body = body.unwrap_or_default();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

/// Probes one that answers OPTIONS with `options`, and behind it whoever asks how it does
/// with what `answer` makes of the question; it hangs up when that is nothing.
async fn asked(
    options: &'static str,
    answer: impl Fn(&str) -> Option<Vec<u8>> + Clone + Send + Sync + 'static,
) -> Findings {
    let serve = move |mut stream: TcpStream| {
        let answer = answer.clone();
        async move {
            let mut bytes = [0; 2_048];
            if !matches!(stream.read(&mut bytes).await, Ok(1..)) {
                return;
            }
            stream.write_all(options.as_bytes()).await.ok();
            let len = stream.read(&mut bytes).await.unwrap_or_default();
            let head = String::from_utf8_lossy(&bytes[..len]).into_owned();
            let mut lines = head.lines();
            let question = lines.find_map(|line| line.strip_prefix("inlet-fleet: "));
            if let Some(answer) = question.and_then(answer) {
                stream.write_all(&answer).await.ok();
                while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
            }
        }
    };
    let (tcp, _server) = server(serve).await;
    let mut target = target(tcp, tcp);
    target.stun = None;
    (target.turn_udp, target.turn_tcp, target.turn_tls) = (None, None, None);
    let canary = canary(BRIEF).asking(Some(Arc::new(secrets())));
    run(&canary, &target).await
}

#[tokio::test]
async fn who_is_asked_tells_how_it_does() {
    let found = asked(WHIP, |question| Some(told(question, "a"))).await;
    assert!(found.whip.unwrap().is_ok(), "{found:?}");
    assert!(!found.report.unwrap().unwrap().report.is_draining);
    // One that drains too, on the same connection, behind an answer with a body.
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater";
    let found = asked(busy, |question| Some(told(question, "a"))).await;
    assert_eq!(found.whip, Some(Err(Error::Unavailable)));
    assert!(found.report.unwrap().is_ok(), "{found:?}");
}

/// Neither does it hurt the probe, nor does it take longer.
#[tokio::test]
async fn what_cannot_be_believed_is_no_answer() {
    let before = secrets().ask("a", clock::utc());
    let before = told(before.as_str(), "a");
    let earlier = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(64 * 1024));
    let cases = [
        (Some(before), Error::Integrity),
        (Some(earlier), Error::Status),
        (Some(endless.into_bytes()), Error::Protocol),
        (Some(Vec::new()), Error::Timeout),
        (None, Error::Closed),
    ];
    for (answer, expected) in cases {
        let begun = clock::now();
        let found = asked(WHIP, move |_| answer.clone()).await;
        assert!(found.whip.unwrap().is_ok(), "{expected:?}: {found:?}");
        assert_eq!(found.report, Some(Err(expected)));
        assert!(clock::now() - begun < BRIEF.whole * 3, "{expected:?}");
    }
    let nameless = asked(WHIP, |question| Some(told(question, "b"))).await;
    assert_eq!(nameless.report, Some(Err(Error::Integrity)));
}

/// It lives as far as TCP, and no further.
#[tokio::test]
async fn one_that_hangs_is_given_no_longer_than_one_that_is_near() {
    let (tcp, _server) = server(|stream| say(stream, Vec::new())).await;
    let mut target = target(tcp, tcp);
    target.stun = None;
    (target.turn_udp, target.turn_tcp, target.turn_tls) = (None, None, None);
    let patience = Patience {
        whole: BRIEF.step * 9,
        ..BRIEF
    };
    let canary = canary(patience).asking(Some(Arc::new(secrets())));
    let begun = clock::now();
    let found = run(&canary, &target).await;
    let took = clock::now() - begun;
    assert_eq!(found.whip, Some(Err(Error::Timeout)));
    assert_eq!(found.report, None, "who says nothing is not asked");
    assert!(took < patience.step * 3, "{took:?}");
}

#[tokio::test]
async fn without_a_secret_nobody_is_asked() {
    let (tcp, _server) = server(|stream| say(stream, WHIP.into())).await;
    let mut target = target(tcp, tcp);
    (target.stun, target.turn_udp) = (None, None);
    let found = run(&canary(BRIEF), &target).await;
    assert!(found.whip.unwrap().is_ok());
    assert_eq!(found.report, None);
}

#[tokio::test]
async fn a_target_without_an_address_is_not_to_be_reached() {
    let address = (Ipv4Addr::LOCALHOST, 9).into();
    let mut target = target(address, address);
    target.addresses.clear();
    target.turn_tcp = None;
    let findings = run(&canary(Patience::USUAL), &target).await;
    assert_eq!(errors(&findings), [Error::Unreachable; 4]);
    assert_eq!(findings.turn_tcp, None);
}

/// Half of the clients would come to the broken one.
#[tokio::test]
async fn one_broken_address_of_two_shows_in_each_run() {
    let (tcp, _server) = server(|stream| say(stream, WHIP.into())).await;
    let mut target = target(tcp, tcp);
    (target.stun, target.turn_udp) = (None, None);
    (target.turn_tcp, target.turn_tls) = (None, None);
    let canary = canary(Patience::USUAL);
    let whip = async |target: &Target| run(&canary, target).await.whip.unwrap();
    assert!(whip(&target).await.is_ok());
    target.addresses.push([127, 0, 0, 2].into());
    for _ in 0..2 {
        assert_eq!(whip(&target).await, Err(Error::Refused));
    }
}

#[test]
fn without_an_authority_there_is_no_canary() {
    let path = std::env::temp_dir().join(format!("inlet-no-roots-{}", std::process::id()));
    assert!(matches!(
        Canary::new(Some(&path), Patience::USUAL),
        Err(NoRoots::File { .. })
    ));
    std::fs::write(&path, "nothing").unwrap();
    let empty = Canary::new(Some(&path), Patience::USUAL);
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(empty, Err(NoRoots::Empty(_))));
}
