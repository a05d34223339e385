//! What is known of each point of presence, and the board that follows from it.
//!
//! ```text
//!  reports (the origin's control stream, or asked for) ─▶ load, draining ───────┐
//!  probes (this process, every two seconds) ─▶ rise and fall ─▶ up, down, busy ─┼─▶ Board
//!  an operator's word ─▶ forced ────────────────────────────────────────────────┘
//! ```
//!
//! Pure: the driver hands in what it heard and when. A probe that fails says more than a
//! report that all is well: who reports has not tried to come in from outside. What is
//! old says nothing: neither "up" nor "down", but "unknown". Who was never heard of is
//! taken to be well for as long as it takes to hear: or a name server that starts would
//! send everybody to itself, of whom alone it knows.
//!
//! Probes go by each address family and are counted apart. Where none goes by a family, as
//! without a way there from here, what the other family found counts: most of what breaks
//! breaks both.
//!
//! Of the point of presence that this process belongs to, no probe of its own tells, but
//! those of the others; see `own`.

mod own;

use std::time::{Duration, Instant};

use super::{
    fleet::{Family, Fleet, Service},
    geo::PopId,
    steer::{Board, Standing},
};

/// Failures in a row that take a service out: six seconds at a probe every two.
const FALL: u32 = 3;

/// Successes in a row that bring it back: twice as long, so that a flapping one stays
/// out.
const RISE: u32 = 6;

/// A report or a probe that is older says nothing any more.
const STALE: Duration = Duration::from_secs(15);

/// How long a probe that found one busy counts before a report that all is well: two
/// rounds of one that is far, so that the two do not take turns. What a probe has found is
/// what clients find.
const BUSY_HOLDS: Duration = Duration::from_secs(8);

/// How long the last report's load and drain count for one that probes find well: when
/// the origin is away nobody becomes idle by that.
const LOAD_KEPT: Duration = Duration::from_secs(300);

const SERVICES: usize = Service::ALL.len();
const FAMILIES: usize = Family::ALL.len();

/// What a point of presence says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Load of each service, as a share of what it can carry; `None` where it is not
    /// served.
    pub load: [Option<f64>; SERVICES],
    /// Whether new clients of each should go elsewhere.
    pub is_draining: [bool; SERVICES],
    /// What it finds down of the point of presence that this process belongs to.
    pub finds_us_down: [[bool; FAMILIES]; SERVICES],
}

/// What a probe found, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probed {
    /// It serves.
    Well,
    /// It lives, and says that it takes nobody: neither a failure nor a success.
    Busy,
    /// It does not serve.
    Failed,
}

/// An operator's word, which counts before all else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// Out, whatever it says.
    Out,
    /// In, however it does; its load still counts.
    In,
}

/// Everything that is known.
#[derive(Clone, Debug)]
pub struct Health {
    pops: Vec<Known>,
    /// Whether anybody is probed: where nobody is, who is silent is taken to be well.
    is_probed: bool,
    /// The name that this process takes presenters under, which probes pass over; `None`
    /// when it takes none.
    own_name: Option<String>,
    /// Its number, if the fleet has it.
    own: Option<PopId>,
}

#[derive(Clone, Debug)]
struct Known {
    /// Since when it could have been heard of.
    since: Instant,
    report: Option<(Report, Instant)>,
    probes: [[Probes; FAMILIES]; SERVICES],
    forced: Option<Forced>,
}

/// The probes of one service by one family.
#[derive(Clone, Copy, Debug, Default)]
struct Probes {
    /// When the last one ended.
    last: Option<Instant>,
    is_up: bool,
    /// In a row, against what it is taken for.
    against: u32,
    /// When it last was busy, if it has not been well since.
    busy: Option<Instant>,
}

impl Health {
    /// Knows nothing of anybody at `now`. `own` is the name that this process takes
    /// presenters under, which is not probed from here.
    pub fn new(now: Instant, fleet: &Fleet, own: Option<String>, is_probed: bool) -> Self {
        Self {
            pops: vec![Known::since(now); fleet.pops().len()],
            is_probed,
            own: own.as_deref().and_then(|own| fleet.find(own)),
            own_name: own,
        }
    }

    /// The same for another fleet: what is known of those whose name stays is kept.
    #[must_use]
    pub fn moved(&self, now: Instant, from: &Fleet, to: &Fleet) -> Self {
        let of = |name: &str| {
            let before = from.find(name)?;
            self.pops.get(usize::from(before.0)).cloned()
        };
        let pops = to.pops().iter();
        let own = self.own_name.as_deref();
        Self {
            pops: pops
                .map(|pop| of(&pop.name).unwrap_or_else(|| Known::since(now)))
                .collect(),
            is_probed: self.is_probed,
            own: own.and_then(|own| to.find(own)),
            own_name: self.own_name.clone(),
        }
    }

    /// Takes what a point of presence says of itself; `made` is when it said so, by our
    /// clock. What is older than what was heard before is passed over.
    pub fn handle_report(&mut self, pop: PopId, report: Report, made: Instant) {
        let Some(known) = self.known(pop) else { return };
        if known.report.is_none_or(|(_, before)| before < made) {
            known.report = Some((report, made));
        }
    }

