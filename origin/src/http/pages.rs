//! The pages out of the binary: the player, several of it side by side, going live.
//!
//! The bundle is built from `origin/web` by `make web` and embedded by
//! `build.rs`. Pages are revalidated on each visit; what they load lies under
//! `/assets/` with a hash in its name and never changes.
//!
//! Nothing here asks the registry: a page for a stream that is not live waits
//! for it, and a CDN may serve the same page for every stream.

use std::{collections::BTreeMap, io::Write as _, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use inlet_common::ids::{ClientId, StreamId};
use sha2::{Digest as _, Sha256};

/// Every file of the bundle, by its path in it.
static BUNDLE: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

/// What a page may do. hls.js and dash.js run workers from blobs, feed
/// MediaSource by blob URLs, and fetch from wherever a CDN keeps the stream;
/// the go-live page POSTs to the edges. Nothing inline is allowed.
macro_rules! policy {
    ($ancestors:literal) => {
        policy!($ancestors, "'none'")
    };
    ($ancestors:literal, $frames:literal) => {
        concat!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; ",
            "font-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; connect-src *; ",
            "frame-src ",
            $frames,
            "; base-uri 'none'; form-action 'none'; frame-ancestors ",
            $ancestors
        )
    };
}

/// One page: its file, and what it may do.
struct Page {
    file: &'static str,
    policy: &'static str,
    permissions: &'static str,
}

/// What no page of a viewer asks for. Autoplay and full screen stay as whoever
/// embeds the player allows them.
const VIEWING: &str = "camera=(), microphone=(), geolocation=()";

/// Made to be embedded: its URL is the stream's `iframe_url`.
const PLAYER: Page = Page {
    file: "player.html",
    policy: policy!("*"),
    permissions: VIEWING,
};

/// Players in frames. On a machine without TLS each has a name of its own under
/// `localhost`, since a browser opens six connections to one name by HTTP/1.1.
const COMPARE: Page = Page {
    file: "compare.html",
    policy: policy!("'none'", "'self' http://*.localhost:*"),
    permissions: VIEWING,
};

/// Never embedded: a page that starts a camera is worth a clickjacker's while.
const GO_LIVE: Page = Page {
    file: "go-live.html",
    policy: policy!("'none'"),
    permissions: "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
};

/// How long an asset with a hash in its name may be kept: a year, the longest
/// that caches honour.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// `X-Err-Code` of a stream id that cannot be one.
const MALFORMED_ID: HeaderValue = HeaderValue::from_static("2000");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-err-code");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// What applications embed; it keeps its name, so that they can name it.
const MODULE: &str = "module/inlet-publisher.js";

/// The routes `/streams/{client}_{id}`, `…/compare`, `/go-live`, `/assets/…` and that of the
/// publisher's module.
pub fn router() -> Router {
    Router::new()
        .route("/streams/{stream}", get(player))
        .route("/streams/{stream}/compare", get(compare))
        .route("/go-live", get(go_live))
        .route("/assets/{*name}", get(asset))
        .route("/module/inlet-publisher.js", get(module))
        .with_state(Arc::new(Files::new(BUNDLE)))
}

/// The output of a stream as URLs name it, `{client}_{id}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputPath {
    /// Whose stream it is.
    pub client: ClientId,
    /// The stream.
    pub stream: StreamId,
}

impl OutputPath {
    /// Reads `{client}_{id}`; `None` when it is anything else. There is one
    /// spelling per stream (no sign, no leading zero), so that a cache holds
    /// one copy.
    pub fn parse(text: &str) -> Option<Self> {
        let (client, stream) = text.split_once('_')?;
        let number = |text: &str| {
            let number: i64 = text.parse().ok()?;
            (number > 0 && number.to_string() == text).then_some(number)
        };
        Some(Self {
            client: ClientId(number(client)?),
            stream: StreamId(number(stream)?),
        })
    }
}

impl std::fmt::Display for OutputPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.client, self.stream)
    }
}

async fn player(
    State(files): State<Arc<Files>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    files.page_of_stream(&PLAYER, path, &headers)
}

async fn compare(
    State(files): State<Arc<Files>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    files.page_of_stream(&COMPARE, path, &headers)
}

async fn go_live(State(files): State<Arc<Files>>, headers: HeaderMap) -> Response {
    files.page(&GO_LIVE, &headers)
}

