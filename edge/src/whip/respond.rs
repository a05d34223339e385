//! How answers look: CORS on every one of them, and errors as JSON with a
//! reason code.
//!
//! Without CORS on a 403 a browser hides the status from the page, and the SDK
//! behind it tries for ever; without `Location` exposed it cannot delete its
//! session.

use std::time::Duration;

use axum::{
    Json,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use inlet_common::{ids::PublishPath, reason::ReasonCode};

use super::{
    metrics,
    rate::{Charge, Limited},
    sdp::Fault,
};
use crate::worker::Refusal;

/// The media type of an offer and an answer.
pub(super) const SDP: &str = "application/sdp";

/// Whether a browser asks on its own account what a page may do.
pub(super) fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The media type of trickled ICE (RFC 8840 §9).
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// Carries the number of a [`ReasonCode`].
pub(super) const REASON_CODE: HeaderName = HeaderName::from_static("x-reason-code");

const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("OPTIONS, POST, PATCH, DELETE");

const ALLOW_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, if-match, etag");

const EXPOSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "Location, ETag, Link, X-Reason-Code, Accept-Patch, Retry-After, Protocol-Version, \
     Access-Control-Allow-Methods",
);

/// `Retry-After` of a 503 that says nothing else, in seconds: long enough for
/// DNS to name another PoP, short enough for a presenter who waits.
const RETRY_AFTER: u32 = 5;

/// Puts CORS on an answer, whatever it is, and counts it.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let code = reason_code(response.headers());
    metrics::answered(&method, response.status(), code);
    allow_origins(response.headers_mut());
    response
}

fn reason_code(headers: &HeaderMap) -> u16 {
    let value = headers
        .get(REASON_CODE)
        .and_then(|value| value.to_str().ok());
    value.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn allow_origins(headers: &mut HeaderMap) {
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
}

/// Answers OPTIONS: a preflight gets CORS alone; a request of its own also
/// learns what may be done here.
pub(super) fn options(headers: &HeaderMap, allow: &'static str, accept_post: bool) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS);
    answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS);
    if is_preflight(headers) {
        return response;
    }
    answer.insert(header::ALLOW, HeaderValue::from_static(allow));
    if accept_post {
        answer.insert(ACCEPT_POST, HeaderValue::from_static(SDP));
    }
    response
}

/// What a session takes by PATCH (RFC 5789 §3.1).
pub(super) const ACCEPT_PATCH: (HeaderName, HeaderValue) = (
    HeaderName::from_static("accept-patch"),
    HeaderValue::from_static(FRAGMENT),
);

const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// What would have been taken.
#[derive(Clone, Copy, Debug)]
enum Accept {
    Offer,
    Fragment,
}

/// Why a request was not granted.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: Option<ReasonCode>,
    message: String,
    /// `Retry-After`, in seconds.
    retry_after: Option<u32>,
    /// `Allow`.
    allow: Option<&'static str>,
    /// What would be taken, where the media type is not.
    accept: Option<Accept>,
}

impl Failure {
    /// An error with a reason code, and the status that goes with it.
    pub(super) fn new(code: ReasonCode, message: impl Into<String>) -> Self {
        let status =
            StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            code: Some(code),
            ..Self::plain(status, message)
        }
        .retry_after(None)
    }

    /// An error that has no reason code.
    pub(super) fn plain(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            code: None,
            message: message.into(),
            retry_after: None,
            allow: None,
            accept: None,
        }
    }

    /// A body or a media type that cannot be read: 2100 with its own status.
    pub(super) fn unreadable(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            ..Self::new(ReasonCode::Malformed, message)
        }
    }

    /// The media type is not that of an offer.
    pub(super) fn media_type() -> Self {
        let message = format!("send the offer with Content-Type: {SDP}");
        Self {
            accept: Some(Accept::Offer),
            ..Self::unreadable(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
        }
    }

    /// The media type is not that of trickled ICE.
    pub(super) fn fragment_type() -> Self {
        let message = format!("send candidates with Content-Type: {FRAGMENT}");
        Self {
            accept: Some(Accept::Fragment),
            ..Self::unreadable(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
        }
    }

    /// The method has no place here; `allow` says which have.
    pub(super) fn method(allow: &'static str) -> Self {
        let message = format!("use one of {allow}");
        Self {
            allow: Some(allow),
            ..Self::plain(StatusCode::METHOD_NOT_ALLOWED, message)
        }
    }

    /// The origin or a worker said no.
    ///
    /// The text of 2003 is made here, of what the presenter itself has sent:
    /// it names the token, which no other message between two hosts does.
    pub(super) fn refused(refusal: Refusal, path: &PublishPath) -> Self {
        let message = match refusal.code {
            ReasonCode::AlreadyPublishing => format!(
                "someone is already publishing to path '{}_{}'",
                path.stream,
                path.token.expose()
            ),
            _ => refusal.message,
        };
        Self::new(refusal.code, message).retry_after(refusal.retry_after)
    }

    /// What it costs the presenter; `None` where it is not its doing.
    pub(super) fn charge(&self) -> Option<Charge> {
        let charge = match self.code {
            Some(ReasonCode::AlreadyPublishing) => Charge::Paced,
            _ => Charge::Full,
        };
        let is_own_fault =
            self.status.is_client_error() && self.status != StatusCode::TOO_MANY_REQUESTS;
        is_own_fault.then_some(charge)
    }

    /// Too many refused attempts.
    pub(super) fn limited(limited: Limited) -> Self {
        let seconds = seconds(limited.wait);
        let message = format!(
            "too many refused attempts of this {}: try again in {seconds} s",
            limited.by
        );
        Self::too_many(message, limited.wait)
    }

    /// Too many of something; `wait` until one more is taken.
    pub(super) fn too_many(message: String, wait: Duration) -> Self {
        let seconds = u32::try_from(seconds(wait)).unwrap_or(u32::MAX);
        Self::new(ReasonCode::RateLimited, message).retry_after(Some(seconds))
    }

    /// Names the seconds after which to try again, where that makes sense.
    fn retry_after(mut self, seconds: Option<u32>) -> Self {
        let is_temporary = matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        self.retry_after = seconds.or(is_temporary.then_some(RETRY_AFTER));
        self
    }
}

/// Rounded up: who comes back in time shall be let in.
const fn seconds(wait: Duration) -> u128 {
    wait.as_millis().div_ceil(1000)
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::new(fault.code, fault.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = Json(serde_json::json!({ "error": self.message }));
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        if let Some(code) = self.code {
            headers.insert(REASON_CODE, code.as_u16().into());
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(methods) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        if let Some(accept) = self.accept {
            let (name, value) = match accept {
                Accept::Offer => (ACCEPT_POST, HeaderValue::from_static(SDP)),
                Accept::Fragment => ACCEPT_PATCH,
            };
            headers.insert(name, value);
        }
        response
    }
}
