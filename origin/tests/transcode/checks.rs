//! What the worker makes of media.

use std::time::Duration;

use bytes::Bytes;
use inlet_origin::{
    timeline::FrameRate,
    transcode::{
        Input, Spec, VideoCodec,
        ladder::{Ladder, Resolution},
    },
};

use crate::{
    media,
    rig::{FIRST_FRAME, POOL, Script, Stream, begin},
};

const TEST_480: &str = "testsrc2=s=854x480:r=30:d=3";
const TONE: &str = "sine=f=440:r=48000:d=3";

pub(crate) fn h264_and_opus_become_two_aligned_rungs() {
    let mut stream = Stream::start(&POOL, 854, 480);
    let coded = media::video(VideoCodec::H264, TEST_480);
    assert_eq!(coded.len(), 90);
    let sound = media::opus(TONE);
    stream.play(
        Script::default()
            .video(VideoCodec::H264, 0, 0, &coded)
            .audio(&sound)
            .ticks(90)
            .inputs(),
    );
    stream.finish();
    assert_eq!((stream.restarts, stream.key_frames_needed), (0, 0));
    assert_eq!(stream.frames.len(), 2);
    for frames in &stream.frames {
        let idrs: Vec<u64> = frames
            .iter()
            .filter(|frame| frame.idr)
            .map(|frame| frame.number - FIRST_FRAME)
            .collect();
        assert_eq!(idrs, [0, 30, 60]);
    }
    for (rung, size) in [(0, (832, 468)), (1, (640, 360))] {
        let shown = stream.decoded(rung);
        assert!(
            shown
                .iter()
                .all(|picture| (picture.width, picture.height) == size)
        );
        // A test picture, not black.
        assert!(shown.iter().skip(2).all(|picture| picture.mean() > 60.0));
    }
    // AudioSpecificConfig (ISO/IEC 14496-3 §1.6): AAC-LC, 48 kHz, stereo.
    assert_eq!(stream.asc.as_ref().unwrap()[..2], [0x11, 0x90]);
    let sound = stream.sound();
    let loud = sound[48_000..96_000]
        .iter()
        .fold(0.0f32, |most, sample| most.max(sample.abs()));
    assert!((0.05..0.3).contains(&loud), "{loud}");
    let report = stream.reports.last().copied().unwrap_or_default();
    assert!(report.decode_errors == 0, "{report:?}");
    // 3 s: one still, whole from SOI to EOI (ITU-T T.81 annex B).
    assert_eq!(stream.stills.len(), 1);
    let still = &stream.stills[0];
    assert!(still.starts_with(&[0xff, 0xd8]) && still.ends_with(&[0xff, 0xd9]));
    // A thumbnail of each second's first frame.
    let numbers: Vec<u64> = stream
        .thumbnails
        .iter()
        .map(|(number, _)| number - FIRST_FRAME)
        .collect();
    assert_eq!(numbers, [0, 30, 60]);
    for (_, thumbnail) in &stream.thumbnails {
        let shown = media::jpeg(thumbnail);
        assert_eq!((shown.width, shown.height), (192, 108));
        assert!(
            shown.mean() > 60.0 && thumbnail.len() < 16_000,
            "{}",
            thumbnail.len()
        );
    }
}

pub(crate) fn vp8_and_vp9_take_over_in_the_middle() {
    let mut stream = Stream::start(&POOL, 854, 480);
    let white = "color=white:s=854x480:r=30:d=1";
    let script = Script::default()
        .video(VideoCodec::Vp8, 0, 0, &media::video(VideoCodec::Vp8, white))
        .video(
            VideoCodec::Vp9,
            30,
            0,
            &media::video(VideoCodec::Vp9, "color=gray:s=854x480:r=30:d=1"),
        )
        .video(
            VideoCodec::H264,
            60,
            0,
            &media::video(VideoCodec::H264, white),
        );
    stream.play(script.ticks(90).inputs());
    stream.finish();
    assert_eq!((stream.restarts, stream.key_frames_needed), (0, 0));
    for rung in 0..2 {
        let shown = stream.decoded(rung);
        for (frame, expected) in [(15, 235.0), (45, 126.0), (75, 235.0)] {
            let mean = shown[frame].mean();
            assert!(
                (mean - expected).abs() < 4.0,
                "rung {rung} frame {frame}: {mean}"
            );
        }
    }
}

