//! Rungs that leave because the machine cannot keep up, and return.

use bytes::Bytes;

use super::{Feed, PPS, SPS, playlist, samples};
use crate::{
    package::{State, dash, hls},
    transcode::Output,
};

/// A rung that leaves at segment 34, in a stream that began with 30.
fn shed() -> Feed {
    let mut feed = Feed::new(30, 900);
    feed.run(15);
    feed.give(&planned(false, 1020));
    feed.left_out.push((0, 1020..u64::MAX));
    feed
}

fn planned(is_made: bool, from: u64) -> Output {
    Output::RungPlanned {
        rung: 0,
        is_made,
        from,
    }
}

/// The rung whose pictures a segment holds; the feed writes its number.
fn pictures(feed: &Feed, rendition: usize, segment: u64) -> Vec<u8> {
    let segment = feed.snapshot(rendition).segment(segment).unwrap();
    let last = |chunk: &Bytes| chunk[chunk.len() - 1] - 1;
    let mut rungs: Vec<u8> = segment.chunks.iter().map(last).collect();
    rungs.dedup();
    rungs
}

fn breaks(feed: &Feed, rendition: usize) -> Vec<u64> {
    breaks_of(&playlist::parse(&feed.media(rendition)))
}

fn breaks_of(parsed: &playlist::Playlist) -> Vec<u64> {
    let breaks = parsed.segments.iter().filter(|s| s.discontinuity);
    breaks.map(|s| s.number).collect()
}

#[test]
fn its_rendition_goes_on_with_the_pictures_of_the_next_below() {
    let mut feed = shed();
    feed.run(300);
    assert_eq!(pictures(&feed, 0, 33), [0]);
    for segment in 34..40 {
        assert_eq!(pictures(&feed, 0, segment), [1], "{segment}");
    }
    for index in 0..3 {
        assert_eq!(breaks(&feed, index), [34], "equal in all renditions");
        let parsed = playlist::parse(&feed.media(index));
        assert!(parsed.segments.iter().all(|s| !s.gap));
        assert_eq!(parsed.maps.len(), if index == 0 { 2 } else { 1 });
        let segments = &feed.snapshot(index).segments;
        let all: Vec<_> = segments.iter().flat_map(|s| samples(s)).collect();
        let is_whole = |pair: &[(u64, u64)]| pair[0].0 + pair[0].1 == pair[1].0;
        assert!(all.windows(2).all(is_whole), "{index}");
    }
    let init = |rendition: usize| feed.snapshot(rendition).segment(36).unwrap().init.clone();
    assert_eq!(init(0).name, init(1).name);
}

#[test]
fn no_part_is_hinted_whose_init_segment_is_not_known_yet() {
    let mut feed = shed();
    feed.run(105);
    assert_eq!(feed.frame, 1020);
    for index in 0..2 {
        assert!(!feed.media(index).contains("PRELOAD-HINT"), "{index}");
    }
    feed.run(6);
    for index in 0..2 {
        let media = feed.media(index);
        assert!(media.contains("PRELOAD-HINT:TYPE=PART,URI=\"34.1.m4s\""));
    }
    feed.run(24);
    assert!(feed.media(0).contains("URI=\"35.0.m4s\""), "as ever");
}

#[test]
fn who_comes_is_not_told_of_it() {
    let mut feed = Feed::new(30, 900);
    feed.run(15);
    let master = |feed: &Feed| hls::master(feed.presentation.as_ref().unwrap());
    assert!(master(&feed).contains("720p/media.m3u8"));
    feed.give(&planned(false, 1020));
    assert!(!master(&feed).contains("720p"), "at once");
    assert!(master(&feed).contains("360p/media.m3u8"));
    let legacy = hls::legacy::master(feed.presentation.as_ref().unwrap());
    assert!(!legacy.contains("720p") && legacy.contains("360p/media.m3u8"));
    feed.give(&planned(true, 2010));
    assert!(master(&feed).contains("720p/media.m3u8"));
}

#[test]
fn dash_players_learn_of_it_before_it_happens() {
    let mut feed = shed();
    let before = dash::manifest(feed.presentation.as_ref().unwrap());
    feed.run(300);
    let after = dash::manifest(feed.presentation.as_ref().unwrap());
    for mpd in [before, after] {
        let (old, new) = mpd.split_once("<Period id=\"34\"").unwrap();
        assert!(
            old.contains("start=\"PT30.000000S\" duration=\"PT4.000000S\""),
            "{old}"
        );
        assert!(new.starts_with(" start=\"PT34.000000S\">"), "{new}");
        assert!(old.contains("Representation id=\"720p\""));
        assert!(!new.contains("720p") && new.contains("Representation id=\"360p\""));
        assert!(new.contains("Representation id=\"audio\""));
    }
}

#[test]
fn it_returns_to_its_own_pictures() {
    let mut feed = shed();
    feed.run(200);
    feed.give(&planned(true, 1230));
    feed.left_out = vec![(0, 1020..1230)];
    feed.run(200);
    assert_eq!(pictures(&feed, 0, 40), [1]);
    assert_eq!(pictures(&feed, 0, 41), [0]);
    let names = |segment| feed.snapshot(0).segment(segment).unwrap().init.name.clone();
    assert_eq!(names(33), names(41));
    for index in 0..3 {
        assert_eq!(breaks(&feed, index), [34, 41]);
    }
    let presentation = feed.presentation.as_ref().unwrap();
    let absent: Vec<_> = presentation
        .periods
        .iter()
        .map(|it| it.absent.len())
        .collect();
    assert_eq!(absent, [0, 1, 0]);
    assert!(presentation.periods.iter().all(|it| it.inits.len() == 3));
}

