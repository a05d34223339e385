//! What only an operator may ask: who is on this edge, to drain it, and
//! credentials for its TURN server.
//!
//! | | |
//! |---|---|
//! | `GET /sessions` | `{"is_draining", "is_link_up", "workers": [n, …], "sessions": [{"session", "worker"}, …]}` |
//! | `GET /sessions/{id}/trace?format=` | `json`, or `rtcstats` for importers of browsers' dumps |
//! | `GET /traces` | `{"sessions": […]}`: those that run and those that have ended of late |
//! | `GET /fleet` | `{"pops": [{"name", "is_draining", "is_cut_off", "whip", "turn", "age_seconds", "forced", "standing"}, …]}`: how the points of presence do |
//! | `PUT /fleet/{name}` | 204; `{"forced": "out"}` takes a point of presence out of this edge's answers and redirects, `"in"` leaves it in, `null` ends either |
//! | `POST /drain` | 202; as the first SIGTERM |
//! | `GET /dns/explain?client=&name=` | why a client is sent where it is sent now, see `dns` |
//! | `GET /placement?region_km=` | who was served within its region, who was relayed, and where the next point of presence would help most, see `placement` |
//! | `GET /turn/allocations` | `{"total", "allocations": […]}`, see `turn` |
//! | `POST /turn/credentials` | 201 with `iceServers` |
//! | `POST /turn/credentials/{username}/revoke` | 204 |

mod dns;
mod fleet;
mod placement;
mod trace;
mod turn;

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

use super::{appliance::Appliance, fleet::Known};
use crate::{fleet::Reports, whip::admission::Gateway};

/// What the routes speak to.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) gateway: Option<Arc<Gateway>>,
    pub(super) appliance: Option<Arc<Appliance>>,
    pub(super) fleet: Option<Arc<Known>>,
    /// How the points of presence do, as they have said.
    pub(super) reports: Arc<Reports>,
    /// The port that HTTP shares with TURN, and whether it has TLS.
    pub(super) shared_port: Option<(u16, bool)>,
    pub(super) lifecycle: Lifecycle,
}

/// The routes, without the check of the secret.
pub(super) fn router(admin: Admin) -> Router {
    let mut routes = Router::new().route("/drain", post(drain));
    if admin.gateway.is_some() {
        routes = routes
            .route("/sessions", get(sessions))
            .merge(trace::routes());
    }
    if admin.gateway.is_some() || admin.fleet.is_some() {
        routes = routes.merge(fleet::routes());
    }
    if admin.appliance.is_some() {
        routes = routes.merge(turn::routes());
    }
    if admin.fleet.is_some() {
        routes = routes.merge(dns::routes());
        if admin.gateway.is_some() {
            routes = routes.merge(placement::routes());
        }
    }
    routes.with_state(admin)
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

async fn sessions(State(admin): State<Admin>) -> Result<Json<Sessions>, StatusCode> {
    let gateway = admin.gateway.ok_or(StatusCode::NOT_FOUND)?;
    let places = gateway.places().into_iter();
    let sessions = places.map(|place| Entry {
        session: place.session,
        worker: place.worker,
    });
    Ok(Json(Sessions {
        is_draining: admin.lifecycle.phase() >= Phase::Draining,
        is_link_up: gateway.has_origin(),
        workers: gateway.loads(),
        sessions: sessions.collect(),
    }))
}

async fn drain(State(admin): State<Admin>) -> StatusCode {
    if admin.lifecycle.advance(Phase::Draining) {
        tracing::info!("draining, by the admin API");
        systemd::stopping();
    }
    StatusCode::ACCEPTED
}
