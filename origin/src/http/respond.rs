//! The headers that every answer carries, and the answers that refuse.

use axum::{
    body::{Body, HttpBody},
    response::Response,
};
use http::{HeaderValue, Method, StatusCode, header};

use super::cache;
use crate::package::Layout;

/// Headers of an answer, those of [`finish`] included, so that its map never has
/// to grow.
pub(super) const MAX_HEADERS: usize = 12;

/// What `X-Err-Code` tells a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrCode {
    /// 1000: no such stream is live.
    NotLive,
    /// 2000: the path names no stream.
    MalformedId,
    /// 3000: it will be there soon.
    NotReady,
}

impl ErrCode {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NotLive => "1000",
            Self::MalformedId => "2000",
            Self::NotReady => "3000",
        }
    }
}

/// An answer that refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: Option<ErrCode>,
    keep: Keep,
}

/// How long a cache may keep a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Not,
    Seconds(u64),
    /// The stream's target duration.
    Target,
}

impl Refusal {
    /// 404: with a code for what may come at any time, without one for good.
    pub(super) const fn not_found(code: Option<ErrCode>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code,
            // Shields the origin from players that wait, and costs them little.
            keep: match code {
                Some(_) => Keep::Seconds(1),
                None => Keep::Target,
            },
        }
    }

    /// 404: it will come, and was asked for too early.
    pub(super) const fn not_yet() -> Self {
        Self {
            keep: Keep::Not,
            ..Self::not_found(None)
        }
    }

    /// The same, by a stream whose segments are this long.
    pub(super) fn at(self, layout: &Layout) -> Self {
        match self.keep {
            Keep::Target => Self {
                keep: Keep::Seconds(layout.target_duration().as_secs()),
                ..self
            },
            Keep::Not | Keep::Seconds(_) => self,
        }
    }

    /// 400: directives that cannot be obeyed.
    pub(super) const fn bad_request() -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: None,
            keep: Keep::Not,
        }
    }

    /// 503: held too long, or too many are held.
    pub(super) const fn overloaded() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: None,
            keep: Keep::Not,
        }
    }

    /// 403: no playback token, or a wrong one.
    pub(super) const fn forbidden() -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            code: None,
            keep: Keep::Not,
        }
    }

    /// 410: the playback token has expired.
    pub(super) const fn gone() -> Self {
        Self {
            status: StatusCode::GONE,
            code: None,
            keep: Keep::Not,
        }
    }

    /// 405.
    pub(super) const fn method_not_allowed() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: None,
            keep: Keep::Not,
        }
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let cache = match self.keep {
            Keep::Not => cache::NOWHERE,
            Keep::Seconds(seconds) => cache::shared(seconds),
            // Of no stream: nobody said how long its segments are.
            Keep::Target => cache::shared(1),
        };
        headers.insert(header::CACHE_CONTROL, cache);
        if let Some(code) = self.code {
            headers.insert("x-err-code", HeaderValue::from_static(code.as_str()));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(
                header::ALLOW,
                HeaderValue::from_static("GET, HEAD, OPTIONS"),
            );
        }
        response
    }
}

/// The answer to a CORS preflight.
pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, HEAD, OPTIONS");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let allowed = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("86400"),
    );
    response
}

/// Adds what every answer carries, and takes the body off a `HEAD`'s.
pub(super) fn finish(method: &Method, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let any = HeaderValue::from_static("*");
    parts
        .headers
        .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    let exposed = HeaderValue::from_static(
        "X-Err-Code, Age, Date, ETag, Content-Length, Content-Range, Retry-After",
    );
    parts
        .headers
        .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    let timing = HeaderValue::from_static("*");
    parts.headers.insert("timing-allow-origin", timing);
    let body = if *method == Method::HEAD {
        // Who knows it has no need to make the body.
        let is_known = parts.headers.contains_key(header::CONTENT_LENGTH);
        if let Some(length) = body.size_hint().exact().filter(|_| !is_known) {
            parts.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        Body::empty()
    } else {
        body
    };
    Response::from_parts(parts, body)
}
