//! Which frame is due, and when; pure.
//!
//! Pictures come when they come; a ladder wants one per slot of its frame rate.
//! A picture fills the slot nearest to its capture time the moment it arrives,
//! so a steady presenter pays no delay. A slot whose picture does not come is
//! filled by repeating the last one, once the patience has run out that the
//! lateness seen so far asks for. Sound works the same in slots of one AAC
//! frame, filled by silence.
//!
//! Numbers only rise and leave nothing out, except by [`Due::skipped`].

use crate::timeline::{AAC_FRAME_SAMPLES, AUDIO_TIMESCALE, FrameRate, MediaTime};

/// Shortest patience with a late picture or sound: the jitter of a good
/// network and of two threads on a busy machine.
const MIN_PATIENCE: i64 = 80_000;

/// Longest patience: past it a repeated picture is better than more latency.
const MAX_PATIENCE: i64 = 400_000;

/// Added to the worst lateness seen.
const MARGIN: i64 = 30_000;

/// What the worker has of a packet of sound ends earlier than the packet: by
/// 6.5 ms that Opus looks ahead, by half the kernel that follows drift, and by
/// up to 20 ms of drift that is still to be worked off. An AAC frame that was
/// asked for without them would have a hole at its end.
const HELD_BACK: i64 = 27_000;

/// How far capture may lie ahead of the clock before it is not believed.
const MAX_AHEAD: i64 = 200_000;

/// A backlog beyond this is left out: the process was suspended.
const MAX_BACKLOG: i64 = 3_000_000;

/// Slots that are due now, as half-open ranges of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Video frames to ask for, in order.
    pub video: std::ops::Range<u64>,
    /// AAC frames to ask for, in order.
    pub audio: std::ops::Range<u64>,
    /// Slots before these were left out: the timeline has a gap.
    pub skipped: bool,
}

/// What a picture means for the slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Slots to fill with the picture before, ahead of handing this one over.
    pub before: std::ops::Range<u64>,
    /// The slot that this one fills; `None` when its slot has been filled.
    pub own: Option<u64>,
}

/// The slots of one stream.
#[derive(Clone, Debug)]
pub struct Schedule {
    rate: FrameRate,
    next_video: u64,
    next_audio: u64,
    video_lateness: Lateness,
    audio_lateness: Lateness,
}

impl Schedule {
    /// Begins with the slot of a picture captured at `first`, but with none whose
    /// time an earlier run of the same stream has used, at whatever rate that was.
    pub fn new(rate: FrameRate, first: MediaTime, after: Option<&Self>) -> Self {
        let (min_video, min_audio) = after.map_or((0, 0), |earlier| {
            let end = earlier.rate.time_of(earlier.next_video);
            (rate.first_frame_from(end), earlier.next_audio)
        });
        let next_video = rate.nearest_frame(first).max(min_video);
        let start = rate.time_of(next_video);
        Self {
            rate,
            next_video,
            next_audio: start.to_sample().div_ceil(AAC_FRAME_SAMPLES).max(min_audio),
            video_lateness: Lateness::default(),
            audio_lateness: Lateness::default(),
        }
    }

    /// Takes a picture that has arrived.
    pub fn handle_picture(&mut self, now: MediaTime, capture: MediaTime) -> Picture {
        self.video_lateness.observe(now, capture);
        let believed = capture.min(now.plus_micros(MAX_AHEAD));
        let slot = self.rate.nearest_frame(believed);
        if slot < self.next_video {
            return Picture {
                before: self.next_video..self.next_video,
                own: None,
            };
        }
        let before = self.next_video..slot;
        self.next_video = slot + 1;
        Picture {
            before,
            own: Some(slot),
        }
    }

    /// Takes sound that has arrived and lasts from `begin` until `end`; tells
    /// which AAC frames are complete by it.
    pub fn handle_sound(
        &mut self,
        now: MediaTime,
        begin: MediaTime,
        end: MediaTime,
    ) -> std::ops::Range<u64> {
        // A frame may have to wait for its last sample until a whole packet more
        // has come.
        self.audio_lateness
            .observe(now, begin.plus_micros(-HELD_BACK));
        let believed = end.min(now.plus_micros(MAX_AHEAD));
        self.audio_until(believed.plus_micros(-HELD_BACK))
    }

