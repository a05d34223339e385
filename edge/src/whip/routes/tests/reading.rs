//! Bodies that are too long, too slow or broken off.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::HttpBody;

use super::*;

/// A body in chunks; after the last it ends, breaks or falls silent.
struct Chunks {
    rest: VecDeque<&'static str>,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    Break,
    Silence,
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        match (self.rest.pop_front(), self.then) {
            (Some(text), _) => Poll::Ready(Some(Ok(http_body::Frame::data(text.into())))),
            (None, Then::Break) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            (None, Then::Silence) => Poll::Pending,
        }
    }
}

fn chunks(then: Then) -> Body {
    let rest = VecDeque::from(["v=0\r\n", "s=-\r\n"]);
    Body::new(Chunks { rest, then })
}

#[tokio::test]
async fn more_than_64_kib_is_413() {
    let edge = Edge::open();
    let path = format!("/17_{TOKEN}/whip");
    let padded = |bytes: usize| {
        let lines = "b=X:0\r\n".repeat((bytes - OFFER.len()) / 7);
        OFFER.replacen("t=0 0\n", &format!("t=0 0\n{lines}"), 1)
    };
    let answer = edge.send(post(&path, padded(MAX_BODY + 100))).await;
    assert_eq!((answer.status(), answer.code()), (413, "2100"));
    assert!(answer.error().contains("64 KiB"));
    let answer = edge.send(post(&path, padded(MAX_BODY))).await;
    assert_eq!(answer.status(), 201, "{}", answer.body);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408() {
    let edge = Edge::open();
    let answer = edge
        .send(post(&format!("/17_{TOKEN}/whip"), chunks(Then::Silence)))
        .await;
    assert_eq!((answer.status(), answer.code()), (408, "2100"));
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400() {
    let edge = Edge::open();
    let answer = edge
        .send(post(&format!("/17_{TOKEN}/whip"), chunks(Then::Break)))
        .await;
    assert_eq!((answer.status(), answer.code()), (400, "2100"));
}