#[test]
fn the_last_frames_of_the_old_rung_may_come_late() {
    let mut feed = shed();
    feed.run(100);
    assert_eq!(feed.frame, 1015);
    // The rung above is five frames behind the one below.
    feed.left_out.push((0, 1015..1020));
    feed.run(10);
    for number in 1015..1020 {
        let data = Bytes::from_static(&[1; 900]);
        feed.give(&Output::Video {
            rung: 0,
            number,
            idr: false,
            data,
        });
    }
    feed.run(60);
    for (segment, rung) in [(33, 0), (34, 1)] {
        assert_eq!(pictures(&feed, 0, segment), [rung]);
        let segment = feed.snapshot(0).segment(segment).unwrap();
        assert_eq!(samples(segment).len(), 30, "none is lost");
    }
}

#[test]
fn an_end_that_never_comes_is_not_waited_for() {
    let mut feed = shed();
    feed.left_out.push((0, 1000..1020));
    feed.run(200);
    assert_eq!(pictures(&feed, 0, 34), [1]);
    assert_eq!(samples(feed.snapshot(0).segment(34).unwrap()).len(), 30);
}

#[test]
fn a_new_worker_changes_nothing_about_it() {
    let mut feed = shed();
    feed.run(200);
    let frame = feed.frame + 2;
    feed.restart_at(frame);
    feed.configure(SPS);
    feed.run(60);
    assert_eq!(pictures(&feed, 0, 38), [1]);
    // Two frames are made by neither worker.
    let parsed = playlist::parse_with_holes(&feed.media(0));
    assert_eq!(breaks_of(&parsed), [34]);
    assert_eq!(feed.presentation.as_ref().unwrap().periods.len(), 2);
}

#[test]
fn a_presenter_who_returns_gets_every_rung() {
    let mut feed = shed();
    feed.run(200);
    feed.packager.interrupt();
    feed.drain();
    assert_eq!(feed.snapshot(0).state, State::Interrupted);
    feed.packager.expect_all_rungs();
    feed.packager.resume();
    feed.left_out.clear();
    feed.configure(SPS);
    feed.jump_to(1260);
    feed.run(60);
    assert_eq!(pictures(&feed, 0, 42), [0]);
    let presentation = feed.presentation.as_ref().unwrap();
    assert_eq!(presentation.periods.last().unwrap().absent, [0; 0]);
    assert!(hls::master(presentation).contains("720p"));
}

#[test]
fn who_returns_within_a_sealed_segment_opens_it_for_no_rung() {
    let mut feed = shed();
    feed.run(200);
    feed.packager.interrupt();
    feed.drain();
    let sealed = feed.snapshot(0).segments.last().unwrap().number;
    feed.packager.expect_all_rungs();
    feed.packager.resume();
    feed.left_out.clear();
    feed.configure(SPS);
    // The next frame of the same second, and on.
    feed.jump_to(feed.frame + 3);
    feed.run(90);
    for index in 0..2 {
        let numbers: Vec<_> = feed
            .snapshot(index)
            .segments
            .iter()
            .map(|s| s.number)
            .collect();
        let again = numbers.iter().filter(|number| **number == sealed).count();
        assert_eq!(again, 1, "{index}: {numbers:?}");
        assert!(
            numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "{numbers:?}"
        );
    }
}

#[test]
fn a_jump_of_the_clock_leaves_it_where_it_is() {
    let mut feed = shed();
    feed.run(30);
    // Over the segment in which it leaves.
    feed.packager.interrupt();
    feed.packager.resume();
    feed.jump_to(1080);
    feed.run(60);
    assert_eq!(pictures(&feed, 0, 36), [1]);
    let presentation = feed.presentation.as_ref().unwrap();
    let periods: Vec<_> = presentation
        .periods
        .iter()
        .map(|it| (it.first_segment, it.absent.len()))
        .collect();
    assert_eq!(periods, [(30, 0), (36, 1)]);
    assert_eq!(
        presentation.periods[0].end.map(|end| end.as_micros()),
        Some(31_500_000)
    );
}

#[test]
fn a_jump_short_of_it_leaves_the_plan() {
    let mut feed = shed();
    feed.run(5);
    feed.packager.interrupt();
    feed.packager.resume();
    feed.jump_to(960);
    feed.run(120);
    let presentation = feed.presentation.as_ref().unwrap();
    let periods: Vec<_> = presentation
        .periods
        .iter()
        .map(|it| (it.first_segment, it.absent.len()))
        .collect();
    assert_eq!(periods, [(30, 0), (32, 0), (34, 1)]);
    assert_eq!(pictures(&feed, 0, 34), [1]);
}

#[test]
fn other_parameter_sets_of_a_rung_that_is_not_shown_break_nothing() {
    let mut feed = shed();
    feed.run(200);
    let before = breaks(&feed, 0);
    let sps = Bytes::from_static(&[0x67, 0x42, 0xc0, 0x1f, 0x01, 0x02]);
    let pps = Bytes::from_static(PPS);
    feed.give(&Output::VideoConfig { rung: 0, sps, pps });
    feed.run(60);
    assert_eq!(breaks(&feed, 0), before);
}
