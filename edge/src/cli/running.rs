//! Asking the running edge, by the admin API of its configuration.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use inlet_common::service::credential;
use tokio::net::TcpStream;

use crate::config::Admin;

/// How long all of it may take: the edge is on this machine.
const TIMEOUT: Duration = Duration::from_secs(20);

const USER_AGENT: &str = concat!("inlet-edge/", env!("CARGO_PKG_VERSION"));

/// Why the running edge has told nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no secret, so the edge has no admin API.
    #[error(
        "admin.token_file is empty: without it the running edge answers nobody; set it and restart"
    )]
    NoToken,
    /// The secret cannot be read.
    #[error(
        "cannot read the secret in {}: run this as who may, with CREDENTIALS_DIRECTORY set \
         where the service has it",
        path.display()
    )]
    Token {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It is more than one line.
    #[error(
        "{}: the secret has more than one line, or control characters: make one with \
         `openssl rand -base64 24`",
        .0.display()
    )]
    NoSecret(PathBuf),
    /// Nobody listens.
    #[error("nobody answers at {0} (admin.listen): is the edge running?")]
    Connect(SocketAddr, #[source] std::io::Error),
    /// What listens is no edge, or ends.
    #[error("what answers at {0} (admin.listen) speaks no HTTP, or broke off")]
    Protocol(SocketAddr, #[source] hyper::Error),
    /// It takes too long.
    #[error("the edge at {0} does not answer in time: see its log")]
    Slow(SocketAddr),
    /// It knows another secret.
    #[error(
        "the running edge refuses the secret in {}: it was started with another; restart it",
        .0.display()
    )]
    Refused(PathBuf),
    /// It does not have what was asked for.
    #[error("the running edge has no {0}: {1}")]
    Missing(&'static str, &'static str),
    /// It says why not.
    #[error("the running edge answers {0}: {1}")]
    Status(StatusCode, String),
    /// The answer is longer than any can be.
    #[error("the answer is longer than {0} bytes, or broke off")]
    Body(usize),
    /// The request cannot be made.
    #[error("cannot ask for that")]
    Request(#[source] http::Error),
    /// There is nothing to wait with.
    #[error("cannot wait for the network")]
    Runtime(#[source] std::io::Error),
}

/// What is asked for.
pub(super) struct Asked {
    /// Its path.
    pub(super) path: &'static str,
    /// What an edge that does not have it lacks.
    pub(super) needs: &'static str,
    /// Longest answer that is taken.
    pub(super) max_bytes: usize,
}

/// The answer to a GET.
pub(super) fn get(admin: &Admin, asked: &Asked) -> Result<Bytes, Error> {
    let path = admin.token_file.as_deref().ok_or(Error::NoToken)?;
    let path = credential::locate(path);
    let token = fs::read_to_string(&path);
    let token = token.map_err(|source| Error::Token {
        path: path.clone(),
        source,
    })?;
    let server = reachable(admin.listen);
    let bearer = HeaderValue::try_from(format!("Bearer {}", token.trim()));
    let bearer = bearer.map_err(|_| Error::NoSecret(path.clone()))?;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().map_err(Error::Runtime)?;
    let (status, body) = runtime.block_on(async {
        let told = exchange(server, bearer, asked);
        let told = tokio::time::timeout(TIMEOUT, told).await;
        told.unwrap_or(Err(Error::Slow(server)))
    })?;
    match status {
        StatusCode::OK => Ok(body),
        StatusCode::UNAUTHORIZED => Err(Error::Refused(path)),
        StatusCode::NOT_FOUND => Err(Error::Missing(asked.path, asked.needs)),
        status => Err(Error::Status(status, reason(&body))),
    }
}

/// A wildcard listens on loopback too.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn exchange(
    server: SocketAddr,
    mut bearer: HeaderValue,
    asked: &Asked,
) -> Result<(StatusCode, Bytes), Error> {
    let stream = TcpStream::connect(server).await;
    let stream = stream.map_err(|source| Error::Connect(server, source))?;
    let protocol = |source| Error::Protocol(server, source);
    bearer.set_sensitive(true);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(protocol)?;
    let request = Request::get(asked.path)
        .header(header::HOST, server.to_string())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::AUTHORIZATION, bearer)
        .body(Empty::<Bytes>::new())
        .map_err(Error::Request)?;
    // It ends with the runtime, which waits for nothing but the answer.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(protocol)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), asked.max_bytes);
    let body = body.collect().await;
    let body = body.map_err(|_| Error::Body(asked.max_bytes))?;
    Ok((status, body.to_bytes()))
}

/// What the admin API says of it, in one line.
fn reason(body: &[u8]) -> String {
    const MAX_REASON: usize = 500;
    let read: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let told = read.and_then(|json| Some(json.get("error")?.as_str()?.to_owned()));
    let told = told.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let told = told
        .chars()
        .map(|sign| if sign.is_control() { ' ' } else { sign });
    told.take(MAX_REASON).collect()
}
