//! A picture that begins small and grows: whoever watches goes on, whoever comes gets the
//! larger one.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tests::{
    playlist,
    publisher::Publisher,
    rig::{Rig, scenario, until},
    stage, viewer,
};

const PATIENCE: Duration = Duration::from_secs(40);

/// What was on its way in the former worker, in milliseconds, and what a busy machine adds.
const LARGEST_GAP: i64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_grows_in_its_first_seconds_grows_the_ladder() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("grows").await?;
        let mut options = stage::options(&stream).with_size(480, 270);
        options.announce = false;
        let publisher = Publisher::start(options).await?;
        let playlist = stage::complete(&stream).await?;
        ensure!(playlist.variants.len() == 1, "{playlist:?}");
        let small = playlist.variants.first().context("no variant")?;

        // From before the change until after it, on the rung that there was.
        let growing = async {
            publisher.set_size(stage::SIZE.0, stage::SIZE.1);
            until("the larger rungs", PATIENCE, async || {
                let playlist = stage::playing(&stream).await?;
                let sides: Vec<_> = playlist.variants.iter().map(|it| it.resolution).collect();
                ensure!(sides == [(832, 468), (640, 360), (480, 270)], "{sides:?}");
                Ok(playlist)
            })
            .await
        };
        let url = small.url.as_str();
        let (watched, playlist) = viewer::watch_until(url, growing, stage::AFTER, PATIENCE).await?;
        let gap = watched.largest_readable_gap()?;
        ensure!(gap <= LARGEST_GAP, "{gap} ms are missing at the change");
        ensure!(watched.frames.iter().all(|seen| seen.size == (480, 270)));

        let media = playlist::media(&small.url).await?;
        let breaks = media.segments.iter().filter(|it| it.is_discontinuity);
        ensure!(breaks.count() == 1, "{media:?}");
        ensure!(media.segments.iter().all(|it| !it.is_gap), "{media:?}");
        stage::complete(&stream).await?;
        for variant in &playlist.variants {
            let watched = viewer::watch(variant.url.as_str(), 60, PATIENCE).await?;
            watched.ensure_smooth()?;
        }
        let watched = viewer::watch(&stream.hls, viewer::FOR_BEEPS, PATIENCE).await?;
        watched.ensure_together()?;
        let object = rig.api.get(stream.id).await?;
        ensure!(
            object.transcoded_qualities == ["468p", "360p", "270p"],
            "{object:?}"
        );

        // What viewers have before them outlives the origin, the smallest rung too.
        rig.crash_origin().await?;
        until("every rung on the new origin", PATIENCE, async || {
            for variant in &playlist.variants {
                let media = playlist::media(&variant.url).await?;
                ensure!(!media.segments.is_empty(), "{media:?}");
            }
            Ok(())
        })
        .await?;
        let after = stage::complete(&stream).await?;
        ensure!(after.variants.len() == playlist.variants.len(), "{after:?}");
        for (before, after) in playlist.variants.iter().zip(&after.variants) {
            ensure!(before.url == after.url && before.resolution == after.resolution);
        }
        publisher.stop().await
    })
    .await;
}
