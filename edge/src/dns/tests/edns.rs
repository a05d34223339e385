//! EDNS: when OPT is there, and what it says.

use super::*;

#[test]
fn opt_is_answered_with_opt_and_nothing_with_nothing() {
    let client = Client::new();
    assert!(
        client
            .ask(&ask("whip.inlet.example", A))
            .message
            .edns
            .is_none()
    );
    assert!(client.ask(&ask("other.example", A)).message.edns.is_none());
    for name in ["whip.inlet.example", "none.inlet.example", "other.example"] {
        let response = client.ask(&ask(name, A).edns());
        let edns = response.message.edns.as_ref().unwrap();
        assert_eq!(edns.max_payload(), 1232);
        assert_eq!(edns.version(), 0);
    }
}

#[test]
fn the_do_bit_comes_back() {
    for flags in [0, 0x8000, 0xffff] {
        let mut query = ask("whip.inlet.example", A).edns();
        query.edns.as_mut().unwrap().flags = flags;
        let response = Client::new().ask(&query);
        let told = *response.message.edns.as_ref().unwrap().flags();
        assert_eq!(told.dnssec_ok, flags != 0);
        assert_eq!(told.z, 0);
    }
}

#[test]
fn the_do_bit_comes_back_with_errors_too() {
    for flags in [0, 0x8000] {
        let mut unknown = ask("whip.inlet.example", A).edns();
        let edns = unknown.edns.as_mut().unwrap();
        (edns.version, edns.flags) = (1, flags);
        // A cookie of no length that there is.
        let mut broken = ask("whip.inlet.example", A).option(COOKIE, &[1; 3]);
        broken.edns.as_mut().unwrap().flags = flags;
        for (query, rcode) in [(unknown, 16), (broken, 1)] {
            let response = Client::new().ask(&query);
            assert_eq!(response.rcode(), rcode);
            let told = *response.message.edns.as_ref().unwrap().flags();
            assert_eq!(told.dnssec_ok, flags != 0, "{rcode}");
        }
    }
}

#[test]
fn versions_to_come_are_refused_with_ours() {
    for version in [1, 255] {
        let mut query = ask("whip.inlet.example", A).edns();
        query.edns.as_mut().unwrap().version = version;
        let response = Client::new().ask(&query);
        assert_eq!(response.rcode(), 16);
        assert_eq!(response.message.edns.as_ref().unwrap().version(), 0);
        assert!(response.message.answers.is_empty());
    }
}

/// RFC 6891 §6.1.3: what a version to come has to say is not known here, and no fault.
#[test]
fn options_of_versions_to_come_are_not_read() {
    let unreadable = [
        ask("whip.inlet.example", A).option(COOKIE, &[1; 3]),
        ask("whip.inlet.example", A).option(SUBNET, &[0, 9, 1]),
    ];
    for mut query in unreadable {
        assert_eq!(Client::new().ask(&query).rcode(), 1);
        query.edns.as_mut().unwrap().version = 1;
        assert_eq!(Client::new().ask(&query).rcode(), 16);
    }
    // No options at all, but two bytes.
    let mut query = ask("whip.inlet.example", A).edns();
    query.edns.as_mut().unwrap().version = 1;
    let mut message = query.build();
    let length = message.len() - 1;
    message[length] = 2;
    message.extend_from_slice(&[0, 9]);
    assert_eq!(Client::new().send(&message).unwrap().rcode(), 16);
}

