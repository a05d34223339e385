//! What only an operator may ask: who is on this edge, and to drain it.
//!
//! | | |
//! |---|---|
//! | `GET /sessions` | `{"is_draining", "is_link_up", "workers": [n, …], "sessions": [{"session", "worker"}, …]}` |
//! | `POST /drain` | 202; as the first SIGTERM |

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use inlet_common::{
    ids::SessionId,
    lifecycle::{Lifecycle, Phase},
    service::systemd,
};
use serde::Serialize;

use crate::whip::admission::Gateway;

#[derive(Clone)]
struct Admin {
    gateway: Arc<Gateway>,
    lifecycle: Lifecycle,
}

/// The routes, without the check of the secret.
pub(super) fn router(gateway: Arc<Gateway>, lifecycle: Lifecycle) -> Router {
    Router::new()
        .route("/sessions", get(sessions))
        .route("/drain", post(drain))
        .with_state(Admin { gateway, lifecycle })
}

#[derive(Serialize)]
struct Sessions {
    /// Whether new presenters are taken.
    is_draining: bool,
    is_link_up: bool,
    /// Sessions on each worker.
    workers: Vec<usize>,
    sessions: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    session: SessionId,
    worker: usize,
}

async fn sessions(State(admin): State<Admin>) -> Json<Sessions> {
    let places = admin.gateway.places().into_iter();
    let sessions = places.map(|place| Entry {
        session: place.session,
        worker: place.worker,
    });
    Json(Sessions {
        is_draining: admin.lifecycle.phase() >= Phase::Draining,
        is_link_up: admin.gateway.has_origin(),
        workers: admin.gateway.loads(),
        sessions: sessions.collect(),
    })
}

async fn drain(State(admin): State<Admin>) -> StatusCode {
    if admin.lifecycle.advance(Phase::Draining) {
        tracing::info!("draining, by the admin API");
        systemd::stopping();
    }
    StatusCode::ACCEPTED
}
