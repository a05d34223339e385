//! Playback tokens in the path.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{body::Body, extract::ConnectInfo, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use inlet_common::clock;

use super::{Access, Live, body, header};
use crate::{
    http::access::limit,
    package::tests::playlist,
    playback::{Grant, Keys, Signed},
};

fn keys() -> Arc<Keys> {
    Arc::new(Keys::of("correct horse battery staple"))
}

fn live(address_header: Option<&'static str>) -> Live {
    let header = address_header.map(HeaderName::from_static);
    Live::with(100, Access::by_token(keys(), header))
}

/// `{token}/{expires}` that is good for so many seconds from now on.
fn sign(prefix: &str, seconds: i64, address: Option<&str>) -> String {
    let now = clock::utc().as_unix_micros() / 1_000_000;
    let expires = u64::try_from(now + seconds).unwrap();
    let address = address.map(|address| address.parse().unwrap());
    Signed::new(&keys(), prefix, expires, address)
        .unwrap()
        .to_string()
}

async fn ask(live: &Live, path: &str, from: &str, forwarded: &str) -> Response {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    let peer: SocketAddr = from.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    request
        .headers_mut()
        .insert("x-forwarded-for", forwarded.parse().unwrap());
    live.request(request).await
}

#[tokio::test]
async fn whatever_a_good_url_names_can_be_fetched_by_relative_uris() {
    let mut live = live(None);
    live.feed.run_with_thumbnails(1);
    live.apply();
    let base = format!("/cmaf/1_7/{}", sign("/cmaf/1_7", 60, None));
    let list = live.text(&format!("{base}/thumbnails.vtt")).await;
    assert!(list.ends_with("\nthumbnails/33.jpg\n"), "relative: {list}");
    let master = live.text(&format!("{base}/master.m3u8")).await;
    assert!(master.contains("\n720p/media.m3u8\n"), "relative");
    let media = live.text(&format!("{base}/720p/media.m3u8")).await;
    let parsed = playlist::parse(&media);
    live.get(&format!("{base}/720p/{}", parsed.maps[0])).await;
    for file in [
        "720p/30.m4s",
        "720p/32.0.m4s",
        "audio/30.m4s",
        "index.mpd",
        "time",
        "thumbnails/33.jpg",
    ] {
        assert_eq!(
            live.status(&format!("{base}/{file}")).await,
            (200, None),
            "{file}"
        );
    }
    let legacy = format!("/mpegts/1_7/{}", sign("/mpegts/1_7", 60, None));
    live.text(&format!("{legacy}/master_mpegts.m3u8")).await;
    assert_eq!(
        live.status(&format!("{legacy}/720p/30.ts")).await,
        (200, None)
    );
}

#[tokio::test]
async fn without_a_good_token_nothing_can_be_fetched() {
    let live = live(None);
    let of_ts = sign("/mpegts/1_7", 60, None);
    let wrong = format!("{}/99999999999", "A".repeat(43));
    for path in [
        "/cmaf/1_7/master.m3u8".to_owned(),
        "/cmaf/1_7/720p/media.m3u8?_HLS_msn=33".to_owned(),
        "/cmaf/1_7/720p/30.m4s".to_owned(),
        "/mpegts/1_7/master_mpegts.m3u8".to_owned(),
        format!("/cmaf/1_7/{wrong}/master.m3u8"),
        format!("/cmaf/1_7/{of_ts}/master.m3u8"),
    ] {
        let response = live.get(&path).await;
        assert_eq!(response.status(), 403, "{path}");
        assert_eq!(
            header(&response, "cache-control").as_deref(),
            Some("no-store")
        );
        assert!(body(response).await.is_empty());
    }
    let over = sign("/cmaf/1_7", 0, None);
    assert_eq!(
        live.status(&format!("/cmaf/1_7/{over}/master.m3u8"))
            .await
            .0,
        410
    );
}

#[tokio::test]
async fn who_has_no_token_does_not_learn_which_streams_are_live() {
    let live = live(None);
    assert_eq!(live.status("/cmaf/1_8/master.m3u8").await, (403, None));
    let good = sign("/cmaf/1_8", 60, None);
    let (status, code) = live.status(&format!("/cmaf/1_8/{good}/master.m3u8")).await;
    assert_eq!((status, code.as_deref()), (404, Some("1000")));
}

