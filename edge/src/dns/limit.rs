//! Response rate limiting: how much one network may be told over UDP, where
//! whoever asks may be somebody else.
//!
//! Each network (/24, /56) has a budget for each kind of answer, so that a flood of
//! names that do not exist leaves those that do alone. Beyond it one answer in
//! `slip` goes out cut (TC), which is no longer than its query and brings an honest
//! resolver here by TCP; the others are dropped. Budgets lie in a table of fixed
//! size: two networks that meet in one place of it share it by taking turns, and
//! whoever comes anew begins with a full one.

use std::net::IpAddr;

use super::steer::mix;

/// Places in the table of each thread: 16 bytes each, 1 MiB.
const PLACES: usize = 1 << 16;

/// How long a budget may be saved up, in seconds' worth of it.
const BURST_SECONDS: u64 = 2;

/// What a budget is counted in: a millionth of an answer.
const UNIT: u64 = 1_000_000;

/// What an answer is to the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There was something to tell.
    Answer,
    /// The name has none of that type.
    NoData,
    /// There is no such name.
    NoName,
    /// An error, or a refusal.
    Error,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes out.
    Pass,
    /// It goes out cut.
    Slip,
    /// It does not go out.
    Drop,
}

/// How much a network may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Answers per second; 0 is without limit.
    pub per_second: u32,
    /// One in so many of those beyond goes out cut; 0 drops all of them.
    pub slip: u32,
}

/// The budgets that one thread keeps.
#[derive(Debug)]
pub struct Limiter {
    rule: Rule,
    places: Vec<Place>,
    /// Makes places unforeseeable.
    secret: u64,
    beyond: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Whose it is, in brief.
    tag: u32,
    /// When it was last looked at, in milliseconds of the caller's clock.
    at: u32,
    /// What is left.
    left: u64,
}

impl Limiter {
    /// Makes an empty table; `secret` is random.
    pub fn new(rule: Rule, secret: u64) -> Self {
        let places = match rule.per_second {
            0 => 0,
            _ => PLACES,
        };
        Self {
            rule,
            places: vec![Place::default(); places],
            secret,
            beyond: 0,
        }
    }

    /// Judges an answer to `ip` at `now`, in milliseconds of a clock that only goes
    /// forward, and may wrap.
    pub fn judge(&mut self, now: u32, ip: IpAddr, kind: Kind) -> Verdict {
        let hash = mix(network(ip) ^ self.secret ^ ((kind as u64) << 61));
        let (rule, full) = (self.rule, self.full());
        let index = hash as usize % PLACES;
        let Some(place) = self.places.get_mut(index) else {
            return Verdict::Pass;
        };
        // 0 is nobody's.
        let tag = (hash >> 32) as u32 | 1;
        if place.tag == tag {
            let elapsed = u64::from(now.wrapping_sub(place.at));
            let earned = elapsed.saturating_mul(u64::from(rule.per_second) * (UNIT / 1000));
            place.left = place.left.saturating_add(earned).min(full);
        } else {
            (place.tag, place.left) = (tag, full);
        }
        place.at = now;
        if let Some(left) = place.left.checked_sub(UNIT) {
            place.left = left;
            return Verdict::Pass;
        }
        self.beyond = self.beyond.wrapping_add(1);
        match self.beyond.checked_rem(rule.slip) {
            Some(0) => Verdict::Slip,
            _ => Verdict::Drop,
        }
    }

    const fn full(&self) -> u64 {
        self.rule.per_second as u64 * BURST_SECONDS * UNIT
    }
}

/// The network that has a budget of its own.
fn network(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
        // /56, beside all of IPv4.
        IpAddr::V6(ip) => (ip.to_bits() >> 72) as u64 | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        per_second: 10,
        slip: 2,
    };

    fn judged(limiter: &mut Limiter, now: u32, ip: &str, kind: Kind, times: usize) -> [usize; 3] {
        let mut counts = [0; 3];
        for _ in 0..times {
            counts[limiter.judge(now, ip.parse().unwrap(), kind) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_network_has_its_budget_and_the_rest_is_cut_or_dropped() {
        let mut limiter = Limiter::new(RULE, 5);
        assert_eq!(
            judged(&mut limiter, 0, "192.0.2.1", Kind::Answer, 100),
            [20, 40, 40]
        );
        // Its neighbours share it; others have their own.
        assert_eq!(
            judged(&mut limiter, 0, "192.0.2.9", Kind::Answer, 10),
            [0, 5, 5]
        );
        assert_eq!(
            judged(&mut limiter, 0, "192.0.3.1", Kind::Answer, 20),
            [20, 0, 0]
        );
        // So have other kinds of answers.
        assert_eq!(
            judged(&mut limiter, 0, "192.0.2.1", Kind::NoName, 20),
            [20, 0, 0]
        );
    }

    #[test]
    fn a_budget_comes_back_with_time_and_no_higher() {
        let mut limiter = Limiter::new(RULE, 5);
        let ip = "2001:db8:0:ff00::1";
        assert_eq!(
            judged(&mut limiter, u32::MAX - 400, ip, Kind::Error, 20)[0],
            20
        );
        // The clock wraps between.
        assert_eq!(judged(&mut limiter, 99, ip, Kind::Error, 20)[0], 5);
        assert_eq!(judged(&mut limiter, 60_099, ip, Kind::Error, 50)[0], 20);
        assert_eq!(
            judged(&mut limiter, 60_099, "2001:db8:0:ffff::1", Kind::Error, 50)[0],
            0
        );
        assert_eq!(
            judged(&mut limiter, 60_099, "2001:db8:1::1", Kind::Error, 50)[0],
            20
        );
    }

    #[test]
    fn no_limit_is_no_limit() {
        let mut limiter = Limiter::new(
            Rule {
                per_second: 0,
                slip: 2,
            },
            5,
        );
        assert_eq!(
            judged(&mut limiter, 0, "192.0.2.1", Kind::Answer, 9_999),
            [9_999, 0, 0]
        );
    }

    #[test]
    fn without_slip_all_beyond_is_dropped() {
        let mut limiter = Limiter::new(Rule { slip: 0, ..RULE }, 5);
        assert_eq!(
            judged(&mut limiter, 0, "192.0.2.1", Kind::Answer, 30),
            [20, 0, 10]
        );
    }
}
