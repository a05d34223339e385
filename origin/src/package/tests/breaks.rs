//! Disturbed media: presenters who leave and return, workers that die,
//! configurations that change.

use super::{Feed, OTHER_SPS, playlist, samples, spec};
use crate::package::{Dropped, Spec, State};

#[test]
fn a_return_within_the_window_leaves_gap_segments() {
    let mut feed = Feed::new(30, 900);
    feed.run(100);
    feed.packager.interrupt();
    feed.drain();
    assert_eq!(
        feed.snapshot(0).open.as_ref().map(|s| s.number),
        None,
        "sealed"
    );
    assert_eq!(feed.snapshot(0).state, State::Interrupted);
    feed.packager.resume();
    feed.jump_to(1210);
    feed.run(60);
    for index in 0..3 {
        let parsed = playlist::parse(&feed.media(index));
        let gaps: Vec<_> = parsed
            .segments
            .iter()
            .filter(|s| s.gap)
            .map(|s| s.number)
            .collect();
        assert_eq!(gaps, [34, 35, 36, 37, 38, 39], "{index}");
        let breaks: Vec<_> = parsed
            .segments
            .iter()
            .filter(|s| s.discontinuity)
            .map(|s| s.number)
            .collect();
        assert_eq!(breaks, [40], "{index}");
        assert_eq!(parsed.maps.len(), 1, "the init segment is the same");
    }
}

#[test]
fn a_return_beyond_the_window_jumps_forward() {
    let mut feed = Feed::new(30, 900);
    feed.run(100);
    let before = playlist::parse(&feed.media(0)).discontinuity_sequence;
    feed.packager.interrupt();
    feed.packager.resume();
    feed.jump_to(30 * 500 + 10);
    feed.run(60);
    for index in 0..3 {
        let parsed = playlist::parse(&feed.media(index));
        assert_eq!(parsed.media_sequence, 500, "{index}");
        assert!(parsed.segments[0].discontinuity, "{index}");
        assert_eq!(parsed.discontinuity_sequence, before, "{index}");
    }
}

#[test]
fn discontinuities_that_left_the_playlist_are_counted() {
    let mut feed = Feed::new(15, 900);
    feed.run(100);
    let before = playlist::parse(&feed.media(0)).discontinuity_sequence;
    feed.packager.interrupt();
    feed.packager.resume();
    let next = feed.frame + 15;
    feed.jump_to(next);
    feed.run(15 * 100);
    for index in 0..3 {
        let parsed = playlist::parse(&feed.media(index));
        assert_eq!(parsed.discontinuity_sequence, before + 1, "{index}");
        assert!(parsed.segments.iter().all(|s| !s.discontinuity));
    }
}

#[test]
fn a_return_within_the_same_second_waits_for_the_next_segment() {
    let mut feed = Feed::new(30, 900);
    feed.run(40);
    feed.packager.interrupt();
    feed.packager.resume();
    feed.jump_to(945);
    feed.run(60);
    assert!(feed.packager.dropped(Dropped::Late) > 0);
    let numbers: Vec<_> = feed.snapshot(0).segments.iter().map(|s| s.number).collect();
    assert_eq!(numbers, [30, 31, 32]);
    assert_eq!(feed.snapshot(0).segments[2].start, 32 * 90_000);
    assert!(feed.snapshot(0).segments[2].discontinuity);
}

#[test]
fn frames_lost_with_a_worker_are_bridged() {
    let mut feed = Feed::new(30, 900);
    feed.run(70);
    feed.restart_at(975); // five frames are missing in the middle of a segment
    feed.run(60);
    for index in 0..3 {
        let snapshot = feed.snapshot(index);
        let all: Vec<_> = snapshot.segments.iter().flat_map(|s| samples(s)).collect();
        assert!(
            all.windows(2)
                .all(|pair| pair[0].0 + pair[0].1 == pair[1].0),
            "{index}"
        );
        assert!(snapshot.segments.iter().all(|s| !s.discontinuity && !s.gap));
    }
    let bridged = samples(&feed.snapshot(0).segments[2]);
    assert!(bridged.contains(&(970 * 3000, 6 * 3000)));
}

