//! Workers that answer, hang, die and lie.

use bytes::Bytes;

use super::*;
use crate::timeline::FrameRate;

#[test]
fn a_rung_of_far_more_than_its_rate_is_not_taken() {
    let (mut ledger, now) = ledger();
    let mut taken = 0;
    for number in 0..300 {
        tick(&mut ledger, now, number, false);
        match ledger.handle_output(now, &video(0, number, 1 << 20)) {
            Verdict::Deliver => taken += 1,
            verdict => {
                assert_eq!(verdict, Verdict::Excess);
                break;
            }
        }
        // The other rung is not to blame.
        assert_eq!(
            ledger.handle_output(now, &frame(1, number)),
            Verdict::Deliver
        );
    }
    assert!(
        (1..4).contains(&taken),
        "{taken} MiB of a megabit per second"
    );
}

#[test]
fn a_worker_that_configures_its_rungs_over_and_over_is_not_taken() {
    let (mut ledger, now) = ledger();
    let config = Output::VideoConfig {
        rung: 1,
        sps: Bytes::from_static(b"junk"),
        pps: Bytes::new(),
    };
    let sound = Output::AudioConfig {
        asc: Bytes::from_static(b"junk"),
    };
    for _ in 0..2 {
        for _ in 0..3 * MAX_CONFIGS {
            assert_eq!(ledger.handle_output(now, &config), Verdict::Deliver);
        }
        for config in [&config, &sound] {
            assert_eq!(ledger.handle_output(now, config), Verdict::Excess);
        }
        ledger.restart(now);
    }
}

#[test]
fn the_next_one_after_one_that_was_over_its_rate_is_taken_and_nothing_is_lost() {
    let (mut ledger, now) = ledger();
    for number in 0..300 {
        tick(&mut ledger, now, number, false);
    }
    let over = |number| video(0, number, 1 << 20);
    let excess = (0..300)
        .find(|number| ledger.handle_output(now, &over(*number)) == Verdict::Excess)
        .unwrap();
    // A little of it was taken, for the last frame that was asked for.
    assert_eq!(ledger.handle_output(now, &frame(0, 299)), Verdict::Deliver);
    let again = ledger.restart(now);
    assert_eq!(again.len(), 300, "the other rung has none of them");
    let rate = 1_000_000 / 8 / 30 * 3;
    for number in 0..300 {
        let is_there = number < excess || number == 299;
        let verdict = match is_there {
            true => Verdict::Repeated,
            false => Verdict::Deliver,
        };
        let output = video(0, number, rate);
        assert_eq!(ledger.handle_output(now, &output), verdict, "{number}");
        let output = video(1, number, rate);
        assert_eq!(ledger.handle_output(now, &output), Verdict::Deliver);
    }
    assert!(ledger.restart(now).is_empty());
}

#[test]
fn every_rung_answers_every_tick_once() {
    let (mut ledger, now) = ledger();
    tick(&mut ledger, now, 5, false);
    assert_eq!(ledger.handle_output(now, &frame(0, 5)), Verdict::Deliver);
    assert_eq!(ledger.handle_output(now, &frame(0, 5)), Verdict::Violation);
    assert_eq!(ledger.handle_output(now, &frame(1, 5)), Verdict::Deliver);
    assert_eq!(ledger.handle_output(now, &frame(1, 5)), Verdict::Violation);
    assert_eq!(ledger.handle_output(now, &frame(2, 5)), Verdict::Violation);
    assert_eq!(
        ledger.handle_output(now, &Output::Restarted),
        Verdict::Violation
    );
}

#[test]
fn a_rung_that_is_asked_again_behind_a_backlog_is_no_hang() {
    let (mut ledger, now) = ledger();
    let second = Duration::from_secs(1);
    let mut lower = Rungs::all(2);
    lower.remove(0);
    for number in 1..=4 {
        ledger.handle_video_tick(now, number, false, lower);
    }
    // The top rung is made again, and the other one is three seconds behind.
    let asked = now + 10 * second;
    ledger.handle_video_tick(asked, 5, true, Rungs::all(2));
    for number in 2..=4 {
        let at = asked + second * u32::try_from(number).unwrap() - second;
        ledger.handle_output(at, &frame(1, number - 1));
        assert!(!ledger.is_hung(at));
    }
    let at = asked + 4 * second;
    ledger.handle_output(at, &frame(1, 4));
    ledger.handle_output(at, &frame(1, 5));
    assert!(ledger.is_hung(at + 3 * second), "now it is its own fault");
}

