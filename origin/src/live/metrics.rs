//! What the origin counts about live streams.

use inlet_common::roq::control::{CloseReason, Kind};
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use super::{gate::Refused, pass::Reason};
use crate::ingest::TrackCounters;

/// Handles of every metric of live streams; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Streams with a presenter.
    pub live: Gauge,
    /// From a session's ACCEPT to its first encoded frame.
    pub first_frame_seconds: Histogram,
    /// Worker's speed, 1.0 is real time.
    pub speed: Histogram,
    /// Gaps because the process had been suspended.
    pub timeline_gaps: Counter,
    /// Streams whose top rung is the presenter's own picture.
    pub passing: Gauge,
    /// How far key frames that begin segments there are from where they should be.
    pub key_frame_offset_seconds: Histogram,
    audio: TrackMetrics,
    video: TrackMetrics,
}

#[derive(Clone, Debug)]
struct TrackMetrics {
    packets: Counter,
    bytes: Counter,
    lost: Counter,
    late: Counter,
    duplicate: Counter,
    malformed: Counter,
    undecodable: Counter,
}

impl Metrics {
    /// Registers every metric with its meaning.
    pub fn new() -> Self {
        describe_gauge!("inlet_origin_live_streams", "streams with a presenter");
        describe_counter!(
            "inlet_origin_streams_refused_total",
            "sessions refused because the origin has no room for them, by reason; whoever asks \
             for draining and live_streams, since no token is looked at before"
        );
        describe_counter!(
            "inlet_origin_growth_refused_total",
            "ladders that did not grow with their picture because there is no room, by reason"
        );
        describe_histogram!(
            "inlet_origin_first_frame_seconds",
            "from the session's acceptance to its first encoded frame"
        );
        describe_histogram!(
            "inlet_origin_transcode_speed_ratio",
            "media seconds made per busy second of a worker, sampled once a second"
        );
        describe_counter!(
            "inlet_origin_timeline_gaps_total",
            "stretches of time left out"
        );
        describe_gauge!(
            "inlet_origin_pass_through_streams",
            "streams whose top rung is the presenter's own picture"
        );
        describe_counter!(
            "inlet_origin_pass_through_refused_total",
            "times that a top rung was encoded although passing it through was asked, by reason"
        );
        describe_histogram!(
            "inlet_origin_pass_through_key_frame_offset_seconds",
            "between a presenter's key frame and where its segment would begin"
        );
        describe_counter!(
            "inlet_origin_sessions_ended_total",
            "sessions ended, by reason"
        );
        describe_counter!(
            "inlet_origin_rtp_packets_total",
            "RTP packets by kind and fate"
        );
        describe_counter!("inlet_origin_rtp_bytes_total", "RTP payload bytes by kind");
        describe_counter!(
            "inlet_origin_undecodable_frames_total",
            "frames dropped before decoding"
        );
        Self {
            live: gauge!("inlet_origin_live_streams"),
            first_frame_seconds: histogram!("inlet_origin_first_frame_seconds"),
            speed: histogram!("inlet_origin_transcode_speed_ratio"),
            timeline_gaps: counter!("inlet_origin_timeline_gaps_total"),
            passing: gauge!("inlet_origin_pass_through_streams"),
            key_frame_offset_seconds: histogram!(
                "inlet_origin_pass_through_key_frame_offset_seconds"
            ),
            audio: TrackMetrics::new("audio"),
            video: TrackMetrics::new("video"),
        }
    }

    /// Counts the end of a session.
    pub fn ended(&self, reason: CloseReason) {
        counter!("inlet_origin_sessions_ended_total", "reason" => reason.as_str()).increment(1);
    }

    /// Counts a presenter for whom there is no room.
    pub(super) fn stream_refused(&self, why: Refused) {
        counter!("inlet_origin_streams_refused_total", "reason" => why.as_str()).increment(1);
    }

    /// Counts a ladder for whose growth there is no room.
    pub(super) fn growth_refused(&self, why: Refused) {
        counter!("inlet_origin_growth_refused_total", "reason" => why.as_str()).increment(1);
    }

    /// Counts a top rung that is encoded although passing it through was asked.
    pub fn pass_through_refused(&self, reason: Reason) {
        counter!("inlet_origin_pass_through_refused_total", "reason" => reason.as_str())
            .increment(1);
    }

    /// Adds what a track has counted since `before`.
    pub fn track(&self, kind: Kind, before: &TrackCounters, now: &TrackCounters) {
        let metrics = match kind {
            Kind::Audio => &self.audio,
            Kind::Video => &self.video,
        };
        metrics
            .packets
            .increment(now.packets.saturating_sub(before.packets));
        metrics
            .bytes
            .increment(now.bytes.saturating_sub(before.bytes));
        metrics.lost.increment(now.lost.saturating_sub(before.lost));
        metrics.late.increment(now.late.saturating_sub(before.late));
        metrics
            .duplicate
            .increment(now.duplicate.saturating_sub(before.duplicate));
        metrics
            .malformed
            .increment(now.malformed.saturating_sub(before.malformed));
        metrics
            .undecodable
            .increment(now.undecodable.saturating_sub(before.undecodable));
    }
}

impl TrackMetrics {
    fn new(kind: &'static str) -> Self {
        let packets = |state: &'static str| counter!("inlet_origin_rtp_packets_total", "kind" => kind, "state" => state);
        Self {
            packets: packets("received"),
            lost: packets("lost"),
            late: packets("late"),
            duplicate: packets("duplicate"),
            malformed: packets("malformed"),
            bytes: counter!("inlet_origin_rtp_bytes_total", "kind" => kind),
            undecodable: counter!("inlet_origin_undecodable_frames_total", "kind" => kind),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
