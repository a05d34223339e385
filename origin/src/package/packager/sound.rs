//! Sound on its way into its renditions: it waits for the run's first picture, and
//! what a dying worker took with it becomes silence.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Dropped, Packager, Segmenter, State};
use crate::package::{AudioCodec, Beat, Init, silence};

/// Sound that waits for the first IDR, far beyond an encoder's delay. Beyond it the
/// oldest goes, which nobody would hear anyway.
const MAX_WAITING: Duration = Duration::from_secs(5);

/// Lost sound replaced by silence. A longer hole stays a hole.
const MAX_SILENCE: Duration = Duration::from_secs(3);

/// The way into one rendition of the sound.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) codec: AudioCodec,
    pub(super) bitrate: u32,
    waiting: VecDeque<(u64, Bytes)>,
}

impl Sound {
    pub(super) fn new(codec: AudioCodec, bitrate: u32) -> Self {
        Self {
            codec,
            bitrate,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }
}

impl Packager {
    pub(super) fn handle_audio_config(&mut self, asc: &[u8]) {
        let init = Init::audio(asc, self.spec.audio_bitrate);
        self.configure_sound(AudioCodec::Aac, init);
    }

    /// An Opus track needs nothing of its encoder but the channels, which are always
    /// two.
    pub(super) fn configure_opus(&mut self) {
        self.configure_sound(AudioCodec::Opus, Init::opus(2));
    }

    fn configure_sound(
        &mut self,
        codec: AudioCodec,
        init: Result<Init, crate::package::fmp4::Error>,
    ) {
        let Some(index) = self.sound_index(codec) else {
            return;
        };
        match init {
            Ok(init) => self.configure(index, init),
            Err(error) => tracing::warn!(%error, ?codec, "audio configuration refused"),
        }
    }

    pub(super) fn handle_audio(&mut self, codec: AudioCodec, number: u64, data: &Bytes) {
        if self.state != State::Live {
            return self.count(Dropped::NotLive);
        }
        let place = self.sounds.iter().position(|it| it.codec == codec);
        let Some(place) = place else {
            return self.count(Dropped::NoRung);
        };
        let limit = self.sound_beat(place).map_or(0, |it| it.units(MAX_WAITING));
        if let Some(sound) = self.sounds.get_mut(place) {
            sound.waiting.push_back((number, data.clone()));
            if self.run_start.is_none() && sound.waiting.len() as u64 > limit {
                sound.waiting.pop_front();
            }
        }
        self.release(place);
    }

    pub(super) fn release_sounds(&mut self) {
        (0..self.sounds.len()).for_each(|place| self.release(place));
    }

    /// Packages the sound from the run's first picture on, one frame that reaches
    /// into it included.
    fn release(&mut self, place: usize) {
        let (Some(start), Some(beat)) = (self.run_start, self.sound_beat(place)) else {
            return;
        };
        let index = self.audio_index() + place;
        let next = |sounds: &mut [Sound]| sounds.get_mut(place)?.waiting.pop_front();
        while let Some((number, data)) = next(&mut self.sounds) {
            if beat.time(beat.ticks(number.saturating_add(1))) > start {
                self.fill_with_silence(place, number);
                self.push(index, number, data, true);
            }
        }
    }

    fn fill_with_silence(&mut self, place: usize, until: u64) {
        let index = self.audio_index() + place;
        let (Some(sound), Some(segmenter)) = (self.sounds.get(place), self.segmenters.get(index))
        else {
            return;
        };
        let (Some(next), Some(init)) = (segmenter.next(), segmenter.upcoming()) else {
            return;
        };
        let Some(frame) = silence::frame(sound.codec, init.channels()) else {
            return;
        };
        if until.saturating_sub(next) <= segmenter.beat().units(MAX_SILENCE) {
            for number in next..until {
                self.push(index, number, frame.clone(), true);
            }
        }
    }

    /// The rendition of the sound that is coded so.
    fn sound_index(&self, codec: AudioCodec) -> Option<usize> {
        let place = self.sounds.iter().position(|it| it.codec == codec)?;
        Some(self.audio_index() + place)
    }

    fn sound_beat(&self, place: usize) -> Option<Beat> {
        let segmenter = self.segmenters.get(self.audio_index() + place);
        segmenter.map(|it| *it.beat())
    }

    /// What the sound is decoded with from here on.
    pub(super) fn sound_inits(&self) -> Vec<Option<Arc<Init>>> {
        let sounds = self.segmenters.iter().skip(self.audio_index());
        sounds.map(|it| it.upcoming().cloned()).collect()
    }

    pub(super) fn sound_segmenters(&mut self) -> impl Iterator<Item = &mut Segmenter> {
        let first = self.audio_index();
        self.segmenters.iter_mut().skip(first)
    }
}
