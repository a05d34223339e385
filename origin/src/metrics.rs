//! Every metric of the origin, by room.
//!
//! | prefix | listed in |
//! |---|---|
//! | `inlet_origin_link_…` | [`crate::roq::Metrics`] |
//! | `inlet_origin_pops`, `…_pop_…` | [`crate::fleet`] |
//! | `inlet_origin_live_…`, `…_rtp_…`, `…_sessions_…`, `…_pass_through_…` | [`crate::live::Metrics`] |
//! | `inlet_origin_worker_…`, `…_frames_…` | [`crate::transcode::metrics`] |
//! | `inlet_origin_playlist_…`, `…_responses_…` | [`crate::http`] |
//! | `inlet_origin_api_…` | [`crate::api`] |
//! | `inlet_origin_registry_…` | [`crate::registry`] |
//!
//! Label values come from closed sets; a stream, key or address is never one.

use inlet_common::service::metrics::SECONDS;
use metrics::{Gauge, Unit, describe_gauge, gauge};

/// Histograms whose values are no short durations, and their buckets.
pub const BUCKETS: &[(&str, &[f64])] = &[
    (
        "inlet_origin_transcode_speed_ratio",
        &[0.5, 0.8, 0.95, 1.0, 1.1, 1.5, 2.0, 4.0, 8.0],
    ),
    ("inlet_origin_first_frame_seconds", SECONDS),
    // In frames at 30 per second: in place, and up to ten off.
    (
        "inlet_origin_pass_through_key_frame_offset_seconds",
        &[0.001, 0.034, 0.067, 0.1, 0.134, 0.2, 0.267, 0.334],
    ),
];

/// The gauge that tells when a listener's certificate ends.
pub fn certificate(kind: &'static str) -> Gauge {
    describe_gauge!(
        "inlet_origin_certificate_expiry_seconds",
        Unit::Seconds,
        "end of a certificate's validity, since the Unix epoch"
    );
    gauge!("inlet_origin_certificate_expiry_seconds", "kind" => kind)
}
