//! Choosing: what must hold for every fleet, list and state.

use proptest::prelude::*;

use super::*;
use crate::dns::{
    fleet::Pop,
    geo::{Place, Site},
};

/// So many points of presence, ten degrees apart on the equator.
fn fleet(count: usize) -> Fleet {
    let pop = |index: usize| Pop {
        name: format!("p{index}"),
        host: format!("p{index}.example").parse().unwrap(),
        url: String::new(),
        ipv4: vec![[192, 0, 2, index as u8].into()],
        ipv6: Vec::new(),
        site: Site {
            place: Place::new(0.0, index as f64 * 10.0 - 170.0).unwrap(),
            bias_km: 0.0,
        },
        services: Service::ALL.to_vec(),
        limits: LoadLimits {
            soft: 0.7,
            hard: 0.9,
        },
    };
    Fleet::new((0..count).map(pop).collect())
}

/// The four that are nearest to the first.
fn ranked(fleet: &Fleet, first: u8) -> Vec<PopId> {
    let first = PopId(first);
    let mut list = vec![first];
    list.extend(fleet.neighbours(first).iter().take(3));
    list
}

fn chosen(fleet: &Fleet, board: &Board, ranked: &[PopId], key: u64) -> Choice {
    choose(fleet, board, ranked, Service::Whip, Family::V4, key).unwrap()
}

/// How many of 10,000 networks each gets.
fn spread(fleet: &Fleet, board: &Board, ranked: &[PopId]) -> Vec<usize> {
    let mut counts = vec![0; fleet.pops().len()];
    for key in 0..10_000 {
        counts[usize::from(chosen(fleet, board, ranked, mix(key)).pop.0)] += 1;
    }
    counts
}

fn open(load: f64) -> Standing {
    Standing::Open { load }
}

#[test]
fn the_first_gets_all_while_it_has_room() {
    let fleet = fleet(5);
    let list = ranked(&fleet, 2);
    let mut board = Board::open(5);
    board.set(PopId(2), Service::Whip, Family::V4, open(0.7));
    assert_eq!(spread(&fleet, &board, &list)[2], 10_000);
    assert_eq!(chosen(&fleet, &board, &list, 1).why, Why::First);
}

#[test]
fn between_its_limits_it_sheds_a_growing_share_and_takes_none_back() {
    let fleet = fleet(5);
    let list = ranked(&fleet, 2);
    let mut shed_before: Vec<u64> = Vec::new();
    for (load, share) in [
        (0.7, 0.0),
        (0.75, 0.25),
        (0.8, 0.5),
        (0.85, 0.75),
        (0.9, 1.0),
    ] {
        let mut board = Board::open(5);
        board.set(PopId(2), Service::Whip, Family::V4, open(load));
        let is_shed = |key: &u64| chosen(&fleet, &board, &list, mix(*key)).pop != PopId(2);
        let shed: Vec<u64> = (0..10_000).filter(is_shed).collect();
        assert!(
            (shed.len() as f64 / 1e4 - share).abs() < 0.02,
            "{load}: {}",
            shed.len()
        );
        assert!(shed_before.iter().all(|key| shed.contains(key)), "{load}");
        shed_before = shed;
    }
}

#[test]
fn the_share_of_one_that_is_out_spreads_over_three() {
    let fleet = fleet(6);
    let list = ranked(&fleet, 2);
    for standing in [
        Standing::Down,
        Standing::Draining,
        Standing::Unknown,
        open(0.95),
    ] {
        let mut board = Board::open(6);
        board.set(PopId(2), Service::Whip, Family::V4, standing);
        let counts = spread(&fleet, &board, &list);
        let mut shares: Vec<usize> = counts.into_iter().filter(|count| *count > 0).collect();
        shares.sort_unstable();
        assert_eq!(shares.len(), 3, "{standing:?}");
        for (count, share) in shares.iter().zip([1, 2, 3]) {
            assert!(
                count.abs_diff(share * 10_000 / 6) < 200,
                "{standing:?}: {shares:?}"
            );
        }
        assert_eq!(chosen(&fleet, &board, &list, 9).why, Why::Failover);
    }
}

#[test]
fn services_are_judged_apart() {
    let fleet = fleet(3);
    let mut board = Board::open(3);
    board.set(PopId(0), Service::Turn, Family::V4, Standing::Down);
    let list = [PopId(0), PopId(1), PopId(2)];
    let pop = |service| {
        choose(&fleet, &board, &list, service, Family::V4, 5)
            .unwrap()
            .pop
    };
    assert_eq!(pop(Service::Whip), PopId(0));
    assert_ne!(pop(Service::Turn), PopId(0));
}

#[test]
fn families_are_judged_apart() {
    let mut pops = fleet(3).pops().to_vec();
    for pop in &mut pops {
        pop.ipv6 = vec!["2001:db8::1".parse().unwrap()];
    }
    let fleet = Fleet::new(pops);
    let list = [PopId(0), PopId(1), PopId(2)];
    let mut board = Board::open(3);
    board.set(PopId(0), Service::Whip, Family::V6, Standing::Down);
    let pop = |family| {
        choose(&fleet, &board, &list, Service::Whip, family, 5)
            .unwrap()
            .pop
    };
    assert_eq!(pop(Family::V4), PopId(0));
    assert_ne!(pop(Family::V6), PopId(0));
}

