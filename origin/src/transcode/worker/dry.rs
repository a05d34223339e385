//! A worker without codecs, for tests of the timeline under virtual time.
//!
//! It answers every tick as a worker does, at once, through the same
//! [`Screen`], [`Placer`] and [`Track`]; what a coded picture shows and how a
//! packet sounds is for the caller to say.

use bytes::Bytes;

use super::{
    placement::{Placer, Track},
    screen::Screen,
};
use crate::{timeline::FrameRate, transcode::Input};

/// Samples, left and right, of a packet of sound.
pub(crate) type DecodeSound = fn(&[u8]) -> Vec<[f32; 2]>;

/// What it answers a tick with.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A frame, and the coded picture that it shows.
    Video {
        number: u64,
        idr: bool,
        picture: Option<Bytes>,
        is_repeated: bool,
    },
    /// The samples of an AAC frame.
    Audio {
        number: u64,
        samples: Vec<[f32; 2]>,
        is_silent: bool,
    },
}

/// The worker.
#[derive(Debug)]
pub(crate) struct Worker {
    rate: FrameRate,
    screen: Screen<Bytes>,
    placer: Placer,
    track: Track,
    decode_sound: DecodeSound,
}

impl Worker {
    pub(crate) fn new(rate: FrameRate, decode_sound: DecodeSound) -> Self {
        Self {
            rate,
            screen: Screen::default(),
            placer: Placer::new(),
            track: Track::default(),
            decode_sound,
        }
    }

    pub(crate) fn handle_input(&mut self, input: Input) -> Option<Answer> {
        match input {
            Input::Video { capture, data, .. } => self.screen.push(capture, data),
            Input::Audio { capture, data } => {
                let block = (self.decode_sound)(&data);
                self.placer.handle_block(capture, &block, &mut self.track);
            }
            Input::VideoTick { number, idr, .. } => {
                let is_repeated = !self.screen.advance(self.rate, number);
                return Some(Answer::Video {
                    number,
                    idr,
                    picture: self.screen.shown().cloned(),
                    is_repeated,
                });
            }
            Input::AudioTick { number } => {
                let (samples, is_silent) = self.track.take(number);
                return Some(Answer::Audio {
                    number,
                    samples,
                    is_silent,
                });
            }
        }
        None
    }
}
