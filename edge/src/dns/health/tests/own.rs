//! What becomes of the own point of presence by what the others find, and what they are
//! told.

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
fn one_alone_is_told_of_and_not_believed() {
    const MISSED: [(Service, Family); 1] = [TURN];
    let mut scene = Scene::new(&["a", "b"]);
    scene.pass(20, &[Probed::Well], &[(1, against())]);
    assert_eq!(scene.standings(), [OPEN; 2], "it may be the broken one");
    assert_eq!(scene.health.missed(scene.now), MISSED);
    // Of three of which one is dead, the other one is alone.
    let mut scene = Scene::new(&["a", "b", "c"]);
    let probes = [Probed::Well, Probed::Failed];
    scene.pass(20, &probes, &[(1, against())]);
    assert_eq!(scene.standings(), [OPEN, OPEN, Standing::Down]);
    // It does not count whatever it says, since the way between may be broken.
    scene.pass(2, &probes, &[(1, against()), (2, against())]);
    assert_eq!(scene.standings(), [OPEN, OPEN, Standing::Down]);
    scene.pass(12, &[Probed::Well; 2], &[(1, against()), (2, against())]);
    assert_eq!(scene.standings(), [Standing::Down, OPEN, OPEN]);
    // What is old says nothing.
    scene.pass(20, &[Probed::Well; 2], &[(1, against())]);
    assert_eq!(scene.standing(0), OPEN);
    scene.pass(20, &[Probed::Well; 2], &[]);
    assert_eq!(scene.health.missed(scene.now), []);
}

/// A bad release at two of three: what they say of themselves keeps neither.
#[test]
fn others_that_break_together_are_down_though_they_report() {
    let mut scene = Scene::new(&["a", "b", "c"]);
    scene.pass(10, &[Probed::Well; 2], &[(1, WELL), (2, WELL)]);
    scene.pass(60, &[Probed::Failed; 2], &[(1, WELL), (2, WELL)]);
    assert_eq!(scene.standings(), [OPEN, Standing::Down, Standing::Down]);
    // Whoever can hear it is told first.
    scene.pass(8, &[Probed::Failed; 2], &[(2, WELL)]);
    let down: Vec<_> = scene.health.down(scene.now).collect();
    assert_eq!(down, [2, 1].map(|number| (PopId(number), TURN.0, TURN.1)));
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
