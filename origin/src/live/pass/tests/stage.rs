//! A presenter under virtual time, its passage, a worker and the packager.

use std::{collections::VecDeque, sync::Arc};

use bytes::{BufMut, Bytes};
use inlet_common::clock::UtcTime;

use super::{IDR, P, PPS, SPS, unit};
use crate::{
    ingest::{Frame, FrameCodec},
    live::pass::{Event, Passage, Progress, Rhythm, Sets, Tick},
    package::{
        self, Packager, Passed, Segment, Snapshot, State,
        tests::{coded, spec},
    },
    timeline::{FrameRate, MediaTime},
    transcode::{self, VideoCodec},
};

pub(super) const RATE: FrameRate = FrameRate::DEFAULT;
pub(super) const START: u64 = 3_000;

/// A presenter, its passage, a worker and the packager.
pub(super) struct Stage {
    pub(super) passage: Passage,
    pub(super) packager: Packager,
    /// The next tick.
    pub(super) number: u64,
    /// From a request to the capture of the key frame.
    pub(super) reaction: i64,
    /// When the next picture is to be a key frame.
    pub(super) key_at: Option<i64>,
    /// Ticks that the worker is behind.
    pub(super) lag: usize,
    pub(super) answers: VecDeque<Vec<transcode::Output>>,
    pub(super) pictures: u32,
    /// Bytes that each has beside.
    pub(super) padding: usize,
    /// What was passed on of the presenter's pictures, as it is to be packaged.
    pub(super) sent: Vec<Bytes>,
    pub(super) ticks: Vec<(u64, Tick)>,
    pub(super) progress: Vec<Progress>,
    pub(super) offsets: Vec<i64>,
    pub(super) snapshots: [Option<Arc<Snapshot>>; 2],
    /// The part of each that is hinted.
    pub(super) hinted: [Option<(u64, usize)>; 2],
}

impl Stage {
    pub(super) fn new(reaction: i64) -> Self {
        let mut packager = Packager::new(spec(30)).unwrap();
        let sets = Sets::read(&unit(&[SPS, PPS, IDR])).unwrap();
        packager.expect_passed(Some(sets.sets.clone()));
        let rhythm = Rhythm {
            rate: RATE,
            segment_frames: 30,
            part_frames: 6,
            bitrate: 2_500_000,
        };
        let mut stage = Self {
            passage: Passage::new(rhythm, Ok(sets), false),
            packager,
            number: START,
            reaction,
            key_at: None,
            lag: 0,
            answers: VecDeque::new(),
            pictures: 0,
            padding: 0,
            sent: Vec::new(),
            ticks: Vec::new(),
            progress: Vec::new(),
            offsets: Vec::new(),
            snapshots: [None, None],
            hinted: [None, None],
        };
        for rung in 0..2 {
            let (sps, pps) = (package::tests::SPS, package::tests::PPS);
            stage
                .packager
                .handle_output(&transcode::Output::VideoConfig {
                    rung,
                    sps: Bytes::from_static(sps),
                    pps: Bytes::from_static(pps),
                });
        }
        stage
    }

    /// As many slots, with one picture in each.
    pub(super) fn run(&mut self, slots: u64) {
        for _ in 0..slots {
            self.slot(&[0]);
        }
    }

    /// One slot, with pictures so many microseconds off its moment.
    pub(super) fn slot(&mut self, pictures: &[i64]) {
        let moment = RATE.time_of(self.number);
        for off in pictures {
            let capture = moment.plus_micros(*off);
            self.ask(capture);
            let is_key = self.key_at.is_some_and(|at| at <= capture.as_micros());
            self.picture(capture, is_key);
        }
        self.ask(moment.plus_micros(10_000));
        self.tick();
    }

    pub(super) fn picture(&mut self, capture: MediaTime, is_key: bool) {
        self.pictures += 1;
        if is_key {
            self.key_at = None;
        }
        let mut slice = if is_key { IDR } else { P }.to_vec();
        slice.put_u32(self.pictures | 1 << 24);
        slice.resize(slice.len() + self.padding, 0xff);
        let nals: &[&[u8]] = if is_key {
            &[SPS, PPS, &slice]
        } else {
            &[&slice]
        };
        self.give(unit(nals), is_key, capture);
    }

    pub(super) fn give(&mut self, data: Bytes, is_key: bool, capture: MediaTime) {
        let frame = Frame {
            codec: FrameCodec::Video(VideoCodec::H264),
            capture: UtcTime::from_unix_micros(capture.as_micros()),
            is_key,
            resolution: None,
            quarter_turns: 0,
            data,
        };
        self.passage.handle_frame(&frame, capture);
    }

