//! WHIP over HTTP (RFC 9725): the endpoint that takes offers, and the URL of
//! each session.
//!
//! | | endpoint `/{id}_{token}/whip` | session `/session/{secret}` |
//! |---|---|---|
//! | POST | an offer: 201 with the answer, or 307 to another edge | 405 |
//! | PATCH | 405 | candidates: 204; new ICE credentials: 200 |
//! | DELETE | 405 | ends the session: 200, then 404 |
//! | OPTIONS | 204, with ICE servers; 503 of none while nobody is taken | 204 |
//! | GET, HEAD | 204 | 204 while it lives, then 404 |
//!
//! Below the session is its event stream, see `events`. `/fleet/report` is for other
//! points of presence alone, see `report`.
//!
//! With `Authorization: Bearer {token}` the endpoint is `/{id}/whip`. A token
//! in the URL wins over any `Authorization`: some SDKs misspell the scheme.
//! Whether the token is right only the origin knows.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    middleware,
    response::{IntoResponse, Response},
    routing::any,
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use inlet_common::{
    clock,
    ids::{PublishPath, PushToken, SessionKey, StreamId},
    reason::ReasonCode,
    roq::control::Announced,
    service::admin::bearer,
};

use super::{
    admission::{Gateway, Opened},
    link::{self, IceServer, IceServers},
    metrics, own_url,
    pass::Passes,
    resource::Secret,
    respond::{self, Failure, SDP},
    sdp,
    steer::{self, Asked, Home, Steering},
};
use crate::{
    config::host_of,
    fleet::ask::{self, Teller},
    worker::OpenRequest,
};

mod events;
mod report;
mod session;
#[cfg(test)]
mod tests;

/// Longest offer, in bytes. Chromium's with every codec has some 10 KiB.
const MAX_BODY: usize = 64 * 1024;

/// Longest time an offer may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest User-Agent that is handed on, in characters.
const MAX_USER_AGENT: usize = 256;

/// Largest side of a resolution that is believed, in pixels.
const MAX_SIDE: u32 = 16_384;

/// How long a presenter waits for its ICE servers while the origin is asked about
/// its token.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

const ENDPOINT_METHODS: &str = "OPTIONS, POST, GET, HEAD";

const PROTOCOL_VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("protocol-version"),
    HeaderValue::from_static("RFC9725"),
);

/// What this point of presence is to presenters, beside taking their media.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// This one's own base URL, such as `https://a.example`; without it an absolute
    /// URL is made of the request's host.
    pub public_url: Option<String>,
    /// Whether its listener has TLS.
    pub is_https: bool,
    /// Its STUN and TURN servers.
    pub ice_servers: Option<Arc<dyn IceServers>>,
    /// Who may send presenters elsewhere.
    pub steering: Option<Arc<dyn Steering>>,
    /// Where it alone is reached, if it is one of several.
    pub home: Option<Arc<dyn Home>>,
    /// Seals and opens the marks of those who are sent on; without it they are plain.
    pub passes: Option<Arc<Passes>>,
    /// Tells the rest of the fleet how this one does.
    pub teller: Option<Arc<dyn Teller>>,
}

impl Site {
    fn servers(&self, stream: Option<StreamId>, head: &Head<'_>) -> Vec<IceServer> {
        let Some(known) = &self.ice_servers else {
            return Vec::new();
        };
        let home = self.home(head);
        let called = own_url::authority(head.uri, head.headers);
        let called = called.as_ref().map(Authority::host);
        known.servers(stream, home.as_deref().and_then(host_of).or(called))
    }

    /// Its own base URL, for a presenter who came by another name.
    fn home(&self, head: &Head<'_>) -> Option<String> {
        let listed = self.home.as_ref()?.base()?;
        let base = self.public_url.clone().unwrap_or(listed);
        let called = own_url::authority(head.uri, head.headers)?;
        let is_own = host_of(&base)?.eq_ignore_ascii_case(called.host());
        (!is_own).then_some(base)
    }
}

/// What a request says in front of its body, and where it comes from.
struct Head<'a> {
    uri: &'a Uri,
    headers: &'a HeaderMap,
    source: SocketAddr,
}

/// What routes share.
#[derive(Clone, Debug)]
struct Whip {
    gateway: Arc<Gateway>,
    site: Arc<Site>,
}

/// Everything that a presenter may ask over HTTP.
pub fn router(gateway: Arc<Gateway>, site: Site) -> Router {
    let site = Arc::new(site);
    Router::new()
        .route("/{path}/whip", any(endpoint))
        .route("/{path}/whip/", any(endpoint))
        .route("/session/{secret}", any(session::session))
        .route("/session/{secret}/events", any(events::events))
        .route(ask::PATH, any(report::report))
        .fallback(nowhere)
        .layer(middleware::from_fn(respond::finish))
        .with_state(Whip { gateway, site })
}

type PathText = Result<Path<String>, PathRejection>;

