//! One rendition: samples in, chunks, parts and segments out.
//!
//! A unit's number says where it lies, so a segment is sealed with its last
//! unit and nobody waits for the next one. The case a reader would get wrong is
//! a hole in the numbers: the video sample after it begins where the last one
//! ended and lasts longer, so `tfdt` stays continuous; that one part may exceed
//! the part target, which players forgive, while they stall on a hole.

use std::{collections::BTreeSet, mem, sync::Arc};

use super::{
    Beat, Coded, Dropped, Init, Segment, Snapshot, State,
    course::Course,
    fmp4::{self, Header, Sample},
    window::{Part, Window},
};
use crate::timeline::{Epoch, MediaTime};

/// Numbers beyond are nonsense: at 60 frames per second they begin in the year
/// 150,000. Below it no sum of ticks overflows.
const MAX_UNIT: u64 = 1 << 48;

/// Segments whose rate is averaged: rate controllers even out over less.
const AVERAGED: usize = 10;

/// What became of the rendition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Growth {
    /// Nothing that anyone can see.
    #[default]
    Unseen,
    /// A chunk was added.
    Chunk,
    /// A part was finished, perhaps with its segment.
    Part,
}

/// A segment that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) segment: u64,
    /// Whether players cannot simply go on into it: something is missing or
    /// different before it.
    pub(super) breaks: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    pub(super) growth: Growth,
    pub(super) opened: Option<Opened>,
}

/// What a configuration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Configured {
    /// It was known.
    Same,
    /// It is the first, or came where the timeline may begin anew.
    Fresh,
    /// It breaks a timeline that has begun: [`Segmenter::restart_from`] must follow.
    Breaks,
}

#[derive(Debug)]
pub(super) struct Segmenter {
    beat: Beat,
    course: Course,
    epoch: Epoch,
    /// Audio: every sample is a sync sample, and none can be lengthened.
    is_audio: bool,
    window: Window,
    /// What segments from the next one on are decoded with.
    upcoming: Option<Arc<Init>>,
    /// The unit that follows the last one; `None` where the timeline may begin anew.
    next: Option<u64>,
    awaits_sync: bool,
    /// Segments before it take nothing more.
    floor: u64,
    /// The first segment from each of these on is a discontinuity.
    breaks_at: BTreeSet<u64>,
    pending: Vec<Sample>,
    pending_start: u64,
    pending_units: u64,
    part_units: u64,
    part_independent: bool,
    part_first_chunk: usize,
    sequence: u32,
    peak: u64,
}

impl Segmenter {
    pub(super) fn new(beat: Beat, epoch: Epoch, window_segments: usize, is_audio: bool) -> Self {
        Self {
            beat,
            course: Course::default(),
            epoch,
            is_audio,
            window: Window::new(window_segments),
            upcoming: None,
            next: None,
            awaits_sync: true,
            floor: 0,
            breaks_at: BTreeSet::new(),
            pending: Vec::new(),
            pending_start: 0,
            pending_units: 0,
            part_units: 0,
            part_independent: false,
            part_first_chunk: 0,
            sequence: 0,
            peak: 0,
        }
    }

    /// Takes the next samples, which share the time of `units` units from `first` on:
    /// the last one stays where the others, which share the first unit, have gone by.
    pub(super) fn push_span(
        &mut self,
        first: u64,
        units: u64,
        samples: &[Coded],
    ) -> Result<Pushed, Dropped> {
        let last = first.saturating_add(units.max(1) - 1);
        if last > MAX_UNIT {
            return Err(Dropped::Late);
        }
        let segment = self.segment_of(first);
        if segment < self.floor || self.next.is_some_and(|n| first < n) {
            return Err(Dropped::Late);
        }
        let begin = match self.awaits_sync {
            true => samples.iter().position(|sample| sample.sync),
            false => (!samples.is_empty()).then_some(0),
        };
        let samples = begin.and_then(|begin| samples.get(begin..));
        let samples = samples.ok_or(Dropped::AwaitsIdr)?;
        let init = self.upcoming.clone().ok_or(Dropped::NoConfig)?;
        self.awaits_sync = false;

        let mut growth = Growth::Unseen;
        if self
            .window
            .open()
            .is_some_and(|open| open.number != segment)
        {
            self.lengthen_last(segment);
            growth = self.seal();
        }
        let start = match self.next {
            Some(next) if !self.is_audio => next
                .max(self.course.first_unit(&self.beat, segment))
                .min(first),
            _ => first,
        };
        if self.next != Some(start) {
            // A chunk's samples follow each other without a hole.
            growth = growth.max(self.flush_chunk());
        }
        let opened = self.begin_if_closed(segment, self.beat.ticks(start), init);
        if self.pending.is_empty() {
            self.pending_start = self.beat.ticks(start);
        }
        if self.part_units == 0 {
            self.part_independent = samples.first().is_some_and(|sample| sample.sync);
        }
        let units = last + 1 - start;
        self.append(units, samples);
        self.pending_units += units;
        self.part_units += units;
        self.next = Some(last + 1);
        Ok(Pushed {
            growth: growth.max(self.close_what_is_full(last)),
            opened,
        })
    }

