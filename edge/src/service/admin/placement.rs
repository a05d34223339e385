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
    placement::{REGION_KM, Report, Seen, seen::Wire},
    service::placement,
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
    let gateway = admin.gateway.as_ref();
    let tally = gateway.and_then(|gateway| gateway.tally());
    let (Some(known), Some(tally)) = (&admin.fleet, tally) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let seen = match placement::seen(known, tally) {
        Ok(seen) => seen,
        Err(error) => return refuse(StatusCode::CONFLICT, &error.to_string()),
    };
    // A full table takes a good part of a second.
    let made = tokio::task::spawn_blocking(move || page(&seen, wanted.region_km));
    match made.await {
        Ok(Ok(page)) => Json(page).into_response(),
        Ok(Err(error)) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(error) => {
            tracing::error!(%error, "no report of placement");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "see the log")
        }
    }
}

fn page(seen: &Seen, region_km: f64) -> Result<Page, crate::placement::report::Error> {
    Ok(Page {
        report: Report::of(std::slice::from_ref(seen), region_km)?,
        seen: Wire::from(seen),
    })
}

fn refuse(status: StatusCode, what: &str) -> Response {
    (status, Json(json!({ "error": what }))).into_response()
}
