//! What was heard of the points of presence, for whoever wonders where clients are
//! sent and why.

use axum::{Json, Router, extract::State, routing::get};
use inlet_common::{clock, roq::pop::EXPIRY};
use serde::Serialize;

use super::Admin;

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/fleet", get(fleet))
}

#[derive(Serialize)]
struct Listing {
    pops: Vec<Pop>,
}

#[derive(Serialize)]
struct Pop {
    name: String,
    is_draining: bool,
    /// It has lost its origin, and can take no presenters.
    is_cut_off: bool,
    /// Share of what it can carry, from 0 to 1; `null` when it takes no presenters.
    whip: Option<f64>,
    /// The same of its TURN server.
    turn: Option<f64>,
    /// Since its report came to the origin, or it was asked.
    age_seconds: f64,
}

async fn fleet(State(admin): State<Admin>) -> Json<Listing> {
    let (heard, now) = (admin.reports.heard(), clock::now());
    let heard = heard
        .iter()
        .map(|(name, heard)| (name, heard, heard.age(now)));
    let lately = heard.filter(|(_, _, age)| *age <= EXPIRY);
    let pops = lately.map(|(name, heard, age)| Pop {
        name: name.to_string(),
        is_draining: heard.report.is_draining,
        is_cut_off: heard.report.is_cut_off,
        whip: heard.report.loads.whip.map(f64::from),
        turn: heard.report.loads.turn.map(f64::from),
        // Milliseconds are more than the way to the origin leaves exact.
        age_seconds: age.as_millis() as f64 / 1e3,
    });
    Json(Listing {
        pops: pops.collect(),
    })
}
