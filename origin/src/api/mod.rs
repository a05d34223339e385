//! The stream API: JSON under `/streaming/streams`.
//!
//! | file | holds |
//! |---|---|
//! | [`mod@self`] | the routes, and who may use them |
//! | `streams` | one handler per call |
//! | `fields` | what a body may say, checked; pure |
//! | `object` | the stream object; pure |
//! | `page` | `page` and `per_page`; pure |
//! | `body` | reading a bounded JSON body |
//! | `error` | every answer that is not a success |
//!
//! Every request needs `Authorization: APIKey <id>$<secret>`, also one for a
//! path that does not exist. There is deliberately no CORS here: a key opens
//! all of a client's streams and so belongs on a server, and a browser that
//! may not call keeps it from being put into a page by mistake. For the same
//! reason no answer is ever cached.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::{any, get, post},
};
use inlet_common::config::BaseUrl;

mod body;
mod error;
mod fields;
mod object;
mod page;
mod streams;

#[cfg(test)]
mod tests;

use error::Error;

use crate::{
    live::Directory,
    registry::{ApiKey, Registry},
};

/// What the API works with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// Where streams and keys are kept.
    pub registry: Registry,
    /// Which streams are live.
    pub directory: Arc<Directory>,
    /// Where the URLs in a stream object point.
    pub urls: Arc<Urls>,
    /// Most streams that one client may have.
    pub streams_per_client: u32,
}

/// The host parts of every URL that is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    /// Where presenters publish by WHIP; a name of the edges.
    pub whip: BaseUrl,
    /// Where viewers find pages, playlists and manifests.
    pub web: BaseUrl,
}

/// The routes under `/streaming`. They answer every path and method there, so
/// that the router can be merged with others.
pub fn router(state: ApiState) -> Router {
    metrics::describe_counter!(
        "inlet_origin_api_requests_total",
        metrics::Unit::Count,
        "Requests to the stream API, by method and status"
    );
    Router::new()
        .route(
            "/streaming/streams",
            get(streams::list).post(streams::create),
        )
        .route(
            "/streaming/streams/{id}",
            get(streams::show)
                .patch(streams::update)
                .delete(streams::delete),
        )
        .route(
            "/streaming/streams/{id}/reset_push_token",
            post(streams::reset_push_token),
        )
        .route("/streaming", any(not_found))
        .route("/streaming/", any(not_found))
        .route("/streaming/{*rest}", any(not_found))
        .method_not_allowed_fallback(method_not_allowed)
        // `layer` would put the key also before paths of a router that this one
        // is merged into: it wraps the fallback, and merging keeps it.
        .route_layer(middleware::from_fn_with_state(state.clone(), authenticate))
        .route_layer(middleware::from_fn(finish))
        .with_state(state)
}

/// Lets a request through, with its client, if it carries a valid key.
async fn authenticate(
    State(api): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    let key = api_key(request.headers()).ok_or(Error::Unauthorised)?;
    let client = api
        .registry
        .client_of_key(&key)
        .await?
        .ok_or(Error::Unauthorised)?;
    request.extensions_mut().insert(client);
    Ok(next.run(request).await)
}

/// Reads `Authorization: APIKey <id>$<secret>`; the scheme's case does not
/// matter (RFC 9110 §11.1).
fn api_key(headers: &HeaderMap) -> Option<ApiKey> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("APIKey")
        .then(|| credentials.trim().parse().ok())?
}

/// Counts an answer and keeps it out of every cache: it holds push tokens.
async fn finish(request: Request, next: Next) -> Response {
    let method = label(request.method());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let status = response.status().as_u16().to_string();
    metrics::counter!("inlet_origin_api_requests_total", "method" => method, "status" => status)
        .increment(1);
    response
}

/// A method as a label: a stranger may invent methods, but not labels.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

async fn not_found() -> Error {
    Error::NotFound("there is no such path in this API")
}

async fn method_not_allowed() -> Error {
    Error::Status(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take that method",
    )
}
