//! The pages over their router, with the bundle that is really embedded.

use axum::{body::to_bytes, http::Request};
use proptest::prelude::*;
use tower::ServiceExt as _;

use super::*;

async fn get_with(path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    (
        parts.status,
        parts.headers,
        to_bytes(body, usize::MAX).await.unwrap(),
    )
}

/// The first asset that the bundle has with this extension.
fn an_asset(extension: &str) -> String {
    let is_one = |name: &&str| name.starts_with("assets/") && name.ends_with(extension);
    let name = BUNDLE.iter().map(|(name, _)| *name).find(is_one);
    format!("/{}", name.expect("every bundle has a script"))
}

#[tokio::test]
async fn a_stream_has_the_player_page() {
    let (status, headers, body) = get_with("/streams/1_17", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    let policy = headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "worker-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src *",
        "frame-src 'none'",
        "frame-ancestors *",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    // Either would keep it out of others' frames, or silent and small in them.
    assert!(!headers.contains_key("x-frame-options"));
    let permissions = headers["permissions-policy"].to_str().unwrap();
    assert!(!permissions.contains("autoplay") && !permissions.contains("fullscreen"));
    let (_, expected) = BUNDLE
        .iter()
        .find(|(name, _)| *name == "player.html")
        .unwrap();
    assert_eq!(body, *expected);
}

#[tokio::test]
async fn players_are_compared_in_frames_of_their_own_names() {
    let (status, headers, body) = get_with("/streams/1_17/compare", &[]).await;
    assert_eq!(status, StatusCode::OK);
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("frame-src 'self' http://*.localhost:*;"),
        "{policy}"
    );
    assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
    assert!(String::from_utf8_lossy(&body).contains("id=\"players\""));
}

#[tokio::test]
async fn go_live_may_use_the_camera_and_is_never_framed() {
    let (status, headers, _) = get_with("/go-live", &[]).await;
    assert_eq!(status, StatusCode::OK);
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
    assert!(
        headers["permissions-policy"]
            .to_str()
            .unwrap()
            .contains("camera=(self)")
    );
}

#[tokio::test]
async fn a_malformed_stream_is_told_so() {
    for path in [
        "/streams/x",
        "/streams/1",
        "/streams/1_",
        "/streams/01_2",
        "/streams/1_%FF",
        "/streams/x/compare",
    ] {
        let (status, headers, _) = get_with(path, &[]).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(headers["x-err-code"], "2000", "{path}");
    }
}

#[tokio::test]
async fn assets_are_kept_for_ever() {
    let (status, headers, body) = get_with(&an_asset(".js"), &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(headers["cache-control"], IMMUTABLE);
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert!(!body.is_empty());
    let (status, headers, _) = get_with("/assets/../player.html", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(
        get_with("/assets/none.js", &[]).await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn an_unchanged_page_is_not_sent_again() {
    let (_, headers, _) = get_with("/go-live", &[]).await;
    let etag = headers["etag"].to_str().unwrap().to_owned();
    for tags in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
        let (status, headers, body) = get_with("/go-live", &[("if-none-match", &tags)]).await;
        assert_eq!(status, StatusCode::NOT_MODIFIED, "{tags}");
        assert_eq!(headers["etag"], etag);
        assert!(body.is_empty());
    }
    assert_eq!(
        get_with("/go-live", &[("if-none-match", "\"x\"")]).await.0,
        StatusCode::OK
    );
}

#[test]
fn what_gets_smaller_is_sent_packed_to_those_who_take_it() {
    static TEXT: &[u8] = &[b'a'; 4096];
    let file = File::new("a.js", TEXT);
    let ask = |value: &str| {
        let mut request = HeaderMap::new();
        request.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
        file.respond(&request, HeaderValue::from_static("no-cache"))
    };
    let encoding = |value| ask(value).headers().get(header::CONTENT_ENCODING).cloned();
    assert_eq!(encoding("br, gzip;q=0.8").unwrap(), "gzip");
    assert_eq!(encoding("GZIP").unwrap(), "gzip");
    assert_eq!(encoding("gzip;q=0, br"), None);
    assert_eq!(encoding("identity"), None);
    assert_ne!(ask("gzip").headers()["etag"], ask("br").headers()["etag"]);
    assert_eq!(ask("gzip").headers()["vary"], "Accept-Encoding");
    assert!(File::new("a.png", b"x").gzip.is_none());
}

proptest! {
    #[test]
    fn an_output_path_is_read_back(client in 1..i64::MAX, stream in 1..i64::MAX) {
        let path = OutputPath { client: ClientId(client), stream: StreamId(stream) };
        prop_assert_eq!(OutputPath::parse(&path.to_string()), Some(path));
    }

    #[test]
    fn an_output_path_has_one_spelling(text in r"[-+0-9_]{0,8}|.{0,20}") {
        if let Some(path) = OutputPath::parse(&text) {
            prop_assert_eq!(path.to_string(), text);
        }
    }
}
