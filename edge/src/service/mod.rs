//! The running edge: everything bound, wired and stopped in order.
//!
//! ```text
//!  http ─▶ whip ─▶ workers (threads) ─▶ link to the origin
//!                     └─ events ─▶ directory of sessions
//!  admin, metrics: listeners of their own
//! ```
//!
//! READY is told to systemd when every socket is bound and every certificate
//! loaded, whether or not the origin can be reached: readiness for presenters
//! is `/readyz`. SIGTERM turns new presenters away, waits for running sessions
//! until the deadline, and then ends them with BYE and close_notify.

mod admin;
mod check;
#[cfg(test)]
mod tests;
mod workers;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use inlet_common::{
    clock,
    lifecycle::{Ended, Lifecycle, Phase, Tasks},
    service::{
        admin::{self as common_admin, ReadyCheck},
        credential::{self, Secret},
        listener::{BindError, Listener, ListenerMetrics, Options},
        logging, metrics as prometheus,
        signals::Signals,
        systemd,
        tls::{self, Certificates},
    },
};
use metrics::{Gauge, Unit, describe_gauge, gauge};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use check::{check, refuse};
pub use workers::Error as WorkersError;

use crate::{
    config::Config,
    whip::{
        self,
        admission::{Gateway, Limits},
    },
    worker::Event,
};
use workers::Workers;

/// What systemd shows beside the service is renewed so often.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Histograms whose values are no short spans, and their buckets.
const BUCKETS: &[(&str, &[f64])] = &[
    ("inlet_edge_session_rtt_seconds", prometheus::RTT_SECONDS),
    (
        "inlet_edge_link_congestion_window_bytes",
        &[
            131_072.0,
            262_144.0,
            524_288.0,
            1_048_576.0,
            4_194_304.0,
            16_777_216.0,
            67_108_864.0,
        ],
    ),
    (
        "inlet_edge_link_frames_under_way",
        &[0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0],
    ),
];

