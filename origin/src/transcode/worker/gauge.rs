//! What the threads measure of themselves, gathered for the report.
//!
//! Speed is the frames' own duration over the wall time that the busiest
//! thread spent on them: on a machine without a core to spare that time holds
//! the waiting for one, which is the point.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::{timeline::FrameRate, transcode::Report};

/// Counters shared by all threads.
#[derive(Debug)]
pub(super) struct Gauges {
    rungs: Vec<Lane>,
    decode: Lane,
    decode_errors: AtomicU32,
    silent_frames: AtomicU32,
}

/// A thread's share.
#[derive(Debug, Default)]
struct Lane {
    asked: AtomicU64,
    answered: AtomicU64,
    busy_nanos: AtomicU64,
}

impl Gauges {
    pub(super) fn new(rungs: usize) -> Self {
        Self {
            rungs: (0..rungs).map(|_| Lane::default()).collect(),
            decode: Lane::default(),
            decode_errors: AtomicU32::new(0),
            silent_frames: AtomicU32::new(0),
        }
    }

    /// A tick came that asks `rungs`, one bit each.
    pub(super) fn tick_came(&self, rungs: u8) {
        for (rung, lane) in self.rungs.iter().enumerate() {
            lane.asked.fetch_add(u64::from(rungs >> rung & 1), Relaxed);
        }
    }

    /// A rung answered a tick, which took it `busy`.
    pub(super) fn rung_answered(&self, rung: usize, busy: Duration) {
        if let Some(lane) = self.rungs.get(rung) {
            lane.answered.fetch_add(1, Relaxed);
            lane.busy_nanos.fetch_add(nanos(busy), Relaxed);
        }
    }

    pub(super) fn decoded(&self, busy: Duration) {
        self.decode.busy_nanos.fetch_add(nanos(busy), Relaxed);
    }

    pub(super) fn decode_error(&self) {
        self.decode_errors.fetch_add(1, Relaxed);
    }

    pub(super) fn silent_frame(&self) {
        self.silent_frames.fetch_add(1, Relaxed);
    }

    /// Ticks that the slowest rung has not answered yet.
    fn queued_ticks(&self) -> u32 {
        let queued = self.rungs.iter().map(|lane| {
            let answered = lane.answered.load(Relaxed);
            lane.asked.load(Relaxed).saturating_sub(answered)
        });
        u32::try_from(queued.max().unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// Nanoseconds of work of the busiest thread since the last call.
    fn take_busiest(&self) -> u64 {
        let lanes = self.rungs.iter().chain([&self.decode]);
        lanes
            .map(|lane| lane.busy_nanos.swap(0, Relaxed))
            .max()
            .unwrap_or(0)
    }
}

/// Makes a report of the gauges once a second; owned by the decoding thread,
/// which sees every tick.
#[derive(Debug)]
pub(super) struct Reporter {
    rate: FrameRate,
    due: Instant,
    has_ticked: bool,
    frames: u32,
    repeated: u32,
}

impl Reporter {
    pub(super) fn new(rate: FrameRate, now: Instant) -> Self {
        Self {
            rate,
            due: now + INTERVAL,
            has_ticked: false,
            frames: 0,
            repeated: 0,
        }
    }

    /// Counts a tick. Returns the report when one is due; size of the source
    /// is the caller's to fill in.
    pub(super) fn handle_tick(
        &mut self,
        now: Instant,
        is_repeated: bool,
        gauges: &Gauges,
    ) -> Option<Report> {
        if !std::mem::replace(&mut self.has_ticked, true) && now >= self.due {
            // A worker that is prepared decodes for seconds before it is asked for
            // anything: that is no speed.
            gauges.take_busiest();
            self.due = now + INTERVAL;
        }
        self.frames += 1;
        self.repeated += u32::from(is_repeated);
        if now < self.due {
            return None;
        }
        let frames = std::mem::take(&mut self.frames);
        let media = f64::from(frames) / f64::from(self.rate.as_u32());
        let busy = Duration::from_nanos(gauges.take_busiest()).as_secs_f64();
        self.due = now + INTERVAL;
        Some(Report {
            speed: (media / busy.max(f64::EPSILON)).min(MAX_SPEED),
            queued_ticks: gauges.queued_ticks(),
            decode_errors: gauges.decode_errors.swap(0, Relaxed),
            repeated_frames: std::mem::take(&mut self.repeated),
            silent_frames: gauges.silent_frames.swap(0, Relaxed),
            source_width: 0,
            source_height: 0,
        })
    }
}

const INTERVAL: Duration = Duration::from_secs(1);

/// Reported when the threads did next to nothing.
const MAX_SPEED: f64 = 1000.0;

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_that_of_the_busiest_thread() {
        let gauges = Gauges::new(2);
        let start = inlet_common::clock::now();
        let mut reporter = Reporter::new(FrameRate::DEFAULT, start);
        for frame in 1..=30u32 {
            gauges.tick_came(0b11);
            gauges.rung_answered(0, Duration::from_millis(10));
            if frame % 2 == 0 {
                gauges.rung_answered(1, Duration::from_millis(50));
            }
            assert_eq!(reporter.handle_tick(start, frame % 3 == 0, &gauges), None);
        }
        let report = reporter
            .handle_tick(start + INTERVAL, false, &gauges)
            .unwrap();
        // 31 frames are 1.033 s; rung 1 worked 15 · 50 ms on them.
        assert!(
            (report.speed - 31.0 / 30.0 / 0.75).abs() < 1e-6,
            "{}",
            report.speed
        );
        assert_eq!((report.queued_ticks, report.repeated_frames), (15, 10));
        (0..15).for_each(|_| gauges.rung_answered(1, Duration::ZERO));
        gauges.tick_came(0b01);
        gauges.rung_answered(0, Duration::ZERO);
        assert_eq!(gauges.queued_ticks(), 0, "rung 1 is not asked");
    }

    #[test]
    fn what_a_prepared_worker_did_before_its_first_tick_is_no_speed() {
        let gauges = Gauges::new(1);
        let start = inlet_common::clock::now();
        let mut reporter = Reporter::new(FrameRate::DEFAULT, start);
        gauges.rung_answered(0, Duration::from_secs(5));
        let begin = start + INTERVAL * 5;
        for _ in 0..30 {
            gauges.rung_answered(0, Duration::from_millis(10));
            assert_eq!(reporter.handle_tick(begin, false, &gauges), None);
        }
        let report = reporter.handle_tick(begin + INTERVAL, false, &gauges);
        assert!(report.unwrap().speed > 3.0);
    }
}
