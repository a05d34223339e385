//! 429: who has been refused too often.

use super::*;

const JUNK: &str = "hello";

fn key(token: &str) -> String {
    format!("/17_{token}/whip")
}

#[tokio::test]
async fn after_five_refusals_a_stream_key_gets_429_from_everywhere() {
    let edge = Edge::strict(ReasonCode::WrongToken);
    for last in 0..5 {
        let source = format!("192.0.2.{last}");
        let answer = edge.send_from(&source, post(&key("wrong"), OFFER)).await;
        assert_eq!((answer.status(), answer.code()), (403, "2002"));
    }
    let answer = edge
        .send_from("198.51.100.1", post(&key("wrong"), OFFER))
        .await;
    assert_eq!((answer.status(), answer.code()), (429, "2200"));
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((9..=10).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(answer.error().contains("try again in"), "{}", answer.body);
    assert_eq!(edge.told.all().len(), 5, "the origin was not asked again");

    let other = edge
        .send_from("198.51.100.1", post(&key("other"), OFFER))
        .await;
    assert_eq!(other.status(), 403, "another key is another matter");
}

#[tokio::test]
async fn after_five_refusals_a_source_gets_429_whatever_it_asks_for() {
    let edge = Edge::strict(ReasonCode::StreamNotFound);
    let paths = [
        "/x_y/whip",
        "/17/whip",
        "/1_a/whip",
        "/2_b/whip",
        "/3_c/whip",
    ];
    for (last, path) in paths.into_iter().enumerate() {
        let source = format!("2001:db8::{last}");
        let answer = edge.send_from(&source, post(path, OFFER)).await;
        assert_eq!(answer.status(), 403, "{path}");
    }
    let answer = edge
        .send_from("2001:db8::9", post("/4_d/whip", OFFER))
        .await;
    assert_eq!((answer.status(), answer.code()), (429, "2200"));
    let neighbour = edge
        .send_from("2001:db8:0:1::9", post("/4_d/whip", OFFER))
        .await;
    assert_eq!(neighbour.status(), 403);
}

#[tokio::test]
async fn behind_a_proxy_on_this_machine_nobody_pays_for_another() {
    let edge = Edge::strict(ReasonCode::WrongToken);
    for number in 0..20 {
        let path = key(&format!("wrong{number}"));
        let answer = edge.send_from("127.0.0.1", post(&path, OFFER)).await;
        assert_eq!(answer.status(), 403);
    }
}

#[tokio::test]
async fn offers_that_cannot_be_read_count() {
    let edge = Edge::strict(ReasonCode::NoOrigin);
    for _ in 0..5 {
        let answer = edge.send(post(&key(TOKEN), JUNK)).await;
        assert_eq!((answer.status(), answer.code()), (400, "2100"));
    }
    let answer = edge.send(post(&key(TOKEN), JUNK)).await;
    assert_eq!((answer.status(), answer.code()), (429, "2200"));
}

#[tokio::test]
async fn what_is_not_the_presenters_fault_does_not_count() {
    for code in [ReasonCode::NoOrigin, ReasonCode::Overload] {
        let edge = Edge::strict(code);
        for _ in 0..10 {
            assert_eq!(edge.publish().await.status(), 503, "{code:?}");
        }
    }
    let edge = Edge::strict(ReasonCode::NoOrigin);
    for _ in 0..10 {
        assert_eq!(edge.ask("OPTIONS", &key(TOKEN)).await.status(), 204);
        assert_eq!(edge.ask("PUT", &key(TOKEN)).await.status(), 405);
    }
    assert_eq!(edge.publish().await.status(), 503);
}

#[tokio::test]
async fn a_presenter_may_try_fast_while_its_own_ghost_is_there() {
    let edge = Edge::strict(ReasonCode::AlreadyPublishing);
    let begun = clock::now();
    for _ in 0..20 {
        let answer = edge.publish().await;
        // Holds however slow this machine is.
        if clock::now().duration_since(begun) < Duration::from_secs(4) {
            assert_eq!((answer.status(), answer.code()), (400, "2003"));
        }
    }
}
