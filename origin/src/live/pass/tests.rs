//! Presenters under virtual time, whose pictures go into a real packager, beside those
//! of a worker that answers each tick.

mod stage;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use self::stage::{RATE, START, Stage};
use super::*;
use crate::{package::tests::coded, transcode};

/// Constrained baseline, 1280x720.
pub(in crate::live) const SPS: &[u8] = &[0x67, 0x42, 0xe0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe4];
pub(in crate::live) const PPS: &[u8] = &[0x68, 0xce, 0x38, 0x80];
pub(in crate::live) const IDR: &[u8] = &[0x65, 0x88, 0x84, 0x21];
pub(in crate::live) const P: &[u8] = &[0x41, 0x9a, 0x21];

/// An access unit in Annex B.
pub(in crate::live) fn unit(nals: &[&[u8]]) -> Bytes {
    let mut out = BytesMut::new();
    for nal in nals {
        out.put_slice(&[0, 0, 0, 1]);
        out.put_slice(nal);
    }
    out.freeze()
}

#[test]
fn nothing_is_passed_before_three_key_frames_came_as_asked() {
    let mut stage = Stage::new(50_000);
    stage.run(300);
    assert_eq!(stage.progress, [Progress::Starting, Progress::Passing]);
    let first = stage.ticks.iter().find(|(_, tick)| tick.top_passed);
    let (number, tick) = *first.unwrap();
    assert!(
        tick.idr && (START + 120..START + 160).contains(&number),
        "{number}"
    );
    let rest = stage.ticks.iter().skip_while(|it| it.0 < number);
    assert!(rest.clone().all(|it| it.1.top_passed));
    let idrs: Vec<_> = rest.filter(|it| it.1.idr).map(|it| it.0 % 30).collect();
    assert!(
        idrs.iter().all(|place| *place == 0 || *place == 1),
        "{idrs:?}"
    );
    stage.check();
    assert!(stage.sent.len() > 120);
}

#[test]
fn segments_follow_a_presenter_who_needs_its_time() {
    for reaction in [5_000, 180_000, 450_000] {
        let mut stage = Stage::new(reaction);
        stage.pass();
        stage.check();
        let offsets = &stage.offsets[3..];
        assert!(offsets.iter().all(|off| off.abs() <= 34_000), "{offsets:?}");
    }
}

#[test]
fn a_key_frame_that_comes_early_or_late_moves_the_segment_for_all() {
    let mut stage = Stage::new(50_000);
    stage.pass();
    for (reaction, least, most) in [(-20_000, -100_000, -33_000), (250_000, 166_000, 234_000)] {
        let known = stage.offsets.len();
        stage.reaction = reaction;
        stage.run(40);
        let off = stage.offsets[known..].iter().copied();
        assert!(
            off.clone().any(|off| (least..=most).contains(&off)),
            "{:?}",
            &stage.offsets[known..]
        );
    }
    stage.run(60);
    stage.check();
    assert_eq!(stage.progress.len(), 2, "{:?}", stage.progress);
}

#[test]
fn a_segment_that_begins_a_period_never_begins_early() {
    let mut stage = Stage::new(50_000);
    stage.pass();
    // A presenter who is quicker than it was: without the word its key frames are early.
    for early in [true, false] {
        stage.reaction = 20_000;
        let known = stage.offsets.len();
        if !early {
            stage.passage.hold_back((stage.number / 30 + 1) * 30);
        }
        stage.run(40);
        let offsets = &stage.offsets[known..];
        assert_eq!(offsets.iter().any(|off| *off < 0), early, "{offsets:?}");
        stage.reaction = 50_000;
        stage.run(20 * 30 - 40);
    }
    stage.check();
    assert_eq!(stage.progress.len(), 2);
}

#[test]
fn one_that_does_not_come_makes_the_top_rung_an_encoded_one() {
    let mut stage = Stage::new(50_000);
    stage.pass();
    stage.reaction = 10_000_000;
    stage.run(240);
    assert_eq!(stage.progress[2..], [Progress::Encoded(Reason::KeyFrames)]);
    let last = stage.ticks.iter().rposition(|it| it.1.top_passed).unwrap();
    let (number, tick) = stage.ticks[last + 1];
    assert!(tick.idr, "the encoder begins with an IDR");
    assert_eq!(number % 30, 10, "a third of a segment late");
    stage.check();
    // Back to the nominal beat, and no way back.
    let nominal: Vec<_> = stage.ticks[last + 2..]
        .iter()
        .filter(|it| it.1.idr)
        .collect();
    assert!(nominal.len() > 4 && nominal.iter().all(|it| it.0 % 30 == 0));
    stage.reaction = 50_000;
    stage.run(600);
    assert_eq!(stage.progress.len(), 3);
    assert_eq!(
        stage.passage.next_timeout(),
        None,
        "it is not asked any more"
    );
}