    fn append(&mut self, units: u64, samples: &[Coded]) {
        let mut rest = self.beat.ticks(units);
        let share = self.beat.ticks(1) / samples.len().max(1) as u64;
        for (index, Coded { data, sync }) in samples.iter().enumerate() {
            let is_last = index + 1 == samples.len();
            let duration = if is_last { rest } else { share };
            rest -= duration;
            self.pending.push(Sample {
                data: data.clone(),
                duration,
                sync: *sync,
            });
        }
    }

    /// Segment `segment` begins with unit `first`, and the next one not before unit
    /// `sure_until`, when that is told. What is complete by that is published.
    pub(super) fn begin_segment(&mut self, segment: u64, first: u64, sure_until: u64) -> Growth {
        self.course.begin(segment, first, sure_until);
        self.close_what_was_unsure()
    }

    /// Unit `number` belongs to the segment that was begun last.
    pub(super) fn reach(&mut self, number: u64) -> Growth {
        self.course.reach(number);
        self.close_what_was_unsure()
    }

    /// From the next one on, segments begin at their nominal places.
    pub(super) fn end_course(&mut self) -> Growth {
        self.course.end();
        self.close_what_was_unsure()
    }

    /// The segment that a unit belongs to.
    pub(super) fn segment_of(&self, number: u64) -> u64 {
        self.course.segment_of(&self.beat, number)
    }

    /// Ends the growing segment where it is.
    pub(super) fn seal(&mut self) -> Growth {
        self.flush_chunk();
        self.close_part();
        let Some(segment) = self.window.seal() else {
            return Growth::Unseen;
        };
        self.peak = self.peak.max(bitrate(segment, &self.beat));
        Growth::Part
    }

    /// Sets what the samples from here on are decoded with.
    pub(super) fn configure(&mut self, init: Init) -> Configured {
        if self.upcoming.as_deref() == Some(&init) {
            return Configured::Same;
        }
        self.upcoming = Some(Arc::new(init));
        if self.next.is_some() {
            Configured::Breaks
        } else {
            Configured::Fresh
        }
    }

    /// Makes the first segment from `segment` on a discontinuity.
    pub(super) fn break_from(&mut self, segment: u64) {
        self.breaks_at.insert(segment);
    }

    /// Gives up what is left of the timeline before `segment`: a new one begins
    /// there, or later, with a sync sample.
    pub(super) fn restart_from(&mut self, segment: u64) -> Growth {
        let growth = self.seal();
        self.next = None;
        self.awaits_sync = true;
        // What is sealed stays sealed, whoever asks.
        self.floor = self.floor.max(segment);
        growth
    }

    /// Refuses what lies before `segment`.
    pub(super) fn refuse_before(&mut self, segment: u64) {
        self.floor = self.floor.max(segment);
    }

    /// Refuses samples until one that decoding can begin with.
    pub(super) fn await_sync(&mut self) {
        self.awaits_sync = true;
    }

    /// See [`Window::count_discontinuities_from`].
    pub(super) fn count_discontinuities_from(&mut self, number: u64) {
        self.window.count_discontinuities_from(number);
    }

