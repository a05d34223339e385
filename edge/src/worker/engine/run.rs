//! Calling a session, doing what it says, and ending it.
//!
//! The trap: str0m may panic on what a stranger sends. Each call is caught, and
//! only the session in question is given up.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use inlet_common::roq::control::CloseReason;

use super::Engine;
use crate::{
    trace::Notice,
    whip::session::{self, Session},
    worker::Event,
};

impl Engine {
    /// Calls a session, and does what it says until it is silent. An engine
    /// that panics takes its own session with it and no other.
    pub(super) fn with_session(
        &mut self,
        now: Instant,
        key: usize,
        call: impl FnOnce(&mut Session),
    ) {
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
                let first = running.watch.first_of(&running.session, &rtp);
                if let Some(first) = first {
                    let session = running.session.id();
                    self.notice(now, session, first);
                }
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
                    let session = running.session.id();
                    self.notice(now, session, Notice::IceUp);
                }
            }
            session::Output::Handshake(outcome) => {
                self.metrics.handshakes.note(outcome);
                let session = running.session.id();
                self.notice(now, session, Notice::Handshake(outcome));
            }
            session::Output::Moved(way) => self.note_path(now, key, way),
            session::Output::Connected => {
                self.metrics.setup_dtls.record(since_accepted);
                if let Some(path) = running.path {
                    self.metrics.paths.note_connected(path);
                }
                self.metrics.connecting.decrement(1);
                self.metrics.connected.increment(1);
                let session = running.session.id();
                tracing::info!(%session, "presenter connected");
                self.notice(now, session, Notice::Connected);
            }
            session::Output::Restarted => {
                self.metrics.restarts_used.increment(1);
                let session = running.session.id();
                tracing::info!(%session, "ICE restarted");
                self.table.keep_current_ufrag(key);
                self.notice(now, session, Notice::Restarted);
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
    pub(super) fn end(&mut self, now: Instant, key: usize, reason: CloseReason) {
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
        if let Some(path) = running.path {
            self.metrics.paths.note_left(path);
        }
        running.reported.tell_last(&self.metrics, &running.session);
        if running.session.was_connected() {
            self.metrics.connected.decrement(1);
        } else {
            self.metrics.connecting.decrement(1);
        }
        if running.session.awaits_restart() {
            self.metrics.restarts_unused.increment(1);
        }
        self.metrics.note_end(reason);
        tracing::info!(%session, ?reason, "session over");
        let totals = running.session.totals();
        let totals = self.link.close(now, running.link, reason, totals);
        self.notice(now, session, Notice::Ended { reason, totals });
        self.events.tell(Event::Ended { session, reason });
    }
}
