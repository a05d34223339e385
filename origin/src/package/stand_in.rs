//! Whose pictures a rendition shows.
//!
//! Pure. A player that plays `720p` has read the multivariant playlist once and
//! will not read it again: when the machine cannot make 720p any more, a
//! playlist that stands still, or one of gap segments, is the end of the show
//! for most of them. So the rendition goes on with the pictures of the next
//! rung below that is made, from a segment's beginning, behind a discontinuity
//! and with that rung's `EXT-X-MAP`: what the player would do itself if it
//! switched down. It returns to its own in the same way. Who comes meanwhile
//! is not told of it at all, and DASH players leave it with the period.
//!
//! Rungs are encoded on threads of their own, so the first frame of the new
//! source may come before the last one of the old: then it waits.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use super::Init;

/// Frames of the new source that wait for the end of the old one: a second at
/// 30 frames per second. An end that does not come in that time was lost.
const MAX_WAITING: usize = 30;

/// Plans kept; there is one for each rung that goes or comes within a few
/// seconds. The oldest gives way.
const MAX_PLANS: usize = 16;

/// An encoded frame on its way into a rendition.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) number: u64,
    pub(super) idr: bool,
    pub(super) data: Bytes,
}

/// Who stands in for whom.
#[derive(Debug)]
pub(super) struct StandIns {
    /// Each rung's own init segment, once known.
    inits: Vec<Option<Arc<Init>>>,
    /// Rungs made from a segment on, oldest first; the first one counts from the
    /// beginning.
    plans: BTreeMap<u64, Vec<bool>>,
    channels: Vec<Channel>,
}

/// The way into one rendition.
#[derive(Debug)]
struct Channel {
    source: usize,
    /// The segment in which `source` took over.
    since: u64,
    waiting: VecDeque<Frame>,
}

/// What becomes of a frame in one rendition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It follows the last one.
    Goes,
    /// It is the rendition's first from another source.
    Switches,
    /// It waits for the old source's end.
    Waits,
    /// Its source's time there is over.
    Late,
}

impl StandIns {
    pub(super) fn new(rungs: usize) -> Self {
        let channel = |source| Channel {
            source,
            since: 0,
            waiting: VecDeque::new(),
        };
        Self {
            inits: vec![None; rungs],
            plans: BTreeMap::from([(0, vec![true; rungs])]),
            channels: (0..rungs).map(channel).collect(),
        }
    }

    pub(super) fn configure(&mut self, rung: usize, init: Arc<Init>) {
        if let Some(own) = self.inits.get_mut(rung) {
            *own = Some(init);
        }
    }

    /// A rung leaves with segment `from`, or returns with it.
    pub(super) fn plan(&mut self, rung: usize, is_made: bool, from: u64) {
        let mut made = self.made(from).to_vec();
        if let Some(own) = made.get_mut(rung) {
            *own = is_made;
        }
        self.plans.insert(from, made);
        // Made later than what lies behind it, so it counts there too.
        for (_, later) in self.plans.range_mut(from..) {
            if let Some(own) = later.get_mut(rung) {
                *own = is_made;
            }
        }
        if self.plans.len() > MAX_PLANS {
            self.plans.pop_first();
        }
    }

    /// Every rung is made again, from now on.
    pub(super) fn forget(&mut self) {
        let made = vec![true; self.inits.len()];
        self.plans = BTreeMap::from([(0, made)]);
        self.channels.iter_mut().for_each(|channel| {
            channel.since = 0;
            channel.waiting.clear();
        });
    }

    /// The segments after `segment` with which a rung leaves or returns.
    pub(super) fn after(&self, segment: u64) -> Vec<u64> {
        let later = self.plans.range(segment.saturating_add(1)..);
        later.map(|(from, _)| *from).collect()
    }

    /// Which rungs are made in a segment.
    fn made(&self, segment: u64) -> &[bool] {
        let plan = self.plans.range(..=segment).next_back();
        plan.or(self.plans.first_key_value())
            .map_or(&[], |(_, made)| made.as_slice())
    }

    /// The renditions that show another rung's pictures in a segment.
    pub(super) fn absent(&self, segment: u64) -> Vec<usize> {
        let made = self.made(segment).iter().enumerate();
        made.filter(|(_, is_made)| !**is_made)
            .map(|(rung, _)| rung)
            .collect()
    }

    /// The rung whose pictures a rendition shows in a segment: its own, or the
    /// next below that is made, or at the bottom of all the next above.
    fn source(&self, rendition: usize, segment: u64) -> usize {
        let made = self.made(segment);
        let is_made = |rung: &usize| made.get(*rung).is_some_and(|is_made| *is_made);
        let below = (rendition..made.len()).find(is_made);
        below
            .or_else(|| (0..rendition).rev().find(is_made))
            .unwrap_or(rendition)
    }

