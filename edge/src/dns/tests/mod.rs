//! The name server's engine by raw packets. What it answers is read by somebody
//! else's parser (`hickory-proto`), which must find every response sound.

mod edns;
mod malformed;
mod negative;
mod records;
mod subnet;
mod transport;
mod truth;

use std::{net::IpAddr, path::Path, sync::Arc};

use hickory_proto::{op::Message, rr::RecordType, serialize::binary::BinDecodable};
use inlet_common::{clock::UtcTime, config};

use super::{
    World,
    answer::{self, Answered, Request, Transport},
    cookie::Cookies,
    fleet::file::FleetFile,
    geo::Watched,
    metrics::Steered,
    steer::Board,
};

/// Three points of presence; where clients go is told by overrides, so that no
/// database is needed.
const FLEET: &str = r#"
[[pop]]
name = "fra"
host = "fra.inlet.example"
ipv4 = ["192.0.2.10"]
ipv6 = ["2001:db8:1::10"]
latitude = 50.11
longitude = 8.68

[[pop]]
name = "iad"
host = "iad.inlet.example"
ipv4 = ["198.51.100.10", "198.51.100.11"]
ipv6 = ["2001:db8:2::10"]
latitude = 38.95
longitude = -77.45

[[pop]]
name = "sin"
host = "sin.elsewhere.example"
ipv4 = ["203.0.113.10"]
latitude = 1.35
longitude = 103.99

[overrides.networks]
"10.1.0.0/16" = ["fra"]
"10.2.0.0/16" = ["iad"]
"10.3.64.0/18" = ["sin"]
"2001:db8:a00::/40" = ["iad"]

[[zone]]
name = "inlet.example"
name_servers = ["ns1", "ns2.other.example."]
contact = "ops@inlet.example"
serial = 7

[[zone.steered]]
name = "whip"
service = "whip"
https_port = 8443

[[zone.steered]]
name = "turn"
service = "turn"
srv_at = ["turn", "@"]

[[zone.record]]
name = "ns1"
type = "A"
data = "192.0.2.53"

[[zone.record]]
name = "ns1"
type = "AAAA"
data = "2001:db8::53"

[[zone.record]]
name = "@"
type = "CAA"
data = "0 issue ca.example"

[[zone.record]]
name = "text.deep.down"
type = "TXT"
data = "v=spf1 -all"

[[zone.record]]
name = "alias"
type = "CNAME"
data = "ns1"

[[zone.record]]
name = "mail"
type = "MX"
data = "10 mx.other.example."

[[zone.record]]
name = "long"
type = "TXT"
data = "LONG"

[[zone]]
name = "eu.inlet.example"
name_servers = ["ns1.inlet.example."]
"#;

pub(super) fn world() -> World {
    let text = FLEET.replace("LONG", &"long ".repeat(300));
    let path = Path::new("fleet.toml");
    let file: FleetFile = config::parse(path, &text).unwrap();
    let checked = file.validate(path).unwrap();
    let mut watched = Watched::new(Arc::new(checked.plan), &[]);
    let near = watched.look(UtcTime::from_unix_micros(0)).loaded.unwrap();
    World {
        name: "test-1".into(),
        steered: Arc::new(Steered::register(&checked.fleet)),
        zones: Arc::new(checked.zones),
        fleet: Arc::new(checked.fleet),
        near,
        cookies: Cookies::new([1; 16], &[]),
    }
}

/// Somebody who asks.
pub(super) struct Client {
    pub(super) world: World,
    pub(super) board: Board,
    pub(super) source: IpAddr,
    pub(super) transport: Transport,
}

pub(super) const NOW: u32 = 1_800_000_000;

/// A response: as it is, as somebody else reads it, and what was noted of it.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) bytes: Vec<u8>,
    pub(super) message: Message,
    pub(super) noted: Answered,
}

impl Client {
    pub(super) fn new() -> Self {
        let world = world();
        Self {
            board: Board::open(world.fleet.pops().len()),
            world,
            source: "10.1.0.53".parse().unwrap(),
            transport: Transport::Udp,
        }
    }

    pub(super) fn from(source: &str) -> Self {
        let source = source.parse().unwrap();
        Self {
            source,
            ..Self::new()
        }
    }

    pub(super) fn by(transport: Transport) -> Self {
        Self {
            transport,
            ..Self::new()
        }
    }

    pub(super) fn send(&self, message: &[u8]) -> Option<Response> {
        let request = Request {
            message,
            source: self.source,
            transport: self.transport,
            now: NOW,
        };
        let mut bytes = vec![9; 9];
        let noted = answer::answer(&self.world, &self.board, &request, &mut bytes)?;
        let message = Message::from_bytes(&bytes).expect("a sound response");
        Some(Response {
            bytes,
            message,
            noted,
        })
    }

    pub(super) fn ask(&self, ask: &Ask) -> Response {
        self.send(&ask.build()).expect("an answer")
    }
}

