//! The texts: media playlists, multivariant playlist, MPD.

use super::{Feed, playlist};
use crate::package::{dash, hls};

#[test]
fn a_media_playlist_says_what_low_latency_players_need() {
    let mut feed = Feed::new(30, 907);
    feed.run(30 * 20);
    let parsed = playlist::parse(&feed.media(0));
    assert_eq!(parsed.media_sequence, 30);
    assert_eq!((parsed.target_duration, parsed.part_target), (1.0, 0.2));
    let control = |name: &str| playlist::find(&parsed.control, name);
    assert_eq!(control("CAN-BLOCK-RELOAD"), "YES");
    assert!(control("PART-HOLD-BACK").parse::<f64>().unwrap() >= 0.6);
    assert!(control("HOLD-BACK").parse::<f64>().unwrap() >= 3.0);
    assert!(control("CAN-SKIP-UNTIL").parse::<f64>().unwrap() >= 6.0);
    assert!(
        (parsed.segments[0].duration - 23.0 / 30.0).abs() < 1e-5,
        "short first segment"
    );
    assert!((parsed.segments[1].duration - 1.0).abs() < 1e-9);
    assert_eq!(parsed.trailing_parts.len(), 1);
    assert_eq!(parsed.preload_hint.as_deref(), Some("50.1.m4s"));
}

#[test]
fn only_the_last_three_target_durations_show_parts() {
    let mut feed = Feed::new(30, 900);
    feed.run(30 * 20);
    let parsed = playlist::parse(&feed.media(0));
    let with_parts: Vec<_> = parsed
        .segments
        .iter()
        .filter(|s| !s.parts.is_empty())
        .map(|s| s.number)
        .collect();
    assert_eq!(with_parts, [47, 48, 49]);
    for segment in &parsed.segments[17..] {
        let independent: Vec<_> = segment.parts.iter().map(|part| part.independent).collect();
        assert_eq!(independent, [true, false, false, false, false]);
    }
    let audio = playlist::parse(&feed.media(2));
    assert!(
        audio
            .segments
            .last()
            .unwrap()
            .parts
            .iter()
            .all(|part| part.independent)
    );
    assert_eq!(
        parsed.preload_hint.as_deref(),
        Some("50.0.m4s"),
        "across the boundary"
    );
}

#[test]
fn a_delta_update_skips_what_is_old() {
    let mut feed = Feed::new(30, 900);
    feed.run(30 * 20 + 6);
    let (snapshot, layout) = (feed.snapshot(0), feed.packager.layout());
    let epoch = feed.packager.epoch();
    let whole = hls::media(snapshot, &layout.video, layout, epoch, &[], false);
    let delta = hls::media(snapshot, &layout.video, layout, epoch, &[], true);
    let (whole, delta) = (playlist::parse(&whole), playlist::parse(&delta));
    assert_eq!(
        delta.skipped, 14,
        "all that ended six seconds before the edge at 50.2 s"
    );
    assert_eq!(
        delta.segments.len() as u64 + delta.skipped,
        whole.segments.len() as u64
    );
    assert_eq!(delta.media_sequence, whole.media_sequence);
    assert_eq!(delta.trailing_parts.len(), whole.trailing_parts.len());
}

#[test]
fn a_rendition_report_names_the_other_playlist() {
    let mut feed = Feed::new(30, 900);
    feed.run(40);
    let report = hls::Report {
        name: "360p".into(),
        last_segment: 31,
        last_part: Some(0),
    };
    let (layout, epoch) = (feed.packager.layout(), feed.packager.epoch());
    let text = hls::media(
        feed.snapshot(0),
        &layout.video,
        layout,
        epoch,
        &[report],
        false,
    );
    let reports = playlist::parse(&text).reports;
    assert_eq!(playlist::find(&reports[0], "URI"), "../360p/media.m3u8");
    assert_eq!(playlist::find(&reports[0], "LAST-MSN"), "31");
    assert_eq!(playlist::find(&reports[0], "LAST-PART"), "0");
}

