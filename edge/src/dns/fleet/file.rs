//! `fleet.toml` as written: points of presence, zones, and who is sent where by
//! hand. Every name server of a fleet has the same file.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use inlet_common::config::duration;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Service;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetFile {
    /// Every point of presence; one at least, 128 at most.
    pub pop: Vec<Pop>,
    /// What this server is the authority for.
    pub zone: Vec<Zone>,
    /// Who is sent where by hand.
    pub overrides: Overrides,
}

/// `[[pop]]`: a point of presence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pop {
    /// Its name, as `pop.name` of that edge.
    pub name: String,
    /// Its own host name. Where that lies in a zone of this file, it is answered
    /// with the addresses below.
    pub host: String,
    /// Base URL of its WHIP, where presenters are sent on to (307). Default
    /// `https://` and its host.
    #[serde(default)]
    pub url: String,
    /// Its IPv4 addresses. Default none.
    #[serde(default)]
    pub ipv4: Vec<Ipv4Addr>,
    /// Its IPv6 addresses. Default none.
    #[serde(default)]
    pub ipv6: Vec<Ipv6Addr>,
    /// Degrees north, −90 to 90.
    pub latitude: f64,
    /// Degrees east, −180 to 180.
    pub longitude: f64,
    /// Kilometres by which it counts as nearer than it is: more draws clients, less
    /// than 0 keeps them off. −20,000 to 20,000, default 0.
    #[serde(default)]
    pub bias_km: f64,
    /// What it serves: `whip`, `turn`. Default both.
    #[serde(default = "both")]
    pub services: Vec<Service>,
    /// Load from which on a growing share of its clients is sent elsewhere, 0 to
    /// `hard_limit`. Default 0.7.
    #[serde(default = "soft_limit")]
    pub soft_limit: f64,
    /// Load from which on it gets none while another has room, up to 1. Default 0.9.
    #[serde(default = "hard_limit")]
    pub hard_limit: f64,
}

fn both() -> Vec<Service> {
    Service::ALL.to_vec()
}

const fn soft_limit() -> f64 {
    0.7
}

const fn hard_limit() -> f64 {
    0.9
}

/// `[[zone]]`: a zone. Names in it that do not end in a dot lie below the zone;
/// `@` is the zone itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its name, such as `inlet.example`.
    pub name: String,
    /// Its name servers, as the parent zone has them; the first is named as the
    /// primary one.
    pub name_servers: Vec<String>,
    /// Mail address of whoever looks after it. Default `hostmaster` in the zone.
    #[serde(default = "hostmaster")]
    pub contact: String,
    /// Number that grows with each change. Nobody transfers the zone, so it only
    /// tells people which one they see. Default 1.
    #[serde(default = "first_serial")]
    pub serial: u32,
    /// How long resolvers keep that a name is not there, 1 s to 1 day. Default 60 s.
    #[serde(default = "minute", with = "duration")]
    pub negative_ttl: Duration,
    /// Names that are answered with the nearest point of presence. Default none.
    #[serde(default)]
    pub steered: Vec<Steered>,
    /// Everything else. Default none.
    #[serde(default, rename = "record")]
    pub records: Vec<Record>,
}

fn hostmaster() -> String {
    "hostmaster".to_owned()
}

const fn first_serial() -> u32 {
    1
}

const fn minute() -> Duration {
    Duration::from_secs(60)
}

/// `[[zone.steered]]`: a name that is answered with the nearest point of presence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steered {
    /// The name.
    pub name: String,
    /// What clients look for there: `whip` or `turn`.
    pub service: Service,
    /// How long resolvers keep an answer, 1 s to 1 day. Default 30 s for `whip`,
    /// 60 s for `turn`.
    #[serde(default, with = "humantime_serde::option")]
    pub ttl: Option<Duration>,
    /// Port of WHIP over HTTPS, which the HTTPS record names. Default 443.
    #[serde(default = "https_port")]
    pub https_port: u16,
    /// Names under which the SRV records of STUN and TURN stand. Default the name
    /// itself.
    #[serde(default)]
    pub srv_at: Vec<String>,
    /// Port of STUN and TURN by UDP. 0 names none. Default 3478.
    #[serde(default = "turn_port")]
    pub udp_port: u16,
    /// Port of STUN and TURN by TCP. 0 names none. Default 3478.
    #[serde(default = "turn_port")]
    pub tcp_port: u16,
    /// Port of STUN and TURN by TLS. 0 names none. Default 443.
    #[serde(default = "https_port")]
    pub tls_port: u16,
}

const fn https_port() -> u16 {
    443
}

const fn turn_port() -> u16 {
    3478
}

/// `[[zone.record]]`: a record that is the same for every client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Whose it is.
    pub name: String,
    /// Its type: `A`, `AAAA`, `NS`, `CNAME`, `MX`, `SRV`, `TXT` or `CAA`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How long resolvers keep it, 1 s to 1 day. Default 1 h.
    #[serde(default = "hour", with = "duration")]
    pub ttl: Duration,
    /// Its data, as in a zone file; the whole of it is the text of `TXT`.
    pub data: String,
}

const fn hour() -> Duration {
    Duration::from_secs(3600)
}

/// `[overrides]`: points of presence, by name, that come before the nearest ones.
/// The narrowest rule counts: network, then autonomous system, country, continent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// By network, such as `"203.0.113.0/24"`; the longest prefix counts.
    pub networks: BTreeMap<IpNet, Vec<String>>,
    /// By the number of an autonomous system, such as `"64500"`.
    pub asns: BTreeMap<String, Vec<String>>,
    /// By country, as two letters (ISO 3166-1).
    pub countries: BTreeMap<String, Vec<String>>,
    /// By continent: `AF`, `AN`, `AS`, `EU`, `NA`, `OC`, `SA`.
    pub continents: BTreeMap<String, Vec<String>>,
    /// For whom nothing is known. Default all, in the order of this file.
    pub default: Vec<String>,
}
