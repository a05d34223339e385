//! What viewers fetch: playlists, manifests, segments, [`pages`].
//!
//! ```text
//!  /cmaf/{client}_{id}/master.m3u8                playlist   rendered text
//!  /cmaf/{client}_{id}/index.mpd                  playlist   rendered text
//!  /cmaf/{client}_{id}/time                       clock for DASH players
//!  /cmaf/{client}_{id}/screenshot.jpg             picture    every few seconds another
//!  /cmaf/{client}_{id}/thumbnails.vtt             playlist   which small picture lies where
//!  /cmaf/{client}_{id}/thumbnails/{n}.jpg         picture    the small one of segment n
//!  /cmaf/{client}_{id}/{rendition}/media.m3u8     playlist   blocking reload (reload)
//!  /cmaf/{client}_{id}/{rendition}/init-….mp4     segment
//!  /cmaf/{client}_{id}/{rendition}/{n}.m4s        segment    chunk by chunk while it grows (growing)
//!  /cmaf/{client}_{id}/{rendition}/{n}.{part}.m4s segment    held while it is the next one
//!  /mpegts/{client}_{id}/master_mpegts.m3u8       playlist   rendered text
//!  /mpegts/{client}_{id}/{rendition}/media.m3u8   playlist   polled, never held
//!  /mpegts/{client}_{id}/{rendition}/{n}.ts       segment    muxed when it is first asked for
//! ```
//!
//! Where playback tokens are asked for, `/{token}/{expires}` follows the stream
//! in all of them (`access`). Every answer, errors included, carries the CORS headers (`respond`): a
//! browser hides from its page what has none, status code and `X-Err-Code` too.

mod access;
mod cache;
mod growing;
mod hold;
mod metrics;
pub mod pages;
mod picture;
mod playlist;
mod reload;
mod respond;
mod segment;
mod target;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::{self, ConnectInfo, State},
    response::Response,
    routing::any,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use inlet_common::clock;
use tokio::sync::Semaphore;

pub use self::{access::Access, metrics::Metrics};
use self::{
    respond::{ErrCode, Refusal},
    target::{File, Target, Unparsable},
};
use crate::{package::iso8601, store};

/// Requests held at one time, over all streams. Each costs some kilobytes;
/// those beyond get 503 at once.
const MAX_HELD: usize = 50_000;

/// What every request needs.
#[derive(Clone)]
struct Shared {
    directory: Arc<store::Directory>,
    metrics: Arc<Metrics>,
    held: Arc<Semaphore>,
    access: Access,
}

/// Routes `/cmaf/…` and `/mpegts/…`; merge it with others as needed.
pub fn router(directory: Arc<store::Directory>, metrics: Arc<Metrics>, access: Access) -> Router {
    let shared = Shared {
        directory,
        metrics,
        held: Arc::new(Semaphore::new(MAX_HELD)),
        access,
    };
    Router::new()
        .route("/cmaf/{*path}", any(media))
        .route("/mpegts/{*path}", any(media))
        .with_state(shared)
}

/// Takes the request whole, where extractors would copy its head, and lets go of
/// the head before it waits.
async fn media(State(shared): State<Shared>, request: extract::Request) -> Response {
    let asked = Asked::of(&request, &shared.access);
    let target = request
        .uri()
        .path_and_query()
        .map_or("", |uri| uri.as_str());
    let target = target.to_owned();
    drop(request);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target.as_str(), None),
    };
    let method = &asked.method;
    let mut grant = None;
    let (kind, result) = if method == Method::OPTIONS {
        ("preflight", Ok(respond::preflight()))
    } else if method == Method::GET || method == Method::HEAD {
        match Target::parse(path) {
            Ok(target) => {
                let request = Request {
                    shared: &shared,
                    asked: &asked,
                };
                let kind = target.file.kind();
                let allowed = shared.access.check(&target, asked.address, clock::utc());
                let result = match allowed {
                    Ok(allowed) => {
                        grant = allowed;
                        request.answer(target, query).await
                    }
                    Err(refusal) => Err(refusal),
                };
                (kind, result)
            }
            Err(Unparsable::Id) => ("other", Err(Refusal::not_found(Some(ErrCode::MalformedId)))),
            Err(Unparsable::File) => ("other", Err(Refusal::not_found(None))),
        }
    } else {
        ("other", Err(Refusal::method_not_allowed()))
    };
    let mut response = finish(&shared, kind, method, result);
    // Refusals too: who has no token must not get them from a cache either.
    if let Some(grant) = grant {
        access::limit(response.headers_mut(), &grant);
    }
    response
}

