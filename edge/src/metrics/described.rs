//! What the workers' metrics mean, as `# HELP` tells it.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use super::RESTARTS;

/// What only rises.
const COUNTERS: &[Described] = &[
    (
        "inlet_edge_rtp_packets_total",
        Unit::Count,
        "RTP packets taken from presenters, each once",
    ),
    (
        "inlet_edge_rtp_bytes_total",
        Unit::Bytes,
        "Payload bytes of these packets",
    ),
    (
        "inlet_edge_rtp_lost_packets_total",
        Unit::Count,
        "RTP packets that did not come within seconds, retransmission included",
    ),
    (
        "inlet_edge_rtp_foreign_packets_total",
        Unit::Count,
        "RTP packets of a second source on a track",
    ),
    (
        "inlet_edge_layer_packets_dropped_total",
        Unit::Count,
        "RTP packets of simulcast layers that were not the one forwarded",
    ),
    (
        "inlet_edge_layer_changes_total",
        Unit::Count,
        "Changes from one simulcast layer to another",
    ),
    (
        "inlet_edge_rtp_dropped_packets_total",
        Unit::Count,
        "RTP packets dropped in front of the link, by reason",
    ),
    (
        "inlet_edge_nacks_sent_total",
        Unit::Count,
        "NACKs sent to presenters",
    ),
    (
        "inlet_edge_freezes_total",
        Unit::Count,
        "Gaps between frames that viewers see as a freeze, as webrtc-stats counts them",
    ),
    (
        "inlet_edge_keyframe_requests_sent_total",
        Unit::Count,
        "PLIs and FIRs sent to presenters",
    ),
    (
        "inlet_edge_datagrams_total",
        Unit::Count,
        "Datagrams on media ports, by what their first byte says",
    ),
    (
        "inlet_edge_datagrams_dropped_total",
        Unit::Count,
        "Datagrams on media ports that belong to no session, by reason",
    ),
    (
        "inlet_edge_malformed_datagrams_total",
        Unit::Count,
        "Datagrams of a session that could not be read",
    ),
    (
        "inlet_edge_session_ends_total",
        Unit::Count,
        "Sessions that ended, by reason",
    ),
    (
        RESTARTS,
        Unit::Count,
        "ICE restarts, by what became of them: used, unused, refused",
    ),
    (
        "inlet_edge_engine_panics_total",
        Unit::Count,
        "Sessions ended because the WebRTC engine gave up on itself",
    ),
    (
        "inlet_edge_socket_errors_total",
        Unit::Count,
        "Errors of media and link sockets",
    ),
    (
        "inlet_edge_unsent_datagrams_total",
        Unit::Count,
        "Datagrams to presenters that the kernel had no room for",
    ),
    (
        "inlet_edge_link_sent_packets_total",
        Unit::Count,
        "QUIC packets sent to the origin",
    ),
    (
        "inlet_edge_link_lost_packets_total",
        Unit::Count,
        "QUIC packets lost on the way to the origin",
    ),
    (
        "inlet_edge_link_connections_total",
        Unit::Count,
        "Connections to the origin that came up or broke",
    ),
    (
        "inlet_edge_link_frames_total",
        Unit::Count,
        "Video frames handed to the link whole, or given up",
    ),
    (
        "inlet_edge_link_keyframes_wanted_total",
        Unit::Count,
        "Key frames that the origin asked for",
    ),
    (
        "inlet_edge_link_unreadable_total",
        Unit::Count,
        "Messages of the origin that made no sense",
    ),
    (
        "inlet_edge_worker_commands_refused_total",
        Unit::Count,
        "Commands that a worker had no room for",
    ),
];

/// What is so right now.
const GAUGES: &[Described] = &[
    (
        "inlet_edge_sessions",
        Unit::Count,
        "Presenters' sessions, by state",
    ),
    (
        "inlet_edge_links_up",
        Unit::Count,
        "Workers whose link to the origin is up",
    ),
    (
        "inlet_edge_worker_load",
        Unit::Count,
        "Share of its time that a worker has worked in the last seconds, from 0 to 1",
    ),
    (
        "inlet_edge_link_mtu_bytes",
        Unit::Bytes,
        "Largest UDP payload to the origin",
    ),
    (
        "inlet_edge_link_clock_offset_seconds",
        Unit::Seconds,
        "How far the origin's clock is ahead",
    ),
];

/// What is spread.
const HISTOGRAMS: &[Described] = &[
    (
        "inlet_edge_session_setup_seconds",
        Unit::Seconds,
        "Time from the answer to a phase",
    ),
    (
        "inlet_edge_jitter_seconds",
        Unit::Seconds,
        "Interarrival jitter of each track (RFC 3550 §6.4.1), every two seconds",
    ),
    (
        "inlet_edge_frozen_seconds",
        Unit::Seconds,
        "How long a picture has frozen, of two seconds in which it did",
    ),
    (
        "inlet_edge_session_rtt_seconds",
        Unit::Seconds,
        "Round trip to presenters",
    ),
    (
        "inlet_edge_link_rtt_seconds",
        Unit::Seconds,
        "Round trip to the origin",
    ),
    (
        "inlet_edge_link_congestion_window_bytes",
        Unit::Bytes,
        "Congestion window to the origin",
    ),
    (
        "inlet_edge_link_frames_under_way",
        Unit::Count,
        "Video frames that have not all arrived",
    ),
    (
        "inlet_edge_worker_turn_seconds",
        Unit::Seconds,
        "CPU-bound time of one turn of a worker",
    ),
];

/// A metric's name, unit and meaning.
pub(crate) type Described = (&'static str, Unit, &'static str);

/// Tells the recorder what the workers' metrics mean.
pub(super) fn describe() {
    tell(COUNTERS, GAUGES, HISTOGRAMS);
}

/// Tells the recorder what each of these means.
pub(crate) fn tell(counters: &[Described], gauges: &[Described], histograms: &[Described]) {
    for (name, unit, text) in counters {
        describe_counter!(*name, *unit, *text);
    }
    for (name, unit, text) in gauges {
        describe_gauge!(*name, *unit, *text);
    }
    for (name, unit, text) in histograms {
        describe_histogram!(*name, *unit, *text);
    }
}
