//! TCP, TLS and HTTP in front of an axum router, all of it bounded.
//!
//! ```text
//!  accept ─▶ (TLS handshake) ─▶ HTTP/1.1 or HTTP/2 ─▶ Router
//!    │ MAX connections   │ a number at once, a time each
//!    └ beyond it the kernel's backlog waits
//! ```
//!
//! hyper has no time limit for a client that connects and says nothing, nor
//! for an idle HTTP/2 connection; `activity` has. The peer's address reaches
//! handlers as `ConnectInfo<SocketAddr>`.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

mod activity;
mod connection;
mod metrics;
#[cfg(test)]
mod tests;

pub use metrics::ListenerMetrics;

/// Connections that wait in the kernel while we are busy.
const BACKLOG: i32 = 1024;

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
    /// Longest time from a connection to its first request. Default 10 s.
    pub first_request_timeout: Duration,
    /// Longest time without a request on a connection. Default 60 s.
    pub idle_timeout: Duration,
    /// Longest time a client may leave what we sent unacknowledged. Default 30 s.
    pub write_timeout: Duration,
    /// How long open connections may finish after shutdown began. Default 5 s.
    pub shutdown_timeout: Duration,
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
        }
    }
}

/// A bound TCP socket that will serve HTTP.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    options: Options,
    tls: Option<Arc<ServerConfig>>,
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
        tls: Option<Arc<ServerConfig>>,
        metrics: ListenerMetrics,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        let tcp = bind(address).map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        Ok(Self {
            tcp,
            address,
            options,
            tls,
            metrics,
        })
    }

    /// The address that was bound, with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then lets open connections finish their
    /// requests within [`Options::shutdown_timeout`].
    pub async fn serve(self, router: Router, shutdown: CancellationToken) {
        let shared = Arc::new(Shared {
            router,
            tls: self.tls.map(TlsAcceptor::from),
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
            connections.spawn(async move {
                serve_one(&shared, stream, peer).await;
                drop(place);
            });
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
    router: Router,
    tls: Option<TlsAcceptor>,
    handshakes: Semaphore,
    metrics: ListenerMetrics,
    shutdown: CancellationToken,
    options: Options,
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// Takes the next connection once there is a place for it.
async fn accept(tcp: &TcpListener, places: &Arc<Semaphore>, shared: &Shared) -> Option<Accepted> {
    // Never closed, so there is always a permit to come.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match tcp.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) if is_of_the_peer(&error) => None,
        Err(error) => {
            tracing::warn!(%error, "cannot accept");
            shared.metrics.accept_failed();
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// The peer gave up before we took its connection; nothing is wrong here.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn serve_one(shared: &Shared, stream: TcpStream, peer: SocketAddr) {
    let _open = shared.metrics.open();
    if let Err(error) = tune(&stream, &shared.options) {
        tracing::debug!(%error, "cannot set socket options");
    }
    let Some(tls) = &shared.tls else {
        return connection::serve(shared, TokioIo::new(stream), peer).await;
    };
    let handshake = async {
        let permit = shared.handshakes.acquire().await.ok();
        let stream = tls.accept(stream).await;
        drop(permit);
        stream
    };
    // Until the handshake is done there is no request that could be finished.
    let outcome = tokio::select! {
        () = shared.shutdown.cancelled() => return,
        outcome = timeout(shared.options.handshake_timeout, handshake) => outcome,
    };
    match outcome {
        Ok(Ok(stream)) => connection::serve(shared, TokioIo::new(stream), peer).await,
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            shared.metrics.handshake_failed();
        }
        Err(_) => shared.metrics.handshake_timed_out(),
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for the last connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn tune(stream: &TcpStream, options: &Options) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(options.write_timeout))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(options.idle_timeout))
}

/// An address that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the operating system said.
    pub source: io::Error,
}
