//! What is known of the fleet, for whoever asks why.
//!
//! `GET /dns/explain?client=81.2.69.160&name=whip.inlet.example` is 200 with the
//! database's words, the rule, the list with how each point of presence does, and
//! where the client is sent; 422 for a name that is not steered. Without `name` it is
//! about every service.

use std::net::IpAddr;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::json;

use super::Admin;

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/dns/explain", get(explain))
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
