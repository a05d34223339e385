//! Puts packets back in order, waiting for missing ones until a deadline.
//!
//! A sender may put each frame on a QUIC stream of its own, and the presenter
//! answers NACKs late, so order is by sequence number alone. A packet that is
//! not there when its deadline passes is given up: the hole is reported once,
//! and everything behind it flows on.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use inlet_common::rtp::{Extender, Packet, SeqNo};

/// Most packets held back at once: a key frame of 1 MB at 1,200 bytes, twice.
/// Past it the oldest hole is given up at once.
const MAX_HELD: usize = 2048;

/// A jump by more than this is a new beginning and no loss: the sender started
/// its sequence anew.
const MAX_JUMP: u64 = 4096;

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
            let is_due = *arrived + self.patience <= now || self.held.len() > MAX_HELD;
            if !is_due {
                return None;
            }
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
        (Some(first) > self.next).then(|| *arrived + self.patience)
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
