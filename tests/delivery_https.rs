//! Delivery as Apple's players and CDNs use it: HTTP/2 over TLS, where many held
//! requests share a connection, and HTTP/1.1 with requests that do not wait for
//! the answer before.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, StatusCode,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tests::{
    playlist,
    publisher::Publisher,
    rig::{Rig, scenario, tls, until},
    stage,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Reloads held at once on one connection.
const HELD: usize = 200;
const PATIENCE: Duration = Duration::from_secs(30);
const NAME: &str = "localhost";

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_held_reloads_share_a_connection_and_hold_up_nothing() {
    on_air(async |rig, master| {
        let two = Two::connect(rig).await?;
        let media = two.rung(master).await?;
        let (segment, _) = playlist::parse(&two.text(&media).await?)?.edge();
        // They are held for nearly two segments, whatever the machine takes to ask.
        let begun = format!("{media}?_HLS_msn={}&_HLS_part=0", segment + 1);
        let (segment, _) = playlist::parse(&two.text(&begun).await?)?.edge();
        let url = format!("{media}?_HLS_msn={}", segment + 1);
        let finished = Arc::new(AtomicUsize::new(0));
        let mut held = Vec::new();
        for _ in 0..HELD {
            // In the connection's queue when this returns, so before what follows.
            let text = two.ask(&url)?;
            let finished = Arc::clone(&finished);
            held.push(tokio::spawn(async move {
                let text = text.await;
                finished.fetch_add(1, Relaxed);
                text
            }));
        }
        // Sent after them on the same connection, and answered before.
        two.text(master).await?;
        let before = finished.load(Relaxed);
        ensure!(before == 0, "{before} were not held");
        let mut texts = Vec::new();
        for held in held {
            texts.push(tokio::time::timeout(PATIENCE, held).await???);
        }
        let first = texts.first().context("no answer")?;
        let newest = playlist::parse(first)?.edge().0;
        ensure!(newest > segment + 1, "segment {newest} of {}", segment + 1);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_do_not_wait_for_answers_are_answered_in_order() {
    on_air(async |rig, master| {
        let media = Two::connect(rig).await?.rung(master).await?;
        let mut one =
            tls::connect(rig.ports().origin_http, NAME, &root(rig)?, &[b"http/1.1"]).await?;
        let mut all = String::new();
        let paths = [
            format!("{media}?_HLS_msn=1"),
            "/cmaf/1_999999/master.m3u8".to_owned(),
            format!("{media}?_HLS_part=1"),
            master.to_owned(),
        ];
        for (number, path) in paths.iter().enumerate() {
            let close = if number + 1 == paths.len() {
                "close"
            } else {
                "keep-alive"
            };
            all += &format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: {close}\r\n\r\n");
        }
        one.write_all(all.as_bytes()).await?;
        let mut answers = String::new();
        let read = one.read_to_string(&mut answers);
        tokio::time::timeout(PATIENCE, read).await??;
        let statuses = answers
            .lines()
            .filter_map(|line| line.strip_prefix("HTTP/1.1 "));
        let statuses: Vec<&str> = statuses.filter_map(|line| line.get(..3)).collect();
        ensure!(statuses == ["200", "404", "400", "200"], "{answers}");
        Ok(())
    })
    .await;
}

/// A stream on air whose origin serves HTTPS; the path of its multivariant playlist.
async fn on_air(test: impl AsyncFnOnce(&Rig, &str) -> Result<()>) {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("https").await?;
        let certificates = rig.folder().join("certificates");
        let certificates = certificates.display();
        let tls = format!(
            "[http]\ncertificate = \"{certificates}/origin.pem\"\nkey = \"{certificates}/origin.key\"\n"
        );
        rig.reconfigure_origin(|file| file.replace("[http]\n", &tls))
            .await?;
        rig.link_up().await?;
        let publisher = Publisher::start(stage::options(&stream)).await?;
        let url: reqwest::Url = stream.hls.parse()?;
        test(rig, url.path()).await?;
        publisher.stop().await
    })
    .await;
}

fn root(rig: &Rig) -> Result<String> {
    Ok(fs::read_to_string(
        rig.folder().join("certificates/ca.pem"),
    )?)
}

/// One connection of HTTP/2.
#[derive(Clone)]
struct Two(SendRequest<Empty<Bytes>>);

impl Two {
    async fn connect(rig: &Rig) -> Result<Self> {
        let port = rig.ports().origin_http;
        let stream = tls::connect(port, NAME, &root(rig)?, &[b"h2", b"http/1.1"]).await?;
        let agreed = stream.get_ref().1.alpn_protocol();
        ensure!(agreed == Some(b"h2"), "ALPN: {agreed:?}");
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// The path of the best rung's playlist, once there is one with a segment.
    async fn rung(&self, master: &str) -> Result<String> {
        until("a playlist", PATIENCE, async || {
            let text = self.text(master).await?;
            let rung = text.lines().find(|line| line.ends_with("media.m3u8"));
            let rung = rung.context("no rung")?;
            let media = master.replace("master.m3u8", rung);
            let segments = playlist::parse(&self.text(&media).await?)?.segments.len();
            ensure!(segments > 1, "{segments} segments");
            Ok(media)
        })
        .await
    }

    async fn text(&self, path: &str) -> Result<String> {
        self.ask(path)?.await
    }

    /// Queues a request; what it is answered.
    fn ask(&self, path: &str) -> Result<impl Future<Output = Result<String>> + use<>> {
        let url = format!("https://{NAME}{path}");
        let request = Request::get(&url).body(Empty::new())?;
        let response = self.0.clone().send_request(request);
        Ok(async move {
            let response = response.await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            ensure!(status == StatusCode::OK, "{url}: {status}");
            Ok(String::from_utf8(body.to_vec())?)
        })
    }
}
