use proptest::prelude::*;

use super::*;
use crate::dns::geo::{
    mmdb::{Value, Writer},
    plan::Overrides,
    testing::{self, BUILT, FLEET, ids, ip, opened, plan, sites},
};

fn first(table: &Table, address: &str) -> u8 {
    table.find(ip(address)).ranked.first().unwrap().0
}

#[test]
fn clients_go_to_the_nearest_by_the_city_database() {
    let city = Arc::new(testing::open("GeoIP2-City-Test.mmdb").unwrap());
    let table = compile(&plan(&Overrides::default()), &[city]).unwrap();
    for (address, expected) in [
        ("81.2.69.160", vec![0, 1, 3, 2]),
        ("89.160.20.128", vec![0, 1, 2, 3]),
        ("216.160.83.56", vec![1, 2, 0, 3]),
        ("175.16.199.1", vec![2, 0, 4, 1]),
        ("67.43.156.1", vec![2, 0, 4, 1]),
        ("2001:218::1", vec![2, 4, 0, 1]),
        ("2a02:d040::1", vec![0, 1, 2, 3]),
        ("127.0.0.1", vec![0, 1, 2, 3]),
    ] {
        assert_eq!(ids(table.find(ip(address)).ranked), expected, "{address}");
    }
}

#[test]
fn without_coordinates_the_country_counts() {
    let country = Arc::new(testing::open("GeoLite2-Country-Test.mmdb").unwrap());
    let table = compile(&plan(&Overrides::default()), &[country]).unwrap();
    assert_eq!(first(&table, "81.2.69.160"), 0, "GB");
    assert_eq!(first(&table, "216.160.83.56"), 1, "US");
    assert_eq!(first(&table, "2001:218::1"), 2, "JP");
}

#[test]
fn flat_fields_without_coordinates_are_enough() {
    let mut writer = Writer::new("ipinfo generic_lite_free.mmdb", BUILT);
    let record = [
        ("asn", "AS64496"),
        ("continent_code", "SA"),
        ("country_code", "BR"),
    ];
    let record = record.map(|(name, text)| (name, Value::text(text)));
    writer.insert(
        "192.0.2.0/24".parse().unwrap(),
        &Value::Map(record.to_vec()),
    );
    let table = compile(&plan(&Overrides::default()), &[opened(&writer)]).unwrap();
    assert_eq!(first(&table, "192.0.2.1"), 3);
}

#[test]
fn a_network_without_coordinates_is_where_its_system_is() {
    let mut city = Writer::new("GeoLite2-City", BUILT);
    let tokyo = Value::city("AS", "JP", Some((35.7, 139.7)));
    city.insert("192.0.2.0/24".parse().unwrap(), &tokyo);
    // Said to be in the United States, but only its registration is.
    city.insert(
        "198.51.100.0/24".parse().unwrap(),
        &Value::city("NA", "US", None),
    );
    let mut asn = Writer::new("GeoLite2-ASN", BUILT);
    for network in ["192.0.2.0/24", "198.51.100.0/25"] {
        asn.insert(network.parse().unwrap(), &Value::asn(64_496));
    }
    let databases = [opened(&city), opened(&asn)];
    let plan = plan(&Overrides::default());
    let table = compile(&plan, &databases).unwrap();
    assert_eq!(first(&table, "198.51.100.1"), 2, "by its system");
    assert_eq!(first(&table, "198.51.100.129"), 1, "by its country");
    assert_eq!(table.find(ip("198.51.100.1")).depth, 25);
    let without = compile(&plan, &databases[..1]).unwrap();
    assert_eq!(first(&without, "198.51.100.1"), 1);
}

#[test]
fn a_system_weighs_its_networks_by_their_addresses() {
    // Frankfurt has one of these, Sydney 256 addresses.
    for (frankfurt, expected) in [("10.0.0.0/12", 0), ("10.0.0.0/16", 1)] {
        let mut city = Writer::new("GeoLite2-City", BUILT);
        let mut asn = Writer::new("GeoLite2-ASN", BUILT);
        for (network, place) in [
            (frankfurt, Some((50.0, 8.0))),
            ("11.1.0.0/24", Some((-33.9, 151.2))),
            ("11.2.0.0/24", None),
        ] {
            city.insert(network.parse().unwrap(), &Value::city("NA", "US", place));
            asn.insert(network.parse().unwrap(), &Value::asn(64_496));
        }
        let databases = [opened(&city), opened(&asn)];
        let table = compile(&plan(&Overrides::default()), &databases).unwrap();
        // 0.4 % at the other end of the world are too much, and the country counts.
        assert_eq!(first(&table, "11.2.0.1"), expected, "{frankfurt}");
    }
}

#[test]
fn more_databases_than_can_be_asked_are_refused() {
    let database = testing::written(&[]);
    let databases = vec![database; MAX_DATABASES + 1];
    let refused = compile(&plan(&Overrides::default()), &databases);
    assert_eq!(refused.unwrap_err(), CompileError::TooManyDatabases);
    assert!(compile(&plan(&Overrides::default()), &databases[1..]).is_ok());
}

#[test]
fn equal_lists_side_by_side_are_one_leaf() {
    let mut writer = Writer::new("GeoLite2-City", BUILT);
    for number in 0..=u8::MAX {
        // Each its own place, all of them in Europe.
        let place = (45.0 + f64::from(number) / 100.0, 8.0);
        let network = format!("10.{number}.0.0/16").parse().unwrap();
        writer.insert(network, &Value::city("EU", "DE", Some(place)));
    }
    let one = Plan::new(&sites(&FLEET[..2]), &Overrides::default(), &[]).unwrap();
    let table = compile(&one, &[opened(&writer)]).unwrap();
    assert_eq!(
        table.find(ip("10.7.7.7")).depth,
        0,
        "the default is the same list"
    );
    let reversed = Plan::new(
        &sites(&FLEET[..2]),
        &Overrides::default(),
        &testing::pops(&[1]),
    );
    let table = compile(&reversed.unwrap(), &[opened(&writer)]).unwrap();
    assert_eq!(table.find(ip("10.7.7.7")).depth, 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The compiled list is that of the operator's rules, decided anew for the address.
    #[test]
    fn a_table_says_what_its_parts_say(
        first in testing::database(), second in testing::database(),
        overrides in testing::overrides(),
        addresses in prop::collection::vec(testing::address(), 1..40),
    ) {
        let databases = [testing::written(&first), testing::written(&second)];
        let plan = plan(&overrides);
        let table = compile(&plan, &databases).unwrap();
        let centres = Sources(&databases).centres();
        for address in addresses {
            let (family, mut bits) = Family::bits(address);
            let mut looked_up = (family, bits);
            if family == Family::V6 && let Some(kind) = Embedded::of(bits) {
                bits = kind.take_out(bits);
                looked_up = (Family::V4, bits);
            }
            let (family, bits) = looked_up;
            let mut facts = Facts::default();
            for database in &databases {
                facts = facts.or(&database.facts(database.trie().find(family, bits).0));
            }
            let network = ListId(plan.network_lists().find(family, bits).0);
            let (_, front) = plan.rule(network, &facts);
            let expected = plan.rank(front, centres.whereabouts(&facts).place());
            prop_assert_eq!(table.find(address).ranked, expected);
        }
    }
}
