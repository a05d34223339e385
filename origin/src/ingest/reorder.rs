//! Puts packets back in order, waiting for missing ones until a deadline.
//!
//! A sender may put each frame on a QUIC stream of its own, and the presenter
//! answers NACKs late, so order is by sequence number alone. A packet that is
//! not there when its deadline passes is given up: the hole is reported once,
//! and everything behind it flows on.
//!
//! How long to wait is learned: nobody here knows the way between presenter and
//! edge, but each packet that fills a hole, in time or too late, tells how long a
//! retransmission takes on it.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};

use inlet_common::rtp::{Extender, Packet, SeqNo};

/// Most packets held back at once: a key frame of 1 MB at 1,200 bytes, twice.
/// Past it the oldest hole is given up at once.
const MAX_HELD: usize = 2048;

/// A jump by more than this is a new beginning and no loss: the sender started
/// its sequence anew.
const MAX_JUMP: u64 = 4096;

/// The longest that is learned: what comes later than this is later than the
/// schedule waits for.
const MAX_LEARNED: Duration = Duration::from_millis(350);

/// Added to how long a retransmission took.
const LEARNED_MARGIN: f64 = 1.25;

/// After so long without a retransmission as slow, less is waited for.
const FORGET_AFTER: Duration = Duration::from_secs(10);

/// What comes out, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// The next packet, and when it arrived.
    Packet(Packet),
    /// So many packets are missing here for good; none where the sender began
    /// its sequence anew, and nobody knows what lay between.
    Hole(u64),
}

/// What became of a packet that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It will come out in its place.
    InOrder,
    /// It was here already.
    Duplicate,
    /// Its place has passed.
    Late,
}

/// The buffer of one source.
#[derive(Debug)]
pub(super) struct Reorder {
    patience: Duration,
    learned: Duration,
    /// When a retransmission last took about as long as was learned.
    learned_at: Option<Instant>,
    /// The hole that was given up last, and since when it was waited for.
    given_up: Option<(Range<SeqNo>, Instant)>,
    extender: Extender,
    next: Option<SeqNo>,
    held: BTreeMap<SeqNo, (Instant, Packet)>,
    /// The sequence began anew, which has not been told yet.
    has_jumped: bool,
}

