//! Where a client is, when its network has no coordinates of its own.
//!
//! The next best are the other networks of its autonomous system, if they lie close
//! together; then its country. Of a country the table has where most of its people are,
//! not the middle of its land: that of Russia is in Siberia, that of Canada in the
//! tundra.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use super::{
    facts::{Code, Facts},
    place::{Mean, Place},
};

/// How close to their centre the networks of an autonomous system must lie, in km: not
/// farther than points of presence are from one another.
pub const MAX_SPREAD_KM: f64 = 500.0;

/// How it is known where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// A database has its network's coordinates.
    Located(Place),
    /// The middle of its autonomous system's other networks.
    AsnCentre(Place),
    /// The middle of its country's people.
    CountryCentre(Place),
    /// Not at all.
    Unknown,
}

impl Whereabouts {
    /// The place.
    pub fn place(self) -> Option<Place> {
        match self {
            Self::Located(place) | Self::AsnCentre(place) | Self::CountryCentre(place) => {
                Some(place)
            }
            Self::Unknown => None,
        }
    }
}

/// The middles of autonomous systems whose networks lie close together.
#[derive(Clone, Debug, Default)]
pub(super) struct Centres(HashMap<u32, Place>);

impl Centres {
    /// Where a client is of whom `facts` are known.
    pub(super) fn whereabouts(&self, facts: &Facts) -> Whereabouts {
        let of_asn = || {
            let place = self.0.get(&facts.asn?)?;
            Some(Whereabouts::AsnCentre(*place))
        };
        let of_country = || Some(Whereabouts::CountryCentre(country_centre(facts.country?)?));
        let located = facts.place.map(Whereabouts::Located);
        located
            .or_else(of_asn)
            .or_else(of_country)
            .unwrap_or(Whereabouts::Unknown)
    }
}

/// Located networks of autonomous systems, taken as they come.
#[derive(Debug, Default)]
pub(super) struct CentresBuilder(HashMap<u32, Mean>);

impl CentresBuilder {
    /// Adds a network that weighs as much as it has addresses.
    pub(super) fn add(&mut self, facts: &Facts, addresses: f64) {
        if let (Some(asn), Some(place)) = (facts.asn, facts.place) {
            self.0.entry(asn).or_default().add(place, addresses);
        }
    }

    pub(super) fn build(self) -> Centres {
        let close = |(asn, mean): (u32, Mean)| Some((asn, mean.centre(MAX_SPREAD_KM)?));
        Centres(self.0.into_iter().filter_map(close).collect())
    }
}

/// Where most of a country's people are; `None` if ISO 3166-1 does not have it.
pub fn country_centre(code: Code) -> Option<Place> {
    static CENTRES: LazyLock<BTreeMap<Code, Place>> = LazyLock::new(|| {
        include_str!("countries.tsv")
            .lines()
            .filter_map(centre)
            .collect()
    });
    CENTRES.get(&code).copied()
}

/// A line of the table; `None` for a comment.
fn centre(line: &str) -> Option<(Code, Place)> {
    let mut fields = line.split('\t');
    let code = Code::parse(fields.next()?)?;
    let latitude = fields.next()?.parse().ok()?;
    let longitude = fields.next()?.parse().ok()?;
    Some((code, Place::new(latitude, longitude)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Code {
        Code::parse(text).unwrap()
    }

    fn place(latitude: f64, longitude: f64) -> Option<Place> {
        Place::new(latitude, longitude)
    }

    #[test]
    fn every_line_of_the_table_is_a_comment_or_a_country() {
        let lines = include_str!("countries.tsv").lines();
        let lines: Vec<&str> = lines.filter(|line| !line.starts_with('#')).collect();
        assert!(lines.iter().all(|line| centre(line).is_some()));
        assert!(lines.windows(2).all(|pair| pair[0][..2] < pair[1][..2]));
        // ISO 3166-1 has 249, and databases have Kosovo.
        assert_eq!(lines.len(), 250);
    }

    #[test]
    fn a_country_is_where_its_people_are() {
        let moscow = place(55.75, 37.6).unwrap();
        let russia = country_centre(code("RU")).unwrap();
        assert!(russia.distance_km(moscow) < 1000.0);
        let berne = place(46.95, 7.45).unwrap();
        assert!(country_centre(code("CH")).unwrap().distance_km(berne) < 150.0);
        assert_eq!(country_centre(code("XX")), None);
    }

    #[test]
    fn coordinates_go_before_the_system_and_that_before_the_country() {
        let of = |asn, place, country: &str| Facts {
            asn: Some(asn),
            place,
            country: Code::parse(country),
            continent: None,
        };
        let mut builder = CentresBuilder::default();
        builder.add(&of(1, place(50.0, 8.0), "DE"), 256.0);
        builder.add(&of(1, place(50.0, 10.0), "DE"), 256.0);
        builder.add(&of(2, place(50.0, 8.0), "DE"), 256.0);
        builder.add(&of(2, place(40.0, -74.0), "US"), 256.0);
        let centres = builder.build();

        let at = place(1.0, 1.0).unwrap();
        let located = centres.whereabouts(&of(1, Some(at), "DE"));
        assert_eq!(located, Whereabouts::Located(at));
        let Whereabouts::AsnCentre(middle) = centres.whereabouts(&of(1, None, "FR")) else {
            panic!("the system's networks are close together");
        };
        assert!(middle.distance_km(place(50.0, 9.0).unwrap()) < 5.0);
        let scattered = centres.whereabouts(&of(2, None, "FR"));
        assert_eq!(scattered.place(), country_centre(code("FR")));
        assert_eq!(
            centres.whereabouts(&of(3, None, "XX")),
            Whereabouts::Unknown
        );
    }
}
