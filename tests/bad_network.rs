//! A presenter behind a bad network: the stream stays decodable, what is seen of it
//! is counted, and it is good again soon after the network is.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use inlet_common::clock;
use tests::{
    impairment::{Impairment, Weather},
    publisher::{Publisher, Via},
    rig::{Metrics, Rig, Stream, scenario, until},
    stage, viewer,
};

/// A presenter far away on a bad mobile network.
const BAD: Weather = Weather {
    round_trip: Duration::from_millis(150),
    jitter: Duration::from_millis(30),
    loss: 0.05,
};
const GOOD: Weather = Weather {
    round_trip: Duration::from_millis(150),
    jitter: Duration::ZERO,
    loss: 0.0,
};
/// Near, and losing packets.
const LOSSY: Weather = Weather {
    round_trip: Duration::from_millis(20),
    jitter: Duration::ZERO,
    loss: 0.03,
};
/// Promised are five seconds; a busy machine gets three times as long.
const RECOVERY: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);
const SEED: u64 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_network_leaves_the_stream_decodable_and_it_recovers() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("bad network").await?;
        let relay = Relay::default();
        let mut options = stage::options(&stream);
        options.via = Some(through(&relay, BAD));
        let publisher = Publisher::start(options).await?;
        let playlist = stage::complete(&stream).await?;
        let variant = playlist.variants.first().context("no variant")?.url.clone();

        let watched = viewer::watch(variant.as_str(), 300, PATIENCE).await?;
        let readable = watched.frames.iter().filter(|seen| seen.reading.is_some());
        let readable = readable.count();
        ensure!(readable > 270, "{readable} of 300 frames can be read");
        let stats = publisher.stats();
        ensure!(stats.nacked > 20, "nothing was lost: {stats:?}");
        darken(rig, &relay).await?;
        recover(&relay, &stream, &variant).await?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_come_again_without_rtx_too() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("as OBS").await?;
        let relay = Relay::default();
        let mut options = stage::options(&stream);
        options.has_rtx = false;
        options.via = Some(through(&relay, LOSSY));
        let publisher = Publisher::start(options).await?;
        let playlist = stage::complete(&stream).await?;
        let variant = playlist.variants.first().context("no variant")?;
        let watched = viewer::watch(variant.url.as_str(), 240, PATIENCE).await?;
        watched.ensure_smooth()?;
        let stats = publisher.stats();
        ensure!(stats.nacked > 8, "nothing was asked for again: {stats:?}");
        let metrics = Metrics::fetch(&rig.edge_metrics()).await?;
        let lost = metrics.sum("inlet_edge_rtp_lost_packets_total", &[]);
        ensure!(
            lost < stats.nacked as f64,
            "{lost} packets stay lost: {stats:?}"
        );
        publisher.stop().await
    })
    .await;
}

/// What stands in the presenter's way, once it is there.
type Relay = Arc<Mutex<Option<Impairment>>>;

/// A way through such weather, which is kept in `relay`.
fn through(relay: &Relay, weather: Weather) -> Via {
    let kept = Arc::clone(relay);
    Via::new(move |edge| {
        let kept = Arc::clone(&kept);
        Box::pin(async move {
            let impairment = Impairment::start(edge, weather, SEED).await?;
            let address = impairment.address();
            *kept.lock().map_err(|_| anyhow::anyhow!("poisoned"))? = Some(impairment);
            Ok(address)
        })
    })
}

/// A second without anything, which is seen and counted.
async fn darken(rig: &Rig, relay: &Relay) -> Result<()> {
    set(relay, Weather { loss: 1.0, ..BAD })?;
    let dark = clock::now();
    until("a second of darkness", PATIENCE, async || {
        let span = clock::now().duration_since(dark);
        ensure!(span > Duration::from_secs(1), "not yet");
        Ok(())
    })
    .await?;
    set(relay, BAD)?;
    until("the freeze to be counted", PATIENCE, async || {
        let metrics = Metrics::fetch(&rig.edge_metrics()).await?;
        let frozen = metrics.value("inlet_edge_frozen_seconds_sum")?;
        let freezes = metrics.value("inlet_edge_freezes_total")?;
        ensure!(freezes >= 1.0 && frozen > 0.5, "{freezes}, {frozen} s");
        Ok(())
    })
    .await
}

/// The network is good again; so is the picture, soon, and its sound is with it.
async fn recover(relay: &Relay, stream: &Stream, variant: &reqwest::Url) -> Result<()> {
    set(relay, GOOD)?;
    let cleared = clock::now();
    until("a smooth picture", RECOVERY + PATIENCE, async || {
        let watched = viewer::watch(variant.as_str(), 60, PATIENCE).await?;
        watched.ensure_smooth()
    })
    .await?;
    let took = clock::now().duration_since(cleared);
    ensure!(took < RECOVERY, "it took {took:?} to recover");
    // A beep each second, of which the first may lie before and be lost.
    let watched = viewer::watch(&stream.hls, 240, PATIENCE).await?;
    watched.ensure_together()
}

fn set(relay: &Relay, weather: Weather) -> Result<()> {
    let relay = relay.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
    relay.as_ref().context("no relay")?.set(weather);
    Ok(())
}
