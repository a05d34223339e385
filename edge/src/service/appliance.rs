//! The appliance as the rest of the process sees it: its settings, its
//! credentials, and its connections on their way to a worker.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use inlet_common::{
    clock,
    roq::pop::Load,
    service::{
        credential,
        listener::{Divert, Diverted},
    },
};
use rand::Rng as _;
use tokio::sync::oneshot;

use crate::{
    config::{Appliance as Config, turn::CredentialSources},
    turn::{
        auth::Credentials,
        nonce::Nonces,
        peer_policy::PeerPolicy,
        plane::Command,
        ports::{Ports, RelayAddress},
        relay::Entry,
        revocation::{self, Revocations},
        settings::Settings,
        shared::Shared,
    },
    udp::{
        Socket,
        addresses::{self, Advertised},
    },
    worker::{self, Handle},
};

/// How often a draining appliance looks whether it is empty.
const DRAIN_LOOK: Duration = Duration::from_millis(200);

/// How long a worker may take to list its allocations.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// Shortest shared secret, as for every secret of this project.
const MIN_SECRET: usize = 16;

/// Why the appliance cannot start, or be reloaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine does not tell its addresses.
    #[error("the machine's addresses")]
    Addresses(#[source] io::Error),
    /// There is no address for relayed sockets.
    #[error("no address that peers could reach: set turn.relay_addresses")]
    NoAddress,
    /// Relayed sockets cannot be bound.
    #[error(
        "no relayed socket can be bound at {0}: name an address of this machine in \
         turn.relay_addresses, and what it goes by in turn.public"
    )]
    RelayAddress(IpAddr, #[source] io::Error),
    /// A file with secrets or users cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A line of the users' file is no user.
    #[error("{}, line {line}: write name:password", path.display())]
    User {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// A shared secret could be guessed.
    #[error(
        "a shared secret needs at least 16 characters: make one with `openssl rand -base64 24`"
    )]
    ShortSecret,
    /// Nobody could get in.
    #[error(
        "nobody could allocate: set turn.secret_file (`openssl rand -base64 24`), or turn.user_file"
    )]
    NoCredentials,
    /// Revocations cannot be read.
    #[error(transparent)]
    Revocations(#[from] revocation::Error),
}

/// The appliance.
#[derive(Debug)]
pub(super) struct Appliance {
    shared: Arc<Shared>,
    workers: Vec<Handle>,
    next: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    /// Where this process listens, for the guard.
    listeners: Vec<SocketAddr>,
    revocations: Revocations,
    settings: Arc<Settings>,
}

/// What workers are started with.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Arc<Settings>,
    revocations: Revocations,
}

impl Prepared {
    /// Finds addresses, reads credentials, and makes what workers share.
    pub(super) fn new(
        config: &Config,
        listeners: &[SocketAddr],
        workers: u16,
    ) -> Result<Self, Error> {
        let revocations = Revocations::load(config.listen.revocations.as_deref(), clock::utc())?;
        let relays = relay_addresses(config)?;
        let settings = settings(config, listeners, &relays, &revocations, workers)?;
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let nonces = Nonces::new(&seed, settings.credentials.has_userhash());
        let ports = Ports::new(&relays, &config.ports);
        Ok(Self {
            shared: Arc::new(Shared::new(clock::now(), workers, ports, nonces)),
            settings: Arc::new(settings),
            revocations,
        })
    }
}

