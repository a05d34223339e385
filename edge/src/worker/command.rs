//! What the rest of the process asks of a worker, and what it hears back.

use std::time::Instant;

use inlet_common::{
    clock::UtcTime,
    ids::{PublishPath, SessionId, SessionKey, StreamId},
    reason::ReasonCode,
    roq::{
        control::{Announced, CloseReason},
        pop,
    },
    service::listener::Diverted,
};
use tokio::sync::oneshot;

use crate::{
    trace::Notice,
    turn::plane as turn,
    whip::session::{Restart, Session},
};

/// Asked of a worker, through its bounded channel.
#[derive(Debug)]
pub enum Command {
    /// Asks the origin whether a presenter may publish and, if so, takes the
    /// session on. The worker answers within its `open_timeout`, also when no
    /// origin is reachable ([`ReasonCode::NoOrigin`]); a refused session is
    /// dropped.
    Open {
        /// The session, its answer already made.
        session: Box<Session>,
        /// What the origin is asked.
        request: OpenRequest,
        /// Where the worker answers, once.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Asks the origin about a token. Without an answer the sender is dropped, at
    /// the latest when it has been given up.
    Check {
        /// Which stream, and by which right.
        path: PublishPath,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Gets a session ready for an ICE restart: our old and our new ufrag lead to
    /// it until the new one is in use.
    Restart {
        /// Which one.
        session: SessionId,
        /// The new credentials.
        restart: Box<Restart>,
        /// Where the worker answers: `false` when the session has ended.
        reply: oneshot::Sender<bool>,
    },
    /// Ends a session: DTLS is closed and the origin told. Nothing happens when
    /// it has already ended.
    Close {
        /// Which one.
        session: SessionId,
        /// Told to the origin.
        reason: CloseReason,
    },
    /// Takes no new session; [`Event::Drained`] follows when the last has ended.
    Drain,
    /// Tells the origin how this point of presence does, as long as the link is up.
    Report(pop::Report),
    /// Takes a presenter's TCP connection on that has come in at the port of HTTPS.
    Stream {
        /// The connection.
        connection: Box<Diverted>,
        /// What was read of it: its first frame, length included.
        first: Vec<u8>,
    },
    /// Asked of the TURN server.
    Turn(turn::Command),
    /// Ends every session with [`CloseReason::Draining`] and the links, then
    /// the thread.
    Stop,
}

/// What the origin is asked about a presenter; the worker adds the flows.
#[derive(Clone, Debug)]
pub struct OpenRequest {
    /// Which stream, and by which right.
    pub path: PublishPath,
    /// The resolution that the presenter announced, if it did.
    pub announced: Option<Announced>,
    /// The presenter's User-Agent, cut to a sane length.
    pub user_agent: Option<String>,
    /// That of the session's URL, once there is one.
    pub key: Option<SessionKey>,
    /// The session whose place it shall take, by the same presenter's word.
    pub replaces: Option<SessionKey>,
}

/// Why a presenter may not publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Goes into `X-Reason-Code`, and decides the status.
    pub code: ReasonCode,
    /// Goes into the body.
    pub message: String,
    /// Goes into `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
}

/// Heard from a worker, through [`super::Telling`].
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A session has ended, for whatever reason; its URL is dead from now on.
    Ended {
        /// Which one.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// Something happened to a session; left out when too much of it waits.
    Noticed {
        /// Which one.
        session: SessionId,
        /// When.
        at: UtcTime,
        /// What.
        notice: Notice,
    },
    /// The TURN server beside has made an allocation for a presenter of this stream,
    /// or ended one; left out like the above.
    Allotted {
        /// Which stream.
        stream: StreamId,
        /// When.
        at: UtcTime,
        /// What.
        notice: Notice,
    },
    /// The origin tells how the points of presence do; left out like the above.
    Fleet {
        /// When it was heard: what it says has ages.
        at: Instant,
        /// What.
        fleet: pop::Fleet,
    },
    /// After [`Command::Drain`]: no session is left.
    Drained,
}
