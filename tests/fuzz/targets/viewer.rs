//! Asks for what a viewer might: a path with a token or without, a query, headers.
//!
//! ```text
//!  method SP target LF
//!  header: value LF …
//! ```
#![no_main]

use std::sync::LazyLock;

use axum::{body::Body, http::Request};
use fuzz::origin::Viewers;

/// The token of `/cmaf/1_17` that is good until the year 5138.
const TOKEN: &str = "onmeuSZB4gs9_KR-p52-CCBG241JhweSyQFYVkU2WCc";

static VIEWERS: LazyLock<Viewers> = LazyLock::new(Viewers::new);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for is_free in [true, false] {
        let Some(request) = request(&text) else {
            return;
        };
        let Some((status, headers, body)) = VIEWERS.ask(is_free, request) else {
            continue;
        };
        assert!(
            matches!(
                status.as_u16(),
                200 | 204 | 206 | 304 | 400 | 403..=405 | 410 | 416
            ),
            "{status}"
        );
        assert!(headers.contains_key("access-control-allow-origin"));
        let is_open = is_free || text.contains(TOKEN) || text.starts_with("OPTIONS ");
        assert!(is_open || !status.is_success(), "{status}");
        let length = headers.get("content-length");
        if let (Some(length), Some(body)) = (length, body)
            && !text.starts_with("HEAD ")
        {
            assert_eq!(length.as_bytes(), body.len().to_string().as_bytes());
        }
    }
});

fn request(text: &str) -> Option<Request<Body>> {
    let mut lines = text.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let request = request.body(Body::empty()).ok()?;
    // Other paths are other routers', and so are these two with nothing behind them.
    let behind = ["/cmaf/", "/mpegts/"].map(|prefix| request.uri().path().strip_prefix(prefix));
    let is_ours = behind
        .into_iter()
        .flatten()
        .any(|behind| !behind.is_empty());
    is_ours.then_some(request)
}
