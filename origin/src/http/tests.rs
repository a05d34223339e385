//! The router against a live stream of synthetic samples. Requests are polled
//! by hand, so that "held" is a fact and not a guess about time.

use std::{
    future::{Future, poll_fn},
    io::Read,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use axum::{Router, body::Body, response::Response};
use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use inlet_common::{
    clock::UtcTime,
    ids::{ClientId, StreamId},
};
use tower::ServiceExt;

mod access;
mod cache;
mod early;
mod legacy;
mod query;

use super::{Access, Metrics, router};
use crate::{
    package::tests::{Feed, playlist, spec},
    store::{Directory, Stream},
};

const STREAM: (ClientId, StreamId) = (ClientId(1), StreamId(7));

struct Live {
    feed: Feed,
    stream: Arc<Stream>,
    directory: Arc<Directory>,
    router: Router,
}

impl Live {
    /// A stream whose first frame is number 900, the beginning of second 30.
    fn new(frames: u64) -> Self {
        Self::with(frames, Access::free())
    }

    fn with(frames: u64, access: Access) -> Self {
        let mut live = Self::of(Feed::new(30, 900), access);
        live.run(frames);
        live
    }

    fn of(feed: Feed, access: Access) -> Self {
        let metrics = Arc::new(Metrics::new());
        let stream = Arc::new(Stream::new(&feed.packager, metrics.part_delay()));
        let directory = Arc::new(Directory::default());
        directory.insert(STREAM.0, STREAM.1, Arc::clone(&stream));
        let router = router(Arc::clone(&directory), metrics, access);
        Self {
            feed,
            stream,
            directory,
            router,
        }
    }

    fn run(&mut self, frames: u64) {
        self.feed.run(frames);
        self.apply();
    }

    fn apply(&mut self) {
        self.feed.drain();
        for output in self.feed.outputs.drain(..) {
            self.stream.apply(output, UtcTime::from_unix_micros(0));
        }
    }

    fn request(&self, request: Request<Body>) -> impl Future<Output = Response> + use<> {
        let router = self.router.clone();
        async move { router.oneshot(request).await.unwrap() }
    }

    fn get(&self, path: &str) -> impl Future<Output = Response> + use<> {
        self.request(Request::get(path).body(Body::empty()).unwrap())
    }

    async fn text(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        String::from_utf8(body(response).await.to_vec()).unwrap()
    }

    async fn status(&self, path: &str) -> (u16, Option<String>) {
        let response = self.get(path).await;
        let code = header(&response, "x-err-code");
        (response.status().as_u16(), code)
    }
}

async fn body(response: Response) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

fn header(response: &Response, name: &str) -> Option<String> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap().to_owned())
}

