//! Minutes of load in virtual time.

use super::*;
use crate::transcode::ladder::{Ladder, Resolution};

/// 720p, 468p, 360p.
struct Rig {
    load: Load,
    begin: Instant,
    now: Instant,
    changes: Vec<(f64, Change)>,
}

impl Rig {
    fn new() -> Self {
        let now = inlet_common::clock::now();
        let ladder = Ladder::default().for_source(Resolution {
            width: 1280,
            height: 720,
        });
        Self {
            load: Load::new(now, &ladder),
            begin: now,
            now,
            changes: Vec::new(),
        }
    }

    /// Looks five times a second and reports once, until `seconds` have passed.
    fn run(&mut self, seconds: u64, look: impl Fn(usize) -> Look, speed: impl Fn(usize) -> f64) {
        for step in 1..=5 * seconds {
            self.now += Duration::from_millis(200);
            self.load.handle_look(self.now, look(self.load.shed()));
            self.poll();
            if step % 5 == 0 {
                let speed = speed(self.load.shed());
                let report = Report {
                    speed,
                    ..Report::default()
                };
                self.load.handle_report(self.now, &report);
                self.poll();
            }
        }
    }

    fn poll(&mut self) {
        let at = self.now.duration_since(self.begin).as_secs_f64();
        self.changes
            .extend(self.load.poll(self.now).map(|change| (at, change)));
    }

    fn taken(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
            .into_iter()
            .map(|(_, change)| change)
            .collect()
    }
}

fn look(millis: u64) -> Look {
    Look {
        lag: Duration::from_millis(millis),
        skipped: 0,
        is_moving: true,
    }
}

#[test]
fn a_worker_that_keeps_up_keeps_its_rungs() {
    let mut rig = Rig::new();
    rig.run(600, |_| look(30), |_| 1.1);
    assert_eq!(rig.taken(), []);
}

#[test]
fn rungs_go_from_the_top_one_at_a_time_and_the_last_one_stays() {
    let mut rig = Rig::new();
    rig.run(5, |_| look(30), |_| 3.0);
    rig.run(20, |_| look(400), |_| 0.5);
    let [first, second] = rig.changes[..] else {
        panic!("{:?}", rig.changes)
    };
    assert_eq!(
        (first.1, second.1),
        (Change::Shed(0), Change::Shed(1)),
        "the third is the last"
    );
    // Late from 5.2 s on.
    assert!((5.7..6.0).contains(&first.0), "{}", first.0);
    assert!(second.0 - first.0 >= 1.5, "{}", second.0);
}

#[test]
fn a_moment_s_stop_sheds_nothing() {
    let mut rig = Rig::new();
    for _ in 0..20 {
        rig.run(5, |_| look(30), |_| 3.0);
        // 0.4 s behind, and one slow second.
        rig.run(1, |_| look(30), |_| 0.9);
        for _ in 0..2 {
            rig.now += Duration::from_millis(200);
            rig.load.handle_look(rig.now, look(400));
            rig.poll();
        }
    }
    assert_eq!(rig.taken(), []);
}

#[test]
fn frames_left_out_are_lateness_too() {
    let mut rig = Rig::new();
    rig.run(5, |_| look(30), |_| 3.0);
    let skipping = Look {
        skipped: 2,
        ..look(120)
    };
    rig.run(1, |_| skipping, |_| 1.2);
    assert_eq!(rig.taken(), [Change::Shed(0)]);
}

#[test]
fn a_slow_worker_is_relieved_though_it_is_not_late_yet() {
    let mut rig = Rig::new();
    rig.run(5, |_| look(30), |_| 3.0);
    rig.run(2, |_| look(100), |_| 0.97);
    assert_eq!(rig.taken(), [Change::Shed(0)]);
}

