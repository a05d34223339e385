//! Starting the workers from the configuration, and noticing when one ends.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    thread::{self, JoinHandle},
};

use inlet_common::{
    lifecycle::Tasks,
    roq::ALPN,
    service::{
        systemd::Progress,
        tls::{self, Certificates},
    },
};
use tokio::sync::oneshot;

use super::appliance::Prepared;
use crate::{
    config::{self, Config},
    metrics::Media,
    roq,
    turn::{metrics as turn_metrics, plane as turn},
    whip::{
        admission::Worker,
        session::{self, Addresses, NoCertificate},
    },
    worker::{self, Handle, Hearing},
};

/// Why the workers cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The origin's name leads nowhere.
    #[error("cannot look up {origin} (roq.origin)")]
    Origin {
        /// As configured.
        origin: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The link's certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// No certificate for DTLS can be made.
    #[error(transparent)]
    Certificate(#[from] NoCertificate),
    /// A worker cannot be started.
    #[error("worker {index} cannot start")]
    Start {
        /// Which one.
        index: u16,
        /// Why not.
        source: worker::Error,
    },
    /// The operating system gives us no thread.
    #[error("cannot watch the workers")]
    Thread(#[source] io::Error),
}

/// The threads that carry media.
pub(super) struct Workers {
    handles: Vec<Handle>,
    /// Told when a thread has ended.
    ends: Vec<oneshot::Receiver<thread::Result<()>>>,
}

impl Workers {
    /// Binds every socket and starts every worker: with media where there are
    /// `certificates` for the link, and with the TURN server where it is
    /// `prepared`. At `shared`, presenters call the listener of HTTPS by ICE-TCP.
    pub(super) async fn start(
        config: &Config,
        certificates: Option<Arc<Certificates>>,
        prepared: Option<&Prepared>,
        shared: &[SocketAddr],
    ) -> Result<(Self, Hearing), Error> {
        let link = match certificates {
            Some(certificates) => Some(link_config(config, certificates).await?),
            None => None,
        };
        let media = Media::register();
        let mut turn = turn_configs(config, prepared);
        let (events, heard) = worker::telling();
        let mut workers = Self {
            handles: Vec::new(),
            ends: Vec::new(),
        };
        // A name server alone has no packets for them.
        let count = match config.is_whip || config.turn.is_some() {
            true => config.media.workers,
            false => 0,
        };
        for index in 0..count {
            let settings = worker::Config {
                index,
                media: link.clone().map(|link| worker::MediaConfig {
                    bind: config.media.addresses.clone(),
                    port: config.media.port,
                    public: config.media.public.clone(),
                    tcp: config.media.tcp,
                    shared: shared.to_vec(),
                    max_sessions: config.limits.sessions_per_worker,
                    link,
                }),
                turn: turn.next(),
            };
            let (handle, thread) = worker::start(settings, events.clone(), media.clone())
                .map_err(|source| Error::Start { index, source })?;
            workers.handles.push(handle);
            workers.ends.push(end_of(thread).map_err(Error::Thread)?);
        }
        if let Some(prepared) = prepared {
            prepared.shared.set_media(workers.media());
        }
        Ok((workers, heard))
    }

    /// Every media address for UDP and its worker.
    fn media(&self) -> HashMap<SocketAddr, u16> {
        let handles = self.handles.iter();
        handles
            .flat_map(|handle| {
                let addresses = handle.addresses().udp.iter();
                addresses.map(|address| (*address, handle.index()))
            })
            .collect()
    }

    /// The workers, to be spoken to.
    pub(super) fn handles(&self) -> Vec<Handle> {
        self.handles.clone()
    }

    /// The workers as admission sees them.
    pub(super) fn as_gateway(&self) -> Vec<Arc<dyn Worker>> {
        let handles = self.handles.iter();
        handles
            .map(|handle| Arc::new(handle.clone()) as Arc<dyn Worker>)
            .collect()
    }

    /// What presenters are told, for the log.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let handles = self.handles.iter();
        handles
            .flat_map(|handle| {
                let Addresses { udp, tcp, .. } = handle.addresses();
                [&udp[..], tcp].concat()
            })
            .collect()
    }

    /// What must never stand still.
    pub(super) fn progress(&self) -> Vec<Progress> {
        let watch = |handle: &Handle| {
            let name = format!("worker-{}", handle.index());
            let handle = handle.clone();
            Progress::watching(name, move || handle.turns())
        };
        self.handles.iter().map(watch).collect()
    }

    /// Makes each worker a task, so that one that ends before its time ends the
    /// process: its sessions are lost, and a restart brings the rest back.
    pub(super) fn watch(self, tasks: &mut Tasks) {
        for end in self.ends {
            watch("worker", end, tasks);
        }
    }
}

/// Makes the end of a thread that of a task.
pub(super) fn watch(
    name: &'static str,
    end: oneshot::Receiver<thread::Result<()>>,
    tasks: &mut Tasks,
) {
    tasks.spawn(name, async move {
        match end.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err("a thread panicked".into()),
        }
    });
}