    /// Tells which slots' patience has run out.
    pub fn handle_timeout(&mut self, now: MediaTime) -> Due {
        let skipped = self.skip_backlog(now);
        let video_end = now.plus_micros(-self.video_lateness.patience());
        let first = self.next_video;
        while self.rate.time_of(self.next_video) <= video_end {
            self.next_video += 1;
        }
        let audio_end = now.plus_micros(-self.audio_patience());
        Due {
            video: first..self.next_video,
            audio: self.audio_until(audio_end),
            skipped,
        }
    }

    /// When the next slot's patience runs out.
    pub fn next_timeout(&self) -> MediaTime {
        let video = self
            .rate
            .time_of(self.next_video)
            .plus_micros(self.video_lateness.patience());
        let audio = audio_end(self.next_audio).plus_micros(self.audio_patience());
        video.min(audio)
    }

    /// The first video frame whose slot is open.
    pub fn next_frame(&self) -> u64 {
        self.next_video
    }

    /// Whether this video frame begins a segment.
    pub fn begins_segment(&self, frame: u64, segment_frames: u64) -> bool {
        frame.is_multiple_of(segment_frames.max(1))
    }

    fn audio_until(&mut self, end: MediaTime) -> std::ops::Range<u64> {
        let first = self.next_audio;
        while audio_end(self.next_audio) <= end {
            self.next_audio += 1;
        }
        first..self.next_audio
    }

    /// Sound that never came keeps step with the picture, so that both tracks
    /// of the playlist grow together.
    fn audio_patience(&self) -> i64 {
        if self.audio_lateness.has_seen {
            self.audio_lateness.patience()
        } else {
            self.video_lateness.patience()
        }
    }

    fn skip_backlog(&mut self, now: MediaTime) -> bool {
        let oldest = now.plus_micros(-MAX_BACKLOG);
        if self.rate.time_of(self.next_video) >= oldest {
            return false;
        }
        *self = Self {
            video_lateness: self.video_lateness.clone(),
            audio_lateness: self.audio_lateness.clone(),
            ..Self::new(self.rate, now.plus_micros(-MAX_PATIENCE), Some(&*self))
        };
        true
    }
}

