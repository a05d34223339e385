//! How often strangers are answered: a 401 goes to whatever source a datagram
//! claims, so it is limited per source prefix.
//!
//! The memory is fixed. Prefixes share buckets by a keyed hash, so a flood from
//! many sources costs a stranger in the same bucket a retry, and us nothing.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    time::Duration,
};

/// Buckets; a power of two.
const BUCKETS: usize = 8192;

/// Answers that a prefix may get at once, in seconds of its rate.
const BURST: Duration = Duration::from_secs(5);

/// Counts answers per prefix.
#[derive(Debug)]
pub struct Challenges {
    hasher: RandomState,
    /// When each bucket is empty again, in microseconds since the process began.
    busy_until: Box<[u64]>,
}

impl Default for Challenges {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            busy_until: vec![0; BUCKETS].into(),
        }
    }
}

impl Challenges {
    /// Whether `source` may be answered at `now`, the time since the process
    /// began, given `per_second` for its prefix; 0 is without limit.
    pub fn may_answer(&mut self, now: Duration, source: IpAddr, per_second: u32) -> bool {
        if per_second == 0 {
            return true;
        }
        let index = self.hasher.hash_one(prefix(source)) as usize % BUCKETS;
        let Some(busy_until) = self.busy_until.get_mut(index) else {
            return false;
        };
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let next = (*busy_until).max(now) + 1_000_000 / u64::from(per_second);
        let is_within = next <= now.saturating_add(BURST.as_micros() as u64);
        if is_within {
            *busy_until = next;
        }
        is_within
    }
}

/// What one household or host has: an IPv4 address, an IPv6 /64.
fn prefix(source: IpAddr) -> u64 {
    match source {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_gets_a_burst_and_then_its_rate() {
        let mut challenges = Challenges::default();
        let source = "2001:db8::1".parse().unwrap();
        let neighbour = "2001:db8::2".parse().unwrap();
        let at = |millis| Duration::from_millis(millis);
        let now = at(1_000);
        let answered = (0..100).filter(|_| challenges.may_answer(now, source, 10));
        assert_eq!(answered.count(), 50);
        assert!(!challenges.may_answer(now, neighbour, 10));
        assert!(challenges.may_answer(at(1_100), neighbour, 10));
        assert!(!challenges.may_answer(at(1_100), source, 10));
        assert!(challenges.may_answer(now, "192.0.2.1".parse().unwrap(), 10));
        assert!((0..1_000).all(|_| challenges.may_answer(now, source, 0)));
    }
}
