//! Every network that a presenter comes by: ICE-TCP, IPv6, 1:1 NAT, and another
//! address in the middle.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, TcpStream},
};

use super::*;

/// A presenter whose datagrams go by a TCP connection, framed.
struct ByTcp {
    publisher: Publisher,
    stream: TcpStream,
    inbox: Vec<u8>,
    /// What the presenter takes our address for.
    edge: SocketAddr,
}

impl ByTcp {
    /// Has not begun yet.
    fn new(publisher: Publisher, bench: &Bench) -> Self {
        let addresses = bench.handle.addresses();
        Self {
            publisher,
            stream: call(addresses.tcp[0]),
            inbox: Vec::new(),
            edge: addresses.udp[0],
        }
    }

    fn turn(&mut self) {
        for (_, datagram) in self.publisher.presenter.outbox.drain(..) {
            let mut frame = u16::try_from(datagram.len())
                .unwrap()
                .to_be_bytes()
                .to_vec();
            frame.extend(datagram);
            self.stream.write_all(&frame).unwrap();
        }
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("the edge closed the connection"),
            Ok(len) => self.inbox.extend_from_slice(&buffer[..len]),
            Err(error) => assert!(is_nothing(&error), "{error}"),
        }
        let presenter = &mut self.publisher.presenter;
        while let Some((len, behind)) = self.inbox.split_first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes(*len));
            let Some(datagram) = behind.get(..len).map(<[u8]>::to_vec) else {
                break;
            };
            self.inbox.drain(..2 + len);
            presenter.handle_datagram(clock::now(), self.edge, &datagram);
        }
        if presenter.timeout <= clock::now() {
            presenter.handle_timeout(clock::now());
        }
    }

    fn run_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let end = clock::now() + PATIENCE;
        while !done(self) {
            assert!(clock::now() < end, "{what} did not happen");
            self.turn();
        }
    }

    /// Plays until the origin has heard so many frames.
    fn play_until(&mut self, bench: &Bench, frames: usize) {
        let mut heard = 0;
        let end = clock::now() + PATIENCE;
        while heard < frames {
            assert!(clock::now() < end, "{heard} frames");
            let frame = self.publisher.frames;
            self.publisher.frames += 1;
            let presenter = &mut self.publisher.presenter;
            presenter.send_video(clock::now(), frame * 900, 3, frame.is_multiple_of(10));
            let next = clock::now() + Duration::from_millis(10);
            while clock::now() < next {
                self.turn();
            }
            let all = bench.origin.heard.try_iter();
            heard += all
                .filter(|heard| matches!(heard, Heard::Frame(_, 3)))
                .count();
        }
    }
}

fn is_nothing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn call(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let tick = Some(Duration::from_millis(1));
    stream.set_read_timeout(tick).unwrap();
    stream
}

/// Waits until the edge has closed a connection.
fn closed(stream: &mut TcpStream) {
    wait_until("close", || match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => panic!("a stranger was answered"),
        Err(error) => !is_nothing(&error),
    });
}

fn local(ip: &str) -> IpAddr {
    ip.parse().unwrap()
}

#[test]
fn a_presenter_by_tcp_publishes_and_outlives_its_connection() {
    let bench = Bench::new();
    let (publisher, session) = bench.offer();
    let mut presenter = ByTcp::new(publisher, &bench);
    bench.open(session).unwrap();
    presenter.run_until("connection", |it| it.publisher.presenter.is_connected);
    presenter.play_until(&bench, 20);
    assert!(presenter.publisher.presenter.keyframe_requests > 0);

    // The network takes the connection away: the session lives on.
    let lost = call(bench.handle.addresses().tcp[0]);
    drop(std::mem::replace(&mut presenter.stream, lost));
    let turns = bench.handle.turns();
    wait_until("the worker to see it", || bench.handle.turns() > turns + 10);
    assert_eq!(bench.handle.sessions(), 1);
    bench.stop();
}

#[test]
fn who_does_not_show_whose_it_is_is_closed() {
    let bench = Bench::new();
    let address = bench.handle.addresses().tcp[0];
    // Nothing, a part of a frame, and a request for nobody.
    let mut silent = call(address);
    let mut slow = call(address);
    slow.write_all(&[0, 100, 0]).unwrap();
    let mut stranger = call(address);
    let mut request = vec![0, 28, 0, 1, 0, 8, 0x21, 0x12, 0xA4, 0x42];
    request.extend([7; 12]);
    request.extend([0, 6, 0, 3, b'a', b':', b'b', 0]);
    stranger.write_all(&request).unwrap();
    // Too long a frame, and too many frames, end it at once.
    let mut long = call(address);
    long.write_all(&[0xFF, 0xFF]).unwrap();
    closed(&mut long);
    let mut many = call(address);
    many.write_all(&request.repeat(16)).unwrap();
    closed(&mut many);
    for stream in [&mut silent, &mut slow, &mut stranger] {
        closed(stream);
    }
    bench.stop();
}

