//! The table of reason codes.

use super::*;

#[tokio::test]
async fn the_origins_refusals_keep_their_status_and_code() {
    for (code, status) in [
        (ReasonCode::StreamNotFound, 403),
        (ReasonCode::WrongToken, 403),
        (ReasonCode::NotActive, 403),
        (ReasonCode::TooManyLive, 403),
        (ReasonCode::WebRtcForbidden, 403),
        (ReasonCode::RateLimited, 429),
        (ReasonCode::NoOrigin, 503),
        (ReasonCode::Draining, 503),
        (ReasonCode::Overload, 503),
        (ReasonCode::RegistryDown, 503),
    ] {
        let edge = Edge::refusing(code, None);
        let answer = edge.publish().await;
        assert_eq!(answer.status(), status, "{code:?}");
        assert_eq!(answer.code(), code.as_u16().to_string());
        assert_eq!(answer.error(), "as the origin says");
        let may_return = matches!(status, 429 | 503);
        assert_eq!(
            !answer.header("retry-after").is_empty(),
            may_return,
            "{code:?}"
        );
        assert!(
            edge.gateway.places().is_empty(),
            "{code:?} leaves nothing behind"
        );
    }
}

#[tokio::test]
async fn someone_else_publishing_is_told_with_the_path_that_was_asked_for() {
    let edge = Edge::refusing(ReasonCode::AlreadyPublishing, None);
    let expected = format!("someone is already publishing to path '17_{TOKEN}'");
    let answer = edge.publish().await;
    assert_eq!((answer.status(), answer.code()), (400, "2003"));
    assert_eq!(answer.error(), expected);

    let mut request = post("/17/whip", OFFER);
    let bearer = format!("Bearer {TOKEN}").parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    assert_eq!(edge.send(request).await.error(), expected);
}

#[tokio::test]
async fn the_origins_retry_after_is_handed_on() {
    let edge = Edge::refusing(ReasonCode::NoOrigin, Some(17));
    assert_eq!(edge.publish().await.header("retry-after"), "17");
}

#[tokio::test]
async fn a_path_that_names_no_stream_is_2001_and_one_without_token_2002() {
    let edge = Edge::open();
    for (path, code) in [
        ("/x_token/whip", "2001"),
        ("/_token/whip", "2001"),
        ("/99999999999999999999_token/whip", "2001"),
        ("/17%ff_token/whip", "2001"),
        ("/17/whip", "2002"),
        ("/17_/whip", "2002"),
    ] {
        let answer = edge.send(post(path, OFFER)).await;
        assert_eq!((answer.status(), answer.code()), (403, code), "{path}");
    }
    let long = format!("/17_{}/whip", "t".repeat(PushToken::MAX_LEN + 1));
    assert_eq!(edge.send(post(&long, OFFER)).await.code(), "2002");
    assert!(edge.told.all().is_empty(), "no worker heard of it");
}

#[tokio::test]
async fn another_media_type_is_415() {
    let edge = Edge::open();
    for media_type in [
        "",
        "text/plain",
        "application/sdpx",
        "application/json; sdp",
    ] {
        let mut request = post(&format!("/17_{TOKEN}/whip"), OFFER);
        let headers = request.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        if !media_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, media_type.parse().unwrap());
        }
        let answer = edge.send(request).await;
        assert_eq!(
            (answer.status(), answer.code()),
            (415, "2100"),
            "{media_type}"
        );
        assert_eq!(answer.header("accept-post"), "application/sdp");
        assert!(answer.error().contains("application/sdp"));
    }
}

