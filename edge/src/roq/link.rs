//! One QUIC connection to the origin, and the sessions that go over it.
//!
//! Pure: quinn-proto inside, no socket or clock. How to drive it:
//!
//! 1. [`Link::handle_datagram`] for what comes, [`Link::handle_timeout`] when
//!    [`Link::next_timeout`] has come, [`Link::rtp`] and the other commands.
//! 2. After a batch of these, [`Link::poll_transmit`] until it returns `None`;
//!    what cannot be sent for lack of room is kept by the caller.
//! 3. Then [`Link::poll_output`] until it returns `None`.
//! 4. Then read [`Link::next_timeout`] anew: queueing data does not move it,
//!    transmitting does.
//!
//! A broken connection is made anew with backoff; running sessions are opened
//! again on it with the next epoch and go on, as long as it comes back within
//! [`Config::link_lost_timeout`].

mod connection;
mod sessions;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use inlet_common::{
    clock::UtcTime,
    ids::SessionId,
    roq::{
        FlowId,
        control::{CloseReason, Message},
        pop::{Fleet, Report},
    },
    rtp::rtcp::{Rtcp, SenderReport},
};
use quinn_proto::{ClientConfig, EcnCodepoint, Transmit};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use slab::Slab;

use self::{
    connection::{Active, Backoff},
    sessions::{Due, Entry},
};
use super::{
    Config, NotForQuic,
    sender::{Channel, DropReason, Fate, Owner},
};
use crate::{whip::session::Rtp, worker::Refusal};

/// How often the origin is asked for its time.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);

/// How often presenters' rates are measured and limits moved.
const TARGET_INTERVAL: Duration = Duration::from_secs(1);

/// A session on a link. Valid until [`Link::close`] or [`Output::Ended`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(usize);

/// A link to an origin.
#[derive(Debug)]
pub struct Link {
    config: Config,
    client: ClientConfig,
    rng: StdRng,
    active: Option<Active>,
    backoff: Backoff,
    entries: Slab<Entry>,
    by_id: HashMap<SessionId, usize>,
    by_flow: BTreeMap<FlowId, Owner>,
    next_flow: u64,
    deadlines: BTreeSet<(Instant, usize, Due)>,
    outputs: VecDeque<Output>,
    /// Wall time at a moment, moved by the driver.
    utc: (Instant, UtcTime),
    next_clock: Instant,
    next_target: Instant,
    is_draining: bool,
    /// The origin of this connection takes no new session.
    origin_drains: bool,
    is_stopping: bool,
    counters: Counters,
    clock_offset: Option<i64>,
}

/// What a link tells its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The origin is reachable and takes sessions.
    Up,
    /// It is not any more.
    Down,
    /// The origin takes the session.
    Opened(SessionId),
    /// It does not; the session's key is invalid.
    Refused(SessionId, Refusal),
    /// The origin's word about a token that was asked about.
    Checked(uuid::Uuid, Result<(), Refusal>),
    /// The session is over; its key is invalid.
    Ended(SessionId, CloseReason),
    /// A key frame of the session's video is wanted.
    KeyframeWanted(SessionId),
    /// The presenter shall send at most so many bits per second.
    Limit(SessionId, Option<u64>),
    /// How the points of presence do.
    Fleet(Fleet),
}

/// Sums since the link was made, connections changing underneath.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets dropped, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Video frames handed to QUIC whole.
    pub frames_sent: u64,
    /// Video frames given up.
    pub frames_cancelled: u64,
    /// Key frames that the origin asked for.
    pub keyframes_wanted: u64,
    /// RTCP or control messages of the origin that made no sense.
    pub unreadable: u64,
    /// Connections that came up.
    pub connected: u64,
    /// Connections that broke.
    pub broken: u64,
}

