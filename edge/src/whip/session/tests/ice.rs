//! Candidates, and Binding requests of clients that are unlike a browser.

use super::*;
use crate::turn::wire::{Class, Encoder, IntegrityKey, Mac, Message, Method};

const USE_CANDIDATE: u16 = 0x0025;
const BINDING_REQUEST: [u8; 2] = [0, 1];

/// A request as FFmpeg's `whip` muxer makes it, under this ufrag of the presenter:
/// no PRIORITY, no ICE-CONTROLLING, USE-CANDIDATE from the start.
fn bare(request: &[u8], ours: &str, theirs: &str, pwd: &str) -> Vec<u8> {
    let transaction = Message::decode(request).unwrap().transaction;
    Encoder::new(Class::Request, Method::Binding, transaction)
        .username(format!("{ours}:{theirs}").as_bytes())
        .raw_attribute(USE_CANDIDATE, &[])
        .integrity(Mac::Sha1, &IntegrityKey::password(pwd))
        .fingerprint()
        .finish()
}

/// Exchanges each Binding request of the presenter for a bare one, until both are
/// connected.
fn connect_bare(pair: &mut Pair, theirs: &str) {
    let ours = pair.session.local_ufrag().to_owned();
    let pwd = pair.session.rtc.direct_api().local_ice_credentials().pass;
    let end = pair.now + Duration::from_secs(10);
    while !(pair.session.is_connected() && pair.presenter.is_connected) {
        assert!(pair.now < end, "not connected");
        pair.presenter.handle_timeout(pair.now);
        for (_, datagram) in &mut pair.presenter.outbox {
            if datagram.starts_with(&BINDING_REQUEST) {
                *datagram = bare(datagram, &ours, theirs, &pwd);
            }
        }
        let (source, edge) = (pair.presenter.address, EDGE.parse().unwrap());
        for (_, datagram) in &pair.presenter.outbox {
            if datagram.starts_with(&BINDING_REQUEST) {
                let datagram = by_udp(source, edge, datagram);
                assert!(pair.session.accepts(pair.now, &datagram));
            }
        }
        pair.deliver();
        pair.session.handle_timeout(pair.now);
        pair.drain_session();
        pair.now += STEP;
    }
}

fn offered_ufrag(offer: &str) -> String {
    let mut lines = offer.lines();
    let ufrag = lines.find_map(|line| line.strip_prefix("a=ice-ufrag:"));
    ufrag.unwrap().to_owned()
}

#[test]
fn requests_without_priority_and_role_are_taken() {
    let mut theirs = String::new();
    let mut pair = Pair::with(RtcConfig::new(), |offer| {
        theirs = offered_ufrag(&offer);
        offer
    });
    connect_bare(&mut pair, &theirs);
    pair.present(10);
    assert_eq!((pair.ended, pair.video().count()), (None, 40));
}

#[test]
fn a_request_without_priority_still_needs_the_password() {
    let mut theirs = String::new();
    let mut pair = Pair::with(RtcConfig::new(), |offer| {
        theirs = offered_ufrag(&offer);
        offer
    });
    while pair.presenter.outbox.is_empty() {
        pair.now += STEP;
        pair.presenter.handle_timeout(pair.now);
    }
    let ours = pair.session.local_ufrag().to_owned();
    let (_, request) = pair.presenter.outbox[0].clone();
    let forged = bare(&request, &ours, &theirs, "a guess");
    let (source, edge) = (pair.presenter.address, EDGE.parse().unwrap());
    let datagram = by_udp(source, edge, &forged);
    assert!(!pair.session.accepts(pair.now, &datagram));
    pair.session.handle_datagram(pair.now, &datagram);
    let output = pair.session.poll_output();
    assert!(
        matches!(output, Output::Timeout(_)),
        "answered a forged request"
    );
}

#[test]
fn a_ufrag_of_256_characters_with_plus_and_slash_is_taken() {
    let long = "aB3+/x7/".repeat(32);
    assert_eq!(long.len(), 256);
    let mut pair = Pair::with(RtcConfig::new(), |offer| {
        let short = offered_ufrag(&offer);
        offer.replace(
            &format!("a=ice-ufrag:{short}"),
            &format!("a=ice-ufrag:{long}"),
        )
    });
    connect_bare(&mut pair, &long);
    pair.present(5);
    assert_eq!((pair.ended, pair.video().count()), (None, 20));
}

#[test]
fn udp_stands_before_tcp_and_ipv4_before_ipv6() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    let media = Addresses {
        worker: 3,
        udp: vec![at("203.0.113.1:40000"), at("[2001:db8::1]:40000")],
        tcp: vec![
            at("203.0.113.1:40000"),
            at("[2001:db8::1]:40000"),
            at("203.0.113.1:443"),
        ],
    };
    let config = Config::new().unwrap();
    let (id, offer) = (SessionId::random(), CHROMIUM.replace('\n', "\r\n"));
    let accepted = Session::accept(&offer, id, &media, &config, clock::now(), &mut rand::rng());
    let (session, answer) = accepted.unwrap();
    assert_eq!(worker_of(session.local_ufrag()), Some(3));
    let candidates: Vec<String> = answer
        .sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=candidate:"))
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let tcptype = words.iter().position(|word| *word == "tcptype");
            let tcptype = tcptype.map_or("", |at| words[at + 1]);
            format!("{} {} {} {tcptype}", words[2], words[4], words[5])
        })
        .collect();
    let expected = [
        "udp 203.0.113.1 40000 ",
        "udp 2001:db8::1 40000 ",
        "tcp 203.0.113.1 40000 passive",
        "tcp 2001:db8::1 40000 passive",
        "tcp 203.0.113.1 443 passive",
    ];
    // Each m-line may repeat them.
    assert!(!candidates.is_empty() && candidates.len().is_multiple_of(expected.len()));
    for section in candidates.chunks(expected.len()) {
        assert_eq!(section, expected);
    }
    assert!(answer.sdp.len() < 8 * 1024);
    // By priority too, whatever the presenter sorts by.
    let priorities = answer.sdp.lines().filter_map(|line| {
        let words: Vec<&str> = line.strip_prefix("a=candidate:")?.split(' ').collect();
        Some((words[2] == "udp", words[3].parse::<u32>().unwrap()))
    });
    let priorities: Vec<(bool, u32)> = priorities.collect();
    let of = |is_udp: bool| {
        let each = priorities.iter().filter(move |(udp, _)| *udp == is_udp);
        each.map(|(_, priority)| *priority)
    };
    assert!(of(true).min() > of(false).max());
}
