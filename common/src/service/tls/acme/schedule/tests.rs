//! Virtual time: days pass in no time, and each test says when orders are made.

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};

use super::*;

/// 2026-01-01, somewhere.
const START: UtcTime = UtcTime::from_unix_micros(1_767_225_600 * SECOND);

/// What the CA does with an order at this time.
type Ca<'a> = &'a dyn Fn(UtcTime) -> Result<Validity, (Kind, Option<Duration>)>;

fn schedule(renew_before: Option<Duration>, held: Option<Held>) -> Schedule<StdRng> {
    let attempts = Attempts::default();
    Schedule::new(
        START,
        renew_before,
        held,
        attempts,
        StdRng::seed_from_u64(7),
    )
}

fn valid_for(from: UtcTime, span: i64) -> Validity {
    Validity {
        not_before: from,
        not_after: from.plus_micros(span),
    }
}

fn held(validity: Validity) -> Option<Held> {
    Some(Held {
        validity,
        covers: true,
    })
}

/// Drives until `end`; when orders were made, in microseconds after the start.
fn drive(schedule: &mut Schedule<StdRng>, mut now: UtcTime, end: UtcTime, ca: Ca<'_>) -> Vec<i64> {
    let mut orders = Vec::new();
    loop {
        match schedule.poll_output(now) {
            Output::Order => {
                orders.push(now.micros_since(START));
                assert!(orders.len() < 10_000, "ordering without end");
                match ca(now) {
                    Ok(validity) => schedule.handle_issued(now, validity),
                    Err((kind, after)) => schedule.handle_failure(now, kind, after),
                }
            }
            Output::AskRenewalInfo => schedule.handle_no_renewal_info(now),
            Output::Timeout(at) if at > end => return orders,
            Output::Timeout(at) => {
                assert!(at > now, "a timeout in the past");
                now = at;
            }
        }
    }
}

fn after(span: i64) -> UtcTime {
    START.plus_micros(span)
}

#[test]
fn without_a_certificate_one_is_ordered_at_once() {
    assert_eq!(schedule(None, None).poll_output(START), Output::Order);
}

#[test]
fn a_valid_certificate_is_not_ordered_again() {
    let mut schedule = schedule(None, held(valid_for(START, 90 * DAY)));
    assert_eq!(schedule.poll_output(START), Output::AskRenewalInfo);
    assert!(matches!(schedule.poll_output(START), Output::Timeout(at) if at > START));
    let orders = drive(&mut schedule, START, after(50 * DAY), &|_| unreachable!());
    assert!(orders.is_empty());
}

#[test]
fn it_is_renewed_with_a_third_of_its_life_left_or_a_little_earlier() {
    let mut schedule = schedule(None, held(valid_for(START, 90 * DAY)));
    let ca = |now| Ok(valid_for(now, 90 * DAY));
    let orders = drive(&mut schedule, START, after(200 * DAY), &ca);
    assert_eq!(orders.len(), 3, "{orders:?}");
    assert!((57 * DAY..=60 * DAY).contains(&orders[0]), "{orders:?}");
}

#[test]
fn the_operators_span_comes_before_the_third() {
    let ten_days = Some(Duration::from_secs(10 * 86_400));
    let mut schedule = schedule(ten_days, held(valid_for(START, 90 * DAY)));
    let ca = |now| Ok(valid_for(now, 90 * DAY));
    let orders = drive(&mut schedule, START, after(90 * DAY), &ca);
    assert_eq!(orders.len(), 1);
    assert!((79 * DAY..=80 * DAY).contains(&orders[0]), "{orders:?}");
}

#[test]
fn a_span_beyond_the_lifetime_does_not_order_for_ever() {
    let year = Some(Duration::from_secs(365 * 86_400));
    let mut schedule = schedule(year, None);
    let ca = |now| Ok(valid_for(now, 90 * DAY));
    let orders = drive(&mut schedule, START, after(90 * DAY), &ca);
    assert!((3..=4).contains(&orders.len()), "{orders:?}");
}

#[test]
fn a_certificate_that_is_backdated_beyond_its_renewal_does_not_order_for_ever() {
    let mut schedule = schedule(None, None);
    let ca = |now: UtcTime| Ok(valid_for(now.plus_micros(-DAY), DAY + HOUR));
    let orders = drive(&mut schedule, START, after(HOUR), &ca);
    assert!(orders.len() <= 4, "{orders:?}");
}

