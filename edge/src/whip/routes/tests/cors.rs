//! OPTIONS, and what browsers need on every answer.

use super::*;

const EXPOSED: [&str; 8] = [
    "Location",
    "ETag",
    "Link",
    "X-Reason-Code",
    "Accept-Patch",
    "Retry-After",
    "Protocol-Version",
    "Access-Control-Allow-Methods",
];

fn check(answer: &Answer) {
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let exposed = answer.header("access-control-expose-headers");
    let exposed: Vec<&str> = exposed.split(", ").collect();
    assert_eq!(exposed, EXPOSED);
}

#[tokio::test]
async fn every_answer_may_be_read_by_every_page() {
    let edge = Edge::open();
    let created = edge.publish().await;
    assert_eq!(created.status(), 201);
    check(&created);
    let location = created.header("location");
    for (method, path, status) in [
        ("GET", "/17_x/whip", 204),
        ("HEAD", "/17_x/whip", 204),
        ("PUT", "/17_x/whip", 405),
        ("PUT", location, 405),
        ("PATCH", "/17_x/whip", 405),
        ("PATCH", location, 415),
        ("GET", location, 204),
        ("DELETE", location, 200),
        ("DELETE", location, 404),
        ("GET", "/", 404),
        ("OPTIONS", "/", 404),
        ("POST", "/17_x/whip", 415),
        ("POST", "/x/whip", 403),
    ] {
        let answer = edge.ask(method, path).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        check(&answer);
    }
    for code in [ReasonCode::WrongToken, ReasonCode::NoOrigin] {
        check(&Edge::refusing(code, None).publish().await);
    }
}

async fn options(edge: &Edge, path: &str, is_preflight: bool) -> Answer {
    let mut request = Request::options(path);
    if is_preflight {
        request = request.header("access-control-request-method", "POST");
    }
    edge.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_preflight_gets_cors_alone() {
    let edge = Edge::open();
    let session = "/session/00112233445566778899aabbccddeeff";
    // A page must be able to see its 404 too.
    for path in ["/17_x/whip", session, "/no/such/path"] {
        let answer = options(&edge, path, true).await;
        assert_eq!(answer.status(), 204);
        check(&answer);
        let methods = answer.header("access-control-allow-methods");
        assert_eq!(methods, "OPTIONS, POST, PATCH, DELETE");
        let headers = answer.header("access-control-allow-headers");
        assert_eq!(headers, "authorization, content-type, if-match, etag");
        assert_eq!(answer.header("accept-post"), "");
        assert_eq!(answer.header("allow"), "");
    }
}

/// What probes ask: a page that asks for its own stream must be able to see more than
/// that.
#[tokio::test]
async fn options_of_no_stream_tell_whether_anybody_is_taken() {
    let ask = async |edge: &Edge| {
        let answer = options(edge, "/0/whip", false).await;
        check(&answer);
        (answer.status(), answer.code().to_owned())
    };
    let edge = Edge::open();
    edge.told.is_cut.store(true, Ordering::Relaxed);
    assert_eq!(ask(&edge).await, (503, "2300".to_owned()));
    edge.told.is_cut.store(false, Ordering::Relaxed);
    assert_eq!(ask(&edge).await, (204, String::new()));
    // The origin may only start anew.
    edge.told.is_cut.store(true, Ordering::Relaxed);
    assert_eq!(ask(&edge).await.0, 204);
    // Full is not closed.
    edge.told.load.store(100, Ordering::Relaxed);
    assert_eq!(ask(&edge).await.0, 204);
    edge.lifecycle.advance(Phase::Draining);
    let (status, code) = ask(&edge).await;
    assert_eq!((status, code.as_str()), (503, "2301"));
    let refused = options(&edge, "/0/whip", false).await;
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(options(&edge, "/17_x/whip", false).await.status(), 204);
    assert_eq!(options(&edge, "/0/whip", true).await.status(), 204);
}

#[tokio::test]
async fn options_for_its_own_sake_tells_what_may_be_posted() {
    let edge = Edge::open();
    let answer = options(&edge, "/17_x/whip", false).await;
    assert_eq!((answer.status(), answer.body.as_str()), (204, ""));
    check(&answer);
    assert_eq!(answer.header("accept-post"), "application/sdp");
    assert_eq!(
        answer.header("access-control-allow-methods"),
        "OPTIONS, POST, PATCH, DELETE"
    );
}
