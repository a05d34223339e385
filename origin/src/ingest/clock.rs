//! One capture clock for all tracks of a session.
//!
//! Each track counts in its own RTP units from a random start. Sender reports
//! tie both to the presenter's wall clock (RFC 3550 §6.4.1), which makes them
//! comparable; how far that clock is from ours is the least delay seen lately,
//! because every packet arrives some way after its capture and the luckiest
//! one shows the difference best.
//!
//! Until a track's first sender report its own least delay serves, so that
//! pictures flow from the first packet.

use std::collections::VecDeque;

use inlet_common::{clock::UtcTime, rtp::rtcp::SenderReport};

/// How long an observation of the least delay counts: long enough to meet a
/// quiet moment of the network, short enough to follow a drifting clock
/// (200 ppm are 1 ms in 5 s).
const WINDOW_MICROS: i64 = 5_000_000;

/// Seconds from 1900 (NTP) to 1970 (Unix).
const NTP_TO_UNIX_SECONDS: i64 = 2_208_988_800;

/// The clock of a session; tracks are numbered by the caller.
#[derive(Debug, Default)]
pub struct Clock {
    /// Least of (arrival − sender's wall clock), over all tracks with a report.
    shared: LeastDelay,
    tracks: [TrackClock; 2],
}

/// Which of a session's two tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Audio,
    Video,
}

#[derive(Debug, Default)]
struct TrackClock {
    /// The newest report: (RTP time extended, sender's wall clock in µs).
    report: Option<(i64, i64)>,
    /// Least of (arrival − RTP time in µs), while there is no report.
    own: LeastDelay,
    /// Extends the wire's 32 bits.
    newest: Option<i64>,
}

impl Clock {
    /// Takes a sender report.
    pub(super) fn handle_report(&mut self, which: Which, report: &SenderReport) {
        let track = &mut self.tracks[which as usize];
        let rtp = track.extend(report.rtp);
        track.report = Some((rtp, unix_micros(report.ntp)));
    }

    /// When the media unit with this RTP time, complete at `arrived`, was
    /// captured, on our clock.
    pub(super) fn capture(
        &mut self,
        which: Which,
        clock_rate: u32,
        rtp: u32,
        arrived: UtcTime,
    ) -> UtcTime {
        let track = &mut self.tracks[which as usize];
        let rtp = track.extend(rtp);
        let arrived_micros = arrived.as_unix_micros();
        let (sender, delay) = match track.report {
            Some((at, wall)) => (
                wall + ticks_to_micros(rtp - at, clock_rate),
                &mut self.shared,
            ),
            None => (ticks_to_micros(rtp, clock_rate), &mut track.own),
        };
        let least = delay.observe(arrived_micros, arrived_micros - sender);
        UtcTime::from_unix_micros(sender + least)
    }

    /// Forgets a track's clock, after its source has changed.
    pub(super) fn reset(&mut self, which: Which) {
        self.tracks[which as usize] = TrackClock::default();
    }
}

impl TrackClock {
    fn extend(&mut self, wire: u32) -> i64 {
        let extended = match self.newest {
            None => i64::from(wire),
            Some(newest) => {
                let low = newest as u32;
                newest + i64::from(wire.wrapping_sub(low).cast_signed())
            }
        };
        self.newest = Some(self.newest.map_or(extended, |newest| newest.max(extended)));
        extended
    }
}

fn ticks_to_micros(ticks: i64, rate: u32) -> i64 {
    let micros = i128::from(ticks) * 1_000_000 / i128::from(rate.max(1));
    i64::try_from(micros).unwrap_or(0)
}

fn unix_micros(ntp: u64) -> i64 {
    let seconds = i64::try_from(ntp >> 32).unwrap_or(0) - NTP_TO_UNIX_SECONDS;
    let fraction = i64::try_from(((ntp & 0xFFFF_FFFF) * 1_000_000) >> 32).unwrap_or(0);
    seconds * 1_000_000 + fraction
}

/// The least value within a moving window.
#[derive(Debug, Default)]
struct LeastDelay {
    /// (when, value), values rising from front to back: the front is the least.
    observed: VecDeque<(i64, i64)>,
}

impl LeastDelay {
    fn observe(&mut self, now: i64, value: i64) -> i64 {
        while self.observed.back().is_some_and(|(_, last)| *last >= value) {
            self.observed.pop_back();
        }
        // One entry per 10 ms is fine enough, and bounds the queue.
        match self.observed.back() {
            Some((at, _)) if now - at < 10_000 && self.observed.len() > 1 => {}
            _ => self.observed.push_back((now, value)),
        }
        while self.observed.len() > 1
            && self
                .observed
                .front()
                .is_some_and(|(at, _)| now - at > WINDOW_MICROS)
        {
            self.observed.pop_front();
        }
        self.observed.front().map_or(value, |(_, least)| *least)
    }
}

#[cfg(test)]
mod tests {
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
        clock.handle_report(Which::Video, &report(sender, 4_000_000_000));
        clock.handle_report(Which::Audio, &report(sender, 77));
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
        clock.handle_report(Which::Video, &report(START, 0));
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

    proptest! {
        #[test]
        fn a_drifting_clock_is_followed(ppm in -200_i64..200) {
            let mut clock = Clock::default();
            for second in 0_i64..600 {
                let real = START + second * 1_000_000;
                let sender = START + second * (1_000_000 + ppm);
                let rtp = u32::try_from(second * 48_000 % (1 << 32)).unwrap();
                clock.handle_report(Which::Audio, &report(sender, rtp));
                let arrived = UtcTime::from_unix_micros(real + 20_000);
                let capture = clock.capture(Which::Audio, 48_000, rtp, arrived);
                let behind = arrived.micros_since(capture);
                prop_assert!((-10..=2_000).contains(&behind), "{behind} µs at {second} s");
            }
        }
    }
}
