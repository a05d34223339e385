//! A machine that cannot keep up.
//!
//! The worker gets a part of what it needs, whatever machine this is. Time is
//! real here, as it must be.

use std::{
    thread,
    time::{Duration, Instant},
};

use inlet_common::clock;
use inlet_origin::{
    timeline::FrameRate,
    transcode::{
        Beat, Input, Spec, VideoCodec,
        ladder::{Ladder, Quality, Resolution},
    },
};

use crate::{
    brake::{Appetite, Brake},
    media,
    rig::{FIRST_FRAME, POOL, Stream},
};

const BEAT: Beat = Beat {
    segment_frames: 30,
    part_frames: 6,
};

const FRAMES: u64 = 360;

/// Frames before the brake, and how many of them show what the worker needs.
const BRAKED: u64 = 180;
const USUAL: u64 = 90;

/// What is left to it of that: 720p takes more than half, the others less.
const SHARE: f64 = 0.6;

/// The latest that a frame of the last rung may come: what bounds it is the second
/// that viewers may be delayed.
const LATEST: Duration = Duration::from_secs(1);

pub(crate) fn a_slow_worker_sheds_rungs() {
    let mut live = Live::start(&Ladder::default(), (1280, 720));
    // Once it has started up: the first seconds are not judged.
    live.play(BRAKED - USUAL);
    let appetite = Appetite::of(live.stream.pid()).unwrap();
    live.play(USUAL);
    let cores = appetite.cores().unwrap();
    assert_eq!(live.stream.planned, [], "it has two cores at first");
    let brake = Brake::on(live.stream.pid(), cores * SHARE);
    live.play(FRAMES);
    drop(brake);
    live.stream.receive_all();
    println!(
        "planned {:?}, the last rung's frames at most {:.0} ms late",
        live.stream.planned,
        live.latest.as_secs_f64() * 1e3
    );
    assert_eq!(live.stream.restarts, 0);
    let (rung, is_made, from) = live.stream.planned[0];
    assert!(rung == 0 && !is_made, "the tallest goes first");
    // Within three seconds of the brake, and six to seven before it is gone.
    let after_brake = from - FIRST_FRAME - BRAKED;
    assert!(
        (180..=180 + 90 + 30).contains(&after_brake),
        "{after_brake}"
    );
    assert_eq!(from % BEAT.segment_frames, 0);
    let after = |frame: &&crate::rig::Frame| frame.number >= from;
    assert_eq!(live.stream.frames[0].iter().filter(after).count(), 0);
    assert!(live.latest < LATEST, "{:?}", live.latest);
    // Key frames stay together on the rungs that are left.
    let last = live.stream.frames.len() - 1;
    for frame in live.stream.frames[last].iter().filter(after) {
        assert_eq!(frame.idr, frame.number.is_multiple_of(BEAT.segment_frames));
    }
}

pub(crate) fn a_quick_worker_sheds_nothing() {
    // So little work that only a machine that stands still is late with it.
    let quality = |short_side| Quality {
        short_side,
        bitrate: 100_000,
    };
    let ladder = Ladder::new(&[quality(180), quality(90)]);
    let mut live = Live::start(&ladder, (320, 180));
    live.play(FRAMES);
    live.stream.finish();
    assert_eq!(live.stream.planned, []);
}

/// A stream in real time.
struct Live {
    stream: Stream,
    coded: Vec<bytes::Bytes>,
    begin: Instant,
    next: u64,
    /// The longest that the last rung was behind its ticks.
    latest: Duration,
}

impl Live {
    fn start(ladder: &Ladder, (width, height): (u32, u32)) -> Self {
        let rungs = ladder.for_source(Resolution { width, height });
        let spec = Spec {
            shedding: Some(BEAT),
            ..Spec::new(rungs, FrameRate::DEFAULT)
        };
        let mut stream = Stream::with_spec(&POOL, spec);
        stream.pid();
        Self {
            stream,
            coded: media::video(
                VideoCodec::H264,
                &format!("testsrc2=s={width}x{height}:r=30:d=1"),
            ),
            begin: clock::now(),
            next: 0,
            latest: Duration::ZERO,
        }
    }

    /// Plays so many frames.
    fn play(&mut self, frames: u64) {
        for _ in 0..frames {
            let rate = FrameRate::DEFAULT;
            let number = FIRST_FRAME + self.next;
            let due = self.begin + Duration::from_micros(self.next * 1_000_000 / 30);
            while let Some(left) = due.checked_duration_since(clock::now()) {
                thread::park_timeout(left);
            }
            self.stream.send_now(Input::Video {
                codec: VideoCodec::H264,
                capture: rate.time_of(number),
                quarter_turns: 0,
                data: self.coded[self.next as usize % self.coded.len()].clone(),
            });
            let idr = number.is_multiple_of(BEAT.segment_frames);
            self.stream.send_now(Input::VideoTick {
                number,
                idr,
                top_passed: false,
            });
            self.next += 1;
            self.stream.receive_all();
            self.note_lag(number);
        }
    }

    fn note_lag(&mut self, newest: u64) {
        let last = self.stream.frames.last().and_then(|frames| frames.last());
        if let Some(last) = last {
            let behind = (newest - last.number) * 1_000_000 / 30;
            self.latest = self.latest.max(Duration::from_micros(behind));
        }
    }
}
