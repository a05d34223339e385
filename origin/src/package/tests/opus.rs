//! Opus beside AAC.

use std::time::Duration;

use super::{Feed, Spec, playlist, samples, spec};
use crate::{
    package::{Dropped, dash, hls},
    timeline::MediaTime,
    transcode,
};

const AAC: usize = 2;
const OPUS: usize = 3;

fn with_opus(fps: u32) -> Spec {
    Spec {
        opus_bitrate: Some(96_000),
        ..spec(fps)
    }
}

fn fed(first: u64, frames: u64) -> Feed {
    let mut feed = Feed::with(with_opus(30), first);
    feed.run(frames);
    feed
}

#[test]
fn it_is_a_rendition_like_any_other() {
    let feed = fed(907, 30 * 5);
    assert_eq!(feed.packager.names(), ["720p", "360p", "audio", "opus"]);
    let parsed = playlist::parse(&feed.media(OPUS));
    let video = playlist::parse(&feed.media(0));
    assert_eq!(parsed.media_sequence, video.media_sequence);
    assert_eq!(parsed.discontinuity_sequence, video.discontinuity_sequence);
    assert_eq!(parsed.part_target, 0.2);
    for segment in &parsed.segments[1..] {
        assert!((segment.duration - 1.0).abs() < 1e-9);
        let parts: Vec<_> = segment.parts.iter().map(|it| it.duration).collect();
        assert!(parts.is_empty() || parts == [0.2; 5], "{parts:?}");
        assert!(segment.parts.iter().all(|part| part.independent));
    }
}

#[test]
fn its_time_runs_on_without_a_hole_on_the_clock_of_the_picture() {
    let feed = fed(907, 30 * 5);
    let mut at = None;
    for segment in &feed.snapshot(OPUS).segments {
        assert_eq!(segment.init.codec, "opus");
        assert!(segment.number == 30 || segment.start == segment.number * 48_000);
        for (start, duration) in samples(segment) {
            assert_eq!((start, duration), (at.unwrap_or(start), 960));
            at = Some(start + duration);
        }
    }
    // The picture begins with frame 907, and sound with the packet that reaches into it.
    let first = feed.snapshot(OPUS).segments[0].start;
    assert_eq!(first, 907 * 1600 / 960 * 960);
}

#[test]
fn parts_fill_85_to_100_percent_of_each_target() {
    for (fps, part) in [
        (15, 200),
        (24, 200),
        (25, 200),
        (50, 200),
        (60, 100),
        (30, 100),
    ] {
        let mut spec = with_opus(fps);
        spec.part = Duration::from_millis(part);
        let mut feed = Feed::with(spec, u64::from(fps) * 30);
        feed.run(u64::from(fps) * 4);
        let parsed = playlist::parse(&feed.media(OPUS));
        for segment in parsed.segments.iter().filter(|it| !it.parts.is_empty()) {
            let (_, whole) = segment.parts.split_last().unwrap();
            for part in whole {
                let share = part.duration / parsed.part_target;
                assert!((0.85..=1.000_001).contains(&share), "{fps} {share}");
            }
        }
    }
}

