//! Small pictures of the DVR window, for players that show what lies where on a seek
//! bar, and the WebVTT file that lists them; pure.
//!
//! The window is cut into *stretches* of one segment, or of so many that no more than
//! [`MAX_STRETCHES`] make it up, and each has one picture. It can be fetched by the
//! number of any segment in the stretch, so that DASH, which counts them by
//! `$Number$`, asks for `thumbnails/1234.jpg` as it asks for `720p/1234.m4s`.
//!
//! Cue times are media time, that of `tfdt`: seconds since the stream's epoch. That is
//! what `currentTime` of a DASH player is, as the MPD begins at the epoch. An HLS
//! player counts from somewhere else: it has `X-TIMESTAMP-MAP` (RFC 8216bis §3.1.4) for
//! media time, and the epoch in a note for what `EXT-X-PROGRAM-DATE-TIME` says.

use std::{collections::VecDeque, fmt::Write, sync::Arc};

use bytes::Bytes;

use super::{Layout, iso8601};
use crate::timeline::{Epoch, MediaTime, VIDEO_TIMESCALE};

/// Most stretches of a window. A seek bar has hardly more places to point at; with
/// 192 pixels and some 5 kB each they take 1.5 MB at most.
pub(super) const MAX_STRETCHES: usize = 300;

/// One picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// The first segment of which it is the picture; the number in its URL.
    pub segment: u64,
    /// When the frame is shown that it shows.
    pub start: MediaTime,
    /// Where its stretch ends.
    pub end: MediaTime,
    /// The JPEG.
    pub data: Bytes,
}

/// The pictures of the window at one moment.
#[derive(Clone, Debug, Default)]
pub struct Thumbnails {
    /// Segments in a stretch.
    stretch: u64,
    /// Oldest first, one for each stretch that has one.
    list: Vec<Arc<Thumbnail>>,
}

impl Thumbnails {
    /// The picture of a segment; `None` where none was made, or is kept.
    pub fn find(&self, segment: u64) -> Option<&Arc<Thumbnail>> {
        let stretch = segment.checked_div(self.stretch)?;
        let of = |known: &Arc<Thumbnail>| known.segment / self.stretch;
        let place = self.list.binary_search_by_key(&stretch, of).ok()?;
        self.list.get(place)
    }

    /// The newest segment that has one; `None` before the first.
    pub fn newest(&self) -> Option<u64> {
        let last = self.list.last()?.segment / self.stretch;
        Some((last + 1) * self.stretch - 1)
    }

    /// Writes the WebVTT file; `None` before the first picture.
    pub fn webvtt(&self, epoch: Epoch) -> Option<String> {
        let first = self.list.first()?;
        let mut text = String::with_capacity(128 + 64 * self.list.len());
        // Of the moment as it is written, and 33 bits of it as in MPEG-2 streams
        // (RFC 8216bis §3.1.4).
        let ticks = millis(first.start) * i64::from(VIDEO_TIMESCALE) / 1000;
        // Writing to a string cannot fail; the results carry nothing.
        _ = writeln!(
            text,
            "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:{},MPEGTS:{}\n\nNOTE Times count from {}",
            clock(first.start),
            ticks & ((1 << 33) - 1),
            iso8601(epoch.0),
        );
        for it in &self.list {
            let (start, end) = (clock(it.start), clock(it.end));
            _ = writeln!(text, "\n{start} --> {end}\nthumbnails/{}.jpg", it.segment);
        }
        Some(text)
    }
}

/// The pictures, owned by the packager.
#[derive(Debug)]
pub(super) struct Album {
    layout: Layout,
    /// Stretches before it may have had pictures of an earlier process, which a cache
    /// may hold under the same names.
    floor: u64,
    list: VecDeque<Arc<Thumbnail>>,
}

impl Album {
    /// Takes pictures from `first_segment` on.
    pub(super) fn new(layout: Layout, first_segment: u64) -> Self {
        Self {
            layout,
            floor: first_segment.div_ceil(layout.thumbnail_segments.max(1)),
            list: VecDeque::new(),
        }
    }

    /// Takes the picture of a frame, unless its stretch has one. Returns whether it is
    /// news.
    pub(super) fn push(&mut self, frame: u64, data: Bytes) -> bool {
        let beat = &self.layout.video;
        let (segment, per) = (beat.segment_of(frame), self.layout.thumbnail_segments);
        let of = |segment: u64| segment / per.max(1);
        let stretch = of(segment);
        let taken = self.list.back().is_some_and(|it| of(it.segment) >= stretch);
        if data.is_empty() || taken || stretch < self.floor {
            return false;
        }
        self.list.push_back(Arc::new(Thumbnail {
            segment,
            start: beat.time(beat.ticks(frame)),
            end: self
                .layout
                .segment_start(stretch.saturating_add(1).saturating_mul(per)),
            data,
        }));
        let oldest = segment.saturating_sub(self.layout.window_segments as u64);
        while self
            .list
            .pop_front_if(|it| of(it.segment) < of(oldest))
            .is_some()
        {}
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn snapshot(&self) -> Thumbnails {
        Thumbnails {
            stretch: self.layout.thumbnail_segments,
            list: self.list.iter().cloned().collect(),
        }
    }
}

/// A moment as WebVTT writes it (W3C WebVTT §4.3), cut to whole milliseconds.
fn clock(at: MediaTime) -> String {
    let millis = millis(at);
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    format!(
        "{:02}:{:02}:{seconds:02}.{millis:03}",
        minutes / 60,
        minutes % 60
    )
}

fn millis(at: MediaTime) -> i64 {
    at.as_micros().max(0) / 1000
}
