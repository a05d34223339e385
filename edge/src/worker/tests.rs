//! A worker with real sockets: a presenter opposite, and an origin on quinn.

mod ice;
mod origin;
mod restart;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use inlet_common::{
    clock::{self, UtcTime},
    ids::{PublishPath, PushToken, SessionId, StreamId},
    reason::ReasonCode,
    roq::{
        FlowId,
        control::{CloseReason, Message},
        pop::{Load, Loads, Report},
    },
};
use tokio::sync::oneshot;

use self::origin::{Heard, Origin};
use super::*;
use crate::{
    metrics::Media,
    roq::{
        self,
        testing::{ORIGIN, Pki},
    },
    whip::session::{self, Session, presenter::Presenter},
};

/// Nothing here takes longer unless it hangs, however busy the machine is: so
/// long wait both the tests and what they test.
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    pki: Pki,
    origin: Origin,
    handle: Handle,
    thread: std::thread::JoinHandle<()>,
    events: Hearing,
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = clock::now() + PATIENCE;
    while !done() {
        assert!(clock::now() < end, "{what} did not happen");
        std::thread::yield_now();
    }
}

impl Bench {
    fn new() -> Self {
        Self::with_idle_timeout(PATIENCE)
    }

    fn with_idle_timeout(idle_timeout: Duration) -> Self {
        Self::with(idle_timeout, &["127.0.0.1"], &[])
    }

    /// A worker at these addresses, which stands behind 1:1 NAT with `public`.
    fn bound(bind: &[&str], public: &[&str]) -> Self {
        Self::with(PATIENCE, bind, public)
    }

    fn with(idle_timeout: Duration, bind: &[&str], public: &[&str]) -> Self {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let pki = Pki::new();
        let origin = Origin::start(&pki, None);
        let mut link = roq::Config::new(
            origin.address,
            ORIGIN.to_owned(),
            "pop".to_owned(),
            pki.client.clone(),
        );
        link.idle_timeout = idle_timeout;
        link.open_timeout = PATIENCE;
        let (sender, events) = telling();
        let config = Config {
            index: 0,
            media: Some(MediaConfig {
                bind: ips(bind),
                port: 0,
                public: ips(public),
                tcp: true,
                shared: Vec::new(),
                max_sessions: 4,
                link,
            }),
            turn: None,
        };
        let (handle, thread) = start(config, sender, Media::register()).unwrap();
        wait_until("link", || handle.is_link_up());
        Self {
            pki,
            origin,
            handle,
            thread,
            events,
        }
    }

    fn offer(&self) -> (Publisher, Box<Session>) {
        self.offer_from("127.0.0.1".parse().unwrap())
    }

    fn offer_from(&self, ip: IpAddr) -> (Publisher, Box<Session>) {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        let address = socket.local_addr().unwrap();
        let (mut presenter, offer) = Presenter::new(address, clock::now());
        let mut config = session::Config::new().unwrap();
        config.connect_timeout = PATIENCE;
        config.silence_timeout = PATIENCE;
        let (session, answer) = Session::accept(
            &offer,
            SessionId::random(),
            self.handle.addresses(),
            &config,
            clock::now(),
            &mut rand::rng(),
        )
        .unwrap();
        presenter.answer(&answer.sdp);
        let publisher = Publisher {
            socket,
            presenter,
            ice: answer.ice,
            frames: 0,
            nat: None,
        };
        (publisher, Box::new(session))
    }

