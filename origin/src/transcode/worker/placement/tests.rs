//! Placement under drift, loss, jitter and silence.

use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;

const BLOCK: usize = 960;

#[test]
fn nothing_came_is_silence() {
    let mut track = Track::default();
    let (frame, is_silent) = track.take(7);
    assert!(is_silent);
    assert_eq!(frame, vec![[0.0; 2]; FRAME]);
}

#[test]
fn sound_lies_at_its_capture_time() {
    let mut rig = Rig::new();
    // The beep is in the sixth packet: 100 ms.
    for packet in 0..20 {
        let level = if packet == 5 { 1.0 } else { 0.0 };
        rig.block(packet * 20_000, &[[level; 2]; BLOCK]);
    }
    let sound = rig.take(0..15);
    let first = sound.iter().position(|sample| sample[0] > 0.5).unwrap();
    // 4800 samples, less what Opus lags.
    assert!(first.abs_diff(4800 - 312) <= 1, "{first}");
}

#[test]
fn drift_is_followed_without_a_click_or_a_hole() {
    for ppm in [-200.0, 200.0] {
        let mut rig = Rig::new();
        let (tone, amplitude) = (440.0, 0.5);
        let mut produced = 0u32;
        let packets = 2000u32; // 40 seconds
        let mut taken = Vec::new();
        let mut number = 10;
        rig.track.take(number - 1);
        for packet in 0..packets {
            // The card's 960 samples last a little more or less than 20 ms.
            let capture = 500_000.0 + f64::from(packet) * 20_000.0 * (1.0 + ppm * 1e-6);
            let block: Vec<Stereo> = (0..BLOCK as u32)
                .map(|n| {
                    let at = f64::from(produced + n) / 48_000.0;
                    [(amplitude * (TAU * tone * at).sin()) as f32; 2]
                })
                .collect();
            produced += BLOCK as u32;
            rig.block(capture as i64, &block);
            while (number + 1) as f64 * 1024.0 < position(MediaTime::from_micros(capture as i64)) {
                let (frame, is_silent) = rig.track.take(number);
                assert!(!is_silent || number < 25, "{ppm}: hole in frame {number}");
                taken.extend(frame);
                number += 1;
            }
            let placed = rig.placer.next.unwrap() as f64 + rig.placer.resampler.pending(1.0);
            let expected = position(MediaTime::from_micros(capture as i64)) - 312.0 + 960.0;
            assert!(
                (placed - expected).abs() < 48.0 * 2.0,
                "{ppm}: {}",
                placed - expected
            );
        }
        // The steepest slope of the tone, and no sample steps further.
        let slope = amplitude * TAU * tone / 48_000.0 * 1.02;
        let begin = 16 * FRAME;
        for pair in taken[begin..].windows(2) {
            assert!(
                f64::from((pair[1][0] - pair[0][0]).abs()) < slope,
                "{ppm}: click"
            );
        }
    }
}

#[test]
fn a_lost_packet_leaves_a_hole_and_no_shift() {
    let mut rig = Rig::new();
    for packet in (0..30).filter(|packet| *packet != 10 && *packet != 11) {
        rig.block(packet * 20_000, &[[1.0; 2]; BLOCK]);
    }
    let sound = rig.take(0..26);
    let silent = (10 * BLOCK - 312 + 128 + 16)..(12 * BLOCK - 312);
    assert_eq!(
        sound[silent.clone()]
            .iter()
            .position(|sample| sample[0] != 0.0),
        None
    );
    assert!(sound[silent.end + 200][0] > 0.9);
    assert!(sound[silent.start - 200][0] > 0.9);
    // The edges are slopes, not steps.
    let steepest = sound[2000..20_000]
        .windows(2)
        .map(|pair| (pair[1][0] - pair[0][0]).abs());
    assert!(steepest.fold(0.0, f32::max) < 0.1);
}

#[test]
fn a_jump_of_the_clock_is_followed_at_once() {
    let mut rig = Rig::new();
    for packet in 0..10 {
        rig.block(packet * 20_000, &[[1.0; 2]; BLOCK]);
    }
    rig.block(1_000_000, &[[1.0; 2]; BLOCK]);
    assert_eq!(rig.placer.deviation, 0.0);
    let end = rig.placer.next.unwrap() as f64 + rig.placer.resampler.pending(1.0);
    assert!((end - (48_000.0 - 312.0 + 960.0)).abs() < 1.0);
}

#[test]
fn a_small_step_of_the_clock_is_worked_off() {
    let mut rig = Rig::new();
    let mut worst = 0.0f64;
    for packet in 0..1000i64 {
        let step = if packet >= 100 { 13_000 } else { 0 };
        rig.block(packet * 20_000 + step, &[[1.0; 2]; BLOCK]);
        if packet > 100 + 250 {
            worst = worst.max(rig.placer.deviation.abs());
        }
    }
    // 13 ms five seconds ago; 4 ms are left at the most.
    assert!(worst < 0.004 * RATE, "{worst}");
    assert!(rig.placer.deviation.abs() < 5.0, "{}", rig.placer.deviation);
}

#[test]
fn sound_before_the_first_tick_is_bounded() {
    let mut rig = Rig::new();
    for packet in 0..1000 {
        rig.block(packet * 20_000, &[[1.0; 2]; BLOCK]);
    }
    assert!(rig.track.samples.len() <= MAX_AHEAD);
    rig.track.take(10);
    for packet in 1000..2000 {
        rig.block(packet * 20_000, &[[1.0; 2]; BLOCK]);
    }
    assert!(rig.track.samples.len() <= MAX_AHEAD);
}

proptest! {
    #[test]
    fn any_order_of_blocks_and_ticks_keeps_the_bounds(
        steps in proptest::collection::vec((any::<bool>(), -1_000_000i64..5_000_000, 0usize..3000), 1..60),
    ) {
        let mut rig = Rig::new();
        for (is_tick, at, length) in steps {
            if is_tick {
                let number = u64::try_from(at.max(0)).unwrap() / 21_333;
                prop_assert_eq!(rig.track.take(number).0.len(), FRAME);
            } else {
                rig.block(at, &vec![[0.5; 2]; length]);
            }
            prop_assert!(rig.track.samples.len() <= MAX_AHEAD);
        }
    }

    #[test]
    fn extreme_times_do_not_overflow(at: i64, number: u64) {
        let mut rig = Rig::new();
        rig.block(at, &[[0.5; 2]; 100]);
        rig.track.take(number);
        rig.block(at.wrapping_add(1), &[[0.5; 2]; 100]);
        rig.track.take(number.wrapping_add(1));
    }
}

struct Rig {
    placer: Placer,
    track: Track,
}

impl Rig {
    fn new() -> Self {
        Self {
            placer: Placer::new(),
            track: Track::default(),
        }
    }

    fn block(&mut self, micros: i64, samples: &[Stereo]) {
        self.placer
            .handle_block(MediaTime::from_micros(micros), samples, &mut self.track);
    }

    fn take(&mut self, frames: std::ops::Range<u64>) -> Vec<Stereo> {
        frames
            .flat_map(|number| self.track.take(number).0)
            .collect()
    }
}
