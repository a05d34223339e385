//! One or two workers that share what workers share, and the driver's part.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use inlet_common::clock::{self, UtcTime};

use super::{Answer, Caller};
use crate::turn::{
    allocation::{Protocol, RelayId},
    auth::Credentials,
    client::Client,
    metrics::Metrics,
    nonce::Nonces,
    peer_policy::{PeerPolicy, Policy},
    ports::{Ports, RelayAddress},
    quota::Limits,
    relay::{Output, Relay},
    settings::Settings,
    shared::Shared,
    tally::Dropped,
    wire::{Encoder, Family, Method},
};

/// When the tests happen, in seconds since the Unix epoch.
pub(super) const UTC: i64 = 1_800_000_000;

pub(super) const REALM: &str = "inlet";
pub(super) const FIRST_PORT: u16 = 50_000;
pub(super) const LAST_PORT: u16 = 50_063;

/// A stranger on the Internet, who is a peer of an open relay.
pub(super) const PEER: &str = "1.2.3.4:5000";
pub(super) const PEER_V6: &str = "[2a01::5]:5000";

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) struct Rig {
    pub(super) now: Instant,
    pub(super) utc: i64,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) relays: Vec<Relay>,
    /// Ports that somebody else has on this machine.
    pub(super) occupied: BTreeSet<u16>,
    /// What is bound, by worker.
    pub(super) sockets: BTreeMap<(usize, RelayId), (Protocol, SocketAddr)>,
    /// What was sent to clients.
    pub(super) sent: VecDeque<(Client, Vec<u8>)>,
    /// What else the driver was told, by worker.
    pub(super) told: Vec<(usize, Output)>,
}

impl Rig {
    /// Two workers of an open relay with both families.
    pub(super) fn new() -> Self {
        Self::with(&["20.0.0.1", "2a00::1"], FIRST_PORT..=LAST_PORT)
    }

    /// The same with other relayed addresses.
    pub(super) fn with(addresses: &[&str], ports: std::ops::RangeInclusive<u16>) -> Self {
        let now = clock::now();
        // Behind 1:1 NAT, so that the two addresses are never taken for one
        // another.
        let addresses = addresses.iter().map(|advertised| RelayAddress {
            bind: match ip(advertised) {
                IpAddr::V4(_) => ip("10.9.9.9"),
                IpAddr::V6(_) => ip("fd09::9"),
            },
            advertised: ip(advertised),
        });
        let addresses: Vec<RelayAddress> = addresses.collect();
        let ports = Ports::new(&addresses, &ports);
        let shared = Shared::new(now, 2, ports, Nonces::new(&[7; 32], false));
        let mut rig = Self {
            now,
            utc: UTC,
            shared: Arc::new(shared),
            settings: settings(),
            relays: Vec::new(),
            occupied: BTreeSet::new(),
            sockets: BTreeMap::new(),
            sent: VecDeque::new(),
            told: Vec::new(),
        };
        for worker in 0..2_u8 {
            let relay = Relay::new(
                u16::from(worker),
                Arc::clone(&rig.shared),
                Arc::new(rig.settings.clone()),
                Metrics::register(),
                [worker; 32],
                now,
            );
            rig.relays.push(relay);
        }
        rig.pass(Duration::ZERO);
        rig
    }