    /// The init segment that a rendition has in a segment.
    pub(super) fn init(&self, rendition: usize, segment: u64) -> Option<&Arc<Init>> {
        self.inits.get(self.source(rendition, segment))?.as_ref()
    }

    /// The init segment of the pictures that a rendition shows now.
    pub(super) fn present_init(&self, rendition: usize) -> Option<&Arc<Init>> {
        let channel = self.channels.get(rendition)?;
        self.inits.get(channel.source)?.as_ref()
    }

    /// The renditions that show a rung's pictures now.
    pub(super) fn shows(&self, rung: usize) -> Vec<usize> {
        let channels = self.channels.iter().enumerate();
        channels
            .filter(|(_, channel)| channel.source == rung)
            .map(|(index, _)| index)
            .collect()
    }

    /// The renditions that a rung's frame in `segment` goes to.
    pub(super) fn targets(&self, rung: usize, segment: u64) -> Vec<usize> {
        (0..self.channels.len())
            .filter(|rendition| self.source(*rendition, segment) == rung)
            .collect()
    }

    /// Judges a frame of `rung` in `segment` for a rendition. `is_whole` tells
    /// whether the rendition has all before the segment.
    pub(super) fn way(
        &mut self,
        rendition: usize,
        rung: usize,
        segment: u64,
        is_whole: bool,
    ) -> Way {
        let Some(channel) = self.channels.get_mut(rendition) else {
            return Way::Late;
        };
        if channel.source == rung {
            return Way::Goes;
        }
        if segment <= channel.since && channel.since > 0 {
            return Way::Late;
        }
        if !is_whole && channel.waiting.len() < MAX_WAITING {
            return Way::Waits;
        }
        channel.source = rung;
        channel.since = segment;
        Way::Switches
    }

    pub(super) fn hold(&mut self, rendition: usize, frame: Frame) {
        if let Some(channel) = self.channels.get_mut(rendition) {
            channel.waiting.push_back(frame);
        }
    }

    /// The frames that wait for a rendition.
    pub(super) fn release(&mut self, rendition: usize) -> VecDeque<Frame> {
        let channel = self.channels.get_mut(rendition);
        channel.map_or_else(VecDeque::new, |it| std::mem::take(&mut it.waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_rung_below_stands_in() {
        let mut plans = StandIns::new(3);
        plans.plan(0, false, 10);
        plans.plan(1, false, 12);
        let sources = |plans: &StandIns, segment| [0, 1, 2].map(|it| plans.source(it, segment));
        assert_eq!(sources(&plans, 9), [0, 1, 2]);
        assert_eq!(sources(&plans, 10), [1, 1, 2]);
        assert_eq!(sources(&plans, 12), [2, 2, 2]);
        assert_eq!(plans.absent(12), [0, 1]);
        plans.plan(1, true, 40);
        assert_eq!(sources(&plans, 40), [1, 1, 2]);
        assert_eq!(plans.targets(1, 40), [0, 1]);
        plans.forget();
        assert_eq!(sources(&plans, 11), [0, 1, 2]);
    }

    #[test]
    fn a_later_word_counts_in_what_was_planned_behind_it() {
        let mut plans = StandIns::new(3);
        plans.plan(0, false, 10);
        plans.plan(0, true, 14);
        plans.plan(0, false, 13);
        assert_eq!(plans.absent(14), [0]);
    }

    #[test]
    fn the_first_frame_of_the_new_source_waits_for_the_last_of_the_old() {
        let mut plans = StandIns::new(2);
        plans.plan(0, false, 10);
        assert_eq!(plans.way(0, 0, 9, false), Way::Goes);
        for _ in 0..MAX_WAITING {
            assert_eq!(plans.way(0, 1, 10, false), Way::Waits);
            plans.hold(
                0,
                Frame {
                    number: 0,
                    idr: true,
                    data: Bytes::new(),
                },
            );
        }
        assert_eq!(plans.way(0, 1, 10, false), Way::Switches, "it was lost");
        assert_eq!(plans.release(0).len(), MAX_WAITING);
        assert_eq!(plans.way(0, 0, 9, false), Way::Late);
    }

    #[test]
    fn plans_are_bounded() {
        let mut plans = StandIns::new(2);
        for round in 0..100 {
            plans.plan(0, round % 2 == 1, 10 + round);
        }
        assert!(plans.plans.len() <= MAX_PLANS);
        assert_eq!(plans.absent(108), [0]);
        assert_eq!(plans.absent(200), [0; 0]);
    }
}
