//! Whether a WHIP endpoint is there: OPTIONS of one that belongs to no stream. On the same
//! connection whoever has the secret of the fleet is asked how it does.
//!
//! Every server has to answer that (RFC 9725 §4.2 and CORS), and by `Accept-Post` it
//! says that it speaks WHIP. The path has no token, so that an Inlet edge asks nobody
//! for it, charges nobody, and answers also whom it has refused too often.

use std::{future::Future, net::SocketAddr, pin::Pin, str::FromStr};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use inlet_common::clock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{Error, Told, dial, patience::Budget};
use crate::fleet::ask::{self, Secrets};

/// The endpoint of a stream that there never is.
const PATH: &str = "/0/whip";

/// Bytes of the answer's head that are read; an Inlet edge with a dozen TURN servers
/// sends some 2 KiB.
const MAX_HEAD: usize = 16 * 1024;

/// Bytes of its body that are read: a report, or an error in words.
const MAX_BODY: usize = 4 * 1024;

const USER_AGENT: &str = "inlet-edge probe";

/// Where the WHIP endpoints of a point of presence are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    is_https: bool,
    /// Without brackets, as a certificate has it.
    host: String,
    port: u16,
    /// Host and, where it is written, port.
    authority: String,
    /// What paths stand behind.
    path: String,
}

/// This is no base URL of WHIP endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no http or https URL with a host and without a query")]
pub struct NotAnEndpoint;

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    /// Reads the base URL, such as `https://a.example` or `http://127.0.0.1:8080`.
    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let uri: Uri = text.parse().map_err(|_| NotAnEndpoint)?;
        let is_https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(NotAnEndpoint),
        };
        let authority = uri.authority().ok_or(NotAnEndpoint)?;
        let host = authority.host();
        if host.is_empty() || authority.as_str().contains('@') || uri.query().is_some() {
            return Err(NotAnEndpoint);
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            is_https,
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl Endpoint {
    /// Its port, at whatever address.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }
}

/// A connection to an endpoint, on which requests follow one another.
pub(super) struct Visit<'e> {
    endpoint: &'e Endpoint,
    sender: http1::SendRequest<Empty<Bytes>>,
    /// Driven here while somebody waits for an answer, so that no task is left behind.
    connection: Connection,
    /// What was said in a body so far, and has to be read before anything else.
    unread: Option<Incoming>,
}

type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl<'e> Visit<'e> {
    /// Connects to the endpoint at `server`.
    pub(super) async fn open(
        server: SocketAddr,
        endpoint: &'e Endpoint,
        connector: &TlsConnector,
        budget: &mut Budget,
    ) -> Result<Self, Error> {
        match endpoint.is_https {
            true => {
                let stream = dial::tls(server, &endpoint.host, connector, budget).await?;
                Self::shake(stream, endpoint).await
            }
            false => Self::shake(dial::tcp(server, budget).await?, endpoint).await,
        }
    }

    async fn shake<S>(stream: S, endpoint: &'e Endpoint) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shaken = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = shaken.map_err(|error| of_http(&error))?;
        Ok(Self {
            endpoint,
            sender,
            connection: Box::pin(connection.fuse()),
            unread: None,
        })
    }

    /// Whether it takes offers. What it says beside the head is not waited for.
    pub(super) async fn options(&mut self) -> Result<(), Error> {
        let path = format!("{}{PATH}", self.endpoint.path);
        let request = build(self.request(Method::OPTIONS, path))?;
        let answered = self.sender.send_request(request);
        let answer = drive(&mut self.connection, answered).await?;
        let (head, body) = answer.into_parts();
        self.unread = Some(body);
        judge(head.status, &head.headers)
    }

    /// What it says of itself as the point of presence `pop`; nobody who has not the
    /// secret can say it.
    pub(super) async fn report(&mut self, secrets: &Secrets, pop: &str) -> Result<Told, Error> {
        let asked = clock::now();
        let question = secrets.ask(pop, clock::utc());
        let path = format!("{}{}", self.endpoint.path, ask::PATH);
        let request = self
            .request(Method::GET, path)
            .header(ask::HEADER, question.as_str())
            .header(header::CONNECTION, "close");
        let (status, answer) = self.get(build(request)?).await?;
        if status != StatusCode::OK {
            return Err(Error::Status);
        }
        let report = secrets.open(&question, &answer).ok_or(Error::Integrity)?;
        Ok(Told { report, asked })
    }

    /// The next answer on the connection, with its whole body.
    async fn get(&mut self, request: Request<Empty<Bytes>>) -> Result<(StatusCode, Bytes), Error> {
        let (sender, unread) = (&mut self.sender, self.unread.take());
        let answered = async {
            if let Some(body) = unread {
                read(body).await?;
            }
            sender.ready().await?;
            let answer = sender.send_request(request).await?;
            Ok((answer.status(), read(answer.into_body()).await?))
        };
        let (status, body) = drive(&mut self.connection, answered).await?;
        Ok((status, body.ok_or(Error::Protocol)?))
    }

    fn request(&self, method: Method, path: String) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.endpoint.authority)
            .header(header::USER_AGENT, USER_AGENT)
    }
}

