//! Where presenters are, and where another point of presence would help them.
//!
//! `GET /placement?region_km=1500` is 200 with what this edge has seen since it began, as
//! rows that `inlet-edge placement` merges with other edges', and the report of them; 409
//! while the fleet's file does not say where this edge stands; 400 for a region that makes
//! no sense.

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Admin;
use crate::{
    placement::{REGION_KM, Report, seen::Wire},
    service::{fleet::Known, placement},
    whip::admission::Gateway,
};

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/placement", get(report))
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    region_km: f64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            region_km: REGION_KM,
        }
    }
}

#[derive(Serialize)]
struct Page {
    #[serde(flatten)]
    seen: Wire,
    #[serde(flatten)]
    report: Report,
}

async fn report(State(admin): State<Admin>, Query(wanted): Query<Wanted>) -> Response {
    let Some((known, gateway)) = admin.fleet.zip(admin.gateway) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // A full table takes a good part of a second.
    let made = tokio::task::spawn_blocking(move || page(&known, &gateway, wanted.region_km));
    made.await.unwrap_or_else(|error| {
        tracing::error!(%error, "no report of placement");
        refuse(StatusCode::INTERNAL_SERVER_ERROR, "see the log")
    })
}

fn page(known: &Known, gateway: &Gateway, region_km: f64) -> Response {
    let Some(tally) = gateway.tally() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let seen = match placement::seen(known, tally) {
        Ok(seen) => seen,
        Err(error) => return refuse(StatusCode::CONFLICT, &error.to_string()),
    };
    match Report::of(std::slice::from_ref(&seen), region_km) {
        Ok(report) => {
            let seen = Wire::from(&seen);
            Json(Page { seen, report }).into_response()
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn refuse(status: StatusCode, what: &str) -> Response {
    (status, Json(json!({ "error": what }))).into_response()
}