#[test]
fn a_segment_lost_with_a_worker_is_a_gap_and_audio_goes_on() {
    let mut feed = Feed::new(30, 900);
    feed.run(70);
    feed.restart_at(1025); // from 32.33 s to 34.17 s nothing came
    feed.run(60);
    let video = playlist::parse(&feed.media(0));
    let gaps: Vec<_> = video
        .segments
        .iter()
        .filter(|s| s.gap)
        .map(|s| s.number)
        .collect();
    assert_eq!(gaps, [33]);
    let returned = feed.snapshot(0).segment(34).unwrap();
    assert_eq!(
        returned.start,
        34 * 90_000,
        "stretched back to the segment's beginning"
    );
    let audio = playlist::parse(&feed.media(2));
    assert!(audio.segments.iter().all(|s| !s.gap));
    let presentation = feed.presentation.as_ref().unwrap();
    let periods: Vec<_> = presentation
        .periods
        .iter()
        .map(|p| p.first_segment)
        .collect();
    assert_eq!(
        periods,
        [30, 34],
        "DASH players must not ask for segment 33"
    );
    let ended = presentation.periods[0].end.map(|end| end.as_micros());
    assert_eq!(ended, Some(32_333_333));
}

#[test]
fn lost_audio_is_silence() {
    let mut feed = Feed::new(30, 900);
    feed.run(70);
    feed.aac += 20;
    feed.run(60);
    let snapshot = feed.snapshot(2);
    let all: Vec<_> = snapshot.segments.iter().flat_map(|s| samples(s)).collect();
    assert!(
        all.windows(2)
            .all(|pair| pair[0].0 + pair[0].1 == pair[1].0)
    );
    assert!(all.iter().all(|sample| sample.1 == 1024));
}

#[test]
fn frames_that_come_twice_are_dropped() {
    let mut feed = Feed::new(30, 900);
    feed.run(50);
    feed.restart_at(940);
    feed.run(40);
    assert!(feed.packager.dropped(Dropped::Late) >= 2);
    let all: Vec<_> = feed
        .snapshot(0)
        .segments
        .iter()
        .flat_map(|s| samples(s))
        .collect();
    assert!(
        all.windows(2)
            .all(|pair| pair[0].0 + pair[0].1 == pair[1].0)
    );
}

#[test]
fn a_restart_with_the_same_configuration_breaks_nothing() {
    let mut feed = Feed::new(30, 900);
    feed.run(70);
    feed.restart_at(970);
    feed.configure(super::SPS);
    feed.run(60);
    for index in 0..3 {
        let parsed = playlist::parse(&feed.media(index));
        assert!(parsed.segments.iter().all(|s| !s.discontinuity && !s.gap));
        assert_eq!(parsed.maps.len(), 1);
    }
    assert_eq!(feed.presentation.as_ref().unwrap().periods.len(), 1);
}

#[test]
fn a_new_configuration_is_a_discontinuity_in_all_renditions() {
    let mut feed = Feed::new(30, 900);
    feed.run(70);
    feed.restart_at(970);
    feed.configure(OTHER_SPS);
    feed.run(90);
    for index in 0..3 {
        let parsed = playlist::parse(&feed.media(index));
        let breaks: Vec<_> = parsed
            .segments
            .iter()
            .filter(|s| s.discontinuity)
            .map(|s| s.number)
            .collect();
        assert_eq!(breaks, [33], "{index}");
        assert_eq!(parsed.maps.len(), if index == 2 { 1 } else { 2 }, "{index}");
    }
    let presentation = feed.presentation.as_ref().unwrap();
    assert_eq!(presentation.periods.len(), 2);
    let codec = |period: usize| {
        presentation.periods[period].inits[0]
            .as_ref()
            .unwrap()
            .codec
            .clone()
    };
    assert_eq!(
        (codec(0).as_str(), codec(1).as_str()),
        ("avc1.64001f", "avc1.42c01f")
    );
}

