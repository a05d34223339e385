//! Undisturbed media: no hole, no overlap, equal numbers, even parts.

use proptest::prelude::*;

use mp4_atom::{Any, Decode};

use super::{EPOCH, Feed, samples};
use crate::package::{Dropped, Segment};

#[test]
fn decode_times_are_continuous_and_equal_on_all_rungs() {
    let mut feed = Feed::new(30, 1000);
    feed.run(150);
    for index in 0..3 {
        let snapshot = feed.snapshot(index);
        let segments: Vec<_> = snapshot.segments.iter().chain(&snapshot.open).collect();
        let all: Vec<_> = segments
            .iter()
            .flat_map(|segment| samples(segment))
            .collect();
        assert!(
            all.windows(2)
                .all(|pair| pair[0].0 + pair[0].1 == pair[1].0),
            "{index}"
        );
        for segment in segments {
            let inside = samples(segment);
            assert_eq!(inside[0].0, segment.start);
            assert_eq!(inside.iter().map(|s| s.1).sum::<u64>(), segment.duration);
        }
    }
    let bounds = |index: usize| -> Vec<_> {
        feed.snapshot(index)
            .segments
            .iter()
            .map(|s| (s.number, s.start, s.duration))
            .collect()
    };
    assert_eq!(bounds(0), bounds(1));
    assert_eq!(
        bounds(0)[0],
        (33, 3_000_000, 60_000),
        "from frame 1000 to second 34"
    );
}

#[test]
fn segment_numbers_are_media_time_and_the_same_for_audio() {
    let mut feed = Feed::new(30, 900);
    feed.run(200);
    let numbers = |index: usize| -> Vec<_> {
        feed.snapshot(index)
            .segments
            .iter()
            .map(|segment| segment.number)
            .collect()
    };
    assert_eq!(numbers(0), [30, 31, 32, 33, 34, 35]);
    assert_eq!(numbers(2), numbers(0));
    for segment in &feed.snapshot(2).segments {
        // An AAC frame lasts 1024 ticks: segments drift by less than one.
        assert!(segment.start - segment.number * 48_000 < 1024);
    }
}

#[test]
fn a_part_is_published_with_its_last_frame() {
    let mut feed = Feed::new(30, 900);
    feed.run(5);
    assert_eq!(feed.snapshot(0).edge(), None);
    feed.run(1);
    let edge = feed.snapshot(0).edge().unwrap();
    assert_eq!((edge.segment, edge.parts, edge.complete), (30, 1, false));
    feed.run(24);
    let edge = feed.snapshot(0).edge().unwrap();
    assert_eq!((edge.segment, edge.parts, edge.complete), (30, 5, true));
    assert_eq!(feed.snapshot(0).next_part(), Some((31, 0)));
}

#[test]
fn chunks_last_at_most_100_ms_and_parts_are_whole_chunks() {
    let mut feed = Feed::new(30, 900);
    feed.run(40);
    for (index, scale) in [(0, 90_000), (2, 48_000)] {
        let segment = &feed.snapshot(index).segments[0];
        for chunk in &segment.chunks {
            let ticks: u64 = super::chunk_samples(chunk)
                .iter()
                .map(|sample| sample.1)
                .sum();
            assert!(ticks * 10 <= scale, "{index}: {ticks}");
        }
        let ends: Vec<_> = segment.parts.iter().map(|part| part.chunks.end).collect();
        let starts: Vec<_> = segment.parts.iter().map(|part| part.chunks.start).collect();
        assert_eq!(starts[0], 0);
        assert_eq!(starts[1..], ends[..ends.len() - 1]);
        assert_eq!(*ends.last().unwrap(), segment.chunks.len());
    }
}

#[test]
fn nothing_is_playable_before_every_rendition_has_a_part() {
    let mut feed = Feed::new(30, 900);
    feed.run(5);
    assert!(
        feed.snapshot(2).edge().is_some(),
        "eight AAC frames begin within 167 ms"
    );
    assert!(feed.presentation.is_none());
    feed.run(1);
    assert!(feed.presentation.is_some());
}

