//! Init segments, segments and parts.
//!
//! A complete file goes out with its length and may be asked for in ranges; a
//! segment that grows goes out chunk by chunk, or by HTTP/1.0 when it is complete.
//! What is about to come is held: the hinted part, and the segment after the newest.

use std::{ops::Range, sync::Arc};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    Request,
    cache::{IMMUTABLE, NOWHERE},
    growing::{Growing, Pieces},
    hold::{Look, hold},
    not_modified,
    respond::{ErrCode, MAX_HEADERS, Refusal},
};
use crate::{
    package::{Init, Snapshot, State},
    store::{Stream, Track, TransportError},
};

const TRANSPORT_STREAM: HeaderValue = HeaderValue::from_static("video/mp2t");

/// Target durations that a request for what is about to come is held. A DASH
/// player that waits for a presenter's return is quiet so long; dash.js gives
/// up by itself after 20 s, Shaka after 30 s.
const MAX_HOLD: u32 = 15;

/// Segments beyond the newest whose requests are held. A DASH player with a
/// fast clock asks for the next one, and while a segment is short (a
/// presenter's first) for the one after it.
const MAX_SEGMENTS_AHEAD: u64 = 2;

/// Parts beyond the newest of a growing segment whose requests are held.
const MAX_PARTS_AHEAD: usize = 2;