fn finish(
    shared: &Shared,
    kind: &'static str,
    method: &Method,
    result: Result<Response, Refusal>,
) -> Response {
    let code = result.as_ref().err().and_then(|refusal| refusal.code);
    let response = respond::finish(method, result.unwrap_or_else(Refusal::into_response));
    shared.metrics.count(kind, response.status(), code);
    response
}

/// What a request says beside its target: all that is kept of its head while it is
/// held, as most requests of LL-HLS are. Their heads and the buffers in which they
/// came would fill a core's cache over and over.
struct Asked {
    method: Method,
    version: Version,
    takes_gzip: bool,
    if_none_match: Option<HeaderValue>,
    if_range: Option<HeaderValue>,
    range: Option<HeaderValue>,
    /// The viewer's, for tokens that are bound to one.
    address: Option<IpAddr>,
}

impl Asked {
    fn of(request: &extract::Request, access: &Access) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let header = |name| request.headers().get(name).cloned();
        Self {
            method: request.method().clone(),
            version: request.version(),
            takes_gzip: playlist::takes_gzip(request.headers()),
            if_none_match: header(header::IF_NONE_MATCH),
            if_range: header(header::IF_RANGE),
            range: header(header::RANGE),
            address: access.address(request.headers(), peer.map(|peer| peer.0)),
        }
    }
}

/// One request for media.
struct Request<'a> {
    shared: &'a Shared,
    asked: &'a Asked,
}

impl Request<'_> {
    async fn answer(&self, target: Target<'_>, query: Option<&str>) -> Result<Response, Refusal> {
        let stream = self.shared.directory.find(target.client, target.stream);
        let stream = stream.ok_or(Refusal::not_found(Some(ErrCode::NotLive)))?;
        let answer = self.file(&stream, target.file, query).await;
        answer.map_err(|refusal| refusal.at(stream.layout()))
    }

    async fn file(
        &self,
        stream: &Arc<store::Stream>,
        file: File<'_>,
        query: Option<&str>,
    ) -> Result<Response, Refusal> {
        match file {
            File::Master => self.master(stream),
            File::Manifest => self.manifest(stream),
            File::Clock => Ok(clock_reading()),
            File::Still => self.still(stream),
            File::ThumbnailList => self.thumbnail_list(stream),
            File::Thumbnail { segment } => self.thumbnail(stream, segment),
            File::Media { track } => self.media(stream, track, query).await,
            File::Init { track, name } => self.init(stream, track, name),
            File::Segment { track, number } => self.segment(stream, track, number).await,
            File::Part {
                track,
                number,
                part,
            } => self.part(stream, track, number, part).await,
            File::LegacyMaster => self.legacy_master(stream),
            File::LegacyMedia { track } => self.legacy_media(stream, track),
            File::Transport { track, number } => self.transport(stream, track, number).await,
        }
    }

    fn is_head(&self) -> bool {
        self.asked.method == Method::HEAD
    }

    /// Whether the end of an answer without a length is that of the connection
    /// (HTTP/1.0, as older proxies speak it): what broke off would pass for whole.
    fn is_without_chunks(&self) -> bool {
        self.asked.version < Version::HTTP_11
    }

    /// Whether the client holds this version already (RFC 9110 §13.1.2).
    fn has(&self, etag: &[u8]) -> bool {
        fn opaque(tag: &[u8]) -> &[u8] {
            let tag = tag.trim_ascii();
            tag.strip_prefix(b"W/").unwrap_or(tag)
        }
        let known = self.asked.if_none_match.as_ref();
        known.is_some_and(|known| {
            let mut known = known.as_bytes().split(|byte| *byte == b',');
            known.any(|tag| tag.trim_ascii() == b"*" || opaque(tag) == opaque(etag))
        })
    }
}

/// What the time is, for `urn:mpeg:dash:utc:http-iso:2014` and its like: that by which
/// segments are numbered.
fn clock_reading() -> Response {
    let mut response = Response::new(iso8601(clock::steady(clock::now())).into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CACHE_CONTROL, cache::NOWHERE);
    response
}

/// A response without a body to a conditional request.
fn not_modified(headers: HeaderMap) -> Response {
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = headers;
    response
}
