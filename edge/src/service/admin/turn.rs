//! The TURN server's part of the admin API.
//!
//! `POST /turn/credentials` takes `{"ttl": seconds, "tag": "…"}`, both optional.
//! A tag of digits alone is a stream's id: such a credential reaches that
//! stream's session and nothing else.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Admin;
use crate::{
    service::appliance,
    turn::{relay::Entry, revocation},
};

/// Allocations that are listed of each worker unless asked for more.
const DEFAULT_LIMIT: usize = 1000;

/// The most that are listed of each worker.
const MAX_LIMIT: usize = 100_000;

/// Longest tag: a username is shorter than 509 bytes (RFC 8489 §14.3).
const MAX_TAG: usize = 256;

pub(super) fn routes() -> Router<Admin> {
    Router::new()
        .route("/turn/allocations", get(allocations))
        .route("/turn/credentials", post(issue))
        .route("/turn/credentials/{username}/revoke", post(revoke))
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    /// `full` shows clients' addresses whole.
    addresses: String,
    limit: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            addresses: String::new(),
            limit: DEFAULT_LIMIT,
        }
    }
}

#[derive(Serialize)]
struct Listing {
    /// All that run, listed or not.
    total: u32,
    allocations: Vec<Entry>,
}

async fn allocations(State(admin): State<Admin>, Query(wanted): Query<Wanted>) -> Response {
    let Some(appliance) = admin.appliance else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let with_addresses = match wanted.addresses.as_str() {
        "" | "masked" => false,
        "full" => true,
        _ => return refuse("addresses", "write masked or full"),
    };
    let limit = wanted.limit.min(MAX_LIMIT);
    let listing = Listing {
        total: appliance.allocations(),
        allocations: appliance.list(limit, with_addresses).await,
    };
    Json(listing).into_response()
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    /// Seconds.
    ttl: u64,
    tag: String,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            ttl: 86_400,
            tag: "client".to_owned(),
        }
    }
}

async fn issue(State(admin): State<Admin>, wish: Result<Json<Wish>, JsonRejection>) -> Response {
    let Some(appliance) = admin.appliance else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let wish = match wish {
        Ok(Json(wish)) => wish,
        Err(rejection) => return refuse("body", &rejection.body_text()),
    };
    let ttl = Duration::from_secs(wish.ttl);
    if !appliance::is_sound_ttl(ttl) {
        return refuse("ttl", "must be 60 to 2592000 seconds");
    }
    if wish.tag.len() > MAX_TAG || wish.tag.contains(|sign: char| sign.is_control()) {
        return refuse(
            "tag",
            "must have at most 256 bytes and no control characters",
        );
    }
    let Some((username, credential)) = appliance.issue(ttl, &wish.tag) else {
        return refuse("tag", "there is no shared secret: set turn.secret_file");
    };
    let (stun, turn) = appliance.urls(None, admin.shared_port);
    let servers = json!({
        "iceServers": [
            { "urls": stun },
            { "urls": turn, "username": username, "credential": credential },
        ]
    });
    (StatusCode::CREATED, Json(servers)).into_response()
}

async fn revoke(State(admin): State<Admin>, Path(username): Path<String>) -> Response {
    let Some(appliance) = admin.appliance else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match appliance.revoke(&username) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error @ revocation::Error::File { .. }) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "revoked, but not on disk");
            let what = json!({ "error": "revoked, but not kept on disk: see the log" });
            (StatusCode::INTERNAL_SERVER_ERROR, Json(what)).into_response()
        }
        Err(error) => refuse("username", &error.to_string()),
    }
}

fn refuse(field: &str, what: &str) -> Response {
    let errors = json!({ "errors": { field: [what] } });
    (StatusCode::UNPROCESSABLE_ENTITY, Json(errors)).into_response()
}
