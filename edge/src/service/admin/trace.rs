//! Traces of sessions, for whoever looks for what went wrong.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Admin;
use crate::trace::render;

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/traces", get(traces))
        .route("/sessions/{id}/trace", get(trace))
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    format: String,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            format: "json".to_owned(),
        }
    }
}

async fn traces(State(admin): State<Admin>) -> Result<Json<Value>, StatusCode> {
    let gateway = admin.gateway.ok_or(StatusCode::NOT_FOUND)?;
    let sessions = gateway.book().stories(render::summary);
    Ok(Json(json!({ "sessions": sessions })))
}

async fn trace(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let refuse = |status: StatusCode, what: &str| (status, Json(json!({ "error": what })));
    let story = id.parse::<Uuid>().ok().and_then(|id| {
        let gateway = admin.gateway.as_ref()?;
        gateway.book().story(id)
    });
    let Some(story) = story else {
        let what = "no such session, or it ended long ago";
        return refuse(StatusCode::NOT_FOUND, what).into_response();
    };
    match wanted.format.as_str() {
        "json" => Json(render::json(&story)).into_response(),
        "rtcstats" => {
            let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            (headers, render::rtcstats(&story)).into_response()
        }
        _ => refuse(StatusCode::BAD_REQUEST, "format is json or rtcstats").into_response(),
    }
}
