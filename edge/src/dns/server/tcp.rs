//! DNS over TCP (RFC 7766) and over TLS (RFC 7858), on a thread and a runtime of
//! their own.
//!
//! Queries of one connection are answered in order, as many as come; what may be
//! held is bounded: connections in all and of one source, the time to the first
//! query, between two, and for an answer to be taken. Where there are as many as may
//! be, whoever comes takes the place of the one that has idled longest.

mod places;

use std::{
    io,
    net::SocketAddr,
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

use self::places::{Place, Places};
use super::{Moment, Responder, Shared};
use crate::dns::{
    answer::{TCP_IDLE, Transport},
    limit::Rule,
};

/// How long clients are waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// For the first query, and for TLS for the handshake.
    pub(super) first_query: Duration,
    /// For the next one.
    pub(super) idle: Duration,
    /// For an answer to be taken.
    pub(super) write: Duration,
}

impl Waits {
    const USUAL: Self = Self {
        first_query: Duration::from_secs(3),
        idle: TCP_IDLE,
        write: Duration::from_secs(5),
    };
}

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
    start_with(
        listeners,
        Server::new(shared, limits, Waits::USUAL),
        closing,
    )
}

/// The same, for a server that may be less patient.
pub(super) fn start_with(
    listeners: Vec<Listening>,
    server: Server,
    closing: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("dns-tcp".to_owned())
        .spawn(move || runtime.block_on(serve(listeners, Arc::new(server), closing)))
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
                let Some(place) = server.enter(client.ip(), transport) else {
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
    let ended = tokio::select! {
        biased;
        // Without a word: whoever idled has nothing under way.
        () = place.lost() => return,
        ended = serve_one(stream, client, tls, &place) => ended,
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a DNS connection broke");
    }
}

async fn serve_one(
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<TlsAcceptor>,
    place: &Place,
) -> io::Result<()> {
    let Some(tls) = tls else {
        return converse(stream, client, place).await;
    };
    let shaken = {
        let _waiting = place.wait();
        timeout(place.server.waits.first_query, tls.accept(stream)).await
    };
    match shaken {
        Ok(stream) => converse(stream?, client, place).await,
        Err(_) => Ok(()),
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
    match timeout(place.server.waits.write, stream.shutdown()).await {
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
    let waits = place.server.waits;
    let mut query = Vec::new();
    let mut answer = Vec::new();
    let mut patience = waits.first_query;
    loop {
        let read = {
            let _waiting = place.wait();
            timeout(patience, read(stream, &mut query)).await
        };
        if !read.unwrap_or(Ok(false))? {
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
        match timeout(waits.write, written).await {
            Ok(written) => written?,
            Err(_) => return Ok(()),
        }
        patience = waits.idle;
    }
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
#[derive(Debug)]
pub(super) struct Server {
    shared: Arc<Shared>,
    limits: Limits,
    waits: Waits,
    responder: Mutex<Responder>,
    places: Mutex<Places>,
}

impl Server {
    pub(super) fn new(shared: Arc<Shared>, limits: Limits, waits: Waits) -> Self {
        // A connection has shown its address.
        let rule = Rule {
            per_second: 0,
            slip: 0,
        };
        Self {
            responder: Mutex::new(Responder::new(Arc::clone(&shared), rule)),
            shared,
            limits,
            waits,
            places: Mutex::default(),
        }
    }

    /// Never waited for: there is one thread, and nobody keeps it over an await.
    fn responder(&self) -> std::sync::MutexGuard<'_, Responder> {
        self.responder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