impl Request<'_> {
    pub(super) fn init(
        &self,
        stream: &Stream,
        track: &str,
        name: &str,
    ) -> Result<Response, Refusal> {
        let track = stream.track(track).ok_or(Refusal::not_found(None))?;
        let newest = track.newest();
        let segments = newest.open.iter().chain(newest.segments.iter().rev());
        let mut inits = segments.map(|segment| &segment.init);
        // A period that is announced has its init segment before its first chunk.
        let announced = stream.presentation();
        let mut announced = announced.iter().flat_map(|it| {
            it.periods
                .iter()
                .flat_map(|period| period.inits.iter().flatten())
        });
        let is_it = |init: &&Arc<Init>| init.name == name;
        let init = inits
            .find(is_it)
            .or_else(|| announced.find(is_it))
            .ok_or(Refusal::not_found(None))?;
        let etag = format!("\"{name}\"");
        Ok(self.whole(content_type(&track), vec![init.data.clone()], &etag))
    }

    pub(super) async fn segment(
        &self,
        stream: &Arc<Stream>,
        track: &str,
        number: u64,
    ) -> Result<Response, Refusal> {
        let track = stream.track(track).ok_or(Refusal::not_found(None))?;
        let look = |snapshot: &Snapshot| match snapshot.segment(number) {
            Some(segment) if segment.gap => Err(Refusal::not_found(None)),
            Some(segment) if !segment.complete && self.is_without_chunks() => Ok(Look::NotYet),
            Some(segment) => Ok(Look::Found(Arc::clone(segment))),
            None => expected(snapshot, number),
        };
        let segment = self.held(stream, &track, look).await?;
        if segment.complete {
            let etag = format!("\"{}-{number}-{}\"", track.name(), segment.size());
            return Ok(self.whole(content_type(&track), segment.chunks.clone(), &etag));
        }
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type(&track));
        headers.insert(header::CACHE_CONTROL, IMMUTABLE);
        // nginx would keep the end of each chunk back until the next one comes.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        if !self.is_head() {
            *response.body_mut() = Body::new(Growing::new(Arc::clone(stream), &track, number));
        }
        Ok(response)
    }

    pub(super) async fn part(
        &self,
        stream: &Arc<Stream>,
        track: &str,
        number: u64,
        part: usize,
    ) -> Result<Response, Refusal> {
        let track = stream.track(track).ok_or(Refusal::not_found(None))?;
        let look = |snapshot: &Snapshot| {
            let Some(segment) = snapshot.segment(number) else {
                return expected(snapshot, number);
            };
            match segment.part(part) {
                Some(chunks) => Ok(Look::Found(chunks.to_vec())),
                None if segment.complete => Err(Refusal::not_found(None)),
                None if part - segment.parts.len() <= MAX_PARTS_AHEAD => Ok(Look::NotYet),
                None => Err(Refusal::not_yet()),
            }
        };
        let chunks = self.held(stream, &track, look).await?;
        let etag = format!("\"{}-{number}.{part}-{}\"", track.name(), size(&chunks));
        Ok(self.whole(content_type(&track), chunks, &etag))
    }

    pub(super) async fn transport(
        &self,
        stream: &Stream,
        track: &str,
        number: u64,
    ) -> Result<Response, Refusal> {
        let track = stream.track(track).ok_or(Refusal::not_found(None))?;
        let etag = |length: usize| format!("\"{}-{number}-{length}\"", track.name());
        if let Some(length) = stream.transport_length(&track, number) {
            let etag = etag(length);
            if self.is_head() || self.has(etag.as_bytes()) {
                return Ok(self.without_body(TRANSPORT_STREAM, length, &etag));
            }
        }
        let muxed = stream.transport_segment(&track, number).await;
        let muxed = muxed.map_err(|error| {
            if matches!(error, TransportError::Overloaded) {
                return Refusal::overloaded();
            }
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, number, "segment could not be muxed");
            Refusal::not_found(None)
        })?;
        // A segment is there for transport streams when its sound is whole too,
        // which may be after the next one has begun.
        let newest = track.newest().newest();
        let is_ahead = newest.is_none_or(|newest| number.saturating_add(1) >= newest);
        let segment = muxed.ok_or(match is_ahead {
            true => Refusal::not_yet(),
            false => Refusal::not_found(None),
        })?;
        let etag = etag(segment.len());
        Ok(self.whole(TRANSPORT_STREAM, vec![segment], &etag))
    }

    async fn held<T>(
        &self,
        stream: &Stream,
        track: &Track,
        mut look: impl FnMut(&Snapshot) -> Result<Look<T>, Refusal>,
    ) -> Result<T, Refusal> {
        let limit = stream.layout().target_duration() * MAX_HOLD;
        let too_late = Refusal::not_found(Some(ErrCode::NotReady));
        let changes = track.chunks();
        let look = || {
            if stream.is_retired() {
                return Err(Refusal::not_found(Some(ErrCode::NotLive)));
            }
            look(&track.newest())
        };
        Ok(hold(self.shared, changes, limit, too_late, look).await?.0)
    }

    /// A complete file, or the range of it that was asked for.
    pub(super) fn whole(&self, kind: HeaderValue, pieces: Vec<Bytes>, etag: &str) -> Response {
        let mut headers = about_file(etag);
        if self.has(etag.as_bytes()) {
            return not_modified(headers);
        }
        headers.insert(header::CONTENT_TYPE, kind);
        let size = size(&pieces);
        let (status, body) = match self.range(size, etag) {
            None => (StatusCode::OK, Body::new(Pieces::new(pieces))),
            Some(Ok(range)) => {
                let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                insert(&mut headers, header::CONTENT_RANGE, &text);
                (
                    StatusCode::PARTIAL_CONTENT,
                    Body::new(Pieces::new(cut(&pieces, range))),
                )
            }
            Some(Err(Unsatisfiable)) => {
                insert(
                    &mut headers,
                    header::CONTENT_RANGE,
                    &format!("bytes */{size}"),
                );
                // A cache that leaves ranges out of its keys would give it to all.
                headers.insert(header::CACHE_CONTROL, NOWHERE);
                (StatusCode::RANGE_NOT_SATISFIABLE, Body::empty())
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// A complete file to whoever asks for no byte of it.
    fn without_body(&self, kind: HeaderValue, size: usize, etag: &str) -> Response {
        let mut headers = about_file(etag);
        if self.has(etag.as_bytes()) {
            return not_modified(headers);
        }
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CONTENT_LENGTH, size.into());
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = headers;
        response
    }

    /// RFC 9110 §14: one range of bytes, by GET alone; several, or another unit, or a
    /// validator that does not match, mean the whole file.
    fn range(&self, size: usize, etag: &str) -> Option<Result<Range<usize>, Unsatisfiable>> {
        let range = self.asked.range.as_ref().filter(|_| !self.is_head());
        let text = range?.to_str().ok()?;
        let known = self.asked.if_range.as_ref();
        if known.is_some_and(|known| known != etag) {
            return None;
        }
        parse_range(text, size)
    }
}

/// What is told of a complete file in any case.
fn about_file(etag: &str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(MAX_HEADERS);
    headers.insert(header::CACHE_CONTROL, IMMUTABLE);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    headers
}

/// No byte of the range exists: 416.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unsatisfiable;

fn parse_range(text: &str, size: usize) -> Option<Result<Range<usize>, Unsatisfiable>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first.trim(), last.trim()) {
        ("", last) => size.saturating_sub(last.parse().ok()?)..size,
        (first, "") => first.parse().ok()?..size,
        (first, last) => {
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(size)
        }
    };
    Some(if range.is_empty() {
        Err(Unsatisfiable)
    } else {
        Ok(range)
    })
}

