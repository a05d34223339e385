//! What caches are told, for every kind of answer, and that no viewer can have
//! them keep what takes media from others.

use std::{pin::pin, time::Duration};

use axum::body::Body;
use http::Request;

use super::{Access, Live, MEDIA, STREAM, body, header, poll_once};
use crate::package::tests::{Feed, spec};

/// A live stream of segments that are this long, in the middle of one.
fn live(segment: u64) -> Live {
    let mut spec = spec(30);
    spec.segment = Duration::from_secs(segment);
    spec.window = spec.segment * 12;
    let mut live = Live::of(Feed::with(spec, 900 * segment), Access::free());
    live.run(70 * segment);
    live
}

async fn kept(live: &Live, path: &str) -> (u16, String) {
    kept_of(live, Request::get(path)).await
}

async fn kept_of(live: &Live, request: http::request::Builder) -> (u16, String) {
    let response = live.request(request.body(Body::empty()).unwrap()).await;
    let kept = header(&response, "cache-control");
    (response.status().as_u16(), kept.unwrap_or_default())
}

fn shared(status: u16, seconds: u64) -> (u16, String) {
    (status, format!("public, max-age=0, s-maxage={seconds}"))
}

fn nowhere(status: u16) -> (u16, String) {
    (status, "no-store".to_owned())
}

fn immutable(status: u16) -> (u16, String) {
    (status, "public, max-age=3600, immutable".to_owned())
}

#[tokio::test]
async fn a_playlist_is_kept_half_a_target_duration_and_a_blocking_answer_six() {
    for (segment, half) in [(1, 1), (2, 1), (4, 2), (5, 2), (10, 5)] {
        let live = live(segment);
        for file in [
            "cmaf/1_7/master.m3u8",
            "cmaf/1_7/index.mpd",
            "cmaf/1_7/720p/media.m3u8",
            "cmaf/1_7/720p/media.m3u8?_HLS_skip=YES",
            "mpegts/1_7/master_mpegts.m3u8",
            "mpegts/1_7/720p/media.m3u8",
        ] {
            let path = format!("/{file}");
            assert_eq!(kept(&live, &path).await, shared(200, half), "{path}");
        }
        for query in ["_HLS_msn=30", "_HLS_msn=30&_HLS_part=0&_HLS_skip=YES"] {
            let path = format!("{MEDIA}?{query}");
            assert_eq!(kept(&live, &path).await, shared(200, 6 * segment), "{path}");
        }
    }
}

#[tokio::test]
async fn a_picture_is_kept_until_the_next_one_may_be_there() {
    let live = live(1);
    let path = "/cmaf/1_7/screenshot.jpg";
    assert_eq!(kept(&live, path).await, shared(404, 1), "none yet");
    live.stream.set_still(bytes::Bytes::from_static(b"jpeg"));
    assert_eq!(kept(&live, path).await, shared(200, 2));
    let tag = header(&live.get(path).await, "etag").unwrap();
    let again = Request::get(path).header("if-none-match", tag);
    assert_eq!(kept_of(&live, again).await.0, 304);
}

#[tokio::test]
async fn thumbnails_are_kept_like_segments_and_their_list_like_a_playlist() {
    let mut live = live(1);
    for file in ["thumbnails.vtt", "thumbnails/32.jpg"] {
        let path = format!("/cmaf/1_7/{file}");
        assert_eq!(kept(&live, &path).await, shared(404, 1), "none yet");
        let code = live.status(&path).await.1;
        assert_eq!(code.as_deref(), Some("3000"));
    }
    live.run(20); // to the end of segment 32
    live.feed.run_with_thumbnails(2);
    live.apply();
    let list = "/cmaf/1_7/thumbnails.vtt";
    assert_eq!(kept(&live, list).await, shared(200, 1));
    let text = live.text(list).await;
    let mut uris = text.lines().filter(|line| line.ends_with(".jpg"));
    let path = format!("/cmaf/1_7/{}", uris.next().unwrap());
    assert_eq!(path, "/cmaf/1_7/thumbnails/33.jpg");
    assert_eq!(kept(&live, &path).await, immutable(200));
    let response = live.get(&path).await;
    let kind = header(&response, "content-type");
    assert_eq!(kind.as_deref(), Some("image/jpeg"));
    let sniff = header(&response, "x-content-type-options");
    assert_eq!(sniff.as_deref(), Some("nosniff"));
    assert_eq!(body(response).await, "jpeg 990");
    let gone = kept(&live, "/cmaf/1_7/thumbnails/32.jpg").await;
    assert_eq!(gone, shared(404, 1), "was never made");
    let ahead = kept(&live, "/cmaf/1_7/thumbnails/35.jpg").await;
    assert_eq!(ahead, nowhere(404), "is still to come");
    live.directory.remove(STREAM.0, STREAM.1);
    assert_eq!(live.status(list).await, (404, Some("1000".into())));
}

