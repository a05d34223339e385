//! The running edge: everything bound, wired and stopped in order.
//!
//! ```text
//!  http ─▶ whip ─▶ workers (threads) ─▶ link to the origin
//!    │                └─ events ─▶ directory of sessions
//!    ├ TURN by TCP and TLS, here and on listeners of its own ─▶ appliance ─▶ workers
//!    └ ICE by TCP ─▶ the worker that its first frame names
//!  DNS: sockets and threads of its own
//!  admin, metrics: listeners of their own
//! ```
//!
//! READY is told to systemd when every socket is bound and every certificate
//! loaded, whether or not the origin can be reached: readiness for presenters
//! is `/readyz`. SIGTERM turns new presenters away, waits for running sessions
//! until the deadline, and then ends them with BYE and close_notify.

mod admin;
mod appliance;
mod certificates;
mod check;
mod fleet;
mod ice_tcp;
mod keyring;
mod leave;
mod listeners;
mod names;
mod placement;
mod reload;
mod reporter;
mod site;
#[cfg(test)]
mod tests;
mod watcher;
mod workers;

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use inlet_common::{
    lifecycle::{Ended, Lifecycle, Phase, Tasks},
    service::{
        admin::{self as common_admin, ReadyCheck},
        credential::{self, Secret},
        listener::{BindError, Divert, Listener, Options, Service},
        logging, metrics as prometheus,
        signals::Signals,
        systemd, tls,
    },
};
use metrics::{Counter, Unit, counter, describe_counter};
use tokio_util::sync::CancellationToken;

pub use check::{check, refuse};
pub use workers::Error as WorkersError;

pub use appliance::Error as ApplianceError;
pub use fleet::{Error as FleetError, world};
pub use keyring::Error as KeyringError;
pub use names::Error as NamesError;

use crate::{
    config::Config,
    fleet::Reports,
    udp::kernel,
    whip::{
        self,
        admission::{Gateway, Limits},
        routes::Site,
    },
    worker::Hearing,
};
use appliance::{Appliance, Prepared};
use certificates::{Held, bind_port80};
use fleet::Known;
use ice_tcp::{IceTcp, shared_candidates};
use leave::Leave;
use listeners::{bind_http, bind_turn, listen};
use names::Names;
use reload::Reload;
use reporter::Reporter;
use watcher::Watcher;
use workers::Workers;

