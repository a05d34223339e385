//! The beginning of a stream, and the far end of its playlists.

use std::sync::Arc;

use super::{Live, MEDIA, header};
use crate::package::tests::playlist;

#[tokio::test]
async fn everything_is_there_with_the_first_part() {
    let live = Live::new(6);
    live.text("/cmaf/1_7/master.m3u8").await;
    live.text("/cmaf/1_7/index.mpd").await;
    let parsed = playlist::parse(&live.text(MEDIA).await);
    assert!(parsed.segments.is_empty(), "no segment is complete");
    assert_eq!(parsed.trailing_parts.len(), 1);
}

#[tokio::test]
async fn parts_can_be_fetched_when_the_playlist_has_ceased_to_name_them() {
    let live = Live::new(30 * 20);
    let parsed = playlist::parse(&live.text(MEDIA).await);
    let named = |s: &&playlist::Segment| !s.parts.is_empty();
    let first = parsed.segments.iter().find(named).unwrap().number;
    for number in first - 3..first {
        for part in 0..5 {
            let path = format!("/cmaf/1_7/720p/{number}.{part}.m4s");
            assert_eq!(live.status(&path).await, (200, None), "{path}");
        }
    }
}

#[tokio::test]
async fn a_playlist_is_rendered_once_for_all_who_ask() {
    let mut live = Live::new(100);
    let track = live.stream.track("720p").unwrap();
    let media = |live: &Live, delta| live.stream.media(&track, delta);
    let first = media(&live, false);
    assert!(Arc::ptr_eq(&first, &media(&live, false)));
    assert_eq!(first.gzip().as_ptr(), media(&live, false).gzip().as_ptr());
    assert!(Arc::ptr_eq(&media(&live, true), &media(&live, true)));
    let master = live.stream.master().unwrap();
    assert!(Arc::ptr_eq(&master, &live.stream.master().unwrap()));
    live.run(12);
    assert!(
        !Arc::ptr_eq(&first, &media(&live, false)),
        "two parts later"
    );
}

#[tokio::test]
async fn pages_may_read_every_header_that_players_use() {
    let live = Live::new(30);
    let response = live.get(MEDIA).await;
    let exposed = header(&response, "access-control-expose-headers").unwrap();
    let exposed: Vec<_> = exposed.split(", ").collect();
    for name in [
        "X-Err-Code",
        "Age",
        "Date",
        "ETag",
        "Content-Length",
        "Content-Range",
        "Retry-After",
    ] {
        assert!(exposed.contains(&name), "{name}");
    }
    assert_eq!(
        header(&response, "timing-allow-origin").as_deref(),
        Some("*")
    );
}
