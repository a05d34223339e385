//! What port 80 says: answers to HTTP-01 challenges
//! ([RFC 8555 §8.3](https://www.rfc-editor.org/rfc/rfc8555#section-8.3)), the way
//! to HTTPS for everybody else's GET, and nothing for the rest.
//!
//! Only hosts that the certificate is for are sent on: a stranger's `Host` never
//! comes back in a `Location`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::get,
};

use super::Acme;

/// The routes; `port` is where HTTPS is found from outside.
pub(super) fn router(acme: Arc<Acme>, port: u16) -> Router {
    Router::new()
        .route("/.well-known/acme-challenge/{token}", get(answer))
        .fallback(redirect)
        .with_state(Port80 { acme, port })
}

#[derive(Clone)]
struct Port80 {
    acme: Arc<Acme>,
    port: u16,
}

async fn answer(State(port80): State<Port80>, Path(token): Path<String>) -> Response {
    match port80.acme.resolver.key_authorization(&token) {
        Some(answer) => {
            let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
            (kind, answer).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn redirect(
    State(port80): State<Port80>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let location = host(&uri, &headers)
        .filter(|_| method == Method::GET || method == Method::HEAD)
        .and_then(|host| port80.acme.domain(host))
        .and_then(|domain| location(&domain, port80.port, &uri));
    match location {
        Some(location) => {
            let location = [(header::LOCATION, location)];
            (StatusCode::MOVED_PERMANENTLY, location).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The host that was asked for, without its port.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    if let Some(host) = uri.host() {
        return Some(host);
    }
    let host = headers.get(header::HOST)?.to_str().ok()?;
    Some(host.rsplit_once(':').map_or(host, |(host, _)| host))
}

fn location(domain: &str, port: u16, uri: &Uri) -> Option<HeaderValue> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let text = match port {
        443 => format!("https://{domain}{path}"),
        port => format!("https://{domain}:{port}{path}"),
    };
    text.parse().ok()
}
