//! The segments of one rendition that viewers may still fetch.
//!
//! The packager owns a [`Window`] and changes it; everyone else sees
//! [`Snapshot`]s, which never change. Beside the listed segments a snapshot
//! keeps [`RETAINED`] older ones, for viewers whose playlist is a little old.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;

use super::Init;

/// Segments kept after they left the playlist. RFC 8216bis §6.2.2 asks for a
/// playlist's length; deviates: that would double the memory of a stream for
/// viewers who fetch the far end of an old playlist.
const RETAINED: usize = 10;

/// Whether more is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Media is being made.
    Live,
    /// The presenter has left and may return.
    Interrupted,
    /// Nothing will follow.
    Ended,
}

/// One part of a segment: whole chunks, about 200 ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its length in ticks.
    pub duration: u64,
    /// Whether decoding can begin with it.
    pub independent: bool,
    /// Its chunks, as indices into [`Segment::chunks`].
    pub chunks: Range<usize>,
}

/// One segment, complete or growing.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its number, the same in all renditions.
    pub number: u64,
    /// When it begins, in ticks.
    pub start: u64,
    /// Its length so far, in ticks.
    pub duration: u64,
    /// Whether the timeline or the encoding breaks before it.
    pub discontinuity: bool,
    /// Whether there is no media for it.
    pub gap: bool,
    /// Whether nothing will be added.
    pub complete: bool,
    /// What a decoder needs to know first.
    pub init: Arc<Init>,
    /// Its parts so far.
    pub parts: Vec<Part>,
    /// Its bytes so far; chunks beyond the last part belong to the next one.
    pub chunks: Vec<Bytes>,
}

impl Segment {
    /// Bytes of all chunks.
    pub fn size(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    /// The bytes of part `index`.
    pub fn part(&self, index: usize) -> Option<&[Bytes]> {
        self.chunks.get(self.parts.get(index)?.chunks.clone())
    }
}

/// The newest point of a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The last segment with anything listed.
    pub segment: u64,
    /// Its listed parts.
    pub parts: usize,
    /// Whether it is complete.
    pub complete: bool,
}

/// A rendition at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Complete segments, oldest first.
    pub segments: Vec<Arc<Segment>>,
    /// Index of the first segment that the playlist lists.
    pub first_listed: usize,
    /// The segment being made.
    pub open: Option<Arc<Segment>>,
    /// Discontinuities before the first listed segment.
    pub discontinuity_sequence: u64,
    /// Whether the next segment begins with a discontinuity.
    pub is_break_next: bool,
    /// Whether more is to come.
    pub state: State,
}

impl Snapshot {
    /// The complete segments of the playlist, oldest first.
    pub fn listed(&self) -> &[Arc<Segment>] {
        self.segments.get(self.first_listed..).unwrap_or_default()
    }

    /// A segment by its number, complete or growing.
    pub fn segment(&self, number: u64) -> Option<&Arc<Segment>> {
        if let Some(open) = self.open.as_ref().filter(|open| open.number == number) {
            return Some(open);
        }
        let index = self
            .segments
            .binary_search_by_key(&number, |s| s.number)
            .ok()?;
        self.segments.get(index)
    }

    /// Number of the newest segment, complete or growing.
    pub fn newest(&self) -> Option<u64> {
        self.open
            .as_ref()
            .or(self.segments.last())
            .map(|segment| segment.number)
    }

    /// The newest point that a playlist of this snapshot shows; `None` before
    /// the first part.
    pub fn edge(&self) -> Option<Edge> {
        let listed = self.open.as_ref().filter(|open| !open.parts.is_empty());
        let segment = listed.or(self.segments.last())?;
        Some(Edge {
            segment: segment.number,
            parts: segment.parts.len(),
            complete: segment.complete,
        })
    }

    /// Segment and index of the part that comes next while the stream lives.
    pub fn next_part(&self) -> Option<(u64, usize)> {
        match &self.open {
            Some(open) => Some((open.number, open.parts.len())),
            None => self.segments.last().map(|last| (last.number + 1, 0)),
        }
    }
}

/// The segments of one rendition, owned by the packager.
#[derive(Debug)]
pub(super) struct Window {
    listed: usize,
    segments: VecDeque<Arc<Segment>>,
    open: Option<Segment>,
    /// Discontinuities before the first of `segments`.
    discontinuities: u64,
}

