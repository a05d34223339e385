//! The shares of presenters that are served within their region, by country and network,
//! of what one edge or several have seen.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use serde::Serialize;

use super::{
    AIM, REGIONS_KM,
    advice::{self, Far, Next, share},
    seen::Seen,
    tally::{Counts, Spot},
};
use crate::dns::geo::{Code, Direction, Place};

/// Who was served where, and what would help.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whose sight this is.
    pub sources: Vec<Source>,
    /// How far a region reaches.
    pub region_km: f64,
    /// The share that shall be served within their region.
    pub aim: f64,
    /// Sessions that connected: those below together.
    pub presenters: u64,
    /// Those whose place is known: what all shares are of.
    pub located: u64,
    /// Those whose place no database knows.
    pub unlocated: u64,
    /// Those who found no row any more in an edge's table.
    pub unlisted: u64,
    /// Served by a point of presence within their region.
    pub in_region: u64,
    /// Their share; `null` when nobody was located.
    pub share_in_region: Option<f64>,
    /// Served from farther off, though another point of presence was within their region:
    /// better steering would help them, and not another one.
    pub near_another: u64,
    /// The share of those who have any point of presence within their region.
    pub share_near: Option<f64>,
    /// Those whose media came by a relay.
    pub relayed_presenters: u64,
    /// By country, the one with most presenters first.
    pub countries: Vec<Country>,
    /// By autonomous system, likewise.
    pub networks: Vec<Network>,
    /// Relayed presenters by where they are, the longest median round trip first; those
    /// without a measured one last.
    pub relayed: Vec<Relayed>,
    /// Where the next points of presence would help most, the best first. Empty when
    /// the aim is reached.
    pub next: Vec<Next>,
}

/// An edge whose sight is in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its point of presence.
    pub pop: String,
    /// For how long it has counted.
    pub seconds: u64,
    /// How many presenters it has seen.
    pub presenters: u64,
}

/// Presenters of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// All of them.
    pub presenters: u64,
    /// Those whose place is known.
    pub located: u64,
    /// Those served within their region.
    pub in_region: u64,
    /// Their share of the located ones; `null` without any.
    pub share_in_region: Option<f64>,
    /// Those whose media came by a relay.
    pub relayed: u64,
}

/// Presenters of a country.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Country {
    /// Its code; `null` for whom it is unknown.
    pub country: Option<String>,
    /// Who they are.
    #[serde(flatten)]
    pub share: Share,
}

/// Presenters of an autonomous system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Network {
    /// Its number; `null` for whom it is unknown.
    pub asn: Option<u32>,
    /// Who they are.
    #[serde(flatten)]
    pub share: Share,
}

/// Relayed presenters of one network at one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Relayed {
    /// The point of presence that took them.
    pub pop: String,
    /// Their country.
    pub country: Option<String>,
    /// Their autonomous system.
    pub asn: Option<u32>,
    /// Degrees north, to a whole one.
    pub latitude: Option<f64>,
    /// Degrees east, to a whole one.
    pub longitude: Option<f64>,
    /// How many.
    pub presenters: u64,
    /// How many of them have a measured round trip.
    pub measured: u64,
    /// The median of their round trips, within a third of its size.
    pub rtt_median_ms: Option<f64>,
    /// The longest.
    pub rtt_worst_ms: Option<f64>,
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A region of that size says nothing.
    #[error("a region of {0} km: choose from 100 to 20000")]
    Region(f64),
    /// Presenters would be counted twice.
    #[error("{0} is there twice: name each point of presence once, with its newest report")]
    Twice(String),
    /// The edges have different files of the fleet.
    #[error(
        "{0} stands at two places: the edges have different files of the fleet; take reports of one time"
    )]
    Elsewhere(String),
}

impl Report {
    /// Makes it of what edges have seen, each of another point of presence.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn of(seen: &[Seen], region_km: f64) -> Result<Self, Error> {
        if !REGIONS_KM.contains(&region_km) {
            return Err(Error::Region(region_km));
        }
        let mut sums = Sums::new(pops(seen)?, region_km);
        for seen in seen {
            sums.add_seen(seen);
        }
        let sources = seen.iter().map(source).collect();
        Ok(sums.finish(sources))
    }
}

/// Where all points of presence stand.
fn pops(seen: &[Seen]) -> Result<Vec<Direction>, Error> {
    let mut sources = BTreeSet::new();
    let mut pops: BTreeMap<&str, Place> = BTreeMap::new();
    for seen in seen {
        if !sources.insert(&seen.pop) {
            return Err(Error::Twice(seen.pop.clone()));
        }
        for (name, place) in &seen.pops {
            match pops.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(*place);
                }
                Entry::Occupied(entry) if entry.get() == place => {}
                Entry::Occupied(_) => return Err(Error::Elsewhere(name.clone())),
            }
        }
    }
    Ok(pops.into_values().map(Direction::of).collect())
}

fn source(seen: &Seen) -> Source {
    let rows = seen.rows.by_spot.values();
    let micros = seen.at.micros_since(seen.since);
    Source {
        pop: seen.pop.clone(),
        seconds: u64::try_from(micros).unwrap_or(0) / 1_000_000,
        presenters: sum(rows.chain([&seen.rows.others]).map(|it| it.presenters)),
    }
}

fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// What is summed up row by row.
struct Sums {
    pops: Vec<Direction>,
    region_km: f64,
    all: Share,
    unlisted: u64,
    near_another: u64,
    countries: BTreeMap<Option<Code>, Share>,
    networks: BTreeMap<Option<u32>, Share>,
    relayed: Vec<Relayed>,
    far: Vec<Far>,
}

/// How far a presenter was served from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nearness {
    Unknown,
    InRegion,
    /// Another point of presence was near.
    NearAnother,
    Far(Place),
}

impl Sums {
    fn new(pops: Vec<Direction>, region_km: f64) -> Self {
        Self {
            pops,
            region_km,
            all: Share::default(),
            unlisted: 0,
            near_another: 0,
            countries: BTreeMap::new(),
            networks: BTreeMap::new(),
            relayed: Vec::new(),
            far: Vec::new(),
        }
    }

    fn add_seen(&mut self, seen: &Seen) {
        let own = seen.place().map(Direction::of);
        for (spot, counts) in &seen.rows.by_spot {
            self.add(&seen.pop, own, *spot, counts);
        }
        let others = &seen.rows.others;
        self.unlisted = self.unlisted.saturating_add(others.presenters);
        self.all.presenters = self.all.presenters.saturating_add(others.presenters);
        self.all.relayed = self.all.relayed.saturating_add(others.relayed);
    }

    fn add(&mut self, pop: &str, own: Option<Direction>, spot: Spot, counts: &Counts) {
        let nearness = self.nearness(own, spot.place);
        for share in [
            &mut self.all,
            self.countries.entry(spot.country).or_default(),
            self.networks.entry(spot.asn).or_default(),
        ] {
            share.add(nearness, counts);
        }
        let presenters = counts.presenters;
        match nearness {
            Nearness::NearAnother => {
                self.near_another = self.near_another.saturating_add(presenters);
            }
            Nearness::Far(place) => self.far.push(Far {
                place,
                country: spot.country,
                presenters,
            }),
            Nearness::Unknown | Nearness::InRegion => {}
        }
        if counts.relayed > 0 {
            self.relayed.push(relayed(pop, spot, counts));
        }
    }

    fn nearness(&self, own: Option<Direction>, place: Option<Place>) -> Nearness {
        let Some(place) = place else {
            return Nearness::Unknown;
        };
        let client = Direction::of(place);
        let is_near = |pop: &Direction| pop.distance_km(client) <= self.region_km;
        if own.is_some_and(|own| is_near(&own)) {
            return Nearness::InRegion;
        }
        match self.pops.iter().any(is_near) {
            true => Nearness::NearAnother,
            false => Nearness::Far(place),
        }
    }

    fn finish(self, sources: Vec<Source>) -> Report {
        let Share {
            presenters,
            located,
            in_region,
            relayed: relayed_presenters,
            ..
        } = self.all;
        let near = in_region.saturating_add(self.near_another);
        let mut relayed = self.relayed;
        relayed.sort_by(|a, b| {
            let (a_ms, b_ms) = (a.rtt_median_ms, b.rtt_median_ms);
            let by_rtt = b_ms.partial_cmp(&a_ms);
            by_rtt
                .unwrap_or(std::cmp::Ordering::Equal)
                .then(b.presenters.cmp(&a.presenters))
        });
        let countries = ranked(self.countries).into_iter();
        let countries = countries.map(|(country, share)| Country {
            country: country.map(|country| country.to_string()),
            share,
        });
        let networks = ranked(self.networks).into_iter();
        let networks = networks.map(|(asn, share)| Network { asn, share });
        Report {
            sources,
            region_km: self.region_km,
            aim: AIM,
            presenters,
            located,
            unlocated: presenters
                .saturating_sub(located)
                .saturating_sub(self.unlisted),
            unlisted: self.unlisted,
            in_region,
            share_in_region: share(in_region, located),
            near_another: self.near_another,
            share_near: share(near, located),
            relayed_presenters,
            countries: countries.collect(),
            networks: networks.collect(),
            relayed,
            next: advice::next(&self.far, near, located, self.region_km),
        }
    }
}

impl Share {
    fn add(&mut self, nearness: Nearness, counts: &Counts) {
        let presenters = counts.presenters;
        self.presenters = self.presenters.saturating_add(presenters);
        self.relayed = self.relayed.saturating_add(counts.relayed);
        if nearness != Nearness::Unknown {
            self.located = self.located.saturating_add(presenters);
        }
        if nearness == Nearness::InRegion {
            self.in_region = self.in_region.saturating_add(presenters);
        }
        self.share_in_region = share(self.in_region, self.located);
    }
}

/// Those with most presenters first.
fn ranked<K: Ord>(shares: BTreeMap<K, Share>) -> Vec<(K, Share)> {
    let mut ranked: Vec<_> = shares.into_iter().collect();
    ranked.sort_by_key(|(_, share)| std::cmp::Reverse(share.presenters));
    ranked
}

fn relayed(pop: &str, spot: Spot, counts: &Counts) -> Relayed {
    Relayed {
        pop: pop.to_owned(),
        country: spot.country.map(|country| country.to_string()),
        asn: spot.asn,
        latitude: spot.place.map(Place::latitude),
        longitude: spot.place.map(Place::longitude),
        presenters: counts.relayed,
        measured: counts.rtts.count(),
        rtt_median_ms: counts.rtts.median_ms(),
        rtt_worst_ms: counts.rtts.worst_ms(),
    }
}