/// The publisher's module, for pages of any origin.
async fn module(State(files): State<Arc<Files>>, headers: HeaderMap) -> Response {
    let Some(file) = files.0.get(MODULE) else {
        return not_found("no such file");
    };
    let mut response = file.respond(&headers, HeaderValue::from_static("no-cache"));
    response.headers_mut().insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    response
}

async fn asset(
    State(files): State<Arc<Files>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let Ok(Path(name)) = path else {
        return not_found("no such file");
    };
    let Some(file) = files.0.get(format!("assets/{name}").as_str()) else {
        return not_found("no such file");
    };
    let mut response = file.respond(&headers, HeaderValue::from_static(IMMUTABLE));
    // A page in a sandboxed frame has no origin, and loads modules by CORS.
    let any = HeaderValue::from_static("*");
    response
        .headers_mut()
        .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}

fn not_found(text: &'static str) -> Response {
    let mut response = (StatusCode::NOT_FOUND, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// The bundle, ready to send.
struct Files(BTreeMap<&'static str, File>);

/// One file in both encodings.
struct File {
    identity: Bytes,
    /// `None` when it does not get smaller.
    gzip: Option<Bytes>,
    content_type: HeaderValue,
    etag: String,
}

impl Files {
    fn new(bundle: &[(&'static str, &'static [u8])]) -> Self {
        Self(
            bundle
                .iter()
                .map(|&(name, content)| (name, File::new(name, content)))
                .collect(),
        )
    }

    /// A page below a stream's address, which has to be one.
    fn page_of_stream(
        &self,
        page: &Page,
        path: Result<Path<String>, PathRejection>,
        request: &HeaderMap,
    ) -> Response {
        let output = path.ok().and_then(|Path(text)| OutputPath::parse(&text));
        if output.is_none() {
            let mut response = not_found("this is no stream's address");
            response.headers_mut().insert(ERROR_CODE, MALFORMED_ID);
            return response;
        }
        self.page(page, request)
    }

    fn page(&self, page: &Page, request: &HeaderMap) -> Response {
        let Some(file) = self.0.get(page.file) else {
            return not_found("no such page");
        };
        let mut response = file.respond(request, HeaderValue::from_static("no-cache"));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(page.policy),
        );
        headers.insert(
            PERMISSIONS_POLICY,
            HeaderValue::from_static(page.permissions),
        );
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
        response
    }
}

impl File {
    fn new(name: &str, content: &'static [u8]) -> Self {
        let hash = Sha256::digest(content);
        Self {
            identity: Bytes::from_static(content),
            gzip: gzip(content),
            content_type: HeaderValue::from_static(content_type(name)),
            etag: hex::encode(hash.get(..12).unwrap_or_default()),
        }
    }

    fn respond(&self, request: &HeaderMap, cache_control: HeaderValue) -> Response {
        let gzip = self.gzip.as_ref().filter(|_| accepts_gzip(request));
        // Different bytes need different strong tags (RFC 9110 §8.8.3.3).
        let etag = format!(
            "\"{}{}\"",
            self.etag,
            if gzip.is_some() { "-gz" } else { "" }
        );
        let is_known = is_known(request, &etag);
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            Body::from(gzip.unwrap_or(&self.identity).clone()).into_response()
        };
        let headers = response.headers_mut();
        if !is_known {
            headers.insert(header::CONTENT_TYPE, self.content_type.clone());
            if gzip.is_some() {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        if let Ok(etag) = HeaderValue::try_from(etag) {
            headers.insert(header::ETAG, etag);
        }
        headers.insert(header::CACHE_CONTROL, cache_control);
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        response
    }
}

/// Compresses once, as small as it gets; `None` when that gains nothing.
fn gzip(content: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < content.len()).then(|| packed.into())
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether the client takes gzip (RFC 9110 §12.5.3).
fn accepts_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(header::ACCEPT_ENCODING).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = parameters.trim().strip_prefix("q=").unwrap_or("1");
            coding.trim().eq_ignore_ascii_case("gzip")
                && weight
                    .trim()
                    .parse::<f32>()
                    .is_ok_and(|weight| weight > 0.0)
        })
}

/// Whether `If-None-Match` names the tag, weak or strong (RFC 9110 §13.1.2).
fn is_known(request: &HeaderMap, etag: &str) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| {
            let item = item.trim();
            item == "*" || item.strip_prefix("W/").unwrap_or(item) == etag
        })
}

#[cfg(test)]
mod tests;