    /// See [`Window::discontinuities`].
    pub(super) fn discontinuities(&self) -> u64 {
        self.window.discontinuities()
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    pub(super) fn beat(&self) -> &Beat {
        &self.beat
    }

    pub(super) fn upcoming(&self) -> Option<&Arc<Init>> {
        self.upcoming.as_ref()
    }

    /// Number of the newest segment.
    pub(super) fn newest(&self) -> Option<u64> {
        self.window.newest()
    }

    /// Where the media before segment `number` ends.
    pub(super) fn end_before(&self, number: u64) -> Option<MediaTime> {
        self.window
            .end_before(number)
            .map(|ticks| self.beat.time(ticks))
    }

    /// Highest rate of a whole segment so far, in bits per second.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// Mean rate of the last whole segments, in bits per second; 0 before there are
    /// enough of them.
    pub(super) fn average(&self) -> u64 {
        let (bytes, ticks) = self.window.latest(AVERAGED);
        (bytes * 8 * u64::from(self.beat.timescale))
            .checked_div(ticks)
            .unwrap_or(0)
    }

    pub(super) fn snapshot(&self, state: State) -> Snapshot {
        let is_break_next = self.window.open().is_none()
            && self.newest().is_some_and(|newest| {
                let first = self.breaks_at.first();
                first.is_some_and(|at| *at <= newest + 1)
            });
        Snapshot {
            is_break_next,
            ..self.window.snapshot(state)
        }
    }

    fn begin_if_closed(&mut self, segment: u64, start: u64, init: Arc<Init>) -> Option<Opened> {
        if self.window.open().is_some() {
            return None;
        }
        let newest = self.window.newest();
        let later = self.breaks_at.split_off(&(segment + 1));
        let discontinuity = !mem::replace(&mut self.breaks_at, later).is_empty();
        let begun = Segment {
            number: segment,
            start,
            duration: 0,
            discontinuity,
            gap: false,
            complete: false,
            init,
            parts: Vec::new(),
            chunks: Vec::new(),
        };
        self.window.begin(begun, self.beat.segment_ticks);
        self.floor = segment;
        self.part_first_chunk = 0;
        let breaks = discontinuity || newest.is_none_or(|newest| newest + 1 != segment);
        Some(Opened { segment, breaks })
    }

    /// Lets the open segment's last picture stand until `segment`, which comes after
    /// it, where the frames between were never made.
    fn lengthen_last(&mut self, segment: u64) {
        let Some(open) = self.window.open().map(|open| open.number) else {
            return;
        };
        let end = self.course.first_unit(&self.beat, open + 1);
        let (Some(next), Some(last)) = (self.next, self.pending.last_mut()) else {
            return;
        };
        if self.is_audio || segment != open + 1 || next >= end {
            return;
        }
        let missing = end - next;
        last.duration += self.beat.ticks(missing);
        self.pending_units += missing;
        self.part_units += missing;
    }

    /// Drops breaks that were planned.
    pub(super) fn forget_breaks(&mut self) {
        self.breaks_at.clear();
    }

    /// Ends what the newest sample fills. A full part whose segment may be over with
    /// it waits until that is known: what comes next is hinted with it.
    fn close_what_is_full(&mut self, number: u64) -> Growth {
        let is_last = self.course.is_last(&self.beat, number);
        let mut growth = Growth::Unseen;
        if is_last == Some(true) {
            growth = self.seal();
        } else if is_last.is_some() && self.part_units >= self.beat.part_units {
            self.flush_chunk();
            growth = self.close_part();
        } else if self.pending_units >= self.beat.chunk_units {
            growth = self.flush_chunk();
        }
        growth
    }

    fn close_what_was_unsure(&mut self) -> Growth {
        let open = self.window.open().map(|open| open.number);
        let last = self.next.and_then(|next| next.checked_sub(1));
        match (open, last) {
            (Some(open), Some(last)) if self.segment_of(last) == open => {
                self.close_what_is_full(last)
            }
            _ => Growth::Unseen,
        }
    }

    fn flush_chunk(&mut self) -> Growth {
        let samples = mem::take(&mut self.pending);
        self.pending_units = 0;
        let (Some(segment), false) = (self.window.open_mut(), samples.is_empty()) else {
            return Growth::Unseen;
        };
        self.sequence = self.sequence.wrapping_add(1);
        let captured = self.epoch.utc(self.beat.time(self.pending_start));
        let header = Header {
            sequence: self.sequence,
            start: self.pending_start,
            unit_ticks: self.beat.unit_ticks,
            all_sync: self.is_audio,
            opens: segment.chunks.is_empty().then_some(captured),
        };
        let duration: u64 = samples.iter().map(|sample| sample.duration).sum();
        match fmp4::chunk(&header, &samples) {
            Ok(chunk) => segment.chunks.push(chunk),
            // Only samples of 4 GiB get here, which the socket pair never carries.
            Err(error) => {
                tracing::warn!(%error, "chunk could not be written");
                return Growth::Unseen;
            }
        }
        segment.duration = self.pending_start + duration - segment.start;
        Growth::Chunk
    }

    fn close_part(&mut self) -> Growth {
        let units = mem::take(&mut self.part_units);
        let Some(segment) = self.window.open_mut() else {
            return Growth::Unseen;
        };
        let chunks = self.part_first_chunk..segment.chunks.len();
        if chunks.is_empty() {
            return Growth::Unseen;
        }
        self.part_first_chunk = chunks.end;
        let duration = self.beat.ticks(units);
        segment.parts.push(Part {
            duration,
            independent: self.part_independent,
            chunks,
        });
        Growth::Part
    }
}

/// A segment's rate, for `BANDWIDTH`; zero when it is too short to count
/// (RFC 8216bis §4.4.6.2: segments from half to one and a half target durations).
fn bitrate(segment: &Segment, beat: &Beat) -> u64 {
    if segment.duration * 2 < beat.segment_ticks {
        return 0;
    }
    segment.size() as u64 * 8 * u64::from(beat.timescale) / segment.duration
}
