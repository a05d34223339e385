//! An origin that cannot keep up: rungs go before viewers wait, and nobody new is
//! let in.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use inlet_common::clock;
use tests::{
    brake::{Appetite, Brake},
    playlist::{self, Media},
    publisher::Publisher,
    rig::{Metrics, Rig, scenario, until},
    stage,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// What is left to the worker of what it takes for both rungs of [`stage::SIZE`]:
/// the lower one is less than half of it.
const SHARE: f64 = 0.7;

/// Longest that a live edge may stand still beside the part that is due.
const LATEST: Duration = Duration::from_secs(1);

/// Changes the origin's settings of overload, which tests have off.
async fn with(rig: &mut Rig, from: &str, to: &str) -> Result<()> {
    rig.reconfigure_origin(|text| text.replacen(from, to, 1))
        .await?;
    rig.link_up().await
}

/// The next presenter is told that there is no room, and the operator why.
async fn ensure_full(rig: &Rig, reason: &str) -> Result<()> {
    let stream = rig.api.create("one too many").await?;
    let refused = stage::refusal(Publisher::start(stage::options(&stream)).await)?;
    ensure!(refused.status == 503, "{refused:?}");
    ensure!(refused.reason == Some(2302), "{refused:?}");
    let metrics = Metrics::fetch(&rig.origin_metrics()).await?;
    let reason = format!("reason=\"{reason}\"");
    let counted = metrics.sum("inlet_origin_streams_refused_total", &[&reason]);
    ensure!(counted == 1.0, "{counted} by {reason}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_too_many_is_refused() {
    scenario(async |rig: &mut Rig| {
        with(rig, "[limits]\n", "[limits]\nlive_streams = 1\n").await?;
        let (_, publisher, _) = stage::on_air(rig, "the only one").await?;
        ensure_full(rig, "live_streams").await?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_for_which_there_are_no_cores_is_refused() {
    scenario(async |rig: &mut Rig| {
        with(rig, "cpu_percent = 0", "cpu_percent = 1").await?;
        // One that is alone always has room.
        let (stream, publisher, _) = stage::on_air(rig, "the first").await?;
        ensure_full(rig, "cores").await?;
        publisher.stop().await?;
        until("its end", PATIENCE, async || {
            ensure!(!rig.api.get(stream.id).await?.live, "still live");
            Ok(())
        })
        .await?;
        let (_, publisher, _) = stage::on_air(rig, "the next").await?;
        publisher.stop().await
    })
    .await;
}

/// So many streams on air whose ladders are as small as can be.
async fn small_ones(rig: &Rig, count: usize) -> Result<Vec<Publisher>> {
    let mut publishers = Vec::new();
    for index in 0..count {
        let stream = rig.api.create(&format!("beside {index}")).await?;
        let options = stage::options(&stream).with_size(480, 270);
        publishers.push(Publisher::start(options).await?);
    }
    Ok(publishers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ladder_for_which_there_are_no_cores_does_not_grow() {
    scenario(async |rig: &mut Rig| {
        // A fifth of a core or little more, since percents are whole: enough for small
        // ladders, a twentieth each, and not for one of them that has grown.
        let cores = std::thread::available_parallelism()?.get();
        let percent = 20_usize.div_ceil(cores);
        let beside = 1 + (percent * cores - 20).div_ceil(5);
        with(rig, "cpu_percent = 0", &format!("cpu_percent = {percent}")).await?;
        let stream = rig.api.create("grows").await?;
        let mut options = stage::options(&stream).with_size(480, 270);
        options.announce = false;
        let growing = Publisher::start(options).await?;
        stage::complete(&stream).await?;
        let beside = small_ones(rig, beside).await?;
        growing.set_size(stage::SIZE.0, stage::SIZE.1);
        until("a ladder that does not grow", PATIENCE, async || {
            let metrics = Metrics::fetch(&rig.origin_metrics()).await?;
            let reason = "reason=\"cores\"";
            let counted = metrics.sum("inlet_origin_growth_refused_total", &[reason]);
            ensure!(counted == 1.0, "{counted}");
            Ok(())
        })
        .await?;
        let object = rig.api.get(stream.id).await?;
        ensure!(object.transcoded_qualities == ["270p"], "{object:?}");
        let playlist = stage::playing(&stream).await?;
        let [small] = &playlist.variants[..] else {
            anyhow::bail!("{playlist:?}");
        };
        ensure_moves(&small.url, 2).await?;
        for publisher in beside {
            publisher.stop().await?;
        }
        growing.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_too_slow_loses_its_dearest_rung_and_viewers_do_not_wait() {
    scenario(async |rig: &mut Rig| {
        with(rig, "shed_rungs = false", "shed_rungs = true").await?;
        // The spare worker is the one that the first stream gets.
        let worker = until("a spare worker", PATIENCE, async || {
            let workers = rig.origin.children()?;
            ensure!(workers.len() == 1, "workers {workers:?}");
            Ok(workers[0])
        })
        .await?;
        let (stream, publisher, before) = stage::on_air(rig, "slow").await?;
        let [dear, cheap] = &before.variants[..] else {
            anyhow::bail!("{before:?}");
        };
        let own = playlist::media(&dear.url).await?.map;
        let appetite = Appetite::of(worker).context("no worker")?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let cores = appetite.cores().context("no worker")?;
        let brake = Brake::on(worker, cores * SHARE);
        until("a rung to go", PATIENCE, async || {
            let object = rig.api.get(stream.id).await?;
            ensure!(object.transcoded_qualities == ["360p"], "{object:?}");
            Ok(())
        })
        .await?;
        let master = playlist::multivariant(&stream.hls).await?;
        ensure!(master.variants == [cheap.clone()], "{master:?}");
        ensure_full(rig, "shedding").await?;
        // Whoever plays it goes on, with other pictures.
        let shed = until("the lower rung's pictures", PATIENCE, async || {
            let media = playlist::media(&dear.url).await?;
            ensure!(media.map != own, "still its own");
            Ok(media)
        })
        .await?;
        ensure_whole(&shed)?;
        for variant in [dear, cheap] {
            ensure_moves(&variant.url, 3).await?;
        }
        let metrics = Metrics::fetch(&rig.origin_metrics()).await?;
        for name in [
            "inlet_origin_transcode_rungs_shed",
            "inlet_origin_transcode_rungs_shed_total",
        ] {
            ensure!(metrics.value(name)? == 1.0, "{name}");
        }
        drop(brake);
        publisher.stop().await?;
        until("the end of what is shed", PATIENCE, async || {
            let metrics = Metrics::fetch(&rig.origin_metrics()).await?;
            ensure!(metrics.value("inlet_origin_transcode_rungs_shed")? == 0.0);
            Ok(())
        })
        .await
    })
    .await;
}

/// Nothing is missing, and one break tells that the pictures are others.
fn ensure_whole(media: &Media) -> Result<()> {
    ensure!(media.segments.iter().all(|segment| !segment.is_gap));
    let breaks = media.segments.iter().filter(|it| it.is_discontinuity);
    ensure!(breaks.count() <= 1, "{media:?}");
    Ok(())
}

/// The live edge moves on by so many segments in about their time.
async fn ensure_moves(url: &reqwest::Url, segments: u64) -> Result<()> {
    let (first, _) = playlist::media(url).await?.edge();
    let begin = clock::now();
    until("the live edge", PATIENCE, async || {
        let (now, _) = playlist::media(url).await?.edge();
        ensure!(now >= first + segments, "{now}");
        Ok(())
    })
    .await?;
    let took = begin.elapsed();
    ensure!(
        took < Duration::from_secs(segments) + LATEST,
        "{url}: {took:?}"
    );
    Ok(())
}
