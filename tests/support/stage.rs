//! Steps that several system tests begin with: a stream on air and playing.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::{
    playlist::{self, Multivariant},
    publisher::{Options, Publisher, Refused},
    rig::{Rig, Stream, until},
};

/// Size of the pictures in tests: two rungs, which two cores carry beside all else.
pub const SIZE: (u32, u32) = (854, 480);
/// Short sides of the rungs that [`SIZE`] gets.
pub const RUNGS: [u32; 2] = [468, 360];
/// Parts of a segment.
pub const PARTS: usize = 5;
/// How long playback may take to begin; the product's outer promise is 5 s.
pub const PLAYBACK: Duration = Duration::from_secs(10);

/// How long a presenter is looked at before its picture is the top rung.
const PASSES: Duration = Duration::from_secs(20);

/// The test picture in [`SIZE`] for this stream.
pub fn options(stream: &Stream) -> Options {
    let mut options = Options::new(&stream.whip).with_size(SIZE.0, SIZE.1);
    options.bitrate = 1_000_000;
    options
}

/// A new stream on air, and its playlist once every viewer can play it.
///
/// # Errors
///
/// When it cannot be published, or does not play in time.
pub async fn on_air(rig: &Rig, name: &str) -> Result<(Stream, Publisher, Multivariant)> {
    let stream = rig.api.create(name).await?;
    let publisher = Publisher::start(options(&stream)).await?;
    let playlist = complete(&stream).await?;
    Ok((stream, publisher, playlist))
}

/// A new stream whose presenter's picture of [`SIZE`] shall be the top rung.
///
/// # Errors
///
/// When the API refuses.
pub async fn passing(rig: &Rig, name: &str) -> Result<Stream> {
    let stream = rig.api.create(name).await?;
    let rungs =
        json!([{"height": SIZE.1, "bitrate": 1_000_000}, {"height": 360, "bitrate": 450_000}]);
    let fields = json!({"pass_through": true, "quality_set": {"rungs": rungs}});
    rig.api.patch(stream.id, fields).await
}

/// Waits until the presenter's picture is the top rung.
///
/// # Errors
///
/// When that is not in time, or will not be.
pub async fn passes(rig: &Rig, stream: &Stream) -> Result<()> {
    until("passing through", PASSES, async || {
        let object = rig.api.get(stream.id).await?;
        ensure!(object.passing.as_deref() == Some("passing"), "{object:?}");
        Ok(())
    })
    .await
}

/// Waits until every rendition has complete segments: FFmpeg knows no parts, and
/// a playlist without a segment is empty to it.
///
/// # Errors
///
/// When that takes longer than [`PLAYBACK`].
pub async fn complete(stream: &Stream) -> Result<Multivariant> {
    let playlist = playing(stream).await?;
    let variants = playlist.variants.iter().map(|variant| &variant.url);
    for url in variants.chain(&playlist.audio) {
        until("complete segments", PLAYBACK, async || {
            let media = playlist::media(url).await?;
            ensure!(
                media.segments.len() >= 2,
                "{url}: {} segments",
                media.segments.len()
            );
            Ok(())
        })
        .await?;
    }
    Ok(playlist)
}

/// Waits until every variant of the stream has a part.
///
/// # Errors
///
/// When that takes longer than [`PLAYBACK`].
pub async fn playing(stream: &Stream) -> Result<Multivariant> {
    until("playback", PLAYBACK, async || {
        let multivariant = playlist::multivariant(&stream.hls).await?;
        ensure!(!multivariant.variants.is_empty(), "no variant");
        for variant in &multivariant.variants {
            let media = playlist::media(&variant.url).await?;
            ensure!(
                media.open_parts + media.segments.len() > 0,
                "{}: empty",
                variant.url
            );
        }
        Ok(multivariant)
    })
    .await
}

/// The refusal that publishing met.
///
/// # Errors
///
/// When it was not refused, or failed in another way.
pub fn refusal(outcome: Result<Publisher>) -> Result<Refused> {
    let error = outcome.err().context("the edge took it")?;
    error.downcast::<Refused>().context("no refusal")
}