impl Window {
    pub(super) fn new(listed: usize) -> Self {
        Self {
            listed,
            segments: VecDeque::new(),
            open: None,
            discontinuities: 0,
        }
    }

    /// Lets the discontinuity sequence begin with `number`, before the first segment.
    pub(super) fn count_discontinuities_from(&mut self, number: u64) {
        if self.newest().is_none() {
            self.discontinuities = number;
        }
    }

    /// Discontinuities so far, the listed ones included.
    pub(super) fn discontinuities(&self) -> u64 {
        let complete = self.segments.iter().map(AsRef::as_ref);
        let all = complete.chain(&self.open);
        self.discontinuities + all.filter(|segment| segment.discontinuity).count() as u64
    }

    pub(super) fn open(&self) -> Option<&Segment> {
        self.open.as_ref()
    }

    pub(super) fn open_mut(&mut self) -> Option<&mut Segment> {
        self.open.as_mut()
    }

    /// Number of the newest segment, complete or growing.
    pub(super) fn newest(&self) -> Option<u64> {
        let complete = self.segments.back().map(|segment| segment.number);
        self.open.as_ref().map(|open| open.number).or(complete)
    }

    /// Where the media before segment `number` ends, in ticks.
    pub(super) fn end_before(&self, number: u64) -> Option<u64> {
        let complete = self.segments.iter().map(AsRef::as_ref).rev();
        let mut media = self
            .open
            .iter()
            .chain(complete)
            .filter(|segment| !segment.gap);
        let last = media.find(|segment| segment.number < number)?;
        Some(last.start + last.duration)
    }

    /// Begins a segment later than all others. Missing numbers become gap
    /// segments of `gap_ticks`; when more are missing than the playlist lists,
    /// everything before is given up.
    pub(super) fn begin(&mut self, segment: Segment, gap_ticks: u64) {
        if let Some(newest) = self.newest() {
            let missing = newest + 1..segment.number;
            if missing.end.saturating_sub(missing.start) >= self.listed as u64 {
                while self.drop_oldest() {}
            } else {
                for number in missing {
                    self.push(gap(number, gap_ticks, &segment.init));
                }
            }
        }
        self.open = Some(segment);
    }

    /// Completes the growing segment; one without media vanishes.
    pub(super) fn seal(&mut self) -> Option<&Segment> {
        let mut segment = self.open.take()?;
        if segment.chunks.is_empty() {
            return None;
        }
        segment.complete = true;
        self.push(segment);
        self.segments.back().map(AsRef::as_ref)
    }

    /// Bytes and ticks of the newest `count` segments; none of either where there are
    /// fewer.
    pub(super) fn latest(&self, count: usize) -> (u64, u64) {
        if self.segments.len() < count {
            return (0, 0);
        }
        let latest = self.segments.iter().rev().take(count);
        latest.fold((0, 0), |(bytes, ticks), segment| {
            (bytes + segment.size() as u64, ticks + segment.duration)
        })
    }

    pub(super) fn snapshot(&self, state: State) -> Snapshot {
        let first_listed = self.segments.len().saturating_sub(self.listed);
        let unlisted = self.segments.iter().take(first_listed);
        let passed = unlisted.filter(|segment| segment.discontinuity).count();
        Snapshot {
            segments: self.segments.iter().cloned().collect(),
            first_listed,
            open: self.open.clone().map(Arc::new),
            discontinuity_sequence: self.discontinuities + passed as u64,
            is_break_next: false,
            state,
        }
    }

    fn push(&mut self, segment: Segment) {
        self.segments.push_back(Arc::new(segment));
        while self.segments.len() > self.listed + RETAINED {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let oldest = self.segments.pop_front();
        self.discontinuities += u64::from(oldest.as_ref().is_some_and(|s| s.discontinuity));
        oldest.is_some()
    }
}

fn gap(number: u64, ticks: u64, init: &Arc<Init>) -> Segment {
    Segment {
        number,
        start: number.saturating_mul(ticks),
        duration: ticks,
        discontinuity: false,
        gap: true,
        complete: true,
        init: Arc::clone(init),
        parts: Vec::new(),
        chunks: Vec::new(),
    }
}
