//! Fragments as real clients send them, and as nobody should.

use proptest::prelude::*;

use super::*;

/// The example of RFC 9725 §4.3.2, figure 5, in its form.
const WHOLE: &str = "a=group:BUNDLE 0 1\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
    a=mid:0\r\n\
    a=ice-ufrag:EsAw\r\n\
    a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
    a=candidate:3471623853 1 udp 2122194687 198.51.100.1 61765 typ srflx raddr 192.0.2.1 rport 61764\r\n\
    a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0\r\n\
    a=end-of-candidates\r\n";

fn parse(text: &str) -> Fragment<'_> {
    Fragment::parse(text).unwrap()
}

fn only(text: &str) -> Candidate<'_> {
    let fragment = parse(text);
    assert_eq!(
        (fragment.candidates.len(), fragment.skipped),
        (1, 0),
        "{text}"
    );
    fragment.candidates[0]
}

#[test]
fn a_whole_fragment_is_read() {
    let fragment = parse(WHOLE);
    let credentials = fragment.credentials().unwrap();
    assert_eq!(credentials.ufrag, "EsAw");
    assert_eq!(credentials.pass, "P2uYro0UCOQ4zxjKXaWCBui1");
    assert!(fragment.is_complete);
    assert_eq!(fragment.skipped, 0);
    let kinds: Vec<_> = fragment
        .candidates
        .iter()
        .map(|it| (it.kind, it.is_tcp))
        .collect();
    assert_eq!(
        kinds,
        [
            (Kind::Host, false),
            (Kind::ServerReflexive, false),
            (Kind::Host, true)
        ]
    );
    assert_eq!(fragment.candidates[1].port, 61765);
}

#[test]
fn line_ends_of_any_kind_will_do() {
    let unix = WHOLE.replace("\r\n", "\n");
    let mac = WHOLE.replace("\r\n", "\r");
    let blank = WHOLE.replace("\r\n", " \r\n\r\n");
    for text in [&unix, &mac, &blank, WHOLE.trim_end()] {
        assert_eq!(parse(text), parse(WHOLE), "{text:?}");
    }
}

#[test]
fn a_ufrag_of_null_is_none() {
    let fragment = parse("a=ice-ufrag:null\r\na=ice-pwd:\r\na=ice-ufrag:abcd\r\n");
    assert_eq!((fragment.ufrag, fragment.pwd), (Some("abcd"), None));
    assert_eq!(fragment.skipped, 2);
    assert_eq!(fragment.credentials(), None);
}

#[test]
fn what_is_empty_says_nothing() {
    assert_eq!(parse(""), Fragment::default());
    assert_eq!(parse("\r\n\r\n"), Fragment::default());
    let fragment = parse("a=\r\na=mid:0\r\n");
    assert_eq!((fragment.skipped, fragment.is_complete), (1, false));
    // An RTCIceCandidate that stands for the end.
    assert!(parse("m=audio 9 RTP/AVP 0\r\na=candidate:\r\n").is_complete);
}

#[test]
fn any_m_line_or_none_will_do() {
    let candidate = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    for head in [
        "",
        "m=audio 9 RTP/AVP 0\r\na=mid:1\r\n",
        "m=video 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:nobody\r\n",
        "a=mid:1\r\nm=application\r\n",
    ] {
        only(&format!("{head}{candidate}"));
    }
}

#[test]
fn candidates_of_every_form_are_read() {
    let at = |address: &str| format!("a=candidate:x 1 UDP 4294967295 {address} 5 typ host");
    for (address, ip) in [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ] {
        let expected = Host::Address(ip.parse().unwrap());
        assert_eq!(only(&at(address)).host, expected);
    }
    let name = "5f1b3f0e-b6f3-4a0c-8f7e-1d5f5c1f6b4e.local";
    assert_eq!(only(&at(name)).host, Host::Name(name));
    for component in [0, 1, 2, 256] {
        let line = format!("a=candidate:x {component} udp 1 192.0.2.1 9 typ relay");
        let candidate = only(&line);
        assert_eq!(
            (candidate.component, candidate.kind),
            (component, Kind::Relayed)
        );
    }
    only("a=candidate:candidate:1 1 udp 1 192.0.2.1 9 typ prflx");
}

