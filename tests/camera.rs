//! A camera that is turned, exchanged, unplugged, late or not there at all: the
//! session and the playlist go on each time, and viewers see it upright.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Url;
use tests::{
    playlist::{self, Multivariant},
    publisher::{Camera, Publisher, Tracks},
    rig::{Rig, Stream, scenario, until},
    stage,
    viewer::{self, Watched},
};

/// A canvas of one rung: what is turned is turned by an unoptimised publisher.
const LYING: (u32, u32) = (640, 360);
const STANDING: (u32, u32) = (360, 640);
const PATIENCE: Duration = Duration::from_secs(30);
/// Frames that each state of the camera lasts: a second and a half.
const LASTING: u64 = 45;
/// Frames of a run in which a busy machine may lose the strip: where the picture
/// changes, the encoder is short of bits.
const UNREADABLE: usize = 20;
/// Milliseconds that the picture may stand still where a camera is turned: an encoder is
/// opened, and a busy machine takes its time.
const STILL: i64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_turned_is_seen_upright() {
    scenario(async |rig: &mut Rig| {
        let (_, publisher, variant) = on_air(rig, "turned").await?;
        let turning = async {
            let first = Camera::new(LYING);
            for (size, quarter_turns) in [
                (LYING, 2),
                (LYING, 1),
                (LYING, 3),
                (STANDING, 1),
                (STANDING, 3),
                (LYING, 0),
            ] {
                lasts(&publisher, LASTING).await?;
                publisher.set_camera(Camera {
                    size,
                    quarter_turns,
                    ..first
                })?;
            }
            Ok(())
        };
        let watched = same_playlist(&variant, turning).await?;
        ensure_running(&watched, STILL)?;
        let standing = watched.frames.iter().filter(|seen| seen.is_pillarboxed);
        let standing = standing.count();
        ensure!(standing > 60, "{standing} frames stood upright");
        ensure!(
            watched
                .frames
                .last()
                .is_some_and(|seen| !seen.is_pillarboxed),
            "it is still upright"
        );
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_camera_goes_on_in_the_same_playlist() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, variant) = on_air(rig, "exchanged").await?;
        let first = publisher.camera();
        let exchanging = async {
            lasts(&publisher, LASTING).await?;
            // As `replaceTrack` does it: the same source, half the rate.
            publisher.set_camera(Camera {
                size: (426, 240),
                every: 2,
                ..first
            })?;
            lasts(&publisher, LASTING).await?;
            // As others do: a source that nobody announced, which begins at once.
            publisher.set_camera(Camera {
                size: (320, 180),
                every: 2,
                source: 1,
                ..first
            })?;
            lasts(&publisher, LASTING).await?;
            publisher.set_camera(Camera { source: 2, ..first })
        };
        let watched = same_playlist(&variant, exchanging).await?;
        // A source that comes without the other's end is believed after a second.
        ensure_running(&watched, 2_000)?;

        let watched = viewer::watch(&stream.hls, viewer::FOR_BEEPS, PATIENCE).await?;
        watched.ensure_smooth()?;
        watched.ensure_together()?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_may_fall_silent_and_come_back() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, variant) = on_air(rig, "silent").await?;
        let first = publisher.camera();
        let before = playlist::media(&variant).await?;
        let unplugging = async {
            lasts(&publisher, LASTING).await?;
            publisher.set_camera(Camera {
                is_dark: true,
                ..first
            })?;
            // Longer than a dead session may last: the sound says that it lives.
            rig.warned(&stream, "no_video", false).await?;
            publisher.set_camera(first)?;
            rig.warned(&stream, "no_video", true).await
        };
        let (watched, ()) =
            viewer::watch_until(&stream.hls, unplugging, stage::AFTER, PATIENCE).await?;
        let gap = watched.largest_readable_gap()?;
        ensure!(gap > 1_000, "the camera was away for {gap} ms only");
        ensure_unbroken(&before, &variant).await?;
        ensure!(watched.beeps.len() >= 8, "beeps at {:?}", watched.beeps);
        // A viewer begins three segments behind: those are to have pictures too.
        lasts(&publisher, 4 * 30).await?;
        let watched = viewer::watch(&stream.hls, viewer::FOR_BEEPS, PATIENCE).await?;
        watched.ensure_smooth()?;
        watched.ensure_together()?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_late_is_seen_when_it_comes() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("late").await?;
        let mut options = stage::options(&stream).with_size(LYING.0, LYING.1);
        options.begins_dark = true;
        let publisher = Publisher::start(options).await?;
        let playlist = stage::complete(&stream).await?;
        let variant = only(&playlist)?;
        let black = viewer::watch(variant.as_str(), 30, PATIENCE).await?;
        ensure!(
            black
                .frames
                .iter()
                .all(|seen| seen.size == LYING && seen.reading.is_none())
        );
        publisher.set_camera(Camera::new(LYING))?;
        let watched = until("a smooth picture", PATIENCE, async || {
            let watched = viewer::watch(&stream.hls, viewer::FOR_BEEPS, PATIENCE).await?;
            watched.ensure_smooth()?;
            Ok(watched)
        })
        .await?;
        watched.ensure_together()?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_alone_is_played_on_black() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, variant) = with_tracks(rig, "sound alone", Tracks::Audio).await?;
        let watched = viewer::watch(variant.as_str(), 120, PATIENCE).await?;
        ensure!(
            watched.frames.iter().all(|seen| seen.reading.is_none()),
            "what picture is this?"
        );
        let watched = viewer::watch(&stream.hls, 120, PATIENCE).await?;
        ensure!(watched.beeps.len() >= 2, "beeps at {:?}", watched.beeps);
        rig.warned(&stream, "no_video", false).await?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_alone_is_played_with_silence() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, variant) = with_tracks(rig, "picture alone", Tracks::Video).await?;
        let watched = viewer::watch(variant.as_str(), 90, PATIENCE).await?;
        watched.ensure_smooth()?;
        let streams = viewer::probe(&stream.hls, PATIENCE).await?;
        let sound = streams
            .iter()
            .filter(|stream| stream["codec_type"] == "audio");
        ensure!(sound.count() == 1, "{streams:?}");
        let watched = viewer::watch(&stream.hls, 90, PATIENCE).await?;
        ensure!(watched.beeps.is_empty(), "beeps at {:?}", watched.beeps);
        rig.warned(&stream, "no_audio", false).await?;
        publisher.stop().await
    })
    .await;
}

