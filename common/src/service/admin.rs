//! What only an operator may ask of a process, on a listener of its own.
//!
//! `/healthz` and `/readyz` answer everybody, since load balancers, DNS and
//! scripts ask them; everything else wants `Authorization: Bearer` with the
//! secret of a credential file. Without a secret everything else is 404: an
//! unguarded admin API never exists.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};

use super::credential::Secret;
use crate::lifecycle::{Lifecycle, Phase};

/// Says why the process is not ready although it runs; `Ok` when it is.
pub type ReadyCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Puts `guarded` behind `secret`, and health and readiness beside it.
///
/// `/healthz` is 200 while the process runs, with the phase as its text;
/// `/readyz` is 200 while it takes new work, else 503 with the reason.
pub fn router(
    lifecycle: Lifecycle,
    ready: ReadyCheck,
    secret: Option<Secret>,
    guarded: Router,
) -> Router {
    let guarded = match secret {
        Some(secret) => guarded.layer(middleware::from_fn_with_state(secret, require_secret)),
        None => Router::new(),
    };
    let health = lifecycle.clone();
    Router::new()
        .route(
            "/healthz",
            get(async move || name(health.phase()).to_owned() + "\n"),
        )
        .route("/readyz", get(async move || readiness(&lifecycle, &ready)))
        .merge(guarded)
}

fn readiness(lifecycle: &Lifecycle, ready: &ReadyCheck) -> (StatusCode, String) {
    if !lifecycle.is_ready() {
        let reason = name(lifecycle.phase());
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"));
    }
    match ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Draining => "draining",
        Phase::Closing => "closing",
        Phase::Stopped => "stopped",
    }
}

async fn require_secret(State(secret): State<Secret>, request: Request, next: Next) -> Response {
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(bearer);
    if shown.is_some_and(|shown| secret.is(shown)) {
        return next.run(request).await;
    }
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, "Bearer")],
        "send the admin secret as a Bearer token\n",
    )
        .into_response()
}

/// The token of a `Bearer` credential (RFC 6750 §2.1); the scheme's name has
/// no case (RFC 9110 §11.1).
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn app(lifecycle: &Lifecycle, link_up: bool, secret: Option<&str>) -> Router {
        let ready: ReadyCheck =
            Arc::new(move || link_up.then_some(()).ok_or("no origin".to_owned()));
        let guarded = Router::new().route("/sessions", get(async || "[]"));
        let secret = secret.map(|text| Secret::new(text).unwrap());
        router(lifecycle.clone(), ready, secret, guarded)
    }

    async fn call(app: Router, path: &str, authorization: Option<&str>) -> (u16, String) {
        let mut request = Request::get(path);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_follows_phase_and_check() {
        let lifecycle = Lifecycle::new();
        let ask = async |link_up| call(app(&lifecycle, link_up, None), "/readyz", None).await;
        assert_eq!(ask(true).await, (503, "starting\n".to_owned()));
        lifecycle.advance(Phase::Ready);
        assert_eq!(ask(true).await, (200, "ready\n".to_owned()));
        assert_eq!(ask(false).await, (503, "no origin\n".to_owned()));
        lifecycle.advance(Phase::Draining);
        assert_eq!(ask(true).await, (503, "draining\n".to_owned()));
        let health = call(app(&lifecycle, true, None), "/healthz", None).await;
        assert_eq!(health, (200, "draining\n".to_owned()));
    }

    #[tokio::test]
    async fn only_the_secret_opens_the_rest() {
        let lifecycle = Lifecycle::new();
        let right = format!("bearer {SECRET}");
        for (authorization, status) in [
            (None, 401),
            (Some("Bearer wrong"), 401),
            (Some("Basic 0123456789abcdef0123456789abcdef"), 401),
            (Some(right.as_str()), 200),
        ] {
            let app = app(&lifecycle, true, Some(SECRET));
            assert_eq!(call(app, "/sessions", authorization).await.0, status);
        }
    }

    #[tokio::test]
    async fn without_a_secret_there_is_nothing_to_open() {
        let app = app(&Lifecycle::new(), true, None);
        assert_eq!(call(app, "/sessions", Some("Bearer ")).await.0, 404);
    }
}
