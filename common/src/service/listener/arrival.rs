//! From an accepted connection to whom it is for.
//!
//! ```text
//!  accepted ─▶ trusted proxy: header ─▶ HTTP alone ─▶ (handshake) ───────▶ HTTP
//!                                   └─▶ with TURN or ICE: first bytes
//!                                         ├─ TURN, HTTP ────────────────▶ TURN, HTTP
//!                                         ├─ ICE ─▶ first frame ────────▶ ICE
//!                                         └─ TLS ─▶ handshake ─▶ ALPN ───▶ TURN, HTTP
//!                                                      └ none: first byte ▶ TURN, HTTP
//! ```
//!
//! A CA that validates (`acme-tls/1`) is done after the handshake.
//!
//! First bytes are only looked at: whoever gets the connection reads them
//! again, but for ICE, whose first frame goes with the connection. Each step has
//! its own bound in time, and where kinds are told apart a source has a bound on
//! connections that are anywhere in here.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
};

use axum::Router;
use nix::sys::socket::{MsgFlags, recv};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Shared,
    classify::{self, Kind},
    metrics::Reason,
    proxy,
    service::{Divert, DivertIce, Service, Stream},
};

/// Longest first frame of ICE-TCP: a Binding request with the longest USERNAME (513
/// bytes) and whatever else clients put into it.
const MAX_FIRST_FRAME: usize = 2048;

/// A connection, and what is known of it.
pub(super) struct Arrived<'a> {
    pub(super) to: To<'a>,
    pub(super) stream: Stream,
    /// The client, behind a proxy or not.
    pub(super) peer: SocketAddr,
    /// Where the client connected to, when a proxy told.
    pub(super) local: Option<SocketAddr>,
}

/// Whom a connection is for.
pub(super) enum To<'a> {
    Http(&'a Router),
    Turn(&'a dyn Divert),
    /// ICE, and what was read of the connection.
    Ice(&'a dyn DivertIce, Vec<u8>),
}

/// A connection that got nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The peer closed it before it said anything.
    ByPeer,
    /// A CA has seen by the handshake what it wanted to see.
    Validated,
    ByUs(Reason),
}

/// Finds out whom `stream` is for.
pub(super) async fn arrive(
    shared: &Shared,
    mut stream: TcpStream,
    peer: SocketAddr,
) -> Result<Arrived<'_>, Ended> {
    let header = match is_trusted(shared, peer.ip()) {
        true => Some(read_header(shared, &mut stream).await?),
        false => None,
    };
    // A proxy's own connections have no bound: it cannot help having many.
    let (peer, local, source) = match header {
        None => (peer, None, Some(peer.ip())),
        Some(proxy::Header::Local) => (peer, None, None),
        Some(proxy::Header::Proxy {
            source,
            destination,
        }) => (source, Some(destination), Some(source.ip())),
    };
    let (to, stream) = match shared.service.http_alone() {
        Some(router) => {
            let mut stream = cover(shared, stream).await?;
            if let Stream::Tls(tls) = &mut stream
                && agreed(tls) == Some(Kind::Validation)
            {
                return Err(farewell(shared, tls).await);
            }
            (To::Http(router), stream)
        }
        None => {
            let _entered = match source {
                None => None,
                Some(source) => match shared.half_open.enter(source) {
                    None => return Err(Ended::ByUs(Reason::HalfOpen)),
                    entered => entered,
                },
            };
            sort(shared, stream).await?
        }
    };
    Ok(Arrived {
        to,
        stream,
        peer,
        local,
    })
}

fn is_trusted(shared: &Shared, peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    let mut proxies = shared.options.trusted_proxies.iter();
    proxies.any(|network| network.contains(&peer))
}

/// Reads what a trusted proxy begins with.
async fn read_header(shared: &Shared, stream: &mut TcpStream) -> Result<proxy::Header, Ended> {
    let header = async {
        let mut head = [0; proxy::HEAD_BYTES];
        stream.read_exact(&mut head).await?;
        let head = proxy::Head::decode(&head).map_err(io::Error::other)?;
        let mut body = vec![0; head.body_bytes()];
        stream.read_exact(&mut body).await?;
        head.header(&body).map_err(io::Error::other)
    };
    match timeout(shared.options.first_request_timeout, header).await {
        Ok(Ok(header)) => return Ok(header),
        Ok(Err(error)) => tracing::debug!(%error, "no PROXY header"),
        Err(_) => tracing::debug!("no PROXY header in time"),
    }
    Err(Ended::ByUs(Reason::ProxyHeader))
}

/// Puts TLS around a connection that nothing but HTTP is expected of.
async fn cover(shared: &Shared, stream: TcpStream) -> Result<Stream, Ended> {
    match &shared.tls {
        None => Ok(Stream::Plain(stream)),
        Some(tls) => Ok(Stream::Tls(handshake(shared, tls, stream).await?)),
    }
}

async fn handshake(
    shared: &Shared,
    tls: &TlsAcceptor,
    stream: TcpStream,
) -> Result<Box<TlsStream<TcpStream>>, Ended> {
    let handshake = async {
        let permit = shared.handshakes.acquire().await.ok();
        let stream = tls.accept(stream).await;
        drop(permit);
        stream
    };
    match timeout(shared.options.handshake_timeout, handshake).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            Err(Ended::ByUs(Reason::TlsHandshake))
        }
        Err(_) => Err(Ended::ByUs(Reason::TlsTimeout)),
    }
}

