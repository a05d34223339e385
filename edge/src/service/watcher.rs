//! Keeps the board of the fleet: what points of presence report, what probes find, and
//! what an operator says, once a second.

use std::{sync::Arc, time::Duration};

use inlet_common::{clock, roq::pop};
use metrics::{Gauge, Unit, describe_gauge, gauge};
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{fleet::Known, reporter::Reporter};
use crate::{
    dns::{
        World,
        fleet::{Family, Fleet, Pop, Service},
        geo::PopId,
        health::{Probed, Report},
        steer::{Board, Standing},
    },
    fleet::Reports,
    probe::{Canary, Credentials, Error, Findings, Target, rounds},
};

/// How often the board is made anew: half of what resolvers could notice.
const INTERVAL: Duration = Duration::from_secs(1);

/// States, as metrics have them.
const STATES: [&str; 4] = ["open", "draining", "down", "unknown"];

/// Who probes, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Prober {
    pub(super) canary: Canary,
    pub(super) credentials: Credentials,
}

/// What keeps the board.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) known: Arc<Known>,
    /// This point of presence, which the fleet's file may have.
    pub(super) own: String,
    /// How it does itself; `None` where it takes no presenters.
    pub(super) reporter: Option<Reporter>,
    /// What others say of themselves: to the origin, or to whoever asks.
    pub(super) reports: Arc<Reports>,
    /// `None` when nobody is probed.
    pub(super) prober: Option<Prober>,
}

impl Watcher {
    /// Watches until closing.
    pub(super) async fn run(self, closing: CancellationToken) {
        let gauges = Gauges::register();
        let mut world = self.known.world();
        let mut missed = Vec::new();
        let mut probing = Probing(self.probe(&world));
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                _ = tick.tick() => {}
            }
            let now = self.known.world();
            let is_other = !Arc::ptr_eq(&now.fleet, &world.fleet);
            probing.renew(is_other, || self.probe(&now));
            world = now;
            self.hear(&world.fleet);
            gauges.show(&self.known.look(clock::now()), &world.fleet);
            let before = std::mem::replace(&mut missed, self.known.missed(clock::now()));
            tell_missed(&before, &missed);
        }
    }

    /// Takes what was said since the last time.
    fn hear(&self, fleet: &Arc<Fleet>) {
        for (name, heard) in &*self.reports.heard() {
            if let Some(id) = fleet.find(name.as_str()) {
                let said = said(&heard.report, &self.own);
                self.known.handle_report(fleet, id, said, heard.at);
            }
        }
        // Of itself nobody knows sooner.
        if let (Some(reporter), Some(id)) = (&self.reporter, fleet.find(&self.own)) {
            let said = said(&reporter.state(), &self.own);
            self.known.handle_report(fleet, id, said, clock::now());
        }
    }

    fn probe(&self, world: &World) -> Option<JoinHandle<()>> {
        let prober = self.prober.clone()?;
        let known = Arc::clone(&self.known);
        let fleet = Arc::clone(&world.fleet);
        let own = self.reporter.is_some().then_some(self.own.as_str());
        let targets = targets(&world.fleet, own);
        if targets.is_empty() {
            return None;
        }
        let rounds = rounds::Rounds {
            canary: prober.canary,
            targets,
            credentials: prober.credentials,
            interval: rounds::INTERVAL,
        };
        let reports = Arc::clone(&self.reports);
        let tell = move |target: &Target, found: Findings| {
            hear(&reports, &target.pop, &found);
            let pop = fleet.find(&target.pop).zip(target.addresses.first());
            if let Some((id, ip)) = pop {
                tell(&known, &fleet, (id, Family::of(*ip)), &found);
            }
        };
        Some(tokio::spawn(rounds.run(tell)))
    }
}

/// Says once that others find this one down, which nobody here would see, and that they no
/// longer do. One alone is told of too, though not believed.
fn tell_missed(before: &[(Service, Family)], now: &[(Service, Family)]) {
    for (service, family) in now.iter().filter(|of| !before.contains(of)) {
        let (kind, family) = (service.as_str(), family.as_str());
        tracing::warn!(kind, family, "others find this point of presence down");
    }
    for (service, family) in before.iter().filter(|of| !now.contains(of)) {
        let (kind, family) = (service.as_str(), family.as_str());
        tracing::info!(
            kind,
            family,
            "no other finds this point of presence down any more"
        );
    }
}

/// The task that probes, if there is anybody to be probed. It ends when this is dropped.
#[derive(Debug, Default)]
struct Probing(Option<JoinHandle<()>>);

