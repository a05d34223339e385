//! A presenter's own coded picture as the top rung: when it begins, what ends it, and that
//! who watches goes on through all of it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::{
    playlist,
    publisher::{Camera, Publisher},
    rig::{Rig, Stream, scenario, until},
    stage, viewer,
};

const PATIENCE: Duration = Duration::from_secs(40);
/// Frames that are watched over a change.
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
    scenario(async |rig: &mut Rig| {
        let stream = stage::passing(rig, "shrinks").await?;
        let publisher = Publisher::start(stage::options(&stream)).await?;
        stage::complete(&stream).await?;
        stage::passes(rig, &stream).await?;
        let metrics = rig.origin_metrics();
        let metrics = tests::rig::Metrics::fetch(&metrics).await?;
        ensure!(metrics.value("inlet_origin_pass_through_streams")? == 1.0);
        plays(&stream).await?;

        let playlist = stage::playing(&stream).await?;
        let top = &playlist.variants.first().context("no variant")?.url;
        let watching = viewer::watch(top.as_str(), WATCHED, PATIENCE);
        let shrinking = async {
            publisher.set_size(640, 360);
            encoded(rig, &stream, "size").await
        };
        let (watched, ()) = tokio::try_join!(watching, shrinking)?;
        ensure!(watched.frames.iter().all(|seen| seen.size == stage::SIZE));
        let gap = watched.largest_gap()?;
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
        let metrics = tests::rig::Metrics::fetch(&rig.origin_metrics()).await?;
        let reason = ["reason=\"size\""];
        ensure!(metrics.sum("inlet_origin_pass_through_refused_total", &reason) == 1.0);
        ensure!(metrics.value("inlet_origin_pass_through_streams")? == 0.0);

        // It does not come and go.
        publisher.set_size(stage::SIZE.0, stage::SIZE.1);
        viewer::watch(top.as_str(), WATCHED, PATIENCE)
            .await?
            .ensure_smooth()?;
        encoded(rig, &stream, "size").await?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presenter_without_key_frames_is_encoded_and_one_who_returns_passes() {
    scenario(async |rig: &mut Rig| {
        let stream = stage::passing(rig, "deaf").await?;
        let publisher = Publisher::start(stage::options(&stream)).await?;
        stage::complete(&stream).await?;
        stage::passes(rig, &stream).await?;
        let playlist = stage::playing(&stream).await?;
        let top = &playlist.variants.first().context("no variant")?.url;
        let watching = viewer::watch(top.as_str(), WATCHED, PATIENCE);
        let deaf = async {
            publisher.set_camera(Camera {
                is_deaf: true,
                ..publisher.camera()
            })?;
            encoded(rig, &stream, "key_frames").await
        };
        let (watched, ()) = tokio::try_join!(watching, deaf)?;
        let gap = watched.largest_gap()?;
        ensure!(gap <= LARGEST_GAP, "{gap} ms are missing at the change");
        publisher.stop().await?;

        until("the end", PATIENCE, async || {
            ensure!(!rig.api.get(stream.id).await?.live, "still live");
            Ok(())
        })
        .await?;
        let publisher = Publisher::start(stage::options(&stream)).await?;
        stage::passes(rig, &stream).await?;
        plays(&stream).await?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_beside_a_picture_that_is_passed_through() {
    scenario(async |rig: &mut Rig| {
        let worker = until("a spare worker", PATIENCE, async || {
            let workers = rig.origin.children()?;
            ensure!(workers.len() == 1, "workers {workers:?}");
            Ok(workers[0])
        })
        .await?;
        let stream = stage::passing(rig, "goes on").await?;
        let publisher = Publisher::start(stage::options(&stream)).await?;
        stage::complete(&stream).await?;
        stage::passes(rig, &stream).await?;
        let playlist = stage::playing(&stream).await?;
        let top = &playlist.variants.first().context("no variant")?.url;
        let watching = viewer::watch(top.as_str(), WATCHED, PATIENCE);
        let killing = async { rig.kill_worker(worker) };
        let (watched, ()) = tokio::try_join!(watching, killing)?;
        // Whoever watches the top rung has no part in it.
        watched.ensure_smooth()?;
        stage::passes(rig, &stream).await?;
        plays(&stream).await?;
        publisher.stop().await
    })
    .await;
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
    let watched = viewer::watch(&stream.transport, 150, PATIENCE).await?;
    watched.ensure_smooth()?;
    watched.ensure_together()
}