pub(crate) fn rungs_keep_their_size() {
    let mut stream = Stream::start(&POOL, 854, 480);
    let h264 = |size| media::video(VideoCodec::H264, &format!("color=white:s={size}:r=30:d=1"));
    let script = Script::default()
        .video(VideoCodec::H264, 0, 0, &h264("854x480"))
        .video(VideoCodec::H264, 30, 0, &h264("426x240"))
        .video(VideoCodec::H264, 60, 0, &h264("480x854"))
        .video(VideoCodec::H264, 90, 0, &h264("1920x1080"));
    stream.play(script.ticks(120).inputs());
    stream.finish();
    assert_eq!((stream.restarts, stream.key_frames_needed), (0, 0));
    for (rung, (width, height)) in [(0, (832, 468)), (1, (640, 360))] {
        let shown = stream.decoded(rung);
        assert!(
            shown
                .iter()
                .all(|each| (each.width, each.height) == (width, height))
        );
        for frame in [15, 45, 105] {
            for (x, y) in [(2, 2), (width - 3, height - 3), (width / 2, height / 2)] {
                assert!(shown[frame].luma(x, y) > 225, "frame {frame} at {x},{y}");
            }
        }
        // Upright in between: black at both sides, white from top to bottom.
        let portrait = &shown[75];
        for y in [2, height / 2, height - 3] {
            assert!(portrait.luma(width / 2, y) > 225);
            assert!(portrait.luma(width / 4, y) < 25 && portrait.luma(width * 3 / 4, y) < 25);
        }
    }
}

pub(crate) fn a_turned_source_stands_upright() {
    // Bright at the top when it is turned clockwise as told.
    for (turns, size, part) in [
        (0, "854x480", "x=0:y=0:w=iw:h=ih/4"),
        (1, "480x854", "x=0:y=0:w=iw/4:h=ih"),
        (2, "854x480", "x=0:y=ih*3/4:w=iw:h=ih/4"),
        (3, "480x854", "x=iw*3/4:y=0:w=iw/4:h=ih"),
    ] {
        let mut stream = Stream::start(&POOL, 854, 480);
        let source = format!("color=black:s={size}:r=30:d=0.4,drawbox={part}:c=white:t=fill");
        let coded = media::video(VideoCodec::H264, &source);
        stream.play(
            Script::default()
                .video(VideoCodec::H264, 0, turns, &coded)
                .ticks(12)
                .inputs(),
        );
        stream.finish();
        let shown = stream.decoded(0).pop().unwrap();
        assert!(shown.luma(416, 50) > 200, "{turns} turns");
        assert!(
            shown.luma(416, 230) < 40 && shown.luma(416, 420) < 40,
            "{turns} turns"
        );
    }
}

pub(crate) fn junk_never_ends_the_worker() {
    let mut stream = Stream::start(&POOL, 854, 480);
    let pid = stream.pid();
    let mut junk = Junk::new();
    // A good stream comes after the junk, and must be seen.
    let coded = media::video(VideoCodec::H264, "color=white:s=854x480:r=30:d=1");
    let script = Script::default()
        .video(VideoCodec::H264, 150, 0, &coded)
        .ticks(180);
    for input in script.inputs() {
        if let Input::VideoTick { number, .. } = input
            && number < FIRST_FRAME + 145
        {
            (0..3).for_each(|codec| stream.send(junk.picture(codec)));
            stream.send(junk.sound());
        }
        stream.send(input);
    }
    // A report comes once in a second of the worker's, however quick it is.
    for number in (FIRST_FRAME + 180..).take(2_000) {
        if !stream.reports.is_empty() {
            break;
        }
        stream.send(Input::VideoTick {
            number,
            idr: false,
            top_passed: false,
        });
        std::thread::park_timeout(Duration::from_millis(5));
        stream.receive_all();
    }
    stream.finish();
    assert_eq!(stream.restarts, 0);
    assert_eq!(stream.pid(), pid);
    assert!(stream.key_frames_needed > 0);
    assert!(
        stream
            .reports
            .iter()
            .map(|report| report.decode_errors)
            .sum::<u32>()
            > 0
    );
    let mean = stream.decoded(0).pop().unwrap().mean();
    assert!(mean > 225.0, "{mean}");
}

/// Real media, truncated, altered or replaced by noise, at any time.
struct Junk {
    video: [(VideoCodec, Vec<Bytes>); 3],
    audio: Vec<Bytes>,
    random: Random,
}

impl Junk {
    fn new() -> Self {
        let video = [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9]
            .map(|codec| (codec, media::video(codec, "testsrc2=s=320x180:r=30:d=1")));
        let audio = media::opus("sine=f=440:r=48000:d=1");
        Self {
            video,
            audio,
            random: Random(0x9e37_79b9_7f4a_7c15),
        }
    }

    fn picture(&mut self, codec: usize) -> Input {
        let random = &mut self.random;
        let (codec, coded) = &self.video[codec];
        let mut data = coded[random.below(coded.len())].to_vec();
        match random.below(4) {
            0 => data.truncate(random.below(data.len())),
            1 => {
                data = (0..random.below(2000))
                    .map(|_| random.next() as u8)
                    .collect()
            }
            _ => {
                for _ in 0..1 + random.below(20) {
                    let at = random.below(data.len());
                    data[at] = random.next() as u8;
                }
            }
        }
        // Sixteen seconds before to four behind.
        let capture = begin().plus_micros(random.next() as i64 % 10_000_000 - 6_000_000);
        let quarter_turns = random.below(4) as u8;
        Input::Video {
            codec: *codec,
            capture,
            quarter_turns,
            data: data.into(),
        }
    }

