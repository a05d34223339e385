//! A simple model of the engine: who has an allocation, whom it permits, and
//! until when. Each step is done by both, and compared.

mod data;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    Answer, Caller, Rig, Went,
    rig::{PEER, PEER_V6, at},
};
use crate::turn::{
    relay::Relay,
    wire::{Encoder, Family, Method},
};

/// Two of each user, at either worker.
pub(super) const CALLERS: usize = 4;
pub(super) const PEERS: [&str; 4] = [PEER, "1.2.3.4:6000", "1.2.3.5:5000", PEER_V6];
pub(super) const NUMBERS: u16 = 3;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Allocate {
        shape: u8,
    },
    Refresh {
        lifetime: Option<u32>,
    },
    Permit {
        peer: usize,
    },
    Bind {
        number: u16,
        peer: usize,
    },
    Send {
        peer: usize,
    },
    SendOn {
        number: u16,
    },
    Arrive {
        peer: usize,
    },
    Hairpin {
        to: usize,
    },
    Pass {
        millis: u64,
    },
    /// Time goes by, but the driver does not say so.
    Lag {
        millis: u64,
    },
    Close,
}

/// What the model thinks of an allocation.
#[derive(Debug)]
struct Known {
    relayed: Vec<SocketAddr>,
    expires: Instant,
    /// Until when data may pass, by the peer's address without its port.
    permitted: BTreeMap<SocketAddr, Instant>,
    channels: BTreeMap<u16, (usize, Instant)>,
}

pub(super) struct World {
    pub(super) rig: Rig,
    callers: Vec<Caller>,
    known: Vec<Option<Known>>,
    occupied: BTreeSet<u16>,
}

fn portless(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), 0)
}

impl World {
    pub(super) fn new() -> Self {
        let mut rig = Rig::with(&["20.0.0.1", "2a00::1"], 50_000..=50_011);
        rig.change(|settings| {
            settings.limits.allocations_per_user = 2;
            settings.limits.permissions_per_user = 5;
            settings.limits.channels_per_user = 3;
        });
        // Ports that somebody else has on this machine.
        rig.occupied = BTreeSet::from([50_001, 50_004]);
        let caller = |index: usize| {
            let name = ["anna", "bert"][index % 2];
            Caller::new(name, &format!("192.0.2.{index}:1000")).at_worker(index / 2)
        };
        Self {
            occupied: rig.occupied.clone(),
            rig,
            callers: (0..CALLERS).map(caller).collect(),
            known: (0..CALLERS).map(|_| None).collect(),
        }
    }

    /// The allocation that a caller has right now.
    fn alive(&mut self, index: usize) -> Option<&mut Known> {
        let now = self.rig.now;
        let known = &mut self.known[index];
        if known.as_ref().is_some_and(|known| known.expires <= now) {
            *known = None;
        }
        known.as_mut()
    }

    fn may_pass(&mut self, index: usize, peer: SocketAddr) -> bool {
        let now = self.rig.now;
        self.alive(index).is_some_and(|known| {
            let until = known.permitted.get(&portless(peer));
            until.is_some_and(|until| *until > now)
        })
    }

    fn ask(&mut self, index: usize, method: Method, fill: impl Fn(Encoder) -> Encoder) -> Answer {
        // A nonce is as old as the model lets it be.
        self.callers[index].nonce.clear();
        let caller = &mut self.callers[index];
        self.rig.ask(caller, method, fill)
    }

    pub(super) fn step(&mut self, index: usize, step: &Step) {
        match *step {
            Step::Allocate { shape } => self.allocate(index, shape),
            Step::Refresh { lifetime } => self.refresh(index, lifetime),
            Step::Permit { peer } => self.permit(index, at(PEERS[peer])),
            Step::Bind { number, peer } => self.bind(index, number, peer),
            Step::Send { peer } => self.send(index, at(PEERS[peer])),
            Step::SendOn { number } => self.send_on(index, number),
            Step::Arrive { peer } => self.arrive(index, at(PEERS[peer])),
            Step::Hairpin { to } => self.hairpin(index, to),
            Step::Pass { millis } => self.rig.pass(Duration::from_millis(millis)),
            Step::Lag { millis } => self.rig.now += Duration::from_millis(millis),
            Step::Close => {
                let (now, caller) = (self.rig.now, &self.callers[index]);
                self.rig.relays[caller.worker].handle_client_closed(now, &caller.client);
                self.rig.drain();
                self.known[index] = None;
            }
        }
    }

