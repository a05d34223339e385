//! What the origin counts about its links.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Handles of every metric of the links; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Connections of edges that are up.
    pub connections: Gauge,
    /// Packets that came in DATAGRAMs.
    pub datagram_packets: Counter,
    /// Packets that came on streams.
    pub stream_packets: Counter,
    /// Bytes of all packets.
    pub bytes: Counter,
    /// Packets whose flow nobody opened.
    pub unknown_flow: Counter,
    /// Packets that came faster than their stream's task took them.
    pub queue_full: Counter,
    /// Streams or DATAGRAMs that could not be read.
    pub malformed: Counter,
    /// Connections refused: handshake, ALPN, certificate, or a broken control
    /// stream.
    pub refused: Counter,
    /// Key frames asked of presenters.
    pub pli: Counter,
}

impl Metrics {
    /// Registers every metric with its meaning.
    pub fn new() -> Self {
        describe_gauge!(
            "inlet_origin_link_connections",
            "edge connections that are up"
        );
        describe_counter!(
            "inlet_origin_link_packets_total",
            "RTP and RTCP packets by carrier"
        );
        describe_counter!(
            "inlet_origin_link_bytes_total",
            "bytes of RTP and RTCP packets"
        );
        describe_counter!(
            "inlet_origin_link_dropped_total",
            "packets dropped, by reason"
        );
        describe_counter!(
            "inlet_origin_link_refused_total",
            "connections refused or broken"
        );
        describe_counter!(
            "inlet_origin_link_pli_total",
            "key frames asked of presenters"
        );
        Self {
            connections: gauge!("inlet_origin_link_connections"),
            datagram_packets: counter!("inlet_origin_link_packets_total", "kind" => "datagram"),
            stream_packets: counter!("inlet_origin_link_packets_total", "kind" => "stream"),
            bytes: counter!("inlet_origin_link_bytes_total"),
            unknown_flow: counter!("inlet_origin_link_dropped_total", "reason" => "unknown_flow"),
            queue_full: counter!("inlet_origin_link_dropped_total", "reason" => "queue_full"),
            malformed: counter!("inlet_origin_link_dropped_total", "reason" => "malformed"),
            refused: counter!("inlet_origin_link_refused_total"),
            pli: counter!("inlet_origin_link_pli_total"),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