#[test]
fn a_refusal_doubles_the_wait_and_five_fit_in_an_hour() {
    let mut schedule = schedule(None, None);
    let refuse = |_| Err((Kind::Refused, None));
    let orders = drive(&mut schedule, START, after(3 * DAY), &refuse);
    let waits: Vec<i64> = orders.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (failures, wait) in waits.iter().enumerate() {
        let least = ((2 * MINUTE) << failures.min(20)).min(6 * HOUR);
        assert!(
            (least..=least + least / 4).contains(wait),
            "{failures}: {wait}"
        );
    }
    let first_hour = orders.iter().filter(|at| **at < HOUR).count();
    assert_eq!(first_hour, 5);
}

#[test]
fn a_ca_that_is_down_is_tried_sooner_and_never_more_than_every_half_hour_in_the_end() {
    let mut schedule = schedule(None, None);
    let down = |_| Err((Kind::Unreachable, None));
    let orders = drive(&mut schedule, START, after(DAY), &down);
    assert!(
        (10 * SECOND..13 * SECOND).contains(&orders[1]),
        "{orders:?}"
    );
    assert!(orders.len() < 60, "{}", orders.len());
}

#[test]
fn an_outage_does_not_forgive_refusals() {
    let mut schedule = schedule(None, None);
    let ca = |now: UtcTime| {
        let is_down = now.micros_since(START) / MINUTE % 2 == 1;
        Err((
            if is_down {
                Kind::Unreachable
            } else {
                Kind::Refused
            },
            None,
        ))
    };
    let orders = drive(&mut schedule, START, after(12 * HOUR), &ca);
    let refused = orders.iter().filter(|at| **at / MINUTE % 2 == 0);
    assert!(refused.count() <= 20, "{orders:?}");
}

#[test]
fn the_cas_word_on_when_to_come_back_is_kept() {
    let mut schedule = schedule(None, None);
    let wait = Duration::from_secs(2 * 86_400);
    let limited = |_| Err((Kind::RateLimited, Some(wait)));
    let orders = drive(&mut schedule, START, after(2 * DAY - SECOND), &limited);
    assert_eq!(orders, [0]);
    schedule.handle_reload(after(HOUR), false);
    assert!(
        matches!(schedule.poll_output(after(HOUR)), Output::Timeout(at) if at == after(2 * DAY))
    );
    assert_eq!(schedule.poll_output(after(2 * DAY)), Output::Order);
}

#[test]
fn a_word_that_makes_no_sense_is_bounded() {
    let mut schedule = schedule(None, None);
    let limited = |_| Err((Kind::RateLimited, Some(Duration::MAX)));
    let orders = drive(&mut schedule, START, after(15 * DAY), &limited);
    assert_eq!(orders, [0, 7 * DAY, 14 * DAY]);
}

#[test]
fn an_operator_may_ask_once_a_minute() {
    let mut schedule = schedule(None, None);
    assert_eq!(schedule.poll_output(START), Output::Order);
    schedule.handle_failure(START, Kind::Refused, None);
    schedule.handle_reload(after(SECOND), false);
    assert_eq!(
        schedule.poll_output(after(SECOND)),
        Output::Timeout(after(MINUTE))
    );
    assert_eq!(schedule.poll_output(after(MINUTE)), Output::Order);
}

#[test]
fn a_new_name_is_ordered_at_once_and_a_name_less_is_not() {
    let mut schedule = schedule(None, held(valid_for(START, 90 * DAY)));
    assert_eq!(schedule.poll_output(START), Output::AskRenewalInfo);
    schedule.handle_reload(after(DAY), true);
    assert!(matches!(
        schedule.poll_output(after(HOUR)),
        Output::Timeout(_)
    ));
    schedule.handle_reload(after(DAY), false);
    assert_eq!(schedule.poll_output(after(DAY)), Output::Order);
}

#[test]
fn an_attempt_that_never_ended_counts_as_failed_after_a_restart() {
    let mut attempts = Attempts::default();
    let mut now = START;
    let mut waits = Vec::new();
    for _ in 0..6 {
        let rng = StdRng::seed_from_u64(1);
        let mut schedule = Schedule::new(now, None, None, attempts, rng);
        if let Output::Timeout(at) = schedule.poll_output(now) {
            waits.push(at.micros_since(now));
            now = at;
            assert_eq!(schedule.poll_output(now), Output::Order);
        }
        // What the driver keeps before it asks the CA.
        attempts = schedule.attempts();
    }
    assert_eq!(waits.len(), 5);
    assert!(waits.windows(2).all(|pair| pair[1] > pair[0]), "{waits:?}");
}