/// RFC 6891 §6.2.3: values under 512 count as 512. And ours never grows over 1232.
#[test]
fn payloads_have_a_floor_and_a_ceiling() {
    let mut client = Client::new();
    // A cookie of ours, or a response would have three times its query at most.
    let cookie = client.world.cookies.make(&[5; 8], client.source, NOW);
    let cookie = [&[5; 8][..], &cookie].concat();
    let cut = |client: &Client, payload| {
        let mut query = ask("long.inlet.example", TXT).option(COOKIE, &cookie);
        query.edns.as_mut().unwrap().payload = payload;
        let response = client.ask(&query);
        assert_eq!(response.message.metadata.truncation, response.noted.is_cut);
        assert_eq!(response.answers().is_empty(), response.noted.is_cut);
        assert!(response.bytes.len() <= 1232);
        assert!(response.option(COOKIE).is_some());
        response.noted.is_cut
    };
    // 1,500 bytes of text fit nowhere.
    assert!(cut(&client, 0) && cut(&client, 512) && cut(&client, 4096));
    client.transport = Transport::Tcp;
    assert!(client.ask(&ask("long.inlet.example", TXT)).bytes.len() > 1500);

    let client = Client::new();
    let mut query = ask("inlet.example", 2).option(COOKIE, &cookie);
    query.edns.as_mut().unwrap().payload = 100;
    let response = client.ask(&query);
    assert!(response.bytes.len() > 100 && !response.noted.is_cut);
}

#[test]
fn nsid_is_told_to_whoever_asks() {
    const NSID: u16 = 3;
    let client = Client::new();
    let told = client.ask(&ask("whip.inlet.example", A).option(NSID, &[]));
    assert_eq!(told.option(NSID).as_deref(), Some(&b"test-1"[..]));
    let silent = client.ask(&ask("whip.inlet.example", A).edns());
    assert_eq!(silent.option(NSID), None);
}

/// The longest name, and the shortest query there is.
#[test]
fn nsid_makes_no_answer_too_long() {
    const NSID: u16 = 3;
    let mut client = Client::new();
    client.world.name = "n".repeat(63).into();
    for name in [".", "inlet.example", "whip.inlet.example", "x.example"] {
        for kind in [A, AAAA, TXT, 6, 255] {
            let query = ask(name, kind).option(NSID, &[]);
            let length = query.build().len();
            let response = client.ask(&query);
            assert!(response.bytes.len() <= 3 * length, "{name} {kind}");
            let plain = client.ask(&ask(name, kind).edns());
            assert_eq!(response.noted.is_cut, plain.noted.is_cut, "{name} {kind}");
        }
    }
    // Who has shown that answers reach it is told.
    let by_tcp = Client {
        transport: Transport::Tcp,
        ..client
    };
    let told = by_tcp.ask(&ask(".", A).option(NSID, &[]));
    assert_eq!(told.option(NSID).map(|name| name.len()), Some(63));
}

#[test]
fn a_cookie_is_answered_with_one_that_is_good() {
    let client = Client::new();
    let told = client.ask(&ask("whip.inlet.example", A).option(COOKIE, &[7; 8]));
    assert!(!told.noted.is_proven);
    let cookie = told.option(COOKIE).unwrap();
    assert_eq!(cookie.len(), 24);
    assert_eq!(cookie[..8], [7; 8]);
    let again = client.ask(&ask("whip.inlet.example", A).option(COOKIE, &cookie));
    assert!(again.noted.is_proven);
    // One that is not ours is renewed, and proves nothing.
    let mut forged = cookie.clone();
    forged[23] ^= 1;
    let renewed = client.ask(&ask("whip.inlet.example", A).option(COOKIE, &forged));
    assert_eq!(renewed.rcode(), 0);
    assert!(!renewed.noted.is_proven);
    assert_eq!(renewed.option(COOKIE), Some(cookie));
}

/// RFC 7873 §5.4.
#[test]
fn a_cookie_alone_may_be_asked_for() {
    let opt = Opt {
        payload: 1232,
        version: 0,
        flags: 0,
        options: vec![(COOKIE, vec![7; 8])],
    };
    let mut query = vec![0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    query.extend_from_slice(&opt.build());
    let response = Client::new().send(&query).unwrap();
    assert_eq!(response.rcode(), 0);
    assert!(response.message.queries.is_empty());
    assert_eq!(response.option(COOKIE).unwrap().len(), 24);
}

#[test]
fn options_of_others_are_passed_over() {
    let query = ask("whip.inlet.example", A)
        .option(65_001, b"who knows")
        .option(9, &[]);
    let response = Client::new().ask(&query);
    assert_eq!(response.answers().len(), 1);
    assert_eq!(response.option(65_001), None);
}
