//! How many connections of one source have yet to show what they are for.
//!
//! Without this bound one source could hold every TLS handshake, or every
//! place. A source is an IPv4 address or an IPv6 /64, which is what one
//! subscriber gets.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The sources that have such connections. There is an entry only while there
/// is a connection, so never more of them than connections.
#[derive(Debug)]
pub struct HalfOpen {
    most: usize,
    sources: Mutex<HashMap<Source, usize>>,
}

impl HalfOpen {
    /// At most `most` connections of each source.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            sources: Mutex::default(),
        })
    }

    /// Counts a connection from `address` until the guard is dropped; `None`
    /// when its source has too many.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Entered> {
        let source = Source::of(address);
        let mut sources = self.lock();
        let count = sources.get(&source).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        sources.insert(source, count + 1);
        Some(Entered {
            counts: Arc::clone(self),
            source,
        })
    }

    fn leave(&self, source: Source) {
        let mut sources = self.lock();
        match sources.get_mut(&source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                sources.remove(&source);
            }
        }
    }

    /// Nothing panics while it holds the lock, and a count is whole at any time.
    fn lock(&self) -> MutexGuard<'_, HashMap<Source, usize>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One counted connection, for as long as this is kept.
#[derive(Debug)]
pub struct Entered {
    counts: Arc<HalfOpen>,
    source: Source,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.counts.leave(self.source);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Source(IpAddr);

impl Source {
    fn of(address: IpAddr) -> Self {
        // An IPv4 client of a socket for both families comes as ::ffff:a.b.c.d.
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                Self(Ipv6Addr::from_bits(network).into())
            }
            address => Self(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_has_its_own_bound() {
        let half_open = HalfOpen::new(2);
        let first = half_open.enter(address("192.0.2.1"));
        let second = half_open.enter(address("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(half_open.enter(address("192.0.2.1")).is_none());
        assert!(half_open.enter(address("192.0.2.2")).is_some());
        drop(first);
        assert!(half_open.enter(address("192.0.2.1")).is_some());
    }

    #[test]
    fn an_ipv6_source_is_a_64() {
        let half_open = HalfOpen::new(1);
        let _first = half_open.enter(address("2001:db8:0:1::1")).unwrap();
        assert!(half_open.enter(address("2001:db8:0:1:2::3")).is_none());
        assert!(half_open.enter(address("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let half_open = HalfOpen::new(3);
        for last in 0..=255 {
            let (one, two) = (
                half_open.enter([192, 0, 2, last].into()),
                half_open.enter([192, 0, 2, last].into()),
            );
            assert!(one.is_some() && two.is_some());
        }
        assert!(half_open.lock().is_empty());
    }
}
