//! What is not there, and what is not ours.

use super::*;

#[test]
fn a_type_that_a_name_lacks_is_no_data() {
    for (name, kind) in [
        ("whip.inlet.example", TXT),
        ("whip.inlet.example", 33),
        ("fra.inlet.example", 64_999),
        ("inlet.example", A),
        ("inlet.example", 41),
    ] {
        let response = Client::new().ask(&ask(name, kind).edns());
        assert_eq!(response.rcode(), 0, "{name}");
        assert!(response.is_negative(), "{name}");
    }
}

#[test]
fn a_name_that_is_not_there_is_said_not_to_be() {
    for name in [
        "nobody.inlet.example",
        "a.b.c.inlet.example",
        "x.whip.inlet.example",
    ] {
        let response = Client::new().ask(&ask(name, A).edns());
        assert_eq!(response.rcode(), 3, "{name}");
        assert!(response.is_negative(), "{name}");
        let soa = &response.message.authorities[0];
        assert_eq!(soa.name.to_string(), "inlet.example.");
    }
}

/// RFC 8020: a name with names below it exists.
#[test]
fn empty_non_terminals_are_there() {
    for name in [
        "deep.down.inlet.example",
        "down.inlet.example",
        "_udp.turn.inlet.example",
        "_tcp.inlet.example",
    ] {
        let response = Client::new().ask(&ask(name, A).edns());
        assert_eq!(response.rcode(), 0, "{name}");
        assert!(response.is_negative(), "{name}");
    }
}

#[test]
fn what_is_not_ours_is_refused() {
    for name in [
        "example",
        "",
        "other.example",
        "badinlet.example",
        "inlet.example.com",
        "whip.inlet.example.example",
    ] {
        let response = Client::new().ask(&ask(name, A).edns());
        assert_eq!(response.rcode(), 5, "{name}");
        assert!(response.message.answers.is_empty() && response.message.authorities.is_empty());
        assert!(!response.message.metadata.authoritative);
        // Not Authoritative (RFC 8914 §4.21).
        assert_eq!(response.option(15), Some(vec![0, 20]));
    }
}

#[test]
fn nobody_gets_a_whole_zone() {
    for kind in [251, 252, 253, 254] {
        let response = Client::by(Transport::Tcp).ask(&ask("inlet.example", kind).edns());
        assert_eq!(response.rcode(), 5);
        // Not Supported (RFC 8914 §4.22).
        assert_eq!(response.option(15), Some(vec![0, 21]));
    }
}

#[test]
fn other_classes_are_refused() {
    for class in [3, 4, 254, 255] {
        let query = Ask {
            class,
            ..ask("version.bind", TXT)
        };
        assert_eq!(Client::new().ask(&query).rcode(), 5);
        let query = Ask {
            class,
            ..ask("whip.inlet.example", A)
        };
        assert_eq!(Client::new().ask(&query).rcode(), 5);
    }
}
