//! Sessions on a link: OPEN and its answer, moves to a new connection, limits.

use std::time::{Duration, Instant};

use bytes::Bytes;
use inlet_common::{
    ids::{PublishPath, SessionId},
    reason::ReasonCode,
    roq::{
        FlowId,
        control::{
            Accept, Check, ClockReply, ClockRequest, Close, CloseReason, Message, Open, Reject,
            TargetRate, Totals, Track, Update, VIDEO_ORIENTATION,
        },
        datagram,
    },
    rtp::rtcp::{self, Rtcp},
};

use super::{Key, Link, Output};
use crate::{
    roq::{
        sender::{Owner, Sender},
        target::Target,
    },
    worker::{OpenRequest, Refusal},
};

/// Presenters whose OPEN is not answered yet.
const MAX_PENDING_OPENS: usize = 256;

/// Pause before a running session that could not be taken is offered again.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// When a refused presenter may come again: a link comes back within seconds.
const RETRY_AFTER: u32 = 2;

/// One session.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) session: SessionId,
    epoch: u32,
    request: OpenRequest,
    tracks: Vec<Track>,
    pub(super) senders: Vec<Sender>,
    phase: Phase,
    pub(super) target: Target,
    told: Option<u64>,
    pub(super) dropped: u64,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// OPEN was sent; refused when no answer comes.
    Opening,
    /// Media flow.
    Live,
    /// Its connection is gone; given up when none takes it in time.
    Suspended,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    OpenTimeout,
    LinkLost,
    Reopen,
}

impl Entry {
    pub(super) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }
}

