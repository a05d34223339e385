//! PATCH: trickled candidates, ICE restarts, and what is neither.

use super::*;
use crate::whip::respond::FRAGMENT;

/// The credentials of [`OFFER`].
const UFRAG: &str = "F7gI";

/// As a browser trickles one candidate.
const CANDIDATE: &str = "a=ice-ufrag:F7gI\r\na=mid:0\r\n\
    a=candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host\r\n";

fn restart(ufrag: &str) -> String {
    format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789abcdefghijkl\r\n")
}

struct Session {
    edge: Edge,
    url: String,
    etag: String,
}

impl Session {
    async fn open() -> Self {
        let edge = Edge::open();
        let created = edge.publish().await;
        assert_eq!(created.status(), 201);
        assert_eq!(created.header("accept-patch"), FRAGMENT);
        let (url, etag) = (created.header("location"), created.header("etag"));
        Self {
            url: url.to_owned(),
            etag: etag.to_owned(),
            edge,
        }
    }

    async fn patch(&self, if_match: Option<&str>, body: &str) -> Answer {
        let mut request = Request::patch(&self.url).header(header::CONTENT_TYPE, FRAGMENT);
        if let Some(tag) = if_match {
            request = request.header(header::IF_MATCH, tag);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        self.edge.send(request).await
    }

    fn restarts(&self) -> usize {
        let told = self.edge.told.all();
        told.iter()
            .filter(|told| told.starts_with("restart"))
            .count()
    }
}

#[tokio::test]
async fn candidates_get_204_without_an_etag() {
    let session = Session::open().await;
    let etag = session.etag.clone();
    for if_match in [Some(etag.as_str()), Some("*"), None] {
        let answer = session.patch(if_match, CANDIDATE).await;
        assert_eq!((answer.status(), answer.body.as_str()), (204, ""));
        assert_eq!(answer.header("etag"), "");
    }
    assert_eq!(session.restarts(), 0);
}

#[tokio::test]
async fn new_credentials_restart_ice() {
    let mut session = Session::open().await;
    let etag = session.etag.clone();
    for (ufrag, if_match) in [
        ("one1", Some("*")),
        ("two2", None),
        ("three3", Some("current")),
    ] {
        let current = session.etag.clone();
        let if_match = if_match.map(|tag| tag.replace("current", &current));
        let answer = session.patch(if_match.as_deref(), &restart(ufrag)).await;
        assert_eq!(answer.status(), 200, "{}", answer.body);
        assert_eq!(answer.header("content-type"), FRAGMENT);
        assert_ne!(answer.header("etag"), session.etag);
        session.etag = answer.header("etag").to_owned();
        for line in ["a=ice-lite", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:"] {
            let mut lines = answer.body.split("\r\n");
            assert!(lines.any(|it| it.starts_with(line)), "{line}");
        }
        assert!(answer.body.ends_with("\r\n") && !answer.body.contains("\n\n"));
    }
    assert_eq!(session.restarts(), 3);
    assert_eq!(session.patch(Some(&etag), CANDIDATE).await.status(), 412);
    let last = session.etag.clone();
    assert_eq!(session.patch(Some(&last), CANDIDATE).await.status(), 204);
}

#[tokio::test]
async fn what_comes_late_of_a_former_ice_session_restarts_nothing() {
    let session = Session::open().await;
    let first = session.patch(Some("*"), &restart("one1")).await;
    assert_eq!(first.status(), 200);
    let late = format!("a=ice-ufrag:{UFRAG}\r\na=ice-pwd:xxxxxxxxxxxxxxxxxxxxxxxx\r\n");
    for body in [late, restart("one1")] {
        assert_eq!(session.patch(None, &body).await.status(), 204);
    }
    assert_eq!(session.restarts(), 1);
}

#[tokio::test]
async fn who_missed_the_answer_to_a_restart_gets_it_again() {
    let session = Session::open().await;
    let first = session.patch(Some("*"), &restart("one1")).await;
    assert_eq!(first.status(), 200);
    for if_match in ["*", session.etag.as_str()] {
        let again = session.patch(Some(if_match), &restart("one1")).await;
        assert_eq!(again.status(), 200, "{}", again.body);
        assert_eq!(again.header("etag"), first.header("etag"));
        assert_eq!(again.body, first.body);
    }
    // What trickles with the new credentials asks for nothing.
    let trickled = format!("{}{}", restart("one1"), CANDIDATE.lines().last().unwrap());
    for if_match in [Some(first.header("etag")), Some("*"), None] {
        assert_eq!(session.patch(if_match, &trickled).await.status(), 204);
    }
    let other = restart("one1").replace("0123", "xxxx");
    assert_eq!(
        session.patch(Some(&session.etag), &other).await.status(),
        412
    );
    assert_eq!(session.restarts(), 1);
}

#[tokio::test]
async fn another_etag_changes_nothing() {
    let session = Session::open().await;
    for body in [CANDIDATE.to_owned(), restart("one1")] {
        let answer = session.patch(Some("\"another\""), &body).await;
        assert_eq!(answer.status(), 412);
        assert!(answer.error().contains("ETag"), "{}", answer.body);
    }
    assert_eq!(session.restarts(), 0);
}

#[tokio::test]
async fn sloppy_fragments_are_taken_as_far_as_they_parse() {
    let session = Session::open().await;
    for body in [
        "",
        "a=\r\n",
        "a=ice-ufrag:null\r\na=ice-pwd:null\r\n",
        "m=audio 9 RTP/AVP 0\r\na=mid:1\r\n",
        "a=candidate:1 0 udp 1 [2001:db8::1] 9 typ host\r\n",
        "a=candidate:1 2 tcp 1 x.local 9 typ host tcptype active\r\n",
        "a=candidate:nonsense\na=end-of-candidates\n",
    ] {
        assert_eq!(session.patch(None, body).await.status(), 204, "{body:?}");
    }
    let answer = session.patch(None, "hello").await;
    assert_eq!((answer.status(), answer.code()), (400, "2100"));
}

#[tokio::test]
async fn many_at_once_are_taken_one_after_another() {
    let session = Session::open().await;
    let names: Vec<String> = (0..8).map(|at| restart(&format!("name{at}"))).collect();
    let (a, b, c, d) = tokio::join!(
        session.patch(Some("*"), &names[0]),
        session.patch(None, CANDIDATE),
        session.patch(Some("*"), &names[1]),
        session.patch(Some("*"), &names[2]),
    );
    assert_eq!(b.status(), 204);
    let mut etags = [&a, &c, &d].map(|answer| {
        assert_eq!(answer.status(), 200);
        answer.header("etag").to_owned()
    });
    etags.sort();
    assert!(etags[0] != etags[1] && etags[1] != etags[2]);
    assert_eq!(session.restarts(), 3);
}

#[tokio::test]
async fn what_is_no_fragment_or_no_session_is_told() {
    let session = Session::open().await;
    let request = |kind: Option<&str>, body: Body| {
        let mut request = Request::patch(&session.url);
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        session.edge.send(request.body(body).unwrap())
    };
    for kind in [None, Some("application/sdp"), Some("text/plain")] {
        let answer = request(kind, Body::from(CANDIDATE)).await;
        assert_eq!((answer.status(), answer.code()), (415, "2100"));
        assert_eq!(answer.header("accept-patch"), FRAGMENT);
    }
    let charset = format!("{FRAGMENT}; charset=utf-8");
    let answer = request(Some(&charset), Body::from(CANDIDATE)).await;
    assert_eq!(answer.status(), 204);
    let long = Body::from("a=x\r\n".repeat(20_000));
    assert_eq!(request(Some(FRAGMENT), long).await.status(), 413);
    assert_eq!(session.edge.ask("DELETE", &session.url).await.status(), 200);
    assert_eq!(session.patch(None, CANDIDATE).await.status(), 404);
}

#[tokio::test]
async fn a_restart_without_sound_credentials_is_422_and_the_session_lives() {
    let session = Session::open().await;
    let long = format!("a=ice-ufrag:{}\r\n", "u".repeat(257));
    for body in [
        "a=ice-ufrag:new1\r\n",
        "a=ice-ufrag:a\r\na=ice-pwd:b\r\n",
        &long,
    ] {
        let answer = session.patch(Some("*"), body).await;
        assert_eq!((answer.status(), answer.code()), (422, "2100"), "{body}");
        assert!(answer.error().contains("a=ice-pwd"));
    }
    assert_eq!(session.edge.ask("GET", &session.url).await.status(), 204);
    assert_eq!(session.restarts(), 0);
    // Without the condition it may be candidates of somebody who is confused.
    assert_eq!(
        session.patch(None, "a=ice-ufrag:new1\r\n").await.status(),
        204
    );
}

#[tokio::test]
async fn a_worker_that_has_lost_the_session_makes_it_404() {
    let session = Session::open().await;
    session.edge.told.has_lost.store(true, Ordering::Relaxed);
    let answer = session.patch(Some("*"), &restart("new1")).await;
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn restarts_without_end_are_429() {
    let session = Session::open().await;
    let mut limited = None;
    for number in 0..200 {
        let answer = session
            .patch(Some("*"), &restart(&format!("new{number}")))
            .await;
        if answer.status() != 200 {
            limited = Some((number, answer));
            break;
        }
    }
    let (number, answer) = limited.unwrap();
    assert!(number >= 10, "{number}");
    assert_eq!((answer.status(), answer.code()), (429, "2200"));
    assert_eq!(answer.header("retry-after"), "1");
    let candidate = "a=candidate:1 1 udp 1 192.0.2.7 9 typ host\r\n";
    assert_eq!(session.patch(None, candidate).await.status(), 204);
}

#[tokio::test]
async fn guessing_event_streams_is_limited_too() {
    let edge = Edge::open();
    let mut statuses = std::collections::BTreeSet::new();
    for number in 0..100 {
        let path = format!("/session/{number:032x}/events");
        statuses.insert(edge.ask("GET", &path).await.status());
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [404, 429]);
}

#[tokio::test]
async fn guessing_sessions_is_limited_and_having_one_is_not() {
    let session = Session::open().await;
    let edge = &session.edge;
    let methods = ["GET", "HEAD", "DELETE", "PATCH"];
    let mut statuses = std::collections::BTreeSet::new();
    for number in 0..100 {
        let path = format!("/session/{number:032x}");
        statuses.insert(edge.ask(methods[number % 4], &path).await.status());
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [404, 429]);
    let answer = edge.ask("GET", "/session/0").await;
    assert_eq!((answer.status(), answer.code()), (429, "2200"));
    assert!(!answer.header("retry-after").is_empty());
    // Neither for who has a session, nor for who wants one.
    assert_eq!(edge.ask("GET", &session.url).await.status(), 204);
    assert_eq!(
        session.patch(Some("*"), &restart("new1")).await.status(),
        200
    );
    assert_eq!(edge.publish().await.status(), 201);
}