/// A new stream of one rung on air, and that rung's playlist.
async fn on_air(rig: &Rig, name: &str) -> Result<(Stream, Publisher, Url)> {
    with_tracks(rig, name, Tracks::Both).await
}

async fn with_tracks(rig: &Rig, name: &str, tracks: Tracks) -> Result<(Stream, Publisher, Url)> {
    let stream = rig.api.create(name).await?;
    let mut options = stage::options(&stream).with_size(LYING.0, LYING.1);
    options.tracks = tracks;
    let publisher = Publisher::start(options).await?;
    let playlist = stage::complete(&stream).await?;
    ensure!(playlist.audio.len() == 1, "{playlist:?}");
    let variant = only(&playlist)?;
    Ok((stream, publisher, variant))
}

fn only(playlist: &Multivariant) -> Result<Url> {
    ensure!(playlist.variants.len() == 1, "{playlist:?}");
    let variant = playlist.variants.first().context("no variant")?;
    ensure!(variant.resolution == LYING, "{variant:?}");
    Ok(variant.url.clone())
}

/// Waits until so many frames of the schedule have been taken.
async fn lasts(publisher: &Publisher, frames: u64) -> Result<()> {
    let frames = frames / publisher.camera().every;
    let before = publisher.stats().frames;
    until("frames", PATIENCE, async || {
        let sent = publisher.stats().frames - before;
        ensure!(sent >= frames, "{sent} frames");
        Ok(())
    })
    .await
}

/// Watches over a script, and checks that the playlist went on as it was: the same canvas,
/// the same init segment, no discontinuity.
async fn same_playlist(variant: &Url, script: impl Future<Output = Result<()>>) -> Result<Watched> {
    let before = playlist::media(variant).await?;
    let (watched, ()) =
        viewer::watch_until(variant.as_str(), script, stage::AFTER, PATIENCE).await?;
    ensure!(watched.frames.iter().all(|seen| seen.size == LYING));
    ensure_unbroken(&before, variant).await?;
    Ok(watched)
}

/// Checks that a playlist goes on as it was before.
async fn ensure_unbroken(before: &playlist::Media, variant: &Url) -> Result<()> {
    let after = playlist::media(variant).await?;
    ensure!(after.edge() > before.edge(), "it stands still");
    ensure!(after.map == before.map, "a new init segment");
    let broken = |segment: &playlist::Segment| segment.is_discontinuity || segment.is_gap;
    let mut since = after
        .segments
        .iter()
        .filter(|s| s.number >= before.edge().0);
    ensure!(!since.any(broken), "{after:?}");
    Ok(())
}

/// Checks that hardly a frame is without a picture, and that none stands for long.
fn ensure_running(watched: &Watched, still: i64) -> Result<()> {
    let mut readable = watched.clone();
    readable.frames.retain(|seen| seen.reading.is_some());
    let lost = watched.frames.len() - readable.frames.len();
    ensure!(lost <= UNREADABLE, "{lost} frames cannot be read");
    let gap = readable.largest_gap()?;
    ensure!(gap < still, "the picture stood still for {gap} ms");
    Ok(())
}