/// Tells TURN, ICE and HTTP apart.
async fn sort(shared: &Shared, stream: TcpStream) -> Result<(To<'_>, Stream), Ended> {
    let kind = in_time(shared, first_bytes(shared, &stream)).await?;
    let (kind, stream) = match (kind, &shared.tls) {
        (Kind::Tls, Some(tls)) => {
            let mut stream = handshake(shared, tls, stream).await?;
            let kind = in_time(shared, protocol(shared, &mut stream)).await?;
            if kind == Kind::Validation {
                return Err(farewell(shared, &mut stream).await);
            }
            (kind, Stream::Tls(stream))
        }
        (kind, _) => (kind, Stream::Plain(stream)),
    };
    let service = &shared.service;
    let to = match kind {
        Kind::Turn => service.divert().map(|divert| To::Turn(divert.as_ref())),
        Kind::Http => service.router().map(To::Http),
        Kind::IceTcp => return to_ice(shared, stream).await,
        Kind::Tls | Kind::Validation | Kind::Unknown => None,
    };
    let to = to.ok_or(Ended::ByUs(Reason::Unknown))?;
    Ok((to, stream))
}

/// Reads the first frame, which says whose the connection is.
async fn to_ice(shared: &Shared, stream: Stream) -> Result<(To<'_>, Stream), Ended> {
    let (Some(divert), Stream::Plain(mut stream)) = (shared.service.divert_ice(), stream) else {
        return Err(Ended::ByUs(Reason::IceTcp));
    };
    let frame = async {
        let mut frame = vec![0; classify::FRAMING_BYTES];
        stream.read_exact(&mut frame).await?;
        let len = frame
            .first_chunk()
            .map_or(0, |len| u16::from_be_bytes(*len));
        let len = usize::from(len);
        if len > MAX_FIRST_FRAME {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        frame.resize(classify::FRAMING_BYTES + len, 0);
        let body = frame.get_mut(classify::FRAMING_BYTES..);
        stream.read_exact(body.unwrap_or_default()).await?;
        Ok(frame)
    };
    match timeout(shared.options.first_request_timeout, frame).await {
        Ok(Ok(frame)) => Ok((To::Ice(divert.as_ref(), frame), Stream::Plain(stream))),
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Ended::ByUs(Reason::IceTcp))
        }
        Ok(Err(_)) => Err(Ended::ByPeer),
        Err(_) => Err(Ended::ByUs(Reason::Silent)),
    }
}

/// `None` of `telling` means that the peer will send no more.
async fn in_time(
    shared: &Shared,
    telling: impl Future<Output = io::Result<Option<Kind>>>,
) -> Result<Kind, Ended> {
    match timeout(shared.options.first_request_timeout, telling).await {
        Ok(Ok(Some(kind))) => Ok(kind),
        Ok(Ok(None)) => Err(Ended::ByPeer),
        Ok(Err(error)) => {
            tracing::debug!(%error, "connection failed before its first bytes");
            Err(Ended::ByPeer)
        }
        Err(_) => Err(Ended::ByUs(Reason::Silent)),
    }
}

/// Tells by the first bytes on the wire, and leaves them there.
async fn first_bytes(shared: &Shared, stream: &TcpStream) -> io::Result<Option<Kind>> {
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        let looked = stream.try_io(Interest::READABLE, || {
            let mut bytes = [0; classify::ENOUGH];
            let len = recv(stream.as_raw_fd(), &mut bytes, MsgFlags::MSG_PEEK)?;
            match classify::first_bytes(&bytes[..len], shared.expected) {
                // The socket stays readable as these bytes stay in it. Saying
                // that it is not makes `ready` wait for the next ones; had the
                // peer closed, none would come and `ready` would not wait.
                None if len > 0 && !ready.is_read_closed() => Err(io::ErrorKind::WouldBlock.into()),
                told => Ok(told),
            }
        });
        match looked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            looked => return looked,
        }
    }
}

/// What was agreed on by ALPN.
fn agreed(stream: &TlsStream<TcpStream>) -> Option<Kind> {
    stream.get_ref().1.alpn_protocol().map(Service::agreed)
}

/// Closes a connection that was only made for its handshake: nothing more is
/// exchanged (RFC 8737 §3).
async fn farewell(shared: &Shared, stream: &mut TlsStream<TcpStream>) -> Ended {
    tracing::debug!("a CA has validated");
    // The CA has what it wanted, whether or not it hears the rest.
    match timeout(shared.options.first_request_timeout, stream.shutdown()).await {
        Ok(Ok(())) | Ok(Err(_)) | Err(_) => Ended::Validated,
    }
}

/// Tells by what was agreed on, or else by the first byte, which stays.
async fn protocol(shared: &Shared, stream: &mut TlsStream<TcpStream>) -> io::Result<Option<Kind>> {
    if let Some(kind) = agreed(stream) {
        return Ok(Some(kind));
    }
    let http = shared.service.router().is_some();
    let plaintext = stream.fill_buf().await?;
    Ok(plaintext
        .first()
        .map(|first| classify::first_plaintext(*first, http)))
}