    fn open(&self, session: Box<Session>) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        let request = OpenRequest {
            path: PublishPath {
                stream: StreamId(7),
                token: PushToken::new("secret"),
            },
            announced: None,
            user_agent: Some("test".to_owned()),
            key: None,
            replaces: None,
        };
        let command = Command::Open {
            session,
            request,
            reply,
        };
        self.handle.send(command).unwrap();
        answer.blocking_recv().unwrap()
    }

    fn publish(&self) -> (Publisher, SessionId) {
        let (mut publisher, session) = self.offer();
        let id = session.id();
        self.open(session).unwrap();
        publisher.run_until(|presenter| presenter.is_connected);
        (publisher, id)
    }

    fn event(&mut self) -> Event {
        let mut event = None;
        wait_until("event", || {
            event = self
                .events
                .try_recv()
                .filter(|it| !matches!(it, Event::Noticed { .. }));
            event.is_some()
        });
        event.unwrap()
    }

    /// Everything heard until `done`.
    fn hear_until(&mut self, mut done: impl FnMut(&Heard) -> bool) -> Vec<Heard> {
        let mut heard = Vec::new();
        let end = clock::now() + PATIENCE;
        loop {
            // The link asks for the time for ever.
            assert!(clock::now() < end, "not heard");
            let next = self.origin.heard.recv_timeout(PATIENCE).unwrap();
            let is_done = done(&next);
            heard.push(next);
            if is_done {
                return heard;
            }
        }
    }

    /// Plays until the origin has heard so many frames more: on a busy machine some are
    /// under way for so long that they are given up. Returns all that it heard.
    fn play_until(&self, publisher: &mut Publisher, wanted: usize) -> Vec<Heard> {
        let mut heard = Vec::new();
        wait_until("frames", || {
            publisher.play(10);
            heard.extend(self.origin.heard.try_iter());
            let all = heard.iter().filter(|it| matches!(it, Heard::Frame(..)));
            all.count() >= wanted
        });
        heard
    }

    fn stop(self) {
        self.handle.send(Command::Stop).unwrap();
        self.thread.join().unwrap();
    }
}

/// A presenter with a socket.
struct Publisher {
    socket: UdpSocket,
    presenter: Presenter,
    /// Restarts its ICE.
    ice: session::Ice,
    /// Played so far.
    frames: u32,
    /// What the presenter takes our address for, and what it is.
    nat: Option<(SocketAddr, SocketAddr)>,
}

impl Publisher {
    fn flush(&mut self) {
        for (destination, datagram) in self.presenter.outbox.drain(..) {
            let destination = self.nat.map_or(destination, |(_, real)| real);
            self.socket.send_to(&datagram, destination).unwrap();
        }
    }

    /// Sends what is to be sent, and takes what has come within a millisecond.
    fn turn(&mut self) {
        self.flush();
        let mut buffer = [0; 2048];
        if let Ok((len, source)) = self.socket.recv_from(&mut buffer) {
            let source = self.nat.map_or(source, |(known, _)| known);
            self.presenter
                .handle_datagram(clock::now(), source, &buffer[..len]);
        }
        if self.presenter.timeout <= clock::now() {
            self.presenter.handle_timeout(clock::now());
        }
        self.flush();
    }

    fn run_until(&mut self, done: impl Fn(&Presenter) -> bool) {
        let end = clock::now() + PATIENCE;
        while !done(&self.presenter) {
            assert!(clock::now() < end, "did not happen");
            self.turn();
        }
    }

    fn run_for(&mut self, span: Duration) {
        let end: Instant = clock::now() + span;
        while clock::now() < end {
            self.turn();
        }
    }

    /// One frame each 10 ms, so that a test is quick.
    fn play(&mut self, frames: u32) {
        for at in 0..frames {
            let frame = self.frames;
            self.frames += 1;
            self.presenter
                .send_video(clock::now(), frame * 900, 3, at % 30 == 0);
            self.presenter.send_audio(clock::now(), frame * 480);
            self.run_for(Duration::from_millis(10));
        }
    }
}

fn frames(heard: &[Heard]) -> usize {
    heard
        .iter()
        .filter(|heard| matches!(heard, Heard::Frame(_, 3)))
        .count()
}

