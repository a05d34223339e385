//! Whether a WHIP endpoint is there: OPTIONS of one that belongs to no stream.
//!
//! Every server has to answer that (RFC 9725 §4.2 and CORS), and by `Accept-Post` it
//! says that it speaks WHIP. The path has no token, so that an Inlet edge asks nobody
//! for it, charges nobody, and answers also whom it has refused too often.

use std::{net::SocketAddr, str::FromStr};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{Error, dial};

/// The endpoint of a stream that there never is.
const PATH: &str = "/0/whip";

/// Bytes of the answer's head that are read; an Inlet edge with a dozen TURN servers
/// sends some 2 KiB.
const MAX_HEAD: usize = 16 * 1024;

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
            path: format!("{}{PATH}", uri.path().trim_end_matches('/')),
        })
    }
}

impl Endpoint {
    /// Its port, at whatever address.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }
}

/// Asks the endpoint at `server`.
pub(super) async fn ask(
    server: SocketAddr,
    endpoint: &Endpoint,
    connector: &TlsConnector,
) -> Result<(), Error> {
    match endpoint.is_https {
        true => {
            let stream = dial::tls(server, &endpoint.host, connector).await?;
            options(stream, endpoint).await
        }
        false => options(dial::tcp(server).await?, endpoint).await,
    }
}

async fn options<S>(stream: S, endpoint: &Endpoint) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri(&endpoint.path)
        .header(header::HOST, &endpoint.authority)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Error::Protocol)?;
    let shaken = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = shaken.map_err(|error| of_http(&error))?;
    // Both are driven here, so that no task is left behind; the body is not read.
    let answered = sender.send_request(request);
    tokio::pin!(answered, connection);
    let answer = tokio::select! {
        biased;
        answer = &mut answered => answer,
        // The connection may end with the answer already handed over.
        ended = &mut connection => match ended {
            Ok(()) => answered.await,
            Err(error) => Err(error),
        },
    };
    let answer = answer.map_err(|error| of_http(&error))?;
    judge(answer.status(), answer.headers())
}

fn of_http(error: &hyper::Error) -> Error {
    match error.is_parse() || error.is_parse_too_large() {
        true => Error::Protocol,
        false => Error::Closed,
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
        assert_eq!(edge.path, "/0/whip");
        let edge = read("http://[::1]:8080/in/").unwrap();
        assert_eq!((edge.host.as_str(), edge.port), ("::1", 8080));
        assert_eq!(edge.authority, "[::1]:8080");
        assert_eq!(edge.path, "/in/0/whip");
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
