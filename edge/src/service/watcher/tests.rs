//! Whom this edge probes, for how long, and what it makes of what was found.

use std::{cell::Cell, future::pending};

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::*;
use crate::dns::{
    fleet::LoadLimits,
    geo::{Place, Site},
};

/// `a` by both families, `b` by IPv4 alone.
fn fleet() -> Fleet {
    let pop = |name: &str, ipv6: &[&str]| Pop {
        name: name.to_owned(),
        host: format!("{name}.example").parse().unwrap(),
        url: format!("https://{name}.example"),
        ipv4: vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()],
        ipv6: ipv6.iter().map(|ip| ip.parse().unwrap()).collect(),
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
    Fleet::new(vec![pop("a", &["2001:db8::1"]), pop("b", &[])])
}

/// Names, and how many addresses of which family.
fn probed(own: Option<&str>) -> Vec<String> {
    let targets = targets(&fleet(), own).into_iter();
    let shown = targets.map(|target| {
        let family = Family::of(target.addresses[0]);
        assert!(target.addresses.iter().all(|ip| Family::of(*ip) == family));
        let (pop, count) = (target.pop, target.addresses.len());
        format!("{pop} {count} {}", family.as_str())
    });
    shown.collect()
}

#[test]
fn everybody_else_is_probed_by_each_family_that_it_has() {
    assert_eq!(probed(None), ["a 2 ipv4", "a 1 ipv6", "b 2 ipv4"]);
    assert_eq!(probed(Some("a")), ["b 2 ipv4"], "an edge probes itself");
    assert_eq!(probed(Some("b")), ["a 2 ipv4", "a 1 ipv6"]);
}

#[tokio::test]
async fn probing_that_ends_begins_anew() {
    let begun = Cell::new(0);
    let begin = |task| {
        begun.set(begun.get() + 1);
        Some(task)
    };
    let mut probing = Probing::default();
    probing.renew(false, || begin(tokio::spawn(pending())));
    assert_eq!(begun.get(), 0, "there was nobody to be probed");
    probing.renew(true, || begin(tokio::spawn(async { panic!("it ends") })));
    while probing.0.as_ref().is_some_and(|task| !task.is_finished()) {
        tokio::task::yield_now().await;
    }
    probing.renew(false, || begin(tokio::spawn(pending())));
    assert_eq!(begun.get(), 2);
    probing.renew(false, || begin(tokio::spawn(pending())));
    assert_eq!(begun.get(), 2, "it goes on");
    // Another fleet, or the end of all: what ran is ended.
    let (held, mut ended) = oneshot::channel::<()>();
    let holding = async {
        let _held = held;
        pending().await
    };
    probing.renew(true, || begin(tokio::spawn(holding)));
    assert_eq!(ended.try_recv(), Err(TryRecvError::Empty));
    drop(probing);
    assert!(ended.await.is_err());
}

#[test]
fn a_service_is_as_good_as_the_worst_of_it() {
    let ok = Some(Ok(Duration::from_millis(5)));
    let err = |error| Some(Err(error));
    let cases = [
        (vec![ok, ok], Some(Probed::Well)),
        (vec![None, ok, None], Some(Probed::Well)),
        (vec![ok, err(Error::Elsewhere)], Some(Probed::Busy)),
        (vec![err(Error::Unavailable)], Some(Probed::Busy)),
        (
            vec![ok, err(Error::Capacity), err(Error::Tls)],
            Some(Probed::Failed),
        ),
        // Neither is a word about the target.
        (vec![ok, err(Error::Quota)], Some(Probed::Well)),
        (vec![err(Error::Unreachable); 2], None),
        (vec![None, None], None),
    ];
    for (found, expected) in cases {
        assert_eq!(judge(&found), expected, "{found:?}");
    }
}

/// One that has lost its origin relays on.
#[test]
fn whoever_has_lost_its_origin_drains_for_presenters_alone() {
    let report = pop::Report {
        made: clock::utc(),
        is_draining: false,
        is_cut_off: true,
        down: pop::Down::default(),
        loads: pop::Loads::default(),
    };
    assert_eq!(said(&report, "a").is_draining, [true, false]);
    let draining = pop::Report {
        is_draining: true,
        is_cut_off: false,
        ..report
    };
    assert_eq!(said(&draining, "a").is_draining, [true; 2]);
}

/// Each for whom it is about.
#[test]
fn what_others_find_down_is_ours_or_not() {
    let down = [
        pop::Mark::new("a", "turn", "ipv6"),
        pop::Mark::new("b", "whip", "ipv4"),
    ];
    let report = pop::Report {
        made: clock::utc(),
        is_draining: false,
        is_cut_off: false,
        loads: pop::Loads::default(),
        down: pop::Down::new(down),
    };
    let finds = |own| said(&report, own).finds_us_down;
    assert_eq!(finds("a"), [[false; 2], [false, true]]);
    assert_eq!(finds("b"), [[true, false], [false; 2]]);
    assert_eq!(finds("c"), [[false; 2]; 2]);
}