#[tokio::test]
async fn an_offer_that_cannot_be_taken_says_why_and_where() {
    let edge = Edge::open();
    for (from, to, status, code, says) in [
        ("v=0", "x=0", 400, "2100", "line 1: "),
        ("a=sendrecv", "a=recvonly", 422, "2104", "a=sendonly"),
        ("opus/48000/2", "speex/16000", 422, "2102", "opus/48000/2"),
        ("m=audio", "m=video", 422, "2103", "one video and one audio"),
    ] {
        let offer = OFFER.replacen(from, to, 1);
        let answer = edge.send(post(&format!("/17_{TOKEN}/whip"), offer)).await;
        assert_eq!((answer.status(), answer.code()), (status, code), "{from}");
        assert!(answer.error().contains(says), "{}", answer.error());
    }
    let other = OFFER
        .replace("H264/90000", "AV1/90000")
        .replace("VP8/90000", "H265/90000")
        .replace("VP9/90000", "H266/90000");
    let answer = edge.send(post(&format!("/17_{TOKEN}/whip"), other)).await;
    assert_eq!(
        (answer.status(), answer.code()),
        (422, "2101"),
        "{}",
        answer.body
    );
    assert!(edge.told.all().is_empty() && edge.gateway.places().is_empty());
}

#[tokio::test]
async fn from_draining_on_nobody_is_let_in() {
    let edge = Edge::open();
    let location = edge.publish().await.header("location").to_owned();
    edge.lifecycle.advance(Phase::Draining);
    let answer = edge.publish().await;
    assert_eq!((answer.status(), answer.code()), (503, "2301"));
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(edge.ask("DELETE", &location).await.status(), 200, "but out");
}

#[tokio::test]
async fn beyond_the_sessions_that_may_be_is_2302() {
    let accept = |_, reply: Reply| {
        reply.send(Ok(())).ok();
    };
    let edge = Edge::limited(accept, 1, 10);
    let location = edge.publish().await.header("location").to_owned();
    let answer = edge.publish().await;
    assert_eq!((answer.status(), answer.code()), (503, "2302"));
    edge.ask("DELETE", &location).await;
    assert_eq!(edge.publish().await.status(), 201);
}

#[tokio::test]
async fn beyond_the_offers_that_may_wait_is_2302() {
    let (waiting, mut replies) = mpsc::unbounded_channel();
    let hold = move |_, reply: Reply| {
        waiting.send(reply).ok();
    };
    let edge = Arc::new(Edge::limited(hold, 100, 1));
    let first = tokio::spawn({
        let edge = Arc::clone(&edge);
        async move { edge.publish().await }
    });
    let reply = replies.recv().await.unwrap();
    let answer = edge.publish().await;
    assert_eq!((answer.status(), answer.code()), (503, "2302"));
    reply.send(Ok(())).unwrap();
    assert_eq!(first.await.unwrap().status(), 201);
}

#[tokio::test]
async fn a_worker_that_is_gone_is_2302() {
    let edge = Edge::answering(|_, reply| drop(reply));
    let answer = edge.publish().await;
    assert_eq!((answer.status(), answer.code()), (503, "2302"));
    assert!(edge.gateway.places().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_never_answers_is_2302_and_its_late_session_is_ended() {
    let (waiting, mut replies) = mpsc::unbounded_channel();
    let edge = Edge::answering(move |session, reply| {
        waiting.send((session, reply)).ok();
    });
    let answer = edge.publish().await;
    assert_eq!((answer.status(), answer.code()), (503, "2302"));
    let (session, reply) = replies.recv().await.unwrap();
    reply.send(Ok(())).unwrap();
    while edge.told.all().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        edge.told.all()[1],
        format!("close {session} NeverConnected")
    );
    assert!(edge.gateway.places().is_empty());
}

#[tokio::test]
async fn a_presenter_who_hangs_up_leaves_no_session_behind() {
    let (waiting, mut replies) = mpsc::unbounded_channel();
    let edge = Arc::new(Edge::answering(move |session, reply| {
        waiting.send((session, reply)).ok();
    }));
    let request = tokio::spawn({
        let edge = Arc::clone(&edge);
        async move { edge.publish().await }
    });
    let (session, reply) = replies.recv().await.unwrap();
    request.abort();
    assert!(request.await.is_err());
    reply.send(Ok(())).unwrap();
    while edge.told.all().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        edge.told.all()[1],
        format!("close {session} NeverConnected")
    );
}
