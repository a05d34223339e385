//! Names and handles of the appliance's metrics.

use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};

use super::{
    allocation::slot,
    auth::Failure,
    client::{TRANSPORTS, Via},
    tally::{Dropped, transport},
    wire::Family,
};
use crate::metrics::described::{self, Described};

/// Handles of the relays' metrics, shared by all workers.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is described where it is registered")]
pub struct Metrics {
    allocations: [[Allocations; 2]; TRANSPORTS.len()],
    pub to_peer: Relayed,
    pub to_client: Relayed,
    pub dropped: [Counter; Dropped::ALL.len()],
    pub failures: [Counter; Failure::ALL.len()],
    pub bindings: Counter,
    pub stale_nonces: Counter,
    pub lifetime: Histogram,
    pub round_trip: Histogram,
    pub permissions: Gauge,
    pub channels: Gauge,
    pub ports_used: Gauge,
    pub ports: Gauge,
    pub sockets_refused: Counter,
    connections: [Gauge; TRANSPORTS.len()],
}

/// Handles of one kind of allocation.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is described where it is registered")]
pub struct Allocations {
    pub live: Gauge,
    pub created: Counter,
}

/// Handles of one direction.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is described where it is registered")]
pub struct Relayed {
    pub packets: Counter,
    pub bytes: Counter,
}

impl Metrics {
    /// Registers with the process's recorder; call after that is installed.
    pub fn register() -> Self {
        describe();
        let relayed = |direction: &'static str| Relayed {
            packets: counter!("inlet_edge_turn_relayed_packets_total", "direction" => direction),
            bytes: counter!("inlet_edge_turn_relayed_bytes_total", "direction" => direction),
        };
        let allocations = |at: usize, version: &'static str| Allocations {
            live: gauge!("inlet_edge_turn_allocations", "transport" => transport(at), "ip_version" => version),
            created: counter!("inlet_edge_turn_allocations_created_total", "transport" => transport(at), "ip_version" => version),
        };
        Self {
            allocations: std::array::from_fn(|at| ["4", "6"].map(|version| allocations(at, version))),
            to_peer: relayed("to_peer"),
            to_client: relayed("to_client"),
            dropped: Dropped::ALL
                .map(|(_, reason)| counter!("inlet_edge_turn_dropped_total", "reason" => reason)),
            failures: Failure::ALL.map(|(_, reason)| {
                counter!("inlet_edge_turn_authentication_failures_total", "reason" => reason)
            }),
            bindings: counter!("inlet_edge_turn_bindings_total"),
            stale_nonces: counter!("inlet_edge_turn_stale_nonces_total"),
            lifetime: histogram!("inlet_edge_turn_allocation_seconds"),
            round_trip: histogram!("inlet_edge_turn_rtt_seconds"),
            permissions: gauge!("inlet_edge_turn_permissions"),
            channels: gauge!("inlet_edge_turn_channels"),
            ports_used: gauge!("inlet_edge_turn_ports_used"),
            ports: gauge!("inlet_edge_turn_ports"),
            sockets_refused: counter!("inlet_edge_turn_sockets_refused_total"),
            connections: std::array::from_fn(
                |at| gauge!("inlet_edge_turn_connections", "transport" => transport(at)),
            ),
        }
    }

    /// Handles of allocations by transport and family.
    pub fn allocation(&self, via: Via, family: Family) -> Option<&Allocations> {
        self.allocations.get(via.index())?.get(slot(family))
    }

    /// Connections by transport.
    pub fn connections(&self, via: Via) -> Option<&Gauge> {
        self.connections.get(via.index())
    }
}

/// What only rises.
const COUNTERS: &[Described] = &[
    (
        "inlet_edge_turn_allocations_created_total",
        Unit::Count,
        "Relayed addresses made, by the client's transport and the address's family",
    ),
    (
        "inlet_edge_turn_refused_total",
        Unit::Count,
        "Requests answered by an error, challenges included",
    ),
    (
        "inlet_edge_turn_relayed_packets_total",
        Unit::Count,
        "Packets relayed, by direction",
    ),
    (
        "inlet_edge_turn_relayed_bytes_total",
        Unit::Bytes,
        "Their payload",
    ),
    (
        "inlet_edge_turn_dropped_total",
        Unit::Count,
        "What was dropped without an answer, by reason",
    ),
    (
        "inlet_edge_turn_authentication_failures_total",
        Unit::Count,
        "Signed requests that were not believed, by reason",
    ),
    (
        "inlet_edge_turn_stale_nonces_total",
        Unit::Count,
        "Requests with a nonce that was too old or not ours",
    ),
    (
        "inlet_edge_turn_bindings_total",
        Unit::Count,
        "STUN Binding requests answered",
    ),
    (
        "inlet_edge_turn_sockets_refused_total",
        Unit::Count,
        "Relayed sockets that the kernel refused to bind",
    ),
];

/// What is so right now.
const GAUGES: &[Described] = &[
    (
        "inlet_edge_turn_allocations",
        Unit::Count,
        "Relayed addresses, by the client's transport and the address's family",
    ),
    (
        "inlet_edge_turn_permissions",
        Unit::Count,
        "Permissions of all allocations",
    ),
    (
        "inlet_edge_turn_channels",
        Unit::Count,
        "Channels of all allocations",
    ),
    (
        "inlet_edge_turn_ports_used",
        Unit::Count,
        "Relayed ports in use or in reserve",
    ),
    (
        "inlet_edge_turn_ports",
        Unit::Count,
        "Relayed ports that there are",
    ),
    (
        "inlet_edge_turn_connections",
        Unit::Count,
        "Connections of TURN clients, by transport",
    ),
];

/// What is spread.
const HISTOGRAMS: &[Described] = &[
    (
        "inlet_edge_turn_allocation_seconds",
        Unit::Seconds,
        "How long allocations lived",
    ),
    (
        "inlet_edge_turn_rtt_seconds",
        Unit::Seconds,
        "Time from a challenge to the request that answers it",
    ),
];

fn describe() {
    described::tell(COUNTERS, GAUGES, HISTOGRAMS);
}
