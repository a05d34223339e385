//! What the media plane counts.
//!
//! All names of the workers' metrics stand here, and what they mean in
//! `described`. Handles are fields, shared by all workers: workers count in plain
//! integers of their own and add to these a few times a second, so no packet
//! touches memory of another core.

use inlet_common::roq::control::CloseReason;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::{demux::Class, roq::sender::DropReason};

pub(crate) mod described;
pub mod handshakes;
pub mod ice_tcp;
pub mod paths;

pub use handshakes::Handshakes;
pub use ice_tcp::IceTcp;
pub use paths::Paths;

/// Why a datagram on a media port was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// By its first byte it is nothing that belongs here.
    Unknown,
    /// No session knows its source.
    Stranger,
    /// A Binding request for nobody here.
    UnknownUfrag,
    /// A Binding request that fails its integrity check.
    Integrity,
    /// A relayed presenter's credential is bound to another stream.
    OtherStream,
    /// A Binding request from one address too many of its session.
    Addresses,
}

impl Refused {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Unknown,
        Self::Stranger,
        Self::UnknownUfrag,
        Self::Integrity,
        Self::OtherStream,
        Self::Addresses,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Stranger => "stranger",
            Self::UnknownUfrag => "unknown_ufrag",
            Self::Integrity => "integrity",
            Self::OtherStream => "other_stream",
            Self::Addresses => "addresses",
        }
    }
}

const CLASSES: [(Class, &str); 5] = [
    (Class::Rtp, "rtp"),
    (Class::Stun, "stun"),
    (Class::Dtls, "dtls"),
    (Class::ChannelData, "channel_data"),
    (Class::Unknown, "unknown"),
];

const DROP_REASONS: [(DropReason, &str); 8] = [
    (DropReason::LinkDown, "link_down"),
    (DropReason::AwaitingKeyframe, "awaiting_keyframe"),
    (DropReason::NoStream, "no_stream"),
    (DropReason::Blocked, "blocked"),
    (DropReason::TooOld, "too_old"),
    (DropReason::Stopped, "stopped"),
    (DropReason::DatagramQueue, "datagram_queue"),
    (DropReason::DatagramSize, "datagram_size"),
];

/// Handles of the workers' metrics.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is described where it is registered")]
pub struct Media {
    pub rtp_packets: Counter,
    pub rtp_bytes: Counter,
    pub rtp_lost: Counter,
    pub nacks: Counter,
    pub freezes: Counter,
    pub frozen: Histogram,
    pub jitter: Histogram,
    pub keyframe_requests: Counter,
    pub foreign_packets: Counter,
    pub layer_packets_dropped: Counter,
    pub layer_changes: Counter,
    pub malformed_datagrams: Counter,
    pub connecting: Gauge,
    pub connected: Gauge,
    pub setup_ice: Histogram,
    pub setup_dtls: Histogram,
    pub setup_first_rtp: Histogram,
    pub session_rtt: Histogram,
    pub engine_panics: Counter,
    /// ICE restarts whose credentials came into use.
    pub restarts_used: Counter,
    /// ICE restarts that ended unused: by another one, or with their session.
    pub restarts_unused: Counter,
    pub socket_errors: Counter,
    pub unsent_datagrams: Counter,
    pub link_up: Gauge,
    pub link_rtt: Histogram,
    pub link_window: Histogram,
    pub link_mtu: Gauge,
    pub link_sent: Counter,
    pub link_lost: Counter,
    pub link_connected: Counter,
    pub link_broken: Counter,
    pub frames_ok: Counter,
    pub frames_cancelled: Counter,
    pub frames_under_way: Histogram,
    pub keyframes_wanted: Counter,
    pub link_unreadable: Counter,
    pub clock_offset: Gauge,
    pub turn: Histogram,
    pub commands_refused: Counter,
    pub handshakes: Handshakes,
    pub paths: Paths,
    pub ice_tcp: IceTcp,
    datagrams: [Counter; CLASSES.len()],
    refused: [Counter; Refused::ALL.len()],
    dropped: [Counter; DROP_REASONS.len()],
}

