//! Offers that are taken.

use super::*;

#[tokio::test]
async fn an_offer_is_answered_by_201() {
    let edge = Edge::open();
    let answer = edge.publish().await;
    assert_eq!(answer.status(), 201, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/sdp");
    assert!(answer.body.starts_with("v=0\r\n") && answer.body.len() < 8 * 1024);
    assert!(
        answer.body.contains("192.0.2.1 40000 typ host"),
        "{}",
        answer.body
    );
    assert_eq!(answer.header("protocol-version"), "RFC9725");
    assert_eq!(answer.code(), "");

    let location = answer.header("location");
    let secret = location.strip_prefix("/session/").unwrap();
    assert!(secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let session = edge.gateway.places()[0].session;
    assert_ne!(
        secret,
        session.0.simple().to_string(),
        "the secret is no session id"
    );

    let etag = answer.header("etag");
    assert!(
        etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"'),
        "{etag}"
    );
}

#[tokio::test]
async fn two_sessions_share_neither_url_nor_etag() {
    let edge = Edge::open();
    let (a, b) = (edge.publish().await, edge.publish().await);
    assert_ne!(a.header("location"), b.header("location"));
    assert_ne!(a.header("etag"), b.header("etag"));
}

#[tokio::test]
async fn the_origin_is_asked_for_what_the_url_says() {
    let mut edge = Edge::open();
    let mut request = post(
        &format!("/17_{TOKEN}/whip?x=1&width=1280&height=720&y"),
        OFFER,
    );
    let agent = "OBS".repeat(200);
    request
        .headers_mut()
        .insert(header::USER_AGENT, agent.parse().unwrap());
    assert_eq!(edge.send(request).await.status(), 201);
    let asked = edge.requests.recv().await.unwrap();
    assert_eq!(asked.path.stream, StreamId(17));
    assert_eq!(asked.path.token.expose(), TOKEN);
    let (width, height) = (1280, 720);
    assert_eq!(asked.announced, Some(Announced { width, height }));
    assert_eq!(asked.user_agent.unwrap().len(), MAX_USER_AGENT);
}

#[tokio::test]
async fn a_resolution_that_makes_no_sense_is_passed_over() {
    let mut edge = Edge::open();
    for query in [
        "",
        "?width=1280",
        "?width=&height=",
        "?width=0&height=720",
        "?width=-1&height=720",
        "?width=99999&height=720",
        "?width=1280&height=99999999999",
        "?xwidth=1280&height=720",
    ] {
        let path = format!("/17_{TOKEN}/whip{query}");
        assert_eq!(edge.send(post(&path, OFFER)).await.status(), 201);
        assert_eq!(
            edge.requests.recv().await.unwrap().announced,
            None,
            "{query}"
        );
    }
}

#[tokio::test]
async fn the_secret_of_a_session_to_replace_is_handed_on_as_its_key() {
    let mut edge = Edge::open();
    let mut asked = async |query: &str| {
        let path = format!("/17_{TOKEN}/whip{query}");
        let created = edge.send(post(&path, OFFER)).await;
        assert_eq!(created.status(), 201);
        let secret = created
            .header("location")
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned();
        (secret, edge.requests.recv().await.unwrap())
    };
    let (secret, first) = asked("").await;
    assert!(first.key.is_some());
    assert_eq!(first.replaces, None);
    let (_, second) = asked(&format!("?width=2&replace={secret}&redirected=1")).await;
    assert_eq!(second.replaces, first.key);
    assert_ne!(second.key, first.key);
    for junk in ["?replace=", "?replace=zz", "?xreplace=", "?replace"] {
        assert_eq!(asked(junk).await.1.replaces, None, "{junk}");
    }
}

#[tokio::test]
async fn a_media_type_may_have_parameters_and_any_case() {
    let edge = Edge::open();
    for media_type in [
        "application/sdp; charset=utf-8",
        "Application/SDP",
        "application/sdp ;x",
    ] {
        let mut request = post(&format!("/17_{TOKEN}/whip"), OFFER);
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, media_type.parse().unwrap());
        assert_eq!(edge.send(request).await.status(), 201, "{media_type}");
    }
}

#[tokio::test]
async fn a_bearer_token_does_for_the_one_in_the_url() {
    let mut edge = Edge::open();
    for authorization in [format!("Bearer {TOKEN}"), format!("bearer  {TOKEN} ")] {
        let mut request = post("/17/whip", OFFER);
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, authorization.parse().unwrap());
        assert_eq!(edge.send(request).await.status(), 201);
        assert_eq!(
            edge.requests.recv().await.unwrap().path.token.expose(),
            TOKEN
        );
    }
}

#[tokio::test]
async fn no_authorization_spoils_a_token_in_the_url() {
    let mut edge = Edge::open();
    for authorization in ["Beader x", "Basic eDp5", "Bearer other", "", "Bearer"] {
        let mut request = post(&format!("/17_{TOKEN}/whip"), OFFER);
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, authorization.parse().unwrap());
        assert_eq!(edge.send(request).await.status(), 201, "{authorization}");
        assert_eq!(
            edge.requests.recv().await.unwrap().path.token.expose(),
            TOKEN
        );
    }
}

#[tokio::test]
async fn a_token_may_be_escaped_and_a_slash_may_follow() {
    let mut edge = Edge::open();
    for path in ["/17_a%2Bb_c/whip", "/17_a+b_c/whip/"] {
        assert_eq!(edge.send(post(path, OFFER)).await.status(), 201, "{path}");
        assert_eq!(
            edge.requests.recv().await.unwrap().path.token.expose(),
            "a+b_c"
        );
    }
}

#[tokio::test]
async fn one_track_alone_is_accepted() {
    let edge = Edge::open();
    let (head, _) = OFFER.split_once("m=video").unwrap();
    let head = head.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0");
    let answer = edge.send(post(&format!("/17_{TOKEN}/whip"), head)).await;
    assert_eq!(answer.status(), 201, "{}", answer.body);
}
