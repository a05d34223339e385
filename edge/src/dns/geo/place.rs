//! Where something is, and how far that is from somewhere else.
//!
//! A place is compared as a unit vector: the angle between two of them is the way on
//! the sphere, without a special case at the poles or at 180° of longitude.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
};

/// Mean radius of the earth (IUGG, R₁), in km.
const EARTH_RADIUS_KM: f64 = 6371.0088;

/// A place on earth, by WGS 84.
///
/// It can be a key: both numbers are finite, and zero has one sign. The order is by
/// latitude, then by longitude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    latitude: f64,
    longitude: f64,
}

impl Place {
    /// Degrees north, from -90 to 90, and degrees east, from -180 to 180; `None`
    /// outside of these or where one is not a number.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let valid = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        // Adding zero turns -0.0 into 0.0.
        valid.then_some(Self {
            latitude: latitude + 0.0,
            longitude: longitude + 0.0,
        })
    }

    /// Degrees north.
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east.
    pub fn longitude(self) -> f64 {
        self.longitude
    }

    /// The same to whole degrees: at most 79 km from here.
    #[must_use]
    pub fn rounded(self) -> Self {
        let longitude = self.longitude.round() + 0.0;
        Self {
            latitude: self.latitude.round() + 0.0,
            // One meridian has two numbers.
            longitude: if longitude == 180.0 {
                -180.0
            } else {
                longitude
            },
        }
    }

    /// The way to `other` on the sphere, in km.
    pub fn distance_km(self, other: Self) -> f64 {
        Direction::of(self).distance_km(Direction::of(other))
    }
}

impl Eq for Place {}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_latitude = self.latitude.total_cmp(&other.latitude);
        by_latitude.then(self.longitude.total_cmp(&other.longitude))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.latitude.to_bits().hash(state);
        self.longitude.to_bits().hash(state);
    }
}

/// A place as a vector of length 1 from the centre of the earth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direction([f64; 3]);

impl Direction {
    pub(crate) fn of(place: Place) -> Self {
        let (latitude, longitude) = (place.latitude.to_radians(), place.longitude.to_radians());
        Self([
            latitude.cos() * longitude.cos(),
            latitude.cos() * longitude.sin(),
            latitude.sin(),
        ])
    }

    pub(crate) fn distance_km(self, other: Self) -> f64 {
        let [a, b] = [self.0, other.0];
        let dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        EARTH_RADIUS_KM * dot.clamp(-1.0, 1.0).acos()
    }
}

/// A weighted mean of places, taken as they come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    sum: [f64; 3],
    weight: f64,
}

impl Mean {
    pub(super) fn add(&mut self, place: Place, weight: f64) {
        let direction = Direction::of(place);
        for (sum, part) in self.sum.iter_mut().zip(direction.0) {
            *sum += weight * part;
        }
        self.weight += weight;
    }

    /// The centre, if the places lie within about `spread_km` of it: the weighted
    /// mean of the cosines of their distances is at least that of `spread_km`.
    pub(super) fn centre(&self, spread_km: f64) -> Option<Place> {
        let length = self.sum.iter().map(|part| part * part).sum::<f64>().sqrt();
        // The sum's length is the sum of each part's share along the centre, so that
        // by the weight it is the mean cosine.
        let close = length > 0.0 && length / self.weight >= (spread_km / EARTH_RADIUS_KM).cos();
        let [x, y, z] = self.sum;
        close
            .then(|| {
                let latitude = (z / length).clamp(-1.0, 1.0).asin().to_degrees();
                Place::new(latitude, y.atan2(x).to_degrees())
            })
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(latitude: f64, longitude: f64) -> Place {
        Place::new(latitude, longitude).unwrap()
    }

    #[test]
    fn only_places_on_earth_are_places() {
        for (latitude, longitude) in [
            (90.1, 0.0),
            (-90.1, 0.0),
            (0.0, 180.1),
            (0.0, -180.1),
            (f64::NAN, 0.0),
            (0.0, f64::INFINITY),
        ] {
            assert_eq!(Place::new(latitude, longitude), None);
        }
        assert_eq!(place(-0.0, 0.0), place(0.0, -0.0));
    }

    #[test]
    fn a_rounded_place_is_near_and_has_one_name() {
        assert_eq!(place(51.51, -0.09).rounded(), place(52.0, 0.0));
        assert_eq!(place(-33.9, 179.7).rounded(), place(-34.0, -180.0));
        assert_eq!(place(-33.9, -179.7).rounded(), place(-34.0, -180.0));
        let corner = place(0.5, 0.5);
        assert!(corner.distance_km(corner.rounded()) < 79.0);
        assert!(place(1.0, 9.0) < place(2.0, -9.0) && place(1.0, -9.0) < place(1.0, 9.0));
    }

    #[test]
    fn distances_are_those_of_the_atlas() {
        let (frankfurt, new_york) = (place(50.11, 8.68), place(40.71, -74.01));
        assert!((frankfurt.distance_km(new_york) - 6206.0).abs() < 10.0);
        let across_the_date_line = place(0.0, 179.5).distance_km(place(0.0, -179.5));
        assert!((across_the_date_line - 111.2).abs() < 0.1);
        assert!((place(90.0, 0.0).distance_km(place(-90.0, 0.0)) - 20_015.0).abs() < 1.0);
    }

    #[test]
    fn places_far_apart_have_no_centre() {
        let mut mean = Mean::default();
        assert_eq!(mean.centre(500.0), None);
        mean.add(place(0.0, 179.0), 1.0);
        mean.add(place(0.0, -179.0), 1.0);
        let centre = mean.centre(500.0).unwrap();
        assert!(centre.distance_km(place(0.0, 180.0)) < 0.001);
        mean.add(place(0.0, 0.0), 0.1);
        assert_eq!(mean.centre(500.0), None);
    }

    proptest! {
        #[test]
        fn the_way_there_is_as_long_as_the_way_back(
            a in (-90.0..=90.0, -180.0..=180.0), b in (-90.0..=90.0, -180.0..=180.0),
        ) {
            let (a, b) = (place(a.0, a.1), place(b.0, b.1));
            let there = a.distance_km(b);
            prop_assert!((0.0..=20_016.0).contains(&there));
            prop_assert_eq!(there, b.distance_km(a));
            prop_assert!(a.distance_km(a) < 0.001);
        }
    }
}
