//! Points of presence, and lists of them in the order in which a client tries them.

use std::fmt;

use super::place::{Direction, Place};

/// Points of presence that a fleet may have.
pub const MAX_POPS: usize = 128;

/// Points of presence in a list: one to go to, and those that take over when it is
/// down or full.
pub const MAX_RANKED: usize = 4;

/// A point of presence, by its index in the fleet, below [`MAX_POPS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PopId(pub u8);

impl fmt::Display for PopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a point of presence is, and how much it is liked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Site {
    /// Where it is.
    pub place: Place,
    /// Kilometres by which it counts as nearer than it is: what is positive widens
    /// its region, what is negative makes it smaller. From -20,000 to 20,000; 0 is
    /// the mere distance.
    pub bias_km: f64,
}

/// Up to [`MAX_RANKED`] points of presence, the best first, none twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ranked {
    // Unused slots are zero, so that equal lists are equal values.
    pops: [PopId; MAX_RANKED],
    len: u8,
}

impl Ranked {
    /// The list, the best first.
    pub fn as_slice(&self) -> &[PopId] {
        self.pops.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The best one.
    pub fn first(&self) -> Option<PopId> {
        self.as_slice().first().copied()
    }

    /// Appends `pop`, unless it is there or the list is full.
    pub(super) fn push(&mut self, pop: PopId) {
        if self.as_slice().contains(&pop) {
            return;
        }
        if let Some(slot) = self.pops.get_mut(usize::from(self.len)) {
            *slot = pop;
            self.len += 1;
        }
    }

    pub(super) fn is_full(&self) -> bool {
        usize::from(self.len) == MAX_RANKED
    }
}

/// The fleet's sites, ready to be measured from anywhere.
#[derive(Clone, Debug)]
pub(super) struct Sites(Vec<(Direction, f64)>);

impl Sites {
    pub(super) fn new(sites: &[Site]) -> Self {
        let ready = |site: &Site| (Direction::of(site.place), site.bias_km);
        Self(sites.iter().map(ready).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, in the order in which they were given.
    pub(super) fn ids(&self) -> impl Iterator<Item = PopId> {
        (0..=u8::MAX).take(self.0.len()).map(PopId)
    }

    /// The way from `place` to a site, without its bias, in km.
    pub(super) fn distance_km(&self, place: Place, pop: PopId) -> Option<f64> {
        let (site, _) = self.0.get(usize::from(pop.0))?;
        Some(site.distance_km(Direction::of(place)))
    }

    /// Fills `list` with the sites nearest to `place`; of two that are equally near,
    /// the one with the lower index.
    pub(super) fn fill_with_nearest(&self, list: &mut Ranked, place: Place) {
        let from = Direction::of(place);
        let apparent = |(site, bias): &(Direction, f64)| site.distance_km(from) - bias;
        let mut all: Vec<(f64, PopId)> = self.0.iter().map(apparent).zip(self.ids()).collect();
        all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (_, pop) in all {
            if list.is_full() {
                return;
            }
            list.push(pop);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site(latitude: f64, longitude: f64, bias_km: f64) -> Site {
        Site {
            place: Place::new(latitude, longitude).unwrap(),
            bias_km,
        }
    }

    fn nearest(sites: &[Site], place: Place) -> Vec<u8> {
        let mut list = Ranked::default();
        Sites::new(sites).fill_with_nearest(&mut list, place);
        list.as_slice().iter().map(|pop| pop.0).collect()
    }

    #[test]
    fn a_list_has_no_point_of_presence_twice_and_four_at_most() {
        let mut list = Ranked::default();
        assert_eq!(list.first(), None);
        for pop in [3, 1, 3, 0, 1, 2, 4] {
            list.push(PopId(pop));
        }
        assert_eq!(list.as_slice(), [3, 1, 0, 2].map(PopId));
        assert!(list.is_full());
    }

    #[test]
    fn what_was_listed_stays_in_front_of_what_is_near() {
        let sites = [0.0, 10.0, 20.0].map(|longitude| site(0.0, longitude, 0.0));
        let mut list = Ranked::default();
        list.push(PopId(2));
        Sites::new(&sites).fill_with_nearest(&mut list, Place::new(0.0, 1.0).unwrap());
        assert_eq!(list.as_slice(), [2, 0, 1].map(PopId));
    }

    #[test]
    fn a_bias_widens_a_region_and_a_negative_one_narrows_it() {
        let from = Place::new(0.0, 4.0).unwrap();
        let plain = [site(0.0, 0.0, 0.0), site(0.0, 10.0, 0.0)];
        assert_eq!(nearest(&plain, from), [0, 1]);
        // Four degrees to the one and six to the other: 222 km of difference.
        let liked = [plain[0], site(0.0, 10.0, 223.0)];
        assert_eq!(nearest(&liked, from), [1, 0]);
        let disliked = [site(0.0, 0.0, -223.0), plain[1]];
        assert_eq!(nearest(&disliked, from), [1, 0]);
    }

    #[test]
    fn of_two_that_are_equally_near_the_lower_index_comes_first() {
        let sites = [site(5.0, 5.0, 0.0); 6];
        assert_eq!(nearest(&sites, sites[0].place), [0, 1, 2, 3]);
    }

    proptest! {
        #[test]
        fn the_nearest_are_those_of_a_brute_force_haversine(
            sites in prop::collection::vec((-90.0..=90.0, -180.0..=180.0, -500.0..500.0), 1..40),
            latitude in -90.0..=90.0, longitude in -180.0..=180.0,
        ) {
            let sites: Vec<_> = sites.iter().map(|&(a, b, c)| site(a, b, c)).collect();
            let place = Place::new(latitude, longitude).unwrap();
            let list = nearest(&sites, place);
            prop_assert_eq!(list.len(), sites.len().min(MAX_RANKED));
            let km = |index: usize| haversine_km(place, sites[index].place) - sites[index].bias_km;
            for pair in list.windows(2) {
                prop_assert!(km(pair[0].into()) <= km(pair[1].into()) + 0.001);
            }
            let last = km(list[list.len() - 1].into());
            for index in (0..sites.len()).filter(|&index| !list.contains(&(index as u8))) {
                prop_assert!(km(index) >= last - 0.001);
            }
        }
    }

    /// Another formula for the same distance.
    fn haversine_km(a: Place, b: Place) -> f64 {
        let (from, to) = (a.latitude().to_radians(), b.latitude().to_radians());
        let half = |a: f64, b: f64| ((b - a) / 2.0).sin().powi(2);
        let east = half(a.longitude().to_radians(), b.longitude().to_radians());
        let h = half(from, to) + from.cos() * to.cos() * east;
        2.0 * 6371.0088 * h.clamp(0.0, 1.0).sqrt().asin()
    }
}
