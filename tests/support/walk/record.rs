//! What a playlist has said, which it may not take back.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use reqwest::Url;

use super::Conduct;
use crate::playlist::{Media, Segment};

/// Target durations before the edge in which a segment must begin to show its parts.
const PARTS_WITHIN: f64 = 3.0;
/// What sums of seconds with six decimals may be off.
const ROUNDING: f64 = 1e-3;

/// One rendition, as far as it was walked.
#[derive(Debug)]
pub struct Record {
    /// Its playlist.
    pub url: Url,
    /// The first view, without segments: what holds for the stream's whole life.
    pub constants: Media,
    /// Its segments by number.
    pub segments: BTreeMap<u64, Known>,
    /// Its init segments by URI.
    pub inits: BTreeMap<String, Bytes>,
    /// Reloads that brought something new.
    pub reloads: u64,
    /// Those of them that were held until it was there.
    pub held: u64,
    /// Delta updates that made the whole playlist.
    pub merged: u64,
    /// Parts that were fetched by their hint.
    pub hinted: u64,
    /// Parts that were fetched after they had left the playlist.
    pub kept: u64,
    sequences: (u64, u64),
}

/// What is known of a segment.
#[derive(Debug, Default)]
pub struct Known {
    /// As the playlist had it, with all parts that it ever showed.
    pub listed: Segment,
    /// Whether it was listed as complete.
    pub is_complete: bool,
    /// Its discontinuity sequence number.
    pub discontinuity: u64,
    /// The bytes of its parts.
    pub parts: Vec<Bytes>,
    /// Its bytes.
    pub whole: Option<Bytes>,
}

impl Record {
    pub(super) fn new(url: Url, view: &Media) -> Result<Self> {
        for promise in ["CAN-BLOCK-RELOAD=YES", "CAN-SKIP-UNTIL=", "PART-HOLD-BACK="] {
            ensure!(view.control.contains(promise), "{}", view.control);
        }
        ensure!(view.part_target > 0.0, "no PART-TARGET");
        Ok(Self {
            url,
            constants: constants(view),
            segments: BTreeMap::new(),
            inits: BTreeMap::new(),
            reloads: 0,
            held: 0,
            merged: 0,
            hinted: 0,
            kept: 0,
            sequences: (view.sequence, view.discontinuity_sequence),
        })
    }

    /// Takes a newer view.
    pub(super) fn take(&mut self, view: &Media, conduct: Conduct) -> Result<()> {
        ensure!(!view.has_ended, "it has ended");
        ensure!(
            constants(view) == self.constants,
            "{:?} became {:?}",
            self.constants,
            constants(view)
        );
        let sequences = (view.sequence, view.discontinuity_sequence);
        ensure!(
            sequences.0 >= self.sequences.0 && sequences.1 >= self.sequences.1,
            "sequences went from {:?} to {sequences:?}",
            self.sequences
        );
        self.sequences = sequences;
        if conduct != Conduct::Broken {
            ensure_window(view)?;
        }
        let mut discontinuity = view.discontinuity_sequence;
        for segment in &view.segments {
            discontinuity += u64::from(segment.is_discontinuity);
            self.take_segment(segment, true, discontinuity)?;
        }
        if view.open_parts > 0 {
            discontinuity += u64::from(view.open.is_discontinuity);
            self.take_segment(&view.open, false, discontinuity)?;
        }
        Ok(())
    }

    fn take_segment(&mut self, segment: &Segment, is_complete: bool, number: u64) -> Result<()> {
        let is_new = !self.segments.contains_key(&segment.number);
        let known = self.segments.entry(segment.number).or_default();
        if is_new {
            known.listed = segment.clone();
            known.discontinuity = number;
        }
        ensure!(
            known.discontinuity == number,
            "segment {} was in run {} and is in {number}",
            segment.number,
            known.discontinuity
        );
        known.take_parts(segment)?;
        let mut now = segment.clone();
        now.parts.clone_from(&known.listed.parts);
        if !known.is_complete {
            known.listed.uri.clone_from(&now.uri);
            known.listed.duration = now.duration;
        }
        ensure!(known.listed == now, "{:?} became {now:?}", known.listed);
        known.is_complete |= is_complete;
        Ok(())
    }

