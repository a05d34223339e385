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
//!
//! Our own wall clock may be set, which the monotonic one shows: then arrivals go on
//! being told on the new one, and nothing learned is lost.
//!
//! The presenter's wall clock may be set. A report that differs from what the
//! track's former one foretold is not followed before the other track has said
//! whether it differs too, or both tracks would be apart by the step meanwhile.

use std::{collections::VecDeque, time::Instant};

use inlet_common::{
    clock::{UtcTime, micros_between},
    rtp::rtcp::SenderReport,
};

/// How long an observation of the least delay counts: long enough to meet a
/// quiet moment of the network, short enough to follow a drifting clock
/// (200 ppm are 1 ms in 5 s).
const WINDOW_MICROS: i64 = 5_000_000;

/// A report further off than this has stepped, and so has our own clock. Less is the
/// grain of its sender's clocks, or drift.
const MIN_STEP_MICROS: i64 = 20_000;

/// Reports of two tracks that arrive this close may have changed places.
const REORDERING_MICROS: i64 = 500_000;

/// How long the other track's report is waited for: they come 7.5 s apart at
/// the most (RFC 3550 §6.2, five seconds and as much as a half more).
const MAX_HELD_MICROS: i64 = 10_000_000;

/// Seconds from 1900 (NTP) to 1970 (Unix).
const NTP_TO_UNIX_SECONDS: i64 = 2_208_988_800;

/// The clock of a session; tracks are numbered by the caller.
#[derive(Debug, Default)]
pub struct Clock {
    tracks: [TrackClock; 2],
    /// Our own two, as last seen.
    seen: Option<(Instant, UtcTime)>,
}

/// Which of a session's two tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Audio,
    Video,
}

#[derive(Debug, Default)]
struct TrackClock {
    report: Option<Report>,
    /// What the newest report is off, as long as that is not followed.
    held: Option<Step>,
    /// Least of (arrival − sender's wall clock); while there is no report, of
    /// (arrival − RTP time in µs).
    delay: LeastDelay,
    /// Extends the wire's 32 bits.
    newest: Option<i64>,
}

/// A sender report.
#[derive(Clone, Copy, Debug)]
struct Report {
    /// Extended.
    rtp: i64,
    /// The sender's wall clock, in µs.
    wall: i64,
    arrived: i64,
}

/// A step of the sender's wall clock against a track's.
#[derive(Clone, Copy, Debug)]
struct Step {
    micros: i64,
    since: i64,
}

impl Clock {
    /// Takes a sender report that came at `arrived`.
    pub(super) fn handle_report(
        &mut self,
        which: Which,
        clock_rate: u32,
        report: &SenderReport,
        arrived: UtcTime,
    ) {
        // RFC 3550 §6.4.1: "A sender that has no notion of wallclock or elapsed
        // time MAY set the NTP timestamp to zero."
        if report.ntp == 0 {
            return;
        }
        let arrived = arrived.as_unix_micros();
        let track = &mut self.tracks[which as usize];
        let rtp = track.extend(report.rtp);
        let wall = unix_micros(report.ntp);
        match track.report {
            Some(former) => {
                let foretold = former.wall + ticks_to_micros(rtp - former.rtp, clock_rate);
                track.step(wall - foretold, arrived);
            }
            // What it has told of the delay goes on counting, for both now.
            None => track.delay.shift(ticks_to_micros(rtp, clock_rate) - wall),
        }
        track.report = Some(Report { rtp, wall, arrived });
        self.judge_steps(arrived);
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
        let Some(report) = track.report else {
            let sender = ticks_to_micros(rtp, clock_rate);
            let least = track.delay.observe(arrived_micros, arrived_micros - sender);
            return UtcTime::from_unix_micros(sender + least);
        };
        let held = track.held.map_or(0, |step| step.micros);
        let sender = report.wall - held + ticks_to_micros(rtp - report.rtp, clock_rate);
        track.delay.observe(arrived_micros, arrived_micros - sender);
        let comparable = self.tracks.iter_mut().filter(|it| it.report.is_some());
        let least = comparable.filter_map(|it| it.delay.least(arrived_micros));
        let least = least.min().unwrap_or(arrived_micros - sender);
        UtcTime::from_unix_micros(sender + least)
    }

