//! Frames and the clock become what a worker wants: coded media and ticks; pure.
//!
//! Every picture is handed over before the tick that may show it, and every
//! packet of sound before the ticks of the AAC frames that it completes.
//!
//! After each `handle_…` call [`Feed::poll_input`] until it has nothing more.

use std::collections::VecDeque;

use super::{
    opus,
    schedule::{Due, Schedule},
};
use crate::{
    ingest::{Frame, FrameCodec},
    timeline::{FrameRate, MediaTime},
    transcode::Input,
};

/// One worker's input.
#[derive(Debug)]
pub(super) struct Feed {
    schedule: Schedule,
    segment_frames: u64,
    has_ticked: bool,
    skipped: bool,
    inputs: VecDeque<Input>,
}

impl Feed {
    /// Begins with the slot of a picture captured at `first`, behind the slots
    /// that an earlier run of the same stream has used. Every so many frames
    /// there is an IDR.
    pub(super) fn new(
        rate: FrameRate,
        segment_frames: u64,
        first: MediaTime,
        after: Option<&Schedule>,
    ) -> Self {
        Self {
            schedule: Schedule::new(rate, first, after),
            segment_frames,
            has_ticked: false,
            skipped: false,
            inputs: VecDeque::new(),
        }
    }

    /// Takes a frame that has come at `now`.
    pub(super) fn handle_frame(&mut self, now: MediaTime, capture: MediaTime, frame: Frame) {
        match frame.codec {
            FrameCodec::Opus => self.handle_sound(now, capture, frame),
            FrameCodec::Video(codec) => {
                let slots = self.schedule.handle_picture(now, capture);
                slots.before.for_each(|number| self.tick(number));
                self.inputs.push_back(Input::Video {
                    codec,
                    capture,
                    quarter_turns: frame.quarter_turns,
                    data: frame.data,
                });
                if let Some(number) = slots.own {
                    self.tick(number);
                }
            }
        }
    }

    /// Asks for what is due although nothing came for it.
    pub(super) fn handle_timeout(&mut self, now: MediaTime) {
        let Due {
            video,
            audio,
            skipped,
        } = self.schedule.handle_timeout(now);
        self.skipped |= skipped;
        video.for_each(|number| self.tick(number));
        self.tick_audio(audio);
    }

    /// When [`Feed::handle_timeout`] has something to do.
    pub(super) fn next_timeout(&self) -> MediaTime {
        self.schedule.next_timeout()
    }

    /// What the worker is to be told next.
    pub(super) fn poll_input(&mut self) -> Option<Input> {
        self.inputs.pop_front()
    }

    /// Whether slots were left out since the last call.
    pub(super) fn take_skipped(&mut self) -> bool {
        std::mem::take(&mut self.skipped)
    }

    /// Where the slots end.
    pub(super) fn into_schedule(self) -> Schedule {
        self.schedule
    }

    fn handle_sound(&mut self, now: MediaTime, capture: MediaTime, frame: Frame) {
        let Some(samples) = opus::samples(&frame.data) else {
            return;
        };
        self.inputs.push_back(Input::Audio {
            capture,
            data: frame.data,
        });
        let end = capture.plus_micros(i64::from(samples) * 1_000 / 48);
        let complete = self.schedule.handle_sound(now, capture, end);
        self.tick_audio(complete);
    }

    fn tick(&mut self, number: u64) {
        let idr = !self.has_ticked || self.schedule.begins_segment(number, self.segment_frames);
        self.has_ticked = true;
        self.inputs.push_back(Input::VideoTick { number, idr });
    }

    fn tick_audio(&mut self, numbers: std::ops::Range<u64>) {
        self.inputs
            .extend(numbers.map(|number| Input::AudioTick { number }));
    }
}
