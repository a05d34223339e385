//! What a listener serves, and how connections of TURN and ICE are handed away.

use std::{io, net::SocketAddr, sync::Arc};

use axum::Router;
use rustls::{ServerConfig, ServerConnection};
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};
use tokio_rustls::server::TlsStream;

use super::{
    classify::{Expected, Kind},
    metrics::Open,
};
use crate::service::tls::ACME_ALPN;

/// What HTTP is called by ALPN, best first.
const HTTP_ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What TURN is called by ALPN, [RFC 7443 §3](https://www.rfc-editor.org/rfc/rfc7443#section-3).
const TURN_ALPN: &[u8] = b"stun.turn";

/// What a listener serves. With TURN or ICE-TCP, connections are told apart by
/// their first bytes; without, none are looked at.
#[derive(Clone, Default)]
pub struct Service {
    http: Option<Router>,
    turn: Option<Arc<dyn Divert>>,
    ice: Option<Arc<dyn DivertIce>>,
}

impl From<Router> for Service {
    fn from(router: Router) -> Self {
        Self::http(router)
    }
}

impl Service {
    /// HTTP alone; by TLS alone where the listener has TLS.
    pub fn http(router: Router) -> Self {
        Self {
            http: Some(router),
            ..Self::default()
        }
    }

    /// TURN alone, by TCP or TLS, see [`Tls`].
    pub fn turn(divert: Arc<dyn Divert>) -> Self {
        Self::default().with_turn(divert)
    }

    /// The same, and TURN on the same port.
    #[must_use]
    pub fn with_turn(mut self, divert: Arc<dyn Divert>) -> Self {
        self.turn = Some(divert);
        self
    }

    /// The same, and ICE-TCP on the same port.
    #[must_use]
    pub fn with_ice(mut self, divert: Arc<dyn DivertIce>) -> Self {
        self.ice = Some(divert);
        self
    }

    pub(super) const fn router(&self) -> Option<&Router> {
        self.http.as_ref()
    }

    pub(super) const fn divert(&self) -> Option<&Arc<dyn Divert>> {
        self.turn.as_ref()
    }

    pub(super) const fn divert_ice(&self) -> Option<&Arc<dyn DivertIce>> {
        self.ice.as_ref()
    }

    /// HTTP, if nothing else is served, so that there is nothing to tell apart.
    pub(super) fn http_alone(&self) -> Option<&Router> {
        let is_alone = self.turn.is_none() && self.ice.is_none();
        self.http.as_ref().filter(|_| is_alone)
    }

    /// `config`, offering by ALPN what is served and nothing else; the validation
    /// of a CA where the certificate comes from one.
    pub(super) fn offer(&self, config: &ServerConfig) -> ServerConfig {
        let http = self.http.iter().flat_map(|_| HTTP_ALPN);
        let turn = self.turn.iter().map(|_| TURN_ALPN);
        let mut config = config.clone();
        let mut offered = config.alpn_protocols;
        offered.retain(|name| name == ACME_ALPN);
        // Ours come first: a client that offers both is no CA.
        let served = http.chain(turn).map(<[u8]>::to_vec);
        config.alpn_protocols = served.chain(offered).collect();
        config
    }

    /// What a client means by a protocol of [`Service::offer`].
    pub(super) fn agreed(name: &[u8]) -> Kind {
        match name {
            TURN_ALPN => Kind::Turn,
            ACME_ALPN => Kind::Validation,
            _ => Kind::Http,
        }
    }

    /// What a connection may begin with.
    pub(super) fn expected(&self, tls: &Tls) -> Expected {
        match tls {
            Tls::Off => Expected::Plain {
                http: self.router().is_some(),
            },
            Tls::Only(_) => Expected::Tls,
            Tls::OrPlain(_) => Expected::TlsOrPlain,
        }
    }
}

/// Whether a listener has TLS, and whether TURN and ICE-TCP may do without. Which protocols
/// TLS offers by ALPN follows from the [`Service`], whatever the configuration
/// says, but for the validation of a CA ([`ACME_ALPN`]).
#[derive(Clone, Debug)]
pub enum Tls {
    /// Everything comes in the clear.
    Off,
    /// Everything comes by TLS.
    Only(Arc<ServerConfig>),
    /// As [`Tls::Only`], but TURN and ICE-TCP may come in the clear too, where they
    /// are served.
    OrPlain(Arc<ServerConfig>),
}

impl Tls {
    pub(super) fn config(&self) -> Option<&ServerConfig> {
        match self {
            Self::Off => None,
            Self::Only(config) | Self::OrPlain(config) => Some(config),
        }
    }
}

impl From<Option<Arc<ServerConfig>>> for Tls {
    fn from(config: Option<Arc<ServerConfig>>) -> Self {
        config.map_or(Self::Off, Self::Only)
    }
}

/// Takes TURN connections.
pub trait Divert: Send + Sync {
    /// Takes a connection. It is called on a task of the listener's runtime
    /// and must not block; who cannot take another connection drops it.
    fn take(&self, connection: Diverted);
}

/// Takes ICE-TCP connections.
pub trait DivertIce: Send + Sync {
    /// As [`Divert::take`]. `first` is what was read of the connection: its first
    /// frame, length included.
    fn take(&self, connection: Diverted, first: Vec<u8>);
}

/// A TURN connection, with nothing read of it but its TLS handshake, or one of
/// ICE-TCP.
#[derive(Debug)]
pub struct Diverted {
    /// Non-blocking, with TCP_NODELAY, keepalive ([`super::Options::idle_timeout`])
    /// and TCP_USER_TIMEOUT ([`super::Options::write_timeout`]); in no poller's set.
    pub stream: std::net::TcpStream,
    /// The established TLS connection, `None` in the clear. It may hold
    /// plaintext that has arrived already: read its `reader()` before waiting
    /// for the socket, and again before each `read_tls`, which fails while
    /// 16 KiB are unread. It may also have something left to write.
    pub tls: Option<Box<ServerConnection>>,
    /// The client, as a trusted proxy told it where there is one. Never an
    /// IPv4 address in an IPv6 one.
    pub peer: SocketAddr,
    /// Where the client connected to, likewise.
    pub local: SocketAddr,
    /// Keep it for as long as the connection is open.
    pub place: Place,
}

impl Diverted {
    /// Takes `stream` out of the runtime.
    pub(super) fn new(
        stream: Stream,
        peer: SocketAddr,
        local: Option<SocketAddr>,
        place: Place,
    ) -> io::Result<Self> {
        let (stream, tls) = match stream {
            Stream::Plain(stream) => (stream, None),
            Stream::Tls(stream) => {
                let (stream, tls) = stream.into_inner();
                (stream, Some(Box::new(tls)))
            }
        };
        let local = local.map_or_else(|| stream.local_addr(), Ok)?;
        Ok(Self {
            stream: stream.into_std()?,
            tls,
            peer: canonical(peer),
            local: canonical(local),
            place,
        })
    }
}

/// On a socket for both families IPv4 looks like ::ffff:a.b.c.d.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

/// A connection's place among [`super::Options::max_connections`]; free again,
/// and no longer in the gauge of open connections, once this is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    _open: Open,
}

impl Place {
    pub(super) fn new(permit: OwnedSemaphorePermit, open: Open) -> Self {
        Self {
            _permit: permit,
            _open: open,
        }
    }
}

/// A connection, with or without TLS around it.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}
