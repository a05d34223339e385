use super::*;
use crate::dns::geo::testing::{FLEET, ids, ip, pops, sites};

fn code(text: &str) -> Code {
    Code::parse(text).unwrap()
}

fn error(overrides: &Overrides) -> PlanError {
    Plan::new(&sites(&FLEET), overrides, &[]).unwrap_err()
}

fn for_network(network: &str, list: &[u8]) -> Overrides {
    Overrides {
        networks: vec![(network.parse().unwrap(), pops(list))],
        ..Overrides::default()
    }
}

#[test]
fn the_most_specific_override_goes_in_front() {
    let mut overrides = Overrides {
        networks: vec![
            ("192.0.2.0/24".parse().unwrap(), pops(&[4])),
            ("192.0.2.128/25".parse().unwrap(), pops(&[3])),
        ],
        asns: [(64_496, pops(&[2]))].into(),
        countries: [(code("DE"), pops(&[1]))].into(),
        continents: [(code("EU"), pops(&[0]))].into(),
    };
    let facts = Facts {
        place: None,
        country: Some(code("DE")),
        continent: Some(code("EU")),
        asn: Some(64_496),
    };
    let decide = |overrides: &Overrides, address: &str| {
        let plan = Plan::new(&sites(&FLEET), overrides, &[]).unwrap();
        let (family, bits) = Family::bits(ip(address));
        let (list, _) = plan.network_lists().find(family, bits);
        let (rule, front) = plan.rule(ListId(list), &facts);
        (rule, plan.rank(front, None).first().unwrap().0)
    };
    assert_eq!(decide(&overrides, "192.0.2.129"), (Rule::Network, 3));
    assert_eq!(decide(&overrides, "192.0.2.1"), (Rule::Network, 4));
    assert_eq!(decide(&overrides, "192.0.3.1"), (Rule::Asn(64_496), 2));
    overrides.asns.clear();
    assert_eq!(
        decide(&overrides, "192.0.3.1"),
        (Rule::Country(code("DE")), 1)
    );
    overrides.countries.clear();
    assert_eq!(
        decide(&overrides, "192.0.3.1"),
        (Rule::Continent(code("EU")), 0)
    );
    overrides.continents.clear();
    assert_eq!(decide(&overrides, "192.0.3.1").0, Rule::Nearness);
}

#[test]
fn a_list_is_filled_by_nearness_or_by_the_default() {
    let plan = |default: &[u8]| {
        let overrides = for_network("192.0.2.0/24", &[4, 4, 1]);
        Plan::new(&sites(&FLEET), &overrides, &pops(default)).unwrap()
    };
    let near_frankfurt = Place::new(50.0, 9.0);
    let front = ListId(1);
    assert_eq!(ids(plan(&[]).rank(front, near_frankfurt)), [4, 1, 0, 2]);
    assert_eq!(
        ids(plan(&[]).rank(ListId::NONE, near_frankfurt)),
        [0, 1, 2, 3]
    );
    assert_eq!(ids(plan(&[2, 4]).rank(front, None)), [4, 1, 2, 0]);
    assert_eq!(ids(plan(&[2, 4]).rank(ListId::NONE, None)), [2, 4, 0, 1]);
    assert_eq!(ids(plan(&[]).rank(ListId::NONE, None)), [0, 1, 2, 3]);
}

#[test]
fn what_has_no_meaning_is_refused() {
    assert_eq!(
        Plan::new(&[], &Overrides::default(), &[]).unwrap_err(),
        PlanError::NoSite
    );
    let many = vec![sites(&FLEET)[0]; MAX_POPS + 1];
    let refused = Plan::new(&many, &Overrides::default(), &[]);
    assert_eq!(refused.unwrap_err(), PlanError::TooManySites);
    assert!(Plan::new(&many[1..], &Overrides::default(), &[]).is_ok());
    for bias_km in [f64::NAN, f64::INFINITY, 20_000.1, -20_000.1] {
        let mut sites = sites(&FLEET);
        sites[3].bias_km = bias_km;
        let refused = Plan::new(&sites, &Overrides::default(), &[]);
        assert_eq!(refused.unwrap_err(), PlanError::Bias(PopId(3)));
    }
    let refused = Plan::new(&sites(&FLEET), &Overrides::default(), &pops(&[5]));
    assert_eq!(refused.unwrap_err(), PlanError::UnknownPop(PopId(5)));

    let nowhere = error(&for_network("192.0.2.0/24", &[]));
    assert_eq!(nowhere, PlanError::EmptyList("192.0.2.0/24".to_owned()));
    let unknown = error(&for_network("192.0.2.0/24", &[0, 5]));
    assert_eq!(unknown, PlanError::UnknownPop(PopId(5)));
    let mut twice = for_network("192.0.2.0/24", &[0]);
    twice
        .networks
        .push(("192.0.2.1/24".parse().unwrap(), pops(&[1])));
    assert_eq!(
        error(&twice),
        PlanError::Twice("192.0.2.0/24".parse().unwrap())
    );
    let continents = [(code("DE"), pops(&[0]))].into();
    let odd = Overrides {
        continents,
        ..Overrides::default()
    };
    assert_eq!(error(&odd), PlanError::NoContinent(code("DE")));
}

#[test]
fn an_override_for_ipv4_inside_of_ipv6_names_the_ipv4_network() {
    for network in [
        "2002:5102:4500::/40",
        "2002::/16",
        "::ffff:0:0/96",
        "2001::/32",
    ] {
        let refused = error(&for_network(network, &[0]));
        assert_eq!(refused, PlanError::Embedded(network.parse().unwrap()));
    }
    for network in ["2000::/3", "::/0", "2003::/16", "2001::/31"] {
        let overrides = for_network(network, &[0]);
        assert!(
            Plan::new(&sites(&FLEET), &overrides, &[]).is_ok(),
            "{network}"
        );
    }
}

#[test]
fn overrides_are_bounded() {
    let asns = |count| Overrides {
        asns: (1..=count).map(|asn| (asn, pops(&[0]))).collect(),
        ..Overrides::default()
    };
    let most = u32::try_from(MAX_OVERRIDES).unwrap();
    assert!(Plan::new(&sites(&FLEET), &asns(most), &[]).is_ok());
    assert_eq!(error(&asns(most + 1)), PlanError::TooManyOverrides);
}
