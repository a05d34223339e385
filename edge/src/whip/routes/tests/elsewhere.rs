//! 307 to another edge, and 503 where there is none.

use super::*;
use crate::whip::steer::Overflow;

fn overflowing() -> Edge {
    let mut edge = Edge::open();
    edge.site.steering = Some(Arc::new(Overflow("https://b.example".to_owned())));
    edge
}

#[tokio::test]
async fn who_cannot_be_taken_is_sent_on_with_path_and_query() {
    let edge = overflowing();
    assert_eq!(edge.publish().await.status(), 201);
    edge.lifecycle.advance(Phase::Draining);
    let path = format!("/17_{TOKEN}/whip?width=1280&height=720");
    let answer = edge.send(post(&path, OFFER)).await;
    assert_eq!((answer.status(), answer.body.as_str()), (307, ""));
    let location = format!("https://b.example{path}&redirected=1");
    assert_eq!(answer.header("location"), location);
}

#[tokio::test]
async fn nobody_is_sent_on_twice_or_without_the_token_in_the_url() {
    let edge = overflowing();
    edge.lifecycle.advance(Phase::Draining);
    let path = format!("/17_{TOKEN}/whip?redirected=1");
    let answer = edge.send(post(&path, OFFER)).await;
    assert_eq!((answer.status(), answer.code()), (503, "2301"));
    let mut bearer = post("/17/whip", OFFER);
    let token = format!("Bearer {TOKEN}").parse().unwrap();
    bearer.headers_mut().insert(header::AUTHORIZATION, token);
    let answer = edge.send(bearer).await;
    assert_eq!((answer.status(), answer.code()), (503, "2301"));
}

#[tokio::test]
async fn busy_workers_take_nobody() {
    let edge = Edge::open();
    edge.told.load.store(85, Ordering::Relaxed);
    assert_eq!(edge.publish().await.status(), 201);
    edge.told.load.store(86, Ordering::Relaxed);
    let answer = edge.publish().await;
    assert_eq!((answer.status(), answer.code()), (503, "2302"));
    assert_ne!(answer.header("retry-after"), "");
    let overflowing = overflowing();
    overflowing.told.load.store(99, Ordering::Relaxed);
    assert_eq!(overflowing.publish().await.status(), 307);
}

#[tokio::test]
async fn who_finds_no_origin_here_is_sent_on() {
    let edge = overflowing();
    edge.told.is_cut.store(true, Ordering::Relaxed);
    assert_eq!(edge.publish().await.status(), 307);
    edge.told.is_cut.store(false, Ordering::Relaxed);
    assert_eq!(edge.publish().await.status(), 201);
}

#[tokio::test]
async fn after_a_redirect_the_location_is_absolute() {
    let mut edge = Edge::open();
    edge.site.public_url = Some("https://b.example/".to_owned());
    let location = |answer: &Answer| answer.header("location").to_owned();
    assert!(location(&edge.publish().await).starts_with("/session/"));
    let path = format!("/17_{TOKEN}/whip?x=1&redirected=1");
    let sent_on = edge.send(post(&path, OFFER)).await;
    assert_eq!(sent_on.status(), 201);
    assert!(location(&sent_on).starts_with("https://b.example/session/"));

    // Without a name of its own it is the one that was asked.
    edge.site.public_url = None;
    for (is_https, base) in [
        (false, "http://c.example:81"),
        (true, "https://c.example:81"),
    ] {
        edge.site.is_https = is_https;
        let mut request = post(&path, OFFER);
        let host = "c.example:81".parse().unwrap();
        request.headers_mut().insert(header::HOST, host);
        let location = location(&edge.send(request).await);
        assert!(
            location.starts_with(&format!("{base}/session/")),
            "{location}"
        );
    }
    let nameless = edge.send(post(&path, OFFER)).await;
    assert!(location(&nameless).starts_with("/session/"));
}