#[test]
fn the_multivariant_playlist_describes_every_rung() {
    let mut feed = Feed::new(30, 900);
    feed.run(40);
    let text = hls::master(feed.presentation.as_ref().unwrap());
    let lines: Vec<_> = text.lines().collect();
    let audio = lines
        .iter()
        .find_map(|line| line.strip_prefix("#EXT-X-MEDIA:"))
        .unwrap();
    let audio = playlist::attributes(audio);
    assert_eq!(playlist::find(&audio, "URI"), "audio/media.m3u8");
    assert_eq!(playlist::find(&audio, "CHANNELS"), "2");
    let mut sizes = Vec::new();
    for pair in lines.windows(2) {
        let Some(variant) = pair[0].strip_prefix("#EXT-X-STREAM-INF:") else {
            continue;
        };
        let variant = playlist::attributes(variant);
        assert_eq!(playlist::find(&variant, "CODECS"), "avc1.64001f,mp4a.40.2");
        assert_eq!(playlist::find(&variant, "FRAME-RATE"), "30.000");
        assert_eq!(
            playlist::find(&variant, "AUDIO"),
            playlist::find(&audio, "GROUP-ID")
        );
        let rate = |name: &str| playlist::find(&variant, name).parse::<u64>().unwrap();
        assert!(rate("BANDWIDTH") > rate("AVERAGE-BANDWIDTH"));
        sizes.push((playlist::find(&variant, "RESOLUTION"), pair[1].to_owned()));
    }
    let expected = [
        ("1280x720", "720p/media.m3u8"),
        ("640x360", "360p/media.m3u8"),
    ];
    assert_eq!(
        sizes,
        expected.map(|(size, uri)| (size.to_owned(), uri.to_owned()))
    );
}

#[test]
fn bandwidth_follows_the_largest_segment() {
    let mut feed = Feed::new(30, 900);
    feed.run(40);
    let announced = feed.presentation.as_ref().unwrap().renditions[1].peak;
    let data = bytes::Bytes::from(vec![0; 200_000]);
    let number = feed.frame;
    feed.give(&crate::transcode::Output::Video {
        rung: 1,
        number,
        idr: false,
        data,
    });
    feed.frame += 1;
    feed.run(30);
    let now = feed.presentation.as_ref().unwrap().renditions[1].peak;
    assert!(
        announced < 1_600_000 && now > 1_600_000,
        "{announced} {now}"
    );
}

/// Bytes and seconds of each complete segment of a rendition.
fn sizes(feed: &Feed, index: usize) -> Vec<(f64, f64)> {
    let layout = feed.packager.layout();
    let scale = if index == 2 {
        layout.audio.timescale
    } else {
        layout.video.timescale
    };
    let segments = feed.snapshot(index).segments.iter();
    let sizes = segments.map(|it| (it.size() as f64, it.duration as f64 / f64::from(scale)));
    sizes.collect()
}

#[test]
fn bandwidths_are_those_of_the_real_bytes() {
    // What `Feed` makes of a second: an IDR of 4,000 bytes and 29 pictures of 900, and
    // AAC frames of 300.
    let mut spec = super::spec(30);
    for rung in &mut spec.ladder {
        rung.bitrate = (4_000 + 29 * 900) * 8;
    }
    spec.audio_bitrate = 300 * 8 * 48_000 / 1_024;
    let mut feed = Feed::with(spec, 900);
    // Once a segment is much larger.
    feed.run(30 * 8 + 7);
    for rung in 0..2 {
        let (number, data) = (feed.frame, bytes::Bytes::from(vec![0; 30_000]));
        let idr = false;
        feed.give(&crate::transcode::Output::Video {
            rung,
            number,
            idr,
            data,
        });
    }
    feed.frame += 1;
    feed.run(30 * 12);
    let text = hls::master(feed.presentation.as_ref().unwrap());
    let told = |name: &str| -> f64 {
        let (_, rest) = text.split_once("#EXT-X-STREAM-INF:").unwrap();
        let variant = playlist::attributes(rest.lines().next().unwrap());
        playlist::find(&variant, name).parse().unwrap()
    };
    let (video, audio) = (sizes(&feed, 0), sizes(&feed, 2));
    let rates = |sizes: &[(f64, f64)]| -> Vec<f64> {
        sizes
            .iter()
            .map(|(bytes, time)| bytes * 8.0 / time)
            .collect()
    };
    let pairs = rates(&video).into_iter().zip(rates(&audio));
    let peak = pairs
        .map(|(video, audio)| video + audio)
        .fold(0.0, f64::max);
    assert!(
        (peak..peak * 1.1).contains(&told("BANDWIDTH")),
        "{peak} {text}"
    );
    let mean = |sizes: &[(f64, f64)]| {
        let bytes: f64 = sizes.iter().map(|it| it.0).sum();
        bytes * 8.0 / sizes.iter().map(|it| it.1).sum::<f64>()
    };
    // The large picture stands out of twenty seconds.
    let average = mean(&video) + mean(&audio) - 30_000.0 * 8.0 / 20.0;
    let off = told("AVERAGE-BANDWIDTH") / average - 1.0;
    assert!(off.abs() < 0.03, "{average} {text}");
}

fn attribute<'a>(xml: &'a str, element: &str, name: &str) -> Vec<&'a str> {
    let open = format!("<{element} ");
    let inside = xml
        .split(&open)
        .skip(1)
        .map(|rest| rest.split('>').next().unwrap());
    let key = format!(" {name}=\"");
    inside
        .filter_map(|tag| {
            let value = tag.split(&key).nth(1).or(tag.strip_prefix(&key[1..]))?;
            value.split('"').next()
        })
        .collect()
}

