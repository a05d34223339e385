//! The whole stream: which run of media, which period, which discontinuity.
//!
//! A *run* begins with the first IDR after the start or after
//! [`Packager::resume`]; audio that comes before it waits. A *break* is a
//! segment number from which every rendition begins with a discontinuity, so
//! that their discontinuity sequences stay equal. A segment number is never
//! used twice: what would fall into a sealed segment is dropped until the next.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    AudioCodec, Beat, Coded, Init, Layout, Period, Presentation, Snapshot, Spec, SpecError, State,
    course::Course,
    periods::Periods,
    presentation,
    segmenter::{Configured, Growth, Opened, Pushed, Segmenter},
    stand_in::{Frame, StandIns},
    thumbnails::{Album, Thumbnails},
};
use crate::{
    timeline::{Epoch, MediaTime},
    transcode::{self, ladder::Rung},
};

mod announce;
mod growth;
mod passed;
mod rungs;
mod runs;
mod sound;
mod thumbnails;

use self::{passed::Passing, sound::Sound};

/// What a packager produced.
#[derive(Clone, Debug)]
#[must_use]
pub enum Output {
    /// The stream as a whole changed. The first one comes when every rendition
    /// has its first part; before it nothing can be played.
    Presentation(Arc<Presentation>),
    /// A rendition grew or changed its state.
    Rendition {
        /// Index into [`Presentation::renditions`].
        index: usize,
        /// The rendition from now on.
        snapshot: Arc<Snapshot>,
        /// Whether its playlist changed, and not only the growing segment.
        playlist: bool,
        /// Where the media of a part just finished ends; `None` when no part
        /// was finished.
        part_ends: Option<MediaTime>,
    },
    /// There is one more small picture.
    Thumbnails(Arc<Thumbnails>),
}

/// Why a sample was not packaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// Its place in the timeline is taken or sealed.
    Late,
    /// Decoding cannot begin with it and nothing came before.
    AwaitsIdr,
    /// Its parameter sets have not come, or could not be used.
    NoConfig,
    /// There is no such rung.
    NoRung,
    /// It came while the stream was interrupted or ended.
    NotLive,
}

/// Turns a worker's output into what viewers fetch.
#[derive(Debug)]
pub struct Packager {
    spec: Spec,
    layout: Layout,
    names: Vec<String>,
    /// One per rung, then one per coding of the sound.
    segmenters: Vec<Segmenter>,
    /// Where the video's segments begin.
    course: Course,
    passing: Passing,
    state: State,
    /// When the current run's first frame is shown; `None` before it.
    run_start: Option<MediaTime>,
    sounds: Vec<Sound>,
    break_at: Option<u64>,
    periods: Periods,
    stand_ins: StandIns,
    album: Album,
    peaks: Vec<u64>,
    /// Mean rate of the presenter's own frames; 0 while there are none.
    passed_average: u64,
    has_part: Vec<bool>,
    presentation_changed: bool,
    dropped: BTreeMap<Dropped, u64>,
    outputs: VecDeque<Output>,
}