#[test]
fn a_presenters_media_reach_the_origin() {
    let mut bench = Bench::new();
    let (mut publisher, id) = bench.publish();
    assert_eq!(bench.handle.sessions(), 1);
    let heard = bench.play_until(&mut publisher, 40);
    let are_whole = heard
        .iter()
        .all(|it| !matches!(it, Heard::Frame(_, packets) if *packets != 3));
    assert!(are_whole && frames(&heard) >= 40);
    let opened = heard
        .iter()
        .any(|heard| matches!(heard, Heard::Message(Message::Open(open)) if open.session == id));
    assert!(opened);
    let audio = heard
        .iter()
        .filter(|heard| matches!(heard, Heard::Datagram))
        .count();
    assert!(audio >= 35, "{audio}");
    assert!(publisher.presenter.keyframe_requests > 0);

    publisher.presenter.close();
    publisher.flush();
    let reason = CloseReason::DtlsClosed;
    assert_eq!(
        bench.event(),
        Event::Ended {
            session: id,
            reason
        }
    );
    bench.hear_until(
        |heard| matches!(heard, Heard::Message(Message::Close(close)) if close.session == id && close.reason == reason),
    );
    wait_until("empty worker", || bench.handle.sessions() == 0);
    bench.stop();
}

#[test]
fn a_pli_of_the_origin_reaches_the_presenter() {
    let mut bench = Bench::new();
    let (mut publisher, _) = bench.publish();
    publisher.play(5);
    publisher.run_for(Duration::from_millis(1_100));
    let before = publisher.presenter.keyframe_requests;
    let heard = bench.hear_until(|heard| matches!(heard, Heard::Frame(..)));
    let Some(Heard::Frame(flow, _)) = heard.last() else {
        unreachable!("what was waited for");
    };
    bench.origin.send_pli(*flow);
    publisher.run_until(|presenter| presenter.keyframe_requests > before);
    bench.stop();
}

#[test]
fn a_refusal_reaches_the_presenter_and_frees_the_session() {
    let bench = Bench::new();
    bench.origin.refuse(ReasonCode::AlreadyPublishing);
    let (_, session) = bench.offer();
    let refusal = bench.open(session).unwrap_err();
    assert_eq!(refusal.code, ReasonCode::AlreadyPublishing);
    assert_eq!(bench.handle.sessions(), 0);
    bench.stop();
}

#[test]
fn a_broken_link_is_made_anew_under_running_sessions() {
    let mut bench = Bench::with_idle_timeout(Duration::from_secs(2));
    let (mut publisher, id) = bench.publish();
    publisher.play(5);
    bench.hear_until(|heard| matches!(heard, Heard::Frame(..)));
    let address = bench.origin.address;
    bench.origin.kill();
    wait_until("loss of the link", || {
        publisher.turn();
        !bench.handle.is_link_up()
    });
    let (_, session) = bench.offer();
    assert_eq!(bench.open(session).unwrap_err().code, ReasonCode::NoOrigin);

    bench.origin = Origin::start(&bench.pki, Some(address));
    let before = publisher.presenter.keyframe_requests;
    wait_until("the link's return", || {
        publisher.turn();
        bench.handle.is_link_up()
    });
    publisher.run_until(|presenter| presenter.keyframe_requests > before);
    publisher.play(5);
    let heard = bench.hear_until(|heard| matches!(heard, Heard::Frame(..)));
    let epoch = heard.iter().find_map(|heard| match heard {
        Heard::Message(Message::Open(open)) if open.session == id => Some(open.epoch),
        _ => None,
    });
    assert_eq!(epoch, Some(1));
    assert_eq!(bench.handle.sessions(), 1);
    bench.stop();
}

#[test]
fn junk_on_the_media_port_is_harmless() {
    let bench = Bench::new();
    let (mut publisher, _) = bench.publish();
    let media: SocketAddr = bench.handle.addresses().udp[0];
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for first in 0..=255_u8 {
        for len in [0, 1, 3, 20, 64, 1_400] {
            stranger.send_to(&vec![first; len], media).unwrap();
            // And from the presenter's own address.
            publisher.socket.send_to(&vec![first; len], media).unwrap();
        }
        // Junk may not push what follows out of the socket.
        let turns = bench.handle.turns();
        while bench.handle.turns() == turns {
            std::thread::yield_now();
        }
    }
    bench.play_until(&mut publisher, 20);
    assert_eq!(bench.handle.sessions(), 1);
    bench.stop();
}

