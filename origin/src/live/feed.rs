//! Frames and the clock become what a worker wants: coded media and ticks; pure.
//!
//! Every picture is handed over before the tick that may show it, and every
//! packet of sound before the ticks of the AAC frames that it completes.
//!
//! After each `handle_…` call [`Feed::poll_input`] until it has nothing more.

use std::collections::VecDeque;

use super::{
    opus,
    pass::{Event, Passage, Tick},
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
    /// The presenter's own pictures on their way past the worker, where that is asked.
    passage: Option<Passage>,
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
            passage: None,
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
                if let Some(passage) = &mut self.passage {
                    passage.handle_frame(&frame, capture);
                }
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
        if let Some(passage) = &mut self.passage {
            if skipped {
                passage.forget();
            }
            passage.handle_timeout(now);
        }
        video.for_each(|number| self.tick(number));
        self.tick_audio(audio);
    }

    /// When [`Feed::handle_timeout`] has something to do.
    pub(super) fn next_timeout(&self) -> MediaTime {
        let passage = self.passage.as_ref().and_then(Passage::next_timeout);
        let slots = self.schedule.next_timeout();
        passage.map_or(slots, |passage| passage.min(slots))
    }

    /// The presenter's own pictures may pass the worker from here on.
    pub(super) fn begin_passage(&mut self, passage: Passage) {
        self.passage = Some(passage);
    }

    /// See [`Passage`].
    pub(super) fn passage(&mut self) -> Option<&mut Passage> {
        self.passage.as_mut()
    }

    /// Ends the passage with the slots that there are.
    pub(super) fn end_passage(&mut self) {
        let next = self.schedule.next_frame();
        if let Some(passage) = &mut self.passage {
            passage.end(next);
        }
    }

    /// What is told of the passage next.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.passage.as_mut()?.poll_event()
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
        let encoded = Tick {
            idr,
            top_passed: false,
        };
        let passage = self.passage.as_mut();
        let Tick { idr, top_passed } =
            passage.map_or(encoded, |passage| passage.handle_tick(number, idr));
        self.inputs.push_back(Input::VideoTick {
            number,
            idr,
            top_passed,
        });
    }

    fn tick_audio(&mut self, numbers: std::ops::Range<u64>) {
        self.inputs
            .extend(numbers.map(|number| Input::AudioTick { number }));
    }
}