#[test]
fn beyond_the_list_others_stand_in() {
    let fleet = fleet(8);
    let list = ranked(&fleet, 0);
    let mut board = Board::open(8);
    for id in &list {
        board.set(*id, Service::Whip, Family::V4, Standing::Down);
    }
    let counts = spread(&fleet, &board, &list);
    assert!(
        counts.iter().filter(|count| **count > 0).count() >= 2,
        "{counts:?}"
    );
}

#[test]
fn all_down_is_as_if_all_were_up() {
    let fleet = fleet(4);
    let list = ranked(&fleet, 1);
    let mut board = Board::open(4);
    for id in fleet.ids() {
        board.set(id, Service::Whip, Family::V4, Standing::Down);
    }
    let choice = chosen(&fleet, &board, &list, 3);
    assert_eq!(
        choice,
        Choice {
            pop: PopId(1),
            why: Why::Regardless
        }
    );
}

/// As when no point of presence can reach an origin.
#[test]
fn where_all_drain_the_nearest_that_lives_is_told() {
    let fleet = fleet(4);
    let list = ranked(&fleet, 1);
    let mut board = Board::open(4);
    for id in fleet.ids() {
        board.set(id, Service::Whip, Family::V4, Standing::Draining);
    }
    let choice = chosen(&fleet, &board, &list, 3);
    assert_eq!((choice.pop, choice.why), (PopId(1), Why::Regardless));
    board.set(PopId(1), Service::Whip, Family::V4, Standing::Down);
    let next = chosen(&fleet, &board, &list, 3);
    assert_eq!((next.pop, next.why), (list[1], Why::Regardless));
}

#[test]
fn a_family_that_nobody_has_has_no_answer() {
    let fleet = fleet(2);
    let board = Board::open(2);
    let list = [PopId(0), PopId(1)];
    assert_eq!(
        choose(&fleet, &board, &list, Service::Whip, Family::V6, 1),
        None
    );
    assert_eq!(
        choose(&fleet, &board, &[], Service::Whip, Family::V4, 1),
        None
    );
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        4 => (0.0..1.2).prop_map(open),
        1 => Just(Standing::Draining),
        1 => Just(Standing::Down),
        1 => Just(Standing::Unknown),
    ]
}

proptest! {
    #[test]
    fn nobody_full_or_ill_is_chosen_while_another_has_room(
        standings in prop::collection::vec(standing(), 1..9),
        first: prop::sample::Index,
        key: u64,
    ) {
        let fleet = fleet(standings.len());
        let mut board = Board::open(standings.len());
        for (id, standing) in fleet.ids().zip(&standings) {
            board.set(id, Service::Whip, Family::V4, *standing);
        }
        let list = ranked(&fleet, first.index(standings.len()) as u8);
        let choice = chosen(&fleet, &board, &list, key);
        let has_room = |standing: &Standing| matches!(standing, Standing::Open { load } if *load < 0.9);
        let is_good = has_room(&standings[usize::from(choice.pop.0)]);
        prop_assert_eq!(is_good, standings.iter().any(has_room));
        prop_assert_eq!(choice.why == Why::Regardless, !is_good);
        let is_open = |standing: &Standing| matches!(standing, Standing::Open { .. });
        let works = is_open(&standings[usize::from(choice.pop.0)]);
        prop_assert_eq!(works, standings.iter().any(is_open), "full is better than dead");
        let is_alive = |standing: &Standing| *standing != Standing::Down;
        let lives = is_alive(&standings[usize::from(choice.pop.0)]);
        prop_assert_eq!(lives, standings.iter().any(is_alive), "and so is whoever drains");
        // And the same network gets the same again.
        prop_assert_eq!(chosen(&fleet, &board, &list, key), choice);
    }

    /// Nor does what another family or another service is like.
    #[test]
    fn a_family_is_chosen_for_by_its_own_standings_alone(
        standings in prop::collection::vec([standing(), standing(), standing()], 1..9),
        first: prop::sample::Index,
        key: u64,
    ) {
        let fleet = fleet(standings.len());
        let mut board = Board::open(standings.len());
        for (id, [own, _, _]) in fleet.ids().zip(&standings) {
            board.set(id, Service::Whip, Family::V4, *own);
        }
        let list = ranked(&fleet, first.index(standings.len()) as u8);
        let before = chosen(&fleet, &board, &list, key);
        for (id, [_, ipv6, turn]) in fleet.ids().zip(&standings) {
            board.set(id, Service::Whip, Family::V6, *ipv6);
            board.set(id, Service::Turn, Family::V4, *turn);
        }
        prop_assert_eq!(chosen(&fleet, &board, &list, key), before);
    }

    /// Somebody's death moves nobody who was not there.
    #[test]
    fn the_death_of_another_moves_nobody(
        loads in prop::collection::vec(0.0..0.7, 3..8),
        dead: prop::sample::Index,
        key: u64,
    ) {
        let fleet = fleet(loads.len());
        let mut board = Board::open(loads.len());
        for (id, load) in fleet.ids().zip(&loads) {
            board.set(id, Service::Whip, Family::V4, open(*load));
        }
        let dead = PopId(dead.index(loads.len()) as u8);
        let list = ranked(&fleet, 0);
        let before = chosen(&fleet, &board, &list, key);
        board.set(dead, Service::Whip, Family::V4, Standing::Down);
        let after = chosen(&fleet, &board, &list, key);
        prop_assert_eq!(after.pop == before.pop, before.pop != dead);
    }
}