#[tokio::test]
async fn media_are_kept_for_long() {
    let mut live = live(1);
    let playlist = live.text(MEDIA).await;
    let init = playlist.split('"').find(|uri| uri.starts_with("init-"));
    let init = init.unwrap();
    for file in [
        format!("cmaf/1_7/720p/{init}"),
        "cmaf/1_7/720p/31.m4s".to_owned(),
        "cmaf/1_7/720p/31.0.m4s".to_owned(),
        "mpegts/1_7/720p/31.ts".to_owned(),
    ] {
        let path = format!("/{file}");
        assert_eq!(kept(&live, &path).await, immutable(200), "{path}");
    }
    live.run(3);
    live.run(24); // the newest is part 0 of segment 33
    let growing = live.get("/cmaf/1_7/720p/33.m4s").await;
    let cache = header(&growing, "cache-control").unwrap_or_default();
    assert_eq!((200, cache), immutable(200));
    let buffering = header(&growing, "x-accel-buffering");
    assert_eq!(
        buffering.as_deref(),
        Some("no"),
        "nginx would hold chunks back"
    );
    let range = |range: &str| Request::get("/cmaf/1_7/720p/31.m4s").header("range", range);
    assert_eq!(kept_of(&live, range("bytes=0-9")).await, immutable(206));
    let beyond = kept_of(&live, range("bytes=9999999-")).await;
    assert_eq!(beyond, nowhere(416), "a cache may forget the range");
}

#[tokio::test]
async fn a_validated_answer_is_kept_as_long_as_the_first_one() {
    let live = live(4);
    for (path, expected) in [
        (MEDIA, shared(304, 2)),
        ("/cmaf/1_7/720p/31.m4s", immutable(304)),
    ] {
        let etag = header(&live.get(path).await, "etag").unwrap();
        let again = Request::get(path).header("if-none-match", etag);
        assert_eq!(kept_of(&live, again).await, expected);
    }
}

#[tokio::test]
async fn what_is_gone_is_missing_for_a_target_duration() {
    let live = live(4);
    for file in [
        "cmaf/1_7/720p/29.m4s",
        "cmaf/1_7/720p/31.99.m4s",
        "cmaf/1_7/720p/init-nothing.mp4",
        "cmaf/1_7/9p/media.m3u8",
        "mpegts/1_7/720p/29.ts",
    ] {
        let path = format!("/{file}");
        assert_eq!(kept(&live, &path).await, shared(404, 4), "{path}");
    }
}

#[tokio::test]
async fn who_waits_for_a_presenter_is_answered_anew_each_second() {
    let empty = Live::new(0);
    for path in ["/cmaf/1_9/master.m3u8", MEDIA, "/cmaf/1_7/720p/30.m4s"] {
        assert_eq!(kept(&empty, path).await, shared(404, 1), "{path}");
    }
    let live = live(10);
    let ahead = kept(&live, "/cmaf/1_7/720p/40.m4s").await;
    assert_eq!(ahead, shared(404, 1));
}

/// Else one viewer who asks early takes the part from all behind the same cache.
#[tokio::test]
async fn what_is_still_to_come_is_never_kept_as_missing() {
    let mut live = live(1); // newest is part 0 of segment 32
    for path in [
        "/cmaf/1_7/720p/32.4.m4s",
        "/mpegts/1_7/720p/32.ts",
        "/mpegts/1_7/720p/33.ts",
    ] {
        assert_eq!(kept(&live, path).await, nowhere(404), "{path}");
    }
    // One of the next segment is held, until that begins.
    let early = live.get("/cmaf/1_7/720p/33.4.m4s");
    let mut early = pin!(early);
    assert!(poll_once(&mut early).await.is_none());
    live.run(24);
    let early = poll_once(&mut early).await.expect("its segment has begun");
    assert_eq!(early.status(), 404);
    assert_eq!(header(&early, "cache-control").as_deref(), Some("no-store"));
}

#[tokio::test]
async fn other_refusals_and_the_clock_are_kept_nowhere() {
    let live = live(1);
    let query = |query: &str| format!("{MEDIA}?{query}");
    for path in [
        query("_HLS_part=0"),
        query("_HLS_msn=99"),
        query("_HLS_msn=x"),
    ] {
        assert_eq!(kept(&live, &path).await, nowhere(400), "{path}");
    }
    let post = Request::post(MEDIA);
    assert_eq!(kept_of(&live, post).await, nowhere(405));
    assert_eq!(kept(&live, "/cmaf/1_7/time").await, nowhere(200));
}

#[tokio::test(start_paused = true)]
async fn who_waited_too_long_may_ask_again_at_once() {
    let live = live(1);
    let path = format!("{MEDIA}?_HLS_msn=33");
    assert_eq!(kept(&live, &path).await, nowhere(503));
}
