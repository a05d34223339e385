//! What viewers get of a rehearsal, and how well sound and picture fit.

use std::ops::Range;

use super::presenter::{age_of, captured};
use crate::{
    timeline::{AAC_FRAME_SAMPLES, FrameRate, MediaTime},
    transcode::{ladder::Resolution, worker::dry::Answer},
};

/// The whole programme.
pub(super) struct Programme {
    /// The presenter's begin on the stream's timeline.
    begin: i64,
    pub(super) frames: Vec<Frame>,
    /// Four moments of each AAC frame.
    moments: Vec<Moment>,
    /// AAC frames with silence in them.
    pub(super) silent: Vec<i64>,
    next_audio: Option<u64>,
    /// The next frame of video, and of sound, may leave numbers out.
    may_skip: [bool; 2],
    /// When the ladder was to grow, and for which size.
    pub(super) grown: Vec<(i64, Resolution)>,
    /// From the end of an AAC frame to its tick, the worst case.
    pub(super) longest_wait: i64,
}

/// A frame of video.
pub(super) struct Frame {
    /// When it is shown, since the presenter began.
    pub(super) at: i64,
    number: u64,
    idr: bool,
    /// How much earlier its picture was captured.
    pub(super) age: Option<i64>,
    pub(super) is_repeated: bool,
}

struct Moment {
    at: i64,
    age: Option<f64>,
}

impl Programme {
    pub(super) fn new(begin: MediaTime) -> Self {
        Self {
            begin: begin.as_micros(),
            frames: Vec::new(),
            moments: Vec::new(),
            silent: Vec::new(),
            next_audio: None,
            may_skip: [false; 2],
            grown: Vec::new(),
            longest_wait: 0,
        }
    }

    /// The stream's time has gone on by so much at once.
    pub(super) fn follow(&mut self, by: i64) {
        self.begin += by;
    }

    /// Slots are left out.
    pub(super) fn skip(&mut self) {
        self.may_skip = [true; 2];
    }

    /// Takes what the worker has made at `now`. Numbers rise by one, but where slots
    /// are left out.
    pub(super) fn handle_answer(&mut self, now: i64, answer: &Answer) {
        match answer {
            Answer::Video {
                number,
                idr,
                picture,
                is_repeated,
            } => {
                let at = FrameRate::DEFAULT.time_of(*number).as_micros() - self.begin;
                let may_skip = std::mem::take(&mut self.may_skip[0]);
                if let Some(last) = self.frames.last() {
                    let is_next = *number == last.number + 1;
                    let is_later = may_skip && *number > last.number;
                    assert!(is_next || is_later, "frame {number} at {at}");
                }
                self.frames.push(Frame {
                    at,
                    number: *number,
                    idr: *idr,
                    age: picture.as_ref().map(|picture| at - captured(picture)),
                    is_repeated: *is_repeated,
                });
            }
            Answer::Audio {
                number,
                samples,
                is_silent,
            } => {
                let may_skip = std::mem::take(&mut self.may_skip[1]);
                if let Some(next) = self.next_audio {
                    let is_later = may_skip && *number > next;
                    assert!(*number == next || is_later, "AAC frame {number} for {next}");
                }
                self.next_audio = Some(number + 1);
                let at = |sample: u64| {
                    let sample = i64::try_from(number * AAC_FRAME_SAMPLES + sample).unwrap();
                    sample * 1_000 / 48 - self.begin
                };
                if *is_silent {
                    self.silent.push(at(0));
                }
                self.longest_wait = self.longest_wait.max(now - at(AAC_FRAME_SAMPLES));
                for sample in (0..AAC_FRAME_SAMPLES).step_by(256) {
                    let heard = samples[usize::try_from(sample).unwrap()];
                    self.moments.push(Moment {
                        at: at(sample),
                        age: age_of(heard, at(sample)),
                    });
                }
            }
        }
    }

    /// Where new pictures are seen and sound is heard with them: when, and how
    /// much later the picture comes than the sound of the same moment.
    pub(super) fn skews(&self) -> Vec<(i64, f64)> {
        let fresh = self.frames.iter().filter(|frame| !frame.is_repeated);
        fresh
            .filter_map(|frame| {
                let next = self.moments.partition_point(|moment| moment.at < frame.at);
                let heard = self.moments.get(next)?.age?;
                Some((frame.at, frame.age? as f64 - heard))
            })
            .collect()
    }

    /// Panics unless sound and picture were together in all of `when`, and
    /// could be judged in at least `share` of its frames.
    pub(super) fn assert_together(&self, when: Range<i64>, share: f64) {
        let skews = self.skews();
        let judged: Vec<_> = skews.iter().filter(|(at, _)| when.contains(at)).collect();
        let frames = self.frames.iter().filter(|it| when.contains(&it.at));
        let expected = frames.count() as f64 * share;
        assert!(
            judged.len() as f64 >= expected.max(1.0),
            "{} judged, of {expected} in {when:?}",
            judged.len()
        );
        let worst = judged.iter().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
        let (at, skew) = worst.unwrap();
        assert!(skew.abs() < 40_000.0, "{skew} µs at {at}");
    }

    /// Panics unless there is an IDR at the begin and every 30 frames of the
    /// timeline, and the sound grows with the picture.
    pub(super) fn assert_segments(&self) {
        for (index, frame) in self.frames.iter().enumerate() {
            let begins = index == 0 || frame.number.is_multiple_of(30);
            assert_eq!(frame.idr, begins, "frame {}", frame.number);
        }
        let last = self.frames.last().unwrap().at;
        let heard = self.moments.last().unwrap().at;
        assert!((last - heard).abs() < 500_000, "{last}, {heard}");
    }

    /// The longest that viewers saw one picture within `when`.
    pub(super) fn longest_freeze(&self, when: Range<i64>) -> i64 {
        let fresh = self.frames.iter().filter(|frame| !frame.is_repeated);
        let at: Vec<i64> = fresh
            .map(|frame| frame.at)
            .filter(|at| when.contains(at))
            .collect();
        let gaps = at.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or(i64::MAX)
    }

    /// Whether any of `when` is silent.
    pub(super) fn is_silent_in(&self, when: Range<i64>) -> bool {
        self.silent.iter().any(|at| when.contains(at))
    }

    /// How many moments of `when` sound, and how many are silent.
    pub(super) fn loudness(&self, when: Range<i64>) -> (usize, usize) {
        let within = self.moments.iter().filter(|it| when.contains(&it.at));
        let (loud, quiet): (Vec<_>, Vec<_>) = within.partition(|moment| moment.age.is_some());
        (loud.len(), quiet.len())
    }
}
