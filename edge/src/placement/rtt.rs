//! Round trips of any number of sessions in a few numbers: how many were in which span,
//! and the longest.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// Upper ends of the spans, in ms; a third apart at most where presenters are. What is
/// longer than the last counts there.
pub(super) const BOUNDS: [u32; 20] = [
    5, 10, 15, 20, 30, 40, 50, 65, 80, 100, 130, 160, 200, 250, 320, 400, 500, 750, 1_000, 60_000,
];

/// Round trips, one of each session that has one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rtts {
    /// How many were in each span, by its upper end in ms.
    spans: BTreeMap<u32, u64>,
    /// The longest, in ms; 0 without any.
    worst_ms: f64,
}

impl Rtts {
    /// Adds a session's.
    pub fn add(&mut self, rtt: Duration) {
        let millis = rtt.as_secs_f64() * 1e3;
        let [.., last] = BOUNDS;
        let mut bounds = BOUNDS.into_iter();
        let bound = bounds.find(|bound| millis <= f64::from(*bound));
        let count = self.spans.entry(bound.unwrap_or(last)).or_default();
        *count = count.saturating_add(1);
        // Hundredths are more than the network leaves exact.
        self.worst_ms = self.worst_ms.max((millis * 100.0).round() / 100.0);
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        for (bound, more) in &other.spans {
            let count = self.spans.entry(*bound).or_default();
            *count = count.saturating_add(*more);
        }
        self.worst_ms = self.worst_ms.max(other.worst_ms);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        let counts = self.spans.values();
        counts.fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The longest, in ms; `None` without any.
    pub fn worst_ms(&self) -> Option<f64> {
        (!self.spans.is_empty()).then_some(self.worst_ms)
    }

    /// The one that half of them are below, in ms, as if those of a span lay evenly in
    /// it; `None` without any.
    pub fn median_ms(&self) -> Option<f64> {
        let half = self.count() as f64 / 2.0;
        let mut below = 0.0;
        for (bound, count) in &self.spans {
            let count = *count as f64;
            if below + count >= half {
                let lower = BOUNDS.into_iter().rfind(|lower| lower < bound);
                let (lower, upper) = (f64::from(lower.unwrap_or(0)), f64::from(*bound));
                let upper = upper.min(self.worst_ms);
                let millis = lower + (upper - lower) * (half - below) / count;
                return Some((millis * 10.0).round() / 10.0);
            }
            below += count;
        }
        None
    }

    /// Whether [`Rtts::add`] can have made it.
    pub(super) fn is_sound(&self) -> bool {
        let is_known = |bound: &u32| BOUNDS.contains(bound);
        let longest = self.spans.keys().next_back();
        let lower = longest.and_then(|longest| BOUNDS.into_iter().rfind(|it| it < longest));
        self.spans.keys().all(is_known)
            && self.spans.values().all(|count| *count > 0)
            && self.worst_ms.is_finite()
            && self.worst_ms >= f64::from(lower.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(millis: &[u64]) -> Rtts {
        let mut rtts = Rtts::default();
        for millis in millis {
            rtts.add(Duration::from_millis(*millis));
        }
        rtts
    }

    #[test]
    fn without_any_nothing_is_known() {
        let none = Rtts::default();
        assert_eq!((none.median_ms(), none.worst_ms()), (None, None));
        assert!(none.is_sound());
    }

    #[test]
    fn the_median_lies_within_its_span_and_the_worst_is_exact() {
        // Two in 30–40, one in 160–200: the middle is three quarters into the first.
        let rtts = of(&[35, 38, 170]);
        assert_eq!(rtts.median_ms(), Some(37.5));
        assert_eq!(rtts.worst_ms(), Some(170.0));
        // Nothing is said to be longer than the longest.
        assert_eq!(of(&[170]).median_ms(), Some(165.0));
    }

    #[test]
    fn what_is_endless_counts_in_the_last_span() {
        let rtts = of(&[3_600_000]);
        assert_eq!(rtts.spans, BTreeMap::from([(60_000, 1)]));
        assert_eq!(rtts.worst_ms(), Some(3_600_000.0));
    }

    #[test]
    fn what_nobody_can_have_made_is_not_sound() {
        let read = |text: &str| serde_json::from_str::<Rtts>(text).unwrap();
        for text in [
            r#"{"spans": {"41": 1}, "worst_ms": 41.0}"#,
            r#"{"spans": {"40": 0}, "worst_ms": 35.0}"#,
            r#"{"spans": {"40": 1}, "worst_ms": 3.0}"#,
            r#"{"spans": {}, "worst_ms": -1.0}"#,
        ] {
            assert!(!read(text).is_sound(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn to_merge_is_to_add_all(
            a in prop::collection::vec(0..2_000_u64, 0..40),
            b in prop::collection::vec(0..2_000_u64, 1..40),
        ) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let all = of(&[a, b].concat());
            prop_assert_eq!(&merged, &all);
            prop_assert!(all.is_sound());
            prop_assert!(all.median_ms() <= all.worst_ms());
            let text = serde_json::to_string(&all).unwrap();
            prop_assert_eq!(serde_json::from_str::<Rtts>(&text).unwrap(), all);
        }
    }
}
