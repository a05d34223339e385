use proptest::prelude::*;

use super::*;
use crate::dns::geo::{
    facts::Code,
    mmdb::{Value, Writer},
    plan::Overrides,
    testing::{self, BUILT, ids, ip, opened, plan, pops},
};

fn code(text: &str) -> Code {
    Code::parse(text).unwrap()
}

fn explain(overrides: &Overrides, databases: &[Arc<Database>], address: &str) -> Explanation {
    let plan = plan(overrides);
    let table = Table::compile(&plan, databases).unwrap();
    table.explain(&plan, databases, ip(address))
}

#[test]
fn an_operator_sees_what_was_said_and_how_far_it_is() {
    let databases = ["GeoIP2-City-Test.mmdb", "GeoLite2-ASN-Test.mmdb"];
    let databases = databases.map(|name| Arc::new(testing::open(name).unwrap()));
    let explanation = explain(&Overrides::default(), &databases, "89.160.20.128");
    assert_eq!(explanation.rule, Rule::Nearness);
    assert!(matches!(explanation.whereabouts, Whereabouts::Located(_)));
    let [city, asn] = explanation.said.as_slice() else {
        panic!("two databases were asked");
    };
    assert_eq!(city.database, "GeoIP2-City");
    assert_eq!(city.facts.country, Some(code("SE")));
    assert_eq!(asn.facts.asn, Some(29_518));
    let [frankfurt, ..] = explanation.choices.as_slice() else {
        panic!("there is a list");
    };
    // From Linköping.
    assert!(
        (frankfurt.distance_km.unwrap() - 1024.0).abs() < 20.0,
        "{frankfurt:?}"
    );
    let far = explanation
        .choices
        .windows(2)
        .all(|pair| pair[0].distance_km.unwrap() <= pair[1].distance_km.unwrap());
    assert!(far);
}

#[test]
fn each_rule_is_named() {
    let mut writer = Writer::new("Test-Country", BUILT);
    for (network, country, continent) in [
        ("192.0.2.0/24", "DE", "EU"),
        ("198.51.100.0/24", "JP", "AS"),
        ("203.0.113.0/24", "XX", "SA"),
    ] {
        writer.insert(
            network.parse().unwrap(),
            &Value::city(continent, country, None),
        );
    }
    let overrides = Overrides {
        networks: vec![("192.0.2.128/25".parse().unwrap(), pops(&[4]))],
        countries: [(code("DE"), pops(&[3]))].into(),
        continents: [(code("SA"), pops(&[2]))].into(),
        ..Overrides::default()
    };
    let databases = [opened(&writer)];
    let explain = |address| {
        let explanation = explain(&overrides, &databases, address);
        (
            explanation.rule,
            explanation.whereabouts,
            explanation.choices[0].pop.0,
        )
    };
    let centre =
        |country| Whereabouts::CountryCentre(super::super::country_centre(code(country)).unwrap());
    assert_eq!(explain("192.0.2.129"), (Rule::Network, centre("DE"), 4));
    assert_eq!(
        explain("192.0.2.1"),
        (Rule::Country(code("DE")), centre("DE"), 3)
    );
    assert_eq!(explain("198.51.100.1"), (Rule::Nearness, centre("JP"), 2));
    let continent = (Rule::Continent(code("SA")), Whereabouts::Unknown, 2);
    assert_eq!(explain("203.0.113.1"), continent);
    assert_eq!(
        explain("10.0.0.1"),
        (Rule::Nearness, Whereabouts::Unknown, 0)
    );
}

#[test]
fn ipv4_inside_of_ipv6_is_explained_by_the_ipv4_network() {
    let city = [Arc::new(testing::open("GeoIP2-City-Test.mmdb").unwrap())];
    let explanation = explain(&Overrides::default(), &city, "2002:5102:45a0::1");
    assert_eq!(explanation.embedded, Some(Embedded::SixToFour));
    assert!(explanation.said[0].network.contains(&ip("81.2.69.160")));
    assert!(explanation.network.contains(&ip("2002:5102:45a0::1")));
    assert_eq!(explanation.said[0].facts.country, Some(code("GB")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_explanation_is_true(
        networks in testing::database(), overrides in testing::overrides(),
        addresses in prop::collection::vec(testing::address(), 1..20),
    ) {
        let databases = [testing::written(&networks)];
        let plan = plan(&overrides);
        let table = Table::compile(&plan, &databases).unwrap();
        for address in addresses {
            let explanation = table.explain(&plan, &databases, address);
            let found = table.find(address);
            let listed: Vec<u8> = explanation.choices.iter().map(|choice| choice.pop.0).collect();
            prop_assert_eq!(listed, ids(found.ranked));
            prop_assert!(explanation.network.contains(&address));
            prop_assert_eq!(explanation.network.prefix_len(), found.depth);
            let known = explanation.whereabouts.place().is_some();
            let distances = explanation.choices.iter().map(|choice| choice.distance_km.is_some());
            prop_assert!(distances.into_iter().all(|distance| distance == known));
            for said in &explanation.said {
                let looked_up = explanation.embedded.is_some() || said.network.contains(&address);
                prop_assert!(looked_up);
            }
        }
    }
}
