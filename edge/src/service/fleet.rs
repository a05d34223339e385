//! What this process knows of the fleet: its file, the GeoIP databases, and how every
//! point of presence does. The name server answers from it, and steering asks it.

use std::{
    fs,
    io::{self, Read as _},
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use inlet_common::{clock, config as common_config, service::credential};
use sha2::{Digest as _, Sha256};

use super::workers;
use crate::{
    config::{self, Config},
    dns::{
        World,
        cookie::Cookies,
        explain::{self, Explained},
        fleet::{Checked, file::FleetFile},
        geo::{Loaded, Watch, Watched},
        metrics::{Metrics, Steered},
        server::Shared,
        steer::Board,
    },
};

/// How often databases are looked at: they are replaced once a week or so, and a
/// look costs a system call for each.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// What cookies are made with is made of no fewer bytes.
const MIN_SECRET: usize = 22;

/// Longest secret that is read.
const MAX_SECRET: u64 = 4096;

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
    /// A secret cannot be read.
    #[error("cannot read the secret in {}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A secret could be guessed.
    #[error(
        "{}: a secret needs at least 22 characters: make one with `openssl rand -base64 24`",
        .0.display()
    )]
    ShortSecret(PathBuf),
}

/// What is answered from, and what keeps that up to date.
#[derive(Debug)]
pub(super) struct Known {
    shared: Arc<Shared>,
    /// Watches the databases; a reload begins another one.
    watch: Mutex<Option<Watch>>,
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
    let cookies = cookies(fleet)?;
    let (checked, watched, near) = read(fleet)?;
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
        let board = Board::open(world.fleet.pops().len());
        let shared = Arc::new(Shared {
            world: Arc::new(ArcSwap::from_pointee(world)),
            board: Arc::new(ArcSwap::from_pointee(board)),
            metrics: Metrics::register(),
        });
        let watch = watch(watched, &shared)?;
        Ok(Some(Arc::new(Self {
            shared,
            watch: Mutex::new(Some(watch)),
        })))
    }

    /// What the name server's threads answer from.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Reads the fleet's file anew, and the databases. What is answered changes at
    /// once, or not at all.
    pub(super) fn reload(&self, config: &config::fleet::Known) -> Result<(), Error> {
        let (checked, watched, near) = read(config)?;
        let mut running = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        // It ends before the world changes, or it would put an old table into the new
        // one.
        drop(running.take());
        let board = Board::open(checked.fleet.pops().len());
        let world = self.shared.world.load_full();
        self.shared.world.store(Arc::new(World {
            steered: Arc::new(Steered::register(&checked.fleet)),
            zones: Arc::new(checked.zones),
            fleet: Arc::new(checked.fleet),
            near,
            ..World::clone(&world)
        }));
        self.shared.board.store(Arc::new(board));
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

/// Reads the fleet's file, and the databases as far as they can be used: without
/// one, clients are still sent somewhere.
fn read(config: &config::fleet::Known) -> Result<(Checked, Watched, Loaded), Error> {
    let checked = FleetFile::load(&config.file)?;
    let mut watched = Watched::new(Arc::new(checked.plan.clone()), &config.databases);
    let seen = watched.look(clock::utc());
    let near = seen.loaded.ok_or(Error::Table)?;
    Ok((checked, watched, near))
}

/// Begins to watch databases, and to put each new table in place.
fn watch(watched: Watched, shared: &Arc<Shared>) -> Result<Watch, Error> {
    let world = Arc::clone(&shared.world);
    let begun = Watch::start(watched, WATCH_INTERVAL, move |seen| {
        if let Some(near) = seen.loaded {
            world.rcu(|world| World {
                near: near.clone(),
                ..World::clone(world)
            });
        }
    });
    begun.map_err(Error::Thread)
}

/// What cookies are made with: of the file, or made now.
fn cookies(config: &config::fleet::Known) -> Result<Cookies, Error> {
    let Some(path) = &config.secret_file else {
        return Ok(Cookies::new(rand::random(), &[]));
    };
    let path = credential::locate(path);
    let mut text = String::new();
    let read =
        fs::File::open(&path).and_then(|file| file.take(MAX_SECRET).read_to_string(&mut text));
    if let Err(source) = read {
        return Err(Error::Secret { path, source });
    }
    // One line is the secret; a second one is that of before.
    let mut keys = Vec::new();
    for secret in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if secret.len() < MIN_SECRET {
            return Err(Error::ShortSecret(path));
        }
        keys.push(cookie_key(secret));
    }
    match keys.split_first() {
        Some((key, earlier)) => Ok(Cookies::new(*key, earlier)),
        None => Err(Error::ShortSecret(path)),
    }
}

/// A key of its own for cookies, whatever else the secret is for.
fn cookie_key(secret: &str) -> [u8; 16] {
    let digest = Sha256::new()
        .chain_update(b"inlet dns cookie")
        .chain_update(secret)
        .finalize();
    let mut key = [0; 16];
    for (to, from) in key.iter_mut().zip(digest) {
        *to = from;
    }
    key
}