#[test]
fn a_hung_worker_and_a_new_one_shed_nothing() {
    let mut rig = Rig::new();
    rig.run(5, |_| look(30), |_| 3.0);
    let hung = Look {
        is_moving: false,
        ..look(2000)
    };
    rig.run(3, |_| hung, |_| 1.0);
    rig.load.handle_restart(rig.now);
    rig.run(3, |_| look(1500), |_| 0.8);
    rig.run(5, |_| look(30), |_| 3.0);
    assert_eq!(rig.taken(), []);
}

#[test]
fn a_rung_returns_after_a_calm_and_only_with_room() {
    let mut rig = Rig::new();
    rig.run(5, |_| look(30), |_| 3.0);
    rig.run(1, |_| look(400), |_| 0.9);
    assert_eq!(rig.taken(), [Change::Shed(0)]);
    // 720p has 2.4 times the pixels of 468p: 2.9 is not 1.25 times enough.
    rig.run(300, |_| look(30), |_| 2.8);
    assert_eq!(rig.taken(), []);
    let before = rig.now;
    rig.run(40, |_| look(30), |_| 3.2);
    assert_eq!(rig.changes.len(), 1);
    let calm = rig.changes[0].0 - before.duration_since(rig.begin).as_secs_f64();
    assert!((29.0..32.0).contains(&calm), "{calm}");
    assert_eq!(rig.taken(), [Change::Restore(0)]);
}

#[test]
fn a_rung_that_does_not_fit_is_tried_less_and_less_often() {
    let mut rig = Rig::new();
    // With 720p it is late; without it there seems to be room.
    let lag = |shed| look(if shed == 0 { 400 } else { 30 });
    let speed = |shed| if shed == 0 { 0.9 } else { 4.0 };
    rig.run(3600, lag, speed);
    let returns: Vec<f64> = rig
        .changes
        .iter()
        .filter(|(_, change)| matches!(change, Change::Restore(_)))
        .map(|(at, _)| *at)
        .collect();
    assert!(returns.len() <= 7, "{returns:?}");
    let gaps: Vec<f64> = returns.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.windows(2).all(|pair| pair[1] > pair[0]), "{gaps:?}");
}

#[test]
fn a_return_that_lasted_is_forgotten() {
    let mut rig = Rig::new();
    rig.run(5, |_| look(30), |_| 4.0);
    for _ in 0..3 {
        rig.run(1, |_| look(400), |_| 0.9);
        rig.run(40, |_| look(30), |_| 4.0);
        assert_eq!(rig.taken(), [Change::Shed(0), Change::Restore(0)]);
        rig.run(400, |_| look(30), |_| 4.0);
    }
}

#[test]
fn a_rung_that_is_passed_through_is_not_the_one_that_goes() {
    let mut rig = Rig::new();
    assert_eq!(rig.load.set_passing(rig.now, true), None);
    rig.run(5, |_| look(30), |_| 3.0);
    rig.run(20, |_| look(400), |_| 0.5);
    assert_eq!(rig.taken(), [Change::Shed(1)], "and the last one stays");
    rig.run(60, |_| look(30), |_| 3.0);
    assert_eq!(rig.taken(), [Change::Restore(1)]);
    assert_eq!(rig.load.set_passing(rig.now, false), None);
    rig.run(1, |_| look(400), |_| 0.5);
    assert_eq!(rig.taken(), [Change::Shed(0)]);
}

#[test]
fn a_rung_that_has_to_be_made_again_while_others_lack_goes_first() {
    let mut rig = Rig::new();
    rig.load.set_passing(rig.now, true);
    rig.run(5, |_| look(30), |_| 3.0);
    rig.run(3, |_| look(400), |_| 0.5);
    assert_eq!(rig.taken(), [Change::Shed(1)]);
    let change = rig.load.set_passing(rig.now, false);
    assert_eq!(change, Some(Change::Shed(0)));
    rig.run(120, |_| look(30), |_| 4.0);
    assert_eq!(rig.taken(), [Change::Restore(1), Change::Restore(0)]);
}