/// What the connection measures right now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Smoothed round trip.
    pub rtt: Duration,
    /// Congestion window in bytes.
    pub window: u64,
    /// Largest UDP payload.
    pub mtu: u16,
    /// Packets sent on this connection.
    pub sent: u64,
    /// Packets lost on this connection.
    pub lost: u64,
    /// How far the origin's clock is ahead, in seconds.
    pub clock_offset: Option<f64>,
    /// Frames whose data are not all acknowledged.
    pub frames_under_way: usize,
}

impl Link {
    /// Makes a link that connects at once. `seed` is for the randomness inside
    /// QUIC.
    ///
    /// # Errors
    ///
    /// [`NotForQuic`].
    pub fn new(
        config: Config,
        seed: [u8; 32],
        now: Instant,
        utc: UtcTime,
    ) -> Result<Self, NotForQuic> {
        let client = config.client()?;
        Ok(Self {
            config,
            client,
            rng: StdRng::from_seed(seed),
            active: None,
            backoff: Backoff::new(now),
            entries: Slab::new(),
            by_id: HashMap::new(),
            by_flow: BTreeMap::new(),
            next_flow: 1,
            deadlines: BTreeSet::new(),
            outputs: VecDeque::new(),
            utc: (now, utc),
            next_clock: now,
            next_target: now + TARGET_INTERVAL,
            is_draining: false,
            origin_drains: false,
            is_stopping: false,
            counters: Counters::default(),
            clock_offset: None,
        })
    }

    /// Tells the wall time; often enough for it to be right to a millisecond.
    pub const fn set_utc(&mut self, now: Instant, utc: UtcTime) {
        self.utc = (now, utc);
    }

    /// Whether the origin can be asked.
    pub fn is_up(&self) -> bool {
        self.active.as_ref().is_some_and(Active::is_up)
    }

    /// Sums for metrics.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Measurements for metrics; `None` while there is no connection.
    pub fn gauges(&self) -> Option<Gauges> {
        let active = self.active.as_ref()?;
        Some(Gauges {
            clock_offset: self.clock_offset.map(|micros| micros as f64 / 1e6),
            ..active.gauges()
        })
    }