impl Response {
    /// The answers as `type ttl data`, in their order.
    pub(super) fn answers(&self) -> Vec<String> {
        let line = |record: &hickory_proto::rr::Record| {
            format!("{} {} {}", record.record_type(), record.ttl, record.data)
        };
        self.message.answers.iter().map(line).collect()
    }

    /// The response code, all twelve bits of it.
    pub(super) fn rcode(&self) -> u16 {
        let high = self
            .message
            .edns
            .as_ref()
            .map_or(0, |edns| edns.rcode_high());
        let low = u16::from(self.bytes[3] & 0xf);
        assert_eq!(u16::from(high) << 4 | low, self.noted.rcode.as_u16());
        u16::from(high) << 4 | low
    }

    /// Whether it says that nothing is there: only the zone's start, with the time
    /// that this may be kept.
    pub(super) fn is_negative(&self) -> bool {
        let soa = &self.message.authorities;
        self.message.answers.is_empty()
            && soa.len() == 1
            && soa[0].record_type() == RecordType::SOA
            && soa[0].ttl == 60
            && self.message.metadata.authoritative
    }

    /// The data of an option of its OPT.
    pub(super) fn option(&self, code: u16) -> Option<Vec<u8>> {
        let mut options = raw_options(&self.bytes)?;
        while let [code_high, code_low, high, low, rest @ ..] = options {
            let (data, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            if u16::from_be_bytes([*code_high, *code_low]) == code {
                return Some(data.to_vec());
            }
            options = rest;
        }
        None
    }
}

/// The options of a response, whose OPT is its last record.
fn raw_options(response: &[u8]) -> Option<&[u8]> {
    let fixed = [0, 0, 41];
    let starts = 0..response.len().checked_sub(11)?;
    let at = starts.rev().chain([response.len() - 11]).find(|at| {
        let length = &response[at + 9..at + 11];
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        response[*at..].starts_with(&fixed) && at + 11 + length == response.len()
    })?;
    Some(&response[at + 11..])
}

/// A query, sound unless it is told otherwise.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) id: u16,
    pub(super) flags: u16,
    pub(super) name: &'static str,
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) edns: Option<Opt>,
}

#[derive(Clone)]
pub(super) struct Opt {
    pub(super) payload: u16,
    pub(super) version: u8,
    pub(super) flags: u16,
    pub(super) options: Vec<(u16, Vec<u8>)>,
}

pub(super) const A: u16 = 1;
pub(super) const AAAA: u16 = 28;
pub(super) const TXT: u16 = 16;
pub(super) const SUBNET: u16 = 8;
pub(super) const COOKIE: u16 = 10;

pub(super) fn ask(name: &'static str, kind: u16) -> Ask {
    Ask {
        id: 0x1234,
        flags: 0x0100,
        name,
        kind,
        class: 1,
        edns: None,
    }
}

impl Ask {
    pub(super) fn edns(mut self) -> Self {
        self.edns.get_or_insert(Opt {
            payload: 1232,
            version: 0,
            flags: 0,
            options: Vec::new(),
        });
        self
    }

    pub(super) fn option(self, code: u16, data: &[u8]) -> Self {
        let mut ask = self.edns();
        if let Some(opt) = &mut ask.edns {
            opt.options.push((code, data.to_vec()));
        }
        ask
    }

    /// With a client's network, `10.1.2.0/24`.
    pub(super) fn subnet(self, network: &str) -> Self {
        let (ip, length) = network.split_once('/').unwrap();
        let (ip, length): (IpAddr, u8) = (ip.parse().unwrap(), length.parse().unwrap());
        let (family, bytes) = match ip {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let bytes = &bytes[..usize::from(length).div_ceil(8)];
        self.option(SUBNET, &[&[0, family, length, 0], bytes].concat())
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let mut message = Vec::new();
        let additional = u16::from(self.edns.is_some());
        for field in [self.id, self.flags, 1, 0, 0, additional] {
            message.extend_from_slice(&field.to_be_bytes());
        }
        message.extend_from_slice(&wire_name(self.name));
        message.extend_from_slice(&self.kind.to_be_bytes());
        message.extend_from_slice(&self.class.to_be_bytes());
        if let Some(opt) = &self.edns {
            message.extend_from_slice(&opt.build());
        }
        message
    }
}

impl Opt {
    pub(super) fn build(&self) -> Vec<u8> {
        let mut data = Vec::new();
        for (code, value) in &self.options {
            data.extend_from_slice(&code.to_be_bytes());
            data.extend_from_slice(&(value.len() as u16).to_be_bytes());
            data.extend_from_slice(value);
        }
        let mut opt = vec![0, 0, 41];
        opt.extend_from_slice(&self.payload.to_be_bytes());
        opt.extend_from_slice(&[0, self.version]);
        opt.extend_from_slice(&self.flags.to_be_bytes());
        opt.extend_from_slice(&(data.len() as u16).to_be_bytes());
        opt.extend_from_slice(&data);
        opt
    }
}

/// A name as it is spelled, case and all.
pub(super) fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}