#[test]
fn a_report_reaches_the_origin_and_what_it_tells_of_others_comes_back() {
    let mut bench = Bench::new();
    let report = Report {
        made: UtcTime::from_unix_micros(1),
        is_draining: false,
        is_cut_off: false,
        down: Default::default(),
        loads: Loads {
            whip: Some(Load::new(0.5)),
            turn: None,
        },
    };
    let before = clock::now();
    bench.handle.send(Command::Report(report)).unwrap();
    bench.hear_until(
        |heard| matches!(heard, Heard::Message(Message::Report(told)) if *told == report),
    );
    let Event::Fleet { at, fleet } = bench.event() else {
        panic!("something else");
    };
    assert!((before..=clock::now()).contains(&at));
    let names = fleet.pops().iter().map(|of| of.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["other"]);
    bench.stop();
}

#[test]
fn draining_takes_nobody_and_waits_for_the_last() {
    let mut bench = Bench::new();
    let (mut publisher, id) = bench.publish();
    bench.handle.send(Command::Drain).unwrap();
    let (_, session) = bench.offer();
    assert_eq!(bench.open(session).unwrap_err().code, ReasonCode::Draining);
    bench.hear_until(|heard| matches!(heard, Heard::Message(Message::Drain)));
    publisher.play(3);
    assert_eq!(bench.handle.sessions(), 1);
    let reason = CloseReason::Deleted;
    bench
        .handle
        .send(Command::Close {
            session: id,
            reason,
        })
        .unwrap();
    assert_eq!(
        bench.event(),
        Event::Ended {
            session: id,
            reason
        }
    );
    assert_eq!(bench.event(), Event::Drained);
    publisher.run_until(|presenter| presenter.is_closed);
    bench.stop();
}

#[test]
fn a_stop_ends_sessions_and_is_heard_by_all() {
    let mut bench = Bench::new();
    let (mut publisher, id) = bench.publish();
    publisher.play(3);
    bench.handle.send(Command::Stop).unwrap();
    publisher.run_until(|presenter| presenter.is_closed);
    let reason = CloseReason::Draining;
    bench.hear_until(
        |heard| matches!(heard, Heard::Message(Message::Close(close)) if close.session == id && close.reason == reason),
    );
    assert_eq!(
        bench.event(),
        Event::Ended {
            session: id,
            reason
        }
    );
    bench.thread.join().unwrap();
    wait_until("refusal", || {
        bench.handle.send(Command::Drain) == Err(SendError::Stopped)
    });
}

#[test]
fn no_more_sessions_than_there_is_room_for() {
    let bench = Bench::new();
    let _publishers: Vec<Publisher> = (0..4).map(|_| bench.publish().0).collect();
    let (_, session) = bench.offer();
    assert_eq!(bench.open(session).unwrap_err().code, ReasonCode::Overload);
    let turns = bench.handle.turns();
    wait_until("another turn", || bench.handle.turns() > turns);
    bench.stop();
}

#[test]
fn a_flow_is_named_once() {
    // Two sessions' flows never meet on one connection.
    let bench = Bench::new();
    let (mut one, _) = bench.publish();
    let (mut two, _) = bench.publish();
    let mut flows = std::collections::BTreeSet::<FlowId>::new();
    // A busy machine may give up any frame as too old.
    wait_until("frames on two flows", || {
        one.play(1);
        two.play(1);
        for heard in bench.origin.heard.try_iter() {
            if let Heard::Frame(flow, _) = heard {
                flows.insert(flow);
            }
        }
        flows.len() == 2
    });
    bench.stop();
}
