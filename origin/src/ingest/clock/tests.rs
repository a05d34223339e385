//! Two tracks on one clock, under jitter, drift and steps.

use inlet_common::rtp::Ssrc;
use proptest::prelude::*;

use super::*;

const START: i64 = 1_800_000_000_000_000;

fn report(unix_micros: i64, rtp: u32) -> SenderReport {
    let seconds = u64::try_from(unix_micros / 1_000_000 + NTP_TO_UNIX_SECONDS).unwrap();
    let fraction = (u64::try_from(unix_micros % 1_000_000).unwrap() << 32) / 1_000_000;
    SenderReport {
        ssrc: Ssrc(1),
        ntp: (seconds << 32) | fraction,
        rtp,
        packets: 0,
        octets: 0,
    }
}

#[test]
fn tracks_with_reports_meet_on_one_clock() {
    let mut clock = Clock::default();
    // The presenter's clock is an hour slow; both reports name one moment.
    let sender = START - 3_600_000_000;
    let now = UtcTime::from_unix_micros(START);
    clock.handle_report(Which::Video, 90_000, &report(sender, 4_000_000_000), now);
    clock.handle_report(Which::Audio, 48_000, &report(sender, 77), now);
    let at = |micros| UtcTime::from_unix_micros(START + micros);
    // Captured 1 s later; sound takes 20 ms to us, pictures 80 ms.
    let audio = clock.capture(Which::Audio, 48_000, 77 + 48_000, at(1_020_000));
    let video = clock.capture(
        Which::Video,
        90_000,
        4_000_000_000_u32.wrapping_add(90_000),
        at(1_080_000),
    );
    assert!(video.micros_since(audio).abs() <= 1, "{video:?} {audio:?}");
}

#[test]
fn jitter_moves_nothing_after_the_first_second() {
    let mut clock = Clock::default();
    let now = UtcTime::from_unix_micros(START);
    clock.handle_report(Which::Video, 90_000, &report(START, 0), now);
    let mut last = None;
    for n in 0_i64..600 {
        let jitter = (n * 7919) % 30_000;
        let arrived = UtcTime::from_unix_micros(START + n * 33_333 + jitter);
        let rtp = u32::try_from(n * 3000).unwrap();
        let capture = clock.capture(Which::Video, 90_000, rtp, arrived);
        if let Some(last) = last
            && n > 30
        {
            let step = capture.micros_since(last);
            assert!(
                (30_000..37_000).contains(&step),
                "frame {n}: step of {step} µs"
            );
        }
        last = Some(capture);
    }
}

/// A presenter whose media and reports take 20 ms.
#[derive(Default)]
struct Presenter {
    clock: Clock,
    /// What its wall clock is off at a time.
    stepped: i64,
    /// What its sound's timestamps are off at a time.
    slipped: i64,
}

const WAY: i64 = 20_000;

impl Presenter {
    fn report(&mut self, which: Which, at: i64) {
        let report = report(START + at + self.stepped, self.rtp(which, at));
        let arrived = UtcTime::from_unix_micros(START + at + WAY);
        self.clock
            .handle_report(which, rate(which), &report, arrived);
    }

    /// How late the clock believes media of that time to have been captured.
    fn error(&mut self, which: Which, at: i64) -> i64 {
        let rtp = self.rtp(which, at);
        let arrived = UtcTime::from_unix_micros(START + at + WAY);
        let capture = self.clock.capture(which, rate(which), rtp, arrived);
        capture.as_unix_micros() - WAY - START - at
    }

    fn rtp(&self, which: Which, at: i64) -> u32 {
        let slipped = match which {
            Which::Audio => self.slipped,
            Which::Video => 0,
        };
        let ticks = (at + slipped + 1_000_000_000) * i64::from(rate(which)) / 1_000_000;
        u32::try_from(ticks % (1 << 32)).unwrap()
    }

    /// From `begin` on for so many seconds: sound's report every five seconds,
    /// the picture's every one. The worst error of either.
    fn present(&mut self, begin: i64, seconds: i64) -> [i64; 2] {
        let mut worst = [0; 2];
        for tick in begin * 50..(begin + seconds) * 50 {
            let at = tick * 20_000;
            if tick % 50 == 17 {
                self.report(Which::Video, at);
            }
            if tick % 250 == 120 {
                self.report(Which::Audio, at);
            }
            for which in [Which::Audio, Which::Video] {
                let error = self.error(which, at).abs();
                worst[which as usize] = error.max(worst[which as usize]);
            }
        }
        worst
    }
}

