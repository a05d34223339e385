//! When a presenter is asked for key frames: at once when it can send, again while
//! none comes, and never in a hurry.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::{
    publisher::{Camera, Publisher},
    rig::{Rig, scenario, until},
    stage, viewer,
};

const SIZE: (u32, u32) = (640, 360);
const PATIENCE: Duration = Duration::from_secs(30);
/// Least time between two requests.
const INTERVAL: Duration = Duration::from_millis(500);
/// How much later than others a request may arrive on a busy machine.
const JITTER: Duration = Duration::from_millis(450);
/// Requests that a presenter is given the time for that does not answer them.
const UNANSWERED: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_frame_is_asked_for_as_soon_as_dtls_is_up() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("at once").await?;
        let mut options = stage::options(&stream).with_size(SIZE.0, SIZE.1);
        options.begins_dark = true;
        let publisher = Publisher::start(options).await?;
        // The crate drops what comes in one breath with the end of DTLS, so the edge
        // is asked what it sent; what is sent is tried beside the session's code.
        let asked = until("a look at the session", PATIENCE, async || {
            let events = rig.events(&stream).await?;
            let mut looks = events.iter().filter(|event| event["event"] == "rtp");
            let look = looks.next().context("none")?;
            look["data"]["keyframe_requests"]
                .as_u64()
                .context("no count")
        })
        .await?;
        ensure!(publisher.stats().frames == 0, "the picture came before it");
        ensure!(asked == 1, "asked {asked} times");
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn key_frames_are_asked_for_at_most_twice_a_second() {
    scenario(async |rig: &mut Rig| {
        // The spare worker is the one that the first stream gets.
        let worker = until("a spare worker", PATIENCE, async || {
            let workers = rig.origin.children()?;
            ensure!(workers.len() == 1, "workers {workers:?}");
            Ok(workers[0])
        })
        .await?;
        let stream = rig.api.create("paced").await?;
        let options = stage::options(&stream).with_size(SIZE.0, SIZE.1);
        let publisher = Publisher::start(options).await?;
        let playlist = stage::complete(&stream).await?;
        let first = Camera {
            is_deaf: true,
            ..publisher.camera()
        };
        publisher.set_camera(first)?;
        rig.kill_worker(worker)?;
        // Each new source is a reason of the edge's own, beside the origin's.
        for number in 1..4 {
            let before = publisher.key_requests().len();
            asked(&publisher, before + UNANSWERED / 3).await?;
            publisher.set_camera(Camera {
                source: number,
                ..first
            })?;
        }
        asked(&publisher, UNANSWERED).await?;
        ensure_paced(&publisher.key_requests())?;

        publisher.set_camera(Camera {
            is_deaf: false,
            ..publisher.camera()
        })?;
        let variant = playlist.variants.first().context("no variant")?;
        until("a smooth picture", PATIENCE, async || {
            let watched = viewer::watch(variant.url.as_str(), 60, PATIENCE).await?;
            watched.ensure_smooth()
        })
        .await?;
        ensure_paced(&publisher.key_requests())?;
        publisher.stop().await
    })
    .await;
}

async fn asked(publisher: &Publisher, times: usize) -> Result<()> {
    until("requests", PATIENCE, async || {
        let requests = publisher.key_requests().len();
        ensure!(requests >= times, "{requests} of {times}");
        Ok(())
    })
    .await
}

/// However many lie between two of them, they took their time.
fn ensure_paced(requests: &[Duration]) -> Result<()> {
    ensure!(!requests.is_empty(), "none");
    for (index, first) in requests.iter().enumerate() {
        for (between, later) in (1_u32..).zip(&requests[index + 1..]) {
            ensure!(
                *later - *first + JITTER >= INTERVAL * between,
                "{requests:?}"
            );
        }
    }
    Ok(())
}
