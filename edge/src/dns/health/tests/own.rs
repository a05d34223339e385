//! What becomes of the own point of presence, and of the others when the own network is
//! broken.

use super::*;

const TURN: (Service, Family) = (Service::Turn, Family::V4);
const WELL: Report = Report {
    load: [Some(0.1), Some(0.1)],
    is_draining: [false; 2],
    finds_us_down: [[false; 2]; 2],
};
const OPEN: Standing = Standing::Open { load: 0.1 };

/// A fleet, whose first is this one, after so many seconds.
struct Scene {
    health: Health,
    begun: Instant,
    now: Instant,
}

impl Scene {
    fn new(names: &[&str]) -> Self {
        let [only] = fleet().pops().to_vec().try_into().unwrap();
        let pop = |name: &&str| Pop {
            name: (*name).to_owned(),
            ..Pop::clone(&only)
        };
        let now = inlet_common::clock::now();
        let fleet = Fleet::new(names.iter().map(pop).collect());
        Self {
            health: Health::new(now, &fleet, Some("a".to_owned()), true),
            begun: now,
            now,
        }
    }

    /// Goes on for `seconds`, while all but the first are probed with these results and
    /// those of `heard` report `said`, every two seconds; the first reports as well.
    fn pass(&mut self, seconds: u64, probes: &[Probed], heard: &[(u8, Report)]) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            for (number, found) in (1..).zip(probes) {
                self.health
                    .handle_probe(self.now, PopId(number), TURN, *found);
            }
            for (number, said) in heard.iter().chain(&[(0, WELL)]) {
                self.health.handle_report(PopId(*number), *said, self.now);
            }
            self.now += EVERY;
        }
    }

    fn standing(&self, number: u8) -> Standing {
        let board = self.health.board(self.now);
        board.get(PopId(number), Service::Turn, Family::V4)
    }

    fn standings<const N: usize>(&self) -> [Standing; N] {
        let mut number = 0..;
        [(); N].map(|()| self.standing(number.next().unwrap()))
    }
}

fn against() -> Report {
    let mut report = WELL;
    report.finds_us_down[Service::Turn as usize][Family::V4 as usize] = true;
    report
}

#[test]
fn one_that_two_others_find_down_is_down_here_too() {
    let mut scene = Scene::new(&["a", "b", "c", "d"]);
    let well = [Probed::Well; 3];
    let all = |reports: [Report; 3]| [(1, reports[0]), (2, reports[1]), (3, reports[2])];
    scene.pass(4, &well, &all([WELL, WELL, against()]));
    assert_eq!(scene.standing(0), OPEN, "one may have trouble of its own");
    scene.pass(2, &well, &all([WELL, against(), against()]));
    assert_eq!(scene.standing(0), Standing::Down);
    let whip = scene.health.board(scene.now);
    let whip = whip.get(PopId(0), Service::Whip, Family::V4);
    assert_eq!(whip, OPEN, "of that nobody complains");
    scene.pass(2, &well, &all([WELL, WELL, against()]));
    assert_eq!(scene.standing(0), OPEN);
    // An operator's word counts before theirs.
    scene.pass(2, &well, &all([against(); 3]));
    assert_eq!(scene.standing(0), Standing::Down);
    scene.health.force(PopId(0), Some(Forced::In));
    assert_eq!(scene.standing(0), OPEN);
}

#[test]
fn the_only_other_is_believed_while_it_is_heard_and_well() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.pass(4, &[Probed::Well], &[(1, against())]);
    assert_eq!(scene.standing(0), Standing::Down);
    // What is old says nothing.
    scene.pass(20, &[Probed::Well], &[]);
    assert_eq!(scene.standing(0), Standing::Open { load: 0.1 });
    // Neither does one that cannot be reached from here either.
    scene.pass(8, &[Probed::Failed], &[(1, against())]);
    assert_eq!(scene.standings(), [OPEN, Standing::Down]);
    // Of three of which one is dead, the other one is.
    let mut scene = Scene::new(&["a", "b", "c"]);
    let probes = [Probed::Well, Probed::Failed];
    scene.pass(20, &probes, &[(1, against())]);
    assert_eq!(scene.standings(), [Standing::Down, OPEN, Standing::Down]);
}