#[test]
fn a_clock_that_was_set_back_does_not_stop_renewals() {
    let mut ahead = schedule(None, None);
    let future = after(3000 * DAY);
    assert_eq!(ahead.poll_output(future), Output::Order);
    ahead.handle_failure(future, Kind::Refused, None);
    let rng = StdRng::seed_from_u64(1);
    let mut back = Schedule::new(START, None, None, ahead.attempts(), rng);
    let Output::Timeout(at) = back.poll_output(START) else {
        panic!("not backed off");
    };
    assert!(at <= after(2 * DAY), "{at:?}");
}

#[test]
fn the_cas_suggestion_moves_the_renewal_both_ways_within_reason() {
    let info = |start: i64, renew_before: Option<Duration>| {
        let mut schedule = schedule(renew_before, held(valid_for(START, 90 * DAY)));
        assert_eq!(schedule.poll_output(START), Output::AskRenewalInfo);
        let window = (after(start), after(start + DAY));
        schedule.handle_renewal_info(START, window, Duration::from_secs(6 * 3600));
        schedule.due(START).micros_since(START)
    };
    assert!((20 * DAY..=21 * DAY).contains(&info(20 * DAY, None)));
    assert!((65 * DAY..=66 * DAY).contains(&info(65 * DAY, None)));
    // Never in its last sixth, and never later than the operator wants.
    assert_eq!(info(89 * DAY, None), 75 * DAY);
    let month = Some(Duration::from_secs(30 * 86_400));
    assert!(info(65 * DAY, month) <= 60 * DAY);
}

#[test]
fn a_suggestion_in_the_past_renews_now_but_not_over_and_over() {
    let mut schedule = schedule(None, held(valid_for(after(-DAY), 90 * DAY)));
    let mut now = START;
    let mut orders = 0;
    while now < after(4 * HOUR) {
        match schedule.poll_output(now) {
            Output::Order => {
                orders += 1;
                schedule.handle_issued(now, valid_for(now, 90 * DAY));
            }
            Output::AskRenewalInfo => {
                let past = (after(-2 * DAY), after(-DAY));
                schedule.handle_renewal_info(now, past, Duration::ZERO);
            }
            Output::Timeout(at) => now = at,
        }
    }
    assert!((3..=5).contains(&orders), "{orders}");
}

#[test]
fn a_suggestion_that_stands_does_not_move_the_moment_chosen() {
    let mut schedule = schedule(None, held(valid_for(START, 90 * DAY)));
    let window = (after(58 * DAY), after(62 * DAY));
    schedule.handle_renewal_info(START, window, Duration::ZERO);
    let chosen = schedule.due(START);
    schedule.handle_renewal_info(after(DAY), window, Duration::ZERO);
    assert_eq!(schedule.due(START), chosen);
}

proptest! {
    /// Whatever a CA does, it is not asked more often than this.
    #[test]
    fn no_behaviour_of_a_ca_is_answered_by_hammering(
        behaviour in proptest::collection::vec((0_u8..5, 60_i64..8_000_000), 1..8),
        renew_before in proptest::option::of(0_u64..40_000_000),
        seed in any::<u64>(),
    ) {
        let renew_before = renew_before.map(Duration::from_secs);
        let rng = StdRng::seed_from_u64(seed);
        let mut schedule = Schedule::new(START, renew_before, None, Attempts::default(), rng);
        let at = std::cell::Cell::new(0);
        let ca = |now: UtcTime| {
            let (what, seconds) = behaviour[at.get() % behaviour.len()];
            at.set(at.get() + 1);
            match what {
                0 => Err((Kind::Unreachable, None)),
                1 => Err((Kind::Refused, None)),
                2 => Err((Kind::RateLimited, Some(Duration::from_secs(seconds.unsigned_abs())))),
                3 => Err((Kind::Local, None)),
                _ => Ok(valid_for(now, seconds * SECOND)),
            }
        };
        let orders = drive(&mut schedule, START, after(DAY), &ca);
        for pair in orders.windows(2) {
            prop_assert!(pair[1] - pair[0] >= 10 * SECOND, "{orders:?}");
        }
    }
}
