//! A presenter's own coded picture as the top rung: when it begins, what ends it, and that
//! who watches goes on through all of it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Url;
use tests::{
    playlist,
    publisher::{Camera, Publisher},
    rig::{Metrics, Rig, Stream, scenario, until},
    stage::{self, Passed},
    viewer::{self, Watched},
};

const PATIENCE: Duration = Duration::from_secs(40);
/// Frames that are watched where nothing changes.
const WATCHED: usize = 300;
/// What may be missing to who watches the top rung at a change, in milliseconds: the
/// third of a second that a key frame is waited for, and what a busy machine adds.
const LARGEST_GAP: i64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_top_rung_is_encoded_where_nobody_asks() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, _) = stage::on_air(rig, "as ever").await?;
        let object = rig.api.get(stream.id).await?;
        ensure!(object.passing.is_none() && object.not_passing.is_none());
        // Key frames are asked for where something is lost, and on no beat.
        let before = publisher.key_requests().len();
        viewer::watch(&stream.hls, WATCHED, PATIENCE).await?;
        ensure!(publisher.key_requests().len() == before);
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_size_in_the_middle_makes_the_top_rung_an_encoded_one() {
    scenario(async |rig: &mut Rig| Passed::with(rig, "shrinks", shrinks).await).await;
}

async fn shrinks(rig: &Rig, passed: &Passed) -> Result<()> {
    let Passed {
        stream, publisher, ..
    } = passed;
    let metrics = Metrics::fetch(&rig.origin_metrics()).await?;
    ensure!(metrics.value("inlet_origin_pass_through_streams")? == 1.0);
    let refused = |metrics: &Metrics| {
        metrics.sum(
            "inlet_origin_pass_through_refused_total",
            &["reason=\"size\""],
        )
    };
    let before = refused(&metrics);
    plays(stream).await?;

    let playlist = stage::playing(stream).await?;
    let top = &playlist.variants.first().context("no variant")?.url;
    let shrinking = async {
        publisher.set_size(640, 360);
        encoded(rig, stream, "size").await
    };
    let watched = watch(top, shrinking).await?;
    ensure!(watched.frames.iter().all(|seen| seen.size == stage::SIZE));
    let gap = watched.largest_readable_gap()?;
    ensure!(gap <= LARGEST_GAP, "{gap} ms are missing at the change");
    // One track goes on.
    let media = playlist::media(top).await?;
    ensure!(
        media
            .segments
            .iter()
            .all(|it| !it.is_gap && !it.is_discontinuity),
        "{media:?}"
    );
    let metrics = Metrics::fetch(&rig.origin_metrics()).await?;
    ensure!(refused(&metrics) == before + 1.0);
    ensure!(metrics.value("inlet_origin_pass_through_streams")? == 0.0);

    // It does not come and go.
    publisher.set_size(stage::SIZE.0, stage::SIZE.1);
    viewer::watch(top.as_str(), WATCHED, PATIENCE)
        .await?
        .ensure_smooth()?;
    encoded(rig, stream, "size").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presenter_without_key_frames_is_encoded_and_one_who_returns_passes() {
    scenario(async |rig: &mut Rig| {
        let Passed {
            stream, publisher, ..
        } = Passed::on_air(rig, "deaf").await?;
        let playlist = stage::playing(&stream).await?;
        let top = &playlist.variants.first().context("no variant")?.url;
        let deaf = async {
            publisher.set_camera(Camera {
                is_deaf: true,
                ..publisher.camera()
            })?;
            encoded(rig, &stream, "key_frames").await
        };
        let watched = watch(top, deaf).await?;
        let gap = watched.largest_readable_gap()?;
        ensure!(gap <= LARGEST_GAP, "{gap} ms are missing at the change");
        publisher.stop().await?;

        let publisher = returns(rig, &stream).await?;
        plays(&stream).await?;
        publisher.stop().await
    })
    .await;
}

/// A presenter who comes to a stream again, and whose picture is passed through: at one of
/// some returns, since a busy machine has it encoded for the rest of a session.
async fn returns(rig: &Rig, stream: &Stream) -> Result<Publisher> {
    let mut last = None;
    for _ in 0..stage::ATTEMPTS {
        until("the end", PATIENCE, async || {
            ensure!(!rig.api.get(stream.id).await?.live, "still live");
            Ok(())
        })
        .await?;
        let publisher = Publisher::start(stage::options(stream)).await?;
        match stage::passes(rig, stream).await {
            Ok(()) => return Ok(publisher),
            Err(error) => last = Some(error),
        }
        publisher.stop().await?;
    }
    Err(last.context("no attempt")?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_beside_a_picture_that_is_passed_through() {
    scenario(async |rig: &mut Rig| {
        Passed::with(rig, "goes on", async |rig: &Rig, passed: &Passed| {
            let stream = &passed.stream;
            let playlist = stage::playing(stream).await?;
            let top = &playlist.variants.first().context("no variant")?.url;
            let watched = watch(top, async { rig.kill_worker(passed.worker) }).await?;
            // Whoever watches the top rung has no part in it.
            watched.ensure_smooth()?;
            stage::passes(rig, stream).await?;
            plays(stream).await
        })
        .await
    })
    .await;
}

/// Watches the top rung over a change.
async fn watch(top: &Url, change: impl Future<Output = Result<()>>) -> Result<Watched> {
    let watching = viewer::watch_until(top.as_str(), change, stage::AFTER, PATIENCE);
    let (watched, ()) = watching.await?;
    Ok(watched)
}

/// What cannot be passed through is encoded, and the API says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_does_not_fit_is_encoded_from_the_start() {
    scenario(async |rig: &mut Rig| {
        let stream = stage::passing(rig, "too large").await?;
        let options = stage::options(&stream).with_size(1280, 720);
        let publisher = Publisher::start(options).await?;
        stage::complete(&stream).await?;
        encoded(rig, &stream, "size").await?;
        plays(&stream).await?;
        publisher.stop().await?;

        let stream = stage::passing(rig, "another codec").await?;
        let mut options = stage::options(&stream);
        options.codec = tests::publisher::Codec::Vp8;
        let publisher = Publisher::start(options).await?;
        stage::complete(&stream).await?;
        encoded(rig, &stream, "codec").await?;
        plays(&stream).await?;
        publisher.stop().await
    })
    .await;
}

/// Waits until the top rung is encoded, for this reason.
async fn encoded(rig: &Rig, stream: &Stream, reason: &str) -> Result<()> {
    until("an encoded top rung", PATIENCE, async || {
        let object = rig.api.get(stream.id).await?;
        let state = (object.passing.as_deref(), object.not_passing.as_deref());
        ensure!(state == (Some("encoded"), Some(reason)), "{object:?}");
        Ok(())
    })
    .await
}

/// Waits until all play as they should, on a machine that has other things to do.
async fn plays(stream: &Stream) -> Result<()> {
    until("smooth pictures", PATIENCE, async || {
        ensure_plays(stream).await
    })
    .await
}

/// Every rung and the transport streams play smoothly, with sound and picture together.
async fn ensure_plays(stream: &Stream) -> Result<()> {
    let playlist = stage::playing(stream).await?;
    for variant in &playlist.variants {
        let watched = viewer::watch(variant.url.as_str(), 60, PATIENCE).await?;
        watched.ensure_smooth()?;
        let sized = watched
            .frames
            .iter()
            .all(|seen| seen.size == variant.resolution);
        ensure!(sized, "{variant:?}");
    }
    let watched = viewer::watch(&stream.transport, viewer::FOR_BEEPS, PATIENCE).await?;
    watched.ensure_smooth()?;
    watched.ensure_together()
}