/// A browser must be let through to its 404, or the page never sees it.
async fn nowhere(request: Request) -> Response {
    match *request.method() == Method::OPTIONS && respond::is_preflight(request.headers()) {
        true => respond::options(request.headers(), ENDPOINT_METHODS, false),
        false => Failure::plain(StatusCode::NOT_FOUND, "no such path").into_response(),
    }
}

async fn endpoint(
    State(whip): State<Whip>,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    path: PathText,
    request: Request,
) -> Response {
    match *request.method() {
        Method::POST => match publish(&whip, source, path, request).await {
            Ok(response) => response,
            Err(failure) => failure.into_response(),
        },
        Method::OPTIONS => {
            let (head, _) = request.into_parts();
            let head = Head {
                uri: &head.uri,
                headers: &head.headers,
                source,
            };
            options(&whip, path, &head).await
        }
        // RFC 9725 §4.1 wants a 2xx without content.
        Method::GET | Method::HEAD => StatusCode::NO_CONTENT.into_response(),
        _ => Failure::method(ENDPOINT_METHODS).into_response(),
    }
}

/// Who names no stream wants to know whether this point of presence takes presenters, as
/// probes do: not while it drains, or has no origin. A page must be able to see what
/// becomes of its own stream in any case.
async fn options(whip: &Whip, path: PathText, head: &Head<'_>) -> Response {
    let mut response = respond::options(head.headers, ENDPOINT_METHODS, true);
    if respond::is_preflight(head.headers) {
        return response;
    }
    let path = publish_path(path, head.headers, head.uri, &whip.site).ok();
    if path.is_none()
        && let Some(closed) = whip.gateway.closure()
    {
        return Failure::new(closed.code, closed.message).into_response();
    }
    let servers = offered_servers(whip, path, head).await;
    link::add(response.headers_mut(), &servers);
    response
}

/// The ICE servers of a stream, with credentials where the token is right: a
/// browser needs them before it makes its offer. A wrong token costs as much here
/// as in an offer.
async fn offered_servers(
    whip: &Whip,
    path: Option<PublishPath>,
    head: &Head<'_>,
) -> Vec<IceServer> {
    let Whip { gateway, site } = whip;
    let caller = gateway.check_rate(head.source.ip(), path.as_ref());
    let (Some(path), Ok(caller), true) = (path, caller, site.ice_servers.is_some()) else {
        return site.servers(None, head);
    };
    let stream = path.stream;
    let asked = gateway.check_token(path.clone());
    match tokio::time::timeout(CHECK_TIMEOUT, asked).await {
        Ok(Ok(())) => site.servers(Some(stream), head),
        Ok(Err(refusal)) => {
            if let Some(charge) = Failure::refused(refusal, &path).charge() {
                gateway.note_refusal(caller, charge);
            }
            site.servers(None, head)
        }
        Err(_) => site.servers(None, head),
    }
}