#[test]
fn a_new_worker_gets_what_is_open_and_the_rungs_begin_together() {
    let (mut ledger, now) = ledger();
    for number in 1..=4 {
        tick(&mut ledger, now, number, false);
    }
    for output in [frame(0, 1), frame(1, 1), frame(0, 2), frame(0, 3)] {
        ledger.handle_output(now, &output);
    }
    // Rung 1 lacks 2 and 3; nobody has 4.
    assert_eq!(
        asked(&ledger.restart(now)),
        [(2, true), (3, false), (4, true)]
    );
    // In whichever order they come.
    assert_eq!(ledger.handle_output(now, &frame(1, 2)), Verdict::Deliver);
    assert_eq!(ledger.handle_output(now, &frame(0, 2)), Verdict::Repeated);
    assert_eq!(ledger.handle_output(now, &frame(0, 2)), Verdict::Violation);
    assert_eq!(ledger.handle_output(now, &frame(0, 3)), Verdict::Repeated);
    assert_eq!(ledger.handle_output(now, &frame(0, 4)), Verdict::Deliver);
}

#[test]
fn the_idr_comes_with_the_next_tick_when_all_open_ones_are_partial() {
    let (mut ledger, now) = ledger();
    tick(&mut ledger, now, 1, false);
    ledger.handle_output(now, &frame(1, 1));
    assert_eq!(asked(&ledger.restart(now)), [(1, true)]);
    assert_eq!(asked(&[tick(&mut ledger, now, 2, false)]), [(2, true)]);
    assert_eq!(asked(&[tick(&mut ledger, now, 3, false)]), [(3, false)]);
}

#[test]
fn a_silent_rung_is_a_hang_though_the_others_answer() {
    let (mut ledger, start) = ledger();
    let mut now = start;
    for number in 0..100 {
        tick(&mut ledger, now, number, false);
        ledger.handle_output(now, &frame(0, number));
        assert_eq!(ledger.is_hung(now), now.duration_since(start) > HANG_LIMIT);
        now += Duration::from_millis(33);
    }
    assert!(ledger.is_hung(now));
    ledger.excuse(now);
    assert!(!ledger.is_hung(now));
    ledger.restart(now);
    assert!(!ledger.is_hung(now + START_GRACE + HANG_LIMIT));
    assert!(ledger.is_hung(now + START_GRACE + HANG_LIMIT + Duration::from_millis(1)));
}

#[test]
fn a_pause_and_the_lag_of_audio_are_no_hang() {
    let (mut ledger, now) = ledger();
    let later = now + Duration::from_secs(60);
    assert!(!ledger.is_hung(later));
    for number in 0..2 {
        ledger.handle_audio_tick(now, number).unwrap();
    }
    assert!(!ledger.is_hung(later));
    ledger.handle_audio_tick(now, 2).unwrap();
    assert!(ledger.is_hung(later));
    let output = Output::Audio {
        number: 0,
        data: Bytes::new(),
    };
    assert_eq!(ledger.handle_output(later, &output), Verdict::Deliver);
    assert_eq!(ledger.handle_output(later, &output), Verdict::Violation);
}

#[test]
fn opus_is_taken_as_far_as_sound_was_asked_for() {
    let (mut ledger, now) = ledger();
    let opus = |number| Output::Opus {
        number,
        data: Bytes::new(),
    };
    assert_eq!(ledger.handle_output(now, &opus(0)), Verdict::Violation);
    for number in 0..15 {
        ledger.handle_audio_tick(now, number).unwrap();
    }
    // 15 AAC frames are as long as 16 packets.
    assert_eq!(ledger.handle_output(now, &opus(15)), Verdict::Deliver);
    assert_eq!(ledger.handle_output(now, &opus(16)), Verdict::Violation);
    let absurd = opus(u64::MAX);
    assert_eq!(ledger.handle_output(now, &absurd), Verdict::Violation);
}

