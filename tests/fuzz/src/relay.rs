//! An engine with one allocation, for the `relay` target.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use inlet_common::clock;
use inlet_edge::turn::{
    allocation::RelayId,
    auth::{Credentials, long_term_key},
    client::{Client, Via},
    metrics::Metrics,
    nonce::Nonces,
    peer_policy::{PeerPolicy, Policy},
    ports::{Ports, RelayAddress},
    quota::Limits,
    relay::{Output, Relay},
    settings::Settings,
    shared::Shared,
    wire::{Class, Encoder, Mac, Message, Method, PasswordAlgorithm, TransactionId},
};

const REALM: &str = "inlet";

/// The engine, and the ends of its one allocation.
pub struct Rig {
    relay: Relay,
    now: std::time::Instant,
    client: Client,
    peer: SocketAddr,
    socket: Option<RelayId>,
    answers: Vec<Vec<u8>>,
    is_peers_turn: bool,
}

impl Rig {
    /// An engine whose client has an allocation, a permission and a channel.
    pub fn new() -> Self {
        let now = clock::now();
        let relayed = RelayAddress {
            bind: [10, 9, 9, 9].into(),
            advertised: [20, 0, 0, 1].into(),
        };
        let ports = Ports::new(&[relayed], &(50_000..=50_007));
        let shared = Shared::new(now, 1, ports, Nonces::new(&[7; 32], false));
        let settings = Arc::new(settings());
        let metrics = Metrics::register();
        let relay = Relay::new(0, Arc::new(shared), settings, metrics, [9; 32], now);
        let via = Via::Udp {
            listener: 0,
            local: None,
        };
        let mut rig = Self {
            relay,
            now,
            client: Client {
                via,
                remote: ([192, 0, 2, 1], 1000).into(),
            },
            peer: ([1, 2, 3, 4], 5000).into(),
            socket: None,
            answers: Vec::new(),
            is_peers_turn: false,
        };
        rig.allocate();
        rig
    }

    /// Feeds a datagram of the client, or of its peer: of each in turn.
    pub fn feed(&mut self, datagram: &[u8]) {
        match self.socket.filter(|_| self.is_peers_turn) {
            Some(socket) => drop_forward(
                self.relay
                    .handle_peer(self.now, socket, self.peer, datagram),
            ),
            None => drop_forward(self.relay.handle_client(self.now, self.client, datagram)),
        }
        self.is_peers_turn = !self.is_peers_turn;
        self.now += Duration::from_millis(100);
        self.relay.handle_timeout(self.now, clock::utc());
        self.drain();
    }

    /// Allocations that run.
    pub fn allocations(&self) -> usize {
        self.relay.len()
    }

    fn allocate(&mut self) {
        let hello = Encoder::new(Class::Request, Method::Allocate, TransactionId([1; 12]));
        self.request(hello.requested_transport(17).finish());
        let challenge = self.answers.pop().unwrap_or_default();
        let challenge = Message::decode(&challenge).ok();
        let nonce = challenge.and_then(|message| message.attributes.nonce);
        let nonce = nonce.unwrap_or_default().to_vec();
        let channel = inlet_edge::turn::wire::ChannelNumber::new(0x4000);
        for (index, method) in [Method::Allocate, Method::ChannelBind]
            .into_iter()
            .enumerate()
        {
            let id = TransactionId([index as u8 + 2; 12]);
            let mut encoder = Encoder::new(Class::Request, method, id);
            encoder = match (method, channel) {
                (Method::ChannelBind, Some(number)) => {
                    encoder.channel_number(number).xor_peer_address(self.peer)
                }
                _ => encoder.requested_transport(17),
            };
            let key = long_term_key(PasswordAlgorithm::Md5, b"anna", REALM, "secret");
            let encoder = encoder.username(b"anna").realm(REALM).nonce(&nonce);
            self.request(encoder.integrity(Mac::Sha1, &key).finish());
        }
        assert_eq!(self.allocations(), 1);
        assert_eq!(self.relay.list(self.now, 1, false)[0].channels, 1);
    }

    fn request(&mut self, bytes: Vec<u8>) {
        drop_forward(self.relay.handle_client(self.now, self.client, &bytes));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.relay.poll_output() {
            match output {
                Output::Bind { relay, .. } => {
                    self.socket = Some(relay);
                    self.relay.handle_bound(self.now, relay, true);
                }
                Output::Transmit { contents, .. } => self.answers.push(contents),
                _ => {}
            }
        }
    }
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

/// Where data go is not looked at, but it is borrowed from them.
fn drop_forward(forward: inlet_edge::turn::relay::Forward<'_>) {
    std::hint::black_box(forward);
}

fn settings() -> Settings {
    Settings {
        credentials: Credentials::new(REALM, Vec::new(), [("anna".into(), "secret".into())]),
        peers: PeerPolicy {
            policy: Policy::Open,
            ..PeerPolicy::default()
        },
        limits: Limits {
            allocations: 10,
            allocations_per_user: 10,
            permissions_per_user: 10,
            channels_per_user: 10,
            bitrate_per_user: None,
        },
        default_lifetime: Duration::from_secs(600),
        max_lifetime: Duration::from_secs(3600),
        alternate_servers: Vec::new(),
        challenges_per_second: 0,
    }
}
