//! The stream's periods: those that were, the one that is, and those announced.
//!
//! Pure. A period that a presenter's return or a lost worker brings about is
//! known with its first segment. One in which a rung leaves or returns is known
//! some seconds before, and is announced: DASH players have only what the MPD
//! said, and would take the new pictures for the old ones until they look again.

use std::{collections::VecDeque, sync::Arc};

use super::{Init, Period};
use crate::timeline::MediaTime;

/// Periods in a manifest. A presenter who leaves and returns more often than
/// this within a window loses the oldest periods.
const MAX_PERIODS: usize = 16;

/// Oldest first; at the end those that are only announced.
#[derive(Debug, Default)]
pub(super) struct Periods {
    list: VecDeque<Period>,
    /// First segment of the newest period that has begun.
    begun: u64,
}

impl Periods {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Period> {
        self.list.iter()
    }

    /// Whether a break at `segment` is news.
    pub(super) fn is_before(&self, segment: u64) -> bool {
        self.list.is_empty() || self.begun < segment
    }

    /// A period begins. The last one ended at `end`, unless this one was
    /// announced: then it ends where this one begins.
    pub(super) fn begin(&mut self, period: Period, end: Option<MediaTime>) {
        let begun = period.first_segment;
        if self.list.iter().all(|known| known.first_segment != begun) {
            self.withdraw();
            self.close(end);
            self.list.push_back(period);
            self.bound();
        }
        self.begun = begun;
    }

    /// Announces a period, whose first segment begins at `start`.
    pub(super) fn announce(&mut self, period: Period, start: MediaTime) {
        let segment = period.first_segment;
        if self.list.is_empty() || segment <= self.begun {
            return;
        }
        let is_before = |known: &Period| known.first_segment < segment;
        let place = self.list.partition_point(is_before);
        if let Some(known) = self
            .list
            .get_mut(place)
            .filter(|known| known.first_segment == segment)
        {
            (known.inits, known.absent) = (period.inits, period.absent);
            return;
        }
        let next = place
            .checked_sub(1)
            .and_then(|last| self.list.get_mut(last));
        let end = next.and_then(|last| last.end.replace(start));
        self.list.insert(place, Period { end, ..period });
        self.bound();
    }

    /// Takes back what is only announced.
    pub(super) fn withdraw(&mut self) {
        let begun = self.begun;
        while self
            .list
            .pop_back_if(|period| period.first_segment > begun)
            .is_some()
        {
            if let Some(last) = self.list.back_mut() {
                last.end = None;
            }
        }
    }

    /// The period that goes on has ended.
    pub(super) fn close(&mut self, end: Option<MediaTime>) {
        if let Some(last) = self.list.back_mut().filter(|last| last.end.is_none()) {
            last.end = end;
        }
    }

    /// The period that goes on gets its init segments anew. Returns whether there
    /// is one.
    pub(super) fn forget_inits(&mut self) -> bool {
        let Some(last) = self.list.back_mut().filter(|last| last.end.is_none()) else {
            return false;
        };
        last.inits.clear();
        true
    }

    /// Gives init segments to the periods that have none.
    pub(super) fn fill(&mut self, inits: impl Fn(u64) -> Vec<Option<Arc<Init>>>) {
        let empty = self.list.iter_mut().filter(|it| it.inits.is_empty());
        empty.for_each(|it| it.inits = inits(it.first_segment));
    }

    /// Changes what the periods say of renditions, where they say something.
    pub(super) fn rearrange(&mut self, change: impl FnMut(&mut Period)) {
        let known = self.list.iter_mut().filter(|it| !it.inits.is_empty());
        known.for_each(change);
    }

    /// Forgets what ended before `oldest`.
    pub(super) fn forget_before(&mut self, oldest: MediaTime) {
        let is_old = |period: &Period| period.end.is_some_and(|end| end < oldest);
        while self.list.len() > 1 && self.list.front().is_some_and(is_old) {
            self.list.pop_front();
        }
    }

    fn bound(&mut self) {
        if self.list.len() > MAX_PERIODS {
            self.list.pop_front();
        }
    }
}
