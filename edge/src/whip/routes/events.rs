//! The event stream of a session, `GET /session/{secret}/events`: server-sent events
//! (HTML §9.2), since plain WHIP has no way back to the presenter.
//!
//! | event | data |
//! |---|---|
//! | `session` | `{"session", "state", "path"}`: first of all, and at each change |
//! | `warning` | `{"kind", "message", "over"}` |
//! | `move` | `{"base"}`: go on at another point of presence |
//! | `end` | `{"reason", "code", "message", "retry"}`; then the stream ends |
//!
//! The last one is still told for a minute to whoever asks then.

use std::{collections::VecDeque, convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    extract::{ConnectInfo, Path, Request, State},
    http::{Method, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::{self, Stream};
use inlet_common::clock;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{PathText, Whip, session::nobodys};
use crate::{
    trace::{book::Following, story::Told},
    whip::{
        resource::Secret,
        respond::{self, Failure},
    },
};

const METHODS: &str = "OPTIONS, GET";

/// A proxy between us closes what is silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn events(
    State(whip): State<Whip>,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    path: PathText,
    request: Request,
) -> Response {
    match *request.method() {
        Method::OPTIONS => respond::options(request.headers(), METHODS, false),
        Method::GET => {
            let secret = path.ok().and_then(|Path(text)| text.parse::<Secret>().ok());
            let book = whip.gateway.book();
            let following = secret.and_then(|secret| book.follow(&secret, clock::utc()));
            match following {
                Some(Ok(following)) => tell(following),
                Some(Err(crowded)) => {
                    Failure::plain(StatusCode::TOO_MANY_REQUESTS, crowded.to_string())
                        .into_response()
                }
                None => nobodys(&whip.gateway, source).into_response(),
            }
        }
        _ => Failure::method(METHODS).into_response(),
    }
}

fn tell(following: Following) -> Response {
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("");
    let events = Sse::new(told(following)).keep_alive(keep_alive);
    // Nginx in front of us would gather events until its buffer is full.
    (
        [(header::HeaderName::from_static("x-accel-buffering"), "no")],
        events,
    )
        .into_response()
}

/// What is so already, what comes, and nothing after the end.
fn told(following: Following) -> impl Stream<Item = Result<Event, Infallible>> {
    let so_far = VecDeque::from(following.so_far);
    let start = Some((so_far, following.coming));
    stream::unfold(start, |state| async move {
        let (mut so_far, mut coming) = state?;
        let next = match so_far.pop_front() {
            Some(next) => next,
            None => next_of(&mut coming).await?,
        };
        let event = Event::default()
            .event(next.name())
            .data(next.data().to_string());
        let is_over = matches!(next, Told::End(_));
        Some((Ok(event), (!is_over).then_some((so_far, coming))))
    })
}

/// A follower that is too slow has missed something, and goes on with what is left.
async fn next_of(coming: &mut Receiver<Told>) -> Option<Told> {
    loop {
        match coming.recv().await {
            Ok(told) => return Some(told),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}