/// What systemd shows beside the service, and what the kernel counts, is renewed
/// so often.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Histograms whose values are no short spans, and their buckets.
const BUCKETS: &[(&str, &[f64])] = &[
    ("inlet_edge_session_rtt_seconds", prometheus::RTT_SECONDS),
    ("inlet_edge_turn_rtt_seconds", prometheus::RTT_SECONDS),
    ("inlet_edge_probe_seconds", prometheus::RTT_SECONDS),
    (
        "inlet_edge_turn_allocation_seconds",
        prometheus::LIFETIME_SECONDS,
    ),
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
    /// What ACME has kept cannot be read.
    #[error(transparent)]
    Acme(#[from] tls::acme::StoreError),
    /// A TCP listener cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin secret cannot be used.
    #[error(transparent)]
    Secret(#[from] credential::Error),
    /// The workers cannot be started.
    #[error(transparent)]
    Workers(#[from] WorkersError),
    /// The machine does not tell its addresses.
    #[error("the machine's addresses")]
    Addresses(#[source] io::Error),
    /// The TURN server cannot be started.
    #[error(transparent)]
    Appliance(#[from] ApplianceError),
    /// The fleet cannot be known.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The name server cannot be started.
    #[error(transparent)]
    Names(#[from] NamesError),
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
    let reload = Reload {
        path: path.to_owned(),
        config: config.clone(),
        certificates: edge.certificates.clone(),
        appliance: edge.appliance.clone(),
        fleet: edge.fleet.clone(),
        log,
    };
    let leave = Leave {
        gateway: edge.gateway(),
        appliance: edge.appliance.clone(),
        reporter: edge.reporter(&lifecycle),
        elsewhere: config.http.redirect_to.clone(),
        fleet: edge.fleet.clone(),
        pop: workers::pop_name(&config),
        timeout: config.drain_timeout,
    };
    let mut tasks = Tasks::new();
    edge.spawn(&lifecycle, &prometheus, &mut tasks)?;
    let reload = Arc::new(reload);
    tokio::spawn(signals.drive(lifecycle.clone(), async move || {
        // Databases take seconds, and a fault in here must not take the signals along.
        let reload = Arc::clone(&reload);
        if let Err(error) = tokio::task::spawn_blocking(move || reload.run()).await {
            tracing::error!(%error, "the reload has failed");
        }
    }));
    lifecycle.advance(Phase::Ready);
    systemd::ready();
    tracing::info!("ready");
    let ended = tasks
        .run(&lifecycle, leave.run(), config.drain_timeout)
        .await;
    Ok(ended)
}

/// Everything bound and made, nothing served yet.
struct Edge {
    whip: Option<Whip>,
    /// Listeners for TURN alone, by TCP and TLS.
    turn: Vec<Listener>,
    appliance: Option<Arc<Appliance>>,
    fleet: Option<Arc<Known>>,
    /// How the others do, as they have said.
    reports: Arc<Reports>,
    names: Option<Names>,
    metrics: Listener,
    admin: Listener,
    admin_secret: Option<Secret>,
    certificates: Held,
    /// Where HTTP-01 is answered.
    port80: Option<Listener>,
    workers: Workers,
    config: Config,
}

/// What the role of taking presenters needs.
struct Whip {
    http: Listener,
    is_https: bool,
    gateway: Arc<Gateway>,
    /// Takes presenters' TCP connections that come to this port.
    ice: Option<Arc<IceTcp>>,
    events: Hearing,
}

impl Edge {
    async fn start(config: &Config, lifecycle: &Lifecycle) -> Result<Self, Error> {
        let mut certificates = Held::new(config)?;
        let metrics = listen(config.metrics, Options::default(), None, "metrics")?;
        let admin = listen(config.admin.listen, Options::default(), None, "admin")?;
        let token_file = config.admin.token_file.as_deref();
        let secret = token_file.map(Secret::load).transpose()?;
        let http = match config.is_whip {
            true => Some(bind_http(config, &mut certificates)?),
            false => None,
        };
        let turn = bind_turn(config, &mut certificates)?;
        let fleet = Known::load(config)?;
        let names = Names::bind_if_any(config, fleet.as_ref(), &mut certificates)?;
        let link = match config.is_whip {
            true => Some(certificates.files(&config.roq.tls, "roq")?),
            false => None,
        };
        let port80 = bind_port80(config)?;
        let listeners = [&metrics, &admin].into_iter().chain(&http).chain(&turn);
        let listeners = listeners.chain(&port80);
        let mut listeners: Vec<SocketAddr> = listeners.map(Listener::local_addr).collect();
        listeners.extend(config.turn.iter().flat_map(|turn| &turn.listen.udp));
        let prepared = config.turn.as_ref();
        let prepared = prepared.map(|turn| Prepared::new(turn, &listeners, config.media.workers));
        let prepared = prepared.transpose()?;
        whip::metrics::describe();
        let shared = shared_candidates(config, http.as_ref())?;
        let started = Workers::start(config, link, prepared.as_ref(), &shared).await?;
        let (workers, events) = started;
        let appliance = prepared
            .zip(config.turn.clone())
            .map(|(prepared, turn)| Appliance::new(prepared, turn, listeners, workers.handles()));
        let whip = match http {
            Some(http) => Some(Whip {
                http,
                is_https: config.http.tls.is_some(),
                gateway: gateway(config, &workers, lifecycle, fleet.as_ref())?,
                ice: (!shared.is_empty()).then(|| IceTcp::new(workers.handles())),
                events,
            }),
            None => None,
        };
        let told = whip.as_ref().map(|whip| whip.gateway.fleet());
        Ok(Self {
            // Without a link others can still be asked.
            reports: told.map_or_else(Arc::default, Arc::clone),
            whip,
            turn,
            appliance,
            fleet,
            names,
            metrics,
            admin,
            admin_secret: secret,
            certificates,
            port80,
            workers,
            config: config.clone(),
        })
    }

    fn gateway(&self) -> Option<Arc<Gateway>> {
        self.whip.as_ref().map(|whip| Arc::clone(&whip.gateway))
    }

    /// Tells others how this one does, and watches how they do.
    fn spawn_fleet(&self, lifecycle: &Lifecycle, tasks: &mut Tasks) -> Result<(), Error> {
        let closing = lifecycle.closing();
        if let Some(reporter) = self.reporter(lifecycle) {
            tasks.spawn_infallible("reporter", reporter.run(closing.clone()));
        }
        if let Some(watcher) = self.watcher(lifecycle)? {
            tasks.spawn_infallible("fleet", watcher.run(closing));
        }
        Ok(())
    }

    fn watcher(&self, lifecycle: &Lifecycle) -> Result<Option<Watcher>, Error> {
        let Some(known) = self.fleet.clone() else {
            return Ok(None);
        };
        let prober = fleet::prober(&self.config, known.secrets())?;
        Ok(Some(Watcher {
            known,
            own: workers::pop_name(&self.config),
            reporter: self.reporter(lifecycle),
            reports: Arc::clone(&self.reports),
            prober,
        }))
    }

    fn reporter(&self, lifecycle: &Lifecycle) -> Option<Reporter> {
        Some(Reporter {
            gateway: self.gateway()?,
            appliance: self.appliance.clone(),
            workers: self.workers.handles(),
            lifecycle: lifecycle.clone(),
            known: self.fleet.clone(),
        })
    }

    fn spawn(
        self,
        lifecycle: &Lifecycle,
        prometheus: &prometheus::Metrics,
        tasks: &mut Tasks,
    ) -> Result<(), Error> {
        let closing = lifecycle.closing();
        let gateway = self.gateway();
        let reporter = self.reporter(lifecycle);
        self.spawn_fleet(lifecycle, tasks)?;
        self.announce();
        let metrics = self.metrics.serve(prometheus.router(), closing.clone());
        tasks.spawn_infallible("metrics", metrics);
        let upkeep = prometheus.clone().upkeep(closing.clone());
        tasks.spawn_infallible("metrics upkeep", upkeep);
        let admin = admin::Admin {
            gateway: gateway.clone(),
            appliance: self.appliance.clone(),
            fleet: self.fleet.clone(),
            reports: Arc::clone(&self.reports),
            shared_port: self.whip.as_ref().and_then(Whip::shared_port),
            lifecycle: lifecycle.clone(),
        };
        let ready = ready_check(gateway.clone(), self.certificates.clone());
        let guarded = admin::router(admin);
        let routes = common_admin::router(lifecycle.clone(), ready, self.admin_secret, guarded);
        let admin = self.admin.serve(routes, closing.clone());
        tasks.spawn_infallible("admin", admin);
        let mut watched = self.workers.progress();
        if let Some(names) = self.names {
            watched.extend(names.start(&closing, tasks)?);
        }
        let watch = watch(
            watched,
            gateway.clone(),
            self.appliance.clone(),
            closing.clone(),
        );
        tasks.spawn_infallible("watch", watch);
        let appliance = self.appliance.clone();
        let divert = self.appliance.map(|appliance| appliance as Arc<dyn Divert>);
        if let Some(divert) = &divert {
            for listener in self.turn {
                let serve = listener.serve(Service::turn(Arc::clone(divert)), closing.clone());
                tasks.spawn_infallible("turn", serve);
            }
        }
        let https = self.whip.as_ref().map(|whip| whip.http.local_addr().port());
        let https = certificates::https_port(self.config.http.public_url.as_deref(), https);
        if let Some(whip) = self.whip {
            let port = whip.shared_port();
            let site = site::site(&self.config, self.fleet, appliance, reporter, port);
            whip.spawn(site, divert, &closing, tasks);
        }
        self.certificates.spawn(self.port80, https, &closing, tasks);
        let handles = self.workers.handles();
        tasks.spawn_infallible("stop", async move {
            closing.cancelled().await;
            match gateway {
                Some(gateway) => gateway.stop().await,
                None => workers::stop(&handles),
            }
        });
        self.workers.watch(tasks);
        Ok(())
    }

    fn announce(&self) {
        tracing::info!(
            http = ?self.whip.as_ref().map(|whip| whip.http.local_addr()),
            turn = ?self.turn.iter().map(Listener::local_addr).collect::<Vec<_>>(),
            dns = ?self.names.as_ref().map(Names::addresses),
            metrics = %self.metrics.local_addr(),
            admin = %self.admin.local_addr(),
            media = ?self.workers.addresses(),
            "listening"
        );
    }
}

impl Whip {
    /// The port that clients of TURN can reach too, and whether it has TLS. `None`
    /// where a proxy stands in front.
    fn shared_port(&self) -> Option<(u16, bool)> {
        let address = self.http.local_addr();
        (!address.ip().is_loopback()).then_some((address.port(), self.is_https))
    }

    fn spawn(
        self,
        site: Site,
        divert: Option<Arc<dyn Divert>>,
        closing: &CancellationToken,
        tasks: &mut Tasks,
    ) {
        let routes = whip::routes::router(Arc::clone(&self.gateway), site);
        let mut service = Service::http(routes);
        if let Some(divert) = divert {
            service = service.with_turn(divert);
        }
        if let Some(ice) = self.ice {
            service = service.with_ice(ice);
        }
        let http = self.http.serve(service, closing.clone());
        tasks.spawn_infallible("http", http);
        let (gateway, events) = (self.gateway, self.events);
        tasks.spawn_infallible("events", async move { gateway.listen(events).await });
    }
}

fn gateway(
    config: &Config,
    workers: &Workers,
    lifecycle: &Lifecycle,
    fleet: Option<&Arc<Known>>,
) -> Result<Arc<Gateway>, Error> {
    let limits = Limits {
        max_sessions: config.limits.sessions_per_worker * usize::from(config.media.workers),
        max_admissions: config.limits.admissions,
        max_load: config.limits.worker_busy,
        open_timeout: config.roq.open_timeout,
        refused: config.limits.refused,
    };
    let sessions = workers::session_config(config)?;
    Ok(Gateway::new(
        workers.as_gateway(),
        sessions,
        limits,
        lifecycle.clone(),
        fleet.map(placement::tally),
    ))
}

/// Clients by TLS need a certificate, presenters the origin; a TURN server alone is
/// ready when it runs.
fn ready_check(gateway: Option<Arc<Gateway>>, certificates: Held) -> ReadyCheck {
    Arc::new(move || {
        certificates.readiness()?;
        match &gateway {
            Some(gateway) if !gateway.has_origin() => Err("no link to the origin".to_owned()),
            _ => Ok(()),
        }
    })
}

/// Tells systemd what goes on, and that it goes on: its watchdog is fed only
/// while every worker and the runtime turn.
async fn watch(
    mut watched: Vec<systemd::Progress>,
    gateway: Option<Arc<Gateway>>,
    appliance: Option<Arc<Appliance>>,
    closing: CancellationToken,
) {
    let runtime = systemd::Progress::new("runtime");
    watched.push(runtime.clone());
    let watchdog = systemd::watchdog(watched, closing.clone());
    let beat = async {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut status = tokio::time::interval(STATUS_INTERVAL);
        let buffer_errors = buffer_errors();
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                _ = tick.tick() => runtime.advance(),
                _ = status.tick() => {
                    systemd::status(&status_line(gateway.as_deref(), appliance.as_deref()));
                    if let Some(errors) = kernel::receive_buffer_errors() {
                        buffer_errors.absolute(errors);
                    }
                }
            }
        }
    };
    tokio::join!(watchdog, beat);
}

/// The counter of what the kernel dropped.
fn buffer_errors() -> Counter {
    const NAME: &str = "inlet_edge_kernel_udp_receive_buffer_errors_total";
    describe_counter!(
        NAME,
        Unit::Count,
        "UDP datagrams of this network namespace that found a full receive buffer"
    );
    counter!(NAME)
}

fn status_line(gateway: Option<&Gateway>, appliance: Option<&Appliance>) -> String {
    let sessions = gateway.map(|gateway| {
        let sessions: usize = gateway.loads().iter().sum();
        let link = if gateway.has_origin() { "up" } else { "down" };
        format!("{sessions} sessions, link {link}")
    });
    let allocations = appliance.map(|appliance| format!("{} allocations", appliance.allocations()));
    let parts: Vec<String> = sessions.into_iter().chain(allocations).collect();
    parts.join(", ")
}
