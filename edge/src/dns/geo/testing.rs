//! What tests of this folder share.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    sync::Arc,
};

use inlet_common::clock::UtcTime;
use ipnet::IpNet;
use proptest::prelude::*;

use super::{
    database::{Database, DatabaseError},
    embedded::Embedded,
    facts::Code,
    mmdb::{Value, Writer},
    place::Place,
    plan::{Overrides, Plan},
    ranking::{PopId, Ranked, Site},
    trie::Family,
};

/// When the tests take place: after the build of each test database.
pub(super) const NOW: UtcTime = UtcTime::from_unix_micros(1_800_000_000 * 1_000_000);

/// When databases of the tests are built, in seconds.
pub(super) const BUILT: u64 = 1_790_000_000;

/// Frankfurt, Ashburn, Tokyo, São Paulo, Sydney.
pub(super) const FLEET: [(f64, f64); 5] = [
    (50.1, 8.7),
    (39.0, -77.5),
    (35.7, 139.7),
    (-23.5, -46.6),
    (-33.9, 151.2),
];

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn pops(ids: &[u8]) -> Vec<PopId> {
    ids.iter().copied().map(PopId).collect()
}

pub(super) fn ids(ranked: Ranked) -> Vec<u8> {
    ranked.as_slice().iter().map(|pop| pop.0).collect()
}

pub(super) fn sites(places: &[(f64, f64)]) -> Vec<Site> {
    let site = |&(latitude, longitude): &(f64, f64)| Site {
        place: Place::new(latitude, longitude).unwrap(),
        bias_km: 0.0,
    };
    places.iter().map(site).collect()
}

/// The fleet with overrides, and the default list in the order of the ids.
pub(super) fn plan(overrides: &Overrides) -> Plan {
    Plan::new(&sites(&FLEET), overrides, &[]).unwrap()
}

/// A file of the test data.
pub(super) fn data(name: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/mmdb");
    PathBuf::from(root).join(name)
}

pub(super) fn open(name: &str) -> Result<Database, DatabaseError> {
    Database::open(&data(name), NOW)
}

/// What was written, opened.
pub(super) fn opened(writer: &Writer) -> Arc<Database> {
    let path = PathBuf::from("written.mmdb");
    Arc::new(Database::from_bytes(writer.finish(), &path, NOW).unwrap())
}

/// A folder that goes with this.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("inlet-geo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

prop_compose! {
    /// A record: half of them with a place, of five countries and five systems.
    pub(super) fn facts()(
        place in prop::option::of((-90..=90_i8, -180..=180_i16)),
        country in prop::sample::select(vec!["DE", "US", "JP", "BR", "XX"]),
        asn in prop::option::of(1..=5_u32),
    ) -> Value {
        let place = place.map(|(latitude, longitude)| (latitude.into(), longitude.into()));
        let continent = match country {
            "DE" => "EU",
            "US" => "NA",
            "JP" => "AS",
            _ => "SA",
        };
        let Value::Map(mut fields) = Value::city(continent, country, place) else {
            unreachable!("a city is a map");
        };
        fields.extend(asn.map(|asn| ("asn", Value::Whole(32, asn.into()))));
        Value::Map(fields)
    }
}

/// Networks of which many lie close together, so that prefixes lie in one another.
pub(super) fn network() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<[u8; 4]>(), 1..=32_u8).prop_map(|(bytes, len)| {
        let address = Ipv4Addr::from(bytes.map(|byte| byte & 0xc3));
        IpNet::new(address.into(), len).unwrap().trunc()
    });
    let starts = [0x2000_u16, 0x2001, 0x2002, 0x2a00, 0x64, 0];
    let v6 = (
        prop::sample::select(starts.to_vec()),
        any::<[u8; 4]>(),
        1..=64_u8,
    );
    let v6 = v6.prop_map(|(start, bytes, len)| {
        let [a, b, c, d] = bytes.map(|byte| u16::from(byte & 0xc3));
        let address = Ipv6Addr::from([start, a << 8 | b, c << 8 | d, 0, 0, 0, 0, 0]);
        IpNet::new(address.into(), len).unwrap().trunc()
    });
    prop_oneof![v4, v6]
}