    /// Lets the time come, until `now`.
    pub(super) fn ask(&mut self, now: MediaTime) {
        while let Some(due) = self.passage.next_timeout().filter(|due| *due <= now) {
            self.passage.handle_timeout(due);
            assert!(self.passage.take_wanted());
            self.key_at.get_or_insert(due.as_micros() + self.reaction);
        }
    }

    pub(super) fn tick(&mut self) {
        let number = self.number;
        self.number += 1;
        let tick = self.passage.handle_tick(number, number.is_multiple_of(30));
        self.ticks.push((number, tick));
        let made = if tick.top_passed { 1..2 } else { 0..2 };
        let answer = made.map(|rung| transcode::Output::Video {
            rung,
            number,
            idr: tick.idr,
            data: Bytes::from(format!("worker {rung} {number}")),
        });
        self.answers.push_back(answer.collect());
        self.settle();
        while self.answers.len() > self.lag {
            for output in self.answers.pop_front().unwrap() {
                self.packager.handle_output(&output);
            }
            self.drain();
        }
    }

    pub(super) fn settle(&mut self) {
        while let Some(event) = self.passage.poll_event() {
            match event {
                Event::Passed(passed) => {
                    if let Passed::Frames { frames, .. } = &passed {
                        self.sent.extend(frames.iter().map(|it| it.data.clone()));
                    }
                    self.packager.handle_passed(passed);
                }
                Event::Changed(progress) => self.progress.push(progress),
                Event::KeyFrame(off) => self.offsets.push(off),
            }
        }
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.packager.poll_output() {
            if let package::Output::Rendition {
                index, snapshot, ..
            } = output
                && let Some(own) = self.snapshots.get_mut(index)
            {
                let next = snapshot.next_part();
                let hinted = std::mem::replace(&mut self.hinted[index], next);
                if let Some((number, part)) = hinted.filter(|hinted| Some(*hinted) != next) {
                    let segment = snapshot.segment(number);
                    let has_come = segment.is_some_and(|it| it.parts.len() > part);
                    let is_over = snapshot.state != State::Live;
                    assert!(has_come || is_over, "{number}.{part} was hinted");
                }
                *own = Some(snapshot);
            }
        }
    }

    pub(super) fn segments(&self, rendition: usize) -> &[Arc<Segment>] {
        &self.snapshots[rendition].as_ref().unwrap().segments
    }

    /// Runs until something is passed through.
    pub(super) fn pass(&mut self) {
        self.run(300);
        assert_eq!(self.progress, [Progress::Starting, Progress::Passing]);
    }

    /// The sizes that the samples of a rendition have, those of the presenter's pictures
    /// in it, and that all is as players need it.
    pub(super) fn check(&self) {
        let [one, other] = [0, 1].map(|rendition| self.segments(rendition));
        let mut passed = Vec::new();
        for (index, segment) in one.iter().enumerate() {
            let samples = coded(segment);
            assert!(
                samples[0].2,
                "segment {} begins with an IDR",
                segment.number
            );
            assert_eq!(samples[0].0, segment.start);
            if let Some(next) = one.get(index + 1) {
                assert_eq!(next.number, segment.number + 1);
                assert_eq!(next.start, segment.start + segment.duration);
                assert!(!next.discontinuity && !next.gap);
            }
            let off = segment.start as i64 - (segment.number * 90_000) as i64;
            assert!(
                off.abs() < 45_000,
                "segment {} drifts by {off}",
                segment.number
            );
            assert!(segment.duration < 135_000, "{}", segment.duration);
            passed.extend(samples.into_iter().map(|it| it.3));
        }
        for segment in other {
            let twin = one.iter().find(|it| it.number == segment.number);
            let is_aligned = twin.is_none_or(|twin| {
                (twin.start, twin.duration) == (segment.start, segment.duration)
            });
            assert!(is_aligned, "segment {}", segment.number);
            assert!(coded(segment)[0].2);
            for (index, part) in segment.parts.iter().enumerate() {
                let is_last = index + 1 == segment.parts.len();
                assert!(part.duration == 18_000 || (is_last && part.duration < 18_000));
            }
        }
        // None is missing between the first and the last of them, and none has changed.
        passed.retain(|data| !data.starts_with(b"worker"));
        let first = passed.first().map_or(0, |first| {
            self.sent.iter().position(|sent| sent == first).unwrap()
        });
        assert_eq!(passed, self.sent[first..first + passed.len()]);
        assert!(
            self.sent.len() - first - passed.len() < 60,
            "all but the open segment's"
        );
    }
}
