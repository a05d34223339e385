//! A microphone that falls silent: viewers hear silence at once, the picture goes on, and
//! both are together again when it speaks.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tests::{
    playlist,
    rig::{Rig, scenario},
    stage, viewer,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Seconds without a beep, of which there is one in each else.
const QUIET: f64 = 2.5;

#[tokio::test(flavor = "multi_thread")]
async fn a_microphone_may_fall_silent_and_come_back() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, playlist) = stage::on_air(rig, "muted").await?;
        let sound = playlist.audio.first().context("no sound")?;
        let before = playlist::media(sound).await?;
        let muting = async {
            publisher.set_muted(true);
            rig.warned(&stream, "no_audio", false).await?;
            publisher.set_muted(false);
            rig.warned(&stream, "no_audio", true).await
        };
        let (watched, ()) =
            viewer::watch_until(&stream.hls, muting, stage::AFTER, PATIENCE).await?;
        watched.ensure_smooth()?;
        let longest = longest_quiet(&watched.beeps).context("fewer than two beeps")?;
        ensure!(longest > QUIET, "beeps at {:?}", watched.beeps);

        let after = playlist::media(sound).await?;
        ensure!(after.edge() > before.edge(), "the sound stands still");
        let is_odd = |segment: &playlist::Segment| {
            segment.is_gap || segment.is_discontinuity || (segment.duration - 1.0).abs() > 0.05
        };
        // The first segment of a stream is as long as the grid leaves it.
        let mut since = after
            .segments
            .iter()
            .filter(|s| s.number >= before.edge().0);
        ensure!(!since.any(is_odd), "{after:?}");
        let watched = viewer::watch(&stream.hls, viewer::FOR_BEEPS, PATIENCE).await?;
        watched.ensure_together()?;
        publisher.stop().await
    })
    .await;
}

/// Longest time between two beeps.
fn longest_quiet(beeps: &[f64]) -> Option<f64> {
    let quiet = beeps.windows(2).map(|pair| pair[1] - pair[0]);
    quiet.max_by(f64::total_cmp)
}