#[test]
fn the_mpd_counts_from_the_publications_first_segment() {
    let mut feed = Feed::new(30, 907);
    feed.run(60);
    let xml = dash::manifest(feed.presentation.as_ref().unwrap());
    let of = |element: &str, name: &str| attribute(&xml, element, name);
    assert_eq!(of("MPD", "type"), ["dynamic"]);
    assert_eq!(
        of("MPD", "availabilityStartTime"),
        ["2026-01-01T00:00:00.250Z"]
    );
    assert_eq!(of("MPD", "timeShiftBufferDepth"), ["PT60S"]);
    assert_eq!(of("Period", "start"), ["PT30.000000S"]);
    assert_eq!(of("Period", "duration"), [""; 0]);
    assert_eq!(of("SegmentTemplate", "startNumber"), ["30"; 3]);
    assert_eq!(
        of("SegmentTemplate", "duration"),
        ["90000", "90000", "48000"]
    );
    let offsets = ["2700000", "2700000", "1440000"];
    assert_eq!(of("SegmentTemplate", "presentationTimeOffset"), offsets);
    assert_eq!(
        of("SegmentTemplate", "availabilityTimeComplete"),
        ["false"; 3]
    );
    // 1 s less 100 ms chunk (audio: 85 ms and 21 ms drift) and 50 ms margin.
    let early = ["0.850000", "0.850000", "0.843333"];
    assert_eq!(of("SegmentTemplate", "availabilityTimeOffset"), early);
    assert_eq!(of("ProducerReferenceTime", "type"), ["captured"; 2]);
    assert_eq!(of("ProducerReferenceTime", "inband"), ["true"; 2]);
    assert_eq!(
        of("ProducerReferenceTime", "presentationTime"),
        ["2700000", "1440000"]
    );
    assert_eq!(
        of("ProducerReferenceTime", "wallClockTime"),
        ["2026-01-01T00:00:30.250Z"; 2]
    );
    assert_eq!(of("Latency", "referenceId"), ["0"]);
    assert_eq!(
        of("Representation", "codecs"),
        ["avc1.64001f", "avc1.64001f", "mp4a.40.2"]
    );
    assert_eq!(of("UTCTiming", "value"), ["time"; 3]);
}

#[test]
fn a_period_stays_open_until_the_presenter_returns() {
    let mut feed = Feed::new(30, 900);
    feed.run(100);
    feed.packager.interrupt();
    feed.drain();
    let xml = dash::manifest(feed.presentation.as_ref().unwrap());
    assert_eq!(attribute(&xml, "Period", "duration"), [""; 0]);
    assert_eq!(attribute(&xml, "MPD", "minimumUpdatePeriod"), ["PT2S"]);
    feed.packager.resume();
    feed.jump_to(1210);
    feed.run(60);
    let xml = dash::manifest(feed.presentation.as_ref().unwrap());
    assert_eq!(
        attribute(&xml, "Period", "start"),
        ["PT30.000000S", "PT40.000000S"]
    );
    assert_eq!(attribute(&xml, "Period", "duration"), ["PT3.333333S"]);
    feed.packager.end();
    feed.drain();
    let xml = dash::manifest(feed.presentation.as_ref().unwrap());
    assert_eq!(
        attribute(&xml, "MPD", "mediaPresentationDuration"),
        ["PT42.333333S"]
    );
    assert_eq!(attribute(&xml, "MPD", "minimumUpdatePeriod"), [""; 0]);
}

#[test]
fn every_rendition_has_the_same_part_target() {
    for fps in [24, 25, 30, 60] {
        let mut feed = Feed::new(fps, u64::from(fps) * 30);
        feed.run(u64::from(fps) * 3);
        let target = |index| playlist::parse(&feed.media(index)).part_target;
        assert_eq!([target(1), target(2)], [target(0); 2], "{fps}");
    }
}

#[test]
fn the_mpd_says_how_far_behind_players_shall_be_and_how_they_get_there() {
    let mut feed = Feed::new(30, 900);
    feed.run(60);
    let xml = dash::manifest(feed.presentation.as_ref().unwrap());
    let of = |element: &str, name: &str| -> u64 {
        let found = attribute(&xml, element, name);
        found[0].parse().unwrap()
    };
    assert_eq!(of("Latency", "target"), 800);
    assert!(of("Latency", "min") < 800 && of("Latency", "max") > 800);
    let rate = |name: &str| -> f64 { attribute(&xml, "PlaybackRate", name)[0].parse().unwrap() };
    assert!(rate("min") < 1.0 && rate("max") > 1.0);
}
