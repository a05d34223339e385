//! Playlists of transport streams.

use super::{Feed, Snapshot, playlist};
use crate::{package::hls::legacy, timeline::FrameRate};

fn media(feed: &Feed) -> Option<String> {
    let (video, audio) = (feed.snapshot(0), feed.snapshot(2));
    let last = legacy::newest(video, audio)?;
    Some(up_to(feed, video, last))
}

fn up_to(feed: &Feed, video: &Snapshot, last: u64) -> String {
    let layout = feed.packager.layout();
    legacy::media(video, last, &layout.video, layout, feed.packager.epoch())
}

fn uris(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn a_playlist_lists_whole_segments_and_nothing_newer_than_version_3() {
    let mut feed = Feed::new(30, 907);
    feed.run(75);
    let text = media(&feed).unwrap();
    let head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:30\n\
                #EXT-X-DISCONTINUITY-SEQUENCE:30\n#EXT-X-INDEPENDENT-SEGMENTS\n\
                #EXT-X-DISCONTINUITY\n";
    let first = "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:30.483Z\n#EXTINF:0.766667,\n30.ts\n";
    let second = "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:31.250Z\n#EXTINF:1.000000,\n31.ts\n";
    let head = head.replace("#EXT-X-DISCONTINUITY\n", "");
    assert_eq!(text, format!("{head}{first}{second}"));
}

#[test]
fn a_segment_is_listed_when_its_sound_is_complete_too() {
    let mut feed = Feed::new(30, 900);
    feed.run(30);
    // The last AAC frame that begins in the segment comes with the next frame.
    assert_eq!(feed.snapshot(0).segments.last().unwrap().number, 30);
    assert_eq!(legacy::newest(feed.snapshot(0), feed.snapshot(2)), Some(30));
    let early = {
        let mut audio = feed.snapshot(2).clone();
        audio.open = audio.segments.pop();
        audio
    };
    assert_eq!(legacy::newest(feed.snapshot(0), &early), Some(29));
    assert_eq!(uris(&up_to(&feed, feed.snapshot(0), 29)), [""; 0]);
}

#[test]
fn breaks_and_gaps_and_the_end_are_marked() {
    let mut feed = Feed::new(30, 900);
    feed.run(60);
    feed.packager.interrupt();
    feed.packager.resume();
    feed.jump_to(1000);
    feed.run(80);
    feed.packager.end();
    feed.drain();
    let text = media(&feed).unwrap();
    assert!(text.ends_with("35.ts\n#EXT-X-ENDLIST\n"), "{text}");
    let listed = ["30.ts", "31.ts", "32.ts", "33.ts", "34.ts", "35.ts"];
    assert_eq!(uris(&text), listed);
    let blocks: Vec<_> = text.split(".ts\n").collect();
    assert!(blocks[2].contains("#EXT-X-GAP\n"), "32 has no media");
    assert!(
        blocks[3].contains("#EXT-X-DISCONTINUITY\n"),
        "33 is another run"
    );
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
}

#[test]
fn the_multivariant_playlist_names_both_codecs_and_the_whole_rate() {
    let mut feed = Feed::new(30, 900);
    feed.run(40);
    let presentation = feed.presentation.as_ref().unwrap();
    let text = legacy::master(presentation);
    assert!(!text.contains("EXT-X-MEDIA:"), "the sound is in each rung");
    let lines: Vec<_> = text.lines().collect();
    let variant = lines[3].strip_prefix("#EXT-X-STREAM-INF:").unwrap();
    let variant = playlist::attributes(variant);
    assert_eq!(playlist::find(&variant, "CODECS"), "avc1.64001f,mp4a.40.2");
    assert_eq!(playlist::find(&variant, "RESOLUTION"), "1280x720");
    let peak: u64 = playlist::find(&variant, "BANDWIDTH").parse().unwrap();
    let inside = presentation.renditions[0].peak + presentation.renditions[2].peak;
    assert!(peak > inside && peak < inside * 11 / 10, "{peak} {inside}");
    assert_eq!(lines[4], "720p/media.m3u8");
    assert_eq!(lines[6], "360p/media.m3u8");
}

#[test]
fn the_announced_overhead_covers_the_real_one() {
    let mut feed = Feed::new(30, 900);
    feed.run(120);
    let beat = feed.packager.layout().audio;
    let rate = FrameRate::DEFAULT;
    for number in 30..33 {
        let (video, audio) = (feed.snapshot(0), feed.snapshot(2));
        let (video, audio) = (video.segment(number), audio.segment(number));
        let (video, audio) = (video.unwrap(), audio.unwrap());
        let media = (video.size() + audio.size()) as u64 * 8;
        let muxed = crate::package::ts::segment(video, Some((audio, &beat))).unwrap();
        let announced = crate::package::ts::bits_per_second(media, rate);
        let real = muxed.len() as u64 * 8;
        assert!(
            real <= announced && announced < real * 6 / 5,
            "{real} {announced}"
        );
    }
}
