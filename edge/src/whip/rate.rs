//! Who has been refused too often, by stream key and by source.
//!
//! Pure: each key has a bucket of attempts that refusals empty and time fills.
//! Only refusals are charged, so that who has the right to publish never
//! waits. The traps: a bucket per stream instead of per stream *key* would let
//! any stranger lock the presenter out with wrong tokens; and behind a proxy
//! on this machine everybody comes from loopback, which is no source then.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher as _, Hash, RandomState},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use inlet_common::ids::PublishPath;

/// Stream keys, and sources, that are remembered; beyond it the one that was
/// refused the longest ago is forgotten.
pub const MAX_BUCKETS: usize = 16_384;

/// Refusals that are charged once in so long, see [`Charge::Paced`].
const PACE: Duration = Duration::from_secs(1);

/// How much may be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Refused attempts in a row, at least 1. Default 5.
    pub burst: u32,
    /// Time after which one more may be made. Default 10 s.
    pub interval: Duration,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            burst: 5,
            interval: Duration::from_secs(10),
        }
    }
}

/// What a refusal costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// One attempt.
    Full,
    /// One attempt, but no more than one a second: a presenter whose connection
    /// broke is refused for up to 4 s because of its own dead session, however
    /// quickly it tries, and must not be made to wait for longer.
    Paced,
}

/// Whom an attempt is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A keyed hash: the token itself is not kept.
    key: Option<u64>,
    source: Option<IpAddr>,
}

/// What stands in the way of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// "stream" or "source".
    pub by: &'static str,
    /// How long it stands there.
    pub wait: Duration,
}

/// All that were refused lately.
#[derive(Debug)]
pub struct Refusals {
    hasher: RandomState,
    keys: Buckets<u64>,
    sources: Buckets<IpAddr>,
    guesses: Buckets<IpAddr>,
}

/// How often a source may name a session that there is not. A secret of 128 bits
/// is not guessed, so this only keeps the noise down; and a presenter whose
/// session has ended shall not be made to wait for its next one.
const GUESSES: Rule = Rule {
    burst: 60,
    interval: Duration::from_secs(1),
};

impl Refusals {
    /// Nobody refused yet. `hasher` hides the stream keys.
    pub fn new(rule: Rule, hasher: RandomState) -> Self {
        Self {
            hasher,
            keys: Buckets::new(rule),
            sources: Buckets::new(rule),
            guesses: Buckets::new(GUESSES),
        }
    }

    /// Somebody asks for a session that there is not. Also returns how many
    /// others had to be forgotten for it before their time.
    pub fn guess(&mut self, source: IpAddr, now: Instant) -> (Result<(), Limited>, u64) {
        let Some(source) = prefix(source) else {
            return (Ok(()), 0);
        };
        if let Some(wait) = self.guesses.wait(&source, now) {
            return (Err(Limited { by: "source", wait }), 0);
        }
        (Ok(()), self.guesses.charge(source, Charge::Full, now))
    }

    /// Whom an attempt is charged to; `path` is `None` where it named no key.
    pub fn caller(&self, source: IpAddr, path: Option<&PublishPath>) -> Caller {
        let key = |path: &PublishPath| self.hasher.hash_one((path.stream, path.token.expose()));
        Caller {
            key: path.map(key),
            source: prefix(source),
        }
    }

    /// Whether an attempt may be made.
    ///
    /// # Errors
    ///
    /// [`Limited`] by whichever takes longer.
    pub fn check(&self, caller: Caller, now: Instant) -> Result<(), Limited> {
        let key = caller.key.and_then(|key| self.keys.wait(&key, now));
        let source = caller.source.and_then(|of| self.sources.wait(&of, now));
        let limits = [("stream", key), ("source", source)];
        let limits = limits
            .into_iter()
            .filter_map(|(by, wait)| Some(Limited { by, wait: wait? }));
        match limits.max_by_key(|limited| limited.wait) {
            Some(limited) => Err(limited),
            None => Ok(()),
        }
    }

