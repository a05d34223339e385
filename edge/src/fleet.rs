//! How the other points of presence do, as far as this one has heard.
//!
//! What is heard is merged and forgotten by age alone: somebody who is missing from
//! what one origin tells, as right after its restart, is as well known as before until
//! its last report is too old. Then it is unknown, which is not the same as down.
//!
//! The origin tells of all, and each can be asked itself ([`ask`]): of what comes by both
//! ways the later report counts.

pub mod ask;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use inlet_common::roq::pop::{self, EXPIRY, Fleet, MAX_POPS, Name, Report};

/// The latest report of a point of presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What it says of itself.
    pub report: Report,
    /// When it came to whoever told of it, or its maker was asked.
    pub at: Instant,
}

impl Heard {
    /// How old it is.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}

/// All that was heard, at most [`MAX_POPS`]. Reading takes no lock.
#[derive(Debug, Default)]
pub struct Reports {
    heard: ArcSwap<BTreeMap<Name, Heard>>,
}

impl Reports {
    /// Takes a FLEET that came at `now`.
    pub fn handle_fleet(&self, now: Instant, fleet: &Fleet) {
        self.heard.rcu(|heard| merged(heard, now, fleet));
    }

    /// Takes what `name` has said to whoever asked it at `asked`: not when the answer came,
    /// or one that was long under way would count as fresh.
    pub fn handle_answer(&self, now: Instant, name: Name, asked: Instant, report: Report) {
        let age = now.saturating_duration_since(asked);
        let told = pop::Heard { name, age, report };
        self.handle_fleet(now, &Fleet::new([told]));
    }

    /// Who was heard of lately, this point of presence among them when the origin tells
    /// of it. Reports grow old while nobody tells of newer ones: look at
    /// [`Heard::age`], and take none that is older than [`EXPIRY`].
    pub fn heard(&self) -> Arc<BTreeMap<Name, Heard>> {
        self.heard.load_full()
    }
}

fn merged(heard: &BTreeMap<Name, Heard>, now: Instant, fleet: &Fleet) -> BTreeMap<Name, Heard> {
    let mut heard = heard.clone();
    heard.retain(|_, held| held.age(now) <= EXPIRY);
    for told in fleet.pops() {
        let at = now.checked_sub(told.age);
        let Some(at) = at.filter(|_| told.age <= EXPIRY) else {
            continue;
        };
        let report = told.report;
        let is_newer = match heard.get(&told.name) {
            Some(held) => report.supersedes(&held.report, held.age(now)),
            None => heard.len() < MAX_POPS,
        };
        if is_newer {
            heard.insert(told.name.clone(), Heard { report, at });
        }
    }
    heard
}

#[cfg(test)]
mod tests {
    use inlet_common::{
        clock::{self, UtcTime},
        roq::pop::{Load, Loads, SILENCE},
    };

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn report(made: i64) -> Report {
        Report {
            made: UtcTime::from_unix_micros(made),
            is_draining: false,
            is_cut_off: false,
            down: Default::default(),
            loads: Loads {
                whip: Some(Load::IDLE),
                turn: None,
            },
        }
    }

    fn told(name: &str, age: Duration, report: Report) -> pop::Heard {
        let name = Name::new(name).unwrap();
        pop::Heard { name, age, report }
    }

    fn names(reports: &Reports) -> Vec<String> {
        let heard = reports.heard();
        heard.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_told_is_dated_by_the_own_clock() {
        let (reports, now) = (Reports::default(), clock::now() + EXPIRY);
        let fleet = Fleet::new([told("ams", SECOND, report(1))]);
        reports.handle_fleet(now, &fleet);
        let heard = *reports.heard().values().next().unwrap();
        assert_eq!(heard.report, report(1));
        assert_eq!(heard.age(now + SECOND), 2 * SECOND);
    }

    #[test]
    fn who_is_not_told_of_is_forgotten_by_age_alone() {
        let (reports, now) = (Reports::default(), clock::now() + EXPIRY);
        reports.handle_fleet(now, &Fleet::new([told("ams", SECOND, report(1))]));
        let other = Fleet::new([told("fra", Duration::ZERO, report(1))]);
        reports.handle_fleet(now + EXPIRY - SECOND, &other);
        assert_eq!(names(&reports), ["ams", "fra"]);
        reports.handle_fleet(now + EXPIRY, &other);
        assert_eq!(names(&reports), ["fra"]);
    }

    #[test]
    fn an_older_report_changes_nothing_and_the_same_is_not_made_younger() {
        let (reports, now) = (Reports::default(), clock::now() + EXPIRY);
        let latest = told("ams", Duration::ZERO, report(2));
        reports.handle_fleet(now, &Fleet::new([latest.clone()]));
        for stale in [told("ams", Duration::ZERO, report(1)), latest] {
            reports.handle_fleet(now + SECOND, &Fleet::new([stale]));
        }
        let heard = *reports.heard().values().next().unwrap();
        assert_eq!((heard.report, heard.at), (report(2), now));
        let reset = told("ams", Duration::ZERO, report(1));
        reports.handle_fleet(now + SILENCE + SECOND, &Fleet::new([reset]));
        let heard = *reports.heard().values().next().unwrap();
        assert_eq!(heard.report, report(1), "its clock was put back");
    }

    /// By both ways, in whatever order: it counts once, and the later one does.
    #[test]
    fn what_is_told_and_what_is_answered_are_one() {
        let (reports, now) = (Reports::default(), clock::now() + EXPIRY);
        let name = || Name::new("ams").unwrap();
        let last = || *reports.heard().values().next().unwrap();
        reports.handle_fleet(now, &Fleet::new([told("ams", SECOND, report(1))]));
        reports.handle_answer(now + 2 * SECOND, name(), now + SECOND, report(3));
        assert_eq!((last().report, last().at), (report(3), now + SECOND));
        // The origin tells what was said before that.
        let late = Fleet::new([told("ams", Duration::ZERO, report(2))]);
        reports.handle_fleet(now + 3 * SECOND, &late);
        assert_eq!(last().report, report(3));
        let news = Fleet::new([told("ams", Duration::ZERO, report(4))]);
        reports.handle_fleet(now + 4 * SECOND, &news);
        assert_eq!(last().report, report(4));
        assert_eq!(reports.heard().len(), 1);
    }

    #[test]
    fn what_is_too_old_is_not_taken_at_all() {
        let (reports, now) = (Reports::default(), clock::now() + EXPIRY);
        let old = [EXPIRY + SECOND, Duration::MAX];
        for age in old {
            reports.handle_fleet(now, &Fleet::new([told("ams", age, report(1))]));
        }
        assert!(names(&reports).is_empty());
    }

    #[test]
    fn what_several_tell_of_is_bounded() {
        let (reports, now) = (Reports::default(), clock::now() + EXPIRY);
        for teller in ["a", "b"] {
            let pops = (0..MAX_POPS).map(|at| {
                let name = format!("{teller}{at}");
                told(&name, Duration::ZERO, report(1))
            });
            reports.handle_fleet(now, &Fleet::new(pops));
        }
        assert_eq!(reports.heard().len(), MAX_POPS);
        assert!(names(&reports).iter().all(|name| name.starts_with('a')));
    }
}
