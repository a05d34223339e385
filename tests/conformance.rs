//! Live playlists and manifests, walked by a client that believes nothing.
//!
//! It looks at every rendition's playlist part by part, at the MPD segment by segment,
//! and at every byte that they name: what any player may rely on holds for a minute, at
//! other frame rates, and while a worker dies and a presenter returns.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use serde_json::json;
use tests::{
    boxes,
    playlist::{self, Multivariant, Variant},
    publisher::Publisher,
    rig::{Rig, Stream, scenario, until},
    stage::{self, Passed},
    viewer,
    walk::{
        self, Conduct, Record, dash,
        judge::{self, Kind, Timeline},
    },
};

const MINUTE: Duration = Duration::from_secs(60);
const HALF_A_MINUTE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(30);
/// Segments after which a presenter's rate is known.
const SETTLED: u64 = 12;
/// How long the presenter is away.
const AWAY: Duration = Duration::from_secs(3);
/// Frames that a decoder may keep at the end of a file.
const KEPT_BY_DECODER: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_every_playlist_and_manifest_keeps_all_promises() {
    scenario(async |rig: &mut Rig| {
        // Segments leave the playlist within the minute.
        let window = |text: String| text.replacen("[media]\n", "[media]\nwindow = \"20s\"\n", 1);
        rig.reconfigure_origin(window).await?;
        rig.link_up().await?;
        let (stream, publisher, playlist) = stage::on_air(rig, "conformance").await?;
        let judged = walk(&stream, &playlist, MINUTE, Conduct::Steady).await?;
        let after = playlist::multivariant(&stream.hls).await?;
        for (index, variant) in after.variants.iter().enumerate() {
            ensure_bandwidths(variant, &judged, index)?;
            ensure_decodes(rig, variant, &judged[index].0).await?;
        }
        ensure_sound_decodes(rig, &judged).await?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opus_keeps_the_promises_that_aac_keeps() {
    scenario(async |rig: &mut Rig| {
        ask_for_opus(rig).await?;
        let (stream, publisher, playlist) = stage::on_air(rig, "opus").await?;
        let playlist = each_once(playlist)?;
        walk(&stream, &playlist, MINUTE, Conduct::Steady).await?;
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presenters_own_pictures_keep_all_promises() {
    scenario(async |rig: &mut Rig| Passed::with(rig, "passed", ensure_keeps_promises).await).await;
}

async fn ensure_keeps_promises(rig: &Rig, passed: &Passed) -> Result<()> {
    let Passed {
        stream, publisher, ..
    } = passed;
    publisher.record();
    let playlist = stage::playing(stream).await?;
    // What was encoded before has left, when the walk begins.
    let (segment, _) = playlist::media(&playlist.variants[0].url).await?.edge();
    ahead(&playlist.variants[0].url, SETTLED).await?;
    let playlist = stage::playing(stream).await?;
    let judged = walk(stream, &playlist, HALF_A_MINUTE, Conduct::Passed).await?;
    let after = playlist::multivariant(&stream.hls).await?;
    for (index, variant) in after.variants.iter().enumerate() {
        ensure_bandwidths(variant, &judged, index)?;
        ensure_decodes(rig, variant, &judged[index].0).await?;
    }
    ensure_sound_decodes(rig, &judged).await?;
    // The presenter is ahead of the edge: the next segment may have begun before the
    // recording.
    ensure_passed(&judged[0].0, &publisher.recorded(), segment + 2)?;
    stage::passes(rig, stream).await
}

/// A rendition's frames from segment `from` on are those that the presenter has sent: in
/// their order, none missing, bit by bit.
fn ensure_passed(record: &Record, sent: &[Bytes], from: u64) -> Result<()> {
    let sent: Vec<Vec<u8>> = sent.iter().map(|picture| boxes::slices(picture)).collect();
    let mut frames = Vec::new();
    for (_, known) in record.segments.range(from..) {
        let Some(whole) = &known.whole else { continue };
        for chunk in boxes::chunks(whole)? {
            frames.extend(chunk.samples.iter().map(|sample| sample.data.to_vec()));
        }
    }
    let first = frames.first().context("no frame")?;
    let first = sent.iter().position(|picture| picture == first);
    let first = first.context("the first frame is none of the presenter's")?;
    ensure!(frames.len() > 20 * 30, "{} frames", frames.len());
    for (index, frame) in frames.iter().enumerate() {
        let same = sent.get(first + index) == Some(frame);
        ensure!(same, "frame {index} of {}", frames.len());
    }
    Ok(())
}

/// Walks all playlists and the MPD for so long, and holds them against each other.
async fn walk(
    stream: &Stream,
    playlist: &Multivariant,
    length: Duration,
    conduct: Conduct,
) -> Result<Vec<(Record, Timeline)>> {
    let (records, dash) = tokio::try_join!(
        walk::renditions(playlist, length, conduct),
        dash::walk(&stream.dash, length, conduct),
    )?;
    let judged = judge(playlist, records, conduct)?;
    for (record, _) in &judged {
        ensure_walked(record, length)?;
    }
    ensure_same_segments(&dash, &judged, length)?;
    Ok(judged)
}

/// Has the origin offer the sound as Opus too.
async fn ask_for_opus(rig: &mut Rig) -> Result<()> {
    let wanted = "[media]\nopus_bitrate = \"96 kbps\"\n";
    rig.reconfigure_origin(|text| text.replacen("[media]\n", wanted, 1))
        .await?;
    rig.link_up().await
}

/// Each rung is there with each coding of the sound: leaves it once.
fn each_once(mut playlist: Multivariant) -> Result<Multivariant> {
    playlist.variants.retain(|it| !it.codecs.ends_with(",opus"));
    ensure!(playlist.audio.len() == 2, "{playlist:?}");
    Ok(playlist)
}

#[tokio::test(flavor = "multi_thread")]
async fn other_frame_rates_have_parts_of_whole_frames() {
    scenario(async |rig: &mut Rig| {
        for (fps, part_target) in [(24_u32, 0.208_333), (25, 0.2)] {
            let stream = rig.api.create("cinema").await?;
            let rungs = json!([{"height": 360, "bitrate": 450_000}]);
            let set = json!({"quality_set": {"rungs": rungs, "fps": fps}});
            rig.api.patch(stream.id, set).await?;
            let publisher = Publisher::start(stage::options(&stream)).await?;
            let playlist = stage::complete(&stream).await?;
            let length = Duration::from_secs(8);
            let records = walk::renditions(&playlist, length, Conduct::Steady).await?;
            for record in &records {
                let told = record.constants.part_target;
                ensure!(
                    (told - part_target).abs() < 1e-9,
                    "{}: {told} at {fps}",
                    record.url
                );
            }
            let variant = playlist.variants.first().context("no variant")?;
            ensure!(
                (variant.frame_rate - f64::from(fps)).abs() < 1e-9,
                "{variant:?}"
            );
            let judged = judge(&playlist, records, Conduct::Steady)?;
            ensure_frames(&judged[0].0, fps)?;
            publisher.stop().await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_stays_true_while_a_worker_dies_and_a_presenter_returns() {
    scenario(async |rig: &mut Rig| {
        ask_for_opus(rig).await?;
        let spare = until("a spare worker", PATIENCE, async || {
            let workers = rig.origin.children()?;
            ensure!(workers.len() == 1, "workers {workers:?}");
            Ok(workers[0])
        })
        .await?;
        let (stream, publisher, playlist) = stage::on_air(rig, "broken").await?;
        let playlist = each_once(playlist)?;
        let breaking = async {
            let variant = &playlist.variants[0].url;
            ahead(variant, 4).await?;
            rig.kill_worker(spare)?;
            ahead(variant, 6).await?;
            publisher.hang_up().await?;
            until("the end", PATIENCE, async || {
                ensure!(!rig.api.get(stream.id).await?.live, "still live");
                Ok(())
            })
            .await?;
            // Away for some segments, which there are never.
            tokio::time::sleep(AWAY).await;
            let publisher = Publisher::start(stage::options(&stream)).await?;
            ahead(variant, 8).await?;
            Ok(publisher)
        };
        let length = Duration::from_secs(35);
        let walk = walk::renditions(&playlist, length, Conduct::Broken);
        let (records, publisher) = tokio::try_join!(walk, breaking)?;
        let judged = judge(&playlist, records, Conduct::Broken)?;
        for (record, _) in &judged {
            ensure_broken(record)?;
        }
        publisher.stop().await
    })
    .await;
}

/// There are gaps where the presenter was away, and one discontinuity, behind them. The
/// worker's death is bridged, or leaves a gap where its pictures would have been.
fn ensure_broken(record: &Record) -> Result<()> {
    let which = |is_it: fn(&playlist::Segment) -> bool| -> Vec<u64> {
        let segments = record.segments.values().map(|it| &it.listed);
        let which = segments.filter(|segment| is_it(segment));
        which.map(|segment| segment.number).collect()
    };
    let gaps = which(|segment| segment.is_gap);
    let breaks = which(|segment| segment.is_discontinuity);
    let behind = gaps.last().map(|last| last + 1);
    ensure!(
        gaps.len() as u64 + 1 >= AWAY.as_secs() && breaks == Vec::from_iter(behind),
        "{}: gaps {gaps:?}, breaks {breaks:?}",
        record.url
    );
    Ok(())
}

/// Waits until a playlist has so many more segments.
async fn ahead(url: &reqwest::Url, segments: u64) -> Result<()> {
    let (begin, _) = playlist::media(url).await?.edge();
    until("more segments", PATIENCE, async || {
        let (now, _) = playlist::media(url).await?.edge();
        ensure!(now >= begin + segments, "at {now}, from {begin}");
        Ok(())
    })
    .await
}

/// Every rendition is true by itself, and fits the tallest rung.
fn judge(
    playlist: &Multivariant,
    records: Vec<Record>,
    conduct: Conduct,
) -> Result<Vec<(Record, Timeline)>> {
    let kind = |index| match index < playlist.variants.len() {
        true => Kind::Video,
        false => Kind::Audio,
    };
    let mut judged = Vec::new();
    for (index, record) in records.into_iter().enumerate() {
        let timeline = judge::ensure_true(&record, kind(index), conduct)?;
        judged.push((record, timeline));
    }
    let tallest = judged.first().context("no rendition")?;
    for (index, other) in judged.iter().enumerate().skip(1) {
        let aligned = judge::ensure_aligned(tallest, other, kind(index), conduct);
        aligned.with_context(|| other.0.url.to_string())?;
    }
    Ok(judged)
}

/// Enough was seen of each promise for it to count as kept.
fn ensure_walked(record: &Record, length: Duration) -> Result<()> {
    let Record {
        url,
        reloads,
        held,
        merged,
        hinted,
        kept,
        segments,
        ..
    } = record;
    let seen = format!(
        "{url}: {reloads} reloads, {held} held, {merged} merged, {hinted} hinted, {kept} kept"
    );
    let seconds = length.as_secs();
    ensure!(*reloads >= seconds * 4, "{seen}");
    ensure!(held * 10 >= reloads * 7, "{seen}");
    ensure!(merged * 10 >= reloads * 7, "{seen}");
    ensure!(hinted * 10 >= reloads * 9, "{seen}");
    ensure!(*kept >= seconds - 10, "{seen}");
    let is_broken = |known: &walk::record::Known| {
        let listed = &known.listed;
        listed.is_gap || listed.is_discontinuity
    };
    ensure!(!segments.values().any(is_broken), "{url}: {segments:?}");
    Ok(())
}

/// No segment is larger than `BANDWIDTH` says, with the sound's, and the average is not
/// far from `AVERAGE-BANDWIDTH`.
fn ensure_bandwidths(variant: &Variant, judged: &[(Record, Timeline)], index: usize) -> Result<()> {
    let (video, sound) = (&judged[index].0, &judged.last().context("no sound")?.0);
    let (mut bits, mut seconds, mut peak) = (0.0, 0.0, 0.0_f64);
    for (number, known) in &video.segments {
        let sound = sound.segments.get(number);
        let (Some(picture), Some((sound, heard))) = (
            &known.whole,
            sound.and_then(|it| Some((it.whole.as_ref()?, it.listed.duration))),
        ) else {
            continue;
        };
        let rate = picture.len() as f64 * 8.0 / known.listed.duration;
        peak = peak.max(rate + sound.len() as f64 * 8.0 / heard);
        bits += (picture.len() + sound.len()) as f64 * 8.0;
        seconds += known.listed.duration;
    }
    let average = bits / seconds;
    let told = (variant.bandwidth as f64, variant.average_bandwidth as f64);
    ensure!(
        peak <= told.0 && told.1 <= told.0,
        "{told:?} is told, and a segment has {peak}"
    );
    ensure!(
        (told.1 * 0.5..told.1 * 1.1).contains(&average),
        "{told:?} is told, and the average is {average}"
    );
    Ok(())
}

/// Init segment and segments of the walk as one file.
fn file(rig: &Rig, record: &Record, name: &str) -> Result<(String, usize)> {
    let init = record.inits.values().next().context("no init")?;
    let wholes = record.segments.values().filter_map(|it| it.whole.as_ref());
    let mut bytes = init.to_vec();
    let mut samples = 0;
    for whole in wholes {
        bytes.extend_from_slice(whole);
        let chunks = boxes::chunks(whole)?;
        samples += chunks.iter().map(|it| it.samples.len()).sum::<usize>();
    }
    let path = rig.folder().join(name);
    std::fs::write(&path, bytes)?;
    Ok((path.to_str().context("path")?.to_owned(), samples))
}

/// All of a rung decodes to the test picture in its size.
async fn ensure_decodes(rig: &Rig, variant: &Variant, record: &Record) -> Result<()> {
    let name = format!("{}.mp4", variant.resolution.1);
    let (path, samples) = file(rig, record, &name)?;
    let watched = viewer::watch(&path, samples - KEPT_BY_DECODER, PATIENCE).await?;
    let frames = &watched.frames;
    ensure!(frames.iter().all(|seen| seen.size == variant.resolution));
    let is_read = frames.iter().filter(|seen| seen.reading.is_some()).count();
    ensure!(
        is_read * 100 >= frames.len() * 95,
        "{path}: {is_read} of {}",
        frames.len()
    );
    Ok(())
}

async fn ensure_sound_decodes(rig: &Rig, judged: &[(Record, Timeline)]) -> Result<()> {
    let (record, _) = judged.last().context("no sound")?;
    let (path, _) = file(rig, record, "audio.mp4")?;
    let streams = viewer::probe(&path, PATIENCE).await?;
    let [stream] = &streams[..] else {
        anyhow::bail!("{streams:?}")
    };
    ensure!(stream["codec_name"] == "aac", "{stream}");
    ensure!(stream["channels"] == 2, "{stream}");
    Ok(())
}

/// DASH's segments are those of HLS, and came as they grew.
fn ensure_same_segments(
    walked: &[dash::Walked],
    judged: &[(Record, Timeline)],
    length: Duration,
) -> Result<()> {
    ensure!(
        walked.len() == judged.len(),
        "{} representations",
        walked.len()
    );
    for dash in walked {
        let path = format!("/{}/media.m3u8", dash.id);
        let hls = judged.iter().find(|it| it.0.url.path().ends_with(&path));
        let (record, _) = hls.with_context(|| format!("no rendition {}", dash.id))?;
        let known: BTreeMap<u64, &Bytes> = record
            .segments
            .iter()
            .filter_map(|(number, known)| Some((*number, known.whole.as_ref()?)))
            .collect();
        let common = dash.segments.iter().filter_map(|(number, segment)| {
            let same = known.get(number)?;
            Some(*same == segment)
        });
        let common: Vec<bool> = common.collect();
        ensure!(common.iter().all(|it| *it), "{} differs", dash.id);
        let (all, grown) = (dash.segments.len(), dash.grown);
        ensure!(
            common.len() as u64 >= length.as_secs() - 5,
            "{}: {} of {all} compared",
            dash.id,
            common.len()
        );
        ensure!(grown * 10 >= all * 8, "{}: {grown} of {all} grew", dash.id);
    }
    Ok(())
}

/// Each frame lasts one of this rate, and a segment is a second of them.
fn ensure_frames(record: &Record, fps: u32) -> Result<()> {
    let init = record.inits.values().next().context("no init")?;
    let ticks = boxes::timescale(init)? / u64::from(fps);
    for known in record.segments.values() {
        let Some(whole) = &known.whole else { continue };
        let chunks = boxes::chunks(whole)?;
        let mut samples = chunks.iter().flat_map(|chunk| &chunk.samples);
        ensure!(samples.all(|sample| sample.duration == ticks));
        let count: usize = chunks.iter().map(|chunk| chunk.samples.len()).sum();
        let is_whole = (known.listed.duration - 1.0).abs() < 1e-6;
        ensure!(!is_whole || count == fps as usize, "{count} frames");
    }
    Ok(())
}
