//! The whole path with the real binaries: WHIP in, LL-HLS, LL-DASH and HLS MPEG-TS out.
//!
//! The presenter is the `webrtc` crate, the viewer FFmpeg; the strip in each
//! frame says whether what comes out is what went in.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Url;
use serde_json::json;
use tests::{
    playlist::{self, Multivariant, Variant},
    publisher::{Codec, Publisher},
    rig::{Rig, scenario, until},
    stage::{self, RUNGS, SIZE},
    strip, viewer,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Milliseconds that the picture may stand still where it gets another size: an encoder
/// is opened, and a busy machine takes its time.
const LONGEST_STILL: i64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_presenter_is_played_on_every_rung() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, playlist) = stage::on_air(rig, "every rung").await?;
        ensure_rungs(&playlist)?;
        for variant in &playlist.variants {
            let watched = viewer::watch(variant.url.as_str(), 90, PATIENCE).await?;
            ensure!(
                watched
                    .frames
                    .iter()
                    .all(|seen| seen.size == variant.resolution)
            );
            watched
                .ensure_smooth()
                .with_context(|| variant.url.to_string())?;
        }
        let object = rig.api.get(stream.id).await?;
        ensure!(object.live, "the API says that nobody is live");
        ensure!(
            object.transcoded_qualities.len() == RUNGS.len(),
            "{object:?}"
        );
        let stats = publisher.stats();
        ensure!(
            stats.reports > 0,
            "no receiver report reached the presenter: {stats:?}"
        );
        ensure!(stats.transport_cc > 0, "no congestion feedback: {stats:?}");
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffprobe_understands_every_manifest() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, _) = stage::on_air(rig, "manifests").await?;
        for manifest in [&stream.hls, &stream.dash, &stream.transport] {
            let streams = viewer::probe(manifest, PATIENCE).await?;
            let codecs = |kind: &str| {
                let of_kind = streams.iter().filter(|stream| stream["codec_type"] == kind);
                of_kind
                    .map(|stream| stream["codec_name"].clone())
                    .collect::<Vec<_>>()
            };
            ensure!(
                codecs("video") == ["h264"; RUNGS.len()],
                "{manifest}: {streams:?}"
            );
            ensure!(
                codecs("audio").first() == Some(&"aac".into()),
                "{manifest}: {streams:?}"
            );
        }
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gets_the_rungs_the_rate_and_the_parts_that_it_asks_for() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("asked for").await?;
        let rungs = json!([
            {"height": 240, "bitrate": 250_000},
            {"height": 144, "bitrate": 120_000},
        ]);
        let set = json!({"rungs": rungs, "fps": 25, "part_ms": 330});
        rig.api
            .patch(stream.id, json!({ "quality_set": set }))
            .await?;
        let publisher = Publisher::start(stage::options(&stream)).await?;
        let playlist = stage::complete(&stream).await?;
        let sides: Vec<_> = playlist.variants.iter().map(|it| it.resolution.1).collect();
        ensure!(sides == [240, 144], "{sides:?}");
        let renditions = playlist.variants.iter().map(|variant| &variant.url);
        for url in renditions.chain(&playlist.audio) {
            let text = reqwest::get(url.clone()).await?.text().await?;
            // Eight of 25 frames in a second are the nearest to 330 ms.
            ensure!(text.contains("PART-TARGET=0.320000\n"), "{url}: {text}");
        }
        let [taller, _] = &playlist.variants[..] else {
            bail!("{playlist:?}");
        };
        let watched = viewer::watch(taller.url.as_str(), 75, PATIENCE).await?;
        // Of the 30 frames that the camera sends in a second every sixth is left out: a
        // second of the picture takes 30, whatever a busy machine does in the others.
        let readings = watched.readings()?;
        let seconds = readings.windows(25 + 1);
        let mut sent: Vec<i64> = seconds
            .map(|second| strip::difference(second[25].counter, second[0].counter))
            .collect();
        sent.sort_unstable();
        let median = *sent.get(sent.len() / 2).context("no second")?;
        ensure!((29..=31).contains(&median), "{median} frames: {sent:?}");
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_and_picture_stay_together() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, _) = stage::on_air(rig, "sound").await?;
        // Over DASH the browser tests look: FFmpeg subtracts the window from the
        // stream's age without a sign, and repeats a young stream's first segment.
        let watched = viewer::watch(&stream.hls, viewer::FOR_BEEPS, PATIENCE).await?;
        watched.ensure_together()?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screenshot_shows_what_is_on_air() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, playlist) = stage::on_air(rig, "screenshot").await?;
        let smallest = playlist.variants.last().context("no variant")?;
        let first = until("a screenshot", PATIENCE, async || {
            let response = reqwest::get(&stream.screenshot).await?.error_for_status()?;
            ensure!(response.headers()["content-type"] == "image/jpeg");
            Ok(response.headers()["etag"].clone())
        })
        .await?;
        // The strip is read off it, so it is the test picture and upright.
        let watched = viewer::watch(&stream.screenshot, 1, PATIENCE).await?;
        let seen = watched.frames.first().context("no picture")?;
        ensure!(seen.size == smallest.resolution, "{seen:?}");
        ensure!(seen.reading.is_some(), "another picture");
        until("another screenshot", PATIENCE, async || {
            let response = reqwest::get(&stream.screenshot).await?;
            ensure!(response.headers()["etag"] != first);
            Ok(())
        })
        .await?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thumbnails_lie_where_the_playlist_says() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, playlist) = stage::on_air(rig, "thumbnails").await?;
        let base: Url = stream.hls.parse()?;
        let list = until("thumbnails of four seconds", PATIENCE, async || {
            let response = reqwest::get(base.join("thumbnails.vtt")?).await?;
            let text = response.error_for_status()?.text().await?;
            ensure!(text.matches(".jpg").count() >= 4, "{text}");
            Ok(text)
        })
        .await?;
        let epoch = list
            .lines()
            .find_map(|it| it.strip_prefix("NOTE Times count from "));
        let epoch = of_day(epoch.context("no epoch")?)?;
        let smallest = playlist.variants.last().context("no variant")?;
        let media = reqwest::get(smallest.url.clone()).await?.text().await?;
        let lines: Vec<&str> = list.lines().collect();
        let cues = lines.windows(2).filter(|pair| pair[1].ends_with(".jpg"));
        let mut compared = 0;
        // The first one may show the middle of its segment, the last ones lie in
        // segments that are not complete.
        for cue in cues.skip(1) {
            let start = cue[0].split(' ').next().context("no time")?;
            let uri = cue[1].replace("thumbnails/", "\n").replace("jpg", "m4s");
            let Some((before, _)) = media.split_once(&uri) else {
                continue;
            };
            let dated = before.rsplit("PROGRAM-DATE-TIME:").next();
            let dated = dated.and_then(|it| it.lines().next()).context("no date")?;
            let since = (of_day(dated)? - epoch).rem_euclid(DAY);
            ensure!(since == of_day(start)?.rem_euclid(DAY), "{cue:?} {since}");
            compared += 1;
        }
        ensure!(compared >= 2, "{list}: {media}");
        let newest = lines.last().context("an empty list")?;
        let watched = viewer::watch(base.join(newest)?.as_str(), 1, PATIENCE).await?;
        let seen = watched.frames.first().context("no picture")?;
        ensure!(seen.size == (192, 108), "{seen:?}");
        publisher.stop().await
    })
    .await;
}

