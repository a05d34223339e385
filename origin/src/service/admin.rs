//! What only an operator may ask.
//!
//! ```text
//!  GET /healthz   200 while the process runs
//!  GET /readyz    200 while new presenters are taken
//!  GET /streams   every live stream; wants the admin secret
//! ```

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use inlet_common::{
    lifecycle::Lifecycle,
    service::{admin, credential::Secret},
};
use serde::Serialize;

use crate::live::Directory;

/// A live stream, as an operator sees it.
#[derive(Debug, Serialize)]
struct LiveStream {
    id: i64,
    /// Seconds since the Unix epoch.
    started_at: i64,
    region: String,
    qualities: Vec<String>,
    source_width: Option<u32>,
    source_height: Option<u32>,
    speed: Option<f64>,
}

/// The routes of the admin listener.
pub(super) fn router(
    lifecycle: Lifecycle,
    secret: Option<Secret>,
    directory: Arc<Directory>,
) -> Router {
    let streams = move || async move { Json(list(&directory)) };
    let guarded = Router::new().route("/streams", get(streams));
    admin::router(lifecycle, Arc::new(|| Ok(())), secret, guarded)
}

fn list(directory: &Directory) -> Vec<LiveStream> {
    let live = directory.live();
    live.into_iter()
        .map(|(id, status)| LiveStream {
            id: id.0,
            started_at: status.started_at.as_unix_seconds(),
            region: status.region,
            qualities: status.qualities,
            source_width: status.source.map(|source| source.width),
            source_height: status.source.map(|source| source.height),
            speed: status.speed,
        })
        .collect()
}
