//! What is there, and how it is answered.

use super::*;

#[test]
fn the_question_comes_back_byte_for_byte() {
    let query = ask("wHiP.InLeT.eXaMpLe", A).build();
    let response = Client::new().send(&query).unwrap();
    assert_eq!(response.bytes[..2], [0x12, 0x34]);
    assert_eq!(response.bytes[12..query.len()], query[12..]);
    assert_eq!(response.answers(), ["A 30 192.0.2.10"]);
}

#[test]
fn headers_are_those_of_an_authority() {
    // RD and CD come back (RFC 4035 §3.2.2), AD and Z do not, and RA is never set.
    for (asked, told) in [
        (0x0000, 0x8400),
        (0x0100, 0x8500),
        (0x0110, 0x8510),
        (0x0170, 0x8510),
        (0x0080, 0x8400),
    ] {
        let query = Ask {
            flags: asked,
            ..ask("whip.inlet.example", A)
        };
        let response = Client::new().ask(&query);
        assert_eq!(
            u16::from_be_bytes([response.bytes[2], response.bytes[3]]),
            told
        );
    }
}

#[test]
fn a_steered_name_has_every_address_of_its_point_of_presence() {
    let client = Client::from("10.2.9.9");
    let told = |kind| client.ask(&ask("turn.inlet.example", kind)).answers();
    assert_eq!(told(A), ["A 60 198.51.100.10", "A 60 198.51.100.11"]);
    assert_eq!(told(AAAA), ["AAAA 60 2001:db8:2::10"]);
}

/// A family that the nearest one lacks is answered by the next that has it: a record
/// set that exists is never empty.
#[test]
fn a_family_that_the_nearest_lacks_comes_from_another() {
    let client = Client::from("10.3.64.1");
    let told = |kind| client.ask(&ask("whip.inlet.example", kind)).answers();
    assert_eq!(told(A), ["A 30 203.0.113.10"]);
    assert_eq!(told(AAAA), ["AAAA 30 2001:db8:1::10"]);
}

#[test]
fn https_names_the_protocol_the_port_and_steered_hints() {
    const HTTPS: u16 = 65;
    let told = |source| {
        let response = Client::from(source).ask(&ask("whip.inlet.example", HTTPS));
        response.answers()
    };
    assert_eq!(
        told("10.1.0.1"),
        ["HTTPS 30 1 . alpn=h2, port=8443 ipv4hint=192.0.2.10, ipv6hint=2001:db8:1::10,"]
    );
    let elsewhere = told("10.2.0.1");
    assert!(
        elsewhere[0].contains("198.51.100.10,198.51.100.11"),
        "{elsewhere:?}"
    );
    // STUN and TURN are no HTTPS.
    let turn = Client::new().ask(&ask("turn.inlet.example", HTTPS));
    assert!(turn.is_negative());
}

#[test]
fn stun_and_turn_are_found_by_srv() {
    const SRV: u16 = 33;
    let client = Client::new();
    for (name, port) in [
        ("_stun._udp.turn.inlet.example", 3478),
        ("_stun._tcp.turn.inlet.example", 3478),
        ("_stuns._tcp.turn.inlet.example", 443),
        ("_turn._udp.turn.inlet.example", 3478),
        ("_turn._tcp.turn.inlet.example", 3478),
        ("_turns._tcp.turn.inlet.example", 443),
        ("_turn._udp.inlet.example", 3478),
        ("_turns._tcp.inlet.example", 443),
    ] {
        let response = client.ask(&ask(name, SRV).edns());
        let expected = format!("SRV 60 0 0 {port} turn.inlet.example.");
        assert_eq!(response.answers(), [expected], "{name}");
    }
}

#[test]
fn a_zone_has_its_start_and_its_servers() {
    let client = Client::by(Transport::Tcp);
    let soa = client.ask(&ask("inlet.example", 6)).answers();
    assert_eq!(
        soa,
        ["SOA 3600 ns1.inlet.example. ops.inlet.example. 7 3600 600 604800 60"]
    );
    let servers = client.ask(&ask("inlet.example", 2)).answers();
    assert_eq!(
        servers,
        ["NS 3600 ns1.inlet.example.", "NS 3600 ns2.other.example."]
    );
    let caa = client.ask(&ask("inlet.example", 257)).answers();
    assert_eq!(caa, ["CAA 3600 0 issue \"ca.example\""]);
}

#[test]
fn records_that_are_written_out_are_answered() {
    let client = Client::by(Transport::Tcp);
    let told = |name, kind| client.ask(&ask(name, kind)).answers();
    assert_eq!(told("ns1.inlet.example", A), ["A 3600 192.0.2.53"]);
    assert_eq!(told("ns1.inlet.example", AAAA), ["AAAA 3600 2001:db8::53"]);
    assert_eq!(
        told("text.deep.down.inlet.example", TXT),
        ["TXT 3600 v=spf1 -all"]
    );
    assert_eq!(
        told("mail.inlet.example", 15),
        ["MX 3600 10 mx.other.example."]
    );
    // Whatever is asked of an alias, it is told where to go.
    let alias = ["CNAME 3600 ns1.inlet.example."];
    assert_eq!(told("alias.inlet.example", A), alias);
    assert_eq!(told("alias.inlet.example", 5), alias);
}

#[test]
fn points_of_presence_go_by_their_own_names() {
    let client = Client::from("10.2.0.1");
    let told = client.ask(&ask("fra.inlet.example", A)).answers();
    assert_eq!(told, ["A 300 192.0.2.10"]);
    // Whose host lies in no zone here is somebody else's to answer.
    assert_eq!(client.ask(&ask("sin.elsewhere.example", A)).rcode(), 5);
}

/// RFC 8482: whoever asks for all is told one thing.
#[test]
fn any_is_answered_minimally() {
    let response = Client::new().ask(&ask("inlet.example", 255));
    assert_eq!(response.answers().len(), 1);
    assert!(response.answers()[0].starts_with("HINFO 86400 RFC8482"));
    assert!(
        Client::new()
            .ask(&ask("deep.down.inlet.example", 255))
            .is_negative()
    );
}

#[test]
fn a_zone_within_another_is_its_own() {
    let inner = Client::by(Transport::Tcp).ask(&ask("x.eu.inlet.example", A));
    assert_eq!(inner.rcode(), 3);
    assert_eq!(
        inner.message.authorities[0].name.to_string(),
        "eu.inlet.example."
    );
}
