//! TCP and TLS in front of an axum router, of TURN, of ICE-TCP, or of all of them on
//! one port; all of it bounded.
//!
//! ```text
//!  accept ─▶ arrival ─▶ HTTP/1.1 or HTTP/2 ─▶ Router
//!    │          │  ├──▶ TURN ─▶ Divert, which keeps the connection
//!    │          │  └──▶ ICE ─▶ DivertIce, likewise
//!    │          └ PROXY header, first bytes, TLS handshake: a time each,
//!    │            handshakes a number at once, half-open ones a number per source
//!    └ MAX connections, beyond it the kernel's backlog waits
//! ```
//!
//! hyper has no time limit for a client that connects and says nothing, nor
//! for an idle HTTP/2 connection; `activity` has. The peer's address reaches
//! handlers as `ConnectInfo<SocketAddr>`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

mod activity;
mod arrival;
mod classify;
mod connection;
mod half_open;
mod metrics;
mod proxy;
mod service;
mod socket;
#[cfg(test)]
mod tests;

use arrival::{Arrived, Ended, To};
use classify::Expected;
use metrics::Reason;
use service::Stream;

pub use half_open::{Entered, HalfOpen};
pub use metrics::ListenerMetrics;
pub use service::{Divert, DivertIce, Diverted, Place, Service, Tls};
pub use socket::BindError;

/// Pause after `accept` failed for want of descriptors or memory; trying on at
/// once would only burn the CPU that could free them.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a listener guards itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most connections at once. Default 4096.
    pub max_connections: usize,
    /// Most TLS handshakes at once; the others wait, within their time.
    /// Default 128.
    pub max_handshakes: usize,
    /// Longest TLS handshake, waiting included. Default 10 s.
    pub handshake_timeout: Duration,
    /// Longest time from a connection to its first request; also for a trusted
    /// proxy's header, and for the first bytes that tell TURN from HTTP, each.
    /// Default 10 s.
    pub first_request_timeout: Duration,
    /// Longest time without a request on a connection, and for which a client may take
    /// nothing of an answer; twice that at most. Default 60 s.
    pub idle_timeout: Duration,
    /// Longest time a client may leave what we sent unacknowledged. Default 30 s.
    pub write_timeout: Duration,
    /// How long open connections may finish after shutdown began. Default 5 s.
    pub shutdown_timeout: Duration,
    /// Where TURN or ICE is served: most connections of one source (an IPv4 address,
    /// an IPv6 /64) that have not yet shown what they are for. More are closed.
    /// Default 64.
    pub max_half_open: usize,
    /// Whose connections must begin with a PROXY header of version 2, and whose
    /// word for the client's address is taken. Default nobody: a header is then
    /// never read.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether an IPv6 address leaves IPv4 alone, so that `0.0.0.0` and `[::]`
    /// can have the same port. Default false.
    pub ipv6_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_handshakes: 128,
            handshake_timeout: Duration::from_secs(10),
            first_request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(5),
            max_half_open: 64,
            trusted_proxies: Vec::new(),
            ipv6_only: false,
        }
    }
}

/// A bound TCP socket that will serve HTTP, TURN, ICE, or all of them.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    options: Options,
    tls: Tls,
    metrics: ListenerMetrics,
}

impl Listener {
    /// Binds `address`; port 0 takes any, see [`Listener::local_addr`].
    ///
    /// # Errors
    ///
    /// [`BindError`], with the address.
    pub fn bind(
        address: SocketAddr,
        options: Options,
        tls: impl Into<Tls>,
        metrics: ListenerMetrics,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        let tcp = socket::bind(address, &options).map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        Ok(Self {
            tcp,
            address,
            options,
            tls: tls.into(),
            metrics,
        })
    }

    /// The address that was bound, with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then lets open connections finish their
    /// requests within [`Options::shutdown_timeout`]. Those that were diverted
    /// are not waited for.
    pub async fn serve(self, service: impl Into<Service>, shutdown: CancellationToken) {
        let service = service.into();
        let tls = self.tls.config().map(|config| service.offer(config));
        let shared = Arc::new(Shared {
            expected: service.expected(&self.tls),
            service,
            tls: tls.map(|config| TlsAcceptor::from(Arc::new(config))),
            half_open: HalfOpen::new(self.options.max_half_open),
            handshakes: Semaphore::new(self.options.max_handshakes),
            metrics: self.metrics,
            shutdown: shutdown.clone(),
            options: self.options,
        });
        let places = Arc::new(Semaphore::new(shared.options.max_connections));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&self.tcp, &places, &shared) => accepted,
            };
            let Some((stream, peer, place)) = accepted else {
                continue;
            };
            let shared = Arc::clone(&shared);
            connections.spawn(async move { serve_one(&shared, stream, peer, place).await });
        }
        // From here on the kernel refuses new connections.
        drop(self.tcp);
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(shared.options.shutdown_timeout, all).await.is_err() {
            tracing::debug!("connections did not finish in time");
            connections.shutdown().await;
        }
    }
}

/// What every connection of a listener uses.
struct Shared {
    service: Service,
    tls: Option<TlsAcceptor>,
    expected: Expected,
    half_open: Arc<HalfOpen>,
    handshakes: Semaphore,
    metrics: ListenerMetrics,
    shutdown: CancellationToken,
    options: Options,
}

/// Takes the next connection once there is a place for it.
async fn accept(
    tcp: &TcpListener,
    places: &Arc<Semaphore>,
    shared: &Shared,
) -> Option<(TcpStream, SocketAddr, Place)> {
    // Never closed, so there is always a permit to come.
    let permit = Arc::clone(places).acquire_owned().await.ok()?;
    match tcp.accept().await {
        Ok((stream, peer)) => Some((stream, peer, Place::new(permit, shared.metrics.open()))),
        Err(error) if socket::is_of_the_peer(&error) => None,
        Err(error) => {
            tracing::warn!(%error, "cannot accept");
            shared.metrics.dropped(Reason::Accept);
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn serve_one(shared: &Shared, stream: TcpStream, peer: SocketAddr, place: Place) {
    if let Err(error) = socket::tune(&stream, &shared.options) {
        tracing::debug!(%error, "cannot set socket options");
    }
    // Until it has arrived there is no request that could be finished.
    let arrived = tokio::select! {
        biased;
        arrived = arrival::arrive(shared, stream, peer) => arrived,
        () = shared.shutdown.cancelled() => return,
    };
    let arrived = match arrived {
        Ok(arrived) => arrived,
        Err(Ended::ByPeer | Ended::Validated) => return,
        Err(Ended::ByUs(reason)) => {
            tracing::debug!(?reason, "connection ended before it was served");
            shared.metrics.dropped(reason);
            return;
        }
    };
    let Arrived { peer, local, .. } = arrived;
    match (arrived.to, arrived.stream) {
        (To::Http(router), Stream::Plain(stream)) => {
            connection::serve(shared, router, TokioIo::new(stream), peer).await;
        }
        (To::Http(router), Stream::Tls(stream)) => {
            connection::serve(shared, router, TokioIo::new(stream), peer).await;
        }
        (To::Turn(divert), stream) => match Diverted::new(stream, peer, local, place) {
            Ok(diverted) => divert.take(diverted),
            Err(error) => tracing::debug!(%error, "connection failed while it was handed over"),
        },
        (To::Ice(divert, first), stream) => match Diverted::new(stream, peer, local, place) {
            Ok(diverted) => divert.take(diverted, first),
            Err(error) => tracing::debug!(%error, "connection failed while it was handed over"),
        },
    }
}
