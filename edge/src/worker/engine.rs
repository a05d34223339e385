//! What a worker does, without socket or clock.
//!
//! How to drive it, once per turn:
//!
//! 1. [`Engine::handle_command`], [`Engine::handle_media`] and
//!    [`Engine::handle_link`] for what has come, [`Engine::handle_timeout`]
//!    always.
//! 2. Send what [`Engine::take_transmits`] and `link.poll_transmit` give.
//! 3. Sleep until [`Engine::next_timeout`].

use std::{
    collections::HashMap,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use inlet_common::{
    clock::UtcTime,
    ids::{SessionId, StreamId},
    reason::ReasonCode,
    roq::control::{CloseReason, Track},
};
use quinn_proto::EcnCodepoint;
use tokio::sync::{mpsc, oneshot};

use super::{Command, Event, OpenRequest, Refusal, table::Table, tally::Tally};
use crate::{
    demux::{self, Class},
    metrics::{Media, Refused},
    roq::link::{self, Link},
    turn::relay::MediaHop,
    whip::session::{self, Session, Transmit},
};

/// How often metrics are told. Short enough for a live dashboard.
const TELL_INTERVAL: Duration = Duration::from_millis(500);

/// How often each session's numbers are told.
const SESSION_TELL_INTERVAL: Duration = Duration::from_secs(2);

/// A presenter that draining turned away may try again here, or elsewhere,
/// after so many seconds.
const RETRY_AFTER: u32 = 5;

/// A worker's state.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) link: Link,
    table: Table,
    waiting: HashMap<SessionId, Waiting>,
    transmits: Vec<Transmit>,
    events: mpsc::UnboundedSender<Event>,
    metrics: Media,
    tally: Tally,
    max_sessions: usize,
    is_draining: bool,
    has_drained: bool,
    next_tell: Instant,
    next_session_tell: Instant,
}

/// A session whose presenter waits for the origin's answer.
#[derive(Debug)]
struct Waiting {
    session: Box<Session>,
    stream: StreamId,
    link: link::Key,
    reply: oneshot::Sender<Result<(), Refusal>>,
}

impl Engine {
    pub(super) fn new(
        link: Link,
        events: mpsc::UnboundedSender<Event>,
        metrics: Media,
        max_sessions: usize,
        now: Instant,
    ) -> Self {
        Self {
            link,
            table: Table::default(),
            waiting: HashMap::new(),
            transmits: Vec::new(),
            events,
            metrics,
            tally: Tally::default(),
            max_sessions,
            is_draining: false,
            has_drained: false,
            next_tell: now,
            next_session_tell: now,
        }
    }

    /// Sessions that run.
    pub(super) fn sessions(&self) -> usize {
        self.table.len()
    }