    /// Forgets a track's clock, after its source has changed.
    pub(super) fn reset(&mut self, which: Which) {
        self.tracks[which as usize] = TrackClock::default();
    }

    /// Notes what both of our own clocks show; tells whether the wall's was set since the
    /// last time. What has been learned of the presenter is as true as before then, by
    /// arrivals that are told on another clock.
    pub fn follow(&mut self, now: Instant, utc: UtcTime) -> bool {
        let Some((then, was)) = self.seen.replace((now, utc)) else {
            return false;
        };
        let passed = micros_between(then, now);
        let step = utc.micros_since(was).saturating_sub(passed);
        if step.abs() < MIN_STEP_MICROS {
            return false;
        }
        for track in &mut self.tracks {
            track.delay.follow(step);
            if let Some(report) = &mut track.report {
                report.arrived += step;
            }
            if let Some(held) = &mut track.held {
                held.since += step;
            }
        }
        true
    }

    /// Follows steps whose meaning is known by now.
    fn judge_steps(&mut self, now: i64) {
        let [audio, video] = &mut self.tracks;
        let is_overdue = |step: Step| now - step.since > MAX_HELD_MICROS;
        match (audio.held, video.held) {
            (None, None) => {}
            // The wall clock was set. Nothing else has changed, so that the
            // delay seen so far is the same with another name.
            (Some(one), Some(other)) if (one.micros - other.micros).abs() <= MIN_STEP_MICROS => {
                audio.delay.shift(-one.micros);
                video.delay.shift(-other.micros);
                (audio.held, video.held) = (None, None);
            }
            (Some(step), None) if video.contradicts(step) => audio.correct(),
            (None, Some(step)) if audio.contradicts(step) => video.correct(),
            // There is nobody to ask: what was seen so far may mean anything.
            (one, other) => {
                let is_alone = audio.report.is_none() || video.report.is_none();
                if is_alone || one.into_iter().chain(other).any(is_overdue) {
                    audio.correct();
                    video.correct();
                }
            }
        }
    }
}

impl TrackClock {
    fn step(&mut self, micros: i64, now: i64) {
        if micros.abs() > MIN_STEP_MICROS {
            let held = self.held.get_or_insert(Step {
                micros: 0,
                since: now,
            });
            held.micros += micros;
            // There and back again is no step.
            self.held = self.held.filter(|it| it.micros.abs() > MIN_STEP_MICROS);
        }
    }

    /// Follows the newest report as it is. What was seen of the delay meanwhile
    /// was seen on a wrong clock.
    fn correct(&mut self) {
        self.held = None;
        self.delay = LeastDelay::default();
    }

    /// Whether a report has come that would show the other track's step, were
    /// it one of the wall clock.
    fn contradicts(&self, step: Step) -> bool {
        self.report
            .is_some_and(|report| report.arrived >= step.since + REORDERING_MICROS)
    }

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
    /// Adds to all values.
    fn shift(&mut self, by: i64) {
        for (_, value) in &mut self.observed {
            *value += by;
        }
    }

    /// The clock that arrivals are told by was set.
    fn follow(&mut self, step: i64) {
        for (at, value) in &mut self.observed {
            *at += step;
            *value += step;
        }
    }

    fn observe(&mut self, now: i64, value: i64) -> i64 {
        while self.observed.back().is_some_and(|(_, last)| *last >= value) {
            self.observed.pop_back();
        }
        // One entry per 10 ms is fine enough, and bounds the queue.
        match self.observed.back() {
            Some((at, _)) if now - at < 10_000 && self.observed.len() > 1 => {}
            _ => self.observed.push_back((now, value)),
        }
        self.least(now).unwrap_or(value)
    }

    /// `None` while nothing was observed lately.
    fn least(&mut self, now: i64) -> Option<i64> {
        while self
            .observed
            .pop_front_if(|(at, _)| now - *at > WINDOW_MICROS)
            .is_some()
        {}
        self.observed.front().map(|(_, least)| *least)
    }
}

#[cfg(test)]
mod tests;
