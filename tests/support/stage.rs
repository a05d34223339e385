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

/// Frames that a viewer sees after something that was done to a stream: what it does has
/// come by then, and some seconds behind it.
pub const AFTER: usize = 120;

/// How long a presenter is looked at before its picture is the top rung.
const PASSES: Duration = Duration::from_secs(20);

/// Presenters that are tried for a picture that is passed through, on a busy machine: one
/// whose key frame is a third of a second late is encoded for the rest of its session.
pub const ATTEMPTS: usize = 3;
/// What else but a fault makes it so: what was held up is missing, late, and then all there
/// at once.
const DISTURBED: [&str; 3] = ["key_frames", "stall", "frame_rate"];

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

/// A stream whose presenter's picture is the top rung.
pub struct Passed {
    /// The stream.
    pub stream: Stream,
    /// Its presenter.
    pub publisher: Publisher,
    /// Process id of the worker that makes the other rungs.
    pub worker: i32,
}

impl Passed {
    /// A new stream on air that every viewer can play, once it is so.
    ///
    /// # Errors
    ///
    /// When it is not with any of some presenters.
    pub async fn on_air(rig: &Rig, name: &str) -> Result<Self> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            // The spare worker is the one that the next stream gets.
            let worker = until("a spare worker", PASSES, async || {
                let workers = rig.origin.children()?;
                ensure!(workers.len() == 1, "workers {workers:?}");
                Ok(workers[0])
            })
            .await?;
            let stream = passing(rig, name).await?;
            let publisher = Publisher::start(options(&stream)).await?;
            complete(&stream).await?;
            let passed = Self {
                stream,
                publisher,
                worker,
            };
            match passes(rig, &passed.stream).await {
                Ok(()) => return Ok(passed),
                Err(error) => passed.forgive(rig, error, attempts).await?,
            }
        }
    }

    /// Does `test` with such a stream; with another one when it failed and a busy machine
    /// had the picture encoded.
    ///
    /// # Errors
    ///
    /// What the test had to complain of.
    pub async fn with(
        rig: &Rig,
        name: &str,
        test: impl AsyncFn(&Rig, &Self) -> Result<()>,
    ) -> Result<()> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let passed = Self::on_air(rig, name).await?;
            match test(rig, &passed).await {
                Ok(()) => return passed.publisher.stop().await,
                Err(error) => passed.forgive(rig, error, attempts).await?,
            }
        }
    }

    /// Ends it; with the error, unless a busy machine was the reason and another may be
    /// tried.
    async fn forgive(self, rig: &Rig, error: anyhow::Error, attempts: usize) -> Result<()> {
        let skipped = self.publisher.stats().skipped;
        let object = rig.api.get(self.stream.id).await?;
        let reason = object.not_passing.as_deref();
        let is_disturbed = skipped > 0 || reason.is_some_and(|it| DISTURBED.contains(&it));
        if !is_disturbed || attempts == ATTEMPTS {
            return Err(error.context(format!("{skipped} frames skipped, encoded for {reason:?}")));
        }
        self.publisher.stop().await?;
        rig.api.delete(self.stream.id).await
    }
}

/// Waits until the presenter's picture is the top rung.
///
/// # Errors
///
/// When that is not in time, or will not be.
pub async fn passes(rig: &Rig, stream: &Stream) -> Result<()> {
    let object = until("passing through", PASSES, async || {
        let object = rig.api.get(stream.id).await?;
        let is_settled = matches!(object.passing.as_deref(), Some("passing" | "encoded"));
        ensure!(is_settled, "{object:?}");
        Ok(object)
    })
    .await?;
    ensure!(object.passing.as_deref() == Some("passing"), "{object:?}");
    Ok(())
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