/// Why the edge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system gives us no signals.
    #[error("cannot take over signals")]
    Signals(#[source] io::Error),
    /// Something in this process exports metrics already.
    #[error("cannot export metrics")]
    Metrics(#[from] prometheus::Error),
    /// A certificate, key or CA cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// A TCP listener cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin secret cannot be used.
    #[error(transparent)]
    Secret(#[from] credential::Error),
    /// The workers cannot be started.
    #[error(transparent)]
    Workers(#[from] WorkersError),
}

/// Runs the edge until it is told to stop.
///
/// # Errors
///
/// [`Error`] when it cannot start; once it runs, trouble is logged and told by
/// [`Ended`].
pub async fn run(path: &Path, config: Config, log: logging::Handle) -> Result<Ended, Error> {
    let signals = Signals::install().map_err(Error::Signals)?;
    let prometheus = prometheus::install("inlet_edge", env!("CARGO_PKG_VERSION"), BUCKETS)?;
    let lifecycle = Lifecycle::new();
    let edge = Edge::start(&config, &lifecycle).await?;
    let gateway = Arc::clone(&edge.gateway);
    let reload = Reload {
        path: path.to_owned(),
        config: config.clone(),
        certificates: edge.certificates.clone(),
        log,
    };
    let mut tasks = Tasks::new();
    edge.spawn(&lifecycle, &prometheus, &mut tasks);
    tokio::spawn(signals.drive(lifecycle.clone(), async move || reload.run()));
    lifecycle.advance(Phase::Ready);
    systemd::ready();
    tracing::info!("ready");
    let ended = tasks
        .run(&lifecycle, gateway.drain(), config.drain_timeout)
        .await;
    Ok(ended)
}

/// Everything bound and made, nothing served yet.
struct Edge {
    http: Listener,
    metrics: Listener,
    admin: Listener,
    admin_secret: Option<Secret>,
    certificates: Vec<Arc<Certificates>>,
    workers: Workers,
    events: mpsc::UnboundedReceiver<Event>,
    gateway: Arc<Gateway>,
}

impl Edge {
    async fn start(config: &Config, lifecycle: &Lifecycle) -> Result<Self, Error> {
        let mut certificates = Vec::new();
        let https = match &config.http.tls {
            Some(files) => {
                let loaded = Certificates::load(files.clone(), certificate("http"))?;
                certificates.push(Arc::clone(&loaded));
                Some(Arc::new(tls::tcp_server(loaded, None)?))
            }
            None => None,
        };
        let options = Options {
            max_connections: config.limits.http_connections,
            ..Options::default()
        };
        let listen = |address, options, tls, kind| {
            Listener::bind(
                address,
                options,
                tls,
                ListenerMetrics::new("inlet_edge", kind),
            )
        };
        let http = listen(config.http.listen, options, https, "whip")?;
        let metrics = listen(config.metrics, Options::default(), None, "metrics")?;
        let admin = listen(config.admin.listen, Options::default(), None, "admin")?;
        let secret = config
            .admin
            .token_file
            .as_deref()
            .map(Secret::load)
            .transpose()?;
        let link = Certificates::load(config.roq.tls.clone(), certificate("roq"))?;
        certificates.push(Arc::clone(&link));
        whip::metrics::describe();
        let (workers, events) = Workers::start(config, link).await?;
        let limits = Limits {
            max_sessions: config.limits.sessions_per_worker * usize::from(config.media.workers),
            max_admissions: config.limits.admissions,
            open_timeout: config.roq.open_timeout,
            refused: config.limits.refused,
        };
        let sessions = workers::session_config(config)?;
        Ok(Self {
            http,
            metrics,
            admin,
            admin_secret: secret,
            certificates,
            gateway: Gateway::new(workers.as_gateway(), sessions, limits, lifecycle.clone()),
            workers,
            events,
        })
    }

    fn spawn(self, lifecycle: &Lifecycle, prometheus: &prometheus::Metrics, tasks: &mut Tasks) {
        let closing = lifecycle.closing();
        tracing::info!(
            http = %self.http.local_addr(),
            metrics = %self.metrics.local_addr(),
            admin = %self.admin.local_addr(),
            media = ?self.workers.addresses(),
            "listening"
        );
        let routes = whip::routes::router(Arc::clone(&self.gateway));
        let http = self.http.serve(routes, closing.clone());
        tasks.spawn_infallible("http", http);
        let metrics = self.metrics.serve(prometheus.router(), closing.clone());
        tasks.spawn_infallible("metrics", metrics);
        let upkeep = prometheus.clone().upkeep(closing.clone());
        tasks.spawn_infallible("metrics upkeep", upkeep);
        let guarded = admin::router(Arc::clone(&self.gateway), lifecycle.clone());
        let ready = ready_check(&self.gateway);
        let routes = common_admin::router(lifecycle.clone(), ready, self.admin_secret, guarded);
        let admin = self.admin.serve(routes, closing.clone());
        tasks.spawn_infallible("admin", admin);
        let watched = self.workers.progress();
        let watch = watch(watched, Arc::clone(&self.gateway), closing.clone());
        tasks.spawn_infallible("watch", watch);
        let (gateway, events) = (Arc::clone(&self.gateway), self.events);
        tasks.spawn_infallible("events", async move { gateway.listen(events).await });
        let gateway = self.gateway;
        tasks.spawn_infallible("stop", async move {
            closing.cancelled().await;
            gateway.stop().await;
        });
        self.workers.watch(tasks);
    }
}

fn ready_check(gateway: &Arc<Gateway>) -> ReadyCheck {
    let gateway = Arc::clone(gateway);
    Arc::new(move || match gateway.has_origin() {
        true => Ok(()),
        false => Err("no link to the origin".to_owned()),
    })
}

/// Tells systemd what goes on, and that it goes on: its watchdog is fed only
/// while every worker and the runtime turn.
async fn watch(
    mut watched: Vec<systemd::Progress>,
    gateway: Arc<Gateway>,
    closing: CancellationToken,
) {
    let runtime = systemd::Progress::new("runtime");
    watched.push(runtime.clone());
    let watchdog = systemd::watchdog(watched, closing.clone());
    let beat = async {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut status = tokio::time::interval(STATUS_INTERVAL);
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                _ = tick.tick() => runtime.advance(),
                _ = status.tick() => {
                    let sessions: usize = gateway.loads().iter().sum();
                    let link = if gateway.has_origin() { "up" } else { "down" };
                    systemd::status(&format!("{sessions} sessions, link {link}"));
                }
            }
        }
    };
    tokio::join!(watchdog, beat);
}

/// What SIGHUP reads anew.
struct Reload {
    path: PathBuf,
    config: Config,
    certificates: Vec<Arc<Certificates>>,
    log: logging::Handle,
}

impl Reload {
    /// Certificates and the log filter; the rest of the configuration takes a
    /// restart, which the log says when something of it has changed.
    fn run(&self) {
        let config = match Config::load(&self.path) {
            Ok(config) => config,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "configuration refused; the old one stays");
                return;
            }
        };
        if let Err(error) = self.log.reload(&config.log) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "log filter refused; the old one stays");
        }
        for certificate in &self.certificates {
            if let Err(error) = certificate.reload(clock::utc()) {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "certificate refused; the old one stays");
            }
        }
        let log = self.config.log.clone();
        if (Config { log, ..config }) != self.config {
            tracing::warn!("some changes in the configuration take a restart");
        }
        tracing::info!("certificates and log filter are reloaded");
    }
}

/// The gauge that tells when a certificate ends.
fn certificate(kind: &'static str) -> Gauge {
    const NAME: &str = "inlet_edge_certificate_expiry_seconds";
    describe_gauge!(
        NAME,
        Unit::Seconds,
        "end of a certificate's validity, since the Unix epoch"
    );
    gauge!(NAME, "kind" => kind)
}
