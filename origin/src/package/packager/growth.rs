//! More rungs in the middle of a stream.

use super::{Packager, Segmenter, StandIns, presentation};
use crate::transcode::ladder::Rung;

impl Packager {
    /// Adds rungs: `ladder` holds those that there are too, tallest first. The
    /// next run has them all, behind the discontinuity that it begins with; for
    /// viewers of the others nothing else changes.
    ///
    /// To be called between [`Self::interrupt`] and [`Self::resume`], when all
    /// outputs have been taken: indices of renditions change.
    pub fn enlarge(&mut self, ladder: Vec<Rung>) {
        let names = presentation::names(
            ladder.iter().map(Rung::name),
            self.spec.opus_bitrate.is_some(),
        );
        let position = |name| self.names.iter().position(|known| known == name);
        let before: Vec<Option<usize>> = names.iter().map(position).collect();
        // The new playlists begin where the others break.
        let passed = self.segmenters.last().map_or(0, Segmenter::discontinuities);
        let (beat, epoch) = (self.layout.video, self.spec.epoch);
        let window = self.layout.window_segments;
        arrange(&mut self.segmenters, &before, |_| {
            let mut segmenter = Segmenter::new(beat, epoch, window, false);
            segmenter.count_discontinuities_from(passed);
            segmenter
        });
        arrange(&mut self.peaks, &before, |index| {
            let rate = ladder.get(index).map_or(0, |rung| rung.bitrate);
            u64::from(rate) * 5 / 4
        });
        arrange(&mut self.has_part, &before, |_| false);
        let position = |old: &usize| before.iter().position(|it| *it == Some(*old));
        self.periods.rearrange(|period| {
            arrange(&mut period.inits, &before, |_| None);
            period.absent = period.absent.iter().filter_map(position).collect();
        });
        self.stand_ins = StandIns::new(ladder.len());
        // The next run breaks everywhere, and every rung is made again.
        self.segmenters
            .iter_mut()
            .for_each(Segmenter::forget_breaks);
        self.names = names;
        self.spec.ladder = ladder;
    }
}

/// Puts each item where it belongs: item `n` was at `before[n]`, or is new.
fn arrange<T>(items: &mut Vec<T>, before: &[Option<usize>], mut new: impl FnMut(usize) -> T) {
    let mut old: Vec<_> = std::mem::take(items).into_iter().map(Some).collect();
    for (index, before) in before.iter().enumerate() {
        let known = before.and_then(|before| old.get_mut(before)?.take());
        items.push(known.unwrap_or_else(|| new(index)));
    }
}
