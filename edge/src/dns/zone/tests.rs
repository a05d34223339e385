//! What a fleet's file may say, and what it is told when it may not.

use std::path::Path;

use inlet_common::config::{self, Error};

use super::Found;
use crate::dns::{
    fleet::{Checked, Service, file::FleetFile},
    wire::{Name, NameBuf},
};

const SAMPLE: &str = include_str!("../../../../config/fleet.toml");

const POP: &str = r#"
[[pop]]
name = "fra"
host = "fra.inlet.example"
ipv4 = ["192.0.2.10"]
latitude = 50.11
longitude = 8.68
"#;

const ZONE: &str = r#"
[[zone]]
name = "inlet.example"
name_servers = ["ns1"]
"#;

fn load(text: &str) -> Result<Checked, Error> {
    let path = Path::new("fleet.toml");
    config::parse::<FleetFile>(path, text)?.validate(path)
}

fn problems(text: &str) -> Vec<String> {
    match load(text) {
        Err(Error::Invalid { problems, .. }) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("expected problems with {text}, got {other:?}"),
    }
}

#[test]
fn the_sample_is_sound() {
    let checked = load(SAMPLE).unwrap();
    assert_eq!(checked.fleet.pops().len(), 3);
    assert_eq!(checked.zones.zones().len(), 1);
    let fra = checked.fleet.find("fra").unwrap();
    let near: Vec<&str> = checked
        .fleet
        .neighbours(fra)
        .iter()
        .filter_map(|id| checked.fleet.pop(*id))
        .map(|pop| pop.name.as_str())
        .collect();
    assert_eq!(near, ["iad", "sin"]);
    let ttl = |service| checked.zones.longest_ttl(service);
    assert_eq!((ttl(Service::Whip), ttl(Service::Turn)), (30, 60));
}

#[test]
fn a_point_of_presence_needs_little() {
    let checked = load(POP).unwrap();
    let [pop] = checked.fleet.pops() else {
        panic!("one");
    };
    assert_eq!(pop.services, Service::ALL);
    assert_eq!((pop.limits.soft, pop.limits.hard), (0.7, 0.9));
}

#[test]
fn all_that_is_wrong_with_points_of_presence_is_said() {
    assert!(
        problems("")[0].starts_with("pop: there are 0"),
        "{:?}",
        problems("")
    );
    for (change, with, says) in [
        ("latitude = 50.11", "latitude = 90.5", "not on earth"),
        ("longitude = 8.68", "longitude = nan", "not on earth"),
        ("ipv4 = [\"192.0.2.10\"]", "", "nobody could reach it"),
        (
            "host = \"fra.inlet.example\"",
            "host = \"fra..example\"",
            "label",
        ),
        ("name = \"fra\"", "name = \"\"", "1 to 63"),
        ("latitude", "bias_km = 20001.0\nlatitude", "out of range"),
        ("latitude", "hard_limit = 1.1\nlatitude", "out of range"),
        (
            "latitude",
            "soft_limit = 0.95\nlatitude",
            "from 0 to hard_limit",
        ),
        (
            "latitude",
            "services = []\nlatitude",
            "name whip, turn, or both",
        ),
    ] {
        let told = problems(&POP.replacen(change, with, 1));
        assert!(
            told.iter().any(|line| line.contains(says)),
            "{with}: {told:?}"
        );
    }
    let twice = problems(&[POP, POP].concat());
    assert!(twice[0].contains("fra is there twice"), "{twice:?}");
}

#[test]
fn overrides_name_what_there_is() {
    for (overrides, says) in [
        ("default = [\"muc\"]", "muc is no point of presence"),
        (
            "countries = { GER = [\"fra\"] }",
            "GER is no code of two letters",
        ),
        ("asns = { \"ASX\" = [\"fra\"] }", "ASX is no number"),
        ("continents = { XX = [\"fra\"] }", "XX is no continent"),
        ("networks = { \"10.0.0.0/8\" = [] }", "10.0.0.0/8"),
    ] {
        let told = problems(&format!("{POP}\n[overrides]\n{overrides}"));
        assert!(
            told.iter().any(|line| line.contains(says)),
            "{overrides}: {told:?}"
        );
    }
    assert!(
        load(&format!(
            "{POP}\n[overrides]\nasns = {{ \"AS64500\" = [\"fra\"] }}"
        ))
        .is_ok()
    );
}

