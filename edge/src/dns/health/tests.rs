//! What follows from what was heard, in virtual time.

use super::*;
use crate::dns::{
    fleet::{LoadLimits, Pop},
    geo::{Place, Site},
};

mod own;

const POP: PopId = PopId(0);
const EVERY: Duration = Duration::from_secs(2);

fn fleet() -> Fleet {
    let pop = Pop {
        name: "a".to_owned(),
        host: "a.example".parse().unwrap(),
        url: String::new(),
        ipv4: vec![[192, 0, 2, 1].into()],
        ipv6: Vec::new(),
        site: Site {
            place: Place::new(0.0, 0.0).unwrap(),
            bias_km: 0.0,
        },
        services: Service::ALL.to_vec(),
        limits: LoadLimits {
            soft: 0.7,
            hard: 0.9,
        },
    };
    Fleet::new(vec![pop])
}

fn health() -> (Health, Instant) {
    let now = inlet_common::clock::now();
    (Health::new(now, &fleet(), None, true), now)
}

/// Probes with these results, two seconds apart, and what is thought after each.
fn probed(results: &str) -> String {
    let (mut health, mut now) = health();
    let mut thought = String::new();
    for result in results.chars() {
        let found = match result {
            '+' => Probed::Well,
            '-' => Probed::Failed,
            _ => Probed::Busy,
        };
        health.handle_probe(now, POP, (Service::Turn, Family::V4), found);
        thought.push(
            match health.board(now).get(POP, Service::Turn, Family::V4) {
                Standing::Open { .. } => 'u',
                Standing::Down => 'd',
                Standing::Draining => 'b',
                Standing::Unknown => '?',
            },
        );
        now += EVERY;
    }
    thought
}

#[test]
fn three_failures_take_out_and_six_successes_bring_back() {
    assert_eq!(probed("+---++++++-"), "uuudddddduu");
    // One success between starts the count anew.
    assert_eq!(probed("+--+--+---"), "uuuuuuuuud");
    assert_eq!(probed("---+++++-++++++"), "uuddddddddddddu");
}

#[test]
fn who_was_never_heard_of_is_well_for_a_while() {
    let (mut health, now) = health();
    let standing = |health: &Health, after| {
        health
            .board(now + after)
            .get(POP, Service::Turn, Family::V4)
    };
    let open = Standing::Open { load: 0.0 };
    assert_eq!(standing(&health, STALE), open);
    assert_eq!(standing(&health, STALE + EVERY), Standing::Unknown);
    // Not in spite of what was heard.
    for _ in 0..FALL {
        health.handle_probe(now, POP, (Service::Turn, Family::V4), Probed::Failed);
    }
    assert_eq!(standing(&health, EVERY), Standing::Down);
    // A fleet that has it no more, and then has it again, hears anew.
    let other = Fleet::default();
    let later = now + 2 * STALE;
    let moved = health
        .moved(later, &fleet(), &other)
        .moved(later, &other, &fleet());
    assert_eq!(moved.board(later).get(POP, Service::Turn, Family::V4), open);
    let kept = health.moved(later, &fleet(), &fleet());
    assert_eq!(
        kept.board(now + EVERY).get(POP, Service::Turn, Family::V4),
        Standing::Down
    );
}

#[test]
fn who_is_busy_neither_falls_nor_rises() {
    assert_eq!(probed("+~~~+"), "ubbbu");
    // It fell while it drained, as it does when it ends; and is back when it is well.
    assert_eq!(probed("~~---"), "bbbbd");
    assert_eq!(probed("---~~++++++"), "uuddddddddu");
    assert_eq!(probed("--~-+"), "uubdd");
}

