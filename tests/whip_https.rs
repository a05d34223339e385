//! WHIP over HTTPS, by HTTP/1.1 and HTTP/2, and a certificate that is exchanged
//! under running sessions.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
    header,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::sys::signal::Signal;
use tests::rig::{Rig, Stream, scenario, tls, until};
use tokio::try_join;

const OFFER: &str = include_str!("../edge/src/whip/offers/chromium.sdp");
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const CANDIDATE: &str = "a=candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host\r\n";
const NAME: &str = "edge.test";
const PATIENCE: Duration = Duration::from_secs(20);

/// The versions of HTTP that clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A connection to the edge, kept alive over all its requests.
enum Connection {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    async fn open(rig: &Rig, version: Version) -> Result<Self> {
        let alpn: &[u8] = match version {
            Version::One => b"http/1.1",
            Version::Two => b"h2",
        };
        let stream = tls::connect(rig.ports().edge_http, NAME, &root(rig)?, &[alpn]).await?;
        ensure!(stream.get_ref().1.alpn_protocol() == Some(alpn), "no ALPN");
        let io = TokioIo::new(stream);
        Ok(match version {
            Version::One => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                Self::One(sender)
            }
            Version::Two => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                Self::Two(sender)
            }
        })
    }

    async fn ask(&mut self, method: &str, path: &str, kind: &str, body: &str) -> Result<Answer> {
        let request = |uri: String| {
            let request = Request::builder().method(method).uri(uri);
            let request = request.header(header::CONTENT_TYPE, kind);
            request.body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        };
        let response = match self {
            Self::One(sender) => {
                let mut request = request(path.to_owned())?;
                let host = header::HeaderValue::from_static(NAME);
                request.headers_mut().insert(header::HOST, host);
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Two(sender) => {
                sender.ready().await?;
                let request = request(format!("https://{NAME}{path}"))?;
                sender.send_request(request).await?
            }
        };
        Answer::read(response).await
    }
}

struct Answer {
    status: u16,
    headers: header::HeaderMap,
    body: String,
}

impl Answer {
    async fn read(response: Response<Incoming>) -> Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec())?,
        })
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    fn expect(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "{}: {}", self.status, self.body);
        let origins = self.header("access-control-allow-origin");
        ensure!(origins == "*", "no CORS on {status}");
        Ok(self)
    }
}

/// Gives the edge a certificate, which is its own authority.
fn certify(rig: &Rig) -> Result<()> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let key = made.signing_key.serialize_pem();
    fs::write(rig.folder().join("https.key"), key)?;
    fs::write(rig.folder().join("https.pem"), made.cert.pem())?;
    Ok(())
}

fn root(rig: &Rig) -> Result<String> {
    Ok(fs::read_to_string(rig.folder().join("https.pem"))?)
}

/// The edge's listener for WHIP becomes HTTPS.
async fn with_https(rig: &mut Rig) -> Result<()> {
    certify(rig)?;
    let folder = rig.folder().display().to_string();
    rig.reconfigure_edge(|text| {
        let files = format!("certificate = \"{folder}/https.pem\"\nkey = \"{folder}/https.key\"\n");
        text.replacen("[http]\n", &format!("[http]\n{files}"), 1)
    })
    .await
}

fn endpoint(stream: &Stream) -> Result<String> {
    let url = reqwest::Url::parse(&stream.whip)?;
    Ok(url.path().to_owned())
}