#[test]
fn too_many_ticks_are_given_up_and_an_idr_is_not_forgotten() {
    let (mut ledger, now) = ledger();
    for number in 0..MAX_VIDEO as u64 {
        tick(&mut ledger, now, number, false);
    }
    let number = MAX_VIDEO as u64;
    assert!(
        ledger
            .handle_video_tick(now, number, true, Rungs::all(2))
            .is_none()
    );
    for rung in 0..2 {
        ledger.handle_output(now, &frame(rung, 0));
    }
    assert_eq!(
        asked(&[tick(&mut ledger, now, number + 1, false)]),
        [(number + 1, true)]
    );
}

#[test]
fn a_rung_that_is_not_asked_must_not_answer() {
    let (mut ledger, now) = ledger();
    let tick = ledger.handle_video_tick(now, 1, false, Rungs(0b10));
    assert!(matches!(tick, Some(ToWorker::Tick { rungs: 0b10, .. })));
    assert_eq!(ledger.handle_output(now, &frame(1, 1)), Verdict::Deliver);
    assert_eq!(ledger.lag(now + HANG_LIMIT), Duration::ZERO);
    assert!(!ledger.is_hung(now + 2 * HANG_LIMIT));
    ledger
        .handle_video_tick(now, 2, false, Rungs(0b10))
        .unwrap();
    assert_eq!(ledger.handle_output(now, &frame(0, 2)), Verdict::Violation);
    // Nor is it asked by a restart.
    let again = ledger.restart(now);
    assert!(matches!(again[..], [ToWorker::Tick { rungs: 0b10, .. }]));
}

#[test]
fn a_slow_rung_is_left_out_until_it_has_caught_up() {
    let start = inlet_common::clock::now();
    let mut ledger = Ledger::new(start, budgets(), true);
    let now = start + START_GRACE;
    let ask = |ledger: &mut Ledger, number, idr| match ledger.handle_video_tick(
        now,
        number,
        idr,
        Rungs::all(2),
    ) {
        Some(ToWorker::Tick { rungs, .. }) => rungs,
        other => panic!("{other:?}"),
    };
    for number in 0..MAX_BEHIND as u64 {
        assert_eq!(ask(&mut ledger, number, false), 0b11);
        ledger.handle_output(now, &frame(1, number));
    }
    assert_eq!(ask(&mut ledger, 8, false), 0b10);
    assert_eq!(ask(&mut ledger, 9, true), 0b11, "key frames are for all");
    let later = now + MAX_LAG;
    let look = ledger.look(later);
    assert_eq!((look.lag, look.skipped, look.is_moving), (MAX_LAG, 1, true));
    assert!(!ledger.is_swamped(later) && ledger.is_swamped(later + MAX_LAG));
    for number in [0, 1, 2] {
        ledger.handle_output(now, &frame(0, number));
    }
    assert_eq!(ask(&mut ledger, 10, false), 0b11);
    assert_eq!(ledger.look(now).skipped, 0);
}

#[test]
fn a_new_worker_may_be_far_behind_for_a_while() {
    let now = inlet_common::clock::now();
    let mut ledger = Ledger::new(now, budgets(), true);
    for number in 0..60 {
        let tick = ledger.handle_video_tick(now, number, false, Rungs::all(2));
        assert!(matches!(tick, Some(ToWorker::Tick { rungs: 0b11, .. })));
    }
    assert!(!ledger.is_swamped(now + START_GRACE - Duration::from_millis(1)));
}

fn ledger() -> (Ledger, Instant) {
    let now = inlet_common::clock::now();
    (Ledger::new(now, budgets(), false), now)
}

fn budgets() -> Vec<Budget> {
    vec![Budget::new(1_000_000, FrameRate::DEFAULT); 2]
}

fn tick(ledger: &mut Ledger, now: Instant, number: u64, idr: bool) -> ToWorker {
    ledger
        .handle_video_tick(now, number, idr, Rungs::all(2))
        .unwrap()
}

fn frame(rung: usize, number: u64) -> Output {
    video(rung, number, 0)
}

fn video(rung: usize, number: u64, bytes: usize) -> Output {
    Output::Video {
        rung,
        number,
        idr: false,
        data: Bytes::from(vec![0; bytes]),
    }
}

fn asked(ticks: &[ToWorker]) -> Vec<(u64, bool)> {
    ticks
        .iter()
        .map(|tick| match tick {
            ToWorker::Tick { number, idr, .. } => (*number, *idr),
            other => panic!("{other:?}"),
        })
        .collect()
}