impl Link {
    /// Asks the origin whether a presenter may publish. The answer comes as
    /// [`Output::Opened`] or [`Output::Refused`] within the open timeout.
    ///
    /// # Errors
    ///
    /// The refusal, when the origin cannot be asked at all.
    pub fn open(
        &mut self,
        now: Instant,
        session: SessionId,
        request: OpenRequest,
        tracks: Vec<Track>,
    ) -> Result<Key, Refusal> {
        let pending = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.phase == Phase::Opening);
        if !self.is_up() || self.is_draining || self.origin_drains {
            return Err(refusal(ReasonCode::NoOrigin, "no origin can be reached"));
        }
        if pending.count() >= MAX_PENDING_OPENS {
            return Err(refusal(ReasonCode::Overload, "too many presenters at once"));
        }
        let mut entry = Entry {
            session,
            epoch: 0,
            request,
            senders: Vec::with_capacity(tracks.len()),
            tracks,
            phase: Phase::Opening,
            target: Target::new(self.config.max_bitrate, now),
            told: None,
            dropped: 0,
        };
        let key = self.entries.vacant_key();
        for (at, track) in entry.tracks.iter_mut().enumerate() {
            track.flow = FlowId(self.next_flow);
            self.next_flow += 1;
            self.by_flow.insert(track.flow, Owner { key, track: at });
            let orientation = track
                .extensions
                .iter()
                .find(|known| known.uri == VIDEO_ORIENTATION);
            let orientation = orientation.map(|extension| extension.id);
            entry
                .senders
                .push(Sender::new(track.flow, track.codec, orientation));
        }
        self.entries.insert(entry);
        self.by_id.insert(session, key);
        self.deadlines
            .insert((now + self.config.open_timeout, key, Due::OpenTimeout));
        self.send_open(key);
        self.drive(now);
        Ok(Key(key))
    }

    /// Asks the origin about a token; the answer, if there is one, comes as
    /// [`Output::Checked`] with the same `request`.
    ///
    /// # Errors
    ///
    /// The refusal, when the origin cannot be asked.
    pub fn check(
        &mut self,
        now: Instant,
        request: uuid::Uuid,
        path: PublishPath,
    ) -> Result<(), Refusal> {
        if !self.is_up() {
            return Err(refusal(ReasonCode::NoOrigin, "no origin can be reached"));
        }
        self.send(&Message::Check(Check { request, path }));
        self.drive(now);
        Ok(())
    }

    /// A session's tracks have changed; flows stay as they are.
    pub fn update<'a>(&mut self, now: Instant, key: Key, tracks: impl Iterator<Item = &'a Track>) {
        let Some(entry) = self.entries.get_mut(key.0) else {
            return;
        };
        for (ours, theirs) in entry.tracks.iter_mut().zip(tracks) {
            let flow = ours.flow;
            ours.clone_from(theirs);
            ours.flow = flow;
        }
        if entry.is_live() {
            let update = Update {
                session: entry.session,
                tracks: entry.tracks.clone(),
            };
            self.send(&Message::Update(update));
            self.drive(now);
        }
    }

    /// Ends a session; the key is invalid afterwards. What it carried, with what was
    /// dropped here, comes back.
    pub fn close(
        &mut self,
        now: Instant,
        key: Key,
        reason: CloseReason,
        mut totals: Totals,
    ) -> Totals {
        let Some(entry) = self.remove(key.0) else {
            return totals;
        };
        totals.dropped += entry.dropped;
        self.send(&Message::Close(Close {
            session: entry.session,
            reason,
            totals: Some(totals),
        }));
        self.drive(now);
        totals
    }

    pub(super) fn sender(&mut self, owner: Owner) -> Option<&mut Sender> {
        self.entries
            .get_mut(owner.key)?
            .senders
            .get_mut(owner.track)
    }

    fn send_open(&mut self, key: usize) {
        let Some(entry) = self.entries.get(key) else {
            return;
        };
        let open = Open {
            session: entry.session,
            epoch: entry.epoch,
            path: entry.request.path.clone(),
            tracks: entry.tracks.clone(),
            announced: entry.request.announced,
            user_agent: entry.request.user_agent.clone(),
            key: entry.request.key,
            replaces: entry.request.replaces,
        };
        self.send(&Message::Open(Box::new(open)));
    }

    /// Takes a session out, with everything that was under way.
    fn remove(&mut self, key: usize) -> Option<Entry> {
        let mut entry = self.entries.try_remove(key)?;
        self.by_id.remove(&entry.session);
        for track in &entry.tracks {
            self.by_flow.remove(&track.flow);
        }
        self.deadlines.retain(|(_, owner, _)| *owner != key);
        for sender in &mut entry.senders {
            if let Some(active) = &mut self.active {
                // The last frames still arrive; their streams end by themselves.
                sender.finish(active.parts().0);
            }
        }
        Some(entry)
    }

    pub(super) fn handle_message(&mut self, now: Instant, message: Message) {
        match message {
            Message::Hello(hello) => self.handle_hello(now, &hello),
            Message::Accept(accept) => self.handle_accept(&accept),
            Message::Reject(reject) => self.handle_reject(now, reject),
            Message::Close(close) => {
                if let Some(&key) = self.by_id.get(&close.session) {
                    self.end(key, close.reason);
                }
            }
            Message::Drain => {
                tracing::info!("origin drains");
                self.origin_drains = true;
            }
            Message::TargetRate(target) => {
                if let Some(&key) = self.by_id.get(&target.session)
                    && let Some(entry) = self.entries.get_mut(key)
                {
                    entry.target.set_wish(target.bitrate);
                    self.tell_limit(key);
                }
            }
            Message::ClockRequest(request) => {
                let at = self.utc_at(now);
                self.send(&Message::ClockReply(ClockReply {
                    sent: request.sent,
                    received: at,
                    replied: at,
                }));
            }
            Message::ClockReply(reply) => {
                let (offset, _) = reply.offset_and_round_trip(self.utc_at(now));
                self.clock_offset = Some(offset);
            }
            Message::Checked(checked) => {
                let answer = match checked.code {
                    None => Ok(()),
                    Some(code) => Err(refusal(code, &checked.message)),
                };
                self.outputs
                    .push_back(Output::Checked(checked.request, answer));
            }
            Message::Fleet(fleet) => self.outputs.push_back(Output::Fleet(fleet)),
            Message::Open(_) | Message::Check(_) | Message::Update(_) | Message::Report(_) => {
                self.counters.unreadable += 1;
            }
            Message::Unknown => {}
        }
    }

    fn handle_accept(&mut self, accept: &Accept) {
        let Some(&key) = self.by_id.get(&accept.session) else {
            // It went away in the meantime; the origin must not wait for it.
            self.send(&Message::Close(Close {
                session: accept.session,
                reason: CloseReason::Deleted,
                totals: None,
            }));
            return;
        };
        self.deadlines.retain(|(_, owner, _)| *owner != key);
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let phase = std::mem::replace(&mut entry.phase, Phase::Live);
        if let Some(max) = accept.max_bitrate {
            entry.target.set_wish(max);
        }
        match phase {
            Phase::Opening => self.outputs.push_back(Output::Opened(accept.session)),
            Phase::Suspended => {
                tracing::info!(session = %accept.session, epoch = entry.epoch, "session moved");
                self.outputs
                    .push_back(Output::KeyframeWanted(accept.session));
            }
            Phase::Live => {}
        }
        self.tell_limit(key);
    }

    fn handle_reject(&mut self, now: Instant, reject: Reject) {
        let Some(&key) = self.by_id.get(&reject.session) else {
            return;
        };
        match self.entries.get(key).map(|entry| entry.phase) {
            Some(Phase::Opening) => {
                self.remove(key);
                let refusal = Refusal {
                    code: reject.code,
                    message: reject.message,
                    retry_after: reject.retry_after,
                };
                self.outputs
                    .push_back(Output::Refused(reject.session, refusal));
            }
            Some(_) => match end_of_rejected(reject.code) {
                Some(reason) => self.end(key, reason),
                None => {
                    self.deadlines
                        .insert((now + REOPEN_INTERVAL, key, Due::Reopen));
                }
            },
            None => {}
        }
    }

    /// The origin, or time, ends a session.
    fn end(&mut self, key: usize, reason: CloseReason) {
        let Some(entry) = self.remove(key) else {
            return;
        };
        self.outputs.push_back(match entry.phase {
            Phase::Opening => Output::Refused(
                entry.session,
                refusal(ReasonCode::NoOrigin, "the origin closed the session"),
            ),
            Phase::Live | Phase::Suspended => Output::Ended(entry.session, reason),
        });
    }

    pub(super) fn handle_deadlines(&mut self, now: Instant) {
        while let Some(&(at, key, due)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            match due {
                Due::OpenTimeout => {
                    let Some(entry) = self.remove(key) else {
                        continue;
                    };
                    self.send(&Message::Close(Close {
                        session: entry.session,
                        reason: CloseReason::Deleted,
                        totals: None,
                    }));
                    let refusal = refusal(ReasonCode::NoOrigin, "the origin does not answer");
                    self.outputs
                        .push_back(Output::Refused(entry.session, refusal));
                }
                Due::LinkLost => self.end(key, CloseReason::LinkLost),
                Due::Reopen => self.send_open(key),
            }
        }
    }

    /// The connection is gone: presenters who wait are refused, running
    /// sessions wait for the next connection.
    pub(super) fn suspend_all(&mut self, now: Instant) {
        let keys: Vec<usize> = self.entries.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(entry) = self.entries.get_mut(key) else {
                continue;
            };
            for sender in &mut entry.senders {
                sender.reset();
            }
            match entry.phase {
                Phase::Opening => self.end(key, CloseReason::LinkLost),
                Phase::Live => {
                    entry.phase = Phase::Suspended;
                    self.deadlines.insert((
                        now + self.config.link_lost_timeout,
                        key,
                        Due::LinkLost,
                    ));
                }
                Phase::Suspended => {
                    self.deadlines
                        .retain(|(_, owner, due)| *owner != key || *due != Due::Reopen);
                }
            }
        }
    }

    /// A new connection is up: running sessions move to it.
    pub(super) fn reopen_all(&mut self) {
        let keys: Vec<usize> = self.entries.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.epoch += 1;
                self.send_open(key);
            }
        }
    }

    pub(super) fn handle_rtcp(&mut self, datagram: &Bytes) {
        let Some((flow, packet)) = datagram::decode(datagram) else {
            self.counters.unreadable += 1;
            return;
        };
        let Some(&owner) = self.by_flow.get(&flow) else {
            self.counters.unreadable += 1;
            return;
        };
        let wants =
            rtcp::decode(&packet).any(|rtcp| matches!(rtcp, Rtcp::Pli { .. } | Rtcp::Fir { .. }));
        if let Some(entry) = self.entries.get(owner.key).filter(|_| wants) {
            self.counters.keyframes_wanted += 1;
            self.outputs
                .push_back(Output::KeyframeWanted(entry.session));
        }
    }

    pub(super) fn ask_for_time(&mut self, now: Instant) {
        let sent = self.utc_at(now);
        self.send(&Message::ClockRequest(ClockRequest { sent }));
    }

    pub(super) fn move_limits(&mut self, now: Instant) {
        let keys: Vec<usize> = self.entries.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(entry) = self.entries.get_mut(key) {
                let bytes = entry.senders.iter().map(|sender| sender.bytes).sum();
                entry.target.update(now, bytes);
                if entry.is_live() && entry.senders.iter().any(Sender::awaits_keyframe) {
                    self.outputs
                        .push_back(Output::KeyframeWanted(entry.session));
                }
                self.tell_limit(key);
            }
        }
    }

    /// Passes a limit on when it has changed: to the presenter, and to the
    /// origin when it is the link's own.
    pub(super) fn tell_limit(&mut self, key: usize) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let limit = entry.target.limit();
        if limit == entry.told || !entry.is_live() {
            return;
        }
        entry.told = limit;
        let (session, own) = (entry.session, entry.target.own());
        self.outputs.push_back(Output::Limit(session, limit));
        if let Some(bitrate) = own.filter(|own| Some(*own) == limit) {
            self.send(&Message::TargetRate(TargetRate { session, bitrate }));
        }
    }
}

/// What a running session's refusal by the origin means; `None` when it may be
/// offered again.
const fn end_of_rejected(code: ReasonCode) -> Option<CloseReason> {
    match code {
        ReasonCode::StreamNotFound => Some(CloseReason::StreamDeleted),
        ReasonCode::WrongToken => Some(CloseReason::TokenReset),
        ReasonCode::NotActive => Some(CloseReason::Deactivated),
        ReasonCode::AlreadyPublishing => Some(CloseReason::Replaced),
        ReasonCode::Draining => Some(CloseReason::Draining),
        ReasonCode::NoOrigin
        | ReasonCode::Overload
        | ReasonCode::RegistryDown
        | ReasonCode::RateLimited => None,
        ReasonCode::TooManyLive
        | ReasonCode::WebRtcForbidden
        | ReasonCode::Malformed
        | ReasonCode::VideoCodec
        | ReasonCode::AudioCodec
        | ReasonCode::Tracks
        | ReasonCode::Direction => Some(CloseReason::Other),
    }
}

fn refusal(code: ReasonCode, message: &str) -> Refusal {
    Refusal {
        code,
        message: message.to_owned(),
        retry_after: Some(RETRY_AFTER),
    }
}
