//! 307 to another edge, and 503 where there is none.

use super::*;
use crate::whip::steer::{Elsewhere, Overflow};

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
async fn nobody_is_sent_on_twice_or_without_a_token_that_survives() {
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
async fn the_load_that_is_reported_is_full_where_nobody_is_taken() {
    let edge = Edge::limited(|_, reply| drop(reply.send(Ok(()))), 4, 10);
    assert_eq!(edge.gateway.load(), Load::IDLE);
    assert_eq!(edge.publish().await.status(), 201);
    assert_eq!(edge.gateway.load(), Load::new(0.25));
    for (percent, load) in [(10, 0.25), (34, 0.4), (85, 1.0), (99, 1.0)] {
        edge.told.load.store(percent, Ordering::Relaxed);
        assert_eq!(edge.gateway.load(), Load::new(load), "{percent}");
    }
    edge.told.load.store(0, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(edge.publish().await.status(), 201);
    }
    assert_eq!(edge.gateway.load(), Load::FULL);
    assert_eq!(edge.publish().await.code(), "2302");
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

/// A point of presence `a` of a fleet.
#[derive(Debug)]
pub(super) struct A;

impl Home for A {
    fn base(&self) -> Option<String> {
        Some("https://a.example:8443".to_owned())
    }
}

#[tokio::test]
async fn who_came_by_a_name_of_several_is_given_the_own_one() {
    let mut edge = Edge::open();
    edge.site.home = Some(Arc::new(A));
    let path = format!("/17_{TOKEN}/whip");
    let by = |host: &'static str| {
        let mut request = post(&path, OFFER);
        request
            .headers_mut()
            .insert(header::HOST, HeaderValue::from_static(host));
        request
    };
    for (host, base) in [
        ("whip.example", "https://a.example:8443"),
        ("whip.example:8443", "https://a.example:8443"),
        ("a.example:8443", ""),
        ("A.Example", ""),
    ] {
        let answer = edge.send(by(host)).await;
        let location = answer.header("location");
        let expected = format!("{base}/session/");
        assert!(location.starts_with(&expected), "{host}: {location}");
    }
    // Who was sent here is told so in any case.
    let mut sent = post(&format!("{path}?redirected=1"), OFFER);
    let host = HeaderValue::from_static("whip.example");
    sent.headers_mut().insert(header::HOST, host);
    let location = edge.send(sent).await.header("location").to_owned();
    assert!(
        location.starts_with("https://a.example:8443/session/"),
        "{location}"
    );
    // An operator's word goes before the fleet's.
    edge.site.public_url = Some("https://own.example".to_owned());
    let answer = edge.send(by("whip.example")).await;
    let location = answer.header("location");
    assert!(location.starts_with("https://own.example/session/"));
}

const SECRET: &str = "a secret that the fleet shares";

/// Always sends presenters to `b`, whoever they are.
#[derive(Debug)]
struct ToB;

impl Steering for ToB {
    fn elsewhere(&self, _: &Asked) -> Option<Elsewhere> {
        Some(Elsewhere {
            base: "https://b.example".to_owned(),
            pop: Some("b".to_owned()),
        })
    }
}

/// A point of presence of the fleet, which sends everybody to `b`.
fn of_the_fleet(name: &str) -> Edge {
    let mut edge = Edge::open();
    edge.site.steering = Some(Arc::new(ToB));
    edge.site.passes = Some(Arc::new(Passes::new([SECRET], name)));
    edge
}

fn bearer(path: &str) -> Request<Body> {
    let mut request = post(path, OFFER);
    let token = format!("Bearer {TOKEN}").parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, token);
    request
}

/// What a browser asks of the other: the `Location`, without `Authorization`.
fn followed(answer: &Answer) -> Request<Body> {
    let location = answer.header("location");
    let path = location.strip_prefix("https://b.example").unwrap();
    post(path, OFFER)
}

#[tokio::test]
async fn a_token_of_the_header_survives_the_redirect_unread() {
    let (a, mut b) = (of_the_fleet("a"), of_the_fleet("b"));
    let answer = a.send(bearer("/17/whip?width=1280&height=720")).await;
    assert_eq!(answer.status(), 307);
    let location = answer.header("location");
    assert!(
        location.contains("/17/whip?width=1280&height=720&redirected="),
        "{location}"
    );
    assert!(!location.contains(TOKEN));
    // `b` would send everybody to `b`: who was sent on already stays.
    assert_eq!(b.send(followed(&answer)).await.status(), 201);
    assert_eq!(b.requests.try_recv().unwrap().path.token.expose(), TOKEN);
}

#[tokio::test]
async fn a_mark_is_for_one_stream_and_one_point_of_presence() {
    let (a, b) = (of_the_fleet("a"), of_the_fleet("b"));
    let answer = a.send(bearer("/17/whip")).await;
    let other = answer.header("location").replace("/17/", "/18/");
    let other = other.strip_prefix("https://b.example").unwrap();
    let refused = b.send(post(other, OFFER)).await;
    assert_eq!((refused.status(), refused.code()), (403, "2002"));
    let refused = of_the_fleet("c").send(followed(&answer)).await;
    assert_eq!((refused.status(), refused.code()), (403, "2002"));
    for junk in ["1", "", "AAAA", "%00"] {
        let path = format!("/17/whip?redirected={junk}");
        let refused = b.send(post(&path, OFFER)).await;
        assert_eq!((refused.status(), refused.code()), (403, "2002"), "{junk}");
    }
}

#[tokio::test]
async fn without_a_secret_only_a_token_of_the_url_is_sent_on() {
    let mut edge = of_the_fleet("a");
    edge.site.passes = None;
    assert_eq!(edge.send(bearer("/17/whip")).await.status(), 201);
    let answer = edge.publish().await;
    assert_eq!(answer.status(), 307);
    assert!(answer.header("location").ends_with("?redirected=1"));
}
