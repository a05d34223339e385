//! Names of what the transcoder counts.
//!
//! Label values come from closed sets: a reason or a rung's name, never a
//! stream. [`describe`] registers the help texts once per process.

use metrics::{Unit, describe_counter, describe_gauge};

/// Workers replaced, by `reason`: `exit`, `hang`, `protocol`, `start`.
pub const WORKER_RESTARTS: &str = "inlet_origin_worker_restarts_total";
/// Worker processes that exist, spares included.
pub const WORKER_PROCESSES: &str = "inlet_origin_worker_processes";
/// Coded units not given to a worker, by `reason`: `queue_full`,
/// `awaiting_key`, `oversized`, `no_worker`.
pub const CODED_DROPPED: &str = "inlet_origin_coded_units_dropped_total";
/// Ticks given up because too many were unanswered.
pub const TICKS_DROPPED: &str = "inlet_origin_ticks_dropped_total";
/// Coded pictures and packets that a decoder refused.
pub const DECODE_ERRORS: &str = "inlet_origin_decode_errors_total";
/// Pictures shown again because nothing newer had come.
pub const REPEATED_FRAMES: &str = "inlet_origin_repeated_frames_total";
/// AAC frames that held inserted silence.
pub const SILENT_FRAMES: &str = "inlet_origin_silent_frames_total";
/// Encoded video frames received from workers.
pub const VIDEO_FRAMES: &str = "inlet_origin_encoded_frames_total";
/// Lines a worker wrote that were not logged, because there were too many.
pub const LOG_LINES_DROPPED: &str = "inlet_origin_worker_log_lines_dropped_total";

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
    ];
    for (name, help) in counters {
        describe_counter!(name, Unit::Count, help);
    }
    describe_gauge!(
        WORKER_PROCESSES,
        Unit::Count,
        "Worker processes, spares included"
    );
}
