//! Reading a bounded JSON body.

use std::time::Duration;

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use http_body_util::LengthLimitError;
use serde_json::{Map, Value};

use super::error::{Error, FieldErrors};

/// Largest body in bytes. The largest sound one, a full `client_entity_data`
/// with every character escaped, has some 30 KiB.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// How long a body may take. It fits in one flight of packets.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The fields of a body, bare or wrapped: `{…}` or `{"stream": {…}}`.
pub(super) struct Fields(pub(super) Map<String, Value>);

impl<S: Sync> FromRequest<S> for Fields {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Error> {
        if !is_json(request.headers()) {
            let text = "send JSON: Content-Type: application/json";
            return Err(Error::Status(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let body =
            tokio::time::timeout(BODY_TIMEOUT, to_bytes(request.into_body(), MAX_BODY_BYTES))
                .await
                .map_err(|_| Error::Status(StatusCode::REQUEST_TIMEOUT, "the body took too long"))?
                .map_err(|error| unreadable(&error))?;
        unwrap(serde_json::from_slice(&body).map_err(Error::Json)?)
    }
}

fn unreadable(error: &axum::Error) -> Error {
    let is_too_large = std::error::Error::source(error)
        .is_some_and(|source| source.downcast_ref::<LengthLimitError>().is_some());
    if is_too_large {
        Error::Status(StatusCode::PAYLOAD_TOO_LARGE, "the body is over 64 KiB")
    } else {
        Error::Status(StatusCode::BAD_REQUEST, "the body broke off")
    }
}

/// Whether the body is declared as JSON, or not declared at all.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let media_type = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

fn unwrap(body: Value) -> Result<Fields, Error> {
    let wrong = |field: &str, reason: &str| {
        let mut errors = FieldErrors::default();
        errors.add(field, reason);
        Err(Error::Fields(errors))
    };
    let Value::Object(mut fields) = body else {
        return wrong("body", "must be a JSON object");
    };
    let Some(inner) = fields.remove("stream") else {
        return Ok(Fields(fields));
    };
    match inner {
        Value::Object(inner) if fields.is_empty() => Ok(Fields(inner)),
        Value::Object(_) => wrong("stream", "must hold all fields, or none"),
        _ => wrong("stream", "must be an object"),
    }
}