#[tokio::test]
async fn no_cache_keeps_an_answer_longer_than_the_token_is_good() {
    let live = live(None);
    let cache = async |seconds, file: &str| {
        let signed = sign("/cmaf/1_7", seconds, None);
        let response = live.get(&format!("/cmaf/1_7/{signed}/{file}")).await;
        header(&response, "cache-control").unwrap()
    };
    let segment = cache(100, "720p/30.m4s").await;
    assert!(
        segment == "public, max-age=99, immutable" || segment == "public, max-age=98, immutable",
        "{segment}"
    );
    let long = cache(100_000, "720p/30.m4s").await;
    assert_eq!(long, "public, max-age=3600, immutable");
    // It would be six seconds.
    let answered = cache(5, "720p/media.m3u8?_HLS_msn=30").await;
    let seconds = answered.strip_prefix("public, max-age=0, s-maxage=");
    let seconds: u64 = seconds.unwrap().parse().unwrap();
    assert!(seconds < 5, "{answered}");
}

#[test]
fn what_is_left_of_a_token_is_rounded_down() {
    let limited = |millis, is_bound| {
        let mut headers = HeaderMap::new();
        let kept = HeaderValue::from_static("public, max-age=0, s-maxage=1");
        headers.insert("cache-control", kept);
        let remaining = Duration::from_millis(millis);
        let grant = Grant {
            remaining,
            is_bound,
        };
        limit(&mut headers, &grant);
        headers["cache-control"].to_str().unwrap().to_owned()
    };
    assert_eq!(limited(999, false), "public, max-age=0, s-maxage=0");
    assert_eq!(limited(1_000, false), "public, max-age=0, s-maxage=1");
    assert_eq!(limited(999, true), "private, max-age=0");
}

#[tokio::test]
async fn a_token_for_one_address_is_good_there_alone_and_in_no_shared_cache() {
    let live = live(None);
    let bound = sign("/cmaf/1_7", 100, Some("192.0.2.7"));
    let path = format!("/cmaf/1_7/{bound}/720p/30.m4s");
    let response = ask(&live, &path, "192.0.2.7:50000", "").await;
    assert_eq!(response.status(), 200);
    let cache = header(&response, "cache-control").unwrap();
    assert!(cache.starts_with("private, max-age=9"), "{cache}");
    // What the viewer says of itself does not count.
    let other = ask(&live, &path, "192.0.2.8:50000", "192.0.2.7").await;
    assert_eq!(other.status(), 403);
    assert_eq!(live.status(&path).await.0, 403, "an unknown address");
}

#[tokio::test]
async fn what_is_not_there_is_kept_no_longer_and_by_no_other_than_what_is() {
    let live = live(None);
    let cache = async |seconds, address: Option<&str>, file: &str| {
        let signed = sign("/cmaf/1_7", seconds, address);
        let path = format!("/cmaf/1_7/{signed}/{file}");
        let response = ask(&live, &path, "192.0.2.7:50000", "").await;
        assert_eq!(response.status(), 404, "{file}");
        header(&response, "cache-control").unwrap()
    };
    let bound = Some("192.0.2.7");
    for file in ["9p/media.m3u8", "720p/1.m4s", "720p/init-0.mp4"] {
        let free = cache(100, None, file).await;
        assert!(free.starts_with("public, max-age="), "{file}: {free}");
        let own = cache(100, bound, file).await;
        assert!(own.starts_with("private, max-age="), "{file}: {own}");
        assert!(!own.contains("s-maxage"), "{file}: {own}");
    }
}

#[tokio::test]
async fn behind_a_proxy_the_address_is_the_last_that_it_names() {
    let live = live(Some("x-forwarded-for"));
    let bound = sign("/cmaf/1_7", 100, Some("2001:db8::7"));
    let path = format!("/cmaf/1_7/{bound}/master.m3u8");
    for (forwarded, status) in [
        ("2001:db8::7", 200),
        ("203.0.113.9, 2001:DB8:0::7", 200),
        ("2001:db8::7, 203.0.113.9", 403),
        ("", 403),
        ("nonsense", 403),
    ] {
        let response = ask(&live, &path, "192.0.2.1:50000", forwarded).await;
        assert_eq!(response.status(), status, "{forwarded}");
    }
}

#[tokio::test]
async fn where_everyone_may_watch_a_token_is_not_looked_at() {
    let live = Live::new(100);
    let wrong = format!("{}/1", "A".repeat(43));
    live.text(&format!("/cmaf/1_7/{wrong}/master.m3u8")).await;
}
