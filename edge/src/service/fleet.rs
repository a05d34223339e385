//! What this process knows of the fleet: its file, the GeoIP databases, and how every
//! point of presence does. The name server answers from it, and steering asks it.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use inlet_common::{clock, config as common_config, roq::pop};

use super::{
    keyring::{self, Keyring},
    watcher::Prober,
    workers,
};
use crate::{
    config::{self, Config},
    dns::{
        World,
        explain::{self, Explained},
        fleet::{Checked, Family, Fleet, Pop, Service, file::FleetFile},
        geo::{Database, Loaded, PopId, Watch, Watched},
        health::{Forced, Health, Probed, Report},
        metrics::{Metrics, Steered, show_databases},
        second_chance,
        server::Shared,
        steer::{Board, Standing},
    },
    fleet::ask::Secrets,
    probe::{Canary, Credentials, NoRoots, Patience},
    whip::{
        pass::Passes,
        steer::{Asked, Elsewhere},
    },
};

/// How often databases are looked at: they are replaced once a week or so, and a
/// look costs a system call for each.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Until every name server has heard of a drain, and answers otherwise: each asks or is
/// told every two seconds.
const HEARD: Duration = Duration::from_secs(3);

/// Why the fleet cannot be known, or not be known anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The fleet's file cannot be used.
    #[error(transparent)]
    File(#[from] common_config::Error),
    /// There is no table, not even of the overrides alone.
    #[error("the fleet's overrides make no table: see the line above")]
    Table,
    /// A thread cannot be started.
    #[error("cannot watch databases")]
    Thread(#[source] io::Error),
    /// Nobody's certificate could be believed.
    #[error("cannot probe the fleet")]
    Probe(#[from] NoRoots),
    /// A secret cannot be used.
    #[error(transparent)]
    Secret(#[from] keyring::Error),
}

/// What is answered from, and what keeps that up to date.
#[derive(Debug)]
pub(super) struct Known {
    shared: Arc<Shared>,
    /// What is made of the fleet's secrets; `None` without any.
    keyring: Option<Keyring>,
    health: Mutex<Health>,
    /// Watches the databases; a reload begins another one.
    watch: Mutex<Option<Watch>>,
}

/// How a point of presence is taken to do.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) name: String,
    /// What an operator says.
    pub(super) forced: Option<Forced>,
    /// Of each service that it has, by each family that it has.
    pub(super) standings: Vec<(Service, Family, Standing)>,
}

/// What would be answered from; `None` where nothing is known of a fleet.
///
/// # Errors
///
/// [`Error`] when its files cannot be used.
pub fn world(config: &Config) -> Result<Option<World>, Error> {
    let made = config.fleet.as_ref().map(|fleet| make(fleet, config));
    Ok(made.transpose()?.map(|(world, _)| world))
}

fn make(fleet: &config::fleet::Known, config: &Config) -> Result<(World, Watched), Error> {
    let cookies = keyring::cookies(&keyring::read(fleet)?);
    let (checked, watched, near) = read(fleet, &[])?;
    let world = World {
        name: workers::pop_name(config).into(),
        steered: Arc::new(Steered::register(&checked.fleet)),
        zones: Arc::new(checked.zones),
        fleet: Arc::new(checked.fleet),
        near,
        cookies,
    };
    Ok((world, watched))
}

impl Known {
    /// Reads all of it, and begins to watch; `None` where nothing is known.
    pub(super) fn load(config: &Config) -> Result<Option<Arc<Self>>, Error> {
        let Some(fleet) = &config.fleet else {
            return Ok(None);
        };
        let (world, watched) = make(fleet, config)?;
        let own = config.is_whip.then(|| workers::pop_name(config));
        let health = Health::new(clock::now(), &world.fleet, own, fleet.is_probing);
        let board = health.board(clock::now());
        let shared = Arc::new(Shared {
            world: Arc::new(ArcSwap::from_pointee(world)),
            board: Arc::new(ArcSwap::from_pointee(board)),
            metrics: Metrics::register(),
        });
        show_databases(&shared.world.load().near.databases);
        let watch = watch(watched, &shared)?;
        let (own, secrets) = (workers::pop_name(config), keyring::read(fleet)?);
        Ok(Some(Arc::new(Self {
            shared,
            keyring: Keyring::new(&secrets, &own),
            health: Mutex::new(health),
            watch: Mutex::new(Some(watch)),
        })))
    }

    /// Seals and opens marks; `None` without a secret of the fleet's.
    pub(super) fn passes(&self) -> Option<Arc<Passes>> {
        let keyring = self.keyring.as_ref();
        keyring.map(|keyring| Arc::clone(&keyring.passes))
    }

    /// Asks others how they do, and answers them; `None` without a secret of the fleet's.
    pub(super) fn secrets(&self) -> Option<Arc<Secrets>> {
        let keyring = self.keyring.as_ref();
        keyring.map(|keyring| Arc::clone(&keyring.secrets))
    }

    /// Where a presenter goes who came to `own`, which may be a name that the fleet does
    /// not have; `None` to take it here.
    pub(super) fn better(&self, own: &str, asked: &Asked) -> Option<Elsewhere> {
        let (world, board) = (self.shared.world.load(), self.shared.board.load());
        let own = world.fleet.find(own)?;
        let (client, is_refused) = (asked.client, asked.is_refused);
        let pop = second_chance::better(&world, &board, own, client, is_refused)?;
        let pop = world.fleet.pop(pop)?;
        Some(Elsewhere {
            base: pop.url.clone(),
            pop: Some(pop.name.clone()),
        })
    }

    /// Base URL of the point of presence of this name, if the fleet has it.
    pub(super) fn base(&self, name: &str) -> Option<String> {
        let fleet = &self.shared.world.load().fleet;
        let pop = fleet.pop(fleet.find(name)?)?;
        Some(pop.url.clone())
    }

    /// How long clients may still come to `own` once it drains, because resolvers keep
    /// answers from before: zero where no zone sends them to it, or to nobody else.
    pub(super) fn lingers(&self, own: &str) -> Duration {
        let world = self.shared.world.load();
        let fleet = &world.fleet;
        let Some(pop) = fleet.find(own).and_then(|own| fleet.pop(own)) else {
            return Duration::ZERO;
        };
        let others = fleet.pops().iter().filter(|other| other.name != pop.name);
        let shared = pop.services.iter().copied().filter(|service| {
            let mut others = others.clone();
            others.any(|other| other.services.contains(service))
        });
        let ttl = shared.map(|service| world.zones.longest_ttl(service)).max();
        match ttl {
            None | Some(0) => Duration::ZERO,
            Some(ttl) => Duration::from_secs(ttl.into()) + HEARD,
        }
    }

    /// What is answered from now.
    pub(super) fn world(&self) -> Arc<World> {
        self.shared.world.load_full()
    }

    /// Takes what a point of presence of `fleet` says of itself. After a reload its
    /// number may be that of another one: what belongs to the fleet before is passed
    /// over.
    pub(super) fn handle_report(
        &self,
        fleet: &Arc<Fleet>,
        pop: PopId,
        report: Report,
        made: Instant,
    ) {
        let mut health = self.health();
        if self.is_current(fleet) {
            health.handle_report(pop, report, made);
        }
    }

    /// Takes the result of a probe of `fleet`, likewise.
    pub(super) fn handle_probe(
        &self,
        fleet: &Arc<Fleet>,
        now: Instant,
        pop: PopId,
        (of, found): ((Service, Family), Probed),
    ) {
        let mut health = self.health();
        if self.is_current(fleet) {
            health.handle_probe(now, pop, of, found);
        }
    }

    /// What this one's probes find down of the others, for those whom it is about.
    pub(super) fn down(&self, now: Instant) -> pop::Down {
        // Under the lock, under which a reload changes both.
        let health = self.health();
        let fleet = &self.shared.world.load().fleet;
        pop::Down::new(health.down(now).filter_map(|(id, service, family)| {
            let name = &fleet.pop(id)?.name;
            Some(pop::Mark::new(name, service.as_str(), family.as_str()))
        }))
    }

    /// What others find down of this one, be it one alone.
    pub(super) fn missed(&self, now: Instant) -> Vec<(Service, Family)> {
        self.health().missed(now)
    }

    /// Asked under the lock of `health`, under which a reload changes both.
    fn is_current(&self, fleet: &Arc<Fleet>) -> bool {
        Arc::ptr_eq(fleet, &self.shared.world.load().fleet)
    }

    /// Takes an operator's word; `false` when there is no such point of presence.
    pub(super) fn force(&self, name: &str, forced: Option<Forced>) -> bool {
        let mut health = self.health();
        let Some(pop) = self.world().fleet.find(name) else {
            return false;
        };
        health.force(pop, forced);
        drop(health);
        self.look(clock::now());
        true
    }

    /// How each point of presence of the fleet is taken to do now.
    pub(super) fn judged(&self) -> Vec<Judged> {
        // Under the lock, under which a reload changes both.
        let health = self.health();
        let (world, board) = (self.shared.world.load(), self.shared.board.load());
        let pops = world.fleet.ids().zip(world.fleet.pops());
        pops.map(|(id, pop)| Judged {
            name: pop.name.clone(),
            forced: health.forced(id),
            standings: standings(&board, id, pop),
        })
        .collect()
    }

    /// Makes the board anew, of what is known at `now`.
    pub(super) fn look(&self, now: Instant) -> Arc<Board> {
        // Under the lock, so that a reload comes before or after all of it.
        let health = self.health();
        let board = health.board(now);
        let before = self.shared.board.load_full();
        if *before == board {
            return before;
        }
        let board = Arc::new(board);
        self.shared.board.store(Arc::clone(&board));
        board
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the name server's threads answer from.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Reads the fleet's file anew, the databases, and the secrets. What is answered
    /// changes at once, or not at all.
    pub(super) fn reload(&self, config: &config::fleet::Known) -> Result<(), Error> {
        let in_use = self.world().near.databases.clone();
        let (checked, watched, near) = read(config, &in_use)?;
        let secrets = keyring::read(config)?;
        let mut running = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        // It ends before the world changes, or it would put an old table into the new
        // one.
        drop(running.take());
        let world = self.shared.world.load_full();
        // With a file or without one: what differs from the start takes a restart.
        let keyring = self.keyring.as_ref().filter(|_| !secrets.is_empty());
        let cookies = keyring.map(|_| keyring::cookies(&secrets));
        if let Some(keyring) = keyring {
            keyring.replace(&secrets);
        }
        show_databases(&near.databases);
        let mut health = self.health();
        *health = health.moved(clock::now(), &world.fleet, &checked.fleet);
        let board = health.board(clock::now());
        self.shared.world.store(Arc::new(World {
            steered: Arc::new(Steered::register(&checked.fleet)),
            zones: Arc::new(checked.zones),
            fleet: Arc::new(checked.fleet),
            near,
            cookies: cookies.unwrap_or_else(|| world.cookies.clone()),
            name: world.name.clone(),
        }));
        self.shared.board.store(Arc::new(board));
        drop(health);
        *running = Some(watch(watched, &self.shared)?);
        Ok(())
    }

    /// Why `client` is sent where it is sent now.
    pub(super) fn explain(
        &self,
        client: IpAddr,
        name: Option<&str>,
    ) -> Result<Explained, explain::Error> {
        let (world, board) = (self.shared.world.load(), self.shared.board.load());
        explain::explain(&world, &board, client, name)
    }
}

fn standings(board: &Board, id: PopId, pop: &Pop) -> Vec<(Service, Family, Standing)> {
    let services = Service::ALL.into_iter();
    let all = services.flat_map(|service| Family::ALL.map(|family| (service, family)));
    let served = all.filter(|(service, family)| pop.has(*service, *family));
    served
        .map(|(service, family)| (service, family, board.get(id, service, family)))
        .collect()
}

/// Reads the fleet's file, and the databases as far as they can be used: without
/// one, clients are still sent somewhere.
fn read(
    config: &config::fleet::Known,
    in_use: &[Arc<Database>],
) -> Result<(Checked, Watched, Loaded), Error> {
    let checked = FleetFile::load(&config.file)?;
    let plan = Arc::new(checked.plan.clone());
    let mut watched = Watched::new(plan, &config.databases).holding(in_use);
    let seen = watched.look(clock::utc());
    let near = seen.loaded.ok_or(Error::Table)?;
    Ok((checked, watched, near))
}

/// Begins to watch databases, and to put each new table in place.
fn watch(watched: Watched, shared: &Arc<Shared>) -> Result<Watch, Error> {
    let world = Arc::clone(&shared.world);
    let begun = Watch::start(watched, WATCH_INTERVAL, move |seen| {
        if let Some(near) = seen.loaded {
            show_databases(&near.databases);
            world.rcu(|world| World {
                near: near.clone(),
                ..World::clone(world)
            });
        }
    });
    begun.map_err(Error::Thread)
}

/// Who probes, and as whom; `None` when nobody is to be probed.
pub(super) fn prober(
    config: &Config,
    secrets: Option<Arc<Secrets>>,
) -> Result<Option<Prober>, Error> {
    let fleet = config.fleet.as_ref().filter(|fleet| fleet.is_probing);
    let Some(fleet) = fleet else {
        return Ok(None);
    };
    let canary = Canary::new(fleet.ca.as_deref(), Patience::USUAL)?;
    let canary = canary.asking(secrets);
    let secret = fleet.turn_secret_file.as_deref().map(keyring::first_line);
    let credentials = match secret.transpose()? {
        Some(secret) => Credentials::Secret(secret),
        None => Credentials::None,
    };
    Ok(Some(Prober {
        canary,
        credentials,
    }))
}
