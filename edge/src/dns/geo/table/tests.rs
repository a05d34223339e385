use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::dns::geo::{
    mmdb::{Value, Writer},
    plan::Overrides,
    testing::{self, BUILT, FLEET, ids, ip, opened, plan, pops, sites},
    trie::masked,
};

/// Three networks of IPv4, far apart, and one of IPv6.
fn table(overrides: &Overrides) -> Table {
    let mut writer = Writer::new("GeoLite2-City", BUILT);
    writer.alias_v4();
    for (network, place) in [
        ("81.2.69.0/24", (51.5, 0.0)),
        ("81.2.70.0/24", (36.0, 140.0)),
        ("2a02:d040::/32", (36.0, 140.0)),
    ] {
        writer.insert(
            network.parse().unwrap(),
            &Value::city("EU", "XX", Some(place)),
        );
    }
    let plan = Plan::new(&sites(&FLEET), overrides, &pops(&[4])).unwrap();
    Table::compile(&plan, &[opened(&writer)]).unwrap()
}

#[test]
fn a_leaf_is_as_deep_as_its_network() {
    let table = table(&Overrides::default());
    let found = |address| {
        let found = table.find(ip(address));
        (ids(found.ranked)[0], found.depth)
    };
    assert_eq!(found("81.2.69.160"), (0, 24));
    assert_eq!(found("81.2.70.1"), (2, 24));
    assert_eq!(found("2a02:d040:1::1"), (2, 32));
    assert_eq!(found("9.9.9.9"), (4, 2));
    assert_eq!(found("200.1.1.1"), (4, 1));
}

#[test]
fn ipv4_inside_of_ipv6_is_found_and_its_depth_is_one_of_ipv6() {
    let table = table(&Overrides::default());
    for (address, depth) in [
        ("::ffff:81.2.69.160", 96 + 24),
        ("64:ff9b::81.2.69.160", 96 + 24),
        ("2002:5102:45a0:1::1", 16 + 24),
        ("2001:0:4136:e378:8000:63bf:aefd:ba5f", 96 + 24),
    ] {
        let found = table.find(ip(address));
        assert_eq!((ids(found.ranked)[0], found.depth), (0, depth), "{address}");
    }
}

#[test]
fn ipv4_of_which_too_little_is_known_is_not_taken_out() {
    let table = table(&Overrides::default());
    for (address, enough) in [
        ("::ffff:81.2.69.160", 128),
        ("64:ff9b::81.2.69.160", 128),
        ("2002:5102:45a0::", 48),
        ("2001:0:4136:e378:8000:63bf:aefd:ba5f", 128),
    ] {
        let known = table.find_prefix(ip(address), enough);
        assert_eq!(ids(known.ranked)[0], 0, "{address}");
        let unclear = table.find_prefix(ip(address), enough - 1);
        assert_eq!(ids(unclear.ranked)[0], 4, "{address}");
        assert_eq!(unclear.depth, enough, "{address}");
    }
}

#[test]
fn an_override_around_ipv4_inside_of_ipv6_is_for_whom_is_unclear() {
    let table = table(&Overrides {
        networks: vec![("2000::/3".parse().unwrap(), pops(&[3]))],
        ..Overrides::default()
    });
    let first = |address, source| ids(table.find_prefix(ip(address), source).ranked)[0];
    assert_eq!(first("2002:5102:45a0::", 47), 3);
    assert_eq!(first("2002:5102:45a0::", 48), 0);
    assert_eq!(first("64:ff9b::", 96), 4);
    assert_eq!(first("2a02:d040::", 64), 3);
}

#[test]
fn without_databases_there_are_the_overrides() {
    let overrides = Overrides {
        networks: vec![("10.0.0.0/8".parse().unwrap(), pops(&[2]))],
        ..Overrides::default()
    };
    let table = Table::compile(&plan(&overrides), &[]).unwrap();
    assert_eq!(ids(table.find(ip("10.1.1.1")).ranked), [2, 0, 1, 3]);
    assert_eq!(ids(table.find(ip("11.1.1.1")).ranked), [0, 1, 2, 3]);
    // The first bit in which it differs from ::ffff:0:0/96.
    assert_eq!(table.find(ip("::1")).depth, 81);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_address_of_the_depth_gets_the_same_list(
        networks in testing::database(), overrides in testing::overrides(),
        cases in prop::collection::vec(
            (testing::address(), any::<u128>(), 0..=128_u8, 0..=128_u8), 1..60),
    ) {
        let table = Table::compile(&plan(&overrides), &[testing::written(&networks)]).unwrap();
        for (address, noise, source, other_source) in cases {
            let found = table.find_prefix(address, source);
            let other = another(address, found.depth, noise);
            prop_assert_eq!(table.find_prefix(other, source), found, "{} {}", address, other);
            let (family, bits) = Family::bits(address);
            let inside = Some(bits).filter(|_| family == Family::V6).and_then(Embedded::of);
            let enough = inside.map_or(0, Embedded::reach);
            if source >= enough && other_source >= enough {
                let for_other = table.find_prefix(other, other_source);
                prop_assert_eq!(for_other, found, "{} {}/{}", address, other, other_source);
            }
        }
    }

    #[test]
    fn equal_siblings_are_one_leaf(
        networks in testing::database(), overrides in testing::overrides(),
        address in testing::address(),
    ) {
        let table = Table::compile(&plan(&overrides), &[testing::written(&networks)]).unwrap();
        let found = table.find(address);
        let (_, bits) = Family::bits(address);
        if let Some(sibling_bit) = found.depth.checked_sub(1)
            && Embedded::of(bits).is_none()
        {
            let sibling = with_bits(address, bits ^ 1 << (127 - sibling_bit));
            let sibling = table.find(sibling);
            prop_assert!(sibling.ranked != found.ranked || sibling.depth != found.depth);
        }
    }
}

/// An address with the same first bits.
fn another(address: IpAddr, depth: u8, noise: u128) -> IpAddr {
    let (_, bits) = Family::bits(address);
    with_bits(
        address,
        masked(bits, depth) | noise & !masked(u128::MAX, depth),
    )
}

fn with_bits(address: IpAddr, bits: u128) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits((bits >> 96) as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}