    /// Takes a datagram that came from the origin's address.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Option<EcnCodepoint>,
        datagram: &[u8],
    ) {
        if let Some(active) = &mut self.active {
            active.handle_datagram(now, from, ecn, BytesMut::from(datagram));
        }
        self.drive(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.active.is_none() && now >= self.backoff.at() && !self.is_stopping {
            self.connect(now);
        }
        if let Some(active) = &mut self.active {
            active.handle_timeout(now);
        }
        if self.is_up() && now >= self.next_clock {
            self.next_clock = now + CLOCK_INTERVAL;
            self.ask_for_time(now);
        }
        if now >= self.next_target {
            self.next_target = now + TARGET_INTERVAL;
            self.move_limits(now);
        }
        self.handle_deadlines(now);
        self.drive(now);
    }

    /// When [`Link::handle_timeout`] is to be called next.
    pub fn next_timeout(&mut self) -> Option<Instant> {
        let connection = match &mut self.active {
            Some(active) => active.next_timeout(),
            None if self.is_stopping => None,
            None => Some(self.backoff.at()),
        };
        let clock = self.is_up().then_some(self.next_clock);
        let target = (!self.entries.is_empty()).then_some(self.next_target);
        let deadline = self.deadlines.first().map(|(at, ..)| *at);
        [connection, clock, target, deadline]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next datagrams for the origin, written to `out`, which is cleared:
    /// one, or several of [`Transmit::segment_size`] when `max_segments` allows.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        out.clear();
        let active = self.active.as_mut()?;
        let transmit = active.poll_transmit(now, max_segments, out);
        if transmit.is_none() && active.is_closing() && !self.is_stopping {
            self.lose(now);
        }
        transmit
    }

    /// What has happened.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Sends a presenter's packet. Never blocks: what cannot go is dropped and
    /// counted.
    pub fn rtp(&mut self, now: Instant, key: Key, rtp: &Rtp) {
        let Some(entry) = self.entries.get_mut(key.0) else {
            return;
        };
        let (Some(active), true) = (&mut self.active, entry.is_live()) else {
            entry.dropped += 1;
            *self
                .counters
                .dropped
                .entry(DropReason::LinkDown)
                .or_default() += 1;
            return;
        };
        let Some(sender) = entry.senders.get_mut(rtp.track) else {
            return;
        };
        let owner = Owner {
            key: key.0,
            track: rtp.track,
        };
        match sender.packet(&mut active.channel(now, owner), rtp) {
            Fate::Sent => {}
            Fate::FrameEnded => self.counters.frames_sent += 1,
            Fate::Dropped(reason) => {
                entry.dropped += 1;
                *self.counters.dropped.entry(reason).or_default() += 1;
            }
            Fate::FrameCancelled(reason) => {
                entry.dropped += 1;
                *self.counters.dropped.entry(reason).or_default() += 1;
                self.note_cancel(now, key.0);
            }
        }
    }

    /// Sends a presenter's sender report.
    pub fn sender_report(&mut self, now: Instant, key: Key, track: usize, report: SenderReport) {
        let Some(entry) = self.entries.get_mut(key.0).filter(|entry| entry.is_live()) else {
            return;
        };
        let (Some(active), Some(sender)) = (&mut self.active, entry.senders.get(track)) else {
            return;
        };
        let mut packet = Vec::with_capacity(32);
        Rtcp::SenderReport(report).encode(&mut packet);
        if let Fate::Dropped(reason) = sender.rtcp(
            &mut active.channel(now, Owner { key: key.0, track }),
            &packet,
        ) {
            *self.counters.dropped.entry(reason).or_default() += 1;
        }
    }

    /// A frame of a session was given up: ask for another beginning, and for
    /// less.
    fn note_cancel(&mut self, now: Instant, key: usize) {
        self.counters.frames_cancelled += 1;
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.target.note_cancel(now);
        self.outputs
            .push_back(Output::KeyframeWanted(entry.session));
        self.tell_limit(key);
    }

    /// Takes no new session and tells the origin.
    pub fn drain(&mut self, now: Instant) {
        self.is_draining = true;
        // Otherwise it follows the origin's HELLO.
        if self.is_up() {
            self.send(&Message::Drain);
        }
        self.drive(now);
    }

    /// Tells the origin how this point of presence does; from now on it tells of all of
    /// them, here. Nothing happens while it is not reachable.
    pub fn report(&mut self, now: Instant, report: Report) {
        if self.is_up() {
            self.send(&Message::Report(report));
        }
        self.drive(now);
    }

    /// Closes the connection for good. Send what [`Link::poll_transmit`] still
    /// gives.
    pub fn stop(&mut self, now: Instant) {
        self.is_stopping = true;
        if let Some(active) = &mut self.active {
            active.close(now);
        }
    }

    /// Whether everything that was queued has been acknowledged, as far as the
    /// control stream goes; what to wait for before [`Link::stop`].
    pub fn is_flushed(&self) -> bool {
        self.active.as_ref().is_none_or(Active::is_flushed)
    }

    /// The wall time at a moment.
    pub(crate) fn utc_at(&self, now: Instant) -> UtcTime {
        let since = now.saturating_duration_since(self.utc.0);
        self.utc
            .1
            .plus_micros(i64::try_from(since.as_micros()).unwrap_or(0))
    }

    fn send(&mut self, message: &Message) {
        if let Some(active) = &mut self.active {
            active.send(message);
        }
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }
}

/// A channel for packets of one owner.
impl Active {
    fn channel(&mut self, now: Instant, owner: Owner) -> Channel<'_> {
        let age = self.age(now);
        let (connection, arena, owners) = self.parts();
        Channel {
            connection,
            arena,
            owners,
            owner,
            age,
            now,
        }
    }
}
