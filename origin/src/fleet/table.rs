//! The latest report of each point of presence. Bounded, and forgetful: what is
//! older than [`EXPIRY`] is nobody's state.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use inlet_common::roq::pop::{EXPIRY, Fleet, Heard, Load, MAX_POPS, Name, Report};

/// A load that moved by so much since the last report is worth telling at once: a
/// tenth of what a point of presence can carry, in the two seconds between reports.
const NEWS_STEP: f64 = 0.1;

/// All reports that count.
#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<Name, Entry>,
}

#[derive(Debug)]
struct Entry {
    report: Report,
    at: Instant,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It counts from now on. News are what others should not wait for: somebody new,
    /// or one that begins or ceases to drain, serves something else, or has become
    /// much busier or idler.
    Taken {
        /// Whether it is news.
        is_news: bool,
    },
    /// A later one of the same maker has come before.
    Late,
    /// There are [`MAX_POPS`] others.
    Full,
}

impl Table {
    /// Takes a report that came at `now`.
    pub fn handle_report(&mut self, now: Instant, name: Name, report: Report) -> Outcome {
        self.expire(now);
        let is_full = self.entries.len() >= MAX_POPS;
        let is_news = match self.entries.get(&name) {
            Some(held) if !report.supersedes(&held.report, held.age(now)) => return Outcome::Late,
            Some(held) => is_news(&held.report, &report),
            None if is_full => return Outcome::Full,
            None => true,
        };
        self.entries.insert(name, Entry { report, at: now });
        Outcome::Taken { is_news }
    }

    /// Every report that counts at `now`.
    pub fn snapshot(&mut self, now: Instant) -> Fleet {
        self.expire(now);
        Fleet::new(self.entries.iter().map(|(name, entry)| Heard {
            name: name.clone(),
            age: entry.age(now),
            report: entry.report,
        }))
    }

    /// How many take clients at `now`, and how many drain.
    pub fn counts(&mut self, now: Instant) -> (usize, usize) {
        self.expire(now);
        let reports = self.entries.values().map(|entry| &entry.report);
        let draining = reports.filter(|report| report.is_draining).count();
        (self.entries.len() - draining, draining)
    }

    fn expire(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.age(now) <= EXPIRY);
    }
}

impl Entry {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}

fn is_news(before: &Report, after: &Report) -> bool {
    let has_moved = |before: Option<Load>, after: Option<Load>| match (before, after) {
        (Some(before), Some(after)) => (before.share() - after.share()).abs() >= NEWS_STEP,
        (before, after) => before != after,
    };
    before.is_draining != after.is_draining
        || has_moved(before.loads.whip, after.loads.whip)
        || has_moved(before.loads.turn, after.loads.turn)
}

#[cfg(test)]
mod tests {
    use inlet_common::{
        clock::{self, UtcTime},
        roq::pop::{Loads, SILENCE},
    };

    use super::*;

    const NEWS: Outcome = Outcome::Taken { is_news: true };
    const NO_NEWS: Outcome = Outcome::Taken { is_news: false };

    fn name(name: &str) -> Name {
        Name::new(name).unwrap()
    }

    fn report(made: i64, whip: f64) -> Report {
        Report {
            made: UtcTime::from_unix_micros(made),
            is_draining: false,
            is_cut_off: false,
            down: Default::default(),
            loads: Loads {
                whip: Some(Load::new(whip)),
                turn: None,
            },
        }
    }

    #[test]
    fn reports_are_told_with_their_age_until_they_expire() {
        let (mut table, now) = (Table::default(), clock::now());
        table.handle_report(now, name("ams"), report(1, 0.5));
        table.handle_report(now + EXPIRY / 2, name("fra"), report(1, 0.0));
        let told = table.snapshot(now + EXPIRY);
        let ages = told.pops().iter().map(|of| (of.name.as_str(), of.age));
        assert_eq!(
            ages.collect::<Vec<_>>(),
            [("ams", EXPIRY), ("fra", EXPIRY / 2)]
        );
        assert_eq!(told.pops()[0].report, report(1, 0.5));
        let told = table.snapshot(now + EXPIRY + Duration::from_millis(1));
        assert_eq!(told.pops().len(), 1);
        assert_eq!(told.pops()[0].name, name("fra"));
    }

    #[test]
    fn news_are_what_nobody_should_wait_for() {
        let (mut table, now) = (Table::default(), clock::now());
        let mut take = |report| table.handle_report(now, name("ams"), report);
        assert_eq!(take(report(1, 0.0)), NEWS);
        assert_eq!(take(report(2, 0.09)), NO_NEWS);
        assert_eq!(take(report(3, 0.2)), NEWS);
        assert_eq!(take(report(4, 0.2)), NO_NEWS);
        let mut other = report(5, 0.2);
        other.is_draining = true;
        assert_eq!(take(other), NEWS);
        other.made = UtcTime::from_unix_micros(6);
        other.loads.turn = Some(Load::IDLE);
        assert_eq!(take(other), NEWS);
    }

    #[test]
    fn a_report_that_was_overtaken_changes_nothing() {
        let (mut table, now) = (Table::default(), clock::now());
        table.handle_report(now, name("ams"), report(2, 0.5));
        let late = table.handle_report(now, name("ams"), report(1, 0.0));
        assert_eq!(late, Outcome::Late);
        assert_eq!(table.snapshot(now).pops()[0].report, report(2, 0.5));
        let after = now + SILENCE + Duration::from_millis(1);
        let anew = table.handle_report(after, name("ams"), report(1, 0.5));
        assert_eq!(anew, NO_NEWS, "its clock was put back");
    }

    #[test]
    fn the_table_is_bounded_and_has_room_again_when_some_expire() {
        let (mut table, now) = (Table::default(), clock::now());
        for at in 0..MAX_POPS {
            table.handle_report(now, name(&at.to_string()), report(1, 0.0));
        }
        let more = table.handle_report(now, name("more"), report(1, 0.0));
        assert_eq!(more, Outcome::Full);
        let known = table.handle_report(now, name("7"), report(2, 0.0));
        assert_eq!(known, NO_NEWS);
        let after = now + EXPIRY + Duration::from_millis(1);
        assert_eq!(
            table.handle_report(after, name("more"), report(1, 0.0)),
            NEWS
        );
        assert_eq!(table.snapshot(after).pops().len(), 1);
    }

    #[test]
    fn those_that_drain_are_counted_apart() {
        let (mut table, now) = (Table::default(), clock::now());
        let draining = Report {
            is_draining: true,
            ..report(1, 0.0)
        };
        table.handle_report(now, name("ams"), draining);
        table.handle_report(now, name("fra"), report(1, 0.0));
        table.handle_report(now, name("lon"), report(1, 0.0));
        assert_eq!(table.counts(now), (2, 1));
        assert_eq!(table.counts(now + EXPIRY * 2), (0, 0));
    }
}