#[test]
fn the_end_is_final() {
    let mut feed = Feed::new(30, 900);
    feed.run(45);
    feed.packager.end();
    feed.packager.resume();
    feed.run(45);
    assert!(feed.media(0).ends_with("#EXT-X-ENDLIST\n"));
    assert_eq!(feed.snapshot(0).newest(), Some(31));
    assert!(feed.packager.dropped(Dropped::NotLive) > 0);
}

#[test]
fn program_date_time_never_goes_back() {
    let mut feed = Feed::new(30, 907);
    feed.run(100);
    feed.packager.interrupt();
    feed.packager.resume();
    feed.jump_to(1300);
    feed.run(100);
    feed.restart_at(1410);
    feed.run(100);
    for index in 0..3 {
        let dates = playlist::parse(&feed.media(index)).dates;
        assert!(dates.windows(2).all(|pair| pair[0] < pair[1]), "{dates:?}");
        assert!(
            dates[0].starts_with("2026-01-01T00:00:30.4"),
            "epoch + 30.233 s: {}",
            dates[0]
        );
    }
}

#[test]
fn numbers_out_of_this_world_do_no_harm() {
    let mut feed = Feed::new(30, 900);
    feed.run(30);
    for number in [u64::MAX, 1 << 60, 0] {
        let data = bytes::Bytes::from_static(b"x");
        feed.give(&crate::transcode::Output::Video {
            rung: 0,
            number,
            idr: true,
            data: data.clone(),
        });
        feed.give(&crate::transcode::Output::Video {
            rung: 9,
            number,
            idr: true,
            data: data.clone(),
        });
        feed.give(&crate::transcode::Output::Audio { number, data });
    }
    feed.run(30);
    assert_eq!(feed.snapshot(0).newest(), Some(31));
    assert_eq!(feed.snapshot(2).newest(), Some(31));
}

#[test]
fn another_process_continues_behind_a_discontinuity() {
    let mut before = Feed::new(30, 900);
    before.run(30 * 5);
    let former = playlist::parse(&before.media(0));
    assert_eq!(former.preload_hint.as_deref(), Some("35.0.m4s"));
    // It died in segment 35, and the next one has frames from there on already.
    let spec = Spec {
        is_continued: true,
        taken_until: crate::timeline::MediaTime::from_micros(35_400_000),
        ..spec(30)
    };
    let mut after = Feed::with(spec, 1065);
    after.run(60);
    for index in 0..3 {
        let parsed = playlist::parse(&after.media(index));
        assert!(parsed.segments[0].discontinuity, "{index}");
        assert!(parsed.segments[1..].iter().all(|s| !s.discontinuity));
        assert_eq!(parsed.media_sequence, 36, "no number is used twice");
        let sequence = parsed.discontinuity_sequence;
        assert!(sequence > former.discontinuity_sequence, "{sequence}");
    }
    let fresh = playlist::parse(&before.media(0));
    assert!(
        !fresh.segments[0].discontinuity,
        "nobody saw what was before"
    );
}

#[test]
fn the_date_after_an_outage_is_that_of_its_frames() {
    let mut feed = Feed::new(30, 900);
    feed.run(60);
    feed.packager.interrupt();
    feed.packager.resume();
    // 35.5 s after the epoch, which is at a quarter of a second.
    feed.jump_to(1065);
    feed.run(60);
    let parsed = playlist::parse(&feed.media(0));
    let place = parsed.segments.iter().position(|s| s.number == 35).unwrap();
    assert_eq!(parsed.dates[place], "2026-01-01T00:00:35.750Z");
    assert_eq!(parsed.dates[place + 1], "2026-01-01T00:00:36.250Z");
    assert_eq!(parsed.dates[0], "2026-01-01T00:00:30.250Z");
}

#[test]
fn the_last_picture_of_a_segment_stands_for_those_that_were_never_made() {
    let mut feed = Feed::new(30, 900);
    feed.run(28);
    // Two frames short of the segment's end.
    feed.jump_to(930);
    feed.run(40);
    let segment = feed.snapshot(0).segment(30).unwrap();
    assert_eq!(segment.duration, 90_000);
    let last = *samples(segment).last().unwrap();
    assert_eq!(last, (927 * 3000, 9000));
}
