//! A request that waits for its answer, and when it is sent again (RFC 8489 §6.2.1).
//!
//! deviates: RFC 8489 §6.2.1 begins with an RTO of 500 ms or more. A probe sends a few
//! small messages in some seconds whatever becomes of them, and has to tell soon where
//! nobody is; so it begins with less, and goes on with what it measures (RFC 6298 §2). It
//! does not count its retransmissions either: its end comes long before the seventh.

use std::time::{Duration, Instant};

use crate::turn::wire::{Class, Message, Method, TransactionId};

/// RTO before anything is measured: the longest way around the Earth and back.
const FIRST_RTO: Duration = Duration::from_millis(300);

/// Least RTO: what a busy machine may take to answer.
const MIN_RTO: Duration = Duration::from_millis(100);

/// Greatest RTO at the start of a transaction: twice the longest round trip that there
/// should be, so that nothing is sent twice that was not lost.
const MAX_RTO: Duration = Duration::from_millis(1_000);

/// How soon a request to one server is sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    is_reliable: bool,
    rto: Duration,
}

impl Pace {
    /// Nothing is measured yet. A reliable transport sends nothing again.
    pub(super) const fn new(is_reliable: bool) -> Self {
        Self {
            is_reliable,
            rto: FIRST_RTO,
        }
    }

    pub(super) const fn is_reliable(&self) -> bool {
        self.is_reliable
    }

    /// The interval before the first retransmission.
    pub(super) const fn rto(&self) -> Duration {
        self.rto
    }

    /// Learns from the answer to a request, which has come at `now`: SRTT + 4 · RTTVAR of
    /// a first measurement is three times the round trip (RFC 6298 §2.2). Where it may be
    /// to a repeated one, that was too early perhaps, and the next waits as long as it did
    /// (RFC 6298 §5.5, Karn's algorithm): or on a long way none would ever be measured.
    pub(super) fn learn_from(&mut self, request: &Transaction, now: Instant) {
        match (request.round_trip(now), request.again) {
            (Some(round_trip), _) => self.learn(round_trip),
            (None, Some((_, interval))) => self.rto = interval.min(MAX_RTO),
            (None, None) => {}
        }
    }

    fn learn(&mut self, round_trip: Duration) {
        self.rto = round_trip.saturating_mul(3).clamp(MIN_RTO, MAX_RTO);
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Transaction {
    id: TransactionId,
    method: Method,
    message: Vec<u8>,
    begun: Instant,
    is_repeated: bool,
    /// When to send again, and the interval up to then.
    again: Option<(Instant, Duration)>,
}

impl Transaction {
    /// Begins with a message that is sent now.
    pub(super) fn begin(
        now: Instant,
        method: Method,
        id: TransactionId,
        message: Vec<u8>,
        pace: &Pace,
    ) -> Self {
        let again = (!pace.is_reliable).then(|| (now + pace.rto, pace.rto));
        Self {
            id,
            method,
            message,
            begun: now,
            is_repeated: false,
            again,
        }
    }

    /// Whether a message is its answer.
    pub(super) fn is_answered_by(&self, message: &Message<'_>) -> bool {
        let is_answer = matches!(message.class, Class::Success | Class::Error);
        is_answer && message.method == self.method && message.transaction == self.id
    }

    /// How long an answer took that has come now. Unknown after a retransmission: it
    /// may be to either (Karn's algorithm, RFC 6298 §3).
    fn round_trip(&self, now: Instant) -> Option<Duration> {
        (!self.is_repeated).then(|| now.saturating_duration_since(self.begun))
    }

    /// The message, when it is to be sent again; each interval is twice the last.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Vec<u8>> {
        let (_, interval) = self.again.filter(|(at, _)| *at <= now)?;
        self.is_repeated = true;
        self.again = Some((now + interval * 2, interval * 2));
        Some(self.message.clone())
    }

    /// When [`Transaction::handle_timeout`] is due.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.again.map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use inlet_common::clock;

    use super::*;

    fn transaction(now: Instant, pace: &Pace) -> Transaction {
        Transaction::begin(now, Method::Binding, TransactionId([1; 12]), vec![7], pace)
    }

    #[test]
    fn intervals_double() {
        let begun = clock::now();
        let mut transaction = transaction(begun, &Pace::new(false));
        let mut sent = Vec::new();
        while let Some(at) = transaction.next_timeout().filter(|_| sent.len() < 3) {
            assert_eq!(
                transaction.handle_timeout(at - Duration::from_nanos(1)),
                None
            );
            assert_eq!(transaction.handle_timeout(at), Some(vec![7]));
            sent.push((at - begun).as_millis());
        }
        assert_eq!(sent, [300, 900, 2_100]);
    }

    #[test]
    fn a_connection_repeats_nothing() {
        let now = clock::now();
        let mut transaction = transaction(now, &Pace::new(true));
        assert_eq!(transaction.next_timeout(), None);
        assert_eq!(transaction.handle_timeout(now + MAX_RTO * 100), None);
    }

    #[test]
    fn what_is_measured_sets_the_pace_within_bounds() {
        let mut pace = Pace::new(false);
        for (round_trip, rto) in [(1, 100), (80, 240), (900, 1_000)] {
            pace.learn(Duration::from_millis(round_trip));
            assert_eq!(pace.rto().as_millis(), rto);
        }
    }

    #[test]
    fn an_answer_to_a_repeated_request_measures_nothing() {
        let now = clock::now();
        let mut transaction = transaction(now, &Pace::new(false));
        let later = now + Duration::from_millis(40);
        assert_eq!(transaction.round_trip(later), Some(later - now));
        let at = transaction.next_timeout().unwrap();
        assert!(transaction.handle_timeout(at).is_some());
        assert_eq!(transaction.round_trip(at), None);
        // And the next one is as patient as this one has become.
        let mut pace = Pace::new(false);
        pace.learn_from(&transaction, at);
        assert_eq!(pace.rto(), 2 * FIRST_RTO);
    }
}
