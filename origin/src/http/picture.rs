//! Pictures of the programme: the newest one, and small ones of the whole window.

use axum::response::Response;
use http::{HeaderValue, header};

use super::{
    Request, cache,
    playlist::momentary,
    respond::{ErrCode, Refusal},
};
use crate::store::Stream;

const JPEG: HeaderValue = HeaderValue::from_static("image/jpeg");
const WEBVTT: HeaderValue = HeaderValue::from_static("text/vtt");

impl Request<'_> {
    /// The newest picture; whoever asks again with its tag gets 304.
    pub(super) fn still(&self, stream: &Stream) -> Result<Response, Refusal> {
        let still = stream
            .still()
            .ok_or(Refusal::not_found(Some(ErrCode::NotReady)))?;
        let mut response = self.whole(JPEG, vec![still.data.clone()], &still.etag);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, cache::shared(2));
        Ok(unsniffed(response))
    }

    /// Which small picture lies where.
    pub(super) fn thumbnail_list(&self, stream: &Stream) -> Result<Response, Refusal> {
        let rendered = stream
            .thumbnail_list()
            .ok_or(Refusal::not_found(Some(ErrCode::NotReady)))?;
        Ok(self.text(&rendered, WEBVTT, momentary(stream)))
    }

    /// The small picture of a segment, which never changes.
    pub(super) fn thumbnail(&self, stream: &Stream, segment: u64) -> Result<Response, Refusal> {
        let thumbnails = stream.thumbnails();
        let found = thumbnails.find(segment).ok_or(match thumbnails.newest() {
            None => Refusal::not_found(Some(ErrCode::NotReady)),
            Some(newest) if segment > newest => Refusal::not_yet(),
            Some(_) => Refusal::not_found(None),
        })?;
        let etag = format!("\"thumbnail-{}-{}\"", found.segment, found.data.len());
        Ok(unsniffed(self.whole(JPEG, vec![found.data.clone()], &etag)))
    }
}

/// Its bytes were made of a stranger's: no browser should guess at another kind.
fn unsniffed(mut response: Response) -> Response {
    let nosniff = HeaderValue::from_static("nosniff");
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
