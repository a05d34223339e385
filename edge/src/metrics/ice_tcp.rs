//! What happens to presenters' TCP connections.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

const CONNECTIONS: &str = "inlet_edge_ice_tcp_connections";
const ACCEPTED: &str = "inlet_edge_ice_tcp_connections_total";
const CLOSED: &str = "inlet_edge_ice_tcp_connections_closed_total";
const DROPPED: &str = "inlet_edge_ice_tcp_dropped_frames_total";
const ERRORS: &str = "inlet_edge_ice_tcp_accept_errors_total";

/// Why a presenter's TCP connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// By the presenter, or its network.
    Peer,
    /// It has not shown in time, or among its first frames, whose it is.
    Unproven,
    /// Its source has too many that have not.
    Source,
    /// All sources together have too many that have not.
    Crowded,
    /// A frame longer than any that belongs here.
    FrameTooLong,
    /// It takes nothing of what is sent to it.
    Stuck,
    /// Its session is over, or has other addresses by now.
    Over,
    /// It named no worker of ours.
    NoWorker,
    /// The system could not register it, or a worker had no room for it.
    Failed,
}

impl Closed {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Peer,
        Self::Unproven,
        Self::Source,
        Self::Crowded,
        Self::FrameTooLong,
        Self::Stuck,
        Self::Over,
        Self::NoWorker,
        Self::Failed,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Unproven => "unproven",
            Self::Source => "source",
            Self::Crowded => "crowded",
            Self::FrameTooLong => "frame_too_long",
            Self::Stuck => "stuck",
            Self::Over => "over",
            Self::NoWorker => "no_worker",
            Self::Failed => "failed",
        }
    }
}

/// Handles of these metrics.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is described where it is registered")]
pub struct IceTcp {
    pub connections: Gauge,
    pub accepted: Counter,
    pub slow_reader: Counter,
    pub no_connection: Counter,
    pub accept_errors: Counter,
    closed: [Counter; Closed::ALL.len()],
}

impl IceTcp {
    /// Registers with the process's recorder.
    pub fn register() -> Self {
        let count = Unit::Count;
        describe_gauge!(CONNECTIONS, count, "Open TCP connections of ICE");
        describe_counter!(ACCEPTED, count, "TCP connections of ICE that came");
        describe_counter!(
            CLOSED,
            count,
            "TCP connections of ICE that ended, by reason"
        );
        describe_counter!(
            DROPPED,
            count,
            "Frames to presenters that were not sent by TCP, by reason"
        );
        describe_counter!(ERRORS, count, "Failures to accept, for want of descriptors");
        Self {
            connections: gauge!(CONNECTIONS),
            accepted: counter!(ACCEPTED),
            slow_reader: counter!(DROPPED, "reason" => "slow_reader"),
            no_connection: counter!(DROPPED, "reason" => "no_connection"),
            accept_errors: counter!(ERRORS),
            closed: Closed::ALL.map(|reason| counter!(CLOSED, "reason" => reason.label())),
        }
    }

    /// A connection was closed.
    pub fn note_closed(&self, reason: Closed) {
        if let Some(counter) = self.closed.get(reason as usize) {
            counter.increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_counter() {
        for (at, reason) in Closed::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
    }
}
