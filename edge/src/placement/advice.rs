//! Where another point of presence would bring most presenters into their region.
//!
//! Places where somebody is whom nobody is near to are tried. The choice is greedy: the best
//! of them, then the best for whom it leaves. As many of them chosen in any other way bring
//! at most 1.6 times as many (Nemhauser, Wolsey and Fisher 1978: 1 − 1/e), and the first
//! one, which is what is built next, is the best of them.
//! Equals are decided by order, so that the advice is the same every time.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::AIM;
use crate::dns::geo::{Code, Direction, Place};

/// Most places that are advised.
pub const MAX_NEXT: usize = 5;

/// Places that are tried out, those with the most presenters. With 10,000 places around
/// them that is a fraction of a second.
const MAX_CANDIDATES: usize = 500;

/// Presenters at a place that no point of presence is near to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Far {
    /// The place.
    pub place: Place,
    /// Its country.
    pub country: Option<Code>,
    /// How many.
    pub presenters: u64,
}

/// A place for a point of presence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Next {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// The country of most presenters there.
    pub country: Option<String>,
    /// Presenters that it would bring into their region, beyond those before it.
    pub gain: u64,
    /// Share of the located presenters that would have a point of presence in their
    /// region then.
    pub share_after: f64,
}

/// The next places, the best first, until `near` of the `located` presenters have become
/// [`AIM`], or no place helps, or there are [`MAX_NEXT`].
pub fn next(far: &[Far], near: u64, located: u64, region_km: f64) -> Vec<Next> {
    let mut left = gathered(far);
    let mut candidates = left.clone();
    // Stable: equals stay in the order of their places.
    candidates.sort_by_key(|cell| Reverse(cell.presenters));
    candidates.truncate(MAX_CANDIDATES);
    let (mut near, mut chosen) = (near, Vec::new());
    while chosen.len() < MAX_NEXT && share(near, located).is_some_and(|share| share < AIM) {
        let trials = candidates.iter().map(|at| Trial::of(at, &left, region_km));
        let Some(best) = trials.reduce(Trial::better).filter(|best| best.gain > 0) else {
            break;
        };
        near = near.saturating_add(best.gain);
        chosen.push(Next {
            latitude: best.at.place.latitude(),
            longitude: best.at.place.longitude(),
            country: best.at.country.map(|country| country.to_string()),
            gain: best.gain,
            share_after: share(near, located).unwrap_or_default(),
        });
        let centre = best.at.direction;
        left.retain(|cell| centre.distance_km(cell.direction) > region_km);
    }
    chosen
}

/// Part of a whole; `None` of nothing.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// All presenters at one place.
#[derive(Clone, Copy, Debug)]
struct Cell {
    place: Place,
    direction: Direction,
    /// That of most of them.
    country: Option<Code>,
    presenters: u64,
}

/// Each place once, in order.
fn gathered(far: &[Far]) -> Vec<Cell> {
    let mut places: BTreeMap<Place, BTreeMap<Option<Code>, u64>> = BTreeMap::new();
    for far in far {
        let countries = places.entry(far.place).or_default();
        let count = countries.entry(far.country).or_default();
        *count = count.saturating_add(far.presenters);
    }
    let cell = |(place, countries): (Place, BTreeMap<Option<Code>, u64>)| {
        let most = countries.iter().max_by_key(|(_, count)| **count);
        let counts = countries.values();
        Cell {
            place,
            direction: Direction::of(place),
            country: most.and_then(|(country, _)| *country),
            presenters: counts.fold(0, |sum, count| sum.saturating_add(*count)),
        }
    };
    places.into_iter().map(cell).collect()
}

/// What a point of presence at a place would bring.
struct Trial<'c> {
    at: &'c Cell,
    gain: u64,
    /// Kilometres of all whom it would bring near: of equals the one in their middle.
    way_km: f64,
}

impl<'c> Trial<'c> {
    fn of(at: &'c Cell, left: &[Cell], region_km: f64) -> Self {
        let (mut gain, mut way_km) = (0_u64, 0.0);
        for cell in left {
            let distance = at.direction.distance_km(cell.direction);
            if distance <= region_km {
                gain = gain.saturating_add(cell.presenters);
                way_km += distance * cell.presenters as f64;
            }
        }
        Self { at, gain, way_km }
    }

    /// The first of two equals.
    fn better(self, other: Self) -> Self {
        let by_gain = other.gain.cmp(&self.gain);
        match by_gain.then(self.way_km.total_cmp(&other.way_km)).is_gt() {
            true => other,
            false => self,
        }
    }
}
