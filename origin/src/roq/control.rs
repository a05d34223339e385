//! The control stream, origin's side.
//!
//! OPEN is answered by [`Gate::open`]; a session's flows are open before ACCEPT
//! leaves, so that its first packet finds its place.

use inlet_common::{
    clock,
    roq::control::{
        self, Accept, ClockReply, DecodeError, Decoder, Hello, Message, Open, Reject, VERSION,
    },
};
use tokio::sync::mpsc;

use super::{Link, link::Outgoing};
use crate::live::Gate;

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
    gate: &Gate,
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
        loop {
            while let Some(message) = decoder.poll_message()? {
                match (&peer, message) {
                    (None, Message::Hello(hello)) => {
                        tracing::info!(edge = hello.name, software = hello.software, "link up");
                        peer = Some(hello);
                    }
                    (None, _) => return Err(Error::NoHello),
                    (Some(peer), message) => handle(gate, link, peer, message).await,
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
        ended = read => ended,
        () = write(send, outgoing) => Ok(()),
    }
}

async fn write(mut send: quinn::SendStream, mut outgoing: mpsc::Receiver<Outgoing>) {
    let mut wire = Vec::new();
    while let Some(next) = outgoing.recv().await {
        let message = match next {
            Outgoing::Message(message) => message,
            Outgoing::Finish(done) => {
                if send.finish().is_ok() {
                    // Whether the edge read to the end or stopped reading, it
                    // is done with the stream.
                    send.stopped().await.ok();
                }
                done.send(()).ok();
                return;
            }
        };
        wire.clear();
        control::encode(&message, &mut wire);
        if send.write_all(&wire).await.is_err() {
            return;
        }
    }
}

async fn handle(gate: &Gate, link: &Link, peer: &Hello, message: Message) {
    match message {
        Message::Open(open) => answer_open(gate, link, peer, *open).await,
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
        Message::Hello(_)
        | Message::Accept(_)
        | Message::Reject(_)
        | Message::Update(_)
        | Message::TargetRate(_)
        | Message::ClockReply(_)
        | Message::Unknown => tracing::debug!("control message passed over"),
    }
}

async fn answer_open(gate: &Gate, link: &Link, peer: &Hello, open: Open) {
    let session = open.session;
    let flows: Vec<_> = open
        .tracks
        .iter()
        .map(|track| (track.flow, track.codec.kind()))
        .collect();
    let answer = match gate.open(open, link, &peer.name).await {
        Ok(sinks) => {
            let opened = flows.into_iter().all(|(flow, kind)| {
                sinks
                    .for_kind(kind)
                    .is_none_or(|sink| link.flows.open(flow, sink))
            });
            if opened {
                Message::Accept(Accept {
                    session,
                    max_bitrate: None,
                })
            } else {
                gate.close(session, control::CloseReason::Internal);
                Message::Reject(Reject {
                    session,
                    code: inlet_common::reason::ReasonCode::Overload,
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
