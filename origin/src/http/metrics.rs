//! The metrics of delivery; `crate::metrics` collects them with the others.

use std::{collections::BTreeMap, time::Duration};

use http::StatusCode;
use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

use super::respond::ErrCode;

const RESPONSES: &str = "inlet_origin_http_responses_total";
const ERRORS: &str = "inlet_origin_http_errors_total";
const PLAYLIST_HOLD: &str = "inlet_origin_playlist_hold_seconds";
const PART_DELAY: &str = "inlet_origin_part_publish_delay_seconds";

const KINDS: [&str; 9] = [
    "playlist",
    "manifest",
    "init",
    "segment",
    "part",
    "still",
    "time",
    "preflight",
    "other",
];
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Handles of delivery's metrics, registered at construction.
pub struct Metrics {
    responses: BTreeMap<(&'static str, &'static str), Counter>,
    not_live: Counter,
    malformed_id: Counter,
    not_ready: Counter,
    playlist_hold: Histogram,
    part_delay: Histogram,
}

impl Metrics {
    /// Registers the metrics with the recorder installed at this time.
    pub fn new() -> Self {
        describe_counter!(
            RESPONSES,
            Unit::Count,
            "Responses to viewers, by kind and status class"
        );
        describe_counter!(
            ERRORS,
            Unit::Count,
            "Responses that carried an X-Err-Code, by code"
        );
        describe_histogram!(
            PLAYLIST_HOLD,
            Unit::Seconds,
            "Time that a blocking playlist request was held"
        );
        describe_histogram!(
            PART_DELAY,
            Unit::Seconds,
            "Time from the capture of a part's last sample to its publication"
        );
        let pairs = KINDS
            .into_iter()
            .flat_map(|kind| CLASSES.map(|class| (kind, class)));
        let responses = pairs.map(|(kind, class)| {
            (
                (kind, class),
                counter!(RESPONSES, "kind" => kind, "status" => class),
            )
        });
        let error = |code: ErrCode| counter!(ERRORS, "code" => code.as_str());
        Self {
            responses: responses.collect(),
            not_live: error(ErrCode::NotLive),
            malformed_id: error(ErrCode::MalformedId),
            not_ready: error(ErrCode::NotReady),
            playlist_hold: histogram!(PLAYLIST_HOLD),
            part_delay: histogram!(PART_DELAY),
        }
    }

    /// What a [`crate::store::Stream`] records its parts' delays with.
    pub fn part_delay(&self) -> Histogram {
        self.part_delay.clone()
    }

    pub(super) fn count(&self, kind: &'static str, status: StatusCode, code: Option<ErrCode>) {
        let class = match status.as_u16() {
            ..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        if let Some(responses) = self.responses.get(&(kind, class)) {
            responses.increment(1);
        }
        match code {
            Some(ErrCode::NotLive) => self.not_live.increment(1),
            Some(ErrCode::MalformedId) => self.malformed_id.increment(1),
            Some(ErrCode::NotReady) => self.not_ready.increment(1),
            None => {}
        }
    }

    pub(super) fn held(&self, time: Duration) {
        self.playlist_hold.record(time.as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