#[test]
fn a_report_outdoes_a_busy_probe_only_when_no_probe_says_so_again() {
    let (mut health, now) = health();
    let report = Report {
        load: [Some(0.1), Some(0.1)],
        is_draining: [false; 2],
        ..Report::default()
    };
    let standing = |health: &Health, at| health.board(at).get(POP, Service::Turn, Family::V4);
    let open = Standing::Open { load: 0.1 };
    for round in 0..5 {
        let at = now + EVERY * round;
        health.handle_probe(at, POP, (Service::Turn, Family::V4), Probed::Busy);
        health.handle_report(POP, report, at + EVERY / 2);
        assert_eq!(standing(&health, at + EVERY / 2), Standing::Draining);
    }
    let last = now + EVERY * 4;
    let reported = last + BUSY_HOLDS + EVERY;
    health.handle_report(POP, report, reported);
    assert_eq!(standing(&health, reported), open);
    // Without any report it is forgotten as all is that is old.
    let (mut health, now) = self::health();
    health.handle_probe(now, POP, (Service::Turn, Family::V4), Probed::Busy);
    assert_eq!(standing(&health, now + STALE), Standing::Draining);
    assert_eq!(standing(&health, now + STALE + EVERY), Standing::Unknown);
    // The other service is none the worse.
    assert_eq!(
        health.board(now).get(POP, Service::Whip, Family::V4),
        Standing::Open { load: 0.0 }
    );
}

#[test]
fn one_failure_at_the_start_is_held_against_nobody() {
    assert_eq!(probed("-+"), "uu");
    assert_eq!(probed("---"), "uud");
}

#[test]
fn what_is_old_says_nothing() {
    let (mut health, begun) = health();
    let now = begun + 2 * STALE;
    assert_eq!(
        health.board(now).get(POP, Service::Whip, Family::V4),
        Standing::Unknown
    );
    health.handle_probe(now, POP, (Service::Whip, Family::V4), Probed::Well);
    let load = [Some(0.4), None];
    let report = Report {
        load,
        is_draining: [false; 2],
        ..Report::default()
    };
    health.handle_report(POP, report, now);
    let standing = |health: &Health, after| {
        health
            .board(now + after)
            .get(POP, Service::Whip, Family::V4)
    };
    let open = Standing::Open { load: 0.4 };
    assert_eq!(standing(&health, STALE), open);
    assert_eq!(standing(&health, STALE + EVERY), Standing::Unknown);
    // A report alone keeps it known, as far as it serves.
    health.handle_report(POP, report, now + STALE);
    assert_eq!(standing(&health, STALE + EVERY), open);
    let turn = health
        .board(now + STALE + EVERY)
        .get(POP, Service::Turn, Family::V4);
    assert_eq!(turn, Standing::Unknown);
}

#[test]
fn families_fall_apart_and_one_stands_for_another_that_is_not_tried() {
    let (mut health, now) = health();
    let whip = |family| (Service::Whip, family);
    let standing = |health: &Health, at, family| health.board(at).get(POP, Service::Whip, family);
    let open = Standing::default();
    for round in 0..FALL {
        let at = now + EVERY * round;
        health.handle_probe(at, POP, whip(Family::V4), Probed::Well);
        health.handle_probe(at, POP, whip(Family::V6), Probed::Failed);
    }
    let then = now + EVERY * FALL;
    assert_eq!(standing(&health, then, Family::V4), open);
    assert_eq!(standing(&health, then, Family::V6), Standing::Down);
    // The way by IPv6 is gone: what was found by it grows old, and IPv4 goes on.
    let later = then + 2 * STALE;
    health.handle_probe(later, POP, whip(Family::V4), Probed::Well);
    assert_eq!(standing(&health, later, Family::V6), open);
    // There never was one.
    let (mut health, now) = self::health();
    for _ in 0..FALL {
        health.handle_probe(now, POP, whip(Family::V4), Probed::Failed);
    }
    assert_eq!(standing(&health, now, Family::V6), Standing::Down);
    health.handle_probe(now, POP, whip(Family::V4), Probed::Busy);
    health.handle_probe(now, POP, whip(Family::V6), Probed::Busy);
    assert_eq!(standing(&health, now, Family::V6), Standing::Draining);
    assert_eq!(standing(&health, now, Family::V4), Standing::Down);
}

