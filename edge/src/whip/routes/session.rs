//! The URL of one session (RFC 9725 §4.2, §4.3): PATCH, DELETE and what there is
//! to ask. Whoever knows the URL may do all of it.

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, Path, Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use inlet_common::{reason::ReasonCode, roq::control::CloseReason};

use super::{PathText, Whip, is_of_type, read};
use crate::whip::{
    admission::Gateway,
    fragment::Fragment,
    metrics,
    resource::Secret,
    respond::{self, FRAGMENT, Failure},
    trickle::{IfMatch, PatchError, Patched},
};

const METHODS: &str = "OPTIONS, PATCH, DELETE, GET, HEAD";

pub(super) async fn session(
    State(whip): State<Whip>,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    path: PathText,
    request: Request,
) -> Response {
    let gateway = &whip.gateway;
    let secret = path.ok().and_then(|Path(text)| text.parse::<Secret>().ok());
    let secret = secret.filter(|secret| gateway.find(secret).is_some());
    let outcome = match (request.method(), secret) {
        (&Method::OPTIONS, _) => Ok(options(&request)),
        (&Method::GET | &Method::HEAD, Some(_)) => Ok(StatusCode::NO_CONTENT.into_response()),
        (&Method::PATCH, Some(secret)) => patch(&whip, &secret, request).await,
        (&Method::DELETE, Some(secret)) => {
            // 200 and not 204, which OBS takes for an error. A stale If-Match
            // is passed over: whoever deletes wants it gone.
            match gateway.close(&secret, CloseReason::Deleted).await {
                true => Ok(StatusCode::OK.into_response()),
                false => Err(gone()),
            }
        }
        (&Method::GET | &Method::HEAD | &Method::PATCH | &Method::DELETE, None) => {
            Err(nobodys(gateway, source))
        }
        _ => Err(Failure::method(METHODS)),
    };
    outcome.unwrap_or_else(IntoResponse::into_response)
}

fn options(request: &Request) -> Response {
    let mut response = respond::options(request.headers(), METHODS, false);
    if !respond::is_preflight(request.headers()) {
        let (name, value) = respond::ACCEPT_PATCH;
        response.headers_mut().insert(name, value);
    }
    response
}

/// 404, and 429 for who asks for too many sessions that there are not.
pub(super) fn nobodys(gateway: &Gateway, source: SocketAddr) -> Failure {
    match gateway.note_guess(source.ip()) {
        Ok(()) => gone(),
        Err(limited) => {
            metrics::limited(limited.by);
            Failure::limited(limited)
        }
    }
}

fn gone() -> Failure {
    Failure::plain(StatusCode::NOT_FOUND, "no such session")
}

async fn patch(whip: &Whip, secret: &Secret, request: Request) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    if !is_of_type(&head.headers, FRAGMENT) {
        return Err(Failure::fragment_type());
    }
    let body = read(body, "fragment").await?;
    let text = String::from_utf8_lossy(&body);
    let fragment = Fragment::parse(&text)
        .map_err(|error| Failure::new(ReasonCode::Malformed, error.to_string()))?;
    metrics::skipped(fragment.skipped);
    let if_match = IfMatch::of(&head.headers);
    let patched = whip.gateway.patch(secret, &if_match, &fragment).await;
    match patched.map_err(failure)? {
        Patched::Trickled => Ok(StatusCode::NO_CONTENT.into_response()),
        Patched::Restarted { etag, fragment } => {
            let headers = [
                (header::CONTENT_TYPE, FRAGMENT.to_owned()),
                (header::ETAG, format!("\"{etag}\"")),
            ];
            Ok((StatusCode::OK, headers, fragment).into_response())
        }
    }
}

fn failure(error: PatchError) -> Failure {
    let message = error.to_string();
    match error {
        PatchError::Gone => gone(),
        PatchError::Precondition => Failure::plain(StatusCode::PRECONDITION_FAILED, message),
        PatchError::Credentials => Failure::unreadable(StatusCode::UNPROCESSABLE_ENTITY, message),
        PatchError::TooMany(wait) => Failure::too_many(message, wait),
        PatchError::Busy => Failure::new(ReasonCode::Overload, message),
    }
}
