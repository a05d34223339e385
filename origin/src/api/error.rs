//! Every answer of the API that is not a success.
//!
//! Two shapes: `{"errors": {"field": ["reason"]}}` with 422 when fields of a
//! request are at fault, and `{"error": "…"}` with everything else.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::registry;

/// An answer that is not a success.
#[derive(Debug)]
pub(super) enum Error {
    /// No key, or not a valid one. It is not told which: that would help only
    /// somebody who guesses.
    Unauthorised,
    /// The thing asked for does not exist for this client.
    NotFound(&'static str),
    /// Fields are at fault.
    Fields(FieldErrors),
    /// The client has as many streams as it may have.
    TooManyStreams(u32),
    /// Anything else, by status and text.
    Status(StatusCode, &'static str),
    /// The body is not JSON.
    Json(serde_json::Error),
    /// The registry failed.
    Registry(registry::Error),
}

impl From<registry::Error> for Error {
    fn from(error: registry::Error) -> Self {
        Self::Registry(error)
    }
}

impl From<FieldErrors> for Error {
    fn from(errors: FieldErrors) -> Self {
        Self::Fields(errors)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthorised => {
                let text = "send a valid API key: Authorization: APIKey <id>$<secret>";
                let mut response = answer(StatusCode::UNAUTHORIZED, text);
                let challenge = HeaderValue::from_static("APIKey");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, challenge);
                response
            }
            Self::NotFound(what) => answer(StatusCode::NOT_FOUND, what),
            Self::Fields(errors) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                Json(json!({ "errors": errors.0 })),
            )
                .into_response(),
            Self::TooManyStreams(limit) => answer(
                StatusCode::FORBIDDEN,
                &format!("this client has {limit} streams and may not have more: delete some"),
            ),
            Self::Status(status, text) => answer(status, text),
            Self::Json(error) => answer(
                StatusCode::BAD_REQUEST,
                &format!("the body is not JSON: {error}"),
            ),
            Self::Registry(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "registry failed");
                let text = "the registry does not answer: try again";
                let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, text);
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
                response
            }
        }
    }
}

fn answer(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}

/// What is wrong with each field, by the field's path (`quality_set.fps`).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FieldErrors(BTreeMap<String, Vec<String>>);

impl FieldErrors {
    /// Notes what is wrong with a field.
    pub(super) fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.entry(field.into()).or_default().push(reason.into());
    }

    /// Whether something is wrong with the field.
    pub(super) fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// `value` when nothing is wrong, else what is.
    pub(super) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }

    /// The fields at fault.
    #[cfg(test)]
    pub(super) fn fields(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}