/// Nothing comes from anybody: this one is as good or bad as all.
#[test]
fn one_that_is_cut_off_from_all_does_not_draw_everybody_to_itself() {
    let mut scene = Scene::new(&["a", "b", "c"]);
    scene.pass(10, &[Probed::Well; 2], &[(1, WELL), (2, WELL)]);
    scene.pass(8, &[Probed::Failed; 2], &[]);
    assert_eq!(scene.standings(), [OPEN; 3], "as it was believed before");
    assert_eq!(scene.health.down(scene.now).count(), 0);
    scene.pass(20, &[Probed::Failed; 2], &[]);
    assert_eq!(scene.standings(), [Standing::Unknown; 3]);
    // One of them is back: then the other one is down.
    scene.pass(12, &[Probed::Well, Probed::Failed], &[(1, WELL)]);
    assert_eq!(scene.standings(), [OPEN, OPEN, Standing::Down]);
    // Without a probe that could be sent all grow old.
    scene.pass(20, &[], &[]);
    let idle = Standing::Unknown;
    assert_eq!(scene.standings(), [idle; 3]);
}

/// A packet filter of our own, or a secret that is wrong.
#[test]
fn who_reports_is_well_where_all_probes_fail() {
    let mut scene = Scene::new(&["a", "b", "c"]);
    let draining = Report {
        is_draining: [true; 2],
        ..WELL
    };
    scene.health.handle_origin(scene.now);
    scene.pass(60, &[Probed::Failed; 2], &[(1, WELL), (2, draining)]);
    assert_eq!(scene.standings(), [OPEN, OPEN, Standing::Draining]);
    assert_eq!(scene.health.down(scene.now).count(), 0);
}

#[test]
fn two_that_die_at_once_are_dead_where_the_origin_says_nothing_of_them() {
    let mut scene = Scene::new(&["a", "b", "c"]);
    scene.pass(10, &[Probed::Well; 2], &[(1, WELL), (2, WELL)]);
    scene.pass(8, &[Probed::Failed; 2], &[]);
    scene.health.handle_origin(scene.now);
    assert_eq!(scene.standings(), [OPEN, Standing::Down, Standing::Down]);
}

#[test]
fn those_that_die_one_after_the_other_are_dead() {
    let mut scene = Scene::new(&["a", "b", "c"]);
    scene.pass(8, &[Probed::Well; 2], &[(1, WELL), (2, WELL)]);
    scene.pass(20, &[Probed::Well, Probed::Failed], &[(1, WELL)]);
    scene.pass(8, &[Probed::Failed; 2], &[]);
    assert_eq!(scene.standings(), [OPEN, Standing::Down, Standing::Down]);
    // The one that can hear it is told first.
    scene.pass(2, &[Probed::Failed; 2], &[(2, WELL)]);
    let down: Vec<_> = scene.health.down(scene.now).map(|(id, ..)| id).collect();
    assert_eq!(down, [PopId(2), PopId(1)]);
    assert!(scene.now > scene.begun + 2 * STALE);
}

#[test]
fn the_only_other_one_that_fails_is_dead() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.pass(8, &[Probed::Failed], &[]);
    assert_eq!(scene.standings(), [OPEN, Standing::Down]);
}

/// Who is not probed is taken to be well, this one too.
#[test]
fn without_probes_nobody_is_unknown() {
    let mut scene = Scene::new(&["a", "b", "c"]);
    scene.health.is_probed = false;
    scene.pass(60, &[], &[]);
    assert_eq!(
        scene.standings(),
        [OPEN, Standing::default(), Standing::default()]
    );
}