const DAY: i64 = 86_400_000;

/// Milliseconds of `12:34:56.789`, or of such a time after a date.
fn of_day(text: &str) -> Result<i64> {
    let time = text
        .rsplit('T')
        .next()
        .unwrap_or(text)
        .trim_end_matches('Z');
    let [hours, minutes, seconds]: [&str; 3] = time
        .split(':')
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .context("no time")?;
    let (seconds, millis) = seconds.split_once('.').context("no milliseconds")?;
    let minutes = hours.parse::<i64>()? * 60 + minutes.parse::<i64>()?;
    Ok((minutes * 60 + seconds.parse::<i64>()?) * 1000 + millis.parse::<i64>()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn opus_is_offered_beside_aac_where_it_is_wanted() {
    scenario(async |rig: &mut Rig| {
        let wanted = "[media]\nopus_bitrate = \"96 kbps\"\n";
        rig.reconfigure_origin(|text| text.replacen("[media]\n", wanted, 1))
            .await?;
        rig.link_up().await?;
        let stream = rig.api.create("opus").await?;
        let publisher = Publisher::start(stage::options(&stream)).await?;
        let playlist = stage::complete(&stream).await?;
        ensure!(playlist.audio.len() == 2, "{playlist:?}");
        let (aac, opus) = playlist.variants.split_at(RUNGS.len());
        let is_opus = |it: &Variant| it.codecs.ends_with(",opus");
        ensure!(!aac.iter().any(is_opus), "{playlist:?}");
        ensure!(opus.iter().all(is_opus), "{playlist:?}");
        let urls = |all: &[Variant]| all.iter().map(|it| it.url.clone()).collect::<Vec<_>>();
        ensure!(urls(aac) == urls(opus), "{playlist:?}");
        for manifest in [&stream.hls, &stream.dash, &stream.transport] {
            let streams = viewer::probe(manifest, PATIENCE).await?;
            let sound = streams.iter().filter(|it| it["codec_type"] == "audio");
            let codecs: Vec<_> = sound.map(|it| it["codec_name"].clone()).collect();
            ensure!(
                codecs.first() == Some(&"aac".into()),
                "{manifest}: {codecs:?}"
            );
            let has_opus = codecs.contains(&"opus".into());
            ensure!(
                has_opus != (*manifest == stream.transport),
                "{manifest}: {codecs:?}"
            );
        }
        let watched = viewer::watch(&stream.hls, viewer::FOR_BEEPS, PATIENCE).await?;
        watched.ensure_together()?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transport_streams_run_on_with_sound_and_picture_together() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, _) = stage::on_air(rig, "transport").await?;
        let watched = viewer::watch(&stream.transport, viewer::FOR_BEEPS, PATIENCE).await?;
        watched.ensure_smooth()?;
        watched.ensure_together()?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presenter_with_vp8_is_played() {
    scenario(async |rig: &mut Rig| {
        let stream = rig.api.create("vp8").await?;
        let mut options = stage::options(&stream);
        options.codec = Codec::Vp8;
        let publisher = Publisher::start(options).await?;
        let playlist = stage::complete(&stream).await?;
        ensure_rungs(&playlist)?;
        let watched = viewer::watch(first(&playlist)?.url.as_str(), 60, PATIENCE).await?;
        watched.ensure_smooth()?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_size_in_the_middle_changes_no_rung() {
    scenario(async |rig: &mut Rig| {
        let (_, publisher, playlist) = stage::on_air(rig, "resize").await?;
        let variant = first(&playlist)?;
        let url = variant.url.as_str();
        let before = playlist::media(&variant.url).await?;
        let resizing = async {
            for size in [(426, 240), (640, 360), SIZE] {
                let frames = publisher.stats().frames;
                until("frames", PATIENCE, async || {
                    let sent = publisher.stats().frames - frames;
                    ensure!(sent >= 45, "{sent} frames");
                    Ok(())
                })
                .await?;
                publisher.set_size(size.0, size.1);
            }
            Ok(())
        };
        let (watched, ()) = viewer::watch_until(url, resizing, stage::AFTER, PATIENCE).await?;
        ensure!(
            watched
                .frames
                .iter()
                .all(|seen| seen.size == variant.resolution)
        );
        let gap = watched.largest_readable_gap()?;
        ensure!(gap < LONGEST_STILL, "playback stood still for {gap} ms");
        let after = playlist::media(&variant.url).await?;
        ensure!(after.map == before.map, "a new init segment");
        ensure!(
            !after
                .segments
                .iter()
                .any(|segment| segment.is_discontinuity)
        );
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presenter_who_returns_goes_on_in_the_same_playlist() {
    scenario(async |rig: &mut Rig| {
        let (stream, publisher, playlist) = stage::on_air(rig, "return").await?;
        let variant = first(&playlist)?.url.clone();
        let before = until("two segments", PATIENCE, async || {
            let media = playlist::media(&variant).await?;
            ensure!(
                media.segments.len() >= 2,
                "{} segments",
                media.segments.len()
            );
            Ok(media)
        })
        .await?;
        publisher.hang_up().await?;
        until("the end", PATIENCE, async || {
            ensure!(!rig.api.get(stream.id).await?.live, "still live");
            Ok(())
        })
        .await?;
        let gone = playlist::media(&variant).await?;
        ensure!(
            !gone.has_ended,
            "the playlist must stay open for the presenter's return"
        );

        let publisher = Publisher::start(stage::options(&stream)).await?;
        let after = until("playback after the return", stage::PLAYBACK, async || {
            let media = playlist::media(&variant).await?;
            ensure!(media.edge() > gone.edge(), "at {:?}", media.edge());
            let since = media
                .segments
                .iter()
                .filter(|segment| segment.number >= before.edge().0);
            ensure!(
                since.clone().any(|segment| segment.is_discontinuity),
                "no discontinuity"
            );
            Ok(media)
        })
        .await?;
        ensure!(after.sequence >= before.sequence, "numbers went back");
        let watched = viewer::watch(variant.as_str(), 60, PATIENCE).await?;
        ensure!(
            watched
                .frames
                .iter()
                .filter(|seen| seen.reading.is_some())
                .count()
                > 50
        );
        publisher.stop().await
    })
    .await;
}

fn first(playlist: &Multivariant) -> Result<&Variant> {
    playlist.variants.first().context("no variant")
}

/// One variant per rung, each with the source's aspect and even sides.
fn ensure_rungs(playlist: &Multivariant) -> Result<()> {
    let mut sides: Vec<u32> = Vec::new();
    for variant in &playlist.variants {
        let (width, height) = variant.resolution;
        ensure!(width % 2 == 0 && height % 2 == 0, "{width}x{height} is odd");
        let exact = f64::from(height) * f64::from(SIZE.0) / f64::from(SIZE.1);
        ensure!(
            (f64::from(width) - exact).abs() <= 2.0,
            "{width}x{height} is distorted"
        );
        sides.push(height);
    }
    sides.sort_unstable_by(|a, b| b.cmp(a));
    ensure!(sides == RUNGS, "rungs {sides:?}");
    ensure!(!playlist.audio.is_empty(), "no audio rendition");
    Ok(())
}

/// The strip's own modulus must outlast a test, or differences would lie.
const _: () = assert!(strip::MODULUS > 3_600_000);