async fn poll_once<F: Future>(future: &mut Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

const MEDIA: &str = "/cmaf/1_7/720p/media.m3u8";

#[tokio::test]
async fn everything_that_the_playlists_name_can_be_fetched() {
    let live = Live::new(100);
    let master = live.text("/cmaf/1_7/master.m3u8").await;
    assert!(master.contains("360p/media.m3u8"));
    for rendition in ["720p", "360p", "audio"] {
        let base = format!("/cmaf/1_7/{rendition}");
        let parsed = playlist::parse(&live.text(&format!("{base}/media.m3u8")).await);
        assert_eq!(parsed.reports.len(), 2);
        let init = body(live.get(&format!("{base}/{}", parsed.maps[0])).await).await;
        assert_eq!(&init[4..8], b"ftyp");
        for segment in &parsed.segments {
            let whole = body(live.get(&format!("{base}/{}.m4s", segment.number)).await).await;
            let mut parts = Vec::new();
            for part in &segment.parts {
                parts.extend(body(live.get(&format!("{base}/{}", part.uri)).await).await);
            }
            assert!(parts.is_empty() || parts == whole);
            assert_eq!(&whole[4..8], b"styp");
        }
    }
    assert!(live.text("/cmaf/1_7/index.mpd").await.starts_with("<?xml"));
}

#[tokio::test]
async fn opus_is_fetched_like_the_others_and_is_in_no_transport_stream() {
    let mut spec = spec(30);
    spec.opus_bitrate = Some(96_000);
    let mut live = Live::of(Feed::with(spec, 900), Access::free());
    live.run(100);
    let parsed = playlist::parse(&live.text("/cmaf/1_7/opus/media.m3u8").await);
    let reports: Vec<_> = parsed
        .reports
        .iter()
        .map(|it| playlist::find(it, "URI"))
        .collect();
    let others = ["720p", "360p", "audio"].map(|it| format!("../{it}/media.m3u8"));
    assert_eq!(reports, others);
    for file in [parsed.maps[0].as_str(), "31.m4s", "31.0.m4s"] {
        let response = live.get(&format!("/cmaf/1_7/opus/{file}")).await;
        assert_eq!(response.status(), StatusCode::OK, "{file}");
        assert_eq!(
            header(&response, "content-type").as_deref(),
            Some("audio/mp4")
        );
    }
    let legacy = "/mpegts/1_7";
    assert_eq!(
        live.status(&format!("{legacy}/opus/media.m3u8")).await.0,
        404
    );
    assert_eq!(live.status(&format!("{legacy}/720p/31.ts")).await.0, 200);
    let master = live.text(&format!("{legacy}/master_mpegts.m3u8")).await;
    assert!(!master.contains("opus"));
}

#[tokio::test]
async fn errors_tell_players_what_to_do() {
    let live = Live::new(0);
    let code = |code: &str| Some(code.to_owned());
    assert_eq!(
        live.status("/cmaf/1_8/master.m3u8").await,
        (404, code("1000"))
    );
    assert_eq!(
        live.status("/cmaf/2_7/master.m3u8").await,
        (404, code("1000"))
    );
    assert_eq!(
        live.status("/cmaf/nonsense/master.m3u8").await,
        (404, code("2000"))
    );
    for file in [
        "master.m3u8",
        "index.mpd",
        "720p/media.m3u8",
        "720p/30.m4s",
        "720p/30.0.m4s",
    ] {
        assert_eq!(
            live.status(&format!("/cmaf/1_7/{file}")).await,
            (404, code("3000")),
            "{file}"
        );
    }
    assert_eq!(live.status("/cmaf/1_7/1080p/media.m3u8").await, (404, None));
}

#[tokio::test]
async fn every_answer_has_cors_headers() {
    let live = Live::new(30);
    let request = |method: &str, path: &str| {
        live.request(
            Request::builder()
                .method(method)
                .uri(path)
                .body(Body::empty())
                .unwrap(),
        )
    };
    for (method, path, status) in [
        ("GET", MEDIA, 200),
        ("HEAD", MEDIA, 200),
        ("OPTIONS", MEDIA, 204),
        ("POST", MEDIA, 405),
        ("GET", "/cmaf/1_9/master.m3u8", 404),
        ("GET", "/cmaf/1_7/720p/media.m3u8?_HLS_part=1", 400),
        ("GET", "/cmaf/1_7/time", 200),
        ("OPTIONS", "/cmaf/1_7/time", 204),
    ] {
        let response = request(method, path).await;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        assert_eq!(
            header(&response, "access-control-allow-origin").as_deref(),
            Some("*")
        );
        let exposed = header(&response, "access-control-expose-headers").unwrap();
        assert!(exposed.contains("X-Err-Code"));
    }
    let preflight = request("OPTIONS", MEDIA).await;
    assert!(
        header(&preflight, "access-control-allow-methods")
            .unwrap()
            .contains("GET")
    );
}

#[tokio::test]
async fn a_reload_is_held_until_its_part_exists() {
    let mut live = Live::new(36); // segment 30 and part 0 of 31
    let held = live.get(&format!("{MEDIA}?_HLS_msn=31&_HLS_part=1"));
    let mut held = pin!(held);
    assert!(poll_once(&mut held).await.is_none());
    live.run(3); // a chunk is not a part
    assert!(poll_once(&mut held).await.is_none());
    live.run(3);
    let response = poll_once(&mut held).await.expect("released by the part");
    let text = String::from_utf8(body(response).await.to_vec()).unwrap();
    assert_eq!(playlist::parse(&text).trailing_parts.len(), 2);
}

#[tokio::test]
async fn a_reload_without_part_is_held_until_the_segment_is_complete() {
    let mut live = Live::new(36);
    let held = live.get(&format!("{MEDIA}?_HLS_msn=31"));
    let mut held = pin!(held);
    live.run(18);
    assert!(poll_once(&mut held).await.is_none());
    live.run(6);
    let text = poll_once(&mut held).await.expect("released by the segment");
    let text = String::from_utf8(body(text).await.to_vec()).unwrap();
    assert_eq!(playlist::parse(&text).segments.last().unwrap().number, 31);
}

#[tokio::test]
async fn what_exists_or_is_older_is_answered_at_once() {
    let live = Live::new(66); // segments 30 and 31, part 0 of 32
    for query in [
        "_HLS_msn=31",
        "_HLS_msn=32&_HLS_part=0",
        "_HLS_msn=30&_HLS_part=99",
        "_HLS_msn=0",
    ] {
        let request = live.get(&format!("{MEDIA}?{query}"));
        let response = poll_once(&mut pin!(request)).await.expect(query);
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_part_past_the_last_one_means_the_next_segments_first() {
    let mut live = Live::new(60); // segment 31 is complete with parts 0 to 4
    let held = live.get(&format!("{MEDIA}?_HLS_msn=31&_HLS_part=5"));
    let mut held = pin!(held);
    assert!(poll_once(&mut held).await.is_none());
    live.run(6);
    let response = poll_once(&mut held)
        .await
        .expect("released by part 0 of 32");
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_too_far_ahead_or_malformed_is_refused() {
    let live = Live::new(66); // newest is part 0 of segment 32
    for query in [
        "_HLS_msn=35",
        "_HLS_msn=35&_HLS_part=0",
        "_HLS_part=0",
        "_HLS_msn=x",
        "_HLS_msn=32&_HLS_part=16",
        "_HLS_msn=33&_HLS_part=15",
    ] {
        let (status, _) = live.status(&format!("{MEDIA}?{query}")).await;
        assert_eq!(status, 400, "{query}");
    }
    for query in [
        "_HLS_msn=34",
        "_HLS_msn=34&_HLS_part=14",
        "_HLS_msn=32&_HLS_part=15",
    ] {
        let request = live.get(&format!("{MEDIA}?{query}"));
        assert!(
            poll_once(&mut pin!(request)).await.is_none(),
            "{query} is lenient"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_waits_too_long_gets_503() {
    let live = Live::new(66);
    let begun = tokio::time::Instant::now();
    let response = live.get(&format!("{MEDIA}?_HLS_msn=33")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[tokio::test]
async fn the_end_releases_everyone() {
    let mut live = Live::new(66);
    let held = live.get(&format!("{MEDIA}?_HLS_msn=34"));
    let mut held = pin!(held);
    assert!(poll_once(&mut held).await.is_none());
    live.feed.packager.end();
    live.apply();
    let response = poll_once(&mut held).await.expect("released by the end");
    assert!(body(response).await.ends_with(b"#EXT-X-ENDLIST\n"));
}

#[tokio::test]
async fn removal_releases_everyone_with_1000() {
    let live = Live::new(66);
    let held = live.get(&format!("{MEDIA}?_HLS_msn=34"));
    let part = live.get("/cmaf/1_7/720p/32.1.m4s");
    let (mut held, mut part) = (pin!(held), pin!(part));
    assert!(poll_once(&mut held).await.is_none());
    assert!(poll_once(&mut part).await.is_none());
    assert!(live.directory.remove(STREAM.0, STREAM.1));
    for response in [poll_once(&mut held).await, poll_once(&mut part).await] {
        let response = response.expect("released");
        assert_eq!(header(&response, "x-err-code").as_deref(), Some("1000"));
    }
}

#[tokio::test]
async fn a_hinted_part_is_held_across_the_segment_boundary() {
    let mut live = Live::new(60);
    let parsed = playlist::parse(&live.text(MEDIA).await);
    let hint = parsed.preload_hint.unwrap();
    assert_eq!(hint, "32.0.m4s");
    let held = live.get(&format!("/cmaf/1_7/720p/{hint}"));
    let mut held = pin!(held);
    assert!(poll_once(&mut held).await.is_none());
    live.run(3); // the segment has begun, the part is not whole
    assert!(poll_once(&mut held).await.is_none());
    live.run(3);
    let response = poll_once(&mut held).await.expect("released");
    let length: usize = header(&response, "content-length").map_or(0, |n| n.parse().unwrap());
    let bytes = body(response).await;
    assert!(length == 0 || length == bytes.len());
    assert!(bytes.len() > 6 * 900, "six frames");
}

#[tokio::test]
async fn a_hinted_part_that_never_comes_is_404() {
    let mut live = Live::new(66);
    let held = live.get("/cmaf/1_7/720p/32.1.m4s");
    let mut held = pin!(held);
    assert!(poll_once(&mut held).await.is_none());
    live.feed.packager.interrupt();
    live.apply();
    let response = poll_once(&mut held).await.expect("released");
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_growing_segment_is_sent_chunk_by_chunk() {
    let mut live = Live::new(60);
    let early = live.get("/cmaf/1_7/720p/32.m4s");
    let mut early = pin!(early);
    assert!(
        poll_once(&mut early).await.is_none(),
        "held, although nothing of it exists"
    );
    live.run(3);
    let response = poll_once(&mut early)
        .await
        .expect("begins with the first chunk");
    assert_eq!(header(&response, "content-length"), None);
    let mut growing = response.into_body();
    let mut received = growing
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap()
        .to_vec();
    {
        let next = growing.frame();
        let mut next = pin!(next);
        assert!(poll_once(&mut next).await.is_none());
        live.run(3);
        let chunk = poll_once(&mut next)
            .await
            .expect("the second chunk")
            .unwrap()
            .unwrap();
        received.extend(chunk.into_data().unwrap());
    }
    live.run(24);
    received.extend(growing.collect().await.unwrap().to_bytes());
    let whole = body(live.get("/cmaf/1_7/720p/32.m4s").await).await;
    assert_eq!(received, whole);
}

/// The end of the connection would be that of the segment, also where it breaks off.
#[tokio::test]
async fn http_1_0_gets_a_growing_segment_once_it_is_complete() {
    let mut live = Live::new(63);
    let request = Request::get("/cmaf/1_7/720p/32.m4s").version(Version::HTTP_10);
    let held = live.request(request.body(Body::empty()).unwrap());
    let mut held = pin!(held);
    assert!(poll_once(&mut held).await.is_none(), "it has begun");
    live.run(20);
    assert!(poll_once(&mut held).await.is_none(), "it still grows");
    live.run(7);
    let response = poll_once(&mut held).await.expect("complete");
    let size = response.body().size_hint().exact().expect("a length");
    assert_eq!(body(response).await.len() as u64, size);
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_stops_growing_ends_as_broken() {
    let live = Live::new(63);
    let response = live.get("/cmaf/1_7/720p/32.m4s").await;
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn segments_far_ahead_or_long_gone_are_404() {
    let live = Live::new(66);
    assert_eq!(live.status("/cmaf/1_7/720p/29.m4s").await, (404, None));
    assert_eq!(
        live.status("/cmaf/1_7/720p/40.m4s").await,
        (404, Some("3000".into()))
    );
    assert_eq!(live.status("/cmaf/1_7/720p/31.5.m4s").await, (404, None));
}

#[tokio::test]
async fn complete_segments_have_ranges_validators_and_long_lives() {
    let live = Live::new(66);
    let path = "/cmaf/1_7/720p/30.m4s";
    let whole = live.get(path).await;
    assert!(
        header(&whole, "cache-control")
            .unwrap()
            .contains("immutable")
    );
    let etag = header(&whole, "etag").unwrap();
    let whole = body(whole).await;
    let with = |name: &str, value: &str| {
        live.request(
            Request::get(path)
                .header(name, value)
                .body(Body::empty())
                .unwrap(),
        )
    };
    let part = with("range", "bytes=10-19").await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    let range = format!("bytes 10-19/{}", whole.len());
    assert_eq!(header(&part, "content-range"), Some(range));
    assert_eq!(body(part).await, whole[10..20]);
    let beyond = with("range", "bytes=9999999-").await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        with("if-none-match", &etag).await.status(),
        StatusCode::NOT_MODIFIED
    );
    let head = live
        .request(Request::head(path).body(Body::empty()).unwrap())
        .await;
    assert_eq!(
        header(&head, "content-length"),
        Some(whole.len().to_string())
    );
    assert!(body(head).await.is_empty());
}

#[tokio::test]
async fn playlists_are_compressed_on_request() {
    let live = Live::new(66);
    let plain = live.text(MEDIA).await;
    let accept = |value: &str| {
        live.request(
            Request::get(MEDIA)
                .header("accept-encoding", value)
                .body(Body::empty())
                .unwrap(),
        )
    };
    let response = accept("br, gzip;q=0.8").await;
    assert_eq!(
        header(&response, "content-encoding").as_deref(),
        Some("gzip")
    );
    assert_eq!(
        header(&response, "vary").as_deref(),
        Some("Accept-Encoding")
    );
    let compressed = body(response).await;
    let mut text = String::new();
    flate2::read::GzDecoder::new(&compressed[..])
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, plain);
    assert_eq!(header(&accept("gzip;q=0").await, "content-encoding"), None);
}

#[tokio::test]
async fn playlists_revalidate() {
    let mut live = Live::new(66);
    let etag = header(&live.get(MEDIA).await, "etag").unwrap();
    let conditional = |live: &Live| {
        let request = Request::get(MEDIA).header("if-none-match", &etag);
        live.request(request.body(Body::empty()).unwrap())
    };
    assert_eq!(conditional(&live).await.status(), StatusCode::NOT_MODIFIED);
    live.run(6);
    assert_eq!(conditional(&live).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_delta_update_is_given_on_request() {
    let live = Live::new(30 * 20);
    let text = live.text(&format!("{MEDIA}?_HLS_skip=YES")).await;
    assert_eq!(playlist::parse(&text).skipped, 14);
}

#[tokio::test]
async fn the_clock_is_served() {
    let live = Live::new(0);
    let text = live.text("/cmaf/1_7/time").await;
    assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
}