impl Appliance {
    pub(super) fn new(
        prepared: Prepared,
        config: Config,
        listeners: Vec<SocketAddr>,
        workers: Vec<Handle>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: prepared.shared,
            workers,
            next: AtomicUsize::new(0),
            inner: Mutex::new(Inner {
                config,
                listeners,
                revocations: prepared.revocations,
                settings: prepared.settings,
            }),
        })
    }

    /// Exchanges all settings that may change while the process runs.
    pub(super) fn reload(&self, config: Config) -> Result<(), Error> {
        let mut inner = self.lock();
        let relays = relay_addresses(&config)?;
        let settings = settings(
            &config,
            &inner.listeners,
            &relays,
            &inner.revocations,
            self.shared.workers,
        )?;
        inner.config = config;
        inner.settings = Arc::new(settings);
        self.tell(&inner.settings);
        Ok(())
    }

    /// Allocations that run.
    pub(super) fn allocations(&self) -> u32 {
        self.shared.quotas.allocations()
    }

    /// Share of what may be taken on that is: of allocations, of relayed ports, or of
    /// the workers' time, whichever is most.
    pub(super) fn load(&self) -> Load {
        let limit = self.lock().config.limits.allocations;
        let allocations = Load::new(f64::from(self.allocations()) / f64::from(limit));
        let busy: f64 = self.workers.iter().map(Handle::load).sum();
        let busy = Load::new(busy / self.workers.len() as f64);
        let ports = self.shared.ports.load();
        allocations.max(ports).max(busy)
    }

    /// Takes no new allocation; returns when none is left.
    pub(super) async fn drain(&self) {
        self.command(|| Command::Drain);
        while self.allocations() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    }

    /// At most `limit` allocations of each worker.
    pub(super) async fn list(&self, limit: usize, with_addresses: bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        for worker in &self.workers {
            let (reply, told) = oneshot::channel();
            let command = Command::List {
                limit,
                with_addresses,
                reply,
            };
            if worker.send(worker::Command::Turn(command)).is_ok()
                && let Ok(Ok(some)) = tokio::time::timeout(LIST_TIMEOUT, told).await
            {
                entries.extend(some);
            }
        }
        entries
    }

    /// A new time-limited credential; `None` without a shared secret.
    pub(super) fn issue(&self, ttl: Duration, tag: &str) -> Option<(String, String)> {
        let micros = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
        let expiry = clock::utc().plus_micros(micros);
        self.lock().settings.credentials.issue(expiry, tag)
    }

    /// Takes a credential back: its allocations end at once.
    pub(super) fn revoke(&self, username: &str) -> Result<(), revocation::Error> {
        let mut inner = self.lock();
        let saved = inner.revocations.revoke(username, clock::utc());
        if let Err(revocation::Error::NotTimeLimited | revocation::Error::LineEnd) = saved {
            return saved;
        }
        let mut settings = Settings::clone(&inner.settings);
        let revoked = inner.revocations.usernames();
        settings.credentials.set_revoked(revoked);
        inner.settings = Arc::new(settings);
        self.tell(&inner.settings);
        saved
    }

    /// The URLs that a client may use, best first, without credentials and
    /// with. `called` is what the client calls this machine, `shared` the port that
    /// HTTP shares with TURN, and whether it has TLS.
    pub(super) fn urls(
        &self,
        called: Option<&str>,
        shared: Option<(u16, bool)>,
    ) -> (Vec<String>, Vec<String>) {
        let inner = self.lock();
        let config = &inner.config;
        let called = called.map(str::to_owned);
        let host = config.host.clone().or(called).unwrap_or_else(|| {
            let families = [crate::turn::wire::Family::V4, crate::turn::wire::Family::V6];
            let mut addresses = families
                .iter()
                .filter_map(|f| self.shared.ports.address(*f));
            addresses
                .next()
                .map_or_else(String::new, |address| bracketed(address.advertised))
        });
        let listen = &config.listen;
        let udp = preferred(listen.udp.iter().map(SocketAddr::port));
        let has_tls = listen.certificate.is_some();
        let plain = listen.tcp.iter().map(SocketAddr::port);
        let tcp = preferred(plain.clone().chain(shared.map(|(port, _)| port)));
        let by_tls = listen.tls.iter().map(SocketAddr::port);
        let by_tls = by_tls.chain(shared.filter(|(_, tls)| *tls).map(|(port, _)| port));
        let tls = preferred(by_tls.chain(plain.filter(|_| has_tls)));
        let stun = udp.map(|port| format!("stun:{host}:{port}"));
        let turn = [
            udp.map(|port| format!("turn:{host}:{port}?transport=udp")),
            tcp.map(|port| format!("turn:{host}:{port}?transport=tcp")),
            tls.map(|port| format!("turns:{host}:{port}?transport=tcp")),
        ];
        (
            stun.into_iter().collect(),
            turn.into_iter().flatten().collect(),
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, settings: &Arc<Settings>) {
        self.command(|| Command::Reload(Arc::clone(settings)));
    }

    fn command(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            if let Err(error) = worker.send(worker::Command::Turn(command())) {
                tracing::error!(worker = worker.index(), %error, "worker not told");
            }
        }
    }
}

impl Divert for Appliance {
    /// Spreads connections over the workers in turn.
    fn take(&self, connection: Diverted) {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len().max(1);
        let command = worker::Command::Turn(Command::Adopt(Box::new(connection)));
        if let Some(worker) = self.workers.get(at)
            && let Err(error) = worker.send(command)
        {
            tracing::debug!(%error, "connection not taken");
        }
    }
}

