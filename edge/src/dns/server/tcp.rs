//! DNS over TCP (RFC 7766) and over TLS (RFC 7858), on a thread and a runtime of
//! their own.
//!
//! Queries of one connection are answered in order, as many as come; what may be
//! held is bounded: connections in all and of one source, the time to the first
//! query, between two, and for an answer to be taken.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Moment, Responder, Shared};
use crate::dns::{
    answer::{TCP_IDLE, Transport},
    limit::Rule,
};

/// How long a client may take to its first query, and for TLS to its handshake.
const FIRST_QUERY: Duration = Duration::from_secs(3);

/// How long an answer may take to be taken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait after the system had no descriptor for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest query that is read. A client that announces more is gone with.
const MAX_QUERY: usize = 4096;

/// How many connections may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub connections: usize,
    /// Of one source: an IPv4 address, an IPv6 /64.
    pub per_source: usize,
}

/// A listener, and its TLS if it has it.
#[derive(Debug)]
pub struct Listening {
    /// Bound, listening, and non-blocking.
    pub listener: std::net::TcpListener,
    /// `None` for plain TCP.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Starts the thread that serves `listeners`; it ends soon after `closing`.
///
/// # Errors
///
/// When the system has no thread or no poll to give.
pub fn start(
    listeners: Vec<Listening>,
    shared: Arc<Shared>,
    limits: Limits,
    closing: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("dns-tcp".to_owned())
        .spawn(move || {
            let server = Arc::new(Server::new(shared, limits));
            runtime.block_on(serve(listeners, server, closing));
        })
}

async fn serve(listeners: Vec<Listening>, server: Arc<Server>, closing: CancellationToken) {
    let mut accepting = tokio::task::JoinSet::new();
    for listening in listeners {
        accepting.spawn(accept(listening, Arc::clone(&server)));
    }
    let upkeep = async {
        loop {
            tokio::time::sleep(crate::dns::metrics::FLUSH_INTERVAL).await;
            server.responder().flush(Moment::read());
        }
    };
    tokio::select! {
        () = closing.cancelled() => {}
        () = upkeep => {}
    }
}

async fn accept(Listening { listener, tls }: Listening, server: Arc<Server>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot listen for DNS over TCP"),
    };
    let tls = tls.map(TlsAcceptor::from);
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let transport = match tls {
                    Some(_) => Transport::Tls,
                    None => Transport::Tcp,
                };
                let Some(place) = Server::enter(&server, client.ip(), transport) else {
                    continue;
                };
                tokio::spawn(connection(stream, client, tls.clone(), place));
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a DNS connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, client: SocketAddr, tls: Option<TlsAcceptor>, place: Place) {
    let ended = match tls {
        None => converse(stream, client, &place).await,
        Some(tls) => match timeout(FIRST_QUERY, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, client, &place).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(()),
        },
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a DNS connection broke");
    }
}

/// Answers until the client has no more, and takes leave: TLS wants to know that
/// nothing was cut off (RFC 8446 §6.1).
async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    client: SocketAddr,
    place: &Place,
) -> io::Result<()> {
    let ended = answer_all(&mut stream, client, place).await;
    match timeout(WRITE_TIMEOUT, stream.shutdown()).await {
        Ok(closed) => ended.and(closed),
        Err(_) => ended,
    }
}

/// Reads queries and answers them until the client has no more, or takes too long.
async fn answer_all(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    client: SocketAddr,
    place: &Place,
) -> io::Result<()> {
    let mut query = Vec::new();
    let mut answer = Vec::new();
    let mut patience = FIRST_QUERY;
    while let Ok(read) = timeout(patience, read(stream, &mut query)).await {
        if !read? {
            return Ok(());
        }
        let is_answered = place.server.responder().respond(
            Moment::read(),
            &query,
            client,
            place.transport,
            &mut answer,
        );
        if !is_answered {
            return Ok(());
        }
        // Length and message together (RFC 7766 §8).
        let length = u16::try_from(answer.len()).unwrap_or_default();
        answer.splice(0..0, length.to_be_bytes());
        let written = async {
            stream.write_all(&answer).await?;
            stream.flush().await
        };
        match timeout(WRITE_TIMEOUT, written).await {
            Ok(written) => written?,
            Err(_) => return Ok(()),
        }
        patience = TCP_IDLE;
    }
    Ok(())
}

/// Reads one query; `false` when there is none.
async fn read(stream: &mut (impl AsyncRead + Unpin), query: &mut Vec<u8>) -> io::Result<bool> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error),
    };
    if length > MAX_QUERY {
        return Ok(false);
    }
    query.resize(length, 0);
    stream.read_exact(query).await?;
    Ok(true)
}

/// What the connections of one thread share.
struct Server {
    shared: Arc<Shared>,
    limits: Limits,
    responder: Mutex<Responder>,
    places: Mutex<Places>,
}

/// Who has connections, and how many.
#[derive(Default)]
struct Places {
    taken: usize,
    by_source: HashMap<IpAddr, usize>,
}

impl Server {
    fn new(shared: Arc<Shared>, limits: Limits) -> Self {
        // A connection has shown its address.
        let rule = Rule {
            per_second: 0,
            slip: 0,
        };
        Self {
            responder: Mutex::new(Responder::new(Arc::clone(&shared), rule)),
            shared,
            limits,
            places: Mutex::default(),
        }
    }

    /// Never waited for: there is one thread, and nobody keeps it over an await.
    fn responder(&self) -> std::sync::MutexGuard<'_, Responder> {
        self.responder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds room for a connection.
    fn enter(server: &Arc<Self>, ip: IpAddr, transport: Transport) -> Option<Place> {
        let source = source(ip);
        let mut places = server.places();
        let own = places.by_source.get(&source).copied().unwrap_or_default();
        if places.taken >= server.limits.connections || own >= server.limits.per_source {
            server.shared.metrics.connections_refused.increment(1);
            return None;
        }
        places.taken += 1;
        places.by_source.insert(source, own + 1);
        server.shared.metrics.connections[transport as usize].increment(1);
        Some(Place {
            server: Arc::clone(server),
            source,
            transport,
        })
    }
}

/// A connection's place among those that may be open.
struct Place {
    server: Arc<Server>,
    source: IpAddr,
    transport: Transport,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.server.places();
        places.taken -= 1;
        if let Some(own) = places.by_source.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                places.by_source.remove(&self.source);
            }
        }
        drop(places);
        self.server.shared.metrics.connections[self.transport as usize].decrement(1);
    }
}

/// Whoever has an IPv6 address has a /64 of them.
fn source(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(six) => IpAddr::V6((six.to_bits() >> 64 << 64).into()),
    }
}
