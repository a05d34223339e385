//! The URL of one session (RFC 9725 §4.2, §4.3): PATCH, DELETE and what there is
//! to ask. Whoever knows the URL may do all of it.

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use inlet_common::roq::control::CloseReason;

use super::{PathText, Whip, read};
use crate::whip::{
    fragment::Fragment,
    resource::Secret,
    respond::{self, FRAGMENT, Failure},
    trickle::{IfMatch, PatchError, Patched},
};

const METHODS: &str = "OPTIONS, PATCH, DELETE, GET, HEAD";

pub(super) async fn session(
    State(whip): State<Whip>,
    path: PathText,
    request: Request,
) -> Response {
    let gateway = &whip.gateway;
    let secret = path.ok().and_then(|Path(text)| text.parse::<Secret>().ok());
    match *request.method() {
        Method::OPTIONS => {
            let mut response = respond::options(request.headers(), METHODS, false);
            if !respond::is_preflight(request.headers()) {
                let (name, value) = respond::ACCEPT_PATCH;
                response.headers_mut().insert(name, value);
            }
            response
        }
        Method::GET | Method::HEAD => match secret.and_then(|secret| gateway.find(&secret)) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => gone().into_response(),
        },
        Method::PATCH => match secret {
            Some(secret) => patch(&whip, &secret, request)
                .await
                .unwrap_or_else(IntoResponse::into_response),
            None => gone().into_response(),
        },
        Method::DELETE => {
            let Some(secret) = secret else {
                return gone().into_response();
            };
            // 200 and not 204, which OBS takes for an error. A stale If-Match
            // is passed over: whoever deletes wants it gone.
            match gateway.close(&secret, CloseReason::Deleted).await {
                true => StatusCode::OK.into_response(),
                false => gone().into_response(),
            }
        }
        _ => Failure::method(METHODS).into_response(),
    }
}

pub(super) fn gone() -> Failure {
    Failure::plain(StatusCode::NOT_FOUND, "no such session")
}

async fn patch(whip: &Whip, secret: &Secret, request: Request) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    if whip.gateway.find(secret).is_none() {
        return Err(gone());
    }
    if !is_fragment(&head.headers) {
        return Err(Failure::fragment_type());
    }
    let body = read(body, "fragment").await?;
    let text = String::from_utf8_lossy(&body);
    let fragment = Fragment::parse(&text)
        .map_err(|error| Failure::plain(StatusCode::BAD_REQUEST, error.to_string()))?;
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
    let status = match error {
        PatchError::Gone => StatusCode::NOT_FOUND,
        PatchError::Precondition => StatusCode::PRECONDITION_FAILED,
        PatchError::Credentials => StatusCode::UNPROCESSABLE_ENTITY,
        PatchError::Busy => StatusCode::SERVICE_UNAVAILABLE,
    };
    Failure::plain(status, error.to_string()).with_retry()
}

/// Parameters such as a charset do not matter.
fn is_fragment(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(FRAGMENT))
}
