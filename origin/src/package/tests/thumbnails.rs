//! Small pictures of the window.

use std::time::Duration;

use bytes::Bytes;

use super::{Feed, Spec, spec};
use crate::{package::dash, timeline::MediaTime, transcode};

fn thumbnail(feed: &mut Feed, number: u64) {
    feed.give(&transcode::Output::Thumbnail {
        number,
        data: Bytes::from(format!("jpeg {number}")),
    });
}

fn picture(feed: &Feed, segment: u64) -> Option<String> {
    let found = feed.thumbnails.as_ref()?.find(segment)?;
    Some(String::from_utf8(found.data.to_vec()).unwrap())
}

fn segments(text: &str) -> Vec<u64> {
    let uris = text
        .lines()
        .filter_map(|line| line.strip_prefix("thumbnails/"));
    uris.map(|uri| uri.strip_suffix(".jpg").unwrap().parse().unwrap())
        .collect()
}

fn text(feed: &Feed) -> String {
    let thumbnails = feed.thumbnails.as_ref().unwrap();
    thumbnails.webvtt(feed.packager.epoch()).unwrap()
}

#[test]
fn the_list_has_media_time_and_says_where_it_counts_from() {
    // Second 95,443 is the first that 33 bits of 90 kHz cannot hold; the stream begins
    // seven frames into it.
    let first = 30 * 95_444 + 7;
    let mut feed = Feed::new(30, first);
    feed.run_with_thumbnails(2);
    let head = "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:26:30:44.233,MPEGTS:46378\n\n\
                NOTE Times count from 2026-01-01T00:00:00.250Z\n";
    let cues = "\n26:30:44.233 --> 26:30:45.000\nthumbnails/95444.jpg\n\
                \n26:30:45.000 --> 26:30:46.000\nthumbnails/95445.jpg\n";
    assert_eq!(text(&feed), format!("{head}{cues}"));
}

#[test]
fn the_pictures_are_those_of_the_window() {
    let mut feed = Feed::new(30, 900);
    assert!(feed.thumbnails.is_none());
    feed.run_with_thumbnails(80);
    let listed = segments(&text(&feed));
    assert_eq!(listed, (49..110).collect::<Vec<_>>());
    let window = feed.snapshot(0).listed();
    assert_eq!(window.first().unwrap().number, 50);
    assert_eq!(picture(&feed, 109).unwrap(), "jpeg 3270");
    assert_eq!((picture(&feed, 48), picture(&feed, 110)), (None, None));
    assert_eq!(feed.thumbnails.as_ref().unwrap().newest(), Some(109));
}

#[test]
fn a_long_window_has_a_picture_for_several_segments() {
    let spec = Spec {
        window: Duration::from_secs(3600),
        ..spec(30)
    };
    let mut feed = Feed::with(spec, 30 * 1_199);
    // A worker makes one in twelve; a new one begins with one of its own.
    assert_eq!(feed.packager.layout().thumbnail_segments, 12);
    feed.run_with_thumbnails(40);
    assert_eq!(segments(&text(&feed)), [1_199, 1_200, 1_212, 1_224, 1_236]);
    assert!(text(&feed).contains("00:19:59.000 --> 00:20:00.000\n"));
    assert!(text(&feed).contains("00:20:00.000 --> 00:20:12.000\n"));
    for segment in 1_200..1_212 {
        assert_eq!(picture(&feed, segment).unwrap(), "jpeg 36000");
    }
    assert_eq!(feed.thumbnails.as_ref().unwrap().newest(), Some(1_247));
}

#[test]
fn a_gap_has_no_pictures_and_one_beyond_the_window_ends_what_was_before() {
    let mut feed = Feed::new(30, 900);
    feed.run_with_thumbnails(3);
    for (to, expected) in [(40, vec![30, 31, 32, 40, 41]), (400, vec![400, 401])] {
        feed.packager.interrupt();
        feed.packager.resume();
        feed.jump_to(30 * to);
        feed.run_with_thumbnails(2);
        assert_eq!(segments(&text(&feed)), expected);
    }
}

#[test]
fn what_ends_keeps_its_pictures_and_takes_no_more() {
    let mut feed = Feed::new(30, 900);
    feed.run_with_thumbnails(2);
    feed.run(1);
    feed.packager.end();
    feed.drain();
    thumbnail(&mut feed, 960);
    assert_eq!(segments(&text(&feed)), [30, 31]);
}

#[test]
fn a_picture_out_of_time_is_refused() {
    let mut feed = Feed::new(30, 900);
    thumbnail(&mut feed, 900);
    assert!(feed.thumbnails.is_none(), "its frame has not come");
    feed.run_with_thumbnails(2);
    for number in [u64::MAX, 1 << 47, 960, 931, 0] {
        thumbnail(&mut feed, number);
    }
    assert_eq!(segments(&text(&feed)), [30, 31]);
    assert_eq!(picture(&feed, 31).unwrap(), "jpeg 930");
}

#[test]
fn another_process_gives_no_name_to_another_picture() {
    let spec = Spec {
        is_continued: true,
        taken_until: MediaTime::from_micros(35_400_000),
        ..spec(30)
    };
    let mut feed = Feed::with(spec, 1065);
    feed.run_with_thumbnails(3);
    assert_eq!(segments(&text(&feed)), [36, 37]);
    // Nor to one that stood for a segment which had not come yet.
    let mut long = super::spec(30);
    long.window = Duration::from_secs(3600);
    long.taken_until = MediaTime::from_micros(1_201_400_000);
    let mut feed = Feed::with(long, 30 * 1_202);
    feed.run_with_thumbnails(12);
    assert_eq!(segments(&text(&feed)), [1_212]);
}

#[test]
fn the_mpd_counts_them_by_segments_once_there_is_one() {
    let mut feed = Feed::new(30, 907);
    feed.run(30);
    let manifest = |feed: &Feed| dash::manifest(feed.presentation.as_ref().unwrap());
    assert!(!manifest(&feed).contains("image"));
    feed.run_with_thumbnails(1);
    let xml = manifest(&feed);
    let set = xml.split("<AdaptationSet id=\"9\"").nth(1).unwrap();
    for said in [
        "mimeType=\"image/jpeg\"",
        "width=\"192\" height=\"108\"",
        "schemeIdUri=\"http://dashif.org/guidelines/thumbnail_tile\" value=\"1x1\"",
        "timescale=\"1\" duration=\"1\" startNumber=\"30\" presentationTimeOffset=\"30\"",
        "availabilityTimeOffset=\"0.850000\" media=\"$RepresentationID$/$Number$.jpg\"",
    ] {
        assert!(set.contains(said), "{said}: {set}");
    }
    assert!(set.trim_start().ends_with("</MPD>\n") && !set.contains("<AdaptationSet"));
}
