//! One handler per call.
//!
//! A change that ends a session is first written to the registry, then told to
//! the live directory: a presenter who comes back in between is refused.

use axum::{
    Extension, Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use inlet_common::{
    clock,
    ids::{ClientId, StreamId},
    roq::control::CloseReason,
};

use super::{ApiState, body::Fields, error::Error, fields, object::Object, page};
use crate::registry::Stream;

const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

type StreamPath = Result<Path<String>, PathRejection>;

/// `GET /streaming/streams`: one page of the client's streams, oldest first.
/// `X-Total-Count` tells how many there are, `Link` where the others are.
pub(super) async fn list(
    State(api): State<ApiState>,
    Extension(client): Extension<ClientId>,
    query: Result<Query<page::Query>, QueryRejection>,
) -> Result<Response, Error> {
    let Query(query) =
        query.map_err(|_| Error::Status(StatusCode::BAD_REQUEST, "the query cannot be read"))?;
    let page = query.parse()?;
    let (streams, total) = api.registry.streams(client, page.range()).await?;
    let objects: Vec<_> = streams.iter().map(|stream| object(&api, stream)).collect();
    let mut response = Json(objects).into_response();
    let headers = response.headers_mut();
    headers.insert(TOTAL_COUNT, HeaderValue::from(total));
    if let Some(links) = page
        .links(total)
        .and_then(|links| HeaderValue::try_from(links).ok())
    {
        headers.insert(header::LINK, links);
    }
    Ok(response)
}

/// `POST /streaming/streams`: makes a stream.
pub(super) async fn create(
    State(api): State<ApiState>,
    Extension(client): Extension<ClientId>,
    Fields(body): Fields,
) -> Result<Response, Error> {
    let new = fields::new_stream(body)?;
    let limit = api.streams_per_client;
    let stream = api
        .registry
        .create_stream(client, new, limit, clock::utc())
        .await?;
    let stream = stream.ok_or(Error::TooManyStreams(limit))?;
    tracing::info!(stream = %stream.id, client = %client, "stream created");
    let location = format!("/streaming/streams/{}", stream.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(object(&api, &stream)),
    )
        .into_response())
}

/// `GET /streaming/streams/{id}`: the stream object.
pub(super) async fn show(
    State(api): State<ApiState>,
    Extension(client): Extension<ClientId>,
    path: StreamPath,
) -> Result<Response, Error> {
    let stream = api
        .registry
        .stream(client, stream_id(path)?)
        .await?
        .ok_or(NO_STREAM)?;
    Ok(Json(object(&api, &stream)).into_response())
}

/// `PATCH /streaming/streams/{id}`: changes fields. Switching a stream off
/// ends its session.
pub(super) async fn update(
    State(api): State<ApiState>,
    Extension(client): Extension<ClientId>,
    path: StreamPath,
    Fields(body): Fields,
) -> Result<Response, Error> {
    let id = stream_id(path)?;
    let change = fields::change(body)?;
    let stream = api
        .registry
        .update_stream(client, id, change)
        .await?
        .ok_or(NO_STREAM)?;
    if !stream.active && api.directory.end(id, CloseReason::Deactivated) {
        tracing::info!(stream = %id, "session ended: stream switched off");
    }
    Ok(Json(object(&api, &stream)).into_response())
}

/// `DELETE /streaming/streams/{id}`: removes the stream and ends its session.
pub(super) async fn delete(
    State(api): State<ApiState>,
    Extension(client): Extension<ClientId>,
    path: StreamPath,
) -> Result<StatusCode, Error> {
    let id = stream_id(path)?;
    if !api.registry.delete_stream(client, id).await? {
        return Err(NO_STREAM);
    }
    let was_live = api.directory.end(id, CloseReason::StreamDeleted);
    tracing::info!(stream = %id, client = %client, was_live, "stream deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /streaming/streams/{id}/reset_push_token`: a new token; the old one
/// is dead and its holder disconnected. A body is not read.
pub(super) async fn reset_push_token(
    State(api): State<ApiState>,
    Extension(client): Extension<ClientId>,
    path: StreamPath,
) -> Result<Response, Error> {
    let id = stream_id(path)?;
    let stream = api
        .registry
        .reset_token(client, id)
        .await?
        .ok_or(NO_STREAM)?;
    let was_live = api.directory.end(id, CloseReason::TokenReset);
    tracing::info!(stream = %id, was_live, "push token reset");
    Ok(Json(object(&api, &stream)).into_response())
}

const NO_STREAM: Error = Error::NotFound("there is no such stream");

/// Reads the id in a path; whatever is none names no stream.
fn stream_id(path: StreamPath) -> Result<StreamId, Error> {
    path.ok()
        .and_then(|Path(text)| text.parse().ok())
        .ok_or(NO_STREAM)
}

fn object<'a>(api: &ApiState, stream: &'a Stream) -> Object<'a> {
    Object::new(stream, api.directory.status(stream.id), &api.urls)
}