    /// An attempt has been refused. Returns how many others had to be
    /// forgotten for it before their time.
    pub fn note(&mut self, caller: Caller, charge: Charge, now: Instant) -> u64 {
        let key = caller.key.map(|key| self.keys.charge(key, charge, now));
        let source = caller.source;
        let source = source.map(|source| self.sources.charge(source, charge, now));
        key.unwrap_or(0) + source.unwrap_or(0)
    }
}

/// What counts as one source: an IPv4 address, an IPv6 /64.
fn prefix(source: IpAddr) -> Option<IpAddr> {
    match source.to_canonical() {
        ip if ip.is_loopback() => None,
        IpAddr::V4(ip) => Some(ip.into()),
        IpAddr::V6(ip) => Some(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into()),
    }
}

/// One bucket: the generic cell rate algorithm, whose only state is a time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: Instant,
    charged_at: Instant,
    /// Its place in [`Buckets::order`].
    turn: u64,
}

#[derive(Debug)]
struct Buckets<K> {
    rule: Rule,
    entries: HashMap<K, Bucket>,
    /// The same ones, in the order in which they were charged last.
    order: BTreeMap<u64, K>,
    next_turn: u64,
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    fn new(rule: Rule) -> Self {
        Self {
            rule,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            next_turn: 0,
        }
    }