impl Packager {
    /// Makes the packager of one stream.
    ///
    /// # Errors
    ///
    /// [`SpecError`] when the specification makes no stream.
    pub fn new(spec: Spec) -> Result<Self, SpecError> {
        let layout = Layout::new(&spec)?;
        let mut segmenters = Vec::new();
        let (epoch, window) = (spec.epoch, layout.window_segments);
        for _ in &spec.ladder {
            segmenters.push(Segmenter::new(layout.video, epoch, window, false));
        }
        let mut sounds = vec![Sound::new(AudioCodec::Aac, spec.audio_bitrate)];
        sounds.extend(
            spec.opus_bitrate
                .map(|rate| Sound::new(AudioCodec::Opus, rate)),
        );
        for sound in &sounds {
            let beat = layout.sound(sound.codec);
            segmenters.push(Segmenter::new(beat, epoch, window, true));
        }
        let first = layout.first_segment_after(spec.taken_until);
        for segmenter in &mut segmenters {
            segmenter.refuse_before(first);
            if spec.is_continued {
                segmenter.break_from(first);
            }
        }
        let rates = spec
            .ladder
            .iter()
            .map(|rung| rung.bitrate)
            .chain(sounds.iter().map(|sound| sound.bitrate));
        // Where peaks begin: what a rate controller overshoots in one second.
        let peaks = rates.map(|rate| u64::from(rate) * 5 / 4).collect();
        let mut packager = Self {
            layout,
            names: presentation::names(
                spec.ladder.iter().map(Rung::name),
                spec.opus_bitrate.is_some(),
            ),
            has_part: vec![false; segmenters.len()],
            segmenters,
            course: Course::default(),
            passing: Passing::default(),
            state: State::Live,
            run_start: None,
            sounds,
            break_at: None,
            periods: Periods::default(),
            stand_ins: StandIns::new(spec.ladder.len()),
            album: Album::new(layout, first),
            peaks,
            passed_average: 0,
            presentation_changed: false,
            dropped: BTreeMap::new(),
            outputs: VecDeque::new(),
            spec,
        };
        packager.configure_opus();
        Ok(packager)
    }

    /// Takes what the worker made.
    pub fn handle_output(&mut self, output: &transcode::Output) {
        match output {
            transcode::Output::VideoConfig { rung, sps, pps } => {
                self.handle_video_config(*rung, sps, pps);
            }
            transcode::Output::Video {
                rung,
                number,
                idr,
                data,
            } => {
                self.handle_video(*rung, *number, *idr, data);
            }
            transcode::Output::AudioConfig { asc } => self.handle_audio_config(asc),
            transcode::Output::Audio { number, data } => {
                self.handle_audio(AudioCodec::Aac, *number, data);
            }
            transcode::Output::Opus { number, data } => {
                self.handle_audio(AudioCodec::Opus, *number, data);
            }
            transcode::Output::Restarted => {
                // The presenter's own frames go on.
                let made = usize::from(self.is_passing());
                for segmenter in self.segmenters.iter_mut().skip(made) {
                    segmenter.await_sync();
                }
            }
            transcode::Output::RungPlanned {
                rung,
                is_made,
                from,
            } => self.plan_rung(*rung, *is_made, *from),
            transcode::Output::Thumbnail { number, data } => {
                self.handle_thumbnail(*number, data);
            }
            transcode::Output::Report(_)
            | transcode::Output::Still { .. }
            | transcode::Output::KeyFrameNeeded => {}
        }
        self.announce();
    }

    /// The next thing to hand to the store; `None` when all is handed over.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The lengths of segments, parts and chunks.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where the stream's time begins.
    pub fn epoch(&self) -> Epoch {
        self.spec.epoch
    }

    /// The renditions' names in URLs, in order, those of the sound last.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The renditions in order: name, coding of the sound or `None` for pictures, and
    /// lengths.
    pub fn tracks(&self) -> impl Iterator<Item = (&str, Option<AudioCodec>, Beat)> {
        let pictures = self.spec.ladder.iter().map(|_| None);
        let codecs = pictures.chain(self.sounds.iter().map(|sound| Some(sound.codec)));
        let lengths = self.segmenters.iter().map(|segmenter| *segmenter.beat());
        let names = self.names.iter().map(String::as_str);
        names
            .zip(codecs)
            .zip(lengths)
            .map(|((name, codec), beat)| (name, codec, beat))
    }

    /// How many samples were dropped for a reason.
    pub fn dropped(&self, reason: Dropped) -> u64 {
        self.dropped.get(&reason).copied().unwrap_or(0)
    }

    fn handle_video_config(&mut self, rung: usize, sps: &[u8], pps: &[u8]) {
        let Some(resolution) = self.spec.ladder.get(rung).map(|rung| rung.resolution) else {
            return self.count(Dropped::NoRung);
        };
        let passed = self.passing.sets.as_ref().filter(|_| rung == 0);
        match Init::video(resolution, self.layout.video.unit_ticks, (sps, pps), passed) {
            Ok(init) => {
                self.stand_ins.configure(rung, Arc::new(init.clone()));
                for rendition in self.stand_ins.shows(rung) {
                    self.configure(rendition, init.clone());
                }
                self.announce_periods();
            }
            Err(error) => tracing::warn!(%error, rung, "video configuration refused"),
        }
    }