/// Whether a segment that does not exist is about to.
fn expected<T>(snapshot: &Snapshot, number: u64) -> Result<Look<T>, Refusal> {
    let newest = snapshot
        .newest()
        .ok_or(Refusal::not_found(Some(ErrCode::NotReady)))?;
    if snapshot.state == State::Ended || number <= newest {
        return Err(Refusal::not_found(None));
    }
    if number - newest > MAX_SEGMENTS_AHEAD {
        return Err(Refusal::not_found(Some(ErrCode::NotReady)));
    }
    Ok(Look::NotYet)
}

fn content_type(track: &Track) -> HeaderValue {
    HeaderValue::from_static(if track.is_audio() {
        "audio/mp4"
    } else {
        "video/mp4"
    })
}

fn size(pieces: &[Bytes]) -> usize {
    pieces.iter().map(Bytes::len).sum()
}

fn cut(pieces: &[Bytes], range: Range<usize>) -> Vec<Bytes> {
    let mut at = 0;
    let mut kept = Vec::new();
    for piece in pieces {
        let from = range.start.clamp(at, at + piece.len()) - at;
        let to = range.end.clamp(at, at + piece.len()) - at;
        if from < to {
            kept.push(piece.slice(from..to));
        }
        at += piece.len();
    }
    kept
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        assert_eq!(parse_range("bytes=0-3", 10), Some(Ok(0..4)));
        assert_eq!(parse_range("bytes=8-99", 10), Some(Ok(8..10)));
        assert_eq!(parse_range("bytes=4-", 10), Some(Ok(4..10)));
        assert_eq!(parse_range("bytes=-4", 10), Some(Ok(6..10)));
        assert_eq!(parse_range("bytes=-99", 10), Some(Ok(0..10)));
        assert_eq!(parse_range("bytes=10-", 10), Some(Err(Unsatisfiable)));
        assert_eq!(parse_range("bytes=-0", 10), Some(Err(Unsatisfiable)));
        for whole in [
            "bytes=5-4",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=x-",
            "bytes=-",
        ] {
            assert_eq!(parse_range(whole, 10), None, "{whole}");
        }
    }

    #[test]
    fn a_range_is_cut_out_of_several_pieces() {
        let pieces = [Bytes::from_static(b"abc"), Bytes::from_static(b"defg")];
        assert_eq!(cut(&pieces, 2..5).concat(), b"cde");
        assert_eq!(cut(&pieces, 0..7).concat(), b"abcdefg");
        assert_eq!(cut(&pieces, 3..4).concat(), b"d");
    }
}