    fn sound(&mut self) -> Input {
        let random = &mut self.random;
        let mut data = self.audio[random.below(self.audio.len())].to_vec();
        data.truncate(random.below(data.len() + 1));
        let capture = begin().plus_micros(random.next() as i64 % 10_000_000);
        Input::Audio {
            capture,
            data: data.into(),
        }
    }
}

pub(crate) fn nothing_at_all_is_black_and_silent() {
    let mut stream = Stream::start(&POOL, 640, 360);
    stream.play(Script::default().ticks(60).inputs());
    stream.finish();
    assert!(
        stream
            .decoded(0)
            .iter()
            .all(|picture| (picture.mean() - 16.0).abs() < 1.0)
    );
    assert!(stream.sound().iter().all(|sample| sample.abs() < 1e-4));
    assert!(stream.stills.is_empty(), "there is nothing to show");
    assert!(stream.thumbnails.is_empty(), "there is nothing to show");
}

/// A beep in the middle of each of four seconds, on one channel or two.
fn beeps(channels: usize) -> Vec<Bytes> {
    let beep = "if(between(mod(t,1),0.5,0.55),0.8*sin(2*PI*1000*t),0)";
    let all = vec![beep; channels].join("|");
    media::opus(&format!("aevalsrc='{all}':s=48000:d=4"))
}

pub(crate) fn beep_and_flash_stay_together() {
    play_beside_flashes(&beeps(1));
}

/// As a browser does whose microphone is exchanged for one with two channels.
pub(crate) fn a_change_of_channels_is_not_heard() {
    let mut sound = beeps(1);
    let at = sound.len() / 2;
    sound.truncate(at);
    sound.extend_from_slice(&beeps(2)[at..]);
    // RFC 6716 §3.1: the bit for stereo in the first byte.
    let is_stereo = |packet: &Bytes| packet[0] & 0x04 != 0;
    assert!(!is_stereo(&sound[at - 1]) && is_stereo(&sound[at]));
    play_beside_flashes(&sound);
}

fn play_beside_flashes(sound: &[Bytes]) {
    let resolution = Resolution {
        width: 854,
        height: 480,
    };
    let ladder = Ladder::default().for_source(resolution);
    let spec = Spec {
        opus_bitrate: Some(96_000),
        ..Spec::new(ladder, FrameRate::DEFAULT)
    };
    let mut stream = Stream::with_spec(&POOL, spec);
    let flash = "color=black:s=854x480:r=30:d=4,drawbox=c=white:t=fill:enable='eq(mod(n,30),15)'";
    let coded = media::video(VideoCodec::H264, flash);
    stream.play(
        Script::default()
            .video(VideoCodec::H264, 0, 0, &coded)
            .audio(sound)
            .ticks(120)
            .inputs(),
    );
    stream.finish();
    let shown = stream.decoded(0);
    let flashes: Vec<usize> = (0..shown.len())
        .filter(|&index| shown[index].mean() > 120.0)
        .collect();
    assert_eq!(flashes, [15, 45, 75, 105]);
    ensure_beeps(&flashes, &stream.sound(), stream.audio[0].0 * 1024);
    let numbers: Vec<u64> = stream.opus.iter().map(|(number, _)| *number).collect();
    let expected: Vec<u64> = (numbers[0]..).take(numbers.len()).collect();
    assert_eq!(numbers, expected, "one after another");
    // From the first one whose sound was asked for to the last one.
    let (first, last) = (
        stream.audio_ticks[0] * 1024,
        stream.audio_ticks.last().unwrap() * 1024,
    );
    assert!((first - 312..first + 960).contains(&(numbers[0] * 960)));
    assert!((numbers.last().unwrap() + 2) * 960 + 312 > last);
    ensure_beeps(&flashes, &stream.opus_sound(), numbers[0] * 960);
}

/// Each beep begins with its flash; `first` is the number of the first sample.
fn ensure_beeps(flashes: &[usize], sound: &[f32], first: u64) {
    for &flash in flashes {
        let at = (FIRST_FRAME + flash as u64) * 1600;
        // The first loud sample in the quarter second around the flash.
        let from = (at - first) as usize - 6000;
        let around = &sound[from..from + 12_000];
        let begin = around.iter().position(|sample| sample.abs() > 0.3).unwrap();
        let skew = begin as f64 - 6000.0;
        println!("beep {:+.2} ms from its flash", skew / 48.0);
        assert!(skew.abs() <= 240.0, "{skew} samples");
    }
}

pub(crate) fn a_slow_reader_loses_nothing() {
    let mut stream = Stream::start(&POOL, 320, 180);
    // Fills every queue on the way back; nobody reads for longer than a hang.
    for (index, input) in Script::default()
        .ticks(300)
        .inputs()
        .into_iter()
        .enumerate()
    {
        stream.send_now(input);
        if index % 100 == 0 {
            std::thread::yield_now();
        }
    }
    let begin = inlet_common::clock::now();
    while begin.elapsed() < inlet_origin::transcode::supervisor::HANG_LIMIT * 2 {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    stream.finish();
    assert_eq!(stream.restarts, 0);
}

/// A small generator (xorshift), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}
