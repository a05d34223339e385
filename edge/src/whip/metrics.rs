//! What WHIP's HTTP side counts; the media side counts in `edge/src/metrics.rs`.

use std::time::Duration;

use http::{Method, StatusCode};
use inlet_common::reason::ReasonCode;
use metrics::{counter, describe_counter, describe_gauge, gauge, histogram};

use crate::metrics::RESTARTS;

const REQUESTS: &str = "inlet_edge_whip_requests_total";
/// Shared with the media side, which describes it and adds the later phases.
const SETUP: &str = "inlet_edge_session_setup_seconds";
const ADMISSIONS: &str = "inlet_edge_whip_admissions";
const ABANDONED: &str = "inlet_edge_whip_abandoned_total";
const LIMITED: &str = "inlet_edge_whip_limited_total";
const REDIRECTED: &str = "inlet_edge_whip_redirected_total";
const SKIPPED: &str = "inlet_edge_whip_fragment_lines_skipped_total";
const FORGOTTEN: &str = "inlet_edge_whip_refusals_forgotten_total";

/// Tells the recorder what the names mean; call it once, after it is installed.
pub fn describe() {
    describe_counter!(
        REQUESTS,
        "WHIP requests by method, status and reason code (0: none)"
    );
    describe_gauge!(ADMISSIONS, "offers being answered at this moment");
    describe_counter!(
        ABANDONED,
        "sessions that nobody waited for any more when the origin accepted them"
    );
    describe_counter!(
        LIMITED,
        "requests turned away for too many refused ones, of the stream key or the source"
    );
    describe_counter!(
        SKIPPED,
        "lines of trickled fragments that could not be read and were passed over"
    );
    describe_counter!(
        REDIRECTED,
        "offers sent to another point of presence, by the code that they would have been \
         refused with (0: another one is better)"
    );
    describe_counter!(
        FORGOTTEN,
        "stream keys and sources whose refusals were forgotten for lack of room"
    );
}

/// Counts an answered request. `code` is what stands in `X-Reason-Code`.
pub(super) fn answered(method: &Method, status: StatusCode, code: u16) {
    counter!(
        REQUESTS,
        "method" => method_label(method),
        "status" => status.as_u16().to_string(),
        "code" => code.to_string(),
    )
    .increment(1);
}

/// Notes how long a POST took until its 201.
pub(super) fn set_up(took: Duration) {
    histogram!(SETUP, "phase" => "http").record(took);
}

/// Counts a session that was accepted after its presenter had gone.
pub(super) fn abandoned() {
    counter!(ABANDONED).increment(1);
}

/// Counts an offer that was turned away unread; `by` is what stood in its way.
pub(super) fn limited(by: &'static str) {
    counter!(LIMITED, "by" => by).increment(1);
}

/// Counts a presenter who was sent elsewhere, by why this edge would not take anybody.
pub(super) fn redirected(inability: Option<ReasonCode>) {
    let code = inability.map_or(0, ReasonCode::as_u16);
    counter!(REDIRECTED, "code" => code.to_string()).increment(1);
}

/// Counts an ICE restart that changed nothing.
pub(super) fn restart_refused() {
    counter!(RESTARTS, "result" => "refused").increment(1);
}

/// Counts lines of a fragment that could not be read.
pub(super) fn skipped(lines: usize) {
    counter!(SKIPPED).increment(lines as u64);
}

/// Counts refusals that were forgotten before their time.
pub(super) fn forgotten(count: u64) {
    counter!(FORGOTTEN).increment(count);
}

/// Counts an admission while it is held.
pub(super) struct Admission(());

impl Admission {
    pub(super) fn begin() -> Self {
        gauge!(ADMISSIONS).increment(1.0);
        Self(())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        gauge!(ADMISSIONS).decrement(1.0);
    }
}

/// A closed set, whatever strangers send.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}
