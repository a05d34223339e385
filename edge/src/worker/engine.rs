//! What a worker does, without socket or clock.
//!
//! How to drive it, once per turn:
//!
//! 1. [`Engine::handle_command`], [`Engine::handle_media`] and
//!    [`Engine::handle_link`] for what has come, [`Engine::handle_timeout`]
//!    always.
//! 2. Send what [`Engine::take_transmits`] and `link.poll_transmit` give.
//! 3. Sleep until [`Engine::next_timeout`].
//!
//! | file | holds |
//! |---|---|
//! | `admit` | from an offer to a running session, over the origin's word |
//! | `route` | from a datagram to its session |
//! | `run` | calling a session, and ending it |
//! | `path` | by which path a session's media come |

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use inlet_common::{
    clock::UtcTime,
    ids::{SessionId, StreamId},
    roq::control::CloseReason,
};
use quinn_proto::EcnCodepoint;
use tokio::sync::oneshot;

use self::admit::{Waiting, answer, draining};
use super::{Command, Event, Refusal, Telling, table::Table, tally::Tally};
use crate::{
    metrics::Media,
    roq::link::{self, Link},
    trace::Notice,
    turn::allocation::Allotted,
    whip::session::Transmit,
};

mod admit;
mod path;
mod route;
mod run;

/// How often metrics are told. Short enough for a live dashboard.
const TELL_INTERVAL: Duration = Duration::from_millis(500);

/// How often each session's numbers are told.
const SESSION_TELL_INTERVAL: Duration = Duration::from_secs(2);

/// A worker's state.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) link: Link,
    table: Table,
    waiting: HashMap<SessionId, Waiting>,
    /// Who waits for the origin's word about a token.
    checks: HashMap<uuid::Uuid, oneshot::Sender<Result<(), Refusal>>>,
    transmits: Vec<Transmit>,
    events: Telling,
    metrics: Media,
    tally: Tally,
    max_sessions: usize,
    is_draining: bool,
    has_drained: bool,
    next_tell: Instant,
    next_session_tell: Instant,
}

impl Engine {
    pub(super) fn new(
        link: Link,
        events: Telling,
        metrics: Media,
        max_sessions: usize,
        now: Instant,
    ) -> Self {
        Self {
            link,
            table: Table::default(),
            waiting: HashMap::new(),
            checks: HashMap::new(),
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
            Command::Check { path, reply } => self.check(now, path, reply),
            Command::Restart {
                session,
                restart,
                reply,
            } => {
                let is_alive = self.restart(session, restart);
                if reply.send(is_alive).is_err() {
                    tracing::debug!("presenter has hung up");
                }
            }
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
            Command::Report(report) => self.link.report(now, report),
            Command::Stop => self.end_all(now, CloseReason::Draining),
            // The driver's.
            Command::Turn(_) | Command::Stream { .. } => {}
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

    /// Tells what happened to a session.
    fn notice(&self, now: Instant, session: SessionId, notice: Notice) {
        self.events.tell(Event::Noticed {
            session,
            at: self.link.utc_at(now),
            notice,
        });
    }

    /// Tells what became of an allocation of the TURN server beside.
    pub(super) fn note_allotted(&self, now: Instant, allotted: Allotted) {
        // Digits beyond any stream's are nobody's.
        let Ok(stream) = i64::try_from(allotted.stream) else {
            return;
        };
        self.events.tell(Event::Allotted {
            stream: StreamId(stream),
            at: self.link.utc_at(now),
            notice: Notice::of_allocation(&allotted),
        });
    }

    /// Does what the link says until it is silent.
    fn settle(&mut self, now: Instant) {
        while let Some(output) = self.link.poll_output() {
            self.handle_link_output(now, output);
        }
        if self.is_draining && !self.has_drained && self.table.is_empty() && self.waiting.is_empty()
        {
            self.has_drained = true;
            self.events.tell(Event::Drained);
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
            link::Output::Checked(request, word) => {
                if let Some(reply) = self.checks.remove(&request) {
                    answer(reply, word);
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
            link::Output::Fleet(fleet) => self.events.tell(Event::Fleet { at: now, fleet }),
            link::Output::Limit(id, limit) => {
                self.notice(now, id, Notice::Limited(limit));
                if let Some(key) = self.table.key_of(id) {
                    self.with_session(now, key, |session| session.set_target_bitrate(limit, now));
                }
            }
        }
    }

    fn tell(&mut self, now: Instant) {
        self.tally.tell_datagrams(&self.metrics);
        self.tally.tell_link(&self.metrics, &self.link);
        if now >= self.next_session_tell {
            self.next_session_tell = now + SESSION_TELL_INTERVAL;
            let mut noticed = Vec::new();
            for running in self.table.iter_mut() {
                running.reported.tell(&self.metrics, &running.session);
                let notices = running.watch.look(now, &running.session);
                noticed.extend(notices.map(|notice| (running.session.id(), notice)));
            }
            for (session, notice) in noticed {
                self.notice(now, session, notice);
            }
        }
    }
}
