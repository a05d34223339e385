use std::io::Write as _;

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::dns::geo::{
    facts::Code,
    mmdb::{Value, Writer},
    place::Place,
    testing::{BUILT, Folder, NOW, data, ip, open, opened},
};

fn bytes_of(writer: &Writer) -> Result<Database, DatabaseError> {
    Database::from_bytes(writer.finish(), Path::new("written.mmdb"), NOW)
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn known_answers_of_the_city_database() {
    for name in ["GeoIP2-City-Test.mmdb", "GeoLite2-City-Test.mmdb"] {
        let database = open(name).unwrap();
        for (address, network, country, place) in [
            (
                "81.2.69.170",
                "81.2.69.160/27",
                "GB",
                Some((51.5142, -0.0931)),
            ),
            ("89.160.20.130", "89.160.20.128/25", "SE", None),
            (
                "216.160.83.57",
                "216.160.83.56/29",
                "US",
                Some((47.2513, -122.3149)),
            ),
            ("175.16.199.1", "175.16.199.0/24", "CN", None),
            ("67.43.156.1", "67.43.156.0/24", "BT", None),
            ("2001:218::1", "2001:218::/32", "JP", None),
            ("2a02:d040::1", "2a02:d040::/29", "SE", None),
        ] {
            let (found, facts) = database.find(ip(address));
            assert!(
                found.contains(&net(network)),
                "{name}: {address} is in {found}"
            );
            assert_eq!(facts.country, Code::parse(country), "{name}: {address}");
            assert!(facts.place.is_some(), "{name}: {address}");
            if let Some((latitude, longitude)) = place {
                let expected = Place::new(latitude, longitude).unwrap();
                assert!(
                    facts.place.unwrap().distance_km(expected) < 10.0,
                    "{address}"
                );
            }
        }
        assert_eq!(database.find(ip("127.0.0.1")).1, Facts::default());
    }
}

/// Each address is looked up by the crate too, and by a decoder that is not ours.
#[test]
fn every_network_says_what_maxminddb_says() {
    for name in [
        "GeoIP2-City-Test.mmdb",
        "GeoLite2-ASN-Test.mmdb",
        "GeoIP2-ISP-Test.mmdb",
    ] {
        let database = open(name).unwrap();
        let reader = maxminddb::Reader::open_readfile(data(name)).unwrap();
        let mut networks = 0;
        for result in reader
            .networks(maxminddb::WithinOptions::default())
            .unwrap()
        {
            let result = result.unwrap();
            let address = result.network().unwrap().ip();
            let (_, facts) = database.find(address);
            let path = |path: &[&'static str]| -> Vec<maxminddb::PathElement<'static>> {
                path.iter()
                    .map(|&name| maxminddb::PathElement::Key(name))
                    .collect()
            };
            let latitude: Option<f64> = result
                .decode_path(&path(&["location", "latitude"]))
                .unwrap();
            assert_eq!(facts.place.map(Place::latitude), latitude, "{address}");
            let asn: Option<u32> = result
                .decode_path(&path(&["autonomous_system_number"]))
                .unwrap();
            assert_eq!(facts.asn, asn, "{address}");
            let country: Option<&str> =
                result.decode_path(&path(&["country", "iso_code"])).unwrap();
            if let Some(country) = country {
                assert_eq!(facts.country, Code::parse(country), "{address}");
            }
            networks += 1;
        }
        assert!(networks > 100, "{name}");
    }
}

#[test]
fn each_kind_has_what_it_should() {
    let has = |name| {
        let Contents {
            places,
            countries,
            asns,
            ..
        } = open(name).unwrap().contents();
        [places, countries, asns].map(|count| count > 0)
    };
    assert_eq!(has("GeoLite2-City-Test.mmdb"), [true, true, false]);
    assert_eq!(has("GeoLite2-Country-Test.mmdb"), [false, true, false]);
    assert_eq!(has("GeoLite2-ASN-Test.mmdb"), [false, false, true]);
    assert_eq!(has("GeoIP2-ISP-Test.mmdb"), [false, false, true]);
}

#[test]
fn what_does_not_help_is_refused() {
    let refused = open("GeoIP2-Anonymous-IP-Test.mmdb");
    assert!(matches!(refused, Err(DatabaseError::Useless(kind)) if kind.contains("Anonymous")));
    let mut writer = Writer::new("GeoLite2-City", BUILT);
    writer.insert(net("192.0.2.0/24"), &Value::city("EU", "DE", None));
    assert!(matches!(bytes_of(&writer), Err(DatabaseError::NoPlaces(_))));
}

#[test]
fn every_hostile_database_is_refused() {
    let files: Vec<_> = std::fs::read_dir(data("hostile")).unwrap().collect();
    assert_eq!(files.len(), 25);
    for file in files {
        let path = file.unwrap().path();
        let refused = Database::open(&path, NOW);
        assert!(refused.is_err(), "{}", path.display());
    }
}

#[test]
fn databases_of_other_things_are_refused_and_do_no_harm() {
    for name in [
        "MaxMind-DB-no-ipv4-search-tree.mmdb",
        "MaxMind-DB-string-value-entries.mmdb",
        "MaxMind-DB-test-decoder.mmdb",
        "MaxMind-DB-test-ipv4-24.mmdb",
        "MaxMind-DB-test-metadata-pointers.mmdb",
        "MaxMind-DB-test-mixed-32.mmdb",
        "MaxMind-DB-test-nested.mmdb",
        "MaxMind-DB-test-pointer-decoder.mmdb",
    ] {
        let refused = open(name);
        assert!(
            matches!(refused, Err(DatabaseError::Useless(_))),
            "{name}: {refused:?}"
        );
    }
}

#[test]
fn a_build_of_the_future_is_refused() {
    let now = NOW.as_unix_seconds() as u64;
    let built = |built| {
        let mut writer = Writer::new("GeoLite2-Country", built);
        writer.insert(net("192.0.2.0/24"), &Value::city("EU", "DE", None));
        bytes_of(&writer)
    };
    assert!(built(now + 7 * 86_400).is_ok());
    for ahead in [now + 7 * 86_400 + 1, u64::MAX / 2_000_000, u64::MAX >> 2] {
        let refused = built(ahead);
        assert!(
            matches!(
                refused,
                Err(DatabaseError::FromTheFuture | DatabaseError::Broken(_))
            ),
            "{refused:?}"
        );
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let whole = std::fs::read(data("GeoLite2-ASN-Test.mmdb")).unwrap();
    for len in (0..whole.len()).step_by(97) {
        let part = whole[..len].to_vec();
        assert!(
            Database::from_bytes(part, Path::new("part"), NOW).is_err(),
            "{len}"
        );
    }
}

#[test]
fn what_is_too_large_or_missing_says_so() {
    let missing = Database::open(Path::new("/nonexistent.mmdb"), NOW).unwrap_err();
    assert!(matches!(missing, DatabaseError::Io(_)));
    let folder = Folder::new();
    let path = folder.file("large.mmdb");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"a sparse file").unwrap();
    file.set_len(MAX_FILE_BYTES + 1).unwrap();
    let large = Database::open(&path, NOW);
    assert!(matches!(large, Err(DatabaseError::TooLarge)));
}

#[test]
fn records_of_every_width_are_read() {
    for bits in [24, 28, 32] {
        let mut writer = Writer::new("GeoLite2-ASN", BUILT).record_bits(bits);
        writer.insert(net("192.0.2.0/24"), &Value::asn(64_496));
        writer.insert(net("2001:db8::/32"), &Value::asn(64_497));
        let database = opened(&writer);
        assert_eq!(database.find(ip("192.0.2.9")).1.asn, Some(64_496), "{bits}");
        assert_eq!(
            database.find(ip("2001:db8::9")).1.asn,
            Some(64_497),
            "{bits}"
        );
        assert_eq!(database.find(ip("192.0.3.9")).1.asn, None, "{bits}");
    }
}

#[test]
fn ipv4_under_its_aliases_is_not_ipv6() {
    let mut writer = Writer::new("GeoLite2-ASN", BUILT);
    writer.alias_v4();
    writer.insert(net("192.0.2.0/24"), &Value::asn(64_496));
    let database = opened(&writer);
    assert_eq!(database.find(ip("192.0.2.9")).1.asn, Some(64_496));
    for address in ["::192.0.2.9", "::ffff:192.0.2.9", "2002:c000:209::1"] {
        assert_eq!(database.find(ip(address)).1.asn, None, "{address}");
    }
    assert_eq!(database.contents().asns, 1);
}

/// Forty records, each of which points to the next twice: 2^40 ways through them.
#[test]
fn records_that_point_to_the_next_twice_are_read_at_once() {
    let mut writer = Writer::new("GeoLite2-Country", BUILT);
    let mut insert = |number: u8, fields| {
        let network = net(&format!("192.0.{number}.0/24"));
        writer.insert(network, &Value::Map(fields));
    };
    let len = 1 + 2 * (2 + 5);
    for number in 1..=40 {
        let next = Value::Pointer(len * u32::from(number));
        insert(number, vec![("a", next.clone()), ("b", next)]);
    }
    insert(41, vec![]);
    insert(
        0,
        vec![
            ("bomb", Value::Pointer(0)),
            ("country_code", Value::text("SE")),
        ],
    );
    let database = opened(&writer);
    assert_eq!(database.find(ip("192.0.0.1")).1.country, Code::parse("SE"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_byte_that_is_another_never_panics_or_hangs(at: prop::sample::Index, byte: u8) {
        let mut writer = Writer::new("GeoLite2-City", BUILT);
        for number in 0..20_u8 {
            let place = Some((f64::from(number), 1.0));
            let network = net(&format!("192.0.{number}.0/24"));
            writer.insert(network, &Value::city("EU", "DE", place));
        }
        let mut file = writer.finish();
        let at = at.index(file.len());
        file[at] = byte;
        let _either = Database::from_bytes(file, Path::new("mutated"), NOW);
    }
}
