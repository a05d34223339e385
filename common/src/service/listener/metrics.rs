//! What a listener counts.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// The figures of one listener; `kind` tells listeners of a binary apart.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    connections: Gauge,
    accept_failed: Counter,
    handshake_failed: Counter,
    handshake_timed_out: Counter,
    idle_closed: Counter,
}

impl ListenerMetrics {
    /// Registers `{program}_http_connections` and
    /// `{program}_http_connections_dropped_total` for a listener.
    pub fn new(program: &'static str, kind: &'static str) -> Self {
        let connections = format!("{program}_http_connections");
        describe_gauge!(connections.clone(), "open connections of HTTP listeners");
        let dropped = format!("{program}_http_connections_dropped_total");
        describe_counter!(dropped.clone(), "connections ended by us, by reason");
        let reason = |reason| counter!(dropped.clone(), "kind" => kind, "reason" => reason);
        Self {
            connections: gauge!(connections, "kind" => kind),
            accept_failed: reason("accept"),
            handshake_failed: reason("tls_handshake"),
            handshake_timed_out: reason("tls_timeout"),
            idle_closed: reason("idle"),
        }
    }

    pub(super) fn open(&self) -> Open {
        self.connections.increment(1.0);
        Open(self.connections.clone())
    }

    pub(super) fn accept_failed(&self) {
        self.accept_failed.increment(1);
    }

    pub(super) fn handshake_failed(&self) {
        self.handshake_failed.increment(1);
    }

    pub(super) fn handshake_timed_out(&self) {
        self.handshake_timed_out.increment(1);
    }

    pub(super) fn idle_closed(&self) {
        self.idle_closed.increment(1);
    }
}

/// A connection, while it is open.
#[derive(Debug)]
pub(super) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