    /// Changes the settings by a reload.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        let settings = Arc::new(self.settings.clone());
        for relay in &mut self.relays {
            relay.reload(self.now, Arc::clone(&settings));
        }
        self.drain();
    }

    /// Lets time go by; every deadline on the way is met at its moment.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let next = self.relays.iter().map(Relay::next_timeout).min();
            self.now = next.filter(|next| *next < end).unwrap_or(end);
            let since = self.now.saturating_duration_since(self.shared.started);
            let micros = i64::try_from(since.as_micros()).unwrap();
            let utc = UtcTime::from_unix_micros(self.utc * 1_000_000 + micros);
            for relay in &mut self.relays {
                relay.handle_timeout(self.now, utc);
            }
            self.drain();
            if self.now == end {
                return;
            }
        }
    }

    /// Does what the engines want done.
    pub(super) fn drain(&mut self) {
        for (worker, relay) in self.relays.iter_mut().enumerate() {
            while let Some(output) = relay.poll_output() {
                match output {
                    Output::Bind {
                        relay: id,
                        protocol,
                        address,
                    } => {
                        let is_free = !self.occupied.contains(&address.port());
                        if is_free {
                            let before = self.sockets.insert((worker, id), (protocol, address));
                            assert_eq!(before, None, "bound twice");
                        }
                        relay.handle_bound(self.now, id, is_free);
                    }
                    Output::Unbind { relay: id } => {
                        let closed = self.sockets.remove(&(worker, id));
                        assert!(closed.is_some(), "closed what is not open");
                    }
                    Output::Transmit { client, contents } => {
                        assert!(contents.len().is_multiple_of(4), "{contents:?}");
                        self.sent.push_back((client, contents));
                    }
                    other => self.told.push((worker, other)),
                }
            }
        }
    }

    /// What was dropped for this reason since the workers told last.
    pub(super) fn dropped(&self, reason: Dropped) -> u64 {
        let relays = self.relays.iter();
        relays.map(|relay| relay.tally.dropped(reason)).sum()
    }

    /// Makes an allocation, and tells its first relayed address.
    pub(super) fn allocate(&mut self, caller: &mut Caller) -> SocketAddr {
        let answer = self.ask(caller, Method::Allocate, |encoder| {
            encoder.requested_transport(17)
        });
        answer.relayed()[0]
    }

    /// Asks for an IPv6 one.
    pub(super) fn allocate_v6(&mut self, caller: &mut Caller) -> SocketAddr {
        let answer = self.ask(caller, Method::Allocate, |encoder: Encoder| {
            encoder.requested_transport(17).requested_family(Family::V6)
        });
        answer.relayed()[0]
    }

    pub(super) fn permit(&mut self, caller: &mut Caller, peer: SocketAddr) -> Answer {
        self.ask(caller, Method::CreatePermission, |encoder| {
            encoder.xor_peer_address(peer)
        })
    }

    /// Lets everything end, and looks whether anything is left.
    pub(super) fn assert_all_comes_back(mut self) {
        self.pass(Duration::from_secs(7200));
        assert!(self.sockets.is_empty(), "{:?}", self.sockets);
        assert_eq!(self.shared.ports.usage().0, 0, "ports");
        let quotas = &self.shared.quotas;
        assert_eq!(quotas.allocations(), 0, "allocations");
        assert_eq!(quotas.permissions(), 0, "permissions");
        assert_eq!(quotas.channels(), 0, "channels");
        for relay in &self.relays {
            assert!(relay.is_empty() && relay.by_client.is_empty());
            assert!(relay.by_port.is_empty() && relay.pending.is_empty());
            assert_eq!(
                (relay.schedule.next(), relay.peers.next_timeout()),
                (None, None)
            );
        }
    }
}

fn settings() -> Settings {
    let users = [("anna", "secret-of-anna"), ("bert", "secret-of-bert")];
    let users = users.map(|(name, password)| (name.to_owned(), password.to_owned()));
    Settings {
        credentials: Credentials::new(REALM, vec!["shared".to_owned()], users),
        peers: PeerPolicy {
            policy: Policy::Open,
            ..PeerPolicy::default()
        },
        limits: Limits {
            allocations: 1_000,
            allocations_per_user: 100,
            permissions_per_user: 1_000,
            channels_per_user: 1_000,
            bitrate_per_user: None,
        },
        default_lifetime: Duration::from_secs(600),
        max_lifetime: Duration::from_secs(3600),
        alternate_servers: Vec::new(),
        challenges_per_second: 0,
    }
}
