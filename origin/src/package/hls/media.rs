//! A rendition's media playlist, whole or as a delta update.

use std::{fmt::Write, sync::Arc};

use crate::package::{Beat, Init, Layout, Segment, Snapshot, State, iso8601};
use crate::timeline::Epoch;

use super::VERSION;

/// Target durations that a client is told to stay behind the edge when it
/// plays whole segments (RFC 8216bis §4.4.3.8: at least three).
const HOLD_BACK: u32 = 3;

/// Parts that a client is told to stay behind the edge (at least three).
const PART_HOLD_BACK: u64 = 3;

/// Target durations before the edge that delta updates may leave out (at
/// least six).
const SKIP_UNTIL: u32 = 6;

/// Target durations before the edge in which a segment must begin to show its
/// parts: none of them is then older than that (§6.2.2).
const PARTS_WITHIN: u64 = 3;

/// How far another rendition is (§4.4.5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The other rendition's name.
    pub name: String,
    /// Its last listed segment.
    pub last_segment: u64,
    /// The last part of that segment; `None` when it has none.
    pub last_part: Option<usize>,
}

/// Writes a media playlist; `delta` leaves out the old segments (§6.2.5.1).
pub fn media(
    snapshot: &Snapshot,
    beat: &Beat,
    layout: &Layout,
    epoch: Epoch,
    reports: &[Report],
    delta: bool,
) -> String {
    let mut writer = Writer {
        text: String::with_capacity(8192),
        snapshot,
        beat,
        layout,
        epoch,
        init: None,
    };
    writer.header();
    let skipped = if delta { writer.skip() } else { 0 };
    for segment in snapshot.listed().iter().skip(skipped) {
        writer.segment(segment);
    }
    if let Some(open) = snapshot.open.as_ref().filter(|open| !open.parts.is_empty()) {
        writer.opening(open);
        writer.parts(open);
    }
    match snapshot.state {
        State::Live => writer.preload_hint(),
        // What comes next, and whether, is not known.
        State::Interrupted => {}
        State::Ended => writer.line(format_args!("#EXT-X-ENDLIST")),
    }
    if snapshot.state != State::Ended {
        reports.iter().for_each(|report| writer.report(report));
    }
    writer.text
}

struct Writer<'a> {
    text: String,
    snapshot: &'a Snapshot,
    beat: &'a Beat,
    layout: &'a Layout,
    epoch: Epoch,
    /// The init segment that the last `EXT-X-MAP` named.
    init: Option<&'a Arc<Init>>,
}

impl<'a> Writer<'a> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail; the result carries nothing.
        _ = writeln!(self.text, "{line}");
    }

    fn header(&mut self) {
        let target = self.layout.segment_seconds;
        // One part target for all renditions: the video's.
        let video = &self.layout.video;
        let part = video.part_ticks();
        self.line(format_args!("#EXTM3U\n#EXT-X-VERSION:{VERSION}"));
        self.line(format_args!("#EXT-X-TARGETDURATION:{target}"));
        self.line(format_args!(
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={}.0,HOLD-BACK={}.0,\
             PART-HOLD-BACK={}",
            target * SKIP_UNTIL,
            target * HOLD_BACK,
            video.seconds(part * PART_HOLD_BACK),
        ));
        self.line(format_args!(
            "#EXT-X-PART-INF:PART-TARGET={}",
            video.seconds(part)
        ));
        let first = self
            .snapshot
            .listed()
            .first()
            .or(self.snapshot.open.as_ref());
        self.line(format_args!(
            "#EXT-X-MEDIA-SEQUENCE:{}",
            first.map_or(0, |s| s.number)
        ));
        let discontinuities = self.snapshot.discontinuity_sequence;
        self.line(format_args!(
            "#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}"
        ));
        self.line(format_args!("#EXT-X-INDEPENDENT-SEGMENTS"));
    }

    /// Says how many segments are left out, and returns it.
    fn skip(&mut self) -> usize {
        let listed = self.snapshot.listed();
        let boundary = self
            .edge()
            .saturating_sub(u64::from(SKIP_UNTIL) * self.beat.segment_ticks);
        let skipped = listed
            .iter()
            .take_while(|s| s.start + s.duration <= boundary)
            .count();
        if let Some(last) = skipped.checked_sub(1).and_then(|index| listed.get(index)) {
            self.line(format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"));
            self.init = Some(&last.init);
        }
        skipped
    }

    fn segment(&mut self, segment: &'a Segment) {
        self.opening(segment);
        let shown = PARTS_WITHIN * self.beat.segment_ticks;
        if segment.start + shown >= self.edge() {
            self.parts(segment);
        }
        if segment.gap {
            self.line(format_args!("#EXT-X-GAP"));
        }
        let seconds = self.beat.seconds(segment.duration);
        self.line(format_args!("#EXTINF:{seconds},\n{}.m4s", segment.number));
    }

    /// The tags before a segment and its parts.
    fn opening(&mut self, segment: &'a Segment) {
        if segment.discontinuity {
            self.line(format_args!("#EXT-X-DISCONTINUITY"));
        }
        if self.init.is_none_or(|init| init.name != segment.init.name) {
            self.line(format_args!("#EXT-X-MAP:URI=\"{}\"", segment.init.name));
            self.init = Some(&segment.init);
        }
        let captured = iso8601(self.epoch.utc(self.beat.time(segment.start)));
        self.line(format_args!("#EXT-X-PROGRAM-DATE-TIME:{captured}"));
    }

    fn parts(&mut self, segment: &Segment) {
        for (index, part) in segment.parts.iter().enumerate() {
            let seconds = self.beat.seconds(part.duration);
            let independent = if part.independent {
                ",INDEPENDENT=YES"
            } else {
                ""
            };
            let number = segment.number;
            self.line(format_args!(
                "#EXT-X-PART:DURATION={seconds},URI=\"{number}.{index}.m4s\"{independent}"
            ));
        }
    }

    /// A hint says nothing of a discontinuity or another init segment before its
    /// part: a player that took it would decode the part by the wrong one.
    fn preload_hint(&mut self) {
        if self.snapshot.is_break_next {
            return;
        }
        if let Some((segment, part)) = self.snapshot.next_part() {
            self.line(format_args!(
                "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{segment}.{part}.m4s\""
            ));
        }
    }

    fn report(&mut self, report: &Report) {
        let Report {
            name,
            last_segment,
            last_part,
        } = report;
        let part = last_part
            .map(|part| format!(",LAST-PART={part}"))
            .unwrap_or_default();
        self.line(format_args!(
            "#EXT-X-RENDITION-REPORT:URI=\"../{name}/media.m3u8\",LAST-MSN={last_segment}{part}"
        ));
    }

    /// Where the playlist ends, in ticks.
    fn edge(&self) -> u64 {
        let last = self
            .snapshot
            .open
            .as_ref()
            .or(self.snapshot.segments.last());
        last.map_or(0, |segment| segment.start + segment.duration)
    }
}
