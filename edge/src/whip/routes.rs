//! WHIP over HTTP (RFC 9725): the endpoint that takes offers, and the URL of
//! each session.
//!
//! | | endpoint `/{id}_{token}/whip` | session `/session/{secret}` |
//! |---|---|---|
//! | POST | an offer: 201 with the answer | 405 |
//! | DELETE | 405 | ends the session: 200, then 404 |
//! | OPTIONS | 204 | 204 |
//! | GET, HEAD | 204 | 204 while it lives, then 404 |
//!
//! With `Authorization: Bearer {token}` the endpoint is `/{id}/whip`. A token
//! in the URL wins over any `Authorization`: some SDKs misspell the scheme.
//! Whether the token is right only the origin knows.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware,
    response::{IntoResponse, Response},
    routing::any,
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use inlet_common::{
    clock,
    ids::{PublishPath, PushToken, StreamId},
    reason::ReasonCode,
    roq::control::{Announced, CloseReason},
    service::admin::bearer,
};

use super::{
    admission::{Gateway, Opened},
    metrics,
    resource::Secret,
    respond::{self, Failure, SDP},
    sdp,
};
use crate::worker::OpenRequest;

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

const ENDPOINT_METHODS: &str = "OPTIONS, POST, GET, HEAD";
const SESSION_METHODS: &str = "OPTIONS, DELETE, GET, HEAD";

const PROTOCOL_VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("protocol-version"),
    HeaderValue::from_static("RFC9725"),
);

/// Everything that a presenter may ask over HTTP.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/{path}/whip", any(endpoint))
        .route("/{path}/whip/", any(endpoint))
        .route("/session/{secret}", any(session))
        .fallback(async || Failure::plain(StatusCode::NOT_FOUND, "no such path"))
        .layer(middleware::from_fn(respond::finish))
        .with_state(gateway)
}

type PathText = Result<Path<String>, PathRejection>;

async fn endpoint(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    path: PathText,
    request: Request,
) -> Response {
    match *request.method() {
        Method::POST => match publish(&gateway, source, path, request).await {
            Ok(response) => response,
            Err(failure) => failure.into_response(),
        },
        Method::OPTIONS => respond::options(request.headers(), ENDPOINT_METHODS, true),
        // RFC 9725 §4.1 wants a 2xx without content.
        Method::GET | Method::HEAD => StatusCode::NO_CONTENT.into_response(),
        _ => Failure::method(ENDPOINT_METHODS).into_response(),
    }
}

async fn session(
    State(gateway): State<Arc<Gateway>>,
    path: PathText,
    request: Request,
) -> Response {
    let gone = || Failure::plain(StatusCode::NOT_FOUND, "no such session").into_response();
    let secret = path.ok().and_then(|Path(text)| text.parse::<Secret>().ok());
    match *request.method() {
        Method::OPTIONS => respond::options(request.headers(), SESSION_METHODS, false),
        Method::GET | Method::HEAD => match secret.and_then(|secret| gateway.find(&secret)) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => gone(),
        },
        Method::DELETE => {
            let Some(secret) = secret else { return gone() };
            // 200 and not 204, which OBS takes for an error. A stale If-Match
            // is passed over: whoever deletes wants it gone.
            match gateway.close(&secret, CloseReason::Deleted).await {
                true => StatusCode::OK.into_response(),
                false => gone(),
            }
        }
        _ => Failure::method(SESSION_METHODS).into_response(),
    }
}

async fn publish(
    gateway: &Arc<Gateway>,
    source: SocketAddr,
    path: PathText,
    request: Request,
) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    let path = publish_path(path, &head.headers);
    let caller = gateway.check_rate(source.ip(), path.as_ref().ok());
    let caller = caller.map_err(|limited| {
        metrics::limited(limited.by);
        Failure::limited(limited)
    })?;
    let outcome = match path {
        Ok(path) => admit(gateway, path, &head, body).await,
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
    gateway: &Arc<Gateway>,
    path: PublishPath,
    head: &Parts,
    body: Body,
) -> Result<Response, Failure> {
    let begun = clock::now();
    gateway
        .check_open()
        .map_err(|refusal| Failure::refused(refusal, &path))?;
    if !is_sdp(&head.headers) {
        return Err(Failure::media_type());
    }
    let body = read(body).await?;
    let offer = sdp::judge(&body)?;
    let request = OpenRequest {
        path: path.clone(),
        announced: announced(head.uri.query().unwrap_or_default()),
        user_agent: user_agent(&head.headers),
    };
    let opened = gateway
        .open(offer, request)
        .await
        .map_err(|refusal| Failure::refused(refusal, &path))?;
    metrics::set_up(clock::now().duration_since(begun));
    Ok(created(opened))
}

fn created(opened: Opened) -> Response {
    let headers = [
        (header::CONTENT_TYPE, SDP.to_owned()),
        (header::LOCATION, format!("/session/{}", opened.secret)),
        (header::ETAG, format!("\"{}\"", opened.etag)),
    ];
    (
        StatusCode::CREATED,
        headers,
        [PROTOCOL_VERSION],
        opened.answer,
    )
        .into_response()
}

/// Which stream, and by which right.
fn publish_path(path: PathText, headers: &HeaderMap) -> Result<PublishPath, Failure> {
    let unknown = || Failure::new(ReasonCode::StreamNotFound, "no such stream");
    let Path(text) = path.map_err(|_| unknown())?;
    let id = text.split('_').next().unwrap_or_default();
    let stream: StreamId = id.parse().map_err(|_| unknown())?;
    // Something after the id that is no token is still the URL's token.
    let from_url = text.split_once('_').map(|(_, token)| token);
    let token = from_url.or_else(|| bearer_token(headers));
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
fn is_sdp(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(SDP))
}

async fn read(body: Body) -> Result<Bytes, Failure> {
    let collect = Limited::new(body, MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, collect).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::unreadable(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the offer is over 64 KiB",
        )),
        Ok(Err(_)) => Err(Failure::new(
            ReasonCode::Malformed,
            "the offer broke off before its end",
        )),
        Err(_) => Err(Failure::unreadable(
            StatusCode::REQUEST_TIMEOUT,
            "the offer did not arrive within 10 s",
        )),
    }
}

/// `?width=&height=`; other parameters, and values that make no sense, are
/// passed over.
fn announced(query: &str) -> Option<Announced> {
    let side = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| value.parse().ok())
            .filter(|side| (1..=MAX_SIDE).contains(side))
    };
    Some(Announced {
        width: side("width")?,
        height: side("height")?,
    })
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(MAX_USER_AGENT).collect())
}
