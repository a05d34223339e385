//! What the bytes of a walked rendition say, against what its playlist said.

use anyhow::{Context as _, Result, ensure};

use super::{Conduct, Record, record::Known};
use crate::{
    boxes::{self, Chunk},
    playlist::Part,
};

/// What seconds with six decimals may be off, for each that is added.
const ROUNDING: f64 = 2e-6;
/// Dates are written in milliseconds: half of one, and as much again for the moment that
/// it is compared with.
const DATE_ROUNDING: i64 = 1_001;
/// Share of PART-TARGET that each part has but a segment's last.
const FILLED: f64 = 0.85;
/// By so much sound may begin later than the picture, in seconds: an AAC frame, and where
/// a run begins another packet of Opus, which is made of AAC's samples.
const SOUND_LATE: f64 = (1_024.0 + 960.0) / 48_000.0;

/// By so much the sound's segments may be apart from the picture's where those begin with
/// a presenter's key frames: half a segment, and what else it may be late.
const DRIFT: f64 = 0.5 + SOUND_LATE;

/// Picture or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// H.264 in NAL units behind their lengths.
    Video,
    /// AAC, each frame of which can be decoded alone.
    Audio,
}

/// When the parts of a rendition lie, in seconds: number, index, begin and length.
pub type Timeline = Vec<(u64, usize, f64, f64)>;

/// Checks all of a rendition's bytes; returns when its parts lie.
///
/// # Errors
///
/// Where they are not what the playlist said.
pub fn ensure_true(record: &Record, kind: Kind, conduct: Conduct) -> Result<Timeline> {
    let mut judge = Judge {
        record,
        kind,
        conduct,
        next: None,
        sequence: 0,
        epoch: None,
        timeline: Vec::new(),
    };
    for (number, known) in &record.segments {
        if known.listed.is_gap {
            judge.next = None;
        }
        if known.whole.is_some() {
            let judged = judge.segment(*number, known);
            judged.with_context(|| format!("{} segment {number}", record.url))?;
        }
    }
    ensure!(!judge.timeline.is_empty(), "{}: nothing", record.url);
    Ok(judge.timeline)
}

/// Checks that a rendition's parts are those of the tallest rung: another rung's lie
/// where those do, and the sound's segments begin within a frame of the picture's. They
/// must be in the same run everywhere.
///
/// # Errors
///
/// With the first difference.
pub fn ensure_aligned(
    tallest: &(Record, Timeline),
    other: &(Record, Timeline),
    kind: Kind,
    conduct: Conduct,
) -> Result<()> {
    // Where a presenter leaves, a rung may have a frame more than another.
    let may_be_cut = conduct == Conduct::Broken;
    let latest = match conduct {
        Conduct::Passed => DRIFT,
        Conduct::Steady | Conduct::Broken => SOUND_LATE,
    };
    let earliest = match conduct {
        Conduct::Passed => -DRIFT,
        Conduct::Steady | Conduct::Broken => -ROUNDING,
    };
    let mut compared = 0;
    for (number, index, begin, length) in &other.1 {
        let same = tallest
            .1
            .iter()
            .find(|it| (it.0, it.1) == (*number, *index));
        let Some((_, _, tallest_begin, tallest_length)) = same else {
            continue;
        };
        let apart = begin - tallest_begin;
        let is_aligned = match kind {
            Kind::Video => apart == 0.0 && (length == tallest_length || may_be_cut),
            Kind::Audio => *index > 0 || (earliest..latest).contains(&apart),
        };
        ensure!(is_aligned, "{number}.{index} is {apart} s apart");
        compared += 1;
    }
    ensure!(compared > 0, "nothing in common");
    for (number, known) in &tallest.0.segments {
        let other = other.0.segments.get(number).map(|it| it.discontinuity);
        ensure!(
            other.is_none_or(|other| other == known.discontinuity),
            "segment {number} is in run {} and in {other:?}",
            known.discontinuity
        );
    }
    Ok(())
}

struct Judge<'a> {
    record: &'a Record,
    kind: Kind,
    conduct: Conduct,
    /// Where the next chunk begins, in ticks; `None` where nothing is known before it.
    next: Option<u64>,
    sequence: u32,
    /// The moment of media time 0 in microseconds, by the dates.
    epoch: Option<i64>,
    timeline: Timeline,
}