impl Reorder {
    /// A buffer that waits `patience` for a missing packet.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            learned: Duration::ZERO,
            learned_at: None,
            given_up: None,
            extender: Extender::default(),
            next: None,
            held: BTreeMap::new(),
            has_jumped: false,
        }
    }

    /// Waits so long from now on.
    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Takes a packet.
    pub(super) fn insert(&mut self, now: Instant, packet: Packet) -> Taken {
        let mut number = self.extender.extend(packet.header.sequence);
        if let Some(next) = self.next
            && number.0.abs_diff(next.0) > MAX_JUMP
        {
            self.held.clear();
            self.has_jumped = true;
            self.extender = Extender::default();
            number = self.extender.extend(packet.header.sequence);
            self.next = None;
        }
        let next = *self.next.get_or_insert(number);
        self.learn(now, number);
        if number < next {
            return Taken::Late;
        }
        if self.held.insert(number, (now, packet)).is_some() {
            return Taken::Duplicate;
        }
        Taken::InOrder
    }

    /// The next step that is due at `now`.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Step> {
        let next = self.next?;
        let (&first, (arrived, _)) = self.held.first_key_value()?;
        if std::mem::take(&mut self.has_jumped) {
            return Some(Step::Hole(0));
        }
        if first > next {
            let arrived = *arrived;
            let is_due = arrived + self.patience() <= now || self.held.len() > MAX_HELD;
            if !is_due {
                return None;
            }
            self.given_up = Some((next..first, arrived));
            self.next = Some(first);
            return Some(Step::Hole(first.0 - next.0));
        }
        let (number, (_, packet)) = self.held.pop_first()?;
        self.next = Some(number.next());
        Some(Step::Packet(packet))
    }

    /// When the oldest hole is given up; `None` while there is none.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let (&first, (arrived, _)) = self.held.first_key_value()?;
        (Some(first) > self.next).then(|| *arrived + self.patience())
    }

    fn patience(&self) -> Duration {
        self.patience.max(self.learned)
    }

    /// How long a hole has waited for this packet says how long the next one will.
    fn learn(&mut self, now: Instant, number: SeqNo) {
        let waited_since = match (self.next, self.held.first_key_value()) {
            (Some(next), Some((&first, (arrived, _)))) if (next..first).contains(&number) => {
                Some(*arrived)
            }
            _ => (self.given_up.as_ref())
                .filter(|(hole, _)| hole.contains(&number))
                .map(|(_, since)| *since),
        };
        if let Some(since) = waited_since {
            let took = now.saturating_duration_since(since).mul_f64(LEARNED_MARGIN);
            let took = took.min(MAX_LEARNED);
            if took.mul_f64(LEARNED_MARGIN) >= self.learned {
                self.learned = self.learned.max(took);
                self.learned_at = Some(now);
            }
        }
        if self.learned_at.is_some_and(|at| now >= at + FORGET_AFTER) {
            self.learned = self.learned.mul_f64(0.5);
            self.learned_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use inlet_common::{
        clock,
        rtp::{Header, Ssrc},
    };
    use proptest::prelude::*;

    use super::*;

    fn packet(sequence: u16) -> Packet {
        let header = Header {
            marker: false,
            payload_type: 96,
            sequence,
            timestamp: 0,
            ssrc: Ssrc(1),
        };
        let mut wire = Vec::new();
        header.encode(&[], &mut wire);
        Packet::decode(&Bytes::from(wire)).unwrap()
    }

    fn drain(reorder: &mut Reorder, now: Instant) -> Vec<i64> {
        std::iter::from_fn(|| reorder.poll(now))
            .map(|step| match step {
                Step::Packet(packet) => i64::from(packet.header.sequence),
                Step::Hole(missing) => -i64::try_from(missing).unwrap(),
            })
            .collect()
    }

    #[test]
    fn a_late_packet_fills_its_hole() {
        let now = clock::now();
        let mut reorder = Reorder::new(Duration::from_millis(50));
        reorder.insert(now, packet(65_535));
        reorder.insert(now, packet(1));
        assert_eq!(drain(&mut reorder, now), [65_535]);
        reorder.insert(now, packet(0));
        assert_eq!(drain(&mut reorder, now), [0, 1]);
        assert_eq!(reorder.insert(now, packet(0)), Taken::Late);
    }

    #[test]
    fn a_missing_packet_is_given_up_at_its_deadline() {
        let now = clock::now();
        let patience = Duration::from_millis(50);
        let mut reorder = Reorder::new(patience);
        reorder.insert(now, packet(1));
        reorder.insert(now, packet(4));
        assert_eq!(drain(&mut reorder, now), [1]);
        assert_eq!(reorder.next_timeout(), Some(now + patience));
        assert_eq!(drain(&mut reorder, now + patience), [-2, 4]);
        assert_eq!(reorder.next_timeout(), None);
    }

    #[test]
    fn what_came_too_late_is_waited_for_the_next_time() {
        let (mut now, late) = (clock::now(), Duration::from_millis(200));
        let mut reorder = Reorder::new(Duration::from_millis(50));
        reorder.insert(now, packet(1));
        reorder.insert(now, packet(3));
        assert_eq!(drain(&mut reorder, now + late), [1, -1, 3]);
        assert_eq!(reorder.insert(now + late, packet(2)), Taken::Late);
        now += Duration::from_secs(1);
        reorder.insert(now, packet(5));
        assert!(drain(&mut reorder, now + late).is_empty());
        reorder.insert(now + late, packet(4));
        assert_eq!(drain(&mut reorder, now + late), [4, 5]);
        // What was only sent twice teaches nothing, and a while without a hole is
        // forgotten what there was.
        now += Duration::from_secs(9);
        reorder.insert(now, packet(4));
        for second in 0..60 {
            reorder.insert(now + Duration::from_secs(second), packet(6));
        }
        assert_eq!(reorder.patience(), Duration::from_millis(50));
    }

    #[test]
    fn a_packet_that_comes_hours_late_is_not_waited_for() {
        let now = clock::now();
        let mut reorder = Reorder::new(Duration::from_millis(50));
        reorder.insert(now, packet(1));
        reorder.insert(now, packet(3));
        drain(&mut reorder, now + Duration::from_secs(1));
        reorder.insert(now + Duration::from_secs(9), packet(2));
        assert_eq!(reorder.patience(), MAX_LEARNED);
    }

    #[test]
    fn a_new_sequence_is_a_hole_without_loss() {
        let now = clock::now();
        let mut reorder = Reorder::new(Duration::from_millis(50));
        reorder.insert(now, packet(1));
        assert_eq!(drain(&mut reorder, now), [1]);
        reorder.insert(now, packet(30_000));
        assert_eq!(drain(&mut reorder, now), [0, 30_000]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let now = clock::now();
        let mut reorder = Reorder::new(Duration::from_secs(9));
        reorder.insert(now, packet(0));
        drain(&mut reorder, now);
        for sequence in 0..4000 {
            reorder.insert(now, packet(2 + sequence));
            drain(&mut reorder, now);
            assert!(reorder.held.len() <= MAX_HELD + 1);
        }
    }

    proptest! {
        #[test]
        fn any_order_within_patience_comes_out_in_order(
            order in Just((0_u16..200).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let now = clock::now();
            let mut reorder = Reorder::new(Duration::from_millis(50));
            reorder.insert(now, packet(65_535));
            let mut seen = drain(&mut reorder, now);
            for sequence in order {
                reorder.insert(now, packet(sequence));
                seen.extend(drain(&mut reorder, now));
            }
            let expected = std::iter::once(65_535).chain(0..200).collect::<Vec<i64>>();
            prop_assert_eq!(seen, expected);
        }
    }
}
