//! What a relay counts on the way, in plain integers, and how that reaches the
//! process's metrics: a few times a second, so that no packet touches memory of
//! another core.

use std::time::Duration;

use metrics::counter;

use super::{
    auth::Failure,
    client::{TRANSPORTS, Via},
    metrics::Metrics,
    shared::Shared,
    wire::{ErrorCode, Family, Method},
};

/// Why something was dropped without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dropped {
    /// Neither STUN nor ChannelData by its first byte.
    Unknown,
    /// STUN or ChannelData that cannot be read.
    Malformed,
    /// A message that nobody sends to a server.
    Unexpected,
    /// Data of a client, or to a relayed address, without allocation.
    NoAllocation,
    /// ChannelData on a number that is not bound.
    NoChannel,
    /// Data to or from a peer without permission.
    NoPermission,
    /// Data to an address that the policy refuses.
    Forbidden,
    /// A user's bit rate is used up.
    Bitrate,
    /// A source prefix was challenged too often.
    ChallengeLimit,
    /// An answer would be too large for its request.
    Amplification,
    /// An ICMP error that no client is told.
    Icmp,
    /// The kernel had no room, or refused the destination.
    Unsent,
    /// The ring to another worker was full.
    RingFull,
    /// A client does not read what it gets over its connection.
    SlowReader,
    /// No media session took it.
    Media,
}

impl Dropped {
    /// Every reason, with its label.
    pub const ALL: [(Self, &str); 15] = [
        (Self::Unknown, "unknown"),
        (Self::Malformed, "malformed"),
        (Self::Unexpected, "unexpected"),
        (Self::NoAllocation, "no_allocation"),
        (Self::NoChannel, "no_channel"),
        (Self::NoPermission, "no_permission"),
        (Self::Forbidden, "forbidden"),
        (Self::Bitrate, "bitrate"),
        (Self::ChallengeLimit, "challenge_limit"),
        (Self::Amplification, "amplification"),
        (Self::Icmp, "icmp"),
        (Self::Unsent, "unsent"),
        (Self::RingFull, "ring_full"),
        (Self::SlowReader, "slow_reader"),
        (Self::Media, "media"),
    ];
}

/// Packets and bytes of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl Flow {
    /// One more packet.
    pub const fn note(&mut self, len: usize) {
        self.packets += 1;
        self.bytes += len as u64;
    }
}

/// What a relay has counted since it told last.
#[derive(Debug, Default)]
pub struct Tally {
    /// From clients to peers.
    pub to_peer: Flow,
    /// From peers to clients.
    pub to_client: Flow,
    /// Binding requests answered.
    pub bindings: u64,
    /// Requests with a nonce that was not good any more.
    pub stale_nonces: u64,
    dropped: [u64; Dropped::ALL.len()],
    failures: [u64; Failure::ALL.len()],
    round_trips: Vec<Duration>,
    refused: Vec<((Method, ErrorCode), u64)>,
}

/// Round trips that are kept between two tellings; more add nothing to a
/// histogram.
const MAX_ROUND_TRIPS: usize = 256;

impl Tally {
    /// Something was dropped.
    pub fn note_dropped(&mut self, reason: Dropped) {
        self.note_dropped_many(reason, 1);
    }

    /// Several of the same were dropped.
    pub fn note_dropped_many(&mut self, reason: Dropped, packets: usize) {
        let place = self.dropped.get_mut(reason as usize);
        if let Some(count) = place {
            *count += packets as u64;
        }
    }

    /// What was dropped for this reason since the last telling.
    #[cfg(test)]
    pub(super) fn dropped(&self, reason: Dropped) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    /// A request was refused.
    pub fn note_refused(&mut self, method: Method, code: ErrorCode) {
        let key = (method, code);
        // As many entries as there are pairs of a method and a code.
        match self.refused.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => self.refused.push((key, 1)),
        }
    }

    /// A signed request was not believed.
    pub fn note_failure(&mut self, failure: Failure) {
        if let Some(count) = self.failures.get_mut(failure as usize) {
            *count += 1;
        }
    }

    /// A nonce came back after so long.
    pub fn note_round_trip(&mut self, span: Duration) {
        // A client that kept a nonce for its next allocation says nothing of
        // its round trip.
        if span < Duration::from_secs(3) && self.round_trips.len() < MAX_ROUND_TRIPS {
            self.round_trips.push(span);
        }
    }

    /// A relayed address was made.
    pub fn note_created(&self, metrics: &Metrics, via: Via, family: Family) {
        if let Some(handles) = metrics.allocation(via, family) {
            handles.live.increment(1);
            handles.created.increment(1);
        }
    }

    /// A relayed address has ended.
    pub fn note_ended(&self, metrics: &Metrics, via: Via, family: Family) {
        if let Some(handles) = metrics.allocation(via, family) {
            handles.live.decrement(1);
        }
    }

    /// Tells the process's metrics.
    pub fn tell(&mut self, metrics: &Metrics, shared: &Shared) {
        for (flow, handles) in [
            (&mut self.to_peer, &metrics.to_peer),
            (&mut self.to_client, &metrics.to_client),
        ] {
            let told = std::mem::take(flow);
            handles.packets.increment(told.packets);
            handles.bytes.increment(told.bytes);
        }
        let counts = std::mem::take(&mut self.dropped);
        for (counter, count) in metrics.dropped.iter().zip(counts) {
            counter.increment(count);
        }
        let counts = std::mem::take(&mut self.failures);
        for (counter, count) in metrics.failures.iter().zip(counts) {
            counter.increment(count);
        }
        metrics
            .bindings
            .increment(std::mem::take(&mut self.bindings));
        let stale = std::mem::take(&mut self.stale_nonces);
        metrics.stale_nonces.increment(stale);
        for span in self.round_trips.drain(..) {
            metrics.round_trip.record(span.as_secs_f64());
        }
        for ((method, code), count) in self.refused.drain(..) {
            let code = code.number().to_string();
            counter!("inlet_edge_turn_refused_total", "method" => label(method), "code" => code)
                .increment(count);
        }
        let (used, size) = shared.ports.usage();
        metrics.ports_used.set(used as f64);
        metrics.ports.set(size as f64);
        metrics
            .permissions
            .set(f64::from(shared.quotas.permissions()));
        metrics.channels.set(f64::from(shared.quotas.channels()));
    }
}

/// The label of a method.
const fn label(method: Method) -> &'static str {
    match method {
        Method::Binding => "Binding",
        Method::Allocate => "Allocate",
        Method::Refresh => "Refresh",
        Method::Send => "Send",
        Method::Data => "Data",
        Method::CreatePermission => "CreatePermission",
        Method::ChannelBind => "ChannelBind",
        Method::Connect => "Connect",
        Method::ConnectionBind => "ConnectionBind",
        Method::ConnectionAttempt => "ConnectionAttempt",
    }
}

/// Label of a transport.
pub(super) fn transport(index: usize) -> &'static str {
    TRANSPORTS.get(index).copied().unwrap_or_default()
}