fn rate(which: Which) -> u32 {
    match which {
        Which::Audio => 48_000,
        Which::Video => 90_000,
    }
}

/// Rounding to ticks, twice.
const EXACT: i64 = 45;

#[test]
fn a_wall_clock_that_is_set_moves_neither_track() {
    for by in [-3_600_000_000, -1_000_000, -50_000, 50_000, 2_000_000] {
        for begin in [1, 2, 3] {
            let mut presenter = Presenter::default();
            presenter.present(0, 10 + begin);
            presenter.stepped = by;
            let worst = presenter.present(10 + begin, 20);
            assert!(worst.iter().all(|it| *it <= EXACT), "{by}: {worst:?} µs");
        }
    }
}

#[test]
fn a_wall_clock_that_is_set_twice_before_the_other_report_moves_neither_track() {
    let mut presenter = Presenter::default();
    presenter.present(0, 13);
    presenter.stepped = -1_000_000;
    let mut worst = presenter.present(13, 2);
    presenter.stepped = 400_000;
    for (worst, more) in worst.iter_mut().zip(presenter.present(15, 20)) {
        *worst = more.max(*worst);
    }
    assert!(worst.iter().all(|it| *it <= EXACT), "{worst:?} µs");
}

#[test]
fn timestamps_of_one_track_that_slip_are_corrected() {
    for by in [-400_000, 400_000] {
        let mut presenter = Presenter::default();
        presenter.present(0, 11);
        presenter.slipped = by;
        // Nobody can know before its own next report, and the picture's next one
        // says that it was not the wall clock.
        presenter.present(11, 3);
        let worst = presenter.present(14, 10);
        assert!(worst.iter().all(|it| *it <= EXACT), "{worst:?} µs");
    }
}

#[test]
fn a_lone_track_follows_the_wall_clock() {
    for by in [-1_000_000, 1_000_000] {
        let mut presenter = Presenter::default();
        for second in 0..40 {
            if second == 10 {
                presenter.stepped = by;
            }
            presenter.report(Which::Video, second * 1_000_000);
            let error = presenter.error(Which::Video, second * 1_000_000 + 500_000);
            assert!(error.abs() <= EXACT, "{by}: {error} µs at {second} s");
        }
    }
}

#[test]
fn a_track_that_reports_no_more_is_not_waited_for_for_ever() {
    let mut presenter = Presenter::default();
    presenter.present(0, 10);
    presenter.stepped = -1_000_000;
    for second in 10..40 {
        presenter.report(Which::Video, second * 1_000_000);
        let error = presenter.error(Which::Video, second * 1_000_000);
        assert!(error.abs() <= EXACT, "{error} µs at {second} s");
    }
    assert!(presenter.clock.tracks[Which::Video as usize].held.is_none());
}

#[test]
fn a_first_report_keeps_what_is_known_of_the_delay() {
    let mut presenter = Presenter::default();
    presenter.error(Which::Video, 0);
    // The next picture is a large one, and late.
    presenter.report(Which::Video, 300_000);
    let rtp = presenter.rtp(Which::Video, 333_000);
    let arrived = UtcTime::from_unix_micros(START + 333_000 + WAY + 300_000);
    let capture = presenter.clock.capture(Which::Video, 90_000, rtp, arrived);
    let error = capture.as_unix_micros() - START - 333_000 - WAY;
    assert!(error.abs() <= EXACT, "{error} µs");
}

#[test]
fn a_report_without_a_wall_clock_tells_nothing() {
    let mut presenter = Presenter::default();
    let at = UtcTime::from_unix_micros(START);
    let empty = SenderReport {
        ntp: 0,
        ..report(START, 99)
    };
    presenter
        .clock
        .handle_report(Which::Video, 90_000, &empty, at);
    assert!(
        presenter.clock.tracks[Which::Video as usize]
            .report
            .is_none()
    );
}

proptest! {
    #[test]
    fn a_drifting_clock_is_followed(ppm in -200_i64..200) {
        let mut clock = Clock::default();
        for second in 0_i64..600 {
            let real = START + second * 1_000_000;
            let sender = START + second * (1_000_000 + ppm);
            let rtp = u32::try_from(second * 48_000 % (1 << 32)).unwrap();
            let arrived = UtcTime::from_unix_micros(real + 20_000);
            clock.handle_report(Which::Audio, 48_000, &report(sender, rtp), arrived);
            let capture = clock.capture(Which::Audio, 48_000, rtp, arrived);
            let behind = arrived.micros_since(capture);
            prop_assert!((-10..=2_000).contains(&behind), "{behind} µs at {second} s");
        }
    }
}
