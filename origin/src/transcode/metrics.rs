//! Names of what the transcoder counts.
//!
//! Label values come from closed sets: a reason, never a stream. [`describe`]
//! registers the help texts once per process.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use super::Report;

/// Workers replaced, by `reason`: `exit`, `hang`, `protocol`, `start`.
pub const WORKER_RESTARTS: &str = "inlet_origin_worker_restarts_total";
/// Worker processes that exist, spares included.
pub const WORKER_PROCESSES: &str = "inlet_origin_worker_processes";
/// Coded units not given to a worker, by `reason`: `queue_full`,
/// `awaiting_key`, `oversized`.
pub const CODED_DROPPED: &str = "inlet_origin_coded_units_dropped_total";
/// Ticks given up because too many were unanswered.
pub const TICKS_DROPPED: &str = "inlet_origin_ticks_dropped_total";
/// Coded units that a decoder refused, or that came while it waited for a key
/// frame.
pub const DECODE_ERRORS: &str = "inlet_origin_decode_errors_total";
/// Pictures shown again because nothing newer had come.
pub const REPEATED_FRAMES: &str = "inlet_origin_repeated_frames_total";
/// AAC frames that held inserted silence.
pub const SILENT_FRAMES: &str = "inlet_origin_silent_frames_total";
/// Encoded video frames received from workers, all rungs.
pub const VIDEO_FRAMES: &str = "inlet_origin_encoded_frames_total";
/// Lines a worker wrote that were not logged, because there were too many.
pub const LOG_LINES_DROPPED: &str = "inlet_origin_worker_log_lines_dropped_total";

/// Rungs shed because the machine could not keep up.
pub const RUNGS_SHED: &str = "inlet_origin_transcode_rungs_shed_total";
/// Rungs that came back after they had been shed.
pub const RUNGS_RESTORED: &str = "inlet_origin_transcode_rungs_restored_total";
/// Rungs that are shed right now, of all live streams.
pub const RUNGS_MISSING: &str = "inlet_origin_transcode_rungs_shed";
/// Frames left out because their rung was too far behind.
pub const SKIPPED_FRAMES: &str = "inlet_origin_transcode_frames_skipped_total";

/// Registers unit and meaning of every name above.
pub fn describe() {
    let counters = [
        (WORKER_RESTARTS, "Transcode workers replaced, by reason"),
        (
            CODED_DROPPED,
            "Coded units not given to a worker, by reason",
        ),
        (
            TICKS_DROPPED,
            "Ticks given up because too many were unanswered",
        ),
        (DECODE_ERRORS, "Coded units that a decoder refused"),
        (
            REPEATED_FRAMES,
            "Pictures shown again because nothing newer had come",
        ),
        (SILENT_FRAMES, "AAC frames that held inserted silence"),
        (VIDEO_FRAMES, "Encoded video frames received from workers"),
        (LOG_LINES_DROPPED, "Lines of workers that were not logged"),
        (
            RUNGS_SHED,
            "Rungs shed because the machine could not keep up",
        ),
        (RUNGS_RESTORED, "Shed rungs that came back"),
        (
            SKIPPED_FRAMES,
            "Frames left out because their rung was too far behind",
        ),
    ];
    for (name, help) in counters {
        describe_counter!(name, Unit::Count, help);
    }
    describe_gauge!(
        WORKER_PROCESSES,
        Unit::Count,
        "Worker processes, spares included"
    );
    describe_gauge!(
        RUNGS_MISSING,
        Unit::Count,
        "Rungs that are shed right now, of all live streams"
    );
}

/// Why a worker was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RestartReason {
    /// Its socket closed.
    Exit,
    /// It left ticks unanswered.
    Hang,
    /// It sent what nobody asked for, or nonsense.
    Protocol,
    /// It could not be started.
    Start,
}

impl RestartReason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Hang => "hang",
            Self::Protocol => "protocol",
            Self::Start => "start",
        }
    }
}

/// Why a coded unit did not reach a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DropReason {
    /// Too much was waiting.
    QueueFull,
    /// Something before it was lost, and it is no key frame.
    AwaitingKey,
    /// Larger than any message may be.
    Oversized,
}

/// One stream's handles.
#[derive(Clone)]
pub(super) struct Counters {
    restarts: [Counter; 4],
    dropped: [Counter; 3],
    decode_errors: Counter,
    repeated_frames: Counter,
    silent_frames: Counter,
    pub(super) ticks_dropped: Counter,
    pub(super) video_frames: Counter,
    pub(super) log_lines_dropped: Counter,
}

impl Default for Counters {
    fn default() -> Self {
        use RestartReason::{Exit, Hang, Protocol, Start};
        Self {
            restarts: [Exit, Hang, Protocol, Start]
                .map(|reason| counter!(WORKER_RESTARTS, "reason" => reason.as_str())),
            dropped: ["queue_full", "awaiting_key", "oversized"]
                .map(|reason| counter!(CODED_DROPPED, "reason" => reason)),
            decode_errors: counter!(DECODE_ERRORS),
            repeated_frames: counter!(REPEATED_FRAMES),
            silent_frames: counter!(SILENT_FRAMES),
            ticks_dropped: counter!(TICKS_DROPPED),
            video_frames: counter!(VIDEO_FRAMES),
            log_lines_dropped: counter!(LOG_LINES_DROPPED),
        }
    }
}

impl Counters {
    pub(super) fn restarted(&self, reason: RestartReason) {
        let [exit, hang, protocol, start] = &self.restarts;
        match reason {
            RestartReason::Exit => exit,
            RestartReason::Hang => hang,
            RestartReason::Protocol => protocol,
            RestartReason::Start => start,
        }
        .increment(1);
    }

    pub(super) fn dropped(&self, reason: DropReason) {
        let [queue_full, awaiting_key, oversized] = &self.dropped;
        match reason {
            DropReason::QueueFull => queue_full,
            DropReason::AwaitingKey => awaiting_key,
            DropReason::Oversized => oversized,
        }
        .increment(1);
    }

    pub(super) fn report(&self, report: &Report) {
        self.decode_errors.increment(report.decode_errors.into());
        self.repeated_frames
            .increment(report.repeated_frames.into());
        self.silent_frames.increment(report.silent_frames.into());
    }
}

/// What one stream's overload is counted by.
pub(super) struct ShedCounters {
    pub(super) shed: Counter,
    pub(super) restored: Counter,
    pub(super) skipped: Counter,
}

impl Default for ShedCounters {
    fn default() -> Self {
        Self {
            shed: counter!(RUNGS_SHED),
            restored: counter!(RUNGS_RESTORED),
            skipped: counter!(SKIPPED_FRAMES),
        }
    }
}

impl std::fmt::Debug for ShedCounters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ShedCounters")
    }
}

/// One stream's share of [`RUNGS_MISSING`], which it takes back when it ends.
pub(super) struct RungsShed {
    gauge: Gauge,
    count: usize,
}

impl Default for RungsShed {
    fn default() -> Self {
        Self {
            gauge: gauge!(RUNGS_MISSING),
            count: 0,
        }
    }
}

impl RungsShed {
    pub(super) fn set(&mut self, count: usize) {
        self.gauge.increment(count as f64 - self.count as f64);
        self.count = count;
    }
}

impl Drop for RungsShed {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl std::fmt::Debug for RungsShed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RungsShed")
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Counters")
    }
}