#[test]
fn all_that_is_wrong_with_zones_is_said() {
    for (zone, says) in [
        (
            "[[zone]]\nname = \"a b\"\nname_servers = [\"ns1\"]",
            "other than letters",
        ),
        (
            "[[zone]]\nname = \"inlet.example\"\nname_servers = []",
            "name at least one",
        ),
        (
            "[[zone]]\nname = \"inlet.example\"\nname_servers = [\"n s\"]",
            "name_servers",
        ),
        (
            "[[zone]]\nname = \"inlet.example\"\nname_servers = [\"ns1\"]\nnegative_ttl = \"2days\"",
            "out of range",
        ),
    ] {
        let told = problems(&format!("{POP}{zone}"));
        assert!(
            told.iter().any(|line| line.contains(says)),
            "{zone}: {told:?}"
        );
    }
    let twice = problems(&[POP, ZONE, ZONE].concat());
    assert!(twice[0].contains("is there twice"), "{twice:?}");
}

#[test]
fn a_zone_that_is_refused_does_not_shift_the_others() {
    let broken = "[[zone]]\nname = \"a.inlet.example\"\nname_servers = []\n";
    let told = problems(&[POP, broken, ZONE].concat());
    assert!(told[0].contains("name at least one"), "{told:?}");
}

#[test]
fn a_name_belongs_to_the_innermost_zone() {
    let inner = ZONE.replace("inlet.example", "x.eu.inlet.example");
    for name in ["x.eu", "deep.x.eu"] {
        let record =
            format!("[[zone.record]]\nname = \"{name}\"\ntype = \"A\"\ndata = \"192.0.2.1\"\n");
        let told = problems(&[POP, ZONE, &record, &inner].concat());
        assert!(
            told[0].contains("lies in one of this file within it"),
            "{told:?}"
        );
    }
    // RFC 8020: what lies between the two exists, in the outer one.
    let checked = load(&[POP, ZONE, &inner].concat()).unwrap();
    let between = NameBuf::from(&"eu.inlet.example".parse::<Name>().unwrap());
    let Found::Node(zone, node) = checked.zones.find(&between) else {
        panic!("it is there");
    };
    assert_eq!(zone.apex.to_string(), "inlet.example.");
    assert!(node.sets().is_empty());
}

#[test]
fn all_that_is_wrong_with_records_is_said() {
    let record = |name: &str, kind: &str, data: &str| {
        format!(
            "{POP}{ZONE}[[zone.steered]]\nname = \"whip\"\nservice = \"whip\"\n\
             [[zone.record]]\nname = \"{name}\"\ntype = \"{kind}\"\ndata = \"{data}\"\n"
        )
    };
    for (name, kind, data, says) in [
        ("x", "A", "300.0.0.1", "no IPv4 address"),
        ("x", "AAAA", "192.0.2.1", "no IPv6 address"),
        ("x", "A", "", "needs one address"),
        ("x", "MX", "mail", "needs a preference"),
        ("x", "MX", "70000 mail", "no number up to 65535"),
        ("x", "SRV", "0 0 mail", "needs priority"),
        ("x", "CAA", "0 is-sue ca.example", "no tag"),
        ("x", "DS", "1 2 3", "not known here"),
        ("x", "NS", "ns1", "hand names on"),
        (
            "x.other.example.",
            "A",
            "192.0.2.1",
            "does not lie in the zone",
        ),
        ("whip", "A", "192.0.2.1", "steered"),
        ("whip", "CNAME", "x", "stands alone"),
        ("*", "A", "192.0.2.1", "other than letters"),
    ] {
        let told = problems(&record(name, kind, data));
        assert!(
            told.iter().any(|line| line.contains(says)),
            "{kind} {data}: {told:?}"
        );
    }
    assert!(load(&record("x", "txt", "lower case is fine")).is_ok());
}

#[test]
fn what_fits_in_no_answer_is_refused() {
    let text = "x".repeat(200);
    let records = |count: usize| -> String {
        let record = |number| {
            format!("[[zone.record]]\nname = \"x\"\ntype = \"TXT\"\ndata = \"{number}{text}\"\n")
        };
        (0..count).map(record).collect()
    };
    assert!(load(&[POP, ZONE, &records(200)].concat()).is_ok());
    let told = problems(&[POP, ZONE, &records(300)].concat());
    assert!(
        told[0].contains("x.inlet.example. has more than"),
        "{told:?}"
    );
}

#[test]
fn a_contact_is_a_mail_address_or_a_name() {
    let with = |contact: &str| format!("{POP}{ZONE}contact = \"{contact}\"\n");
    for contact in ["first.last@other.example", "admin@other.example.", "admin"] {
        assert!(load(&with(contact)).is_ok(), "{contact}");
    }
    for contact in ["@other.example", "a b@other.example", "a@", "a@b@c"] {
        let told = problems(&with(contact));
        assert!(told[0].contains("contact:"), "{contact}: {told:?}");
    }
}

#[test]
fn what_is_misspelt_is_refused() {
    assert!(matches!(
        load(&POP.replace("latitude", "lattitude")),
        Err(Error::Parse { .. })
    ));
    assert!(matches!(
        load(&format!("{POP}{ZONE}ns = [\"ns1\"]")),
        Err(Error::Parse { .. })
    ));
}