    /// Does what is asked. [`Command::Stop`] is the driver's.
    pub(super) fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Open {
                session,
                request,
                reply,
            } => self.open(now, session, request, reply),
            Command::Close { session, reason } => {
                if let Some(waiting) = self.waiting.remove(&session) {
                    self.link
                        .close(now, waiting.link, reason, waiting.session.totals());
                } else if let Some(key) = self.table.key_of(session) {
                    self.end(now, key, reason);
                }
            }
            Command::Drain => {
                self.is_draining = true;
                self.link.drain(now);
            }
            Command::Stop => self.end_all(now, CloseReason::Draining),
            // The driver's.
            Command::Turn(_) => {}
        }
        self.settle(now);
    }

    /// Ends every session.
    pub(super) fn end_all(&mut self, now: Instant, reason: CloseReason) {
        self.is_draining = true;
        for key in self.table.keys() {
            self.end(now, key, reason);
        }
        let waiting: Vec<SessionId> = self.waiting.keys().copied().collect();
        for waiting in waiting
            .iter()
            .filter_map(|id| self.waiting.remove(id))
            .collect::<Vec<_>>()
        {
            self.link
                .close(now, waiting.link, reason, waiting.session.totals());
            answer(waiting.reply, Err(draining()));
        }
    }

    fn open(
        &mut self,
        now: Instant,
        session: Box<Session>,
        request: OpenRequest,
        reply: oneshot::Sender<Result<(), Refusal>>,
    ) {
        if self.is_draining {
            return answer(reply, Err(draining()));
        }
        if self.table.len() + self.waiting.len() >= self.max_sessions {
            let refusal = Refusal {
                code: ReasonCode::Overload,
                message: "no room for another session".to_owned(),
                retry_after: Some(RETRY_AFTER),
            };
            return answer(reply, Err(refusal));
        }
        let tracks: Vec<Track> = session.tracks().cloned().collect();
        let stream = request.path.stream;
        match self.link.open(now, session.id(), request, tracks) {
            Ok(link) => {
                let waiting = Waiting {
                    session,
                    stream,
                    link,
                    reply,
                };
                self.waiting.insert(waiting.session.id(), waiting);
            }
            Err(refusal) => answer(reply, Err(refusal)),
        }
    }

    /// Takes a datagram from a media socket.
    pub(super) fn handle_media(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        datagram: &[u8],
    ) {
        // Whoever comes directly may reach every stream.
        self.handle_relayed(
            now,
            &MediaHop {
                from: source,
                to: destination,
                stream: None,
                data: datagram,
            },
        );
    }

    /// Takes a datagram of a presenter who is relayed by this process. A
    /// credential that was made for a stream reaches no other one. Returns
    /// whether a session took it.
    pub(super) fn handle_relayed(&mut self, now: Instant, hop: &MediaHop<'_>) -> bool {
        let (source, destination) = (hop.from, hop.to);
        let class = demux::classify(hop.data);
        self.tally.note_class(class);
        let key = match class {
            Class::Rtp | Class::Dtls => self.table.key_of_address(&source).ok_or(Refused::Stranger),
            Class::Stun if self.may_introduce(hop) => {
                self.introduce(now, source, destination, hop.data)
            }
            Class::Stun => Err(Refused::OtherStream),
            Class::ChannelData | Class::Unknown => Err(Refused::Unknown),
        };
        let key = key.and_then(|key| match self.may_reach(key, hop.stream) {
            true => Ok(key),
            false => Err(Refused::OtherStream),
        });
        match key {
            Ok(key) => {
                self.with_session(now, key, |session| {
                    session.handle_datagram(now, source, destination, hop.data);
                });
                true
            }
            Err(reason) => {
                self.tally.note_refused(reason);
                false
            }
        }
    }

    /// Whether the session that a relayed STUN message names is one of the
    /// stream that its sender's credential is bound to.
    fn may_introduce(&self, hop: &MediaHop<'_>) -> bool {
        let by_ufrag = demux::stun_local_ufrag(hop.data);
        let by_ufrag = by_ufrag.and_then(|ufrag| self.table.key_of_ufrag(ufrag));
        let key = by_ufrag.or_else(|| self.table.key_of_address(&hop.from));
        key.is_none_or(|key| self.may_reach(key, hop.stream))
    }

    /// Whether whoever is bound to `stream`, if to any, may reach this session.
    fn may_reach(&self, key: usize, stream: Option<u64>) -> bool {
        let of_session = self.table.stream(key);
        stream.is_none_or(|stream| {
            of_session.is_some_and(|of_session| u64::try_from(of_session.0) == Ok(stream))
        })
    }

    /// The session that a STUN message belongs to; the one way by which an
    /// address becomes known.
    fn introduce(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        datagram: &[u8],
    ) -> Result<usize, Refused> {
        let known = self.table.key_of_address(&source);
        let Some(ufrag) = demux::stun_local_ufrag(datagram) else {
            return known.ok_or(Refused::Stranger);
        };
        let key = self
            .table
            .key_of_ufrag(ufrag)
            .ok_or(Refused::UnknownUfrag)?;
        if known == Some(key) {
            return Ok(key);
        }
        let running = self.table.get_mut(key).ok_or(Refused::UnknownUfrag)?;
        let session = &running.session;
        let accepts = catch_unwind(AssertUnwindSafe(|| {
            session.accepts(now, source, destination, datagram)
        }));
        if !accepts.unwrap_or(false) {
            return Err(Refused::Integrity);
        }
        self.table.learn(key, source);
        Ok(key)
    }

    /// Takes a datagram from the link's socket.
    pub(super) fn handle_link(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Option<EcnCodepoint>,
        datagram: &[u8],
    ) {
        self.link.handle_datagram(now, from, ecn, datagram);
        self.settle(now);
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, utc: UtcTime) {
        self.link.set_utc(now, utc);
        // Each session once: one that wants to be called again at once waits
        // for the next turn.
        for _ in 0..self.table.len() {
            let Some(key) = self.table.pop_due(now) else {
                break;
            };
            self.with_session(now, key, |session| session.handle_timeout(now));
        }
        if self.link.next_timeout().is_some_and(|at| at <= now) {
            self.link.handle_timeout(now);
        }
        self.settle(now);
        if now >= self.next_tell {
            self.next_tell = now + TELL_INTERVAL;
            self.tell(now);
        }
    }

    /// When [`Engine::handle_timeout`] is to be called next.
    pub(super) fn next_timeout(&mut self) -> Instant {
        let deadlines = [self.link.next_timeout(), self.table.next_deadline()];
        deadlines
            .into_iter()
            .flatten()
            .fold(self.next_tell, Instant::min)
    }

    /// Datagrams for presenters.
    pub(super) fn take_transmits(&mut self) -> std::vec::Drain<'_, Transmit> {
        self.transmits.drain(..)
    }

    /// Calls a session, and does what it says until it is silent. An engine
    /// that panics takes its own session with it and no other.
    fn with_session(&mut self, now: Instant, key: usize, call: impl FnOnce(&mut Session)) {
        let Some(running) = self.table.get_mut(key) else {
            return;
        };
        let session = &mut running.session;
        if catch_unwind(AssertUnwindSafe(|| call(session))).is_err() {
            return self.give_up(now, key);
        }
        let mut ended = None;
        loop {
            let Some(running) = self.table.get_mut(key) else {
                return;
            };
            let session = &mut running.session;
            let Ok(output) = catch_unwind(AssertUnwindSafe(|| session.poll_output())) else {
                return self.give_up(now, key);
            };
            match output {
                session::Output::Timeout(at) => {
                    self.table.schedule(key, at);
                    break;
                }
                session::Output::Ended(reason) => ended = Some(reason),
                output => self.handle_session_output(now, key, output),
            }
        }
        if let Some(reason) = ended {
            self.end(now, key, reason);
        }
    }

    fn handle_session_output(&mut self, now: Instant, key: usize, output: session::Output) {
        let Some(running) = self.table.get_mut(key) else {
            return;
        };
        let since_accepted = now
            .saturating_duration_since(running.session.accepted_at())
            .as_secs_f64();
        match output {
            session::Output::Rtp(rtp) => {
                if !std::mem::replace(&mut running.reported.has_media, true) {
                    self.metrics.setup_first_rtp.record(since_accepted);
                }
                self.link.rtp(now, running.link, &rtp);
            }
            session::Output::Transmit(transmit) => self.transmits.push(transmit),
            session::Output::SenderReport { track, report } => {
                self.link.sender_report(now, running.link, track, report);
            }
            session::Output::TracksChanged => {
                self.link
                    .update(now, running.link, running.session.tracks());
            }
            session::Output::IceUp => {
                if !std::mem::replace(&mut running.reported.has_ice, true) {
                    self.metrics.setup_ice.record(since_accepted);
                }
            }
            session::Output::Connected => {
                self.metrics.setup_dtls.record(since_accepted);
                self.metrics.connecting.decrement(1);
                self.metrics.connected.increment(1);
                tracing::info!(session = %running.session.id(), "presenter connected");
            }
            session::Output::Ended(_) | session::Output::Timeout(_) => {}
        }
    }

    /// The engine of a session has panicked.
    fn give_up(&mut self, now: Instant, key: usize) {
        self.metrics.engine_panics.increment(1);
        tracing::error!("media engine panicked; its session is given up");
        self.finish(now, key, CloseReason::Internal);
    }

    /// Ends a session: DTLS is closed, the origin and the directory are told.
    fn end(&mut self, now: Instant, key: usize, reason: CloseReason) {
        let Some(running) = self.table.get_mut(key) else {
            return;
        };
        let (session, transmits) = (&mut running.session, &mut self.transmits);
        let closed = catch_unwind(AssertUnwindSafe(|| {
            session.close();
            session.handle_timeout(now);
            loop {
                match session.poll_output() {
                    session::Output::Transmit(transmit) => transmits.push(transmit),
                    session::Output::Timeout(_) => break,
                    _ => {}
                }
            }
        }));
        if closed.is_err() {
            self.metrics.engine_panics.increment(1);
        }
        self.finish(now, key, reason);
    }

    fn finish(&mut self, now: Instant, key: usize, reason: CloseReason) {
        let Some(mut running) = self.table.remove(key) else {
            return;
        };
        let session = running.session.id();
        running.reported.tell_last(&self.metrics, &running.session);
        if running.session.was_connected() {
            self.metrics.connected.decrement(1);
        } else {
            self.metrics.connecting.decrement(1);
        }
        self.metrics.note_end(reason);
        tracing::info!(%session, ?reason, "session over");
        self.link
            .close(now, running.link, reason, running.session.totals());
        self.tell_event(Event::Ended { session, reason });
    }

    fn tell_event(&self, event: Event) {
        // Nobody listens any more when the process is about to end.
        if self.events.send(event).is_err() {
            tracing::debug!("nobody hears of it");
        }
    }

    /// Does what the link says until it is silent.
    fn settle(&mut self, now: Instant) {
        while let Some(output) = self.link.poll_output() {
            self.handle_link_output(now, output);
        }
        if self.is_draining && !self.has_drained && self.table.is_empty() && self.waiting.is_empty()
        {
            self.has_drained = true;
            self.tell_event(Event::Drained);
        }
    }

    fn handle_link_output(&mut self, now: Instant, output: link::Output) {
        match output {
            link::Output::Up => self.metrics.link_up.increment(1),
            link::Output::Down => self.metrics.link_up.decrement(1),
            link::Output::Opened(id) => self.take_on(now, id),
            link::Output::Refused(id, refusal) => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    answer(waiting.reply, Err(refusal));
                }
            }
            link::Output::Ended(id, reason) => {
                if let Some(key) = self.table.key_of(id) {
                    self.end(now, key, reason);
                }
            }
            link::Output::KeyframeWanted(id) => {
                if let Some(key) = self.table.key_of(id) {
                    self.with_session(now, key, |session| session.request_keyframe(now));
                }
            }
            link::Output::Limit(id, limit) => {
                if let Some(key) = self.table.key_of(id) {
                    self.with_session(now, key, |session| session.set_target_bitrate(limit, now));
                }
            }
        }
    }

    /// The origin takes a session.
    fn take_on(&mut self, now: Instant, id: SessionId) {
        let Some(Waiting {
            session,
            stream,
            link,
            reply,
        }) = self.waiting.remove(&id)
        else {
            return;
        };
        if reply.send(Ok(())).is_err() {
            // The presenter has hung up and will never learn of the session.
            self.link
                .close(now, link, CloseReason::Deleted, session.totals());
            return;
        }
        self.metrics.connecting.increment(1);
        let key = self.table.insert(*session, stream, link);
        self.with_session(now, key, |session| session.handle_timeout(now));
    }

    fn tell(&mut self, now: Instant) {
        self.tally.tell_datagrams(&self.metrics);
        self.tally.tell_link(&self.metrics, &self.link);
        if now >= self.next_session_tell {
            self.next_session_tell = now + SESSION_TELL_INTERVAL;
            for running in self.table.iter_mut() {
                running.reported.tell(&self.metrics, &running.session);
            }
        }
    }
}

fn draining() -> Refusal {
    Refusal {
        code: ReasonCode::Draining,
        message: "about to stop".to_owned(),
        retry_after: Some(RETRY_AFTER),
    }
}

fn answer(reply: oneshot::Sender<Result<(), Refusal>>, with: Result<(), Refusal>) {
    if reply.send(with).is_err() {
        tracing::debug!("presenter has hung up");
    }
}
