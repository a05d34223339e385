//! The relayed ports of the whole process, and which worker each belongs to.
//!
//! The pool is under a lock, taken when an allocation begins or ends. Who owns a
//! port is read for every hairpinned packet, so it stands in atomics beside it.
//! Ports are drawn at random: whoever knows one allocation's port must not
//! guess the next (RFC 6056 §3).

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
};

use inlet_common::roq::pop::Load;
use rand::{Rng, RngExt as _};

use super::{allocation::Protocol, wire::Family};

/// Marks an owner's entry as that of a TCP port; there are at most 256 workers.
const TCP: u16 = 0x8000;

/// Random draws before the pool looks at one port after the other.
const RANDOM_DRAWS: usize = 16;

/// What kind of port is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Any.
    Any,
    /// An even one.
    Even,
    /// An even one, and the next one too.
    Pair,
}

/// Where relayed sockets of one family are bound, and what they go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayAddress {
    /// What sockets are bound to.
    pub bind: IpAddr,
    /// What clients and peers know; another one behind 1:1 NAT.
    pub advertised: IpAddr,
}

/// The pool.
#[derive(Debug)]
pub struct Ports {
    four: Option<Pool>,
    six: Option<Pool>,
}

#[derive(Debug)]
struct Pool {
    address: RelayAddress,
    range: RangeInclusive<u16>,
    taken: Mutex<Taken>,
    /// Worker plus one, by port from the first on; 0 is nobody.
    owners: Box<[AtomicU16]>,
}

#[derive(Debug)]
struct Taken {
    bits: Box<[bool]>,
    used: usize,
}

impl Ports {
    /// Makes a pool of `range` on each address, at most one per family; of two,
    /// the first counts.
    pub fn new(addresses: &[RelayAddress], range: &RangeInclusive<u16>) -> Self {
        let of = |is_ipv4: bool| {
            let mut addresses = addresses.iter();
            let address = addresses.find(|address| address.bind.is_ipv4() == is_ipv4)?;
            let size = range.clone().count();
            Some(Pool {
                address: *address,
                range: range.clone(),
                taken: Mutex::new(Taken {
                    bits: vec![false; size].into(),
                    used: 0,
                }),
                owners: std::iter::repeat_with(|| AtomicU16::new(0))
                    .take(size)
                    .collect(),
            })
        };
        Self {
            four: of(true),
            six: of(false),
        }
    }

    fn pool(&self, family: Family) -> Option<&Pool> {
        match family {
            Family::V4 => self.four.as_ref(),
            Family::V6 => self.six.as_ref(),
        }
    }

    /// The address of a family; `None` when there is none.
    pub fn address(&self, family: Family) -> Option<RelayAddress> {
        self.pool(family).map(|pool| pool.address)
    }

    /// Draws a port, and of a pair the lower one. `None` when there is none.
    pub fn take(&self, family: Family, wish: Wish, rng: &mut impl Rng) -> Option<u16> {
        self.pool(family)?.take(wish, rng)
    }

    /// Gives a port back.
    pub fn give_back(&self, family: Family, port: u16) {
        if let Some(pool) = self.pool(family) {
            pool.give_back(port);
        }
    }

    /// From now on this relayed port is `worker`'s.
    pub fn set_owner(&self, family: Family, port: u16, protocol: Protocol, worker: u16) {
        let tcp = match protocol {
            Protocol::Udp => 0,
            Protocol::Tcp => TCP,
        };
        if let Some(owner) = self.pool(family).and_then(|pool| pool.owner(port)) {
            owner.store((worker + 1) | tcp, Ordering::Release);
        }
    }

    /// Whether `ip` is one that relayed addresses have.
    pub fn is_relay_ip(&self, ip: IpAddr) -> bool {
        let pools = [&self.four, &self.six];
        pools.into_iter().flatten().any(|pool| pool.has_ip(ip))
    }

    /// The worker that a relayed UDP address belongs to right now.
    pub fn owner(&self, address: SocketAddr) -> Option<u16> {
        let owner = self.entry(address)?;
        (owner & TCP == 0).then(|| owner.checked_sub(1))?
    }

    /// Whether this is a relayed TCP address right now.
    pub fn is_relayed_tcp(&self, address: SocketAddr) -> bool {
        self.entry(address).is_some_and(|owner| owner & TCP != 0)
    }

    fn entry(&self, address: SocketAddr) -> Option<u16> {
        let pool = self.pool(Family::of(&address))?;
        if !pool.has_ip(address.ip()) {
            return None;
        }
        Some(pool.owner(address.port())?.load(Ordering::Acquire))
    }

    /// Ports in use, and ports there are.
    pub fn usage(&self) -> (usize, usize) {
        let pools = [&self.four, &self.six];
        pools
            .into_iter()
            .flatten()
            .fold((0, 0), |(used, all), pool| {
                (used + pool.lock().used, all + pool.owners.len())
            })
    }

    /// Share of the ports that are in use, in the family that has fewest left.
    pub fn load(&self) -> Load {
        let pools = [&self.four, &self.six].into_iter().flatten();
        let loads = pools.map(|pool| Load::of(pool.lock().used, pool.owners.len()));
        loads.max().unwrap_or(Load::FULL)
    }
}

impl Pool {
    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ip(&self, ip: IpAddr) -> bool {
        self.address.advertised == ip || self.address.bind == ip
    }

    fn index(&self, port: u16) -> Option<usize> {
        port.checked_sub(*self.range.start()).map(usize::from)
    }

    fn owner(&self, port: u16) -> Option<&AtomicU16> {
        self.owners.get(self.index(port)?)
    }