    fn allocate(&mut self, index: usize, shape: u8) {
        let had = self.alive(index).is_some();
        let answer = self.ask(index, Method::Allocate, |encoder| {
            let encoder = encoder.requested_transport(17);
            match shape {
                0 | 1 => encoder,
                2 => encoder.requested_family(Family::V6),
                3 => encoder.additional_family(Family::V6),
                4 => encoder.even_port(true),
                _ => encoder.even_port(false).lifetime(900),
            }
        });
        match answer.code() {
            Some(code) if had => assert_eq!(code, 437),
            Some(code) => assert!([486, 508].contains(&code), "{code}"),
            None => {
                assert!(!had);
                let relayed = answer.relayed();
                for address in &relayed {
                    assert!(!self.occupied.contains(&address.port()));
                    let others = self.known.iter().flatten();
                    let now = self.rig.now;
                    let mut others = others.filter(|other| other.expires > now);
                    assert!(others.all(|other| !other.relayed.contains(address)));
                }
                let lifetime = u64::from(answer.lifetime().unwrap());
                self.known[index] = Some(Known {
                    relayed,
                    expires: self.rig.now + Duration::from_secs(lifetime),
                    permitted: BTreeMap::new(),
                    channels: BTreeMap::new(),
                });
            }
        }
    }

    fn refresh(&mut self, index: usize, lifetime: Option<u32>) {
        let had = self.alive(index).is_some();
        let answer = self.ask(index, Method::Refresh, |encoder| match lifetime {
            None => encoder,
            Some(seconds) => encoder.lifetime(seconds),
        });
        assert_eq!(answer.is_success(), had || lifetime == Some(0));
        let got = Duration::from_secs(u64::from(answer.lifetime().unwrap_or(0)));
        let now = self.rig.now;
        match self.alive(index) {
            Some(known) if lifetime != Some(0) => known.expires = now + got,
            _ => self.known[index] = None,
        }
    }

    fn permit(&mut self, index: usize, peer: SocketAddr) {
        let answer = self.ask(index, Method::CreatePermission, |encoder| {
            encoder.xor_peer_address(peer)
        });
        if answer.is_success() {
            self.note_permitted(index, peer);
        }
        let codes = [None, Some(437), Some(443), Some(508)];
        assert!(codes.contains(&answer.code()), "{:?}", answer.code());
    }

    fn note_permitted(&mut self, index: usize, peer: SocketAddr) {
        let until = self.rig.now + Duration::from_secs(300);
        let known = self.alive(index).unwrap();
        known.permitted.insert(portless(peer), until);
    }

    fn bind(&mut self, index: usize, number: u16, peer: usize) {
        let (caller, address) = (&mut self.callers[index], at(PEERS[peer]));
        caller.nonce.clear();
        let answer = self.rig.bind_channel(caller, 0x4000 + number, address);
        let now = self.rig.now;
        if answer.is_success() {
            self.note_permitted(index, address);
            let until = now + Duration::from_secs(600);
            let known = self.alive(index).unwrap();
            let taken = known
                .channels
                .iter()
                .any(|(other, (to, until))| *until > now && (*other == number) != (*to == peer));
            assert!(!taken);
            known.channels.insert(number, (peer, until));
        }
    }

    /// What is held is what the model knows of, or less than a moment too old.
    pub(super) fn check(&mut self) {
        self.rig.pass(Duration::ZERO);
        let alive = (0..CALLERS).filter(|index| self.alive(*index).is_some());
        let alive = alive.collect::<Vec<_>>();
        let relays: usize = self.rig.relays.iter().map(Relay::len).sum();
        assert_eq!(relays, alive.len());
        let held = self.rig.shared.quotas.allocations();
        assert_eq!(usize::try_from(held).unwrap(), alive.len());
        let sockets: usize = self
            .known
            .iter()
            .flatten()
            .map(|known| known.relayed.len())
            .sum();
        assert_eq!(self.rig.sockets.len(), sockets);
    }
}
