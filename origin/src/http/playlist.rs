//! Playlists and the MPD: rendered text, plain or compressed.

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use super::{
    Request, cache,
    hold::{Look, hold},
    not_modified,
    reload::{Directives, Verdict},
    respond::{self, ErrCode, Refusal},
};
use crate::store::{Rendered, Stream, Track};

const HLS: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
const DASH: HeaderValue = HeaderValue::from_static("application/dash+xml");

/// Target durations that a request is held before it gets 503.
const MAX_HOLD: u32 = 3;

impl Request<'_> {
    pub(super) fn master(&self, stream: &Stream) -> Result<Response, Refusal> {
        let rendered = stream
            .master()
            .ok_or(Refusal::not_found(Some(ErrCode::NotReady)))?;
        Ok(self.text(&rendered, HLS, momentary(stream)))
    }

    pub(super) fn manifest(&self, stream: &Stream) -> Result<Response, Refusal> {
        let rendered = stream
            .manifest()
            .ok_or(Refusal::not_found(Some(ErrCode::NotReady)))?;
        Ok(self.text(&rendered, DASH, momentary(stream)))
    }

    pub(super) async fn media(
        &self,
        stream: &Stream,
        track: &str,
        query: Option<&str>,
    ) -> Result<Response, Refusal> {
        let track = stream.track(track).ok_or(Refusal::not_found(None))?;
        let directives = Directives::parse(query).map_err(|_| Refusal::bad_request())?;
        if track.listed().edge().is_none() {
            return Err(Refusal::not_found(Some(ErrCode::NotReady)));
        }
        if directives.segment.is_some() {
            self.wait(stream, &track, &directives).await?;
        }
        let cache = if directives.segment.is_some() {
            cache::answered(stream.layout().target_duration())
        } else {
            momentary(stream)
        };
        Ok(self.text(&stream.media(&track, directives.skip), HLS, cache))
    }

    pub(super) fn legacy_master(&self, stream: &Stream) -> Result<Response, Refusal> {
        let rendered = stream
            .legacy_master()
            .ok_or(Refusal::not_found(Some(ErrCode::NotReady)))?;
        Ok(self.text(&rendered, HLS, momentary(stream)))
    }

    pub(super) fn legacy_media(&self, stream: &Stream, track: &str) -> Result<Response, Refusal> {
        let track = stream
            .track(track)
            .filter(|track| !track.is_audio())
            .ok_or(Refusal::not_found(None))?;
        let rendered = stream
            .legacy_media(&track)
            .ok_or(Refusal::not_found(Some(ErrCode::NotReady)))?;
        Ok(self.text(&rendered, HLS, momentary(stream)))
    }

    async fn wait(
        &self,
        stream: &Stream,
        track: &Track,
        directives: &Directives,
    ) -> Result<(), Refusal> {
        let limit = stream.layout().target_duration() * MAX_HOLD;
        let look = || {
            if stream.is_retired() {
                return Err(Refusal::not_found(Some(ErrCode::NotLive)));
            }
            match directives.check(&track.listed(), stream.layout()) {
                Verdict::Ready => Ok(Look::Found(())),
                Verdict::Wait => Ok(Look::NotYet),
                Verdict::TooFar => Err(Refusal::bad_request()),
            }
        };
        let too_late = Refusal::overloaded();
        let ((), time) = hold(self.shared, track.parts(), limit, too_late, look).await?;
        self.shared.metrics.held(time);
        Ok(())
    }

    pub(super) fn text(
        &self,
        rendered: &Rendered,
        kind: HeaderValue,
        cache: HeaderValue,
    ) -> Response {
        let mut headers = HeaderMap::with_capacity(respond::MAX_HEADERS);
        headers.insert(header::CACHE_CONTROL, cache);
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        headers.insert(header::ETAG, rendered.etag().clone());
        if self.has(rendered.etag().as_bytes()) {
            return not_modified(headers);
        }
        headers.insert(header::CONTENT_TYPE, kind);
        let body: Bytes = if self.asked.takes_gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            rendered.gzip().clone()
        } else {
            rendered.identity().clone()
        };
        let mut response = Response::new(body.into());
        *response.headers_mut() = headers;
        response
    }
}

/// RFC 9110 §12.5.3: gzip is named, or everything is, and not with `q=0`.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let weight = |name: &str| {
        accepted.split(',').find_map(|item| {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            if !coding.trim().eq_ignore_ascii_case(name) {
                return None;
            }
            let q = parameters.trim().strip_prefix("q=");
            Some(q.and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0))
        })
    };
    weight("gzip")
        .or_else(|| weight("*"))
        .is_some_and(|q| q > 0.0)
}

/// How long caches may keep what the stream's next segment changes.
pub(super) fn momentary(stream: &Stream) -> HeaderValue {
    cache::momentary(stream.layout().target_duration())
}
