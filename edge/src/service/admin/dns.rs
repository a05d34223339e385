//! What is known of the fleet, for whoever asks why.
//!
//! `GET /dns/explain?client=81.2.69.160&name=whip.inlet.example` is 200 with the
//! database's words, the rule, the list with how each point of presence does, and
//! where the client is sent; 422 for a name that is not steered. Without `name` it is
//! about every service.

use std::net::IpAddr;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, put},
};
use serde::Deserialize;
use serde_json::json;

use super::Admin;
use crate::dns::health::Forced;

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/dns/explain", get(explain))
        .route("/fleet/{name}", put(force))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// `null` ends it.
    forced: Option<Word>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    In,
    Out,
}

/// Takes a point of presence out of this edge's answers and redirects, or leaves it in
/// however it does, until it is said otherwise or the process ends.
async fn force(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Json(wish): Json<Wish>,
) -> StatusCode {
    let forced = wish.forced.map(|word| match word {
        Word::In => Forced::In,
        Word::Out => Forced::Out,
    });
    match admin.fleet.is_some_and(|known| known.force(&name, forced)) {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::NOT_FOUND,
    }
}

#[derive(Debug, Deserialize)]
struct Asked {
    client: IpAddr,
    name: Option<String>,
}

async fn explain(State(admin): State<Admin>, Query(asked): Query<Asked>) -> Response {
    let Some(fleet) = admin.fleet else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match fleet.explain(asked.client, asked.name.as_deref()) {
        Ok(explained) => Json(explained).into_response(),
        Err(error) => {
            let body = Json(json!({ "error": error.to_string() }));
            (StatusCode::UNPROCESSABLE_ENTITY, body).into_response()
        }
    }
}
