//! Transport streams: playlists that are polled, segments that are muxed on request.

use super::{Live, body, header};

#[tokio::test]
async fn everything_that_the_legacy_playlists_name_can_be_fetched() {
    let live = Live::new(100);
    let master = live.text("/mpegts/1_7/master_mpegts.m3u8").await;
    let rungs: Vec<_> = master.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(rungs, ["720p/media.m3u8", "360p/media.m3u8"]);
    for rung in ["720p", "360p"] {
        let media = live.text(&format!("/mpegts/1_7/{rung}/media.m3u8")).await;
        let segments: Vec<_> = media.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(segments, ["30.ts", "31.ts", "32.ts"]);
        for segment in segments {
            let response = live.get(&format!("/mpegts/1_7/{rung}/{segment}")).await;
            assert_eq!(
                header(&response, "content-type").as_deref(),
                Some("video/mp2t")
            );
            let bytes = body(response).await;
            assert!(bytes.len().is_multiple_of(188) && bytes[0] == 0x47);
        }
    }
}

#[tokio::test]
async fn the_playlist_grows_with_each_segment_and_not_with_parts() {
    let mut live = Live::new(100);
    let media = "/mpegts/1_7/720p/media.m3u8";
    let before = live.text(media).await;
    live.run(12);
    assert_eq!(live.text(media).await, before, "two parts");
    live.run(12);
    assert!(live.text(media).await.ends_with("33.ts\n"));
    live.feed.packager.end();
    live.apply();
    assert!(live.text(media).await.ends_with("#EXT-X-ENDLIST\n"));
}

#[tokio::test]
async fn a_segment_is_the_same_bytes_for_everyone_and_in_ranges() {
    let live = Live::new(900);
    // More than are kept, so that the first ones are muxed twice.
    let whole = body(live.get("/mpegts/1_7/720p/30.ts").await).await;
    for number in 31..50 {
        body(live.get(&format!("/mpegts/1_7/720p/{number}.ts")).await).await;
    }
    assert_eq!(body(live.get("/mpegts/1_7/720p/30.ts").await).await, whole);
    let request = http::Request::get("/mpegts/1_7/720p/30.ts").header("range", "bytes=188-375");
    let part = live
        .request(request.body(axum::body::Body::empty()).unwrap())
        .await;
    assert_eq!(part.status(), 206);
    assert_eq!(body(part).await, whole[188..376]);
}

#[tokio::test]
async fn who_asks_for_no_byte_is_told_the_same_as_who_asks_for_all() {
    let live = Live::new(900);
    let path = "/mpegts/1_7/720p/30.ts";
    let ask = async |method: &str, headers: &[(&str, &str)]| {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        let response = live.request(request).await;
        let told = ["content-length", "etag", "content-type", "cache-control"];
        let told = told.map(|name| header(&response, name));
        (response.status().as_u16(), told, body(response).await)
    };
    // Before it is made, while it is kept, and when only its length is known.
    let first = ask("HEAD", &[]).await;
    let whole = ask("GET", &[]).await;
    let length = whole.2.len().to_string();
    assert_eq!((first.0, first.1[0].as_deref()), (200, Some(&*length)));
    assert_eq!(first.1[1..], whole.1[1..]);
    for number in 31..50 {
        body(live.get(&format!("/mpegts/1_7/720p/{number}.ts")).await).await;
    }
    for headers in [&[][..], &[("range", "bytes=0-0")]] {
        let (status, told, bytes) = ask("HEAD", headers).await;
        assert_eq!((status, &told), (200, &first.1), "{headers:?}");
        assert!(bytes.is_empty());
    }
    let etag = whole.1[1].clone().unwrap();
    let known = ask("GET", &[("if-none-match", &etag)]).await;
    assert_eq!((known.0, known.1[1].as_deref()), (304, Some(&*etag)));
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let live = Live::new(0);
    let code = |code: &str| Some(code.to_owned());
    for file in ["master_mpegts.m3u8", "720p/media.m3u8"] {
        let path = format!("/mpegts/1_7/{file}");
        assert_eq!(live.status(&path).await, (404, code("3000")), "{file}");
    }
    let live = Live::new(100);
    for file in [
        "audio/media.m3u8",
        "audio/30.ts",
        "720p/33.ts",
        "720p/29.ts",
        "9p/30.ts",
    ] {
        let path = format!("/mpegts/1_7/{file}");
        assert_eq!(live.status(&path).await, (404, None), "{file}");
    }
    assert_eq!(
        live.status("/mpegts/1_9/master_mpegts.m3u8").await,
        (404, code("1000"))
    );
    assert_eq!(
        live.status("/mpegts/x/master_mpegts.m3u8").await,
        (404, code("2000"))
    );
}