impl Probing {
    /// Begins anew for another fleet, and where it has ended, which it never should.
    fn renew(&mut self, is_other: bool, begin: impl FnOnce() -> Option<JoinHandle<()>>) {
        let has_ended = self.0.as_ref().is_some_and(JoinHandle::is_finished);
        if has_ended {
            tracing::error!("probing has ended; it begins anew");
        }
        if has_ended || is_other {
            *self = Self(begin());
        }
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Takes what one that was probed has said of itself; the next look at what was heard
/// hands it on.
fn hear(reports: &Reports, name: &str, found: &Findings) {
    if let (Some(Ok(told)), Some(name)) = (found.report, pop::Name::new(name)) {
        reports.handle_answer(clock::now(), name, told.asked, told.report);
    }
}

fn tell(known: &Known, fleet: &Arc<Fleet>, (id, family): (PopId, Family), found: &Findings) {
    let now = clock::now();
    let turn = [found.stun, found.turn_udp, found.turn_tcp, found.turn_tls];
    for (service, found) in [(Service::Whip, &[found.whip][..]), (Service::Turn, &turn)] {
        if let Some(found) = judge(found) {
            known.handle_probe(fleet, now, id, ((service, family), found));
        }
    }
}

/// A service is well when all of it is: a server whose TLS is broken is of no use to
/// those who get through by nothing else. `None` where nothing was seen of it, as when
/// there is no way from here.
fn judge(found: &[Option<Result<Duration, Error>>]) -> Option<Probed> {
    let seen = found.iter().flatten().filter_map(|found| match found {
        Ok(_) => Some(Probed::Well),
        Err(error) if error.is_local() => None,
        Err(error) if error.is_busy() => Some(Probed::Busy),
        Err(_) => Some(Probed::Failed),
    });
    // The worst counts.
    seen.max()
}

/// What a report says, to the point of presence `own`.
fn said(report: &pop::Report, own: &str) -> Report {
    let share = |load: Option<pop::Load>| load.map(pop::Load::share);
    Report {
        load: [share(report.loads.whip), share(report.loads.turn)],
        // Without an origin no presenter can be taken, and everything is relayed.
        is_draining: [report.is_draining || report.is_cut_off, report.is_draining],
        finds_us_down: Service::ALL.map(|service| {
            Family::ALL.map(|family| {
                let ours = pop::Mark::new(own, service.as_str(), family.as_str());
                report.down.has(ours)
            })
        }),
    }
}

/// Everybody but `own`: behind NAT that may not reach itself, and what it finds on its own
/// machine is not what comes from outside. That the others tell it.
fn targets(fleet: &Fleet, own: Option<&str>) -> Vec<Target> {
    let others = fleet
        .pops()
        .iter()
        .filter(|pop| own != Some(pop.name.as_str()));
    others.flat_map(|pop| by_family(pop, fleet)).collect()
}

/// One for each family that it has: a broken one shows, and hides nothing of the other.
fn by_family(pop: &Pop, fleet: &Fleet) -> impl Iterator<Item = Target> {
    let all = target(pop, fleet);
    let by = move |family| {
        let mut by = all.clone();
        by.addresses.retain(|ip| Family::of(*ip) == family);
        by
    };
    let by_family = Family::ALL.into_iter().map(by);
    by_family.filter(|target| !target.addresses.is_empty())
}

fn target(pop: &Pop, fleet: &Fleet) -> Target {
    let serves = |service| pop.services.contains(&service);
    let ports = fleet.turn_ports();
    let turn = |port: u16| Some(port).filter(|port| *port != 0 && serves(Service::Turn));
    Target {
        pop: pop.name.clone(),
        host: pop.host.to_string().trim_end_matches('.').to_owned(),
        addresses: pop.addresses().collect(),
        whip: pop.url.parse().ok().filter(|_| serves(Service::Whip)),
        stun: turn(ports.udp),
        turn_udp: turn(ports.udp),
        turn_tcp: turn(ports.tcp),
        turn_tls: turn(ports.tls),
    }
}

/// How many points of presence are in which state.
struct Gauges(Vec<((Service, Family), [Gauge; STATES.len()])>);

impl Gauges {
    fn register() -> Self {
        const NAME: &str = "inlet_edge_fleet_pops";
        describe_gauge!(
            NAME,
            Unit::Count,
            "Points of presence of the fleet, by service, address family and how they do"
        );
        let of = |(service, family): (Service, Family)| {
            let gauges = STATES.map(|state| {
                let (kind, family) = (service.as_str(), family.as_str());
                gauge!(NAME, "kind" => kind, "family" => family, "state" => state)
            });
            ((service, family), gauges)
        };
        let services = Service::ALL.into_iter();
        let all = services.flat_map(|service| Family::ALL.map(|family| (service, family)));
        Self(all.map(of).collect())
    }

    fn show(&self, board: &Board, fleet: &Fleet) {
        for ((service, family), gauges) in &self.0 {
            for (state, gauge) in STATES.into_iter().zip(gauges) {
                let serving = fleet.ids().filter(|id| {
                    let pop = fleet.pop(*id);
                    pop.is_some_and(|pop| pop.has(*service, *family))
                });
                let standings = serving.map(|id| board.get(id, *service, *family));
                let count = standings
                    .filter(|it: &Standing| it.as_str() == state)
                    .count();
                gauge.set(count as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests;
