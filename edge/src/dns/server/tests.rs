//! Real sockets on loopback, with the engine behind them.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use inlet_common::service::systemd::Progress;
use tokio_util::sync::CancellationToken;

use super::{
    tcp::{Server, Waits, start_with},
    udp::UdpThread,
    *,
};
use crate::dns::tests::{A, TXT, ask, world};

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server on ports of its own, until it is dropped.
struct Running {
    udp: SocketAddr,
    tcp: SocketAddr,
    closing: CancellationToken,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// Longer than a test takes.
const PATIENT: Waits = Waits {
    first_query: Duration::from_secs(60),
    idle: Duration::from_secs(60),
    write: Duration::from_secs(60),
};

/// Over before one looks: where silence alone is expected.
const BRIEF: Duration = Duration::from_millis(50);

/// What a busy machine may take to ask and answer, and soon over all the same.
const SOON: Duration = Duration::from_secs(1);

const NO_LIMIT: Rule = Rule {
    per_second: 0,
    slip: 0,
};

const FEW: ConnectionLimits = ConnectionLimits {
    connections: 16,
    per_source: 16,
};

impl Running {
    fn start(rule: Rule, limits: ConnectionLimits, waits: Waits) -> Self {
        let shared = shared();
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let udp = socket.local();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let tcp = listener.local_addr().unwrap();
        let closing = CancellationToken::new();
        let thread = UdpThread {
            socket,
            responder: Responder::new(Arc::clone(&shared), rule),
            progress: Progress::new("test"),
            closing: closing.clone(),
        };
        let listening = vec![Listening {
            listener,
            tls: None,
        }];
        let threads = vec![
            thread.start().unwrap(),
            start_with(
                listening,
                Server::new(shared, limits, waits),
                closing.clone(),
            )
            .unwrap(),
        ];
        Self {
            udp,
            tcp,
            closing,
            threads,
        }
    }

