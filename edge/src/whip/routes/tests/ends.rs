//! The URL of a session, from its 201 to its end.

use inlet_common::roq::control::CloseReason;

use super::*;

#[tokio::test]
async fn delete_ends_a_session_once() {
    let edge = Edge::open();
    let location = edge.publish().await.header("location").to_owned();
    let session = edge.gateway.places()[0].session;
    let answer = edge.ask("DELETE", &location).await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, ""));
    assert_eq!(edge.told.all()[1..], [format!("close {session} Deleted")]);
    assert_eq!(edge.ask("DELETE", &location).await.status(), 404);
    assert_eq!(edge.told.all().len(), 2, "the worker is told once");
}

#[tokio::test]
async fn a_stale_if_match_does_not_save_a_session() {
    let edge = Edge::open();
    let location = edge.publish().await.header("location").to_owned();
    let request = Request::delete(&location).header(header::IF_MATCH, "\"stale\"");
    let answer = edge.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_session_that_has_ended_by_itself_is_404() {
    let edge = Edge::open();
    let location = edge.publish().await.header("location").to_owned();
    assert_eq!(edge.ask("GET", &location).await.status(), 204);
    assert_eq!(edge.ask("HEAD", &location).await.status(), 204);
    let (events, receiver) = crate::worker::telling();
    let session = edge.gateway.places()[0].session;
    let reason = CloseReason::DtlsClosed;
    events.tell(Event::Ended { session, reason });
    drop(events);
    edge.gateway.listen(receiver).await;
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(edge.ask(method, &location).await.status(), 404, "{method}");
    }
    assert_eq!(edge.told.all(), ["open"]);
}

#[tokio::test]
async fn a_url_that_was_never_given_is_404() {
    let edge = Edge::open();
    edge.publish().await;
    let session = edge.gateway.places()[0].session.0.simple().to_string();
    for secret in [
        session.as_str(),
        "00112233445566778899aabbccddeeff",
        "x",
        "%ff",
    ] {
        let path = format!("/session/{secret}");
        assert_eq!(edge.ask("DELETE", &path).await.status(), 404, "{secret}");
    }
    assert_eq!(edge.gateway.places().len(), 1);
}

#[tokio::test]
async fn other_methods_are_405_with_what_is_allowed() {
    let edge = Edge::open();
    let location = edge.publish().await.header("location").to_owned();
    for (methods, path, allow) in [
        (
            ["PUT", "PATCH", "DELETE"],
            "/17_x/whip",
            "OPTIONS, POST, GET, HEAD",
        ),
        (
            ["PUT", "PROPFIND", "POST"],
            &location,
            "OPTIONS, PATCH, DELETE, GET, HEAD",
        ),
    ] {
        for method in methods {
            let answer = edge.ask(method, path).await;
            assert_eq!(answer.status(), 405, "{method} {path}");
            assert_eq!(answer.header("allow"), allow);
            assert!(answer.error().contains(allow));
        }
    }
}

#[tokio::test]
async fn draining_waits_for_every_worker() {
    let edge = Edge::open();
    let (events, receiver) = crate::worker::telling();
    let listening = Arc::clone(&edge.gateway);
    tokio::spawn(async move { listening.listen(receiver).await });
    let gateway = Arc::clone(&edge.gateway);
    let drain = tokio::spawn(async move { gateway.drain().await });
    while edge.told.all().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(edge.told.all(), ["Drain"]);
    assert!(!drain.is_finished());
    events.tell(Event::Drained);
    drain.await.unwrap();
}