/// Asks every worker to end.
pub(super) fn stop(workers: &[Handle]) {
    for worker in workers {
        if let Err(error) = worker.send(worker::Command::Stop) {
            tracing::debug!(worker = worker.index(), %error, "worker not told to stop");
        }
    }
}

/// What the TURN server of each worker is made of, in order.
fn turn_configs(
    config: &Config,
    prepared: Option<&Prepared>,
) -> impl Iterator<Item = turn::Config> {
    let rings = turn::rings(config.media.workers);
    let parts = config.turn.as_ref().zip(prepared);
    let metrics = parts.map(|_| turn_metrics::Metrics::register());
    let parts = parts.zip(metrics).map(|((turn, prepared), metrics)| {
        rings.into_iter().map(move |ring| turn::Config {
            udp: turn.listen.udp.clone(),
            shared: Arc::clone(&prepared.shared),
            settings: Arc::clone(&prepared.settings),
            ring,
            metrics: metrics.clone(),
        })
    });
    parts.into_iter().flatten()
}

/// Waits for a thread without blocking the runtime, whose own blocking threads
/// would hold up its end.
pub(super) fn end_of(worker: JoinHandle<()>) -> io::Result<oneshot::Receiver<thread::Result<()>>> {
    let (tell, told) = oneshot::channel();
    let watcher = thread::Builder::new().name("thread-end".to_owned());
    watcher.spawn(move || {
        // Nobody listens when the process is past caring.
        tell.send(worker.join()).ok();
    })?;
    Ok(told)
}

/// What sessions are made from.
pub(super) fn session_config(config: &Config) -> Result<session::Config, Error> {
    let mut sessions = session::Config::with_dtls(config.media.dtls)?;
    sessions.connect_timeout = config.media.connect_timeout;
    sessions.silence_timeout = config.media.silence_timeout;
    sessions.start_bitrate = config.media.start_bitrate.as_bps();
    sessions.max_bitrate = config.media.max_bitrate.as_bps();
    Ok(sessions)
}

async fn link_config(
    config: &Config,
    certificates: Arc<Certificates>,
) -> Result<roq::Config, Error> {
    let tls = tls::link_client(certificates, &config.roq.ca, ALPN)?;
    let text = config.roq.origin.clone();
    let looked_up = tokio::task::spawn_blocking(move || look_up(&text)).await;
    let origin = looked_up
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|source| Error::Origin {
            origin: config.roq.origin.clone(),
            source,
        })?;
    let name = config.roq.origin_name.clone();
    let pop = pop_name(config);
    let mut link = roq::Config::new(origin, name, pop, Arc::new(tls));
    link.segmentation_offload = config.roq.segmentation_offload;
    link.idle_timeout = config.roq.idle_timeout;
    link.open_timeout = config.roq.open_timeout;
    link.link_lost_timeout = config.roq.link_lost_timeout;
    link.max_bitrate = config.media.max_bitrate.as_bps();
    link.congestion.loss_tolerance = config.roq.loss_tolerance;
    Ok(link)
}

/// The first address of `host:port`, as the resolver prefers them.
pub(super) fn look_up(origin: &str) -> io::Result<SocketAddr> {
    let target = config::split_host(origin).ok_or(io::ErrorKind::InvalidInput)?;
    let mut addresses = target.to_socket_addrs()?;
    addresses
        .next()
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// What this point of presence is called: as configured, or as its machine.
pub(super) fn pop_name(config: &Config) -> String {
    let host_name = || {
        let name = nix::unistd::gethostname().ok()?;
        name.into_string().ok()
    };
    let name = config.pop.clone().or_else(host_name);
    name.unwrap_or_else(|| "edge".to_owned())
}