impl Judge<'_> {
    fn segment(&mut self, number: u64, known: &Known) -> Result<()> {
        let listed = &known.listed;
        let map = listed.map.as_ref().context("no EXT-X-MAP")?;
        let scale = boxes::timescale(self.record.inits.get(map).context("no init")?)? as f64;
        let chunks = boxes::chunks(known.whole.as_ref().context("no bytes")?)?;
        let first = chunks.first().context("empty")?;
        if listed.is_discontinuity {
            ensure!(self.next.is_none_or(|next| first.start >= next));
            self.next = None;
        }
        let begin = first.start;
        self.chunks(&chunks)?;
        let end = self.next.context("no end")?;
        let length = (end - begin) as f64 / scale;
        ensure!(
            (length - listed.duration).abs() < ROUNDING,
            "lasts {length} s, not {}",
            listed.duration
        );
        ensure!(listed.duration.round() <= self.record.constants.target_duration);
        self.date(known, first, scale)?;
        self.parts(number, known, scale)
    }

    /// Decode times without a hole, sequence numbers that rise, `prft` in the first.
    fn chunks(&mut self, chunks: &[Chunk<'_>]) -> Result<()> {
        for (index, chunk) in chunks.iter().enumerate() {
            let start = chunk.start;
            let next = self.next.replace(start + chunk.duration());
            ensure!(
                next.is_none_or(|next| next == start),
                "tfdt is {start} behind {next:?}"
            );
            ensure!(
                chunk.sequence > self.sequence,
                "mfhd {} behind {}",
                chunk.sequence,
                self.sequence
            );
            self.sequence = chunk.sequence;
            let brand = if index == 0 { b"cmfs" } else { b"cmfl" };
            ensure!(&chunk.brand == brand, "styp {:?}", chunk.brand);
            ensure!(chunk.produced.is_some() == (index == 0), "prft");
            for sample in &chunk.samples {
                let is_key = self.kind == Kind::Audio || sample.is_idr()?;
                ensure!(sample.is_sync == is_key, "flags of a sample at {start}");
            }
        }
        Ok(())
    }

    /// The date is that of capture, and is as far from the first one as the media are.
    fn date(&mut self, known: &Known, first: &Chunk<'_>, scale: f64) -> Result<()> {
        let date = known.listed.date.context("no PROGRAM-DATE-TIME")?;
        let produced = first.produced.context("no prft")?;
        ensure!(produced.media_time == first.start, "prft {produced:?}");
        let off = produced.captured - date;
        ensure!(
            off.abs() <= DATE_ROUNDING,
            "captured {off} µs after its date"
        );
        let micros = (first.start as f64 / scale * 1e6).round() as i64;
        let epoch = *self.epoch.get_or_insert(date - micros);
        let drift = date - micros - epoch;
        ensure!(drift.abs() <= DATE_ROUNDING, "the date is {drift} µs off");
        Ok(())
    }

    fn parts(&mut self, number: u64, known: &Known, scale: f64) -> Result<()> {
        let parts = &known.listed.parts;
        for (index, (part, bytes)) in parts.iter().zip(&known.parts).enumerate() {
            let chunks = boxes::chunks(bytes)?;
            let first = chunks.first().context("an empty part")?;
            let ticks: u64 = chunks.iter().map(Chunk::duration).sum();
            let length = ticks as f64 / scale;
            ensure!(
                (length - part.duration).abs() < ROUNDING,
                "part {index} lasts {length} s, not {}",
                part.duration
            );
            let is_key = match self.kind {
                Kind::Audio => true,
                Kind::Video => first.samples.first().context("no sample")?.is_idr()?,
            };
            ensure!(
                part.is_independent == is_key,
                "part {index}: INDEPENDENT is {}",
                part.is_independent
            );
            let begin = first.start as f64 / scale;
            self.timeline.push((number, index, begin, length));
        }
        self.lengths(parts)
    }

    fn lengths(&self, parts: &[Part]) -> Result<()> {
        if self.conduct == Conduct::Broken {
            return Ok(());
        }
        let target = self.record.constants.part_target;
        for (index, part) in parts.iter().enumerate() {
            let least = match index + 1 == parts.len() {
                true => 0.0,
                false => target * FILLED,
            };
            ensure!(
                (least..target + ROUNDING).contains(&part.duration),
                "part {index} of {} lasts {} s of {target}",
                parts.len(),
                part.duration
            );
        }
        Ok(())
    }
}