#[test]
fn a_source_has_few_unproven_connections() {
    let bench = Bench::new();
    let address = bench.handle.addresses().tcp[0];
    let _held: Vec<TcpStream> = (0..16).map(|_| call(address)).collect();
    let begun = clock::now();
    closed(&mut call(address));
    assert!(begun.elapsed() < Duration::from_secs(5), "not at once");
    bench.stop();
}

#[test]
fn ipv6_carries_a_presenter_by_udp_and_by_tcp() {
    let bench = Bench::bound(&["127.0.0.1", "::1"], &[]);
    let addresses = bench.handle.addresses();
    let is_ipv4 = |all: &[SocketAddr]| all.iter().map(SocketAddr::is_ipv4).collect::<Vec<_>>();
    assert_eq!(is_ipv4(&addresses.udp), [true, false]);
    assert_eq!(is_ipv4(&addresses.tcp), [true, false]);
    for (udp, tcp) in addresses.udp.iter().zip(&addresses.tcp) {
        assert_eq!(udp, tcp, "one number for both");
    }
    let (mut by_udp, session) = bench.offer_from(local("::1"));
    bench.open(session).unwrap();
    by_udp.run_until(|presenter| presenter.is_connected);

    let (publisher, session) = bench.offer_from(local("::1"));
    let mut by_tcp = ByTcp::new(publisher, &bench);
    by_tcp.stream = call(addresses.tcp[1]);
    by_tcp.edge = addresses.udp[1];
    bench.open(session).unwrap();
    by_tcp.run_until("connection", |it| it.publisher.presenter.is_connected);
    assert_eq!(bench.handle.sessions(), 2);
    bench.stop();
}

#[test]
fn behind_nat_presenters_know_the_public_address_alone() {
    let bench = Bench::bound(&["127.0.0.1"], &["203.0.113.9"]);
    let addresses = bench.handle.addresses();
    let known = addresses.udp[0];
    assert_eq!(known.ip(), local("203.0.113.9"));
    assert_eq!(addresses.tcp[0], known);
    let (mut publisher, session) = bench.offer();
    bench.open(session).unwrap();
    // What the NAT does.
    publisher.nat = Some((known, SocketAddr::new(local("127.0.0.1"), known.port())));
    publisher.run_until(|presenter| presenter.is_connected);

    let (publisher, session) = bench.offer();
    let mut by_tcp = ByTcp {
        publisher,
        stream: call(SocketAddr::new(local("127.0.0.1"), known.port())),
        inbox: Vec::new(),
        edge: known,
    };
    bench.open(session).unwrap();
    by_tcp.run_until("connection", |it| it.publisher.presenter.is_connected);
    bench.stop();
}

#[test]
fn media_follow_a_presenter_to_another_address() {
    let mut bench = Bench::new();
    let (mut publisher, _) = bench.publish();
    publisher.play(5);
    bench.hear_until(|heard| matches!(heard, Heard::Frame(..)));
    // Another network: what goes to the former address is lost.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tick = Some(Duration::from_millis(1));
    socket.set_read_timeout(tick).unwrap();
    publisher.socket = socket;
    bench.origin.heard.try_iter().for_each(drop);
    let mut frames = 0;
    wait_until("frames from there", || {
        publisher.play(1);
        let all = bench.origin.heard.try_iter();
        frames += all
            .filter(|heard| matches!(heard, Heard::Frame(..)))
            .count();
        frames >= 5
    });
    assert_eq!(bench.handle.sessions(), 1);
    bench.stop();
}

#[test]
fn many_addresses_do_not_push_out_that_of_media() {
    let bench = Bench::new();
    let (mut publisher, _) = bench.publish();
    publisher.play(5);
    let seen = |bench: &Bench| {
        let all = bench.origin.heard.try_iter();
        all.filter(|heard| matches!(heard, Heard::Frame(..)))
            .count()
    };
    wait_until("the first frames", || seen(&bench) > 0);
    // One of its checks, as if it came from twice as many networks as are kept.
    let is_check = |datagram: &(SocketAddr, Vec<u8>)| datagram.1.starts_with(&[0, 1]);
    let mut check = None;
    wait_until("a check", || {
        publisher.presenter.handle_timeout(clock::now());
        check = publisher
            .presenter
            .outbox
            .iter()
            .find(|it| is_check(it))
            .cloned();
        publisher.flush();
        check.is_some()
    });
    let (edge, check) = check.unwrap();
    for _ in 0..2 * table::MAX_ADDRESSES {
        let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
        elsewhere.send_to(&check, edge).unwrap();
        elsewhere.set_read_timeout(Some(PATIENCE)).unwrap();
        elsewhere.recv_from(&mut [0; 2048]).expect("an answer");
    }
    seen(&bench);
    // Each begins with a key frame: one that a busy machine holds up is given up, with
    // what follows it.
    publisher.play(10);
    publisher.play(10);
    let mut frames = 0;
    wait_until("frames from where media come", || {
        frames += seen(&bench);
        frames >= 10
    });
    bench.stop();
}