impl Media {
    /// Registers with the process's recorder; call after that is installed.
    pub fn register() -> Self {
        described::describe();
        let setup =
            |phase: &'static str| histogram!("inlet_edge_session_setup_seconds", "phase" => phase);
        Self {
            rtp_packets: counter!("inlet_edge_rtp_packets_total"),
            rtp_bytes: counter!("inlet_edge_rtp_bytes_total"),
            rtp_lost: counter!("inlet_edge_rtp_lost_packets_total"),
            nacks: counter!("inlet_edge_nacks_sent_total"),
            freezes: counter!("inlet_edge_freezes_total"),
            frozen: histogram!("inlet_edge_frozen_seconds"),
            jitter: histogram!("inlet_edge_jitter_seconds"),
            keyframe_requests: counter!("inlet_edge_keyframe_requests_sent_total"),
            foreign_packets: counter!("inlet_edge_rtp_foreign_packets_total"),
            layer_packets_dropped: counter!("inlet_edge_layer_packets_dropped_total"),
            layer_changes: counter!("inlet_edge_layer_changes_total"),
            malformed_datagrams: counter!("inlet_edge_malformed_datagrams_total"),
            connecting: gauge!("inlet_edge_sessions", "state" => "connecting"),
            connected: gauge!("inlet_edge_sessions", "state" => "connected"),
            setup_ice: setup("ice"),
            setup_dtls: setup("dtls"),
            setup_first_rtp: setup("first_rtp"),
            session_rtt: histogram!("inlet_edge_session_rtt_seconds"),
            engine_panics: counter!("inlet_edge_engine_panics_total"),
            restarts_used: counter!(RESTARTS, "result" => "used"),
            restarts_unused: counter!(RESTARTS, "result" => "unused"),
            socket_errors: counter!("inlet_edge_socket_errors_total"),
            unsent_datagrams: counter!("inlet_edge_unsent_datagrams_total"),
            link_up: gauge!("inlet_edge_links_up"),
            link_rtt: histogram!("inlet_edge_link_rtt_seconds"),
            link_window: histogram!("inlet_edge_link_congestion_window_bytes"),
            link_mtu: gauge!("inlet_edge_link_mtu_bytes"),
            link_sent: counter!("inlet_edge_link_sent_packets_total"),
            link_lost: counter!("inlet_edge_link_lost_packets_total"),
            link_connected: counter!("inlet_edge_link_connections_total", "result" => "up"),
            link_broken: counter!("inlet_edge_link_connections_total", "result" => "broken"),
            frames_ok: counter!("inlet_edge_link_frames_total", "result" => "ok"),
            frames_cancelled: counter!("inlet_edge_link_frames_total", "result" => "cancelled"),
            frames_under_way: histogram!("inlet_edge_link_frames_under_way"),
            keyframes_wanted: counter!("inlet_edge_link_keyframes_wanted_total"),
            link_unreadable: counter!("inlet_edge_link_unreadable_total"),
            clock_offset: gauge!("inlet_edge_link_clock_offset_seconds"),
            turn: histogram!("inlet_edge_worker_turn_seconds"),
            commands_refused: counter!("inlet_edge_worker_commands_refused_total"),
            handshakes: Handshakes::register(),
            paths: Paths::register(),
            ice_tcp: IceTcp::register(),
            datagrams: CLASSES
                .map(|(_, class)| counter!("inlet_edge_datagrams_total", "type" => class)),
            refused: Refused::ALL.map(
                |reason| counter!("inlet_edge_datagrams_dropped_total", "reason" => reason.label()),
            ),
            dropped: DROP_REASONS.map(
                |(_, reason)| counter!("inlet_edge_rtp_dropped_packets_total", "reason" => reason),
            ),
        }
    }

    /// Datagrams of a class.
    pub fn datagrams(&self, class: Class) -> Option<&Counter> {
        let at = CLASSES.iter().position(|(known, _)| *known == class)?;
        self.datagrams.get(at)
    }

    /// Datagrams dropped for a reason.
    pub fn refused(&self, reason: Refused) -> Option<&Counter> {
        let at = Refused::ALL.iter().position(|known| *known == reason)?;
        self.refused.get(at)
    }

    /// RTP packets dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> Option<&Counter> {
        let at = DROP_REASONS
            .iter()
            .position(|(known, _)| *known == reason)?;
        self.dropped.get(at)
    }

    /// A session has ended.
    pub fn note_end(&self, reason: CloseReason) {
        counter!("inlet_edge_session_ends_total", "reason" => reason.as_str()).increment(1);
    }
}

/// How busy a worker is; each has one of its own.
pub fn load(worker: u16) -> Gauge {
    gauge!("inlet_edge_worker_load", "worker" => worker.to_string())
}

/// Shared with the HTTP side, which counts those that it refuses.
pub(crate) const RESTARTS: &str = "inlet_edge_ice_restarts_total";