    fn take(&self, wish: Wish, rng: &mut impl Rng) -> Option<u16> {
        let mut taken = self.lock();
        let size = taken.bits.len();
        if taken.used >= size {
            return None;
        }
        let fits = |taken: &Taken, index: usize| {
            let port = usize::from(*self.range.start()) + index;
            let is_free = |index| taken.bits.get(index) == Some(&false);
            let is_even = port.is_multiple_of(2);
            is_free(index)
                && match wish {
                    Wish::Any => true,
                    Wish::Even => is_even,
                    Wish::Pair => is_even && is_free(index + 1),
                }
        };
        let drawn = (0..RANDOM_DRAWS)
            .map(|_| rng.random_range(0..size))
            .find(|index| fits(&taken, *index));
        let start = rng.random_range(0..size);
        let index = drawn.or_else(|| {
            let around = (start..size).chain(0..start);
            around.into_iter().find(|index| fits(&taken, *index))
        })?;
        taken.mark(index, true);
        if wish == Wish::Pair {
            taken.mark(index + 1, true);
        }
        self.range.clone().nth(index)
    }

    fn give_back(&self, port: u16) {
        if let Some(owner) = self.owner(port) {
            owner.store(0, Ordering::Release);
        }
        if let Some(index) = self.index(port) {
            self.lock().mark(index, false);
        }
    }
}

impl Taken {
    fn mark(&mut self, index: usize, is_taken: bool) {
        let Some(bit) = self.bits.get_mut(index) else {
            return;
        };
        if std::mem::replace(bit, is_taken) != is_taken {
            self.used = match is_taken {
                true => self.used + 1,
                false => self.used - 1,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn ports(range: RangeInclusive<u16>) -> Ports {
        let bind = "10.0.0.5".parse().unwrap();
        let advertised = "203.0.113.5".parse().unwrap();
        Ports::new(&[RelayAddress { bind, advertised }], &range)
    }

    #[test]
    fn every_port_is_given_once_and_comes_back() {
        let ports = ports(50_000..=50_099);
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..3 {
            let mut given = BTreeSet::new();
            while let Some(port) = ports.take(Family::V4, Wish::Any, &mut rng) {
                assert!((50_000..=50_099).contains(&port) && given.insert(port));
            }
            assert_eq!((given.len(), ports.usage()), (100, (100, 100)));
            for port in given {
                ports.give_back(Family::V4, port);
            }
            assert_eq!(ports.usage(), (0, 100));
        }
    }

    #[test]
    fn the_load_is_that_of_the_family_with_fewest_left() {
        let address = |bind: &str| {
            let bind = bind.parse().unwrap();
            let advertised = bind;
            RelayAddress { bind, advertised }
        };
        let both = [address("10.0.0.5"), address("fd00::5")];
        let ports = Ports::new(&both, &(50_000..=50_003));
        assert_eq!(ports.load(), Load::IDLE);
        let mut rng = StdRng::seed_from_u64(4);
        for taken in 1..=3 {
            ports.take(Family::V6, Wish::Any, &mut rng).unwrap();
            assert_eq!(ports.load(), Load::of(taken, 4));
        }
        ports.take(Family::V4, Wish::Any, &mut rng).unwrap();
        assert_eq!(ports.load(), Load::new(0.75));
    }

    #[test]
    fn pairs_begin_even_and_hold_both() {
        let ports = ports(50_001..=50_010);
        let mut rng = StdRng::seed_from_u64(2);
        let mut pairs = 0;
        while let Some(port) = ports.take(Family::V4, Wish::Pair, &mut rng) {
            assert!(port.is_multiple_of(2));
            pairs += 1;
        }
        // 50002–50009; 50010 has no next one.
        assert_eq!((pairs, ports.usage()), (4, (8, 10)));
        assert_eq!(ports.take(Family::V4, Wish::Even, &mut rng), Some(50_010));
        assert_eq!(ports.take(Family::V4, Wish::Even, &mut rng), None);
        assert_eq!(ports.take(Family::V4, Wish::Any, &mut rng), Some(50_001));
    }

    #[test]
    fn the_order_cannot_be_guessed() {
        let ports = ports(49_152..=65_535);
        let mut rng = StdRng::seed_from_u64(3);
        let given: Vec<u16> = (0..100)
            .filter_map(|_| ports.take(Family::V4, Wish::Any, &mut rng))
            .collect();
        let neighbours = given.windows(2).filter(|two| two[0].abs_diff(two[1]) < 16);
        assert!(neighbours.count() < 5, "{given:?}");
    }

    #[test]
    fn an_owner_is_known_by_either_address_until_the_port_is_free() {
        let ports = ports(50_000..=50_099);
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        ports.set_owner(Family::V4, 50_007, Protocol::Udp, 3);
        ports.set_owner(Family::V4, 50_009, Protocol::Tcp, 3);
        assert!(ports.is_relayed_tcp(at("203.0.113.5:50009")));
        for text in ["10.0.0.5:50007", "203.0.113.5:50007"] {
            assert_eq!(ports.owner(at(text)), Some(3), "{text}");
        }
        for text in [
            "10.0.0.5:50008",
            "10.0.0.5:50009",
            "10.0.0.6:50007",
            "10.0.0.5:49999",
            "[::1]:50007",
        ] {
            assert_eq!(ports.owner(at(text)), None, "{text}");
        }
        ports.give_back(Family::V4, 50_007);
        assert_eq!(ports.owner(at("10.0.0.5:50007")), None);
    }
}
