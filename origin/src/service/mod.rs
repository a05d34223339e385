//! The running origin: everything bound, wired and stopped in order.
//!
//! ```text
//!  roq (QUIC) ─▶ live ─▶ store ─▶ http            admin, metrics: listeners of their own
//!                  └──▶ registry ◀── api
//! ```
//!
//! READY is told to systemd when every socket is bound. SIGTERM turns new
//! presenters away, waits for running ones until the deadline, and then seals
//! what is open.

mod admin;
mod check;
mod reload;
mod watch;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use inlet_common::{
    clock,
    lifecycle::{Ended, Lifecycle, Phase, Tasks},
    roq,
    service::{
        credential::{self, Secret},
        listener::{BindError, Listener, ListenerMetrics, Options},
        logging, metrics as prometheus,
        signals::Signals,
        systemd,
        tls::{self, Certificates},
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use check::{check, refuse, try_encoders};

use crate::{
    api,
    config::{self, Config},
    fleet::Exchange,
    http::{self, Access},
    live, metrics, playback,
    registry::{self, Registry},
    roq::{Metrics as RoqMetrics, receiver, reset},
    store,
    transcode::{self, supervisor},
};

/// How often drain looks whether the last stream has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(200);

/// Why the origin cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system gives us no signals.
    #[error("cannot take over signals")]
    Signals(#[source] std::io::Error),
    /// Something in this process exports metrics already.
    #[error("cannot export metrics")]
    Metrics(#[from] prometheus::Error),
    /// The thread that starts workers cannot be started.
    #[error("cannot start workers")]
    Workers(#[source] std::io::Error),
    /// A certificate, key or CA cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The link's TLS settings do not fit QUIC.
    #[error("the link's certificate cannot be used with QUIC")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// A TCP listener cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The QUIC socket cannot be bound.
    #[error("cannot bind {address} (roq.listen): is another process using it?")]
    BindLink {
        /// The address that was asked for.
        address: std::net::SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The state directory cannot be made.
    #[error("cannot make {path} (state.dir)")]
    StateDir {
        /// The directory.
        path: std::path::PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The secret of the link's resets cannot be used.
    #[error(transparent)]
    Reset(#[from] reset::Error),
    /// The registry cannot be opened, or its first key not written.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The secrets of playback tokens cannot be used.
    #[error(transparent)]
    Playback(#[from] playback::Error),
    /// The admin secret cannot be used.
    #[error(transparent)]
    Secret(#[from] credential::Error),
}

/// Runs the origin until it is told to stop.
///
/// # Errors
///
/// [`Error`] when it cannot start; once it runs, trouble is logged and told by
/// [`Ended`].
pub async fn run(path: &Path, config: Config, log: logging::Handle) -> Result<Ended, Error> {
    let signals = Signals::install().map_err(Error::Signals)?;
    let prometheus =
        prometheus::install("inlet_origin", env!("CARGO_PKG_VERSION"), metrics::BUCKETS)?;
    transcode::metrics::describe();
    let origin = Origin::bind(&config).await?;
    let lifecycle = Lifecycle::new();
    let certificates = origin.certificates.clone();
    let playback = origin.playback.clone();
    let gate = Arc::clone(&origin.gate);
    let mut tasks = Tasks::new();
    origin.spawn(&config, &lifecycle, &prometheus, &mut tasks);
    let reload = {
        let path = path.to_owned();
        async move || reload::files(&path, &certificates, playback.as_deref(), &log)
    };
    tokio::spawn(signals.drive(lifecycle.clone(), reload));
    lifecycle.advance(Phase::Ready);
    systemd::ready();
    tracing::info!("ready");
    let drained = async {
        gate.close_to_newcomers();
        while gate.live_count() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    };
    let ended = tasks.run(&lifecycle, drained, config.drain_timeout).await;
    Ok(ended)
}

/// Everything bound and made, nothing served yet.
struct Origin {
    web: Listener,
    metrics: Listener,
    admin: Listener,
    admin_secret: Option<Secret>,
    endpoint: quinn::Endpoint,
    certificates: Vec<Arc<Certificates>>,
    registry: Registry,
    directory: Arc<live::Directory>,
    store: Arc<store::Directory>,
    viewer_metrics: Arc<http::Metrics>,
    playback: Option<Arc<playback::Keys>>,
    gate: Arc<live::Gate>,
}

impl Origin {
    async fn bind(config: &Config) -> Result<Self, Error> {
        let registry = open_registry(&config.state).await?;
        let mut certificates = Vec::new();
        let https = https(config, &mut certificates)?;
        let options = Options {
            max_connections: config.limits.http_connections as usize,
            ..Options::default()
        };
        let listen = |address, options, tls, kind| {
            Listener::bind(
                address,
                options,
                tls,
                ListenerMetrics::new("inlet_origin", kind),
            )
        };
        let web = listen(config.http.listen, options, https, "web")?;
        let metrics = listen(config.metrics, Options::default(), None, "metrics")?;
        let admin = listen(config.admin.listen, Options::default(), None, "admin")?;
        let endpoint = bind_link(config, &mut certificates)?;
        let secret_file = config.admin.token_file.as_deref();
        let admin_secret = secret_file.map(Secret::load).transpose()?;
        let playback = playback_keys(config)?;
        let directory = Arc::<live::Directory>::default();
        let store = Arc::<store::Directory>::default();
        let viewer_metrics = Arc::new(http::Metrics::new());
        let settings = live::Settings {
            origin_name: hostname(),
            started_at: clock::steady(clock::now()),
            media: config.media.clone(),
            limits: config.limits.clone(),
            room: live::Room::new(cores(), config.limits.cpu_percent),
            workers: workers()?,
            store: Arc::clone(&store),
            registry: registry.clone(),
            part_delay: viewer_metrics.part_delay(),
            metrics: live::Metrics::new(),
            turns: AtomicU64::new(0),
            tasks: TaskTracker::new(),
        };
        Ok(Self {
            web,
            metrics,
            admin,
            admin_secret,
            endpoint,
            certificates,
            registry,
            gate: Arc::new(live::Gate::new(Arc::clone(&directory), Arc::new(settings))),
            directory,
            store,
            viewer_metrics,
            playback,
        })
    }

    fn spawn(
        self,
        config: &Config,
        lifecycle: &Lifecycle,
        prometheus: &prometheus::Metrics,
        tasks: &mut Tasks,
    ) {
        let closing = lifecycle.closing();
        tracing::info!(
            web = %self.web.local_addr(),
            metrics = %self.metrics.local_addr(),
            admin = %self.admin.local_addr(),
            "listening"
        );
        let api = api::ApiState {
            registry: self.registry.clone(),
            directory: Arc::clone(&self.directory),
            urls: Arc::new(api::Urls {
                whip: config.urls.whip.clone(),
                web: config.urls.web.clone(),
            }),
            streams_per_client: config.limits.streams_per_client,
        };
        let access = match self.playback {
            Some(keys) => Access::by_token(keys, config.playback.address_header.clone()),
            None => Access::free(),
        };
        let routes = api::router(api)
            .merge(http::pages::router())
            .merge(http::router(self.store, self.viewer_metrics, access));
        let web = self.web.serve(routes, closing.clone());
        tasks.spawn_infallible("web", web);
        let metrics = self.metrics.serve(prometheus.router(), closing.clone());
        tasks.spawn_infallible("metrics", metrics);
        let upkeep = prometheus.clone().upkeep(closing.clone());
        tasks.spawn_infallible("metrics upkeep", upkeep);
        let routes = admin::router(
            lifecycle.clone(),
            self.admin_secret,
            Arc::clone(&self.directory),
        );
        let admin = self.admin.serve(routes, closing.clone());
        tasks.spawn_infallible("admin", admin);
        let watch = watch::run(Arc::clone(&self.gate), closing.clone());
        tasks.spawn_infallible("watch", watch);
        let fleet = Exchange::new();
        let watch = Arc::clone(&fleet).watch(closing.clone());
        tasks.spawn_infallible("fleet", watch);
        let (gate, registry) = (self.gate, self.registry);
        // Edges hear why their sessions ended before their links close.
        let drained = CancellationToken::new();
        let links = receiver::serve(
            self.endpoint,
            Arc::clone(&gate),
            fleet,
            RoqMetrics::new(),
            config.limits.edge_connections,
            drained.clone(),
        );
        tasks.spawn_infallible("live", async move {
            closing.cancelled().await;
            gate.drain().await;
            drained.cancel();
            registry.close().await;
        });
        tasks.spawn_infallible("roq", links);
    }
}

async fn open_registry(state: &config::State) -> Result<Registry, Error> {
    let path = state.dir.clone();
    std::fs::create_dir_all(&path).map_err(|source| Error::StateDir { path, source })?;
    let registry = Registry::open(&state.registry).await?;
    let now = clock::utc();
    registry.finish_interrupted(now).await?;
    registry.ensure_first_key(&state.dir, now).await?;
    Ok(registry)
}

fn https(
    config: &Config,
    certificates: &mut Vec<Arc<Certificates>>,
) -> Result<Option<Arc<rustls::ServerConfig>>, Error> {
    let Some(files) = &config.http.tls else {
        return Ok(None);
    };
    let loaded = Certificates::load(files.clone(), metrics::certificate("http"))?;
    certificates.push(Arc::clone(&loaded));
    Ok(Some(Arc::new(tls::tcp_server(loaded, None)?)))
}

fn playback_keys(config: &Config) -> Result<Option<Arc<playback::Keys>>, playback::Error> {
    let file = config.playback.secret_file.as_deref();
    let keys = file.map(playback::Keys::load).transpose()?;
    Ok(keys.map(Arc::new))
}

fn bind_link(
    config: &Config,
    certificates: &mut Vec<Arc<Certificates>>,
) -> Result<quinn::Endpoint, Error> {
    let loaded = Certificates::load(config.roq.tls.clone(), metrics::certificate("roq"))?;
    certificates.push(Arc::clone(&loaded));
    let crypto = tls::link_server(loaded, &config.roq.client_ca, roq::ALPN)?;
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(crypto)?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    server.transport_config(Arc::new(receiver::transport()));
    let address = config.roq.listen;
    let socket = receiver::bind(address).map_err(|source| Error::BindLink { address, source })?;
    quinn::Endpoint::new(
        reset::endpoint(&config.state.dir)?,
        Some(server),
        socket,
        Arc::new(quinn::TokioRuntime),
    )
    .map_err(|source| Error::BindLink { address, source })
}

fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "origin".to_owned())
}

fn workers() -> Result<supervisor::Pool, Error> {
    supervisor::Pool::start(supervisor::Program::current()).map_err(Error::Workers)
}

/// What the scheduler and the control group leave to this process.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