/// A database of networks, and what it says of each; shorter prefixes come first.
pub(super) fn database() -> impl Strategy<Value = Vec<(IpNet, Value)>> {
    prop::collection::vec((network(), facts()), 1..20).prop_map(|mut networks| {
        networks.retain(|(network, _)| !is_inside(network));
        networks.sort_by_key(|(network, _)| network.prefix_len());
        networks
    })
}

/// Whether a network of IPv6 is one of IPv4 addresses.
fn is_inside(network: &IpNet) -> bool {
    let (family, bits) = Family::bits(network.network());
    family == Family::V6 && Embedded::contains(bits, network.prefix_len()).is_some()
}

pub(super) fn written(networks: &[(IpNet, Value)]) -> Arc<Database> {
    let mut writer = Writer::new("Test-Country", BUILT);
    let mut insert = |v4: bool| {
        let family = networks
            .iter()
            .filter(|(network, _)| network.network().is_ipv4() == v4);
        family.for_each(|(network, value)| writer.insert(*network, value));
        if !v4 {
            writer.alias_v4();
        }
    };
    insert(false);
    insert(true);
    // One that all tests can do without, so that the database is never useless.
    let useful = Value::city("EU", "DE", None);
    writer.insert("198.18.0.0/32".parse().unwrap(), &useful);
    opened(&writer)
}

/// Overrides of every kind, for the places, countries and systems of [`facts`].
pub(super) fn overrides() -> impl Strategy<Value = Overrides> {
    let list = || prop::collection::vec((0..FLEET.len() as u8).prop_map(PopId), 1..4);
    let code = |codes: &[&'static str]| {
        let codes = codes
            .iter()
            .map(|code| Code::parse(code).unwrap())
            .collect::<Vec<_>>();
        prop::sample::select(codes)
    };
    let networks = prop::collection::btree_map(network(), list(), 0..6);
    let asns = prop::collection::btree_map(1..=5_u32, list(), 0..2);
    let countries = prop::collection::btree_map(code(&["DE", "US", "JP"]), list(), 0..2);
    let continents = prop::collection::btree_map(code(&["EU", "SA"]), list(), 0..2);
    (networks, asns, countries, continents).prop_map(|(networks, asns, countries, continents)| {
        let networks = networks
            .into_iter()
            .filter(|(net, _)| !is_inside(net))
            .collect();
        Overrides {
            networks,
            asns,
            countries,
            continents,
        }
    })
}

/// An address in or near the networks of [`network`], or with such an IPv4 address
/// inside.
pub(super) fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<[u8; 4]>().prop_map(|bytes| Ipv4Addr::from(bytes.map(|byte| byte & 0xc3)));
    let v6 = (network(), any::<u128>()).prop_map(|(network, bits)| match network {
        IpNet::V4(_) => Ipv6Addr::from_bits(bits),
        IpNet::V6(v6) => Ipv6Addr::from_bits(v6.network().to_bits() | bits >> v6.prefix_len()),
    });
    let inside = (v4.clone(), any::<u64>(), 0..4_u8).prop_map(|(v4, other, kind)| {
        let v4 = u128::from(v4.to_bits());
        Ipv6Addr::from_bits(match kind {
            0 => 0xffff << 32 | v4,
            1 => 0x0064_ff9b << 96 | v4,
            2 => 0x2002 << 112 | v4 << 80 | u128::from(other),
            _ => 0x2001 << 112 | u128::from(other) << 32 | v4 ^ 0xffff_ffff,
        })
    });
    prop_oneof![
        v4.prop_map(IpAddr::V4),
        v6.prop_map(IpAddr::V6),
        inside.prop_map(IpAddr::V6)
    ]
}