#[test]
fn a_presenter_who_never_keeps_the_beat_is_given_up() {
    let mut stage = Stage::new(3_000_000);
    stage.run(30 * 20);
    let given_up = Progress::Encoded(Reason::KeyFrames);
    assert_eq!(stage.progress, [Progress::Starting, given_up]);
    assert!(stage.ticks.iter().all(|it| it.1.idr == (it.0 % 30 == 0)));
    stage.check();
}

#[test]
fn a_loss_lets_the_last_picture_stand_until_the_key_frame() {
    let mut stage = Stage::new(50_000);
    stage.pass();
    while stage.number % 30 != 12 {
        stage.run(1);
    }
    let lost = stage.number;
    for _ in 0..9 {
        stage.slot(&[]);
    }
    stage.key_at = Some(0);
    stage.run(90);
    stage.check();
    assert_eq!(stage.progress.len(), 2);
    let segment = stage.segments(0).iter().find(|it| it.number == lost / 30);
    let samples = coded(segment.unwrap());
    let last = samples.iter().find(|it| it.1 == 30_000).unwrap();
    assert_eq!(
        last.0,
        (lost - 1) * 3_000,
        "ten slots from the last good one on"
    );
}

#[test]
fn a_stall_makes_the_top_rung_an_encoded_one_and_holds_up_no_other() {
    let mut stage = Stage::new(50_000);
    stage.pass();
    for _ in 0..120 {
        stage.slot(&[]);
    }
    let reason = stage.progress[2].reason().unwrap();
    assert!(
        matches!(reason, Reason::Stall | Reason::KeyFrames),
        "{reason:?}"
    );
    let parts = |rendition: usize| stage.segments(rendition).len();
    assert_eq!(parts(0), parts(1));
    stage.check();
}

#[test]
fn another_size_of_the_picture_is_the_workers_from_that_frame_on() {
    let mut stage = Stage::new(50_000);
    stage.pass();
    while stage.number % 30 != 12 {
        stage.run(1);
    }
    let mut small = SPS.to_vec();
    // 640x720: half of the macroblocks in a row.
    small[5..7].copy_from_slice(&[0x00, 0xa0]);
    let number = stage.number;
    stage.give(unit(&[&small, PPS, IDR]), true, RATE.time_of(number));
    stage.tick();
    let by_the_worker = Tick {
        idr: true,
        top_passed: false,
    };
    assert_eq!(stage.ticks.last().unwrap().1, by_the_worker);
    stage.run(90);
    let reason = stage.progress[2].reason().unwrap();
    assert!(matches!(reason, Reason::Size | Reason::ParameterSets));
    stage.check();
    let segment = stage.segments(0).iter().find(|it| it.number == number / 30);
    let samples = coded(segment.unwrap());
    let worker = samples
        .iter()
        .find(|it| it.3.starts_with(b"worker"))
        .unwrap();
    assert_eq!(worker.0, number * 3_000);
    assert!(worker.2, "an IDR in the middle of the segment");
}

#[test]
fn a_slower_presenter_fills_parts_all_the_same() {
    let mut stage = Stage::new(50_000);
    // Five pictures in six slots: 25 in a second.
    for _ in 0..120 {
        stage.run(5);
        stage.slot(&[]);
    }
    assert_eq!(stage.progress, [Progress::Starting, Progress::Passing]);
    stage.check();
    let last = &stage.segments(0)[stage.segments(0).len() - 3];
    assert!(
        last.parts.iter().all(|part| part.duration <= 18_000),
        "{:?}",
        last.parts
    );
}

#[test]
fn pictures_that_share_a_slot_share_its_time() {
    let mut stage = Stage::new(50_000);
    stage.pass();
    stage.run(7);
    stage.slot(&[-9_000, 9_000]);
    stage.run(90);
    stage.check();
    assert_eq!(stage.progress.len(), 2);
    let all: Vec<_> = stage.segments(0).iter().flat_map(|it| coded(it)).collect();
    assert_eq!(all.iter().filter(|it| it.1 == 1_500).count(), 2);
}