    fn usual() -> Self {
        Self::start(NO_LIMIT, FEW, PATIENT)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.tcp).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// The world of the engine's tests, with all well.
pub(super) fn shared() -> Arc<Shared> {
    let world = world();
    let board = Board::open(world.fleet.pops().len());
    Arc::new(Shared {
        world: Arc::new(ArcSwap::from_pointee(world)),
        board: Arc::new(ArcSwap::from_pointee(board)),
        metrics: Metrics::register(),
    })
}

impl Drop for Running {
    fn drop(&mut self) {
        self.closing.cancel();
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn client(server: &Running) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server.udp).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

fn read_framed(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

#[test]
fn datagrams_are_answered_in_batches() {
    let server = Running::usual();
    let client = client(&server);
    for id in 0..200_u16 {
        let query = crate::dns::tests::Ask {
            id,
            ..ask("whip.inlet.example", A)
        };
        client.send(&query.build()).unwrap();
    }
    let mut seen = [false; 200];
    let mut buffer = [0; 2048];
    for _ in 0..200 {
        let length = client.recv(&mut buffer).unwrap();
        assert!(length > 40);
        let id = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
        assert!(!std::mem::replace(&mut seen[id], true));
    }
}

/// Silence for what deserves it; the next query is answered all the same.
#[test]
fn junk_stops_nobody() {
    let server = Running::usual();
    let client = client(&server);
    client.send(&[]).unwrap();
    client.send(&[0xff; 9]).unwrap();
    client.send(&[0xff; 4096]).unwrap();
    client.send(&ask("whip.inlet.example", A).build()).unwrap();
    let mut buffer = [0; 2048];
    let length = client.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..2], [0x12, 0x34]);
    assert!(length > 40);
}

#[test]
fn queries_of_a_connection_are_pipelined_and_answered_in_order() {
    let server = Running::usual();
    let mut stream = server.connect();
    let first = ask("long.inlet.example", TXT).build();
    let second = ask("whip.inlet.example", A).build();
    // In pieces that end anywhere.
    let both = [framed(&first), framed(&second)].concat();
    let (head, tail) = both.split_at(9);
    stream.write_all(head).unwrap();
    stream.write_all(tail).unwrap();
    let long = read_framed(&mut stream).unwrap();
    assert!(long.len() > 1500, "whole by TCP");
    assert_eq!(long[2] & 2, 0);
    let short = read_framed(&mut stream).unwrap();
    assert!(short.len() < 100);
    stream.write_all(&framed(&second)).unwrap();
    assert_eq!(read_framed(&mut stream).unwrap(), short);
}

#[test]
fn connections_are_bounded_by_source() {
    let limits = ConnectionLimits {
        per_source: 2,
        ..FEW
    };
    let server = Running::start(NO_LIMIT, limits, PATIENT);
    let query = framed(&ask("whip.inlet.example", A).build());
    let mut held: Vec<TcpStream> = (0..2).map(|_| server.connect()).collect();
    for stream in &mut held {
        stream.write_all(&query).unwrap();
        read_framed(stream).unwrap();
    }
    let mut third = server.connect();
    // It may be closed before or while this is written.
    third.write_all(&query).ok();
    assert!(read_framed(&mut third).is_err());
    // A place that is given up is free again.
    drop(held.pop());
    let begun = clock::now();
    loop {
        let mut again = server.connect();
        again.write_all(&query).ok();
        if read_framed(&mut again).is_ok() {
            break;
        }
        assert!(clock::now() - begun < PATIENCE, "the place is still taken");
    }
}

/// Asks on a connection; whether there was an answer.
fn is_answered(stream: &mut TcpStream) -> bool {
    let query = framed(&ask("whip.inlet.example", A).build());
    // It may be closed before or while this is written.
    stream.write_all(&query).is_ok() && read_framed(stream).is_ok()
}

/// The server ends it within the time that is waited, with or without what was sent last
/// being read.
#[track_caller]
fn assert_closed(stream: &mut TcpStream) {
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("it is not closed: {other:?}"),
    }
}

#[test]
fn whoever_asks_nothing_at_first_is_gone_with() {
    let waits = Waits {
        first_query: SOON,
        ..PATIENT
    };
    let server = Running::start(NO_LIMIT, FEW, waits);
    let mut asking = server.connect();
    assert!(is_answered(&mut asking));
    let (mut silent, mut slow) = (server.connect(), server.connect());
    slow.write_all(&[0]).unwrap();
    assert_closed(&mut silent);
    assert_closed(&mut slow);
    // One that has asked has longer to the next query.
    assert!(is_answered(&mut asking));
}

#[test]
fn whoever_asks_no_more_is_gone_with() {
    let waits = Waits {
        idle: BRIEF,
        ..PATIENT
    };
    let server = Running::start(NO_LIMIT, FEW, waits);
    let (mut early, mut late) = (server.connect(), server.connect());
    assert!(is_answered(&mut early));
    assert_closed(&mut early);
    // Who has not asked yet has longer.
    assert!(is_answered(&mut late));
}

/// RFC 7766 §6.2.3: nobody holds all places by saying nothing.
#[test]
fn the_longest_idle_makes_room() {
    let limits = ConnectionLimits {
        connections: 3,
        ..FEW
    };
    let server = Running::start(NO_LIMIT, limits, PATIENT);
    let mut held: Vec<TcpStream> = (0..3).map(|_| server.connect()).collect();
    for stream in &mut held {
        assert!(is_answered(stream));
    }
    // The first has asked last; the second idles longest, then the third.
    assert!(is_answered(&mut held[0]));
    for idle in [1, 2] {
        let mut next = server.connect();
        assert!(is_answered(&mut next), "{idle} keeps its place");
        assert_closed(&mut held[idle]);
        held.push(next);
    }
    assert!(is_answered(&mut held[0]));
    let [_, _, _, third, fourth] = &mut held[..] else {
        panic!("five connections")
    };
    assert!(is_answered(third) && is_answered(fourth));
}

#[test]
fn a_query_that_is_too_long_ends_its_connection() {
    let server = Running::usual();
    let mut stream = server.connect();
    stream.write_all(&framed(&[0; 5000])[..2]).unwrap();
    assert!(read_framed(&mut stream).is_err());
}

#[test]
fn a_flood_is_cut_and_dropped_and_a_cookie_gets_through() {
    let rule = Rule {
        per_second: 1,
        slip: 2,
    };
    let server = Running::start(rule, FEW, PATIENT);
    let client = client(&server);
    let query = ask("whip.inlet.example", A).option(10, &[6; 8]).build();
    let mut buffer = [0; 2048];
    client.send(&query).unwrap();
    let length = client.recv(&mut buffer).unwrap();
    let cookie = buffer[length - 24..length].to_vec();
    // Two answers are a burst; then one in two is BADCOOKIE, and nothing else.
    for _ in 0..40 {
        client.send(&ask("whip.inlet.example", A).build()).unwrap();
    }
    let proven = ask("whip.inlet.example", A).option(10, &cookie);
    let proven = crate::dns::tests::Ask {
        id: 0x7777,
        ..proven
    };
    client.send(&proven.build()).unwrap();
    let (mut whole, mut cut) = (0, 0);
    loop {
        let length = client.recv(&mut buffer).unwrap();
        if buffer[..2] == [0x77, 0x77] {
            assert!(length > 60 && buffer[2] & 2 == 0);
            break;
        }
        match buffer[2] & 2 {
            0 => whole += 1,
            _ => cut += 1,
        }
    }
    assert!(whole <= 3, "{whole} of 40 were whole");
    assert!((15..=20).contains(&cut), "{cut} of 40 were cut");
}

#[test]
fn wildcards_stand_for_the_machines_addresses() {
    let machine: Vec<IpAddr> = [
        "127.0.0.1",
        "192.0.2.1",
        "169.254.0.1",
        "::1",
        "fe80::1",
        "2001:db8::1",
    ]
    .map(|ip| ip.parse().unwrap())
    .to_vec();
    let listen: Vec<SocketAddr> = ["0.0.0.0:53", "[::]:5353", "192.0.2.1:53"]
        .map(|address| address.parse().unwrap())
        .to_vec();
    let expanded: Vec<String> = expand(&listen, &machine)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        expanded,
        [
            "127.0.0.1:53",
            "192.0.2.1:53",
            "[::1]:5353",
            "[2001:db8::1]:5353"
        ]
    );
}

#[test]
fn a_wildcard_that_stands_for_nothing_is_refused() {
    let machine: Vec<IpAddr> = ["127.0.0.1", "fe80::1"]
        .map(|ip| ip.parse().unwrap())
        .to_vec();
    let listen = ["[::]:53".parse().unwrap()];
    let error = expand(&listen, &machine).unwrap_err().to_string();
    assert!(
        error.contains("dns.udp") && error.contains("[::]:53"),
        "{error}"
    );
    // One of two is enough.
    let both = ["[::]:53", "0.0.0.0:53"].map(|address| address.parse().unwrap());
    assert_eq!(expand(&both, &machine).unwrap().len(), 1);
}