    /// Takes the result of a probe.
    pub fn handle_probe(
        &mut self,
        now: Instant,
        pop: PopId,
        (service, family): (Service, Family),
        found: Probed,
    ) {
        let Some(known) = self.known(pop) else { return };
        known.probes[service as usize][family as usize].handle(now, found);
    }

    /// Notes an operator's word, or that there is none any more.
    pub fn force(&mut self, pop: PopId, forced: Option<Forced>) {
        if let Some(known) = self.known(pop) {
            known.forced = forced;
        }
    }

    /// What an operator says of it.
    pub fn forced(&self, pop: PopId) -> Option<Forced> {
        self.pops.get(usize::from(pop.0))?.forced
    }

    /// How everybody does at `now`.
    pub fn board(&self, now: Instant) -> Board {
        let mut board = Board::open(self.pops.len());
        for (id, known) in self.ids() {
            for service in Service::ALL {
                for family in Family::ALL {
                    let standing = self.standing(now, (id, known), service, family);
                    board.set(id, service, family, standing);
                }
            }
        }
        board
    }

    fn standing(
        &self,
        now: Instant,
        (id, known): (PopId, &Known),
        service: Service,
        family: Family,
    ) -> Standing {
        let standing = known.standing(now, service, family);
        if !self.is_probed {
            return match standing {
                Standing::Unknown => Standing::default(),
                standing => standing,
            };
        }
        // An operator's word counts before that of the others.
        let is_judged = self.own == Some(id) && known.forced.is_none();
        match is_judged && self.is_missed(now, service, family) {
            true => Standing::Down,
            false => standing,
        }
    }

    fn ids(&self) -> impl Iterator<Item = (PopId, &Known)> {
        (0..=u8::MAX).map(PopId).zip(&self.pops)
    }

    fn known(&mut self, pop: PopId) -> Option<&mut Known> {
        self.pops.get_mut(usize::from(pop.0))
    }
}

impl Known {
    fn since(now: Instant) -> Self {
        Self {
            since: now,
            report: None,
            probes: Default::default(),
            forced: None,
        }
    }

    /// Whether there was nothing to hear yet.
    fn is_new(&self, now: Instant, service: Service) -> bool {
        let mut probes = self.probes[service as usize].iter();
        let is_silent = self.report.is_none() && probes.all(|probes| probes.last.is_none());
        is_silent && is_fresh(now, self.since)
    }

    /// The probes that tell how it does by a family.
    fn probes(&self, now: Instant, service: Service, family: Family) -> &Probes {
        let probes = &self.probes[service as usize];
        let own = &probes[family as usize];
        match own.is_up(now) {
            Some(_) => own,
            None => &probes[family.other() as usize],
        }
    }

    fn standing(&self, now: Instant, service: Service, family: Family) -> Standing {
        let age = |made: &Instant| now.saturating_duration_since(*made);
        let last = self.report.filter(|(_, made)| age(made) <= LOAD_KEPT);
        let is_fresh = last.is_some_and(|(_, made)| age(&made) <= STALE);
        let load = last.and_then(|(report, _)| report.load[service as usize]);
        let says_so = last.is_some_and(|(report, _)| report.is_draining[service as usize]);
        // Whoever has started anew since then may not be heard any more.
        let is_draining = is_fresh && says_so;
        let open = Standing::Open {
            load: load.unwrap_or_default(),
        };
        match self.forced {
            Some(Forced::Out) => return Standing::Down,
            Some(Forced::In) => return open,
            None => {}
        }
        let probes = self.probes(now, service, family);
        let reported = self.report.map(|(_, made)| made);
        match probes.is_up(now) {
            Some(false) => Standing::Down,
            Some(true) if is_draining || probes.is_busy(now, reported) => Standing::Draining,
            Some(true) => open,
            None if is_draining => Standing::Draining,
            // Nobody has tried, and it says that it serves.
            None if is_fresh && load.is_some() => open,
            None if self.is_new(now, service) => open,
            None => Standing::Unknown,
        }
    }
}

impl Probes {
    fn handle(&mut self, now: Instant, found: Probed) {
        // At the start nothing is held against anybody; a gap changes nothing.
        self.is_up |= self.last.is_none();
        self.last = Some(now);
        let is_ok = match found {
            Probed::Busy => {
                self.busy = Some(now);
                return;
            }
            Probed::Well => {
                self.busy = None;
                true
            }
            Probed::Failed => false,
        };
        if is_ok == self.is_up {
            self.against = 0;
            return;
        }
        self.against += 1;
        let needed = if self.is_up { FALL } else { RISE };
        if self.against >= needed {
            self.is_up = is_ok;
            self.against = 0;
        }
    }

    /// Whether it said of late that it takes nobody, and the last report, which came at
    /// `reported`, is not so much newer that it says otherwise.
    fn is_busy(&self, now: Instant, reported: Option<Instant>) -> bool {
        self.busy.is_some_and(|busy| {
            let is_outdone = reported.is_some_and(|reported| reported > busy + BUSY_HOLDS);
            is_fresh(now, busy) && !is_outdone
        })
    }

    /// `None` when nothing was tried of late.
    fn is_up(&self, now: Instant) -> Option<bool> {
        self.last
            .filter(|last| is_fresh(now, *last))
            .map(|_| self.is_up)
    }
}

fn is_fresh(now: Instant, then: Instant) -> bool {
    now.saturating_duration_since(then) <= STALE
}

#[cfg(test)]
mod tests;
