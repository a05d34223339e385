//! Presenters whose network leaves them one way: the edge takes them by it, says by
//! which they came, and what they send is played.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::{
    publisher::{Publisher, Tracks},
    rig::{Rig, Stream, TurnCredential, scenario, until},
    stage, viewer,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Presenters with sound alone, beside one that is played.
const OTHERS: usize = 3;

/// With two workers each datagram may come to one and be for the other: the kernel
/// chooses who relays, the edge who carries the session.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_relayed_is_played_whichever_worker_relays() {
    scenario(async |rig: &mut Rig| {
        let mut relay = rig.turn_credential("paths").await?;
        relay
            .urls
            .retain(|url| url.starts_with("turn:") && url.ends_with("udp"));
        ensure!(relay.urls.len() == 1, "{relay:?}");
        let (stream, publisher) = relayed(rig, "picture", Tracks::Both, &relay).await?;
        let mut others = Vec::new();
        for number in 0..OTHERS {
            let name = format!("sound {number}");
            others.push(relayed(rig, &name, Tracks::Audio, &relay).await?.1);
        }
        let playlist = stage::complete(&stream).await?;
        let variant = playlist.variants.first().context("no variant")?;
        let watched = viewer::watch(variant.url.as_str(), 60, PATIENCE).await?;
        watched.ensure_smooth()?;
        for publisher in others.into_iter().chain([publisher]) {
            publisher.stop().await?;
        }
        Ok(())
    })
    .await;
}

/// Goes live by the relay alone; returns when its media have come by it.
async fn relayed(
    rig: &Rig,
    name: &str,
    tracks: Tracks,
    relay: &TurnCredential,
) -> Result<(Stream, Publisher)> {
    let stream = rig.api.create(name).await?;
    let mut options = stage::options(&stream).with_size(640, 360);
    options.tracks = tracks;
    options.relay = Some(relay.clone());
    let publisher = Publisher::start(options)
        .await
        .with_context(|| name.to_owned())?;
    came_by(rig, &stream, "relay_udp").await?;
    Ok((stream, publisher))
}

/// Waits for a stream's first media, and checks by which path they come.
async fn came_by(rig: &Rig, stream: &Stream, path: &str) -> Result<()> {
    let events = until("media", PATIENCE, async || {
        let events = rig.events(stream).await?;
        let has_media = events.iter().any(|event| event["event"] == "rtp.first");
        ensure!(has_media, "none");
        Ok(events)
    })
    .await?;
    let paths: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "selected pair")
        .map(|event| event["data"]["path"].clone())
        .collect();
    ensure!(paths == [path], "{paths:?}");
    Ok(())
}