#[test]
fn three_times_the_rate_is_passed_and_twelve_times_is_not_for_long() {
    let mut stage = Stage::new(50_000);
    // Of 2.5 Mbps, 10 kB a picture.
    stage.padding = 30_000;
    stage.pass();
    stage.run(1_800);
    assert_eq!(stage.progress.len(), 2, "{:?}", stage.progress);
    stage.padding = 120_000;
    stage.run(300);
    let refused = Progress::Encoded(Reason::Bitrate);
    assert_eq!(stage.progress[2..], [refused]);
    stage.run(90);
    stage.check();
}

#[test]
fn twice_as_many_pictures_as_the_ladder_has_are_not_passed() {
    let mut stage = Stage::new(50_000);
    for _ in 0..300 {
        stage.slot(&[-9_000, 9_000]);
    }
    let refused = Progress::Encoded(Reason::FrameRate);
    assert_eq!(stage.progress, [Progress::Starting, refused]);
}

#[test]
fn a_worker_that_is_late_gets_its_frames_in_before_the_presenters() {
    for lag in [12, 100] {
        let mut stage = Stage::new(50_000);
        stage.lag = lag;
        stage.pass();
        stage.run(60 + 2 * lag as u64);
        stage.check();
    }
}

#[test]
fn a_worker_dies_and_what_is_passed_goes_on() {
    let mut stage = Stage::new(50_000);
    stage.pass();
    stage.run(10);
    let lost: Vec<_> = (0..5).map(|_| stage.number).collect();
    stage.packager.handle_output(&transcode::Output::Restarted);
    stage.lag = 5;
    stage.run(5);
    // The new one answers what is open, an IDR first.
    if let Some(transcode::Output::Video { idr, .. }) = stage.answers[0].first_mut() {
        *idr = true;
    }
    stage.lag = 0;
    stage.run(90);
    stage.check();
    assert_eq!(lost.len(), 5);
    assert_eq!(stage.progress.len(), 2);
}

#[test]
fn another_presenter_has_to_show_that_it_keeps_the_beat() {
    let mut stage = Stage::new(50_000);
    stage.pass();
    stage.run(7);
    stage.passage.interrupt();
    stage.run(300);
    let passing = [Progress::Starting, Progress::Passing];
    assert_eq!(stage.progress, [passing, passing].concat());
    stage.check();
}

#[test]
fn nothing_is_passed_while_the_rung_is_shed() {
    let mut stage = Stage::new(50_000);
    stage.pass();
    stage.passage.suspend(u64::MAX);
    stage.run(300);
    assert_eq!(stage.progress[2..], [Progress::Starting]);
    let until = stage.number + 60;
    stage.passage.suspend(until);
    stage.run(300);
    assert_eq!(stage.progress[3..], [Progress::Passing]);
    let again = stage
        .ticks
        .iter()
        .find(|it| it.0 > until - 60 && it.1.top_passed);
    assert!(again.unwrap().0 > until);
    stage.check();
}

#[test]
fn nothing_is_held_back_when_a_presenter_leaves() {
    let mut stage = Stage::new(50_000);
    stage.pass();
    stage.run(7);
    stage.passage.end(stage.number);
    stage.settle();
    stage.packager.interrupt();
    stage.drain();
    let last = stage.segments(0).last().unwrap();
    let samples = coded(last);
    assert_eq!(Some(&samples.last().unwrap().3), stage.sent.last());
    assert_eq!(last.start + last.duration, stage.number * 3_000);
    stage.check();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a presenter does, every rung has every segment, each begins with an IDR
    /// in the same frame, and the presenter's pictures stand there in order and whole.
    #[test]
    fn all_rungs_go_on_whatever_comes(
        reactions in proptest::collection::vec(0_i64..700_000, 1..12),
        slots in proptest::collection::vec(
            proptest::collection::vec(-14_000_i64..14_000, 0..3), 1..400),
        lag in 0_usize..20,
    ) {
        let mut stage = Stage::new(60_000);
        stage.run(200);
        stage.lag = lag;
        for (index, pictures) in slots.iter().enumerate() {
            if index % 40 == 0 {
                stage.reaction = reactions[index / 40 % reactions.len()];
            }
            let mut pictures = pictures.clone();
            pictures.sort_unstable();
            stage.slot(&pictures);
        }
        stage.reaction = 60_000;
        stage.lag = 0;
        stage.run(100);
        stage.check();
    }
}
