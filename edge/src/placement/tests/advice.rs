//! The next places: which, in which order, how many.

use proptest::prelude::*;

use super::{
    super::advice::{Far, MAX_NEXT, next},
    *,
};

fn far(at: (f64, f64), presenters: u64) -> Far {
    Far {
        place: place(at),
        country: Code::parse("BR"),
        presenters,
    }
}

fn places(next: &[Next]) -> Vec<((f64, f64), u64)> {
    let each = next.iter();
    each.map(|it| ((it.latitude, it.longitude), it.gain))
        .collect()
}

#[test]
fn the_first_is_where_most_come_near_not_where_most_are() {
    // One degree of longitude is 111 km on the equator: 10 and 30 reach 20, and 20 both.
    let all = [
        far((0.0, 10.0), 50),
        far((0.0, 20.0), 1),
        far((0.0, 30.0), 50),
        far((0.0, 100.0), 60),
    ];
    let advised = next(&all, 0, 161, 1_200.0);
    assert_eq!(places(&advised), [((0.0, 20.0), 101), ((0.0, 100.0), 60)]);
    assert_eq!(advised[0].share_after, 101.0 / 161.0);
    assert_eq!(advised[1].share_after, 1.0);
}

#[test]
fn of_equals_it_is_the_one_in_the_middle_of_them() {
    let all = [far((0.0, 0.0), 1), far((0.0, 1.0), 5), far((0.0, 2.0), 5)];
    // Each reaches all. From 0 they are 15 degrees away, from 1 six, from 2 seven.
    assert_eq!(places(&next(&all, 0, 11, 1_500.0)), [((0.0, 1.0), 11)]);
}

#[test]
fn it_ends_at_the_aim_and_after_five() {
    let apart: Vec<Far> = (0..7)
        .map(|at| far((0.0, f64::from(at) * 40.0 - 120.0), 10))
        .collect();
    assert_eq!(next(&apart, 0, 70, 1_500.0).len(), MAX_NEXT);
    // 83 of 103 are near: ten more are 90 %.
    assert_eq!(places(&next(&apart[..2], 83, 103, 1_500.0)).len(), 1);
    assert_eq!(next(&apart, 630, 700, 1_500.0), [], "it is reached");
    assert_eq!(next(&[], 0, 10, 1_500.0), [], "nobody is far");
}

#[test]
fn a_region_reaches_over_the_date_line() {
    let all = [
        far((0.0, 179.0), 2),
        far((0.0, -180.0), 1),
        far((0.0, -179.0), 2),
    ];
    assert_eq!(places(&next(&all, 0, 5, 150.0)), [((0.0, -180.0), 5)]);
}

#[test]
fn a_place_is_called_by_the_country_of_most() {
    let of = |country: &str, presenters| Far {
        country: Code::parse(country),
        ..far((48.0, 8.0), presenters)
    };
    let all = [of("FR", 3), of("DE", 2), of("DE", 2)];
    assert_eq!(next(&all, 0, 7, 500.0)[0].country.as_deref(), Some("DE"));
}

/// Presenters of an edge anywhere on earth, at places that are few enough to be near.
fn anywhere() -> impl Strategy<Value = Vec<(Spot, Counts)>> {
    let at = (-9..=9_i8, -18..18_i8, 1..3_u32, 1..30_u64);
    let row = at.prop_map(|(latitude, longitude, asn, presenters)| {
        let at = (f64::from(latitude) * 10.0, f64::from(longitude) * 10.0);
        (spot("BR", asn, at), counts(presenters, &[]))
    });
    prop::collection::vec(row, 0..60)
}

proptest! {
    #[test]
    fn what_is_promised_comes_true_when_it_is_built(
        rows in anywhere(),
        region_km in 300.0..4_000.0,
    ) {
        let mut seen = seen("fra", rows);
        let report = Report::of(std::slice::from_ref(&seen), region_km).unwrap();
        let near = report.in_region + report.near_another;
        let (mut gained, mut before) = (0, report.share_near);
        prop_assert!(report.next.len() <= MAX_NEXT);
        for (at, next) in report.next.iter().enumerate() {
            // Still short of the aim, or it would not be advised.
            prop_assert!(before.unwrap() < AIM);
            prop_assert!(next.gain > 0);
            gained += next.gain;
            prop_assert!(near + gained <= report.located, "somebody was gained twice");
            let built = place((next.latitude, next.longitude));
            seen.pops.insert(format!("new {at}"), built);
            let after = Report::of(std::slice::from_ref(&seen), region_km).unwrap();
            prop_assert_eq!(after.share_near, Some(next.share_after));
            prop_assert_eq!(after.in_region + after.near_another, near + gained);
            before = after.share_near;
        }
        if report.next.len() < MAX_NEXT && report.located > 0 {
            prop_assert!(before.unwrap() >= AIM, "there was a place that helps");
        }
    }

    /// Of those where somebody is whom nobody is near to.
    #[test]
    fn no_other_place_would_be_a_better_first(
        rows in anywhere(),
        region_km in 300.0..4_000.0,
    ) {
        let seen = seen("fra", rows);
        let report = Report::of(std::slice::from_ref(&seen), region_km).unwrap();
        let first = report.next.first().map_or(0.0, |first| first.share_after);
        if report.next.is_empty() {
            return Ok(());
        }
        let places: Vec<Place> = seen.rows.by_spot.keys().filter_map(|it| it.place).collect();
        for place in places {
            if seen.pops.values().any(|pop| pop.distance_km(place) <= region_km) {
                continue;
            }
            let mut other = seen.clone();
            other.pops.insert("other".to_owned(), place);
            let other = Report::of(&[other], region_km).unwrap();
            prop_assert!(other.share_near.unwrap() <= first);
        }
    }
}