    fn configure(&mut self, index: usize, init: Init) {
        let Some(segmenter) = self.segmenters.get_mut(index) else {
            return;
        };
        match segmenter.configure(init) {
            Configured::Same => return,
            Configured::Fresh => {
                // Another rung's first frame may have opened the period already.
                self.presentation_changed |= self.periods.forget_inits();
                return;
            }
            Configured::Breaks => {}
        }
        // What comes next cannot be decoded with the open segment's init: the
        // rest of its time is given up, and all renditions break together.
        let Some(at) = self.next_common_segment() else {
            return;
        };
        if self.break_at != Some(at) {
            self.break_at = Some(at);
            self.segmenters
                .iter_mut()
                .for_each(|segmenter| segmenter.break_from(at));
        }
        let growth = self.segmenters.get_mut(index).map(|s| s.restart_from(at));
        self.publish(index, growth.unwrap_or_default());
    }

    fn handle_video(&mut self, rung: usize, number: u64, idr: bool, data: &Bytes) {
        if rung >= self.audio_index() {
            return self.count(Dropped::NoRung);
        }
        let segment = self.course.segment_of(&self.layout.video, number);
        for rendition in self.stand_ins.targets(rung, segment) {
            let data = data.clone();
            self.show(rendition, rung, segment, Frame { number, idr, data });
        }
        self.release_passed(false);
    }

    fn push(&mut self, index: usize, number: u64, data: Bytes, sync: bool) {
        self.push_span(index, number, 1, &[Coded { data, sync }]);
    }

    /// Packages samples that share the time of `units` units from `number` on.
    fn push_span(&mut self, index: usize, number: u64, units: u64, samples: &[Coded]) {
        if self.state != State::Live {
            return self.count(Dropped::NotLive);
        }
        let Some(segmenter) = self.segmenters.get_mut(index) else {
            return self.count(Dropped::NoRung);
        };
        if self.periods.is_empty() {
            let first = segmenter.segment_of(number);
            segmenter.count_discontinuities_from(first);
        }
        match segmenter.push_span(number, units, samples) {
            Ok(Pushed { growth, opened }) => {
                if let Some(opened) = opened.filter(|_| index < self.audio_index()) {
                    self.handle_opened(index, number, opened);
                }
                self.publish(index, growth);
            }
            Err(reason) => self.count(reason),
        }
    }

    fn handle_opened(&mut self, index: usize, number: u64, opened: Opened) {
        if opened.breaks && self.periods.is_before(opened.segment) {
            if self.periods.is_empty() {
                // Discontinuity sequences begin equal in all renditions, and
                // higher than any that an earlier process of ours gave.
                for segmenter in &mut self.segmenters {
                    segmenter.count_discontinuities_from(opened.segment);
                }
            }
            let end = self.end_before(opened.segment);
            self.fill_periods();
            self.periods.begin(
                Period {
                    inits: Vec::new(),
                    ..self.period(opened.segment)
                },
                end,
            );
            self.announce_periods();
            self.presentation_changed = true;
        }
        if self.run_start.is_none() {
            let beat = self.segmenters.get(index).map(Segmenter::beat);
            self.run_start = beat.map(|beat| beat.time(beat.ticks(number)));
            for sound in self.sound_segmenters() {
                sound.refuse_before(opened.segment);
            }
            self.release_sounds();
        }
    }

    /// The first segment that no rendition has begun; `None` before the first.
    fn next_common_segment(&self) -> Option<u64> {
        self.segmenters
            .iter()
            .filter_map(Segmenter::newest)
            .max()
            .map(|newest| newest + 1)
    }

    /// Index of the first rendition of the sound, which is AAC's.
    fn audio_index(&self) -> usize {
        self.spec.ladder.len()
    }

    fn count(&mut self, reason: Dropped) {
        *self.dropped.entry(reason).or_default() += 1;
    }
}
