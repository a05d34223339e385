//! The stream as viewers see it: one ladder, one playlist.
//!
//! It outlives sessions: a presenter who leaves interrupts it, one who returns
//! resumes it behind a discontinuity, and only ENDLIST or a minute of nobody
//! ends it.

use std::sync::Arc;

use inlet_common::clock::{self, UtcTime};

use super::broadcast::{Settings, bits};
use crate::{
    package::{self, Packager, ParameterSets, Passed},
    registry::{Authorised, Canvas, QualitySet},
    store,
    timeline::FrameRate,
    transcode::{
        self,
        ladder::{Ladder, Resolution, Rung},
    },
};

/// In which a picture that began small may grow: a browser's takes some seconds.
const GROWS_WITHIN_MICROS: i64 = 10_000_000;

/// A ladder, its packager, and where viewers find the result.
#[derive(Debug)]
pub(super) struct Programme {
    /// What it is made for, which another process may have to know.
    canvas: Canvas,
    /// Until when it may grow; `None` for one that viewers know from before.
    grows_until: Option<UtcTime>,
    qualities: Ladder,
    ladder: Vec<Rung>,
    rate: FrameRate,
    packager: Packager,
    stream: Arc<store::Stream>,
    /// Which rungs are made.
    made: Vec<bool>,
    has_frames: bool,
    has_ended: bool,
}

impl Programme {
    /// Makes the ladder that a source of this size gets, and opens it to
    /// viewers. Where an earlier process of ours has left a playlist to whose
    /// viewers it may still matter, its ladder goes on.
    pub(super) fn new(
        authorised: &Authorised,
        settings: &Settings,
        source: Resolution,
        taken_until: UtcTime,
        now: UtcTime,
    ) -> Result<Self, package::SpecError> {
        let continued = continued(authorised, settings, now);
        let is_continued = continued.is_some();
        let canvas = continued.unwrap_or_else(|| Canvas {
            first: source,
            size: source,
            quality_set: authorised.quality_set.clone(),
            left_at: None,
        });
        let asked = canvas.quality_set.as_ref();
        let qualities = qualities(asked);
        let (ladder, rate) = asked_for(asked, canvas.first);
        let ladder = qualities.enlarged(&ladder, canvas.size).unwrap_or(ladder);
        let spec = package::Spec {
            segment: settings.media.segment,
            part: asked
                .and_then(QualitySet::part)
                .unwrap_or(settings.media.part),
            chunk: settings.media.chunk,
            window: settings.media.window,
            latency: settings.media.latency,
            publish_margin: settings.media.publish_margin,
            audio_bitrate: bits(settings.media.audio_bitrate),
            opus_bitrate: settings.media.opus_bitrate.map(bits),
            is_continued,
            taken_until: authorised.epoch.at(taken_until),
            ..package::Spec::new(ladder.clone(), rate, authorised.epoch)
        };
        let packager = Packager::new(spec)?;
        let stream = Arc::new(store::Stream::new(&packager, settings.part_delay.clone()));
        settings
            .store
            .insert(authorised.client, authorised.stream, Arc::clone(&stream));
        Ok(Self {
            made: vec![true; ladder.len()],
            canvas,
            grows_until: (!is_continued).then(|| now.plus_micros(GROWS_WITHIN_MICROS)),
            qualities,
            ladder,
            rate,
            packager,
            stream,
            has_frames: false,
            has_ended: false,
        })
    }

    /// The ladder with the rungs that a larger source gets beside; `None` when
    /// there are none.
    pub(super) fn enlarged(&self, source: Resolution) -> Option<Vec<Rung>> {
        // A machine that cannot make the rungs that there are has none for more.
        let has_room = self.made.iter().all(|is_made| *is_made);
        has_room
            .then(|| self.qualities.enlarged(&self.ladder, source))
            .flatten()
    }

    /// Whether it is young enough to grow, and has not yet.
    pub(super) fn may_grow(&self, now: UtcTime) -> bool {
        self.grows_until.is_some_and(|until| now < until)
    }

    /// The short side from which a larger source gets no more rungs.
    pub(super) fn tallest_quality(&self) -> u32 {
        self.qualities.tallest()
    }

    /// Goes on with such a ladder, behind a discontinuity. Viewers of the rungs
    /// that there are stay on them, and the others are added for who comes.
    pub(super) fn enlarge(&mut self, ladder: Vec<Rung>, source: Resolution) {
        self.interrupt();
        self.packager.enlarge(ladder.clone());
        self.stream.enlarge(&self.packager);
        self.canvas.size = source;
        self.grows_until = None;
        self.made = vec![true; ladder.len()];
        self.ladder = ladder;
        self.resume();
    }

