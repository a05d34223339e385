//! When each of many things wants to be looked at.
//!
//! A deadline is only ever moved forward here: one that has moved away is found
//! out when it comes, which is cheaper than to move it with every packet. So
//! whoever is called early looks at its own clock and schedules itself anew.

use std::{collections::BTreeSet, time::Instant};

/// Deadlines of things in a slab, by their keys.
#[derive(Debug, Default)]
pub struct Schedule {
    by_time: BTreeSet<(Instant, usize)>,
    /// By key; as long as the slab has ever been.
    by_key: Vec<Option<Instant>>,
}

impl Schedule {
    /// Calls `key` at `at`, or earlier if that has been asked for.
    pub fn set(&mut self, key: usize, at: Instant) {
        if self.by_key.len() <= key {
            self.by_key.resize(key + 1, None);
        }
        let Some(scheduled) = self.by_key.get_mut(key) else {
            return;
        };
        if scheduled.is_some_and(|earlier| earlier <= at) {
            return;
        }
        if let Some(later) = scheduled.replace(at) {
            self.by_time.remove(&(later, key));
        }
        self.by_time.insert((at, key));
    }

    /// Forgets `key`, whose thing has ended.
    pub fn remove(&mut self, key: usize) {
        if let Some(at) = self.by_key.get_mut(key).and_then(Option::take) {
            self.by_time.remove(&(at, key));
        }
    }

    /// The next deadline.
    pub fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The next key whose deadline has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let &(at, key) = self.by_time.first().filter(|(at, _)| *at <= now)?;
        self.by_time.remove(&(at, key));
        if let Some(scheduled) = self.by_key.get_mut(key) {
            *scheduled = None;
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use inlet_common::clock;

    use super::*;

    #[test]
    fn keys_come_when_they_are_due_and_once() {
        let (mut schedule, now) = (Schedule::default(), clock::now());
        let at = |millis| now + Duration::from_millis(millis);
        schedule.set(3, at(30));
        schedule.set(1, at(10));
        schedule.set(3, at(20));
        schedule.set(1, at(40));
        assert_eq!(schedule.next(), Some(at(10)));
        assert_eq!(schedule.pop_due(at(5)), None);
        assert_eq!(schedule.pop_due(at(20)), Some(1));
        assert_eq!(schedule.pop_due(at(20)), Some(3));
        assert_eq!(schedule.pop_due(at(99)), None);
        schedule.set(3, at(50));
        schedule.remove(3);
        assert_eq!(schedule.next(), None);
    }
}
