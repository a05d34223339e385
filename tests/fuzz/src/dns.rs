//! A name server's engine, and somebody else's parser beside it, for the `dns` target.

use std::{path::Path, sync::Arc};

use hickory_proto::{op::Message, serialize::binary::BinDecodable};
use inlet_common::{clock::UtcTime, config};
use inlet_edge::dns::{
    World,
    answer::{Request, Transport, answer},
    cookie::Cookies,
    fleet::file::FleetFile,
    geo::Watched,
    metrics::Steered,
    steer::Board,
    wire::{Edns, Family, HEADER, Query, parse},
};

/// What `inlet-edge` is tested by too.
#[path = "../../../edge/src/dns/wire/oracle.rs"]
mod oracle;

const FLEET: &str = include_str!("../../../config/fleet.toml");

/// The engine, and how the fleet does.
pub struct Rig {
    world: World,
    board: Board,
    out: Vec<u8>,
}

impl Rig {
    /// An engine with the sample's fleet and no database.
    pub fn new() -> Self {
        let path = Path::new("fleet.toml");
        let file: FleetFile = config::parse(path, FLEET).expect("TOML");
        let checked = file.validate(path).expect("the sample is sound");
        let mut watched = Watched::new(Arc::new(checked.plan), &[]);
        let near = watched.look(UtcTime::from_unix_micros(0)).loaded;
        let board = Board::open(checked.fleet.pops().len());
        Self {
            board,
            out: Vec::new(),
            world: World {
                name: "fuzz".into(),
                steered: Arc::new(Steered::register(&checked.fleet)),
                zones: Arc::new(checked.zones),
                fleet: Arc::new(checked.fleet),
                near: near.expect("a table of the overrides"),
                cookies: Cookies::new([1; 16], &[]),
            },
        }
    }

    /// Answers a message, by UDP and by TLS; the answer must be sound, small, and
    /// about what others read in the message too.
    pub fn take(&mut self, message: &[u8]) {
        for transport in [Transport::Udp, Transport::Tls] {
            let request = Request {
                message,
                source: [198, 18, 0, 1].into(),
                transport,
                now: 1_800_000_000,
            };
            let answered = answer(&self.world, &self.board, &request, &mut self.out);
            let Some(answered) = answered else {
                assert!(message.len() < HEADER || message[2] & 0x80 != 0);
                continue;
            };
            let response = Message::from_bytes(&self.out);
            if response.is_err() && has_no_family(message) {
                continue;
            }
            let response = response.expect("a sound answer");
            assert_eq!(response.metadata.truncation, answered.is_cut);
            assert_eq!(self.out[..2], message[..2]);
            if transport == Transport::Udp {
                assert!(self.out.len() <= 1232);
            }
        }
        if let Err(differs) = oracle::compare(message) {
            panic!("{differs}");
        }
    }
}

/// Whether a client says by EDNS Client Subnet that it says nothing, which the other
/// parser does not know (RFC 7871 §7.1.2).
fn has_no_family(message: &[u8]) -> bool {
    let edns = parse(message).ok().and_then(|query| query.edns);
    let subnet = edns.and_then(|edns| edns.client_subnet);
    subnet.is_some_and(|subnet| subnet.family == Family::Unspecified)
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}
