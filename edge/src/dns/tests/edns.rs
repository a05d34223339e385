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