    /// What it is made for.
    pub(super) fn canvas(&self) -> &Canvas {
        &self.canvas
    }

    /// The rungs, tallest first.
    pub(super) fn ladder(&self) -> &[Rung] {
        &self.ladder
    }

    /// What the transcoder needs to know of it to let rungs leave and return.
    pub(super) fn beat(&self) -> transcode::Beat {
        let video = &self.packager.layout().video;
        transcode::Beat {
            segment_frames: video.first_unit(1),
            part_frames: video.part_units,
        }
    }

    /// Frames that share a thumbnail.
    pub(super) fn thumbnail_frames(&self) -> u32 {
        let layout = self.packager.layout();
        let frames = layout.video.first_unit(layout.thumbnail_segments);
        u32::try_from(frames).unwrap_or(u32::MAX)
    }

    /// Frames per second of every rung. A quality set that is changed while it lasts
    /// counts from the next programme on, as its ladder does.
    pub(super) fn rate(&self) -> FrameRate {
        self.rate
    }

    /// Notes that a rung leaves or returns. Returns the names of those that are made.
    pub(super) fn set_made(&mut self, rung: usize, is_made: bool) -> Vec<String> {
        if let Some(own) = self.made.get_mut(rung) {
            *own = is_made;
        }
        self.rungs(true).map(Rung::name).collect()
    }

    /// The rungs that are made (`true`), or are not.
    pub(super) fn rungs(&self, is_made: bool) -> impl Iterator<Item = &Rung> {
        let rungs = self.ladder.iter().zip(&self.made);
        rungs
            .filter(move |(_, made)| **made == is_made)
            .map(|(rung, _)| rung)
    }

    /// Whether viewers have been told that nothing will follow.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Packages what a worker made; tells whether it was the first frame.
    pub(super) fn handle_output(&mut self, output: &transcode::Output) -> bool {
        let is_frame = matches!(output, transcode::Output::Video { .. });
        let is_first = is_frame && !self.has_frames;
        self.has_frames |= is_frame;
        if let transcode::Output::Still { data } = output {
            self.stream.set_still(data.clone());
        }
        self.packager.handle_output(output);
        self.publish();
        is_first
    }

    /// See [`Packager::expect_passed`].
    pub(super) fn expect_passed(&mut self, sets: Option<ParameterSets>) {
        self.packager.expect_passed(sets);
    }

    /// Packages what is told of the presenter's own pictures.
    pub(super) fn handle_passed(&mut self, passed: Passed) {
        self.packager.handle_passed(passed);
        self.publish();
    }

    pub(super) fn interrupt(&mut self) {
        self.packager.interrupt();
        self.publish();
    }

    /// A new worker starts, and makes every rung.
    pub(super) fn expect_all_rungs(&mut self) {
        self.made.fill(true);
        self.packager.expect_all_rungs();
    }

    pub(super) fn resume(&mut self) {
        self.packager.resume();
        self.publish();
    }

    pub(super) fn end(&mut self) {
        self.has_ended = true;
        self.packager.end();
        self.publish();
    }

    /// Closes it to viewers.
    pub(super) fn retire(self, authorised: &Authorised, settings: &Settings) {
        settings.store.remove(authorised.client, authorised.stream);
    }

    fn publish(&mut self) {
        let utc = clock::steady(clock::now());
        while let Some(output) = self.packager.poll_output() {
            self.stream.apply(output, utc);
        }
    }
}

/// What a playlist was made for that viewers may still have before them.
fn continued(authorised: &Authorised, settings: &Settings, now: UtcTime) -> Option<Canvas> {
    let canvas = authorised.canvas.clone()?;
    let away = canvas.left_at.map_or(0, |left| now.micros_since(left));
    let linger = i64::try_from(settings.media.linger.as_micros()).unwrap_or(i64::MAX);
    (away <= linger).then_some(Canvas {
        left_at: None,
        ..canvas
    })
}

/// The ladder that a stream gets for a source of this size, and its frame rate.
pub(super) fn asked_for(asked: Option<&QualitySet>, source: Resolution) -> (Vec<Rung>, FrameRate) {
    let ladder = qualities(asked).for_source(source);
    let rate = asked.and_then(QualitySet::fps);
    (ladder, rate.unwrap_or(FrameRate::DEFAULT))
}

fn qualities(asked: Option<&QualitySet>) -> Ladder {
    asked.map_or_else(Ladder::default, |set| set.ladder())
}