/// The well-known port 443 passes most firewalls; else the first.
fn preferred(ports: impl Iterator<Item = u16>) -> Option<u16> {
    let ports: Vec<u16> = ports.collect();
    let https = ports.iter().find(|port| **port == 443);
    https.or_else(|| ports.first()).copied()
}

fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Where relayed sockets are bound, and what they go by; tried out.
pub(super) fn relay_addresses(config: &Config) -> Result<Vec<RelayAddress>, Error> {
    let machine = addresses::machine().map_err(Error::Addresses)?;
    let mut binds = config.relay_addresses.clone();
    if binds.is_empty() {
        for wildcard in ["0.0.0.0:0", "[::]:0"] {
            let Ok(wildcard) = wildcard.parse() else {
                continue;
            };
            let candidates = Advertised::new(wildcard, &machine, &[]).candidates();
            binds.extend(candidates.first().map(SocketAddr::ip));
        }
    }
    let advertised = |bind: IpAddr| {
        let mut public = config.public.iter();
        let public = public.find(|ip| ip.is_ipv4() == bind.is_ipv4());
        public.copied().unwrap_or(bind)
    };
    let relays: Vec<RelayAddress> = binds
        .into_iter()
        .map(|bind| RelayAddress {
            bind,
            advertised: advertised(bind),
        })
        .collect();
    for relay in &relays {
        Socket::bind_relay(SocketAddr::new(relay.bind, 0))
            .map_err(|error| Error::RelayAddress(relay.bind, error))?;
    }
    match relays.is_empty() {
        true => Err(Error::NoAddress),
        false => Ok(relays),
    }
}

fn settings(
    config: &Config,
    listeners: &[SocketAddr],
    relays: &[RelayAddress],
    revocations: &Revocations,
    workers: u16,
) -> Result<Settings, Error> {
    let mut credentials = credentials(&config.realm, &config.credentials)?;
    credentials.set_revoked(revocations.usernames());
    let mut machine = addresses::machine().map_err(Error::Addresses)?;
    machine.extend(relays.iter().map(|relay| relay.advertised));
    machine.extend(&config.public);
    let peers = &config.peers;
    Ok(Settings {
        credentials,
        peers: PeerPolicy {
            policy: peers.policy,
            allow: peers.allow.clone(),
            deny: peers.deny.clone(),
            fleet: peers.fleet.clone(),
            listeners: listeners.to_vec(),
            machine,
        },
        limits: config.limits,
        default_lifetime: config.default_lifetime,
        max_lifetime: config.max_lifetime,
        alternate_servers: config.alternate_servers.clone(),
        // A forged source's port, and so its worker, is the forger's choice.
        challenges_per_second: config
            .challenges_per_second
            .div_ceil(u32::from(workers).max(1)),
    })
}

/// Reads everybody who may allocate.
pub(super) fn credentials(realm: &str, sources: &CredentialSources) -> Result<Credentials, Error> {
    let mut secrets = sources.secrets.clone();
    if let Some(path) = &sources.secret_file {
        secrets.extend(lines(path)?.into_iter().map(|(_, line)| line));
    }
    if secrets.iter().any(|secret| secret.len() < MIN_SECRET) {
        return Err(Error::ShortSecret);
    }
    let split = |line: &str| {
        let (name, password) = line.split_once(':')?;
        (!name.is_empty()).then(|| (name.to_owned(), password.to_owned()))
    };
    let mut users: Vec<(String, String)> = sources
        .users
        .iter()
        .filter_map(|line| split(line))
        .collect();
    if let Some(path) = &sources.user_file {
        for (line, text) in lines(path)? {
            let path = path.clone();
            users.push(split(&text).ok_or(Error::User { path, line })?);
        }
    }
    let credentials = Credentials::new(realm, secrets, users);
    match credentials.is_empty() {
        true => Err(Error::NoCredentials),
        false => Ok(credentials),
    }
}

/// The lines of a file with their numbers, without empty ones and comments.
fn lines(path: &Path) -> Result<Vec<(usize, String)>, Error> {
    let path = credential::locate(path);
    let text = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(|(at, line)| (at + 1, line.to_owned())).collect())
}

/// Whether a credential with this time to live is one that makes sense: from a
/// minute to thirty days.
pub(super) fn is_sound_ttl(ttl: Duration) -> bool {
    (Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 3600)).contains(&ttl)
}
