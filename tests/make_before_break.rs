//! A presenter who moves to another session, here or at another edge, without a gap.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;
use tests::{
    playlist::{self, Multivariant},
    publisher::{Options, Publisher},
    rig::{Rig, SecondEdge, Stream, scenario, until},
    stage, viewer,
};

const PATIENCE: Duration = Duration::from_secs(40);

/// Longest that the picture may stand still in a move, in milliseconds: several
/// frames are repeated where the new way is longer than the old one, and a busy machine
/// adds to it.
const MAX_GAP: i64 = 1_000;

/// A presenter of the same stream at `whip`, in the place of whose secret this is.
fn in_place_of(stream: &Stream, whip: &str, secret: &str) -> Options {
    let mut options = stage::options(stream);
    options.whip = format!("{whip}?replace={secret}");
    options
}

fn secret(publisher: &Publisher) -> Result<String> {
    let secret = publisher.session_url().rsplit('/').next();
    Ok(secret.context("a session without a secret")?.to_owned())
}

async fn ensure_taken(options: Options) -> Result<()> {
    let refused = stage::refusal(Publisher::start(options).await)?;
    let found = (refused.status, refused.reason);
    ensure!(found == (400, Some(2003)), "{refused}");
    Ok(())
}

/// Watches while the presenter moves; returns who goes on.
async fn moved(
    mut former: Publisher,
    playlist: &Multivariant,
    options: Options,
) -> Result<Publisher> {
    let events = format!("{}/events", former.session_url());
    // Its headers are there when it listens.
    let listening = Client::new().get(events).send().await?;
    let told = async { Ok(listening.text().await?) };
    let url = playlist.variants.first().context("no variant")?.url.clone();
    // It begins with the number of the first segment.
    let passed = playlist::media(&url).await?.discontinuity_sequence;
    let moving = async { tokio::try_join!(Publisher::start(options), told) };
    let (watched, (publisher, told)) =
        viewer::watch_until(url.as_str(), moving, stage::AFTER, PATIENCE).await?;
    let lost = tokio::time::timeout(PATIENCE, former.lost()).await;
    lost.context("the former session goes on")?;
    ensure!(told.contains("\"reason\":\"replaced\""), "{told}");
    let gap = watched.largest_readable_gap()?;
    ensure!(gap <= MAX_GAP, "the picture stood still for {gap} ms");
    let read: Vec<_> = watched.frames.iter().filter_map(|it| it.reading).collect();
    let has_moved = read
        .windows(2)
        .any(|pair| pair[1].counter < pair[0].counter);
    ensure!(has_moved, "the new presenter's picture was never seen");
    let media = playlist::media(&url).await?;
    let breaks = media.segments.iter().filter(|it| it.is_discontinuity);
    ensure!(breaks.count() == 0 && media.discontinuity_sequence == passed);
    Ok(publisher)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presenter_moves_to_another_edge_without_a_gap() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, playlist) = stage::on_air(rig, "moves").await?;
        let second = SecondEdge::start(rig).await?;
        let whip = second.whip(&stream)?;
        let before = rig.api.get(stream.id).await?;

        // Two edges, one publisher.
        let mut options = stage::options(&stream);
        options.whip.clone_from(&whip);
        ensure_taken(options).await?;
        let wrong = "0123456789abcdef0123456789abcdef";
        ensure_taken(in_place_of(&stream, &whip, wrong)).await?;
        ensure_taken(in_place_of(&stream, &whip, "no-secret")).await?;

        let options = in_place_of(&stream, &whip, &secret(&publisher)?);
        let publisher = moved(publisher, &playlist, options).await?;
        until("the new region", PATIENCE, async || {
            let stream = rig.api.get(stream.id).await?;
            ensure!(stream.live && stream.region.as_deref() == Some("second"));
            ensure!(stream.started_at == before.started_at, "began anew");
            Ok(())
        })
        .await?;

        // And back, where a newcomer is no more welcome than before.
        ensure_taken(stage::options(&stream)).await?;
        let options = in_place_of(&stream, &stream.whip, &secret(&publisher)?);
        let publisher = moved(publisher, &playlist, options).await?;
        second.stop().await?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_goes_on_when_the_former_leaves_first() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, playlist) = stage::on_air(rig, "leaves").await?;
        let options = in_place_of(&stream, &stream.whip, &secret(&publisher)?);
        let (next, left) = tokio::join!(Publisher::start(options), publisher.stop());
        let next = next?;
        // It may have been replaced before it left.
        left.ok();
        let url = playlist.variants.first().context("no variant")?.url.clone();
        let (segment, _) = playlist::media(&url).await?.edge();
        until("playback by the successor", PATIENCE, async || {
            let media = playlist::media(&url).await?;
            ensure!(media.edge().0 > segment + 2, "at {:?}", media.edge());
            Ok(())
        })
        .await?;
        next.stop().await
    })
    .await;
}
