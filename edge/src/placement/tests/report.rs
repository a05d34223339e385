//! Shares, lists, and several edges' sights in one.

use super::{super::report::Error, *};

const PARIS: (f64, f64) = (49.0, 2.0);
const NEW_YORK: (f64, f64) = (41.0, -74.0);
const TOKYO: (f64, f64) = (36.0, 140.0);

/// Of 20 presenters at Frankfurt 10 are near it, 4 near Ashburn, 3 in Tokyo; the rest is
/// anywhere.
fn frankfurt() -> Seen {
    let nowhere = Spot {
        asn: Some(3),
        ..Spot::default()
    };
    let mut seen = seen(
        "fra",
        [
            (spot("FR", 1, PARIS), counts(9, &[30, 30])),
            (spot("FR", 2, PARIS), counts(1, &[])),
            (spot("US", 1, NEW_YORK), counts(4, &[110])),
            (spot("JP", 2, TOKYO), counts(3, &[240])),
            (nowhere, counts(2, &[500])),
        ],
    );
    seen.rows.others = counts(1, &[70]);
    seen
}

#[test]
fn shares_are_of_those_whose_place_is_known() {
    let report = Report::of(&[frankfurt()], REGION_KM).unwrap();
    assert_eq!(report.presenters, 20);
    assert_eq!(
        (report.located, report.unlocated, report.unlisted),
        (17, 2, 1)
    );
    assert_eq!(report.in_region, 10);
    assert_eq!(report.share_in_region, Some(10.0 / 17.0));
    assert_eq!(report.near_another, 4, "New York, near Ashburn");
    assert_eq!(report.share_near, Some(14.0 / 17.0));
    assert_eq!(report.relayed_presenters, 6);
    let source = &report.sources[0];
    assert_eq!((source.seconds, source.presenters), (3_600, 20));
}

#[test]
fn countries_and_networks_have_shares_of_their_own() {
    let report = Report::of(&[frankfurt()], REGION_KM).unwrap();
    let countries = report.countries.iter().map(|it| {
        let share = &it.share;
        (
            it.country.as_deref(),
            share.presenters,
            share.share_in_region,
        )
    });
    let expected = [
        (Some("FR"), 10, Some(1.0)),
        (Some("US"), 4, Some(0.0)),
        (Some("JP"), 3, Some(0.0)),
        (None, 2, None),
    ];
    assert_eq!(countries.collect::<Vec<_>>(), expected);
    let networks = report.networks.iter().map(|it| {
        let share = &it.share;
        (it.asn, share.presenters, share.in_region, share.relayed)
    });
    let expected = [(Some(1), 13, 9, 3), (Some(2), 4, 1, 1), (Some(3), 2, 0, 1)];
    assert_eq!(networks.collect::<Vec<_>>(), expected);
}

#[test]
fn the_relayed_are_listed_from_the_worst_round_trip_and_the_unmeasured_last() {
    let mut seen = frankfurt();
    let unmeasured = Counts {
        presenters: 8,
        relayed: 8,
        ..Counts::default()
    };
    seen.rows.by_spot.insert(spot("DE", 7, FRA), unmeasured);
    let report = Report::of(&[seen], REGION_KM).unwrap();
    let listed = report.relayed.iter().map(|it| {
        (
            it.country.as_deref(),
            it.presenters,
            it.measured,
            it.rtt_worst_ms,
        )
    });
    let expected = [
        (None, 1, 1, Some(500.0)),
        (Some("JP"), 1, 1, Some(240.0)),
        (Some("US"), 1, 1, Some(110.0)),
        (Some("FR"), 2, 2, Some(30.0)),
        (Some("DE"), 8, 0, None),
    ];
    assert_eq!(listed.collect::<Vec<_>>(), expected);
}

#[test]
fn a_region_is_as_large_as_it_is_said_to_be() {
    // Paris is some 520 km from Frankfurt, New York 6,200, Tokyo 9,300.
    for (region_km, in_region) in [(500.0, 0), (600.0, 10), (6_500.0, 14), (9_500.0, 17)] {
        let report = Report::of(&[frankfurt()], region_km).unwrap();
        assert_eq!(report.in_region, in_region, "{region_km}");
    }
    for none in [f64::NAN, 99.0, 20_001.0, f64::INFINITY, -1.0] {
        let refused = Report::of(&[frankfurt()], none);
        assert!(matches!(refused, Err(Error::Region(_))), "{none}");
    }
}

#[test]
fn each_edge_is_judged_by_where_it_stands_itself() {
    let ashburn = seen(
        "iad",
        [
            (spot("US", 1, NEW_YORK), counts(80, &[])),
            (spot("FR", 1, PARIS), counts(2, &[90])),
        ],
    );
    let report = Report::of(&[frankfurt(), ashburn], REGION_KM).unwrap();
    assert_eq!(report.in_region, 90, "10 at Frankfurt, 80 at Ashburn");
    assert_eq!(report.near_another, 6, "4 there, 2 here");
    assert_eq!(report.share_near, Some(96.0 / 99.0));
    assert!(
        report.next.is_empty(),
        "the aim is reached: {:?}",
        report.next
    );
    let by: Vec<_> = report.relayed.iter().map(|it| it.pop.as_str()).collect();
    assert_eq!(by, ["fra", "fra", "fra", "iad", "fra"]);
}

#[test]
fn nobody_is_counted_twice_and_no_place_is_guessed() {
    let twice = Report::of(&[frankfurt(), frankfurt()], REGION_KM);
    assert_eq!(twice, Err(Error::Twice("fra".to_owned())));
    let mut moved = seen("iad", []);
    moved.pops.insert("fra".to_owned(), place(PARIS));
    let elsewhere = Report::of(&[frankfurt(), moved], REGION_KM);
    assert_eq!(elsewhere, Err(Error::Elsewhere("fra".to_owned())));
}

#[test]
fn of_nobody_there_is_no_share_and_no_advice() {
    let report = Report::of(&[seen("fra", [])], REGION_KM).unwrap();
    assert_eq!((report.share_in_region, report.share_near), (None, None));
    assert!(report.next.is_empty());
    let text = report.to_string();
    assert!(text.ends_with("no presenter has connected yet\n"), "{text}");
    let unknown = seen("fra", [(Spot::default(), counts(2, &[]))]);
    let text = Report::of(&[unknown], REGION_KM).unwrap().to_string();
    assert!(
        text.contains("nobody of 2 presenters could be located"),
        "{text}"
    );
}

#[test]
fn people_are_told_what_counts_first_and_what_helps_last() {
    let text = Report::of(&[frankfurt()], REGION_KM).unwrap().to_string();
    for line in [
        "fra: 20 presenters in 1 h 0 min",
        "served within 1500 km: 10 of 17 located presenters, 58.8 %; aim 90.0 %: missed",
        "place unknown: 2, in no share",
        "beyond the table: 1, in no share",
        "relayed: 6 of 20 presenters",
        "  1. near 36° N, 140° E (JP): 3 presenters more, 100.0 % would have one within 1500 km",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    // 8,999 of 10,000 are not the aim.
    let almost = [
        (spot("FR", 1, PARIS), counts(8_999, &[])),
        (spot("JP", 1, TOKYO), counts(1_001, &[])),
    ];
    let text = Report::of(&[seen("fra", almost)], REGION_KM)
        .unwrap()
        .to_string();
    assert!(text.contains("89.9 %; aim 90.0 %: missed"), "{text}");
}
