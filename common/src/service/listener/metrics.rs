//! What a listener counts.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// The figures of one listener; `kind` tells listeners of a binary apart.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    connections: Gauge,
    dropped: [Counter; Reason::ALL.len()],
}

impl ListenerMetrics {
    /// Registers `{program}_http_connections` and
    /// `{program}_http_connections_dropped_total` for a listener, of whatever
    /// it serves.
    pub fn new(program: &'static str, kind: &'static str) -> Self {
        let connections = format!("{program}_http_connections");
        describe_gauge!(
            connections.clone(),
            "open connections of HTTP and TURN listeners"
        );
        let dropped = format!("{program}_http_connections_dropped_total");
        describe_counter!(dropped.clone(), "connections ended by us, by reason");
        Self {
            connections: gauge!(connections, "kind" => kind),
            dropped: Reason::ALL.map(
                |reason| counter!(dropped.clone(), "kind" => kind, "reason" => reason.label()),
            ),
        }
    }

    pub(super) fn open(&self) -> Open {
        self.connections.increment(1.0);
        Open(self.connections.clone())
    }

    pub(super) fn dropped(&self, reason: Reason) {
        self.dropped[reason as usize].increment(1);
    }
}

/// Why we ended a connection, or could not accept one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// No descriptor or memory for it.
    Accept,
    /// TLS could not be agreed on.
    TlsHandshake,
    /// The handshake took too long.
    TlsTimeout,
    /// No request for too long.
    Idle,
    /// A client takes nothing of an answer.
    Stalled,
    /// A trusted proxy sent no header, a bad one, or none in time.
    ProxyHeader,
    /// No first byte in time, or too few to tell what is spoken.
    Silent,
    /// Neither TLS, TURN nor HTTP, or not served here in this form.
    Unknown,
    /// ICE by TCP, where it is not served, or with a first frame of absurd length.
    IceTcp,
    /// Its source has too many half-open ones.
    HalfOpen,
}

impl Reason {
    /// In the order of the variants.
    const ALL: [Self; 10] = [
        Self::Accept,
        Self::TlsHandshake,
        Self::TlsTimeout,
        Self::Idle,
        Self::Stalled,
        Self::ProxyHeader,
        Self::Silent,
        Self::Unknown,
        Self::IceTcp,
        Self::HalfOpen,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::TlsHandshake => "tls_handshake",
            Self::TlsTimeout => "tls_timeout",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::ProxyHeader => "proxy_header",
            Self::Silent => "silent",
            Self::Unknown => "unknown_protocol",
            Self::IceTcp => "ice_tcp",
            Self::HalfOpen => "half_open",
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_counter() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
