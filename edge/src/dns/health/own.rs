//! The point of presence that this process belongs to, and its own network.
//!
//! Nobody sees himself from outside. What is broken here, a certificate or a port, the
//! others' probes find, and they say so in their reports: where two of them do, or the
//! only one that can be heard, this name server sends nobody here either, as theirs do.
//!
//! And whoever finds all others down at once has lost his own network, or whatever he
//! probes with, more likely than all of them are dead. Then only what is heard counts:
//! who reports is well, and who does not while the origin hears us is dead. Where nothing
//! is heard at all, nothing is known of anybody, this one being no better than the others.

use std::time::{Duration, Instant};

use inlet_common::roq::pop::SILENCE;

use super::{Health, Known, is_fresh};
use crate::dns::{
    fleet::{Family, Service},
    geo::PopId,
    steer::Standing,
};

/// Others that fall within so long have fallen at once: three probes of each, the one of
/// which began a round later and took a second more every time.
const AT_ONCE: Duration = Duration::from_secs(10);

/// How many of the others must fall at once: one alone is more likely to be dead.
const ALL_OTHERS: usize = 2;

/// How many of the others are believed: one may have trouble on its own way here.
const WITNESSES: usize = 2;

impl Health {
    /// Notes that the origin knows of us: what we said had come there `at`.
    pub fn handle_origin(&mut self, at: Instant) {
        self.origin = self.origin.max(Some(at));
    }

    /// What our probes find down, for those whom it is about: first those who are heard
    /// of, since only they can hear it.
    pub fn down(&self, now: Instant) -> impl Iterator<Item = (PopId, Service, Family)> {
        let mut down = Vec::new();
        for service in Service::ALL {
            for family in Family::ALL {
                if self.is_blind(now, service, family) {
                    continue;
                }
                let fell = self.others().filter(|(_, known)| {
                    known.serves[service as usize][family as usize]
                        && known.probes[service as usize][family as usize].is_up(now) == Some(false)
                });
                down.extend(fell.map(|(id, known)| (!known.is_heard(now), (id, service, family))));
            }
        }
        down.sort_by_key(|(is_silent, _)| *is_silent);
        down.into_iter().map(|(_, what)| what)
    }

    /// What the others find down of this one.
    pub fn missed(&self, now: Instant) -> Vec<(Service, Family)> {
        let services = Service::ALL.into_iter();
        let all = services.flat_map(|service| Family::ALL.map(|family| (service, family)));
        all.filter(|(service, family)| self.is_missed(now, *service, *family))
            .collect()
    }

    fn others(&self) -> impl Iterator<Item = (PopId, &Known)> {
        self.ids().filter(|(id, _)| Some(*id) != self.own)
    }

    /// The others that a client could be sent to.
    fn serving(&self, service: Service, family: Family) -> impl Iterator<Item = (PopId, &Known)> {
        self.others()
            .filter(move |(_, known)| known.serves[service as usize][family as usize])
    }

    /// Whether all others have fallen at once, and none has risen since.
    pub(super) fn is_blind(&self, now: Instant, service: Service, family: Family) -> bool {
        let (mut first, mut last, mut count) = (None::<Instant>, None::<Instant>, 0);
        for (_, known) in self.serving(service, family) {
            let probes = known.probes(now, service, family);
            let fell = match probes.is_up(now) {
                // Nothing was tried.
                None => continue,
                Some(true) => return false,
                Some(false) => probes.fell,
            };
            let Some(fell) = fell else { return false };
            first = Some(first.map_or(fell, |first| first.min(fell)));
            last = last.max(Some(fell));
            count += 1;
        }
        let spread = first
            .zip(last)
            .map(|(first, last)| last.saturating_duration_since(first));
        count >= ALL_OTHERS && spread.is_some_and(|spread| spread <= AT_ONCE)
    }

    /// Whether failed probes of one say nothing, where all others have failed at once.
    pub(super) fn is_excused(&self, now: Instant, known: &Known) -> bool {
        let is_with_origin = self.origin.is_some_and(|at| is_recent(now, at));
        known.is_heard(now) || !is_with_origin
    }

    /// What follows for this point of presence.
    pub(super) fn judge_own(
        &self,
        now: Instant,
        service: Service,
        family: Family,
        standings: &mut [(PopId, Standing)],
    ) {
        let Some(own) = self.own.map(|own| usize::from(own.0)) else {
            return;
        };
        let is_forced = |known: &Known| known.forced.is_some();
        if !self.is_probed || self.pops.get(own).is_none_or(is_forced) {
            return;
        }
        let is_missed = self.is_missed(now, service, family);
        let is_lost = self.knows_nobody(service, family, standings);
        let Some((_, standing)) = standings.get_mut(own) else {
            return;
        };
        if is_missed {
            *standing = Standing::Down;
        } else if is_lost && matches!(standing, Standing::Open { .. }) {
            *standing = Standing::Unknown;
        }
    }

    /// Whether the others find this one down.
    fn is_missed(&self, now: Instant, service: Service, family: Family) -> bool {
        let (service, family) = (service as usize, family as usize);
        let (mut witnesses, mut against) = (0, 0);
        for (_, known) in self.others() {
            // Of whoever cannot be reached from here either, the way between may be broken.
            let probes = known.probes(now, Service::ALL[service], Family::ALL[family]);
            let report = known.report.filter(|(_, made)| is_fresh(now, *made));
            if let Some((report, _)) = report.filter(|_| probes.is_up(now) != Some(false)) {
                witnesses += 1;
                against += usize::from(report.finds_us_down[service][family]);
            }
        }
        against > 0 && against >= witnesses.min(WITNESSES)
    }

    /// Whether there are others, and nothing is known of any of them.
    fn knows_nobody(
        &self,
        service: Service,
        family: Family,
        standings: &[(PopId, Standing)],
    ) -> bool {
        let mut others = self
            .serving(service, family)
            .filter(|(_, known)| known.forced.is_none())
            .filter_map(|(id, _)| standings.get(usize::from(id.0)))
            .peekable();
        others.peek().is_some() && others.all(|(_, standing)| *standing == Standing::Unknown)
    }
}

impl Known {
    /// Whether its reports still come.
    fn is_heard(&self, now: Instant) -> bool {
        self.report.is_some_and(|(_, made)| is_recent(now, made))
    }
}

/// Sooner than reports grow old: two may be missing.
fn is_recent(now: Instant, at: Instant) -> bool {
    now.saturating_duration_since(at) <= SILENCE
}