    pub(super) fn missing_inits(&self) -> Vec<String> {
        let maps = self
            .segments
            .values()
            .filter_map(|it| it.listed.map.clone());
        let mut maps: Vec<String> = maps.filter(|map| !self.inits.contains_key(map)).collect();
        maps.dedup();
        maps
    }

    /// Number, index and URI of parts that were not fetched.
    pub(super) fn missing_parts(&self) -> Vec<(u64, usize, String)> {
        let segments = self.segments.iter();
        let missing = segments.flat_map(|(number, known)| {
            let parts = known.listed.parts.iter().enumerate();
            let missing = parts.skip(known.parts.len());
            missing.map(|(index, part)| (*number, index, part.uri.clone()))
        });
        missing.collect()
    }

    pub(super) fn put_part(&mut self, number: u64, index: usize, part: Bytes) -> Result<()> {
        let known = self.segments.get_mut(&number).context("no such segment")?;
        ensure!(known.parts.len() == index, "part {number}.{index}");
        known.parts.push(part);
        Ok(())
    }

    /// Number and URI of complete segments that were not fetched, and whose parts were.
    pub(super) fn missing_segments(&self) -> Vec<(u64, String)> {
        let missing = self.segments.iter().filter(|(_, known)| {
            let is_whole = !known.parts.is_empty() && known.whole.is_none();
            is_whole && known.is_complete
        });
        missing
            .map(|(number, known)| (*number, known.listed.uri.clone()))
            .collect()
    }

    /// A segment is its parts, one after the other.
    pub(super) fn put_segment(&mut self, number: u64, segment: Bytes) -> Result<()> {
        let known = self.segments.get_mut(&number).context("no such segment")?;
        ensure!(
            known.parts.concat() == segment,
            "segment {number} is not its parts"
        );
        known.whole = Some(segment);
        Ok(())
    }

    /// A part of a segment that shows none any more, and its bytes.
    pub(super) fn unlisted(&self, number: u64) -> Option<(String, Bytes)> {
        let known = self.segments.get(&number)?;
        let part = known.listed.parts.last()?;
        Some((part.uri.clone(), known.parts.last()?.clone()))
    }
}

impl Known {
    /// Parts are added, or all are gone.
    fn take_parts(&mut self, segment: &Segment) -> Result<()> {
        let (known, shown) = (&self.listed.parts, &segment.parts);
        if shown.is_empty() {
            return Ok(());
        }
        ensure!(
            shown.starts_with(known),
            "segment {}: {known:?} became {shown:?}",
            segment.number
        );
        ensure!(
            !self.is_complete || known.len() == shown.len() || known.is_empty(),
            "segment {} was complete",
            segment.number
        );
        self.listed.parts.clone_from(shown);
        Ok(())
    }
}

fn constants(view: &Media) -> Media {
    Media {
        target_duration: view.target_duration,
        part_target: view.part_target,
        control: view.control.clone(),
        ..Media::default()
    }
}

/// Parts are shown of what begins within three target durations of the edge, and of
/// nothing older.
fn ensure_window(view: &Media) -> Result<()> {
    let within = PARTS_WITHIN * view.target_duration + ROUNDING;
    let open = view.open.parts.iter().map(|part| part.duration);
    let mut age: f64 = open.sum();
    for segment in view.segments.iter().rev() {
        age += segment.duration;
        ensure!(
            (age <= within) != segment.parts.is_empty(),
            "segment {} begins {age} s before the edge, and shows {} parts",
            segment.number,
            segment.parts.len()
        );
    }
    Ok(())
}
