//! Queries of blocking reloads, as players and CDNs spell them.

use std::pin::pin;

use super::{Live, MEDIA, body, header, poll_once};

/// As RFC 8216bis §6.2.5 orders them, and so the key of a cache.
const CANONICAL: &str = "_HLS_msn=31&_HLS_part=1&_HLS_skip=YES";

const SAME: [&str; 5] = [
    "_HLS_skip=YES&_HLS_part=1&_HLS_msn=31",
    "_HLS_part=1&_HLS_msn=31&_HLS_skip=v2",
    "utm_source=x&_HLS_msn=31&_HLS_part=1&_HLS_skip=YES&_=1712",
    "&_HLS_msn=31&&_HLS_part=1&_HLS_skip=YES&",
    "_HLS_msn=31&_HLS_part=1&_HLS_skip=YES&_HLS_of_tomorrow=1",
];

#[tokio::test]
async fn order_and_strangers_make_no_difference_to_an_answer() {
    let live = Live::new(60 * 30);
    let answer = async |query: &str| {
        let response = live.get(&format!("{MEDIA}?{query}")).await;
        assert_eq!(response.status(), 200, "{query}");
        let cache = header(&response, "cache-control");
        (cache, header(&response, "etag"), body(response).await)
    };
    let canonical = answer(CANONICAL).await;
    for query in SAME {
        assert_eq!(answer(query).await, canonical, "{query}");
    }
}

#[tokio::test]
async fn order_and_strangers_make_no_difference_to_what_is_held() {
    let mut live = Live::new(36); // segment 30 and part 0 of 31
    let mut held = Vec::new();
    for query in SAME {
        held.push((query, Box::pin(live.get(&format!("{MEDIA}?{query}")))));
    }
    for (query, held) in &mut held {
        assert!(poll_once(&mut pin!(held)).await.is_none(), "{query}");
    }
    live.run(6);
    for (query, held) in &mut held {
        let response = poll_once(&mut pin!(held)).await;
        assert!(response.is_some(), "{query}");
    }
}

#[tokio::test]
async fn directives_that_are_none_here_are_no_directives() {
    let live = Live::new(66);
    let plain = live.text(MEDIA).await;
    for query in [
        "_HLS_MSN=999",
        "hls_msn=999",
        "_HLS_skip=NO",
        "x=_HLS_msn",
        "",
    ] {
        assert_eq!(
            live.text(&format!("{MEDIA}?{query}")).await,
            plain,
            "{query}"
        );
    }
}
