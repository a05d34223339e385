//! EDNS Client Subnet (RFC 7871).

use super::*;

fn echoed(response: &Response) -> Option<Vec<u8>> {
    response.option(SUBNET)
}

#[test]
fn the_clients_network_decides_and_comes_back_with_its_scope() {
    // The resolver is near Frankfurt, its clients are not.
    let client = Client::from("10.1.0.53");
    for (network, told, scope) in [
        ("10.1.2.0/24", "192.0.2.10", 16),
        ("10.2.2.0/24", "198.51.100.10", 16),
        ("10.3.64.0/24", "203.0.113.10", 18),
        ("10.3.127.128/25", "203.0.113.10", 18),
    ] {
        let response = client.ask(&ask("whip.inlet.example", A).subnet(network));
        assert!(
            response.answers()[0].ends_with(told),
            "{network}: {:?}",
            response.answers()
        );
        let option = echoed(&response).unwrap();
        let (ip, length) = network.split_once('/').unwrap();
        let ip: std::net::Ipv4Addr = ip.parse().unwrap();
        let length: u8 = length.parse().unwrap();
        let bytes = &ip.octets()[..usize::from(length).div_ceil(8)];
        assert_eq!(
            option,
            [&[0, 1, length, scope], bytes].concat(),
            "{network}"
        );
        assert!(response.noted.has_subnet);
    }
}

/// RFC 7871 §7.2.1: a scope that is longer than what was asked wants more bits.
#[test]
fn a_network_that_is_too_wide_is_told_so() {
    let response = Client::new().ask(&ask("whip.inlet.example", A).subnet("10.3.0.0/16"));
    let option = echoed(&response).unwrap();
    assert_eq!(option[..4], [0, 1, 16, 18]);
}

#[test]
fn ipv6_networks_are_networks_too() {
    let client = Client::new();
    let response = client.ask(&ask("whip.inlet.example", A).subnet("2001:db8:a12::/48"));
    assert_eq!(response.answers()[0], "A 30 198.51.100.10");
    assert_eq!(echoed(&response).unwrap()[..4], [0, 2, 48, 40]);
    let response = client.ask(&ask("whip.inlet.example", AAAA).subnet("2001:db8:a12::/48"));
    assert_eq!(response.answers(), ["AAAA 30 2001:db8:2::10"]);
}

/// 6to4: the IPv4 address inside counts once all of it is told; the scope stays in
/// bits of IPv6.
#[test]
fn ipv4_in_ipv6_is_taken_out_when_it_is_whole() {
    let client = Client::new();
    let response = client.ask(&ask("whip.inlet.example", A).subnet("2002:0a02:0101::/48"));
    assert_eq!(response.answers()[0], "A 30 198.51.100.10");
    assert_eq!(echoed(&response).unwrap()[..4], [0, 2, 48, 16 + 16]);
    let response = client.ask(&ask("whip.inlet.example", A).subnet("2002:0a00::/24"));
    assert_eq!(echoed(&response).unwrap()[..4], [0, 2, 24, 48]);
}

/// RFC 7871 §7.1.2: the client wants to stay unknown; the resolver's address counts.
#[test]
fn no_bits_mean_the_resolver() {
    for (family, name) in [(1, "IPv4"), (2, "IPv6")] {
        let query = ask("whip.inlet.example", A).option(SUBNET, &[0, family, 0, 0]);
        let response = Client::from("10.2.0.1").ask(&query);
        assert_eq!(response.answers()[0], "A 30 198.51.100.10", "{name}");
        assert_eq!(echoed(&response).unwrap(), [0, family, 0, 0], "{name}");
    }
}

/// The same without a family, which the other parser does not know.
#[test]
fn no_family_means_the_resolver() {
    let client = Client::from("10.2.0.1");
    let message = ask("whip.inlet.example", A).option(SUBNET, &[0; 4]).build();
    let request = Request {
        message: &message,
        source: client.source,
        transport: client.transport,
        now: NOW,
    };
    let mut out = Vec::new();
    answer::answer(&client.world, &client.board, &request, &mut out).unwrap();
    assert_eq!(out[3] & 0xf, 0);
    assert!(out.windows(4).any(|bytes| bytes == [198, 51, 100, 10]));
    assert!(out.ends_with(&[0, 8, 0, 4, 0, 0, 0, 0]));
}

