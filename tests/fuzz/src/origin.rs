//! A stream of the origin's with some media, and those who watch it.

use std::{pin::pin, sync::Arc, task::Poll};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use inlet_common::{
    clock::UtcTime,
    ids::{ClientId, StreamId},
};
use inlet_origin::{
    http::{self, Access},
    package::{self, Beat, Packager, Segment, Spec, dash, hls},
    playback::Keys,
    store::{Directory, Stream},
    timeline::{Epoch, FrameRate},
    transcode::{
        Output,
        ladder::{Resolution, Rung},
    },
};
use tower::ServiceExt as _;

/// What a real encoder could have said, as far as it is looked at.
const SPS: &[u8] = &[0x67, 0x64, 0x00, 0x1F, 0xAC, 0x2C];
const PPS: &[u8] = &[0x68, 0xEE, 0x3C, 0x80];
const ASC: &[u8] = &[0x11, 0x90];
/// The first frame; media time 30 s.
const FIRST: u64 = 900;

/// The secret that the token in the target's seeds is made with.
const SECRET: &str = "correct horse battery staple";

/// A packager of two rungs and what it has made, as viewers may fetch it.
pub struct Live {
    packager: Packager,
    store: Stream,
    now: UtcTime,
}

impl Live {
    /// A stream without media.
    pub fn new() -> Self {
        let rung = |width, height, bitrate| Rung {
            resolution: Resolution { width, height },
            bitrate,
        };
        let ladder = vec![rung(1280, 720, 1_800_000), rung(640, 360, 450_000)];
        let now = UtcTime::from_unix_micros(1_767_225_600_250_000);
        let spec = Spec {
            opus_bitrate: Some(96_000),
            ..Spec::new(ladder, FrameRate::DEFAULT, Epoch(now))
        };
        let packager = Packager::new(spec).expect("a sound spec");
        let store = Stream::new(&packager, metrics::Histogram::noop());
        Self {
            packager,
            store,
            now,
        }
    }

    /// A stream with so many frames.
    pub fn with_frames(frames: u64) -> Self {
        let mut live = Self::new();
        let (sps, pps) = (Bytes::from_static(SPS), Bytes::from_static(PPS));
        for rung in 0..2 {
            let (sps, pps) = (sps.clone(), pps.clone());
            live.give(&Output::VideoConfig { rung, sps, pps });
        }
        let asc = Bytes::from_static(ASC);
        live.give(&Output::AudioConfig { asc });
        let (mut sound, mut opus) = (FIRST * 1_600 / 1_024, FIRST * 1_600 / 960);
        for number in FIRST..FIRST + frames {
            for rung in 0..2 {
                let idr = number % 30 == 0;
                let data = Bytes::from_static(&[0, 0, 0, 2, 0x41, 7]);
                live.give(&Output::Video {
                    rung,
                    number,
                    idr,
                    data,
                });
            }
            while sound * 1_024 < (number + 1) * 1_600 {
                let data = Bytes::from_static(&[1; 9]);
                live.give(&Output::Audio {
                    number: sound,
                    data,
                });
                sound += 1;
            }
            while opus * 960 < (number + 1) * 1_600 {
                let data = Bytes::from_static(&[0xFC; 9]);
                live.give(&Output::Opus { number: opus, data });
                opus += 1;
            }
            if number % 30 == 0 {
                let data = Bytes::from_static(&[0xFF, 0xD8, 0xFF, 0xD9]);
                live.give(&Output::Thumbnail { number, data });
            }
        }
        live
    }

    /// Takes what a worker has made.
    pub fn give(&mut self, output: &Output) {
        self.packager.handle_output(output);
        while let Some(output) = self.packager.poll_output() {
            self.store.apply(output, self.now);
        }
    }

    /// Writes all playlists and manifests, and looks at them.
    pub fn render(&self) {
        for name in self.packager.names() {
            let track = self.store.track(name).expect("it has a track");
            let text = self.store.media(&track, false);
            assert!(text.identity().starts_with(b"#EXTM3U\n"));
            // A window of 60 segments, each with five lines, and parts of three.
            let lines = text.identity().split(|byte| *byte == b'\n').count();
            assert!(lines < 1_000, "{lines} lines");
            self.store.media(&track, true);
            self.store.legacy_media(&track);
        }
        if let Some(presentation) = self.store.presentation() {
            assert!(presentation.periods.len() < 200);
            hls::master(&presentation);
            dash::manifest(&presentation);
        }
        if let Some(list) = self.store.thumbnail_list() {
            assert!(list.identity().starts_with(b"WEBVTT\n"));
        }
    }

    /// The first segment of a rendition with other bytes, and the sound's beat.
    pub fn segment(&self, rendition: &str, chunk: Bytes) -> (Segment, Beat) {
        let track = self.store.track(rendition).expect("there is one");
        let snapshot = track.newest();
        let first = snapshot.segments.first().expect("it has media");
        let segment = Segment {
            chunks: vec![chunk],
            ..Segment::clone(first)
        };
        (segment, self.packager.layout().audio)
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

/// Those who watch stream 17 of client 1, with or without tokens.
pub struct Viewers {
    runtime: tokio::runtime::Runtime,
    free: Router,
    by_token: Router,
}

impl Viewers {
    /// A stream that is live for some seconds.
    pub fn new() -> Self {
        let directory = Arc::new(Directory::default());
        let store = Live::with_frames(100).store;
        directory.insert(ClientId(1), StreamId(17), Arc::new(store));
        let name = format!("inlet-fuzz-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, SECRET).expect("a temporary folder");
        let keys = Keys::load(&file).expect("a usable secret");
        std::fs::remove_file(&file).expect("it was there");
        let metrics = Arc::new(http::Metrics::new());
        let router = |access| http::router(Arc::clone(&directory), Arc::clone(&metrics), access);
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
            free: router(Access::free()),
            by_token: router(Access::by_token(Arc::new(keys), None)),
        }
    }

    /// What a request is answered at once, with or without tokens being asked for;
    /// `None` when it is held.
    pub fn ask(
        &self,
        is_free: bool,
        request: Request<Body>,
    ) -> Option<(StatusCode, HeaderMap, Option<Bytes>)> {
        let router = if is_free { &self.free } else { &self.by_token };
        self.runtime.block_on(async {
            let response = once(router.clone().oneshot(request)).await?;
            let (head, body) = response.expect("it never fails").into_parts();
            let body = once(body.collect()).await;
            let body = body.map(|body| body.expect("it never breaks off").to_bytes());
            Some((head.status, head.headers, body))
        })
    }
}

impl Default for Viewers {
    fn default() -> Self {
        Self::new()
    }
}

/// What a future gives without waiting.
async fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(ready) => Some(ready),
            Poll::Pending => None,
        })
    })
    .await
}

/// Muxes segments of other bytes as transport streams do.
pub fn mux(video: &Segment, audio: Option<(&Segment, &Beat)>) -> Option<Bytes> {
    package::ts::segment(video, audio).ok()
}