fn build(request: http::request::Builder) -> Result<Request<Empty<Bytes>>, Error> {
    request.body(Empty::new()).map_err(|_| Error::Protocol)
}

/// A body; `None` when it is too long.
async fn read(body: Incoming) -> hyper::Result<Option<Bytes>> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(Some(body.to_bytes())),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(*error),
            Err(_) => Ok(None),
        },
    }
}

/// Drives the connection until there is an answer.
async fn drive<T>(
    connection: &mut Connection,
    answered: impl Future<Output = hyper::Result<T>>,
) -> Result<T, Error> {
    tokio::pin!(answered);
    let answer = tokio::select! {
        biased;
        answer = &mut answered => answer,
        // The connection may end with the answer already handed over.
        ended = connection => match ended {
            Ok(()) => answered.await,
            Err(error) => Err(error),
        },
    };
    answer.map_err(|error| of_http(&error))
}

fn of_http(error: &hyper::Error) -> Error {
    if error.is_parse() || error.is_parse_too_large() {
        return Error::Protocol;
    }
    let source = std::error::Error::source(error);
    match source.and_then(|source| source.downcast_ref::<std::io::Error>()) {
        Some(error) if Error::of_io(error).is_local() => Error::Unreachable,
        _ => Error::Closed,
    }
}

/// What an answer tells.
fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), Error> {
    let mut accepted = headers.get_all("accept-post").iter();
    let is_whip = accepted.any(|value| {
        let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
        value
            .split([',', ';'])
            .any(|part| part.trim() == "application/sdp")
    });
    match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Err(Error::Unavailable),
        status if !status.is_success() => Err(Error::Status),
        _ if is_whip => Ok(()),
        _ => Err(Error::Protocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_has_a_scheme_and_a_host() {
        let read = |text: &str| text.parse::<Endpoint>();
        let edge = read("https://a.example").unwrap();
        assert_eq!((edge.host.as_str(), edge.port), ("a.example", 443));
        assert_eq!(edge.path, "");
        let edge = read("http://[::1]:8080/in/").unwrap();
        assert_eq!((edge.host.as_str(), edge.port), ("::1", 8080));
        assert_eq!(edge.authority, "[::1]:8080");
        assert_eq!(edge.path, "/in");
        for none in [
            "",
            "a.example",
            "/x",
            "ftp://a.example",
            "https://a.example/?b",
            "https://me@a.example",
        ] {
            assert_eq!(read(none), Err(NotAnEndpoint), "{none}");
        }
    }

    #[test]
    fn only_what_takes_offers_is_whip() {
        let judge = |status: u16, accept: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append("accept-post", value.parse().unwrap());
            }
            judge(StatusCode::from_u16(status).unwrap(), &headers)
        };
        assert_eq!(judge(204, &["application/sdp"]), Ok(()));
        assert_eq!(judge(200, &["text/plain", "Application/SDP; q=1"]), Ok(()));
        assert_eq!(judge(200, &["text/plain"]), Err(Error::Protocol));
        assert_eq!(judge(204, &[]), Err(Error::Protocol));
        assert_eq!(judge(404, &["application/sdp"]), Err(Error::Status));
        assert_eq!(judge(301, &[]), Err(Error::Status));
        assert_eq!(judge(503, &[]), Err(Error::Unavailable));
        assert_eq!(judge(429, &[]), Err(Error::Unavailable));
    }
}