#[test]
fn names_that_are_the_same_for_all_have_scope_0() {
    for name in [
        "ns1.inlet.example",
        "fra.inlet.example",
        "none.inlet.example",
        "other.example",
    ] {
        let response = Client::new().ask(&ask(name, A).subnet("10.2.2.0/24"));
        assert_eq!(
            echoed(&response).unwrap(),
            [0, 1, 24, 0, 10, 2, 2],
            "{name}"
        );
    }
    // A steered name has types that are not.
    let text = Client::new().ask(&ask("whip.inlet.example", TXT).subnet("10.2.2.0/24"));
    assert_eq!(echoed(&text).unwrap()[3], 0);
    let https = Client::new().ask(&ask("whip.inlet.example", 65).subnet("10.2.2.0/24"));
    assert_eq!(echoed(&https).unwrap()[3], 16);
}

/// RFC 7871 §7.4: what is the same for everybody has scope 0.
#[test]
fn a_family_that_nobody_has_is_missing_for_everybody() {
    let mut client = Client::new();
    let mut pops = client.world.fleet.pops().to_vec();
    for pop in &mut pops {
        pop.ipv6.clear();
    }
    client.world.fleet = Arc::new(crate::dns::fleet::Fleet::new(pops));
    let response = client.ask(&ask("whip.inlet.example", AAAA).subnet("10.2.2.0/24"));
    assert!(response.is_negative());
    assert_eq!(echoed(&response).unwrap()[3], 0);
}

/// Without a database all clients have one leaf; they are not sent on together.
#[test]
fn the_clients_of_one_that_is_out_are_spread() {
    let mut client = Client::new();
    let fra = client.world.fleet.find("fra").unwrap();
    let whip = crate::dns::fleet::Service::Whip;
    client.board.set(
        fra,
        whip,
        crate::dns::fleet::Family::V4,
        crate::dns::steer::Standing::Down,
    );
    let mut told = std::collections::BTreeMap::new();
    for network in 0..100_u8 {
        client.source = [20, network, 0, 1].into();
        let answers = client.ask(&ask("whip.inlet.example", A)).answers();
        *told.entry(answers[0].clone()).or_insert(0) += 1;
    }
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.values().all(|count| *count > 15), "{told:?}");
}

#[test]
fn no_network_no_option() {
    let response = Client::new().ask(&ask("whip.inlet.example", A).edns());
    assert_eq!(echoed(&response), None);
    assert!(!response.noted.has_subnet);
}

#[test]
fn what_is_no_network_is_malformed() {
    let client = Client::new();
    for (what, data) in [
        ("scope in a query", &[0, 1, 24, 8, 10, 1, 2][..]),
        ("bits behind the prefix", &[0, 1, 23, 0, 10, 1, 3]),
        ("one bit behind it", &[0, 1, 31, 0, 10, 1, 2, 1]),
        ("too few bytes", &[0, 1, 24, 0, 10, 1]),
        ("too many bytes", &[0, 1, 24, 0, 10, 1, 2, 0]),
        ("a long IPv4 prefix", &[0, 1, 33, 0, 10, 1, 2, 3, 0]),
        (
            "a long IPv6 prefix",
            &[&[0, 2, 129, 0][..], &[0; 17]].concat(),
        ),
        ("an unknown family", &[0, 3, 0, 0]),
        ("no family with a prefix", &[0, 0, 8, 0, 10]),
        ("nothing", &[]),
        ("half a head", &[0, 1, 24]),
    ] {
        let response = client.ask(&ask("whip.inlet.example", A).option(SUBNET, data));
        assert_eq!(response.rcode(), 1, "{what}");
        assert!(response.message.edns.is_some(), "{what}");
    }
    let twice = ask("whip.inlet.example", A)
        .subnet("10.1.2.0/24")
        .subnet("10.2.2.0/24");
    assert_eq!(client.ask(&twice).rcode(), 1);
}
