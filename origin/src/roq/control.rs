//! The control stream, origin's side.
//!
//! OPEN is answered by [`Gate::open`]; a session's flows are open before ACCEPT
//! leaves, so that its first packet finds its place. A REPORT makes its link one that
//! is sent FLEET; what is written in between is at most one of those.

use std::sync::Arc;

use inlet_common::{
    clock,
    ids::SessionId,
    reason::ReasonCode,
    roq::control::{
        self, Accept, Check, Checked, ClockReply, DecodeError, Decoder, Hello, Message, Open,
        Reject, VERSION,
    },
};
use tokio::{sync::mpsc, task::JoinSet};
use tracing::Instrument;

use super::{Link, link::Outgoing};
use crate::{
    fleet::{Exchange, Subscription},
    live::Gate,
};

/// OPENs of one edge that are being decided at once.
const MAX_OPENS: usize = 64;

/// CHECKs of one edge that are being decided at once. Anybody can cause them, so
/// they take no place of an OPEN.
const MAX_CHECKS: usize = 32;

/// Why a control stream, and with it the connection, was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// What the edge sent cannot be read.
    #[error("unreadable control stream")]
    Decode(#[from] DecodeError),
    /// The first message was no HELLO.
    #[error("the edge did not say hello")]
    NoHello,
    /// The edge closed the stream, which it never does on a healthy connection.
    #[error("the edge closed the control stream")]
    Closed,
}

/// Serves the stream until the connection ends.
///
/// # Errors
///
/// See [`Error`]; a connection that just ended is no error.
pub(super) async fn serve(
    gate: &Arc<Gate>,
    fleet: &Arc<Exchange>,
    link: &Link,
    send: quinn::SendStream,
    mut receive: quinn::RecvStream,
    outgoing: mpsc::Receiver<Outgoing>,
) -> Result<(), Error> {
    link.send(Message::Hello(Hello {
        version: VERSION,
        name: gate.origin_name().to_owned(),
        software: concat!("inlet-origin/", env!("CARGO_PKG_VERSION")).to_owned(),
    }));
    let read = async {
        let mut decoder = Decoder::default();
        let mut peer: Option<Hello> = None;
        let (mut opens, mut checks) = (JoinSet::new(), JoinSet::new());
        loop {
            while let Some(message) = decoder.poll_message()? {
                match (&peer, message) {
                    (None, Message::Hello(hello)) => {
                        tracing::info!(edge = hello.name, software = hello.software, "link up");
                        peer = Some(hello);
                    }
                    (None, _) => return Err(Error::NoHello),
                    (Some(peer), Message::Open(open)) => {
                        // A slow registry must not hold up what follows.
                        while opens.try_join_next().is_some() {}
                        if opens.len() >= MAX_OPENS {
                            refuse_open(link, open.session);
                            continue;
                        }
                        let (gate, link) = (Arc::clone(gate), link.clone());
                        let region = peer.name.clone();
                        let answer = async move { answer_open(&gate, &link, &region, *open).await };
                        opens.spawn(answer.in_current_span());
                    }
                    (Some(_), Message::Check(check)) => {
                        while checks.try_join_next().is_some() {}
                        // Without an answer the presenter gets no credentials.
                        if checks.len() < MAX_CHECKS {
                            let (gate, link) = (Arc::clone(gate), link.clone());
                            let answer = async move { answer_check(&gate, &link, check).await };
                            checks.spawn(answer.in_current_span());
                        }
                    }
                    (Some(peer), message) => handle(gate, fleet, link, peer, message),
                }
            }
            match receive.read_chunk(control::MAX_MESSAGE, true).await {
                Ok(Some(chunk)) => decoder.push(&chunk.bytes),
                Ok(None) => return Err(Error::Closed),
                Err(_) => return Ok(()),
            }
        }
    };
    tokio::select! {
        biased;
        ended = read => ended,
        () = write(send, outgoing, fleet.subscribe()) => Ok(()),
    }
}

async fn write(
    mut send: quinn::SendStream,
    mut outgoing: mpsc::Receiver<Outgoing>,
    mut fleet: Subscription,
) {
    let mut wire = Vec::new();
    loop {
        let next = tokio::select! {
            next = outgoing.recv() => next,
            heard = fleet.next() => Some(Outgoing::Message(Message::Fleet(heard))),
        };
        let message = match next {
            Some(Outgoing::Message(message)) => message,
            Some(Outgoing::Reported) => {
                fleet.renew();
                continue;
            }
            Some(Outgoing::Finish(done)) => {
                if send.finish().is_ok() {
                    // Whether the edge read to the end or stopped reading, it
                    // is done with the stream.
                    send.stopped().await.ok();
                }
                done.send(()).ok();
                return;
            }
            None => return,
        };
        wire.clear();
        control::encode(&message, &mut wire);
        if send.write_all(&wire).await.is_err() {
            return;
        }
    }
}

fn handle(gate: &Gate, fleet: &Exchange, link: &Link, peer: &Hello, message: Message) {
    match message {
        Message::Close(close) => {
            link.flows.close(close.session);
            gate.close(close.session, close.reason);
        }
        Message::ClockRequest(request) => {
            let received = clock::utc();
            link.send(Message::ClockReply(ClockReply {
                sent: request.sent,
                received,
                replied: clock::utc(),
            }));
        }
        Message::Drain => tracing::info!(edge = peer.name, "edge drains"),
        Message::Update(update) => gate.update(update),
        Message::Report(report) => {
            fleet.handle_report(&peer.name, report);
            link.note_report();
        }
        Message::Hello(_)
        | Message::Open(_)
        | Message::Check(_)
        | Message::Checked(_)
        | Message::Accept(_)
        | Message::Reject(_)
        | Message::TargetRate(_)
        | Message::ClockReply(_)
        | Message::Fleet(_)
        | Message::Unknown => tracing::debug!("control message passed over"),
    }
}

fn refuse_open(link: &Link, session: SessionId) {
    link.send(Message::Reject(Reject {
        session,
        code: ReasonCode::Overload,
        message: "too many presenters at once".to_owned(),
        retry_after: Some(2),
    }));
}

async fn answer_check(gate: &Gate, link: &Link, check: Check) {
    let refusal = gate.check(&check.path).await.err();
    link.send(Message::Checked(Checked {
        request: check.request,
        code: refusal.as_ref().map(|refusal| refusal.code),
        message: refusal.map(|refusal| refusal.message).unwrap_or_default(),
    }));
}

async fn answer_open(gate: &Gate, link: &Link, region: &str, open: Open) {
    let session = open.session;
    let flows: Vec<_> = open
        .tracks
        .iter()
        .map(|track| (track.flow, track.codec.kind()))
        .collect();
    let answer = match gate.open(open, link, region).await {
        Ok(sinks) => {
            let opened = flows.into_iter().all(|(flow, kind)| {
                sinks
                    .for_kind(kind)
                    .is_none_or(|sink| link.flows.open(flow, sink))
            });
            if opened {
                Message::Accept(Accept {
                    session,
                    max_bitrate: Some(sinks.max_bitrate()),
                })
            } else {
                gate.close(session, control::CloseReason::Internal);
                Message::Reject(Reject {
                    session,
                    code: ReasonCode::Overload,
                    message: "too many sessions on one link".to_owned(),
                    retry_after: Some(5),
                })
            }
        }
        Err(refusal) => Message::Reject(Reject {
            session,
            code: refusal.code,
            message: refusal.message,
            retry_after: refusal.retry_after,
        }),
    };
    link.send(answer);
}