#[test]
fn audio_before_the_first_frame_does_not_sound() {
    let mut feed = Feed::new(30, 915);
    feed.aac = 1400; // 29.87 s, while the first frame is shown at 30.5 s
    feed.run(60);
    let first = &feed.snapshot(2).segments[0];
    assert_eq!(first.number, 30);
    assert!(
        first.start + 1024 > 1_464_000 && first.start < 1_464_000 + 1024,
        "{}",
        first.start
    );
}

#[test]
fn the_first_segment_begins_with_an_idr() {
    let mut feed = Feed::new(30, 907);
    feed.give(&crate::transcode::Output::Video {
        rung: 0,
        number: 906,
        idr: false,
        data: bytes::Bytes::from_static(b"p"),
    });
    assert_eq!(feed.packager.dropped(Dropped::AwaitsIdr), 1);
    feed.run(30);
    assert_eq!(feed.snapshot(0).segments[0].start, 907 * 3000);
    assert!(feed.snapshot(0).segments[0].parts[0].independent);
}

#[test]
fn memory_is_bounded_by_the_window() {
    let mut feed = Feed::new(15, 900);
    feed.run(15 * 200);
    let snapshot = feed.snapshot(0);
    assert_eq!(snapshot.listed().len(), 60);
    assert_eq!(snapshot.segments.len(), 70);
    assert_eq!(snapshot.listed()[0].number, 200);
}

fn part_durations(segment: &Segment) -> Vec<u64> {
    segment.parts.iter().map(|part| part.duration).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn parts_fill_85_to_100_percent_of_the_target(
        fps in prop::sample::select(&[15_u32, 24, 25, 30, 50, 60][..]),
        first in 0_u64..2_000,
        frames in 30_u64..200,
    ) {
        let mut feed = Feed::new(fps, first);
        feed.run(frames);
        let layout = *feed.packager.layout();
        for (index, beat) in [(0, layout.video), (1, layout.video), (2, layout.audio)] {
            let Some(snapshot) = &feed.snapshots[index] else { continue };
            // In ticks of the video's clock times this one's, to stay whole.
            let target = layout.video.part_ticks() * u64::from(beat.timescale);
            let scale = u64::from(layout.video.timescale);
            for segment in snapshot.segments.iter().chain(&snapshot.open) {
                let durations = part_durations(segment);
                let last = durations.len() - usize::from(segment.complete);
                for (n, duration) in durations.iter().enumerate() {
                    prop_assert!(duration * scale <= target, "{fps} {index}");
                    if n < last {
                        prop_assert!(duration * scale * 100 >= target * 85, "{fps} {index}");
                    }
                }
                if segment.complete {
                    prop_assert_eq!(durations.iter().sum::<u64>(), segment.duration);
                }
            }
        }
    }
}

#[test]
fn every_segment_begins_with_the_time_of_its_capture() {
    let mut feed = Feed::new(30, 907);
    feed.run(120);
    for index in 0..3 {
        let beat = if index == 2 {
            feed.packager.layout().audio
        } else {
            feed.packager.layout().video
        };
        for segment in &feed.snapshot(index).segments {
            let mut chunk = &segment.chunks[0][..];
            let prft = loop {
                if let Any::Prft(prft) = Any::decode(&mut chunk).unwrap() {
                    break prft;
                }
            };
            assert_eq!(prft.media_time, segment.start);
            let captured = EPOCH.utc(beat.time(segment.start)).as_unix_micros();
            // Seconds since 1900 in the upper half.
            let seconds = (prft.ntp_timestamp >> 32) as i64 - 2_208_988_800;
            let micros = ((prft.ntp_timestamp & 0xffff_ffff) * 1_000_000) >> 32;
            let told = seconds * 1_000_000 + micros as i64;
            assert!((told - captured).abs() <= 1, "{index} {}", segment.number);
        }
    }
}
