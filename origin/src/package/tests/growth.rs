//! A ladder that grows: what is there goes on, what is new joins it.

use super::{Feed, OTHER_SPS, playlist};
use crate::{
    package::{dash, hls},
    transcode::ladder::{Resolution, Rung},
};

/// Two rungs for a while, then a taller one and one in between.
fn grown() -> Feed {
    let mut feed = Feed::new(30, 900);
    // An earlier break has left the playlists behind it counting.
    feed.run(100);
    feed.packager.interrupt();
    feed.packager.resume();
    feed.jump_to(1020);
    feed.run(90);
    feed.packager.interrupt();
    feed.drain();
    let rung = |width, height| Rung {
        resolution: Resolution { width, height },
        bitrate: 2_000_000,
    };
    let mut ladder = super::spec(30).ladder;
    ladder.insert(0, rung(1920, 1080));
    ladder.insert(2, rung(960, 540));
    feed.packager.enlarge(ladder);
    feed.snapshots = [None, feed.snapshots[0].take(), None]
        .into_iter()
        .chain(feed.snapshots.drain(1..))
        .collect();
    feed.packager.resume();
    feed.configure(super::SPS);
    // The next segment begins with the next frame.
    assert_eq!(feed.frame % 30, 0);
    feed.jump_to(feed.frame);
    feed.run(45);
    feed
}

#[test]
fn the_rungs_that_there_were_go_on_behind_a_discontinuity() {
    let feed = grown();
    assert_eq!(
        feed.packager.names(),
        ["1080p", "720p", "540p", "360p", "audio"]
    );
    for index in [1, 3, 4] {
        let parsed = playlist::parse(&feed.media(index));
        let numbers: Vec<_> = parsed.segments.iter().map(|it| it.number).collect();
        assert_eq!(numbers, [30, 31, 32, 33, 34, 35, 36, 37], "{index}");
        let last = parsed.segments.last().unwrap();
        assert!(last.discontinuity && !last.gap, "{index}");
        assert_eq!(parsed.maps.len(), 1, "{index}: the same init segment");
        assert!(parsed.segments.iter().all(|it| !it.gap), "{index}");
    }
}

#[test]
fn new_rungs_count_discontinuities_as_the_others_do() {
    let feed = grown();
    let sequence = |index: usize| {
        let parsed = playlist::parse(&feed.media(index));
        let breaks = parsed.segments.iter().filter(|it| it.discontinuity).count();
        parsed.discontinuity_sequence + breaks as u64
    };
    for index in [0, 2] {
        let parsed = playlist::parse(&feed.media(index));
        assert_eq!(parsed.media_sequence, 37, "{index}");
        assert_eq!(sequence(index), sequence(1), "{index}");
    }
}

#[test]
fn the_whole_shows_new_rungs_once_they_can_be_played() {
    let feed = grown();
    let presentation = feed.presentation.as_ref().unwrap();
    let master = hls::master(presentation);
    let uris: Vec<_> = master
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(
        uris,
        [
            "1080p/media.m3u8",
            "720p/media.m3u8",
            "540p/media.m3u8",
            "360p/media.m3u8"
        ]
    );
    let manifest = dash::manifest(presentation);
    let periods: Vec<_> = manifest.split("<Period ").skip(1).collect();
    let rungs = |period: &str| period.matches("mimeType=\"video/mp4\"").count();
    let count = |period: &str| period.matches("<Representation ").count();
    assert_eq!(
        periods.iter().map(|it| rungs(it)).collect::<Vec<_>>(),
        [1, 1, 1]
    );
    // Two and the sound before, four and the sound now.
    assert_eq!(
        periods.iter().map(|it| count(it)).collect::<Vec<_>>(),
        [3, 3, 5]
    );
    assert!(!periods[1].contains("1080p") && periods[1].contains("audio/init-"));
}

#[test]
fn nothing_is_announced_before_every_new_rung_has_a_part() {
    let mut feed = Feed::new(30, 900);
    feed.run(60);
    feed.packager.interrupt();
    feed.drain();
    let before = feed.presentation.clone().unwrap();
    let mut ladder = super::spec(30).ladder;
    let mut taller = ladder[0].clone();
    taller.resolution = Resolution {
        width: 1920,
        height: 1080,
    };
    ladder.insert(0, taller);
    feed.packager.enlarge(ladder);
    feed.snapshots = vec![None; 4];
    feed.packager.resume();
    feed.configure(OTHER_SPS);
    feed.jump_to(960);
    feed.run(5);
    let renditions = |feed: &Feed| feed.presentation.as_ref().unwrap().renditions.len();
    assert_eq!(renditions(&feed), before.renditions.len());
    feed.run(1);
    assert_eq!(renditions(&feed), 4);
}
