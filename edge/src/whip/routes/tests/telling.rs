//! The event stream of a session.

use inlet_common::{
    clock,
    roq::control::{CloseReason, Totals},
};

use super::*;
use crate::trace::{Notice, Warning};

struct Events {
    edge: Edge,
    url: String,
    session: SessionId,
}

impl Events {
    async fn open() -> Self {
        let edge = Edge::open();
        let url = format!("{}/events", edge.publish().await.header("location"));
        let session = edge.gateway.places()[0].session;
        Self { edge, url, session }
    }

    fn note(&self, notice: Notice) {
        self.edge
            .gateway
            .book()
            .note(clock::utc(), self.session, notice);
    }

    fn end(&self, reason: CloseReason) {
        self.note(Notice::Ended {
            reason,
            totals: Totals::default(),
        });
    }
}

/// Names and data, in order.
fn parsed(body: &str) -> Vec<(String, serde_json::Value)> {
    let events = body.split("\n\n").filter(|event| !event.trim().is_empty());
    events
        .map(|event| {
            let field = |name: &str| {
                let mut lines = event.lines();
                lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            let data = serde_json::from_str(field("data").unwrap()).unwrap();
            (field("event").unwrap().to_owned(), data)
        })
        .collect()
}

#[tokio::test]
async fn a_presenter_hears_how_it_goes_and_why_it_ended() {
    let events = Events::open().await;
    // What comes while it listens: the answer's body ends with the session.
    let telling = async {
        tokio::task::yield_now().await;
        events.note(Notice::Connected);
        events.note(Notice::Warned {
            warning: Warning::Loss,
            is_over: false,
        });
        events.edge.gateway.book().move_on("https://b.example");
        events.end(CloseReason::TokenReset);
    };
    let (answer, ()) = tokio::join!(events.edge.ask("GET", &events.url), telling);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let told = parsed(&answer.body);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["session", "session", "warning", "move", "end"]);
    assert_eq!(told[0].1["session"], events.session.to_string());
    assert_eq!(told[0].1["state"], "connecting");
    assert_eq!(told[1].1["state"], "connected");
    assert_eq!(told[2].1["kind"], "loss");
    assert_eq!(told[3].1["base"], "https://b.example");
    let end = &told[4].1;
    assert_eq!(
        (&end["reason"], &end["code"]),
        (&"token_reset".into(), &2002.into())
    );
    assert_eq!(end["retry"], false);
}

#[tokio::test]
async fn whoever_asks_after_the_end_is_told_why() {
    let events = Events::open().await;
    events.end(CloseReason::Deactivated);
    let told = parsed(&events.edge.ask("GET", &events.url).await.body);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].0.as_str(), &told[0].1["code"]),
        ("end", &2004.into())
    );
}

#[tokio::test]
async fn other_urls_and_methods_are_refused() {
    let events = Events::open().await;
    let unknown = "/session/00112233445566778899aabbccddeeff/events";
    assert_eq!(events.edge.ask("GET", unknown).await.status(), 404);
    assert_eq!(events.edge.ask("POST", &events.url).await.status(), 405);
    assert_eq!(events.edge.ask("OPTIONS", &events.url).await.status(), 204);
}

#[tokio::test]
async fn a_refused_offer_leaves_no_trace() {
    let edge = Edge::refusing(ReasonCode::WrongToken, None);
    assert_eq!(edge.publish().await.status(), 403);
    assert!(edge.gateway.book().stories(|_| ()).is_empty());
}

#[tokio::test]
async fn the_trace_has_the_offer_without_its_secrets() {
    let events = Events::open().await;
    let story = events.edge.gateway.book().story(events.session.0).unwrap();
    let trace = crate::trace::render::json(&story).to_string();
    assert!(trace.contains("whip.post") && trace.contains("createAnswer"));
    let pwd = OFFER
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-pwd:"));
    for secret in [TOKEN, pwd.unwrap().trim(), "192.0.2.7"] {
        assert!(!trace.contains(secret), "{secret}");
    }
    let dump = crate::trace::render::rtcstats(&story);
    let mut lines = dump.lines();
    assert_eq!(lines.next(), Some("RTCStatsDump"));
    let head: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(head["fileFormat"], 3);
    let first: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert!(first.as_array().unwrap().last().unwrap().as_i64().unwrap() > 1_700_000_000_000);
    for line in lines {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let delta = line.as_array().unwrap().last().unwrap().as_i64().unwrap();
        assert!((0..60_000).contains(&delta), "{line}");
    }
}
