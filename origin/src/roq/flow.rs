//! Which session and track a flow of a connection is.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
    time::Instant,
};

use bytes::Bytes;
use inlet_common::{
    clock::UtcTime,
    ids::SessionId,
    roq::{FlowId, control::Kind},
};
use tokio::sync::mpsc;

/// One packet on its way to its stream's task.
#[derive(Debug)]
pub struct Media {
    /// Whose packet.
    pub session: SessionId,
    /// Which of the session's tracks.
    pub kind: Kind,
    /// RTP or RTCP.
    pub packet: Bytes,
    /// When it came, for deadlines.
    pub at: Instant,
    /// When it came, for the capture clock.
    pub arrived: UtcTime,
}

/// Where a flow's packets go.
#[derive(Clone, Debug)]
pub struct Sink {
    /// Whose packets.
    pub session: SessionId,
    /// Which of the session's tracks.
    pub kind: Kind,
    /// The stream's task. It is bounded; a full queue drops the packet.
    pub media: mpsc::Sender<Media>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The stream's task has it.
    Delivered,
    /// Nobody has opened this flow, or its session has ended.
    UnknownFlow,
    /// The stream's task does not keep up.
    QueueFull,
}

/// The flows of one connection.
#[derive(Debug, Default)]
pub struct Flows {
    sinks: RwLock<BTreeMap<FlowId, Sink>>,
}

impl Flows {
    /// Most flows of one connection: 4,000 sessions with two tracks.
    pub const MAX: usize = 8_000;

    /// Opens a flow; `false` when the connection has [`Flows::MAX`] already.
    pub fn open(&self, flow: FlowId, sink: Sink) -> bool {
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        if sinks.len() >= Self::MAX {
            return false;
        }
        sinks.insert(flow, sink);
        true
    }

    /// Forgets every flow of a session.
    pub fn close(&self, session: SessionId) {
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        sinks.retain(|_, sink| sink.session != session);
    }

    /// Whether somebody has opened this flow.
    pub fn contains(&self, flow: FlowId) -> bool {
        self.sinks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&flow)
    }

    /// Hands a packet to its stream's task; never waits.
    pub fn deliver(&self, flow: FlowId, packet: Bytes, at: Instant, arrived: UtcTime) -> Delivery {
        let sinks = self.sinks.read().unwrap_or_else(PoisonError::into_inner);
        let Some(sink) = sinks.get(&flow) else {
            return Delivery::UnknownFlow;
        };
        let media = Media {
            session: sink.session,
            kind: sink.kind,
            packet,
            at,
            arrived,
        };
        match sink.media.try_send(media) {
            Ok(()) => Delivery::Delivered,
            Err(mpsc::error::TrySendError::Full(_)) => Delivery::QueueFull,
            Err(mpsc::error::TrySendError::Closed(_)) => Delivery::UnknownFlow,
        }
    }
}
