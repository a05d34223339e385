//! What viewers are told: each rendition's growth, and the stream as a whole.

use std::sync::Arc;

use super::{Output, Packager};
use crate::{
    package::{
        Beat, Kind, Presentation, Rendition,
        segmenter::{Growth, Segmenter},
    },
    timeline::MediaTime,
};

impl Packager {
    pub(super) fn publish(&mut self, index: usize, growth: Growth) {
        self.has_part_now(index, growth);
        if growth > Growth::Unseen {
            self.emit(index, growth, growth == Growth::Part);
        }
        let measured = self.segmenters.get(index).map_or(0, Segmenter::peak);
        if let Some(peak) = self.peaks.get_mut(index).filter(|peak| **peak < measured) {
            // A little more than measured, so that not every segment is news.
            *peak = measured + measured / 20;
            self.presentation_changed = true;
        }
        if index == 0 && growth == Growth::Part && self.is_passing() {
            self.measure_passed();
        }
    }

    pub(super) fn has_part_now(&mut self, index: usize, growth: Growth) {
        if let Some(has) = self.has_part.get_mut(index).filter(|has| !**has) {
            *has = growth == Growth::Part;
            self.presentation_changed |= *has;
        }
    }

    pub(super) fn emit(&mut self, index: usize, growth: Growth, playlist: bool) {
        let Some(segmenter) = self.segmenters.get(index) else {
            return;
        };
        let beat = segmenter.beat();
        let end = segmenter.next().map(|next| beat.time(beat.ticks(next)));
        let part_ends = if growth == Growth::Part { end } else { None };
        let snapshot = Arc::new(segmenter.snapshot(self.state));
        self.outputs.push_back(Output::Rendition {
            index,
            snapshot,
            playlist,
            part_ends,
        });
    }

    /// Hands out the presentation when it changed and can be played.
    pub(super) fn announce(&mut self) {
        if !self.presentation_changed || !self.has_part.iter().all(|has| *has) {
            return;
        }
        self.presentation_changed = false;
        self.fill_periods();
        self.forget_old_periods();
        let presentation = Arc::new(Presentation {
            layout: self.layout,
            epoch: self.spec.epoch,
            renditions: self.renditions(),
            periods: self.periods.iter().cloned().collect(),
            thumbnails: self.thumbnail_size(),
            state: self.state,
            published: self.spec.epoch.utc(self.newest_time()),
        });
        self.outputs.push_back(Output::Presentation(presentation));
    }

    fn forget_old_periods(&mut self) {
        let newest = self
            .segmenters
            .iter()
            .filter_map(Segmenter::newest)
            .max()
            .unwrap_or(0);
        let oldest = newest.saturating_sub(self.layout.window_segments as u64);
        self.periods
            .forget_before(self.layout.segment_start(oldest));
    }

    fn renditions(&self) -> Vec<Rendition> {
        let video = self.spec.ladder.iter().map(|rung| {
            (
                Kind::Video {
                    resolution: rung.resolution,
                    rate: self.spec.rate,
                },
                rung.bitrate,
            )
        });
        let sounds = self.sounds.iter();
        let all = video.chain(sounds.map(|it| (Kind::Audio(it.codec), it.bitrate)));
        let facts = self.names.iter().zip(&self.segmenters).zip(&self.peaks);
        let passed = std::iter::once(self.passed_average).chain(std::iter::repeat(0));
        all.zip(facts)
            .zip(passed)
            .map(|(((kind, bitrate), ((name, segmenter), peak)), passed)| {
                let beat = *segmenter.beat();
                let average = (u64::from(bitrate) + box_bits_per_second(&beat)).max(passed);
                Rendition {
                    name: name.clone(),
                    kind,
                    beat,
                    average,
                    peak: (*peak).max(average),
                }
            })
            .collect()
    }

    fn newest_time(&self) -> MediaTime {
        let ends = self.segmenters.iter().filter_map(|s| {
            let beat = s.beat();
            Some(beat.time(beat.ticks(s.next()?)))
        });
        ends.max().unwrap_or(MediaTime::from_micros(0))
    }
}

/// What the boxes of a rendition's chunks cost: about 132 bytes for each chunk
/// and 4 for each sample.
fn box_bits_per_second(beat: &Beat) -> u64 {
    let bytes = 132 + 4 * beat.chunk_units;
    bytes * 8 * u64::from(beat.timescale) / beat.chunk_ticks()
}
