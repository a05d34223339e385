//! What the rest of the origin may do to an edge.

use std::{sync::Arc, time::Duration};

use inlet_common::{
    ids::SessionId,
    roq::{
        FlowId,
        control::{Close, CloseReason, Message, TargetRate},
        datagram,
    },
    rtp::{Ssrc, rtcp::Rtcp},
};
use tokio::sync::{mpsc, oneshot};

use super::{Metrics, flow::Flows};

/// What waits for the control stream.
#[derive(Debug)]
pub(super) enum Outgoing {
    Message(Message),
    /// The edge has reported how it does, and wants to know how others do.
    Reported,
    /// Nothing will follow: the stream is finished, and this is answered when
    /// the edge has all of it.
    Finish(oneshot::Sender<()>),
}

/// One connection of an edge's worker. Every call returns at once; what cannot
/// be sent is dropped, since the connection is broken then and the edge opens
/// its sessions anew.
#[derive(Clone, Debug)]
pub struct Link {
    pub(super) connection: quinn::Connection,
    pub(super) control: mpsc::Sender<Outgoing>,
    pub(super) flows: Arc<Flows>,
    pub(super) metrics: Metrics,
}

impl Link {
    /// Asks the presenter behind a flow for a key frame.
    pub fn ask_key_frame(&self, flow: FlowId, media: Ssrc) {
        let mut wire = Vec::with_capacity(24);
        datagram::encode_flow(flow, &mut wire);
        Rtcp::Pli {
            sender: Ssrc(0),
            media,
        }
        .encode(&mut wire);
        self.metrics.pli.increment(1);
        if let Err(error) = self.connection.send_datagram(wire.into()) {
            tracing::debug!(%error, "key frame request not sent");
        }
    }

    /// Ends a session: its flows are forgotten and the edge is told.
    pub fn close(&self, session: SessionId, reason: CloseReason) {
        self.flows.close(session);
        self.send(Message::Close(Close {
            session,
            reason,
            totals: None,
        }));
    }

    /// Tells the edge how much is of use from a presenter, in bits per second.
    pub fn target_rate(&self, session: SessionId, bitrate: u64) {
        self.send(Message::TargetRate(TargetRate { session, bitrate }));
    }

    /// The round trip to the edge.
    pub fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    /// Whether this is the very same connection.
    pub fn is_same(&self, other: &Self) -> bool {
        self.connection.stable_id() == other.connection.stable_id()
    }

    /// The edge has reported on this link.
    pub(super) fn note_report(&self) {
        self.queue(Outgoing::Reported);
    }

    /// Finishes the control stream and waits until the edge has read it.
    pub(super) async fn finish(&self) {
        let (done, read) = oneshot::channel();
        if self.control.send(Outgoing::Finish(done)).await.is_ok() {
            // An error means that the stream is gone, and so is the need.
            read.await.ok();
        }
    }

    pub(super) fn send(&self, message: Message) {
        self.queue(Outgoing::Message(message));
    }

    fn queue(&self, outgoing: Outgoing) {
        if self.control.try_send(outgoing).is_err() {
            tracing::debug!("control message not sent: the connection is gone or does not read");
        }
    }
}