#[test]
fn a_probe_counts_before_a_report() {
    let (mut health, now) = health();
    let report = Report {
        load: [Some(0.1), Some(0.1)],
        is_draining: [true; 2],
        ..Report::default()
    };
    health.handle_report(POP, report, now);
    for _ in 0..FALL {
        health.handle_probe(now, POP, (Service::Turn, Family::V4), Probed::Failed);
    }
    let board = health.board(now);
    assert_eq!(
        board.get(POP, Service::Whip, Family::V4),
        Standing::Draining
    );
    assert_eq!(board.get(POP, Service::Turn, Family::V4), Standing::Down);
}

/// One that has lost its origin goes on to relay.
#[test]
fn services_drain_apart() {
    let (mut health, now) = health();
    let report = Report {
        load: [Some(0.1), Some(0.2)],
        is_draining: [true, false],
        ..Report::default()
    };
    health.handle_report(POP, report, now);
    let board = health.board(now);
    assert_eq!(
        board.get(POP, Service::Whip, Family::V4),
        Standing::Draining
    );
    let open = Standing::Open { load: 0.2 };
    assert_eq!(board.get(POP, Service::Turn, Family::V4), open);
}

#[test]
fn an_older_report_does_not_replace_a_newer_one() {
    let (mut health, now) = health();
    let report = |load| Report {
        load: [Some(load), None],
        is_draining: [false; 2],
        ..Report::default()
    };
    health.handle_report(POP, report(0.8), now + EVERY);
    health.handle_report(POP, report(0.2), now);
    let standing = health
        .board(now + EVERY)
        .get(POP, Service::Whip, Family::V4);
    assert_eq!(standing, Standing::Open { load: 0.8 });
}

#[test]
fn an_operators_word_counts_before_all_else() {
    let (mut health, now) = health();
    health.handle_probe(now, POP, (Service::Whip, Family::V4), Probed::Well);
    health.force(POP, Some(Forced::Out));
    assert_eq!(
        health.board(now).get(POP, Service::Whip, Family::V4),
        Standing::Down
    );
    health.force(POP, Some(Forced::In));
    for _ in 0..FALL {
        health.handle_probe(now, POP, (Service::Whip, Family::V4), Probed::Failed);
    }
    let standing = health.board(now).get(POP, Service::Whip, Family::V4);
    assert_eq!(standing, Standing::Open { load: 0.0 });
    health.force(POP, None);
    assert_eq!(
        health.board(now).get(POP, Service::Whip, Family::V4),
        Standing::Down
    );
}

/// It may have started anew since then, and not be heard any more.
#[test]
fn a_drain_is_believed_no_longer_than_a_report() {
    let (mut health, now) = health();
    let report = Report {
        load: [Some(0.1), None],
        is_draining: [true; 2],
        ..Report::default()
    };
    health.handle_report(POP, report, now);
    let open = Standing::Open { load: 0.1 };
    for (after, standing) in [(STALE, Standing::Draining), (STALE + EVERY, open)] {
        health.handle_probe(now + after, POP, (Service::Whip, Family::V4), Probed::Well);
        let board = health.board(now + after);
        assert_eq!(board.get(POP, Service::Whip, Family::V4), standing);
    }
}

/// When the origin is away for a while, nobody becomes idle by that.
#[test]
fn the_last_load_counts_while_probes_find_it_well() {
    let (mut health, now) = health();
    let report = Report {
        load: [Some(0.95), None],
        is_draining: [false; 2],
        ..Report::default()
    };
    health.handle_report(POP, report, now);
    let full = Standing::Open { load: 0.95 };
    let idle = Standing::Open { load: 0.0 };
    for (after, standing) in [
        (2 * STALE, full),
        (LOAD_KEPT, full),
        (LOAD_KEPT + EVERY, idle),
    ] {
        health.handle_probe(now + after, POP, (Service::Whip, Family::V4), Probed::Well);
        assert_eq!(
            health
                .board(now + after)
                .get(POP, Service::Whip, Family::V4),
            standing
        );
    }
}