#[test]
fn the_multivariant_playlist_has_it_behind_all_with_aac() {
    let feed = fed(900, 40);
    let text = hls::master(feed.presentation.as_ref().unwrap());
    let of = |tag: &str| -> Vec<_> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(tag));
        lines.map(playlist::attributes).collect()
    };
    let groups: Vec<_> = of("#EXT-X-MEDIA:")
        .iter()
        .map(|it| (playlist::find(it, "GROUP-ID"), playlist::find(it, "URI")))
        .collect();
    let [aac, opus] = [("audio", "audio/media.m3u8"), ("opus", "opus/media.m3u8")]
        .map(|(group, uri)| (group.to_owned(), uri.to_owned()));
    assert_eq!(groups, [aac, opus]);
    let variants: Vec<_> = of("#EXT-X-STREAM-INF:")
        .iter()
        .map(|it| {
            let of = |name| playlist::find(it, name);
            (of("CODECS"), of("AUDIO"), of("RESOLUTION"))
        })
        .collect();
    let expected = [
        ("avc1.64001f,mp4a.40.2", "audio", "1280x720"),
        ("avc1.64001f,mp4a.40.2", "audio", "640x360"),
        ("avc1.64001f,opus", "opus", "1280x720"),
        ("avc1.64001f,opus", "opus", "640x360"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(variants, expected);
    let rates: Vec<u64> = of("#EXT-X-STREAM-INF:")
        .iter()
        .map(|it| playlist::find(it, "AVERAGE-BANDWIDTH").parse().unwrap())
        .collect();
    assert!(rates[2] < rates[0] && rates[3] < rates[1], "{rates:?}");
    let legacy = hls::legacy::master(feed.presentation.as_ref().unwrap());
    assert!(!legacy.contains("opus") && legacy.contains("mp4a.40.2"));
}

#[test]
fn the_mpd_has_a_second_set_of_sound() {
    let feed = fed(907, 60);
    let xml = dash::manifest(feed.presentation.as_ref().unwrap());
    let sets: Vec<_> = xml.split("<AdaptationSet ").skip(1).collect();
    let kinds = [("0", "video"), ("1", "audio"), ("2", "audio")];
    for (set, (id, kind)) in sets.iter().zip(kinds) {
        let begin = format!("id=\"{id}\" contentType=\"{kind}\" mimeType=\"{kind}/mp4\"");
        assert!(set.starts_with(&begin), "{set}");
        assert!(set.contains(&format!("<ProducerReferenceTime id=\"{id}\"")));
    }
    assert!(sets[1].contains("codecs=\"mp4a.40.2\"") && !sets[1].contains("selectionPriority"));
    let opus = sets[2];
    for said in [
        "selectionPriority=\"0\"",
        "<Representation id=\"opus\" codecs=\"opus\"",
        "audioSamplingRate=\"48000\"",
        "audio_channel_configuration:2011\" value=\"2\"",
        "timescale=\"48000\" duration=\"48000\" startNumber=\"30\"",
        "presentationTimeOffset=\"1440000\"",
        // A second less a chunk of 100 ms and the margin of 50: it never begins late.
        "availabilityTimeOffset=\"0.850000\"",
    ] {
        assert!(opus.contains(said), "{said}: {opus}");
    }
}

#[test]
fn nothing_is_played_before_it_has_a_part() {
    let mut feed = Feed::with(with_opus(30), 900);
    feed.opus = 1_550;
    feed.run(20);
    assert!(feed.presentation.is_none());
    feed.opus = 1_500;
    feed.run(1);
    assert!(feed.presentation.is_some());
}

#[test]
fn what_a_dying_worker_took_becomes_silence() {
    let mut feed = fed(900, 40);
    let lost = feed.opus;
    feed.restart_at(feed.frame);
    feed.opus += 10;
    feed.aac += 10;
    feed.run(40);
    let segments = &feed.snapshot(OPUS).segments;
    let numbers: Vec<u64> = segments
        .iter()
        .flat_map(|it| samples(it))
        .map(|it| it.0 / 960)
        .collect();
    assert!(numbers.contains(&lost));
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert!(!feed.snapshot(AAC).segments.iter().any(|it| it.gap));
}

#[test]
fn a_presenter_who_returns_and_another_process_begin_with_a_discontinuity() {
    let mut feed = fed(900, 60);
    feed.packager.interrupt();
    feed.packager.resume();
    feed.jump_to(1065);
    feed.run(60);
    let breaks = |feed: &Feed, index| {
        let parsed = playlist::parse(&feed.media(index));
        let broken = parsed.segments.iter().filter(|it| it.discontinuity);
        broken.map(|it| it.number).collect::<Vec<_>>()
    };
    assert_eq!(breaks(&feed, OPUS), breaks(&feed, 0));
    let continued = Spec {
        is_continued: true,
        taken_until: MediaTime::from_micros(35_400_000),
        ..with_opus(30)
    };
    let mut after = Feed::with(continued, 1065);
    after.run(60);
    assert_eq!(breaks(&after, OPUS), [36]);
    assert_eq!(after.snapshot(OPUS).segments[0].number, 36);
}

#[test]
fn it_goes_on_when_the_ladder_grows() {
    let mut feed = fed(900, 60);
    feed.packager.interrupt();
    feed.drain();
    let mut ladder = spec(30).ladder;
    let mut taller = ladder[0].clone();
    (taller.resolution.width, taller.resolution.height) = (1920, 1080);
    ladder.insert(0, taller);
    feed.packager.enlarge(ladder);
    assert_eq!(
        feed.packager.names(),
        ["1080p", "720p", "360p", "audio", "opus"]
    );
    feed.snapshots.insert(0, None);
    feed.packager.resume();
    feed.configure(super::SPS);
    feed.jump_to(feed.frame);
    feed.run(45);
    let parsed = playlist::parse(&feed.media(OPUS + 1));
    let numbers: Vec<_> = parsed.segments.iter().map(|it| it.number).collect();
    assert_eq!(numbers, [30, 31, 32]);
    assert_eq!(parsed.maps.len(), 1, "the same init segment");
}

#[test]
fn without_it_packets_of_it_are_refused() {
    let mut feed = Feed::new(30, 900);
    feed.run(30);
    let data = bytes::Bytes::from_static(&[0xfc, 0xff, 0xfe]);
    feed.give(&transcode::Output::Opus {
        number: 1_500,
        data,
    });
    assert_eq!(feed.packager.names(), ["720p", "360p", "audio"]);
    assert_eq!(feed.packager.dropped(Dropped::NoRung), 1);
}

#[test]
fn its_capture_time_is_that_of_the_picture() {
    let feed = fed(900, 60);
    let parsed = playlist::parse(&feed.media(OPUS));
    assert_eq!(parsed.dates, playlist::parse(&feed.media(0)).dates);
    assert_eq!(parsed.dates[0], "2026-01-01T00:00:30.250Z");
}