    /// How long until the bucket holds an attempt; `None` when it does.
    fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let bucket = self.entries.get(key)?;
        let needed = bucket.full_at.saturating_duration_since(now);
        let allowed = self.rule.interval * self.rule.burst.saturating_sub(1);
        needed
            .checked_sub(allowed)
            .filter(|wait| *wait > Duration::ZERO)
    }

    fn charge(&mut self, key: K, charge: Charge, now: Instant) -> u64 {
        let old = self.entries.get(&key).copied();
        if let (Some(bucket), Charge::Paced) = (old, charge)
            && now.saturating_duration_since(bucket.charged_at) < PACE
        {
            return 0;
        }
        let full_at = old.map_or(now, |bucket| bucket.full_at.max(now)) + self.rule.interval;
        // Attempts that ran at once cannot take more than there is.
        let empty = now + self.rule.interval * self.rule.burst;
        let turn = self.next_turn;
        self.next_turn += 1;
        let bucket = Bucket {
            full_at: full_at.min(empty),
            charged_at: now,
            turn,
        };
        if let Some(old) = self.entries.insert(key, bucket) {
            self.order.remove(&old.turn);
        }
        self.order.insert(turn, key);
        self.make_room(now)
    }

    /// Drops what is full again, and what is too much.
    fn make_room(&mut self, now: Instant) -> u64 {
        let mut forgotten = 0;
        while let Some((turn, key)) = self.order.first_key_value().map(|(at, key)| (*at, *key)) {
            let is_full = self
                .entries
                .get(&key)
                .is_none_or(|bucket| bucket.full_at <= now);
            if !is_full && self.entries.len() <= MAX_BUCKETS {
                break;
            }
            forgotten += u64::from(!is_full);
            self.order.remove(&turn);
            self.entries.remove(&key);
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use inlet_common::{
        clock,
        ids::{PushToken, StreamId},
    };

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn path(token: &str) -> PublishPath {
        PublishPath {
            stream: "17".parse::<StreamId>().unwrap(),
            token: PushToken::new(token),
        }
    }

    fn refusals() -> Refusals {
        Refusals::new(Rule::default(), RandomState::new())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn five_in_a_row_and_then_one_in_ten_seconds() {
        let mut refusals = refusals();
        let start = clock::now();
        let caller = refusals.caller(ip("192.0.2.1"), None);
        for _ in 0..5 {
            assert_eq!(refusals.check(caller, start), Ok(()));
            refusals.note(caller, Charge::Full, start);
        }
        let limited = |wait| Err(Limited { by: "source", wait });
        assert_eq!(refusals.check(caller, start), limited(10 * SECOND));
        assert_eq!(refusals.check(caller, start + 9 * SECOND), limited(SECOND));
        let later = start + 10 * SECOND;
        assert_eq!(refusals.check(caller, later), Ok(()));
        refusals.note(caller, Charge::Full, later);
        assert_eq!(refusals.check(caller, later), limited(10 * SECOND));
        assert_eq!(refusals.check(caller, later + 10 * SECOND), Ok(()));
    }

    #[test]
    fn many_at_once_cost_no_more_than_there_is() {
        let mut refusals = refusals();
        let now = clock::now();
        let caller = refusals.caller(ip("192.0.2.1"), None);
        for _ in 0..64 {
            refusals.note(caller, Charge::Full, now);
        }
        assert_eq!(refusals.check(caller, now + 10 * SECOND), Ok(()));
    }

    #[test]
    fn a_key_is_limited_wherever_it_comes_from_and_other_keys_are_not() {
        let mut refusals = refusals();
        let now = clock::now();
        for last in 0..5 {
            let caller = refusals.caller(ip(&format!("192.0.2.{last}")), Some(&path("wrong")));
            refusals.note(caller, Charge::Full, now);
        }
        let wrong = refusals.caller(ip("198.51.100.1"), Some(&path("wrong")));
        assert_eq!(refusals.check(wrong, now).unwrap_err().by, "stream");
        let right = refusals.caller(ip("198.51.100.1"), Some(&path("right")));
        assert_eq!(refusals.check(right, now), Ok(()));
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_64() {
        assert_eq!(prefix(ip("192.0.2.1")), Some(ip("192.0.2.1")));
        assert_eq!(prefix(ip("::ffff:192.0.2.1")), Some(ip("192.0.2.1")));
        let net = Some(ip("2001:db8:1:2::"));
        assert_eq!(prefix(ip("2001:db8:1:2:3:4:5:6")), net);
        assert_ne!(prefix(ip("2001:db8:1:3::1")), net);
        for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(prefix(ip(loopback)), None, "{loopback}");
        }
    }

    #[test]
    fn guesses_are_limited_apart_from_offers() {
        let mut refusals = refusals();
        let now = clock::now();
        let source = ip("2001:db8::1");
        for _ in 0..GUESSES.burst {
            assert_eq!(refusals.guess(source, now), (Ok(()), 0));
        }
        let neighbour = ip("2001:db8::2");
        let limited = refusals.guess(neighbour, now).0.unwrap_err();
        assert_eq!((limited.by, limited.wait), ("source", SECOND));
        assert_eq!(refusals.guess(neighbour, now + SECOND).0, Ok(()));
        assert_eq!(refusals.guess(ip("2001:db8:0:1::1"), now).0, Ok(()));
        let caller = refusals.caller(source, None);
        assert_eq!(refusals.check(caller, now), Ok(()));
        for _ in 0..1_000 {
            assert_eq!(refusals.guess(ip("127.0.0.1"), now).0, Ok(()));
        }
    }

    #[test]
    fn a_ghost_is_outlived_however_fast_its_owner_tries() {
        let mut refusals = refusals();
        let start = clock::now();
        let caller = refusals.caller(ip("192.0.2.1"), Some(&path("right")));
        for tenth in 0..40 {
            let now = start + tenth * SECOND / 10;
            assert_eq!(refusals.check(caller, now), Ok(()), "after {tenth}/10 s");
            refusals.note(caller, Charge::Paced, now);
        }
        refusals.note(caller, Charge::Paced, start + 4 * SECOND);
        // But it is no way round the limit.
        assert!(refusals.check(caller, start + 4 * SECOND).is_err());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let mut buckets = Buckets::new(Rule {
            burst: 1,
            interval: 10 * SECOND,
        });
        let start = clock::now();
        for key in 0..MAX_BUCKETS {
            assert_eq!(buckets.charge(key, Charge::Full, start), 0);
        }
        // Charged again, the first is the youngest.
        assert_eq!(buckets.charge(0, Charge::Full, start), 0);
        assert_eq!(buckets.charge(MAX_BUCKETS, Charge::Full, start), 1);
        assert_eq!(buckets.wait(&1, start), None);
        assert!(buckets.wait(&0, start).is_some() && buckets.wait(&2, start).is_some());
        assert_eq!(buckets.entries.len(), MAX_BUCKETS);
        assert_eq!(buckets.order.len(), MAX_BUCKETS);
        // Those that are full again are not missed.
        let later = start + 10 * SECOND;
        assert_eq!(buckets.charge(1, Charge::Full, later), 0);
        assert_eq!((buckets.entries.len(), buckets.order.len()), (1, 1));
    }
}