async fn publish(
    whip: &Whip,
    source: SocketAddr,
    path: PathText,
    request: Request,
) -> Result<Response, Failure> {
    let gateway = &whip.gateway;
    let (head, body) = request.into_parts();
    let path = publish_path(path, &head.headers, &head.uri, &whip.site);
    let caller = gateway.check_rate(source.ip(), path.as_ref().ok());
    let caller = caller.map_err(|limited| {
        metrics::limited(limited.by);
        Failure::limited(limited)
    })?;
    let outcome = match path {
        Ok(path) => {
            let head = Head {
                uri: &head.uri,
                headers: &head.headers,
                source,
            };
            admit(whip, path, &head, body).await
        }
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &outcome
        && let Some(charge) = failure.charge()
    {
        gateway.note_refusal(caller, charge);
    }
    outcome
}

async fn admit(
    Whip { gateway, site }: &Whip,
    path: PublishPath,
    head: &Head<'_>,
    body: Body,
) -> Result<Response, Failure> {
    let begun = clock::now();
    let inability = gateway.inability();
    if let Some(elsewhere) = redirect(site, &path, head, inability.is_some()) {
        metrics::redirected(inability);
        return Ok(elsewhere);
    }
    let open = gateway.check_open();
    open.map_err(|refusal| Failure::refused(refusal, &path))?;
    if !is_of_type(head.headers, SDP) {
        return Err(Failure::media_type());
    }
    let body = read(body, "offer").await?;
    let offer = sdp::judge(&body)?;
    let query = head.uri.query().unwrap_or_default();
    let request = OpenRequest {
        path: path.clone(),
        announced: announced(query),
        user_agent: user_agent(head.headers),
        key: None,
        replaces: replaced(query),
    };
    let opened = gateway
        .open(offer, request, head.source.ip())
        .await
        .map_err(|refusal| Failure::refused(refusal, &path))?;
    metrics::set_up(clock::now().duration_since(begun));
    let servers = site.servers(Some(path.stream), head);
    gateway.note_links(&opened, servers.len());
    let mut response = created(site, head, opened);
    link::add(response.headers_mut(), &servers);
    Ok(response)
}

/// A 307 to another point of presence, when somebody knows a better one. The token
/// must be in the URL, or be sealed for the other: a browser takes no `Authorization` to
/// another host.
fn redirect(
    site: &Site,
    path: &PublishPath,
    head: &Head<'_>,
    is_refused: bool,
) -> Option<Response> {
    let uri = head.uri;
    let steering = site.steering.as_ref();
    let steering = steering.filter(|_| steer::mark(uri).is_none())?;
    let asked = Asked {
        stream: path.stream,
        client: head.source.ip(),
        is_refused,
    };
    let elsewhere = steering.elsewhere(&asked)?;
    let sealed = site.passes.as_ref().zip(elsewhere.pop.as_deref());
    let sealed =
        sealed.and_then(|(passes, pop)| passes.seal(path.stream, pop, &path.token, clock::utc()));
    let mark = match &sealed {
        Some(sealed) => sealed,
        None if uri.path().contains('_') => steer::UNSEALED,
        None => return None,
    };
    let target = steer::target(&elsewhere.base, uri, mark);
    let location = HeaderValue::from_str(&target).ok()?;
    let headers = [(header::LOCATION, location)];
    Some((StatusCode::TEMPORARY_REDIRECT, headers).into_response())
}

/// Path-absolute, which every client takes to be on the host that it asked; after
/// a redirect some of them would go back to the first one, and by a name of several
/// points of presence they could come to another.
fn created(site: &Site, head: &Head<'_>, opened: Opened) -> Response {
    let base = match steer::mark(head.uri).is_some() {
        true => site
            .public_url
            .clone()
            .or_else(|| site.home(head))
            .or_else(|| own_url::base(head.uri, head.headers, head.source, site.is_https)),
        false => site.home(head),
    };
    let base = base.unwrap_or_default();
    let base = base.trim_end_matches('/');
    let headers = [
        (header::CONTENT_TYPE, SDP.to_owned()),
        (
            header::LOCATION,
            format!("{base}/session/{}", opened.secret),
        ),
        (header::ETAG, format!("\"{}\"", opened.etag)),
    ];
    (
        StatusCode::CREATED,
        headers,
        [PROTOCOL_VERSION, respond::ACCEPT_PATCH],
        opened.answer,
    )
        .into_response()
}

/// Which stream, and by which right: a token in the URL, in the header, or sealed by
/// the point of presence that sent the presenter here.
fn publish_path(
    path: PathText,
    headers: &HeaderMap,
    uri: &Uri,
    site: &Site,
) -> Result<PublishPath, Failure> {
    let unknown = || Failure::new(ReasonCode::StreamNotFound, "no such stream");
    let Path(text) = path.map_err(|_| unknown())?;
    let id = text.split('_').next().unwrap_or_default();
    let stream: StreamId = id.parse().map_err(|_| unknown())?;
    // Something after the id that is no token is still the URL's token.
    let from_url = text.split_once('_').map(|(_, token)| token);
    let token = from_url.or_else(|| bearer_token(headers));
    let passed = || {
        let mark = steer::mark(uri)?;
        site.passes.as_ref()?.open(mark, stream, clock::utc())
    };
    if let Some(token) = token.is_none().then(passed).flatten() {
        return Ok(PublishPath { stream, token });
    }
    match token {
        Some(token) if !token.is_empty() && token.len() <= PushToken::MAX_LEN => Ok(PublishPath {
            stream,
            token: PushToken::new(token),
        }),
        _ => Err(Failure::new(
            ReasonCode::WrongToken,
            "no valid token: publish to /{id}_{token}/whip, or send Authorization: Bearer {token}",
        )),
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::AUTHORIZATION).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .find_map(bearer)
}

/// Parameters such as a charset do not matter.
fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
}

/// Reads a body, which is called `what` in errors.
async fn read(body: Body, what: &str) -> Result<Bytes, Failure> {
    let collect = Limited::new(body, MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, collect).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::unreadable(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the {what} is over 64 KiB"),
        )),
        Ok(Err(_)) => Err(Failure::new(
            ReasonCode::Malformed,
            format!("the {what} broke off before its end"),
        )),
        Err(_) => Err(Failure::unreadable(
            StatusCode::REQUEST_TIMEOUT,
            format!("the {what} did not arrive within 10 s"),
        )),
    }
}

/// `?width=&height=`; other parameters, and values that make no sense, are
/// passed over.
fn announced(query: &str) -> Option<Announced> {
    let side = |name| {
        let side = parameter(query, name)?.parse().ok();
        side.filter(|side| (1..=MAX_SIDE).contains(side))
    };
    Some(Announced {
        width: side("width")?,
        height: side("height")?,
    })
}

/// `?replace=` with the secret of a running session, here or at another edge. One
/// that is none replaces nobody.
fn replaced(query: &str) -> Option<SessionKey> {
    let secret: Secret = parameter(query, "replace")?.parse().ok()?;
    Some(secret.key())
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(MAX_USER_AGENT).collect())
}