/// From the offer to the end, on one connection.
async fn publish(rig: &Rig, version: Version, stream: &Stream) -> Result<()> {
    let mut connection = Connection::open(rig, version).await?;
    let endpoint = endpoint(stream)?;
    let told = connection.ask("OPTIONS", &endpoint, "", "").await?;
    let told = told.expect(204)?;
    ensure!(told.header("accept-post") == "application/sdp");
    let created = connection.ask("POST", &endpoint, "application/sdp", OFFER);
    let created = created.await?.expect(201)?;
    let location = created.header("location").to_owned();
    ensure!(location.starts_with("/session/"), "{location}");
    // Where the configuration has no name, the request's counts.
    for answer in [&told, &created] {
        let links = answer.headers.get_all(header::LINK).iter();
        let links: Vec<&str> = links.map(|link| link.to_str().unwrap_or("")).collect();
        ensure!(links.len() == 4, "{links:?}");
        let is_named = |link: &&str| link.contains(&format!("{NAME}:"));
        ensure!(links.iter().all(is_named), "{links:?}");
    }

    let fragment = "a=ice-ufrag:new1\r\na=ice-pwd:0123456789abcdefghijkl\r\n";
    let restarted = connection.ask("PATCH", &location, FRAGMENT, fragment);
    let restarted = restarted.await?.expect(200)?;
    ensure!(restarted.header("etag") != created.header("etag"));
    connection
        .ask("GET", &location, "", "")
        .await?
        .expect(204)?;
    connection
        .ask("DELETE", &location, "", "")
        .await?
        .expect(200)?;
    connection
        .ask("DELETE", &location, "", "")
        .await?
        .expect(404)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn presenters_come_by_both_versions_of_http() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("https").await?;
        with_https(rig).await?;
        for version in [Version::One, Version::Two] {
            let published = publish(rig, version, &stream).await;
            published.with_context(|| format!("HTTP {version:?}"))?;
        }
        let stranger = reqwest::get(format!("http://127.0.0.1:{}/", rig.ports().edge_http)).await;
        ensure!(stranger.is_err(), "HTTP without TLS on the port of HTTPS");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_of_one_connection_may_overtake_one_another() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("at once").await?;
        with_https(rig).await?;
        let mut connection = Connection::open(rig, Version::Two).await?;
        let endpoint = endpoint(&stream)?;
        let created = connection.ask("POST", &endpoint, "application/sdp", OFFER);
        let created = created.await?.expect(201)?;
        let location = created.header("location");
        let Connection::Two(sender) = &connection else {
            unreachable!("opened as such");
        };
        let patch = async |body: String| {
            let mut connection = Connection::Two(sender.clone());
            let answer = connection.ask("PATCH", location, FRAGMENT, &body).await?;
            Ok::<_, anyhow::Error>((answer.status, answer.header("etag").to_owned()))
        };
        let restart =
            |ufrag: &str| format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789abcdefghijkl\r\n");
        let (a, b, c, d, e) = try_join!(
            patch(CANDIDATE.to_owned()),
            patch(restart("one1")),
            patch(CANDIDATE.to_owned()),
            patch(restart("two2")),
            patch(CANDIDATE.to_owned()),
        )?;
        for trickled in [&a, &c, &e] {
            ensure!(*trickled == (204, String::new()), "{trickled:?}");
        }
        ensure!((b.0, d.0) == (200, 200) && b.1 != d.1, "{b:?} {d:?}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_under_running_sessions_and_a_bad_one_is_not() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("renewed").await?;
        with_https(rig).await?;
        let former = root(rig)?;
        let mut connection = Connection::open(rig, Version::Two).await?;
        let endpoint = endpoint(&stream)?;
        let created = connection.ask("POST", &endpoint, "application/sdp", OFFER);
        let created = created.await?.expect(201)?;
        let location = created.header("location");

        certify(rig)?;
        rig.edge.signal(Signal::SIGHUP)?;
        let port = rig.ports().edge_http;
        let renewed = root(rig)?;
        let shown = until("the new certificate", PATIENCE, async || {
            tls::certificate(&tls::connect(port, NAME, &renewed, &[b"h2"]).await?)
        })
        .await?;
        ensure!(
            tls::connect(port, NAME, &former, &[b"h2"]).await.is_err(),
            "the former one is still shown"
        );
        connection.ask("GET", location, "", "").await?.expect(204)?;

        fs::write(rig.folder().join("https.pem"), "no certificate")?;
        rig.edge.signal(Signal::SIGHUP)?;
        until("a complaint", PATIENCE, async || {
            let log = fs::read_to_string(rig.edge.log())?;
            ensure!(log.contains("certificate refused; the old one stays"));
            Ok(())
        })
        .await?;
        let kept = tls::connect(port, NAME, &renewed, &[b"http/1.1"]).await?;
        ensure!(tls::certificate(&kept)? == shown, "another certificate");
        connection
            .ask("DELETE", location, "", "")
            .await?
            .expect(200)?;
        Ok(())
    })
    .await;
}