#[test]
fn candidates_that_cannot_be_are_passed_over() {
    for line in [
        "a=candidate:1",
        "a=candidate:1 1 sctp 1 192.0.2.1 9 typ host",
        "a=candidate:1 1 udp x 192.0.2.1 9 typ host",
        "a=candidate:1 1 udp 1 192.0.2.1 99999 typ host",
        "a=candidate:1 1 udp 1 [192.0.2.1 9 typ host",
        "a=candidate:1 1 udp 1 a/b 9 typ host",
        "a=candidate:1 1 udp 1 192.0.2.1 9 host",
        "a=candidate:1 1 udp 1 192.0.2.1 9 typ ghost",
    ] {
        let text = format!("{line}\r\na=candidate:2 1 udp 1 192.0.2.2 9 typ host\r\n");
        let fragment = parse(&text);
        assert_eq!(
            (fragment.candidates.len(), fragment.skipped),
            (1, 1),
            "{line}"
        );
    }
}

#[test]
fn credentials_are_bounded_and_hold_no_colon() {
    let longest = "u+/".repeat(85) + "x";
    let pwd = "p".repeat(MIN_PWD);
    let text = |ufrag: &str, pwd: &str| format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n");
    assert_eq!(longest.len(), MAX_CREDENTIAL);
    assert!(parse(&text(&longest, &pwd)).credentials().is_some());
    for (ufrag, pwd) in [
        ("abc", pwd.as_str()),
        ("a:bcd", &pwd),
        ("ab cd", &pwd),
        (&format!("{longest}x"), &pwd),
        ("abcd", &pwd[1..]),
        ("abcd", &"p".repeat(MAX_CREDENTIAL + 1)),
    ] {
        assert_eq!(
            parse(&text(ufrag, pwd)).credentials(),
            None,
            "{ufrag} {pwd}"
        );
    }
}

#[test]
fn what_is_no_sdp_is_told() {
    for text in ["hello", "{\"candidate\":\"x\"}", "Aa=1", "=", "a"] {
        assert_eq!(Fragment::parse(text), Err(NotSdp), "{text}");
    }
    assert_eq!(parse("hello\na=mid:0").skipped, 1);
}

#[test]
fn candidates_are_bounded() {
    let one = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    let text = one.repeat(MAX_CANDIDATES + 7);
    let fragment = parse(&text);
    assert_eq!(fragment.candidates.len(), MAX_CANDIDATES);
    assert_eq!(fragment.skipped, 7);
}

proptest! {
    #[test]
    fn nothing_panics(text in "\\PC{0,200}") {
        let _parsed = Fragment::parse(&text);
    }

    #[test]
    fn lines_like_ours_never_panic(
        lines in proptest::collection::vec(
            "(a=(candidate|ice-ufrag|ice-pwd|mid|):?)?[a-z0-9:.\\[\\] ]{0,60}", 0..20),
    ) {
        let text = lines.join("\r\n");
        if let Ok(fragment) = Fragment::parse(&text) {
            prop_assert!(fragment.candidates.len() + fragment.skipped <= lines.len());
        }
    }

    #[test]
    fn whatever_stands_around_it_a_candidate_is_found(
        before in "[ -~]{0,40}", after in "[ -~]{0,40}", port: u16, component in 0_u16..=256,
    ) {
        prop_assume!(!before.contains("candidate") && !after.contains("candidate"));
        let text = format!(
            "{before}\r\na=candidate:7 {component} udp 9 2001:db8::7 {port} typ srflx\r\n{after}"
        );
        let fragment = Fragment::parse(&text).unwrap();
        let found = fragment.candidates.as_slice();
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!((found[0].port, found[0].component), (port, component));
    }
}