/// When AAC frame `number` ends, rounded up.
fn audio_end(number: u64) -> MediaTime {
    let samples = u128::from(number + 1) * u128::from(AAC_FRAME_SAMPLES);
    let micros = (samples * 1_000_000).div_ceil(u128::from(AUDIO_TIMESCALE));
    MediaTime::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// How late a track has been lately: the worst case, forgotten slowly.
#[derive(Clone, Debug, Default)]
struct Lateness {
    worst: i64,
    has_seen: bool,
}

impl Lateness {
    fn observe(&mut self, now: MediaTime, expected: MediaTime) {
        let late = now.as_micros().saturating_sub(expected.as_micros());
        // By 1/256 per observation: 8 s until half of a spike is forgotten.
        self.worst = (self.worst - self.worst / 256).max(late);
        self.has_seen = true;
    }

    fn patience(&self) -> i64 {
        (self.worst + MARGIN).clamp(MIN_PATIENCE, MAX_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: FrameRate = FrameRate::DEFAULT;

    fn at(micros: i64) -> MediaTime {
        MediaTime::from_micros(micros)
    }

    #[test]
    fn a_steady_picture_fills_its_slot_at_once() {
        let mut schedule = Schedule::new(RATE, at(1_000_000), None);
        for n in 30..90_u64 {
            let capture = RATE.time_of(n).plus_micros(3_000);
            let picture = schedule.handle_picture(capture.plus_micros(40_000), capture);
            assert_eq!(
                picture,
                Picture {
                    before: n..n,
                    own: Some(n)
                }
            );
        }
    }

    #[test]
    fn a_missing_picture_is_repeated_when_patience_ends() {
        let mut schedule = Schedule::new(RATE, at(0), None);
        schedule.handle_picture(at(0), at(0));
        let deadline = RATE.time_of(1).plus_micros(MIN_PATIENCE);
        let due = schedule.handle_timeout(deadline.plus_micros(-1));
        assert!(due.video.is_empty());
        let due = schedule.handle_timeout(deadline);
        assert_eq!(due.video, 1..2);
    }

    #[test]
    fn a_slower_source_repeats_as_soon_as_the_next_picture_is_there() {
        let mut schedule = Schedule::new(RATE, at(0), None);
        let mut filled = Vec::new();
        for n in 0..24_i64 {
            let capture = at(n * 1_000_000 / 24);
            let picture = schedule.handle_picture(capture, capture);
            filled.extend(picture.before);
            filled.extend(picture.own);
        }
        assert_eq!(filled, (0..=29).collect::<Vec<_>>());
    }

    #[test]
    fn silence_keeps_step_where_no_sound_came() {
        let mut schedule = Schedule::new(RATE, at(0), None);
        let due = schedule.handle_timeout(at(1_000_000 + MIN_PATIENCE));
        assert_eq!(due.video, 0..31);
        assert_eq!(due.audio, 0..46);
    }

    #[test]
    fn sound_is_asked_for_when_the_worker_has_all_of_it() {
        let mut schedule = Schedule::new(RATE, at(0), None);
        let mut complete = 0;
        for packet in 0..500 {
            let (begin, end) = (at(packet * 20_000), at((packet + 1) * 20_000));
            let now = end.plus_micros(packet * 7919 % 20_000);
            let asked = schedule.handle_timeout(now).audio;
            assert!(asked.is_empty(), "{asked:?} before its sound");
            for number in schedule.handle_sound(now, begin, end) {
                assert_eq!(number, complete);
                assert!(audio_end(number).plus_micros(HELD_BACK) <= end);
                complete += 1;
            }
        }
        assert!(complete > 460);
    }

    #[test]
    fn a_suspended_process_leaves_the_backlog_out() {
        let mut schedule = Schedule::new(RATE, at(0), None);
        let due = schedule.handle_timeout(at(60_000_000));
        assert!(due.skipped);
        assert!(due.video.start > 30 * 59 && due.video.end <= 30 * 60);
    }

    #[test]
    fn a_returning_presenter_uses_no_slot_twice() {
        let mut first = Schedule::new(RATE, at(0), None);
        first.handle_timeout(at(1_000_000));
        let second = Schedule::new(RATE, at(500_000), Some(&first));
        assert_eq!(second.next_video, first.next_video);
        assert!(second.next_audio >= first.next_audio);
    }

    #[test]
    fn another_frame_rate_goes_on_where_the_one_before_ended() {
        let mut first = Schedule::new(RATE, at(0), None);
        first.handle_timeout(at(1_000_000));
        let end = RATE.time_of(first.next_video);
        for fps in [24, 25, 50, 60] {
            let rate = FrameRate::try_from(fps).unwrap();
            let second = Schedule::new(rate, at(500_000), Some(&first));
            let begin = rate.time_of(second.next_video);
            assert!(begin >= end, "{fps} fps");
            assert!(
                begin < end.plus_micros(1_000_000 / i64::from(fps) + 1),
                "{fps} fps"
            );
        }
    }

    proptest! {
        /// Whatever comes, in whatever order, slots rise by one and none is
        /// left open longer than the longest patience.
        #[test]
        fn slots_rise_by_one(
            arrivals in proptest::collection::vec((0_i64..120_000, -50_000_i64..400_000), 1..200),
        ) {
            let mut schedule = Schedule::new(RATE, at(0), None);
            let (mut now, mut expected) = (0, 0_u64);
            for (pause, age) in arrivals {
                now += pause;
                let due = schedule.handle_timeout(at(now));
                prop_assert!(!due.skipped);
                prop_assert!(schedule.next_timeout() > at(now));
                prop_assert_eq!(due.video.start, expected);
                expected = due.video.end;
                let picture = schedule.handle_picture(at(now), at(now - age));
                prop_assert_eq!(picture.before.start, expected);
                expected = picture.before.end;
                if let Some(own) = picture.own {
                    prop_assert_eq!(own, expected);
                    expected += 1;
                }
                let oldest = RATE.time_of(schedule.next_video).as_micros();
                prop_assert!(now - oldest <= MAX_PATIENCE);
            }
        }
    }
}
