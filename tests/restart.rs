//! What dies comes back, in the same playlist, and alone.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use inlet_common::clock;
use tests::{
    playlist::{self, Multivariant, Variant},
    publisher::Publisher,
    rig::{self, Rig, Stream, scenario, until},
    stage::{self, RUNGS},
    viewer,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Milliseconds that a stream whose worker was killed may be away: promised are two
/// seconds, and a busy machine gets three times that.
const LONGEST_AWAY: i64 = 6_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_replaced_and_another_stream_does_not_notice() {
    scenario(async |rig: &mut Rig| {
        // The worker that waits now is the one that the next stream gets.
        let spare = until("a spare worker", PATIENCE, async || {
            let workers = rig.origin.children()?;
            ensure!(workers.len() == 1, "workers {workers:?}");
            Ok(workers[0])
        })
        .await?;
        let (_, victim, of_victim) = stage::on_air(rig, "victim").await?;
        let (_, bystander, of_bystander) = stage::on_air(rig, "bystander").await?;
        let lowest = |variants: &[Variant]| variants.last().map(|variant| variant.url.clone());
        let victims = lowest(&of_victim.variants).context("no variant")?;
        let bystanders = lowest(&of_bystander.variants).context("no variant")?;

        let killing = async {
            let before = playlist::media(&victims).await?;
            rig.kill_worker(spare)?;
            let killed = clock::now();
            let resumed = until("a segment after the kill", PATIENCE, async || {
                let media = playlist::media(&victims).await?;
                ensure!(
                    media
                        .segments
                        .iter()
                        .any(|s| s.number > before.edge().0 && !s.is_gap)
                );
                Ok(media)
            })
            .await?;
            ensure!(resumed.sequence >= before.sequence, "numbers went back");
            ensure!(!resumed.has_ended, "the playlist ended");
            Ok(clock::now().duration_since(killed))
        };
        let watching = viewer::watch_until(victims.as_str(), killing, stage::AFTER, PATIENCE);
        // The other one is watched for as long.
        let (seen_bystander, (seen_victim, _)) =
            viewer::watch_until(bystanders.as_str(), watching, 0, PATIENCE).await?;
        let gap = seen_victim.largest_readable_gap()?;
        ensure!(gap > 34, "the kill left no trace: was it the right worker?");
        ensure!(gap <= LONGEST_AWAY, "the stream was away for {gap} ms");
        seen_bystander
            .ensure_smooth()
            .context("the other stream noticed")?;
        ensure!(
            !rig.origin.children()?.contains(&spare),
            "the killed worker still runs"
        );
        victim.stop().await?;
        bystander.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_returns_picks_its_presenters_up() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, playlist) = stage::on_air(rig, "origin").await?;
        let variant = playlist.variants.first().context("no variant")?.url.clone();
        let before = playlist::media(&variant).await?;
        rig.crash_origin().await?;
        let back = clock::now();
        let after = until("playback on the new origin", PATIENCE, async || {
            let media = playlist::media(&variant).await?;
            ensure!(media.open_parts + media.segments.len() > 0, "empty");
            Ok(media)
        })
        .await?;
        // Edges hear at once that their connections are gone; without a word they
        // would wait for 8 s.
        let away = clock::now().duration_since(back);
        ensure!(away < Duration::from_secs(5), "it took {away:?}");
        ensure!(after.edge() > before.edge(), "numbers went back: {after:?}");
        let first = after.segments.first();
        ensure!(
            first.is_none_or(|segment| segment.is_discontinuity),
            "players take it for the next segment: {after:?}"
        );
        ensure!(
            after.discontinuity_sequence > before.discontinuity_sequence,
            "discontinuities went back: {after:?}"
        );
        stage::complete(&stream).await?;
        let watched = viewer::watch(variant.as_str(), 60, PATIENCE).await?;
        watched.ensure_smooth()?;
        ensure!(rig.api.get(stream.id).await?.live);
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_returns_keeps_the_ladder_whatever_size_the_picture_has_now() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("shrunk").await?;
        let mut options = stage::options(&stream);
        options.announce = false;
        let publisher = Publisher::start(options).await?;
        let before = stage::complete(&stream).await?;
        let sizes = |playlist: &Multivariant| -> Vec<_> {
            playlist.variants.iter().map(|it| it.resolution).collect()
        };
        ensure!(before.variants.len() == RUNGS.len(), "{before:?}");
        publisher.set_size(426, 240);
        rig.crash_origin().await?;
        rig.link_up().await?;
        let after = until("playback on the new origin", PATIENCE, async || {
            stage::playing(&stream).await
        })
        .await?;
        ensure!(sizes(&after) == sizes(&before), "{after:?}");
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presenter_who_vanished_does_not_block_its_own_return() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("ghost").await?;
        let mut ghost = vanishing_publisher(&stream)?;
        stage::playing(&stream).await?;
        ghost.kill().await?;
        let publisher = return_of(&stream).await?;
        stage::playing(&stream).await?;
        publisher.stop().await
    })
    .await;
}

/// Tries once a second, as a page does: a quicker client would be rate limited.
///
/// The path is free after 3 s without authenticated media.
async fn return_of(stream: &Stream) -> Result<Publisher> {
    let mut attempts = tokio::time::interval(Duration::from_secs(1));
    let mut last = None;
    for _ in 0..5 {
        attempts.tick().await;
        match Publisher::start(stage::options(stream)).await {
            Ok(publisher) => return Ok(publisher),
            Err(error) => last = Some(error),
        }
    }
    Err(last
        .context("no attempt")?
        .context("its own ghost blocks the path"))
}

/// A publisher in a process of its own, which can die without a word.
fn vanishing_publisher(stream: &Stream) -> Result<tokio::process::Child> {
    let program = rig::program("publisher")?;
    let size = format!("{}x{}", stage::SIZE.0, stage::SIZE.1);
    tokio::process::Command::new(&program)
        .args([
            "--whip",
            &stream.whip,
            "--size",
            &size,
            "--bitrate",
            "1000000",
        ])
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}: run `make build`", program.display()))
}
