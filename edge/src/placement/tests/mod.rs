//! Reports and advice by cases that were worked out by hand, and by any that there are.

mod advice;
mod report;
mod wire;

use std::{collections::BTreeMap, time::Duration};

use inlet_common::clock::UtcTime;

use super::*;
use crate::dns::geo::{Code, Place};

/// Frankfurt and Ashburn, to whole degrees.
pub(super) const FRA: (f64, f64) = (50.0, 9.0);
pub(super) const IAD: (f64, f64) = (39.0, -77.0);

pub(super) fn place((latitude, longitude): (f64, f64)) -> Place {
    Place::new(latitude, longitude).unwrap()
}

pub(super) fn spot(country: &str, asn: u32, at: (f64, f64)) -> Spot {
    Spot {
        country: Code::parse(country),
        asn: Some(asn),
        place: Some(place(at)),
    }
}

/// So many presenters, of whom some are relayed with these round trips in ms.
pub(super) fn counts(presenters: u64, rtts: &[u64]) -> Counts {
    let mut counts = Counts {
        presenters,
        relayed: rtts.len() as u64,
        ..Counts::default()
    };
    for millis in rtts {
        counts.rtts.add(Duration::from_millis(*millis));
    }
    counts
}

/// What the edge `pop`, of a fleet of two, has seen in an hour.
pub(super) fn seen(pop: &str, rows: impl IntoIterator<Item = (Spot, Counts)>) -> Seen {
    let at = |seconds: i64| UtcTime::from_unix_micros((1_800_000_000 + seconds) * 1_000_000);
    let pops = [("fra", FRA), ("iad", IAD)];
    let pops = pops.map(|(name, at)| (name.to_owned(), place(at)));
    Seen {
        pop: pop.to_owned(),
        since: at(0),
        at: at(3_600),
        pops: BTreeMap::from(pops),
        rows: tally::Rows {
            by_spot: rows.into_iter().collect(),
            others: Counts::default(),
        },
    }
}
