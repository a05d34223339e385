//! The point of presence that this process belongs to.
//!
//! Nobody sees himself from outside. What is broken here, a certificate or a port, the
//! others' probes find, and they say so in their reports: where two of them do, this name
//! server sends nobody here either, as theirs do. One alone is not believed: what it finds
//! may be its own trouble, and in a fleet of two a broken one would take the sound one out.
//!
//! That is against faults, and none against a point of presence that lies: a HELLO's name
//! is believed, so whoever is let to the origin can speak for two.

use std::time::Instant;

use inlet_common::roq::pop::SILENCE;

use super::{Health, Known, is_fresh};
use crate::dns::{
    fleet::{Family, Service},
    geo::PopId,
};

/// How many of the others have to say so: one may have trouble on its own way here.
const WITNESSES: usize = 2;

impl Health {
    /// What our probes find down, for those whom it is about: first those who are heard
    /// of, since only they can hear it.
    pub fn down(&self, now: Instant) -> impl Iterator<Item = (PopId, Service, Family)> {
        let mut down = Vec::new();
        for (service, family) in all() {
            let fell = self.others().filter(|(_, known)| {
                let probes = &known.probes[service as usize][family as usize];
                probes.is_up(now) == Some(false)
            });
            down.extend(fell.map(|(id, known)| (!known.is_heard(now), (id, service, family))));
        }
        down.sort_by_key(|(is_silent, _)| *is_silent);
        down.into_iter().map(|(_, what)| what)
    }

    /// What others find down of this one, be it one alone.
    pub fn missed(&self, now: Instant) -> Vec<(Service, Family)> {
        all()
            .filter(|(service, family)| self.witnesses(now, *service, *family) > 0)
            .collect()
    }

    /// Whether enough of the others find this one down.
    pub(super) fn is_missed(&self, now: Instant, service: Service, family: Family) -> bool {
        self.witnesses(now, service, family) >= WITNESSES
    }

    /// How many of the others find this one down.
    fn witnesses(&self, now: Instant, service: Service, family: Family) -> usize {
        let finds_us_down = |known: &Known| {
            let report = known.report.filter(|(_, made)| is_fresh(now, *made));
            report
                .is_some_and(|(report, _)| report.finds_us_down[service as usize][family as usize])
        };
        // Of whoever cannot be reached from here either, the way between may be broken.
        let is_well = |known: &Known| known.probes(now, service, family).is_up(now) != Some(false);
        self.others()
            .filter(|(_, known)| finds_us_down(known) && is_well(known))
            .count()
    }

    fn others(&self) -> impl Iterator<Item = (PopId, &Known)> {
        self.ids().filter(|(id, _)| Some(*id) != self.own)
    }
}

impl Known {
    /// Whether its reports still come, two of which may be missing.
    fn is_heard(&self, now: Instant) -> bool {
        let age = |made| now.saturating_duration_since(made);
        self.report.is_some_and(|(_, made)| age(made) <= SILENCE)
    }
}

fn all() -> impl Iterator<Item = (Service, Family)> {
    let services = Service::ALL.into_iter();
    services.flat_map(|service| Family::ALL.map(|family| (service, family)))
}
