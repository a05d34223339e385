//! What one edge has seen, as it travels: in the answer of its admin API, in a file, and
//! into the report of several.
//!
//! It comes from a machine of the same fleet, but through hands: what is read is checked
//! as if a stranger had written it.

use std::collections::{BTreeMap, btree_map::Entry};

use inlet_common::clock::UtcTime;
use serde::{Deserialize, Serialize};

use super::{
    rtt::Rtts,
    tally::{Counts, MAX_ROWS, Rows, Spot},
};
use crate::dns::geo::{Code, MAX_POPS, Place};

/// Longest answer or file that is read: with [`MAX_ROWS`] rows and all lists some 8 MB.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Longest name of a point of presence, as in the fleet's file.
const MAX_NAME: usize = 63;

/// What one edge has seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The edge's point of presence.
    pub pop: String,
    /// When it began to count.
    pub since: UtcTime,
    /// When it told of it.
    pub at: UtcTime,
    /// Where points of presence stand that take presenters, its own among them.
    pub pops: BTreeMap<String, Place>,
    /// Who was where.
    pub rows: Rows,
}

/// Why this is nothing that an edge has seen.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not the JSON that an edge writes.
    #[error("it is no report of an edge")]
    Json(#[from] serde_json::Error),
    /// An edge cannot have made it.
    #[error("no edge has written it so: {0}")]
    Unsound(&'static str),
}

impl Seen {
    /// Reads what [`Wire`] writes; fields beyond it are a report's, which is made anew.
    ///
    /// # Errors
    ///
    /// [`Unreadable`].
    pub fn read(text: &[u8]) -> Result<Self, Unreadable> {
        let wire: Wire = serde_json::from_slice(text)?;
        Self::try_from(wire).map_err(Unreadable::Unsound)
    }

    /// Where its point of presence stands.
    pub fn place(&self) -> Option<Place> {
        self.pops.get(&self.pop).copied()
    }
}

/// The same in JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wire {
    pop: String,
    /// Milliseconds since the Unix epoch.
    since: i64,
    at: i64,
    pops: Vec<Pop>,
    rows: Vec<Row>,
    /// Who found no row any more.
    others: Counts,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pop {
    name: String,
    latitude: f64,
    longitude: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    country: Option<String>,
    asn: Option<u32>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    presenters: u64,
    relayed: u64,
    rtts: Rtts,
}

impl From<&Seen> for Wire {
    fn from(seen: &Seen) -> Self {
        let pops = seen.pops.iter().map(|(name, place)| Pop {
            name: name.clone(),
            latitude: place.latitude(),
            longitude: place.longitude(),
        });
        let rows = seen.rows.by_spot.iter().map(|(spot, counts)| Row {
            country: spot.country.map(|country| country.to_string()),
            asn: spot.asn,
            latitude: spot.place.map(Place::latitude),
            longitude: spot.place.map(Place::longitude),
            presenters: counts.presenters,
            relayed: counts.relayed,
            rtts: counts.rtts.clone(),
        });
        Self {
            pop: seen.pop.clone(),
            since: seen.since.as_unix_micros() / 1_000,
            at: seen.at.as_unix_micros() / 1_000,
            pops: pops.collect(),
            rows: rows.collect(),
            others: seen.rows.others.clone(),
        }
    }
}

impl TryFrom<Wire> for Seen {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, &'static str> {
        let mut pops = BTreeMap::new();
        for pop in wire.pops.into_iter().take(MAX_POPS + 1) {
            let place = Place::new(pop.latitude, pop.longitude);
            let place = place.ok_or("a point of presence is not on earth")?;
            if !is_name(&pop.name) || pops.insert(pop.name, place).is_some() {
                return Err("a name of a point of presence is none, or is there twice");
            }
        }
        if pops.len() > MAX_POPS || !pops.contains_key(&wire.pop) {
            return Err("its point of presence is not among the others, or they are too many");
        }
        if wire.since > wire.at {
            return Err("it ends before it begins");
        }
        if !wire.others.is_sound() {
            return Err("more are relayed, or measured, than there are");
        }
        let millis = |millis: i64| UtcTime::from_unix_micros(millis.saturating_mul(1_000));
        Ok(Self {
            pop: wire.pop,
            since: millis(wire.since),
            at: millis(wire.at),
            pops,
            rows: Rows {
                by_spot: by_spot(wire.rows)?,
                others: wire.others,
            },
        })
    }
}

/// As it may stand in the fleet's file, and on a terminal.
fn is_name(name: &str) -> bool {
    let is_printed = name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_printed && (1..=MAX_NAME).contains(&name.len())
}

fn by_spot(rows: Vec<Row>) -> Result<BTreeMap<Spot, Counts>, &'static str> {
    if rows.len() > MAX_ROWS {
        return Err("it has too many rows");
    }
    let mut by_spot = BTreeMap::new();
    for row in rows {
        let spot = spot(&row)?;
        let counts = Counts {
            presenters: row.presenters,
            relayed: row.relayed,
            rtts: row.rtts,
        };
        if counts.presenters == 0 || !counts.is_sound() {
            return Err("more are relayed, or measured, than there are");
        }
        match by_spot.entry(spot) {
            Entry::Vacant(entry) => {
                entry.insert(counts);
            }
            Entry::Occupied(_) => return Err("a row is there twice"),
        }
    }
    Ok(by_spot)
}

fn spot(row: &Row) -> Result<Spot, &'static str> {
    let country = row.country.as_deref().map(Code::parse);
    let place = match (row.latitude, row.longitude) {
        (None, None) => None,
        (Some(latitude), Some(longitude)) => Some(Place::new(latitude, longitude)),
        _ => return Err("a row has half a place"),
    };
    let place = place.map(|place| place.filter(|place| *place == place.rounded()));
    Ok(Spot {
        country: country
            .map(|it| it.ok_or("a country is no code of two letters"))
            .transpose()?,
        asn: row.asn,
        place: place
            .map(|it| it.ok_or("a place is none of whole degrees"))
            .transpose()?,
    })
}
