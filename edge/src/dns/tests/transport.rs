//! What depends on how a query comes: sizes, padding, and the answer of the limit.

use super::*;
use crate::dns::answer::slip;

/// A UDP response to somebody who may be somebody else.
#[test]
fn no_answer_over_udp_has_more_than_three_times_its_query() {
    let client = Client::new();
    for name in [
        "inlet.example",
        "whip.inlet.example",
        "turn.inlet.example",
        "ns1.inlet.example",
        "text.deep.down.inlet.example",
        "long.inlet.example",
        "nothing.inlet.example",
        "_turn._udp.inlet.example",
    ] {
        for kind in [1, 2, 6, 15, 16, 28, 33, 64, 65, 255, 257] {
            for query in [ask(name, kind), ask(name, kind).edns()] {
                let query = query.build();
                let response = client.send(&query).unwrap();
                assert!(response.bytes.len() <= 3 * query.len(), "{name} {kind}");
            }
        }
    }
    // What is cut comes whole by TCP.
    let cut = client.ask(&ask("long.inlet.example", TXT));
    assert!(cut.message.metadata.truncation && cut.message.answers.is_empty());
    let whole = Client::by(Transport::Tcp).ask(&ask("long.inlet.example", TXT));
    assert!(!whole.message.metadata.truncation && whole.bytes.len() > 1500);
}

/// What every presenter's resolver asks gets through uncut.
#[test]
fn usual_answers_are_not_cut() {
    let client = Client::new();
    for (name, kind) in [
        ("whip.inlet.example", A),
        ("whip.inlet.example", AAAA),
        ("whip.inlet.example", 65),
        ("turn.inlet.example", A),
        ("nobody.inlet.example", A),
        ("whip.inlet.example", TXT),
        ("_turn._udp.turn.inlet.example", 33),
    ] {
        let plain = client.ask(&ask(name, kind));
        assert!(!plain.noted.is_cut, "{name} {kind}");
        let with_subnet = client.ask(&ask(name, kind).subnet("10.1.2.0/24"));
        assert!(!with_subnet.noted.is_cut, "{name} {kind}");
    }
}

/// RFC 8467 §4.1, and RFC 7830 §3: only when the client pads, and by TLS alone.
#[test]
fn answers_over_tls_are_padded_for_clients_that_pad() {
    const PADDING: u16 = 12;
    let query = ask("whip.inlet.example", A).option(PADDING, &[0; 30]);
    let response = Client::by(Transport::Tls).ask(&query);
    assert_eq!(response.bytes.len(), 468);
    assert!(
        response
            .option(PADDING)
            .unwrap()
            .iter()
            .all(|byte| *byte == 0)
    );
    assert!(
        Client::by(Transport::Tcp)
            .ask(&query)
            .option(PADDING)
            .is_none()
    );
    let unpadded = Client::by(Transport::Tls).ask(&ask("whip.inlet.example", A).edns());
    assert!(unpadded.bytes.len() < 100);
}

/// RFC 7828 §3.3.2.
#[test]
fn a_connections_idle_time_is_told_over_tcp() {
    const KEEPALIVE: u16 = 11;
    let query = ask("whip.inlet.example", A).option(KEEPALIVE, &[]);
    let response = Client::by(Transport::Tcp).ask(&query);
    assert_eq!(response.option(KEEPALIVE), Some(vec![0, 100]));
    assert_eq!(Client::new().ask(&query).option(KEEPALIVE), None);
}

#[test]
fn who_came_by_tcp_is_whom_it_says_it_is() {
    let query = ask("whip.inlet.example", A);
    assert!(Client::by(Transport::Tcp).ask(&query).noted.is_proven);
    assert!(!Client::new().ask(&query).noted.is_proven);
}

#[test]
fn a_slip_is_no_longer_than_its_query_and_leads_to_tcp() {
    let client = Client::new();
    for query in [
        ask("whip.inlet.example", A),
        ask("whip.inlet.example", A).edns(),
        ask("long.inlet.example", TXT).subnet("10.1.2.0/24"),
    ] {
        let message = query.build();
        let request = Request {
            message: &message,
            source: client.source,
            transport: Transport::Udp,
            now: NOW,
        };
        let mut out = Vec::new();
        assert!(slip(&client.world, &request, &mut out));
        assert!(out.len() <= message.len());
        let response = Message::from_bytes(&out).unwrap();
        assert!(response.metadata.truncation);
        assert!(response.answers.is_empty());
        assert_eq!(response.edns.is_some(), query.edns.is_some());
    }
}

/// RFC 7873 §5.2.3: who has cookies comes back with the one it is given.
#[test]
fn a_client_with_cookies_slips_by_one() {
    let client = Client::new();
    let message = ask("whip.inlet.example", A).option(COOKIE, &[4; 8]).build();
    let request = Request {
        message: &message,
        source: client.source,
        transport: Transport::Udp,
        now: NOW,
    };
    let mut out = Vec::new();
    assert!(slip(&client.world, &request, &mut out));
    let response = Message::from_bytes(&out).unwrap();
    assert!(!response.metadata.truncation);
    let code = u16::from(response.edns.unwrap().rcode_high()) << 4 | u16::from(out[3] & 0xf);
    assert_eq!(code, 23);
    let cookie = client.world.cookies.make(&[4; 8], client.source, NOW);
    assert!(out.ends_with(&cookie));
}
