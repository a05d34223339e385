//! What another point of presence of the fleet may ask: how this one does.
//!
//! To everybody else there is no such path, until they have guessed too often; and where
//! the fleet has no secret there is none at all.

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{Method, header},
    response::{IntoResponse as _, Response},
};

use super::{Whip, nowhere};
use crate::{
    fleet::ask,
    whip::{metrics, respond::Failure},
};

pub(super) async fn report(
    State(whip): State<Whip>,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let teller = whip.site.teller.as_ref();
    let Some(teller) = teller.filter(|_| *request.method() == Method::GET) else {
        return nowhere(request).await;
    };
    let question = request.headers().get(ask::HEADER);
    let question = question.and_then(|value| value.to_str().ok());
    if let Some(answer) = question.and_then(|question| teller.answer(question)) {
        let headers = [
            (header::CONTENT_TYPE, "application/octet-stream"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        return (headers, answer).into_response();
    }
    // It costs what it costs to guess at sessions.
    match whip.gateway.note_guess(source.ip()) {
        Ok(()) => nowhere(request).await,
        Err(limited) => {
            metrics::limited(limited.by);
            Failure::limited(limited).into_response()
        }
    }
}
