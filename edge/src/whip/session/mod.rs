//! One presenter's media session: str0m behind our own interface.
//!
//! Pure: no socket, clock or task. How to drive it:
//!
//! 1. After every single `handle_…` or command, call [`Session::poll_output`]
//!    until it returns [`Output::Timeout`]: the engine holds one RTP packet,
//!    and the next datagram would push it out.
//! 2. Call [`Session::handle_timeout`] when that time has come.
//! 3. Feed datagrams of unknown addresses only after [`Session::accepts`] said
//!    yes to a Binding request from there.
//! 4. After [`Output::Ended`] nothing but what is to be sent comes any more.
//!
//! | file | holds |
//! |---|---|
//! | `offer`, `accept`, `answer` | from an offer to a session and its answer |
//! | `config` | what all sessions are made from |
//! | `ufrag` | our ufrag, which names the worker |
//! | `binding` | Binding requests that lack something |
//! | `way` | by which way media come, and go back |
//! | `datagram` | what comes from a presenter, and what goes to it |
//! | `ice` | ICE restarts |
//! | `arrival` | how evenly packets come |
//! | `track` | sources and what came from them |
//! | `dtls` | who speaks DTLS, and what became of the handshake |
//! | `keyframes` | when a key frame may be asked for |
//! | `simulcast`, `layers`, `picture` | a track in several layers, and which one is forwarded |
//! | `media` | from the engine's events to what crosses the link |

mod accept;
mod answer;
mod arrival;
mod binding;
mod config;
mod datagram;
pub mod dtls;
mod ice;
mod keyframes;
mod layers;
mod media;
mod offer;
mod picture;
#[cfg(test)]
pub(crate) mod presenter;
mod simulcast;
#[cfg(test)]
mod tests;
mod track;
mod ufrag;
mod way;

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use inlet_common::{
    ids::SessionId,
    roq::control::{CloseReason, Kind, Totals, Track},
    rtp::{Header, Ssrc, rtcp::SenderReport},
};
use str0m::{Event, Input, Output as EngineOutput, Rtc, bwe::Bitrate, rtp::Ssrc as EngineSsrc};

pub use self::{
    accept::{AcceptError, Answer},
    config::{Config, NoCertificate},
    ice::{Ice, Restart, RestartError},
    ufrag::worker_of,
    way::{Addresses, Datagram, Path, Way},
};
use self::{
    binding::Binding, dtls::Handshake, keyframes::Keyframes, track::SessionTrack, way::Ways,
};

/// How often the engine's statistics are looked at.
const STATS_INTERVAL: Duration = Duration::from_secs(2);

/// How often a limit on the presenter's rate is repeated: REMB may be lost, and
/// libwebrtc's receivers send it once a second too.
const REMB_INTERVAL: Duration = Duration::from_secs(1);

/// Sources beyond the announced ones that a session may bring to the engine.
const MAX_UNANNOUNCED: usize = 16;

/// Sources that a session may be heard of in all its life. A presenter has two
/// or three, and a new one for each camera it changes to; who brings more makes
/// the engine, which forgets none, grow, and is sent away.
const MAX_SOURCES: usize = 64;

/// One presenter's media session.
pub struct Session {
    id: SessionId,
    ufrag: String,
    /// A restart whose credentials nobody has used yet.
    restart: Option<Box<Restart>>,
    rtc: Rtc,
    handshake: Arc<Handshake>,
    tracks: Vec<SessionTrack>,
    phase: Phase,
    was_connected: bool,
    accepted_at: Instant,
    /// Time of the latest input.
    now: Instant,
    /// When something that passed an integrity check came last.
    last_heard: Instant,
    connect_timeout: Duration,
    silence_timeout: Duration,
    keyframes: Keyframes,
    ways: Ways,
    /// What is being taken: its way, and what it is if it is a Binding request.
    arrival: Option<(Way, Binding)>,
    remb: Remb,
    /// Sources that have brought a packet through the integrity check.
    heard: Vec<u32>,
    /// A source that was brought to the engine by payload type and has not
    /// proven itself yet.
    tentative: Option<u32>,
    unannounced: usize,
    outputs: VecDeque<Output>,
    counters: Counters,
    bytes: u64,
    rtt: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Connected,
    Ended,
}

#[derive(Debug)]
struct Remb {
    limit: Option<u64>,
    /// The most that may ever be sent.
    max: u64,
    next: Option<Instant>,
}

/// What a session has sent and refused, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// NACKs sent.
    pub nacks: u64,
    /// PLIs and FIRs sent.
    pub keyframe_requests: u64,
    /// Packets of a second source on a track.
    pub foreign: u64,
    /// Packets of simulcast layers that were not the one forwarded.
    pub layer_dropped: u64,
    /// How often another simulcast layer was gone to.
    pub layer_changes: u64,
    /// Datagrams that the engine could not read.
    pub malformed: u64,
}

/// What a session gives out.
#[derive(Debug)]
#[must_use]
pub enum Output {
    /// A datagram for the presenter.
    Transmit(Transmit),
    /// An RTP packet for the link, decrypted and authenticated.
    Rtp(Rtp),
    /// A sender report for the link; once for each that came.
    SenderReport {
        /// Index into [`Session::tracks`].
        track: usize,
        /// What the presenter reported.
        report: SenderReport,
    },
    /// [`Session::tracks`] says something else now: a source became known.
    TracksChanged,
    /// An ICE pair is in use; DTLS follows.
    IceUp,
    /// How the DTLS handshake ended, once; a failed one ends the session.
    Handshake(dtls::Outcome),
    /// Media go back by another way from now on, or by the first one.
    Moved(Way),
    /// ICE and DTLS are up.
    Connected,
    /// The credentials of a restart are in use, and [`Session::local_ufrag`] is
    /// another.
    Restarted,
    /// The session is over.
    Ended(CloseReason),
    /// Nothing more until then, unless a datagram comes first.
    Timeout(Instant),
}

/// A datagram for the presenter.
#[derive(Debug)]
pub struct Transmit {
    /// By ICE-TCP, not by UDP.
    pub is_tcp: bool,
    /// One of the addresses that the session was accepted with.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// What.
    pub contents: Vec<u8>,
}

/// An RTP packet for the link.
#[derive(Debug)]
pub struct Rtp {
    /// Index into [`Session::tracks`].
    pub track: usize,
    /// As the presenter wrote it.
    pub header: Header,
    /// The orientation's extension element, when the packet has one.
    pub orientation: Option<u8>,
    /// The codec's part.
    pub payload: Arc<[u8]>,
}

impl Session {
    fn new(
        id: SessionId,
        ufrag: String,
        rtc: Rtc,
        handshake: Arc<Handshake>,
        tracks: Vec<SessionTrack>,
        config: &Config,
        now: Instant,
    ) -> Self {
        // From the start: a presenter without transport-wide feedback knows of
        // its path only what we tell it, and one with it knows no other bound.
        let takes_remb = tracks.iter().any(|track| track.feedback.remb);
        Self {
            id,
            ufrag,
            restart: None,
            rtc,
            handshake,
            tracks,
            phase: Phase::Connecting,
            was_connected: false,
            accepted_at: now,
            now,
            last_heard: now,
            connect_timeout: config.connect_timeout,
            silence_timeout: config.silence_timeout,
            keyframes: Keyframes::default(),
            ways: Ways::default(),
            arrival: None,
            remb: Remb {
                limit: takes_remb.then_some(config.max_bitrate),
                max: config.max_bitrate,
                next: None,
            },
            heard: Vec::new(),
            tentative: None,
            unannounced: 0,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            bytes: 0,
            rtt: None,
        }
    }

    /// The session's id.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// The ufrag that leads Binding requests to this session.
    pub fn local_ufrag(&self) -> &str {
        &self.ufrag
    }

    /// The session's tracks, their flows not yet given.
    pub fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().map(|track| &track.described)
    }

    /// What the session has carried so far; what was dropped behind it is not
    /// known here.
    pub fn totals(&self) -> Totals {
        Totals {
            packets: self.tracks.iter().map(SessionTrack::packets).sum(),
            bytes: self.bytes,
            lost: self.tracks.iter().map(SessionTrack::lost).sum(),
            dropped: 0,
        }
    }

    /// How often the picture has frozen, and for how long in all.
    pub fn freezes(&self) -> (u64, Duration) {
        let arrivals = self.tracks.iter().map(|track| &track.arrival);
        arrivals.fold((0, Duration::ZERO), |(count, span), arrival| {
            (count + arrival.freezes, span + arrival.frozen)
        })
    }

    /// Interarrival jitter of each track.
    pub fn jitters(&self) -> impl Iterator<Item = Duration> {
        let heard = self.tracks.iter().filter(|track| track.packets() > 1);
        heard.map(|track| track.arrival.jitter())
    }

    /// Packets of a kind that have come; `None` without such a track.
    pub fn packets_of(&self, kind: Kind) -> Option<u64> {
        let mut tracks = self.tracks.iter();
        let track = tracks.find(|track| track.described.codec.kind() == kind)?;
        Some(track.packets())
    }

    /// What kind of media a track is.
    pub fn kind_of(&self, track: usize) -> Option<Kind> {
        let track = self.tracks.get(track)?;
        Some(track.described.codec.kind())
    }

    /// By which way media come; `None` before ICE is up.
    pub const fn way(&self) -> Option<Way> {
        self.ways.current()
    }

    /// The round trip to the presenter, when it takes part in measuring it.
    pub const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// What was sent and refused so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether ICE and DTLS are up.
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    /// Whether ICE and DTLS have been up at some time.
    pub const fn was_connected(&self) -> bool {
        self.was_connected
    }

    /// When the offer was answered.
    pub const fn accepted_at(&self) -> Instant {
        self.accepted_at
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        match self.phase {
            Phase::Connecting if now >= self.accepted_at + self.connect_timeout => {
                if self.handshake.is_path_up() {
                    self.handshake.fail(dtls::Failure::Timeout);
                    self.look_at_handshake();
                }
                self.end(CloseReason::NeverConnected);
            }
            Phase::Connected if now >= self.last_heard + self.silence_timeout => {
                self.end(CloseReason::Timeout);
            }
            Phase::Ended => return,
            Phase::Connecting | Phase::Connected => {}
        }
        self.change_what_is_due(now);
        self.ask_what_is_due(now);
        self.drive(Input::Timeout(now));
    }

    /// Asks the presenter for a key frame of its video, at most once per
    /// 500 ms; what comes too early is kept until then.
    pub fn request_keyframe(&mut self, now: Instant) {
        if self.phase == Phase::Ended {
            return;
        }
        self.keyframes.want();
        if self.keyframes.is_due(now) {
            self.ask_what_is_due(now);
            self.drive(Input::Timeout(now));
        }
    }

    /// Limits what the presenter sends, in bits per second, audio and video
    /// together; `None` leaves [`Config::max_bitrate`] alone.
    pub fn set_target_bitrate(&mut self, limit: Option<u64>, now: Instant) {
        let limit = limit.map_or(self.remb.max, |limit| limit.min(self.remb.max));
        if self.remb.limit == Some(limit) || self.phase == Phase::Ended {
            return;
        }
        self.remb.limit = Some(limit);
        self.remb.next = Some(now);
        self.ask_what_is_due(now);
        self.drive(Input::Timeout(now));
    }

    /// Closes DTLS; what is still to be sent comes out of
    /// [`Session::poll_output`], and no [`Output::Ended`].
    pub fn close(&mut self) {
        self.phase = Phase::Ended;
        self.outputs.clear();
        // Fails only where there is nothing to close yet.
        if let Err(error) = self.rtc.close() {
            tracing::debug!(%error, "no DTLS to close");
        }
    }

    /// What is to be done next; see the module's contract.
    pub fn poll_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            match self.rtc.poll_output() {
                Ok(EngineOutput::Timeout(at)) => return Output::Timeout(self.next_timeout(at)),
                Ok(EngineOutput::Transmit(transmit)) => {
                    return Output::Transmit(self.transmit(transmit));
                }
                Ok(EngineOutput::Event(event)) => self.handle_event(event),
                Err(error) => {
                    tracing::debug!(%error, "engine gave up");
                    self.fail();
                    if self.outputs.is_empty() {
                        return Output::Timeout(self.last_heard + self.silence_timeout);
                    }
                }
            }
        }
    }

    fn drive(&mut self, input: Input<'_>) {
        if let Err(error) = self.rtc.handle_input(input) {
            // A record that cannot be read is the presenter's (or a
            // stranger's) fault and no reason to end the session.
            self.counters.malformed += 1;
            tracing::debug!(%error, "engine refused a datagram");
            if !self.rtc.is_alive() {
                self.fail();
            }
        }
        if self.phase == Phase::Connecting {
            self.look_at_handshake();
        }
    }

    /// Ends the session at once when there will be no keys: what is still to be
    /// sent, an alert mostly, comes out all the same.
    fn look_at_handshake(&mut self) {
        if let Some(outcome @ dtls::Outcome::Failed(failure)) = self.handshake.outcome() {
            tracing::info!(id = %self.id, reason = failure.as_str(), "DTLS failed");
            self.outputs.push_back(Output::Handshake(outcome));
            self.end(CloseReason::NeverConnected);
        }
    }

    fn fail(&mut self) {
        match self.phase {
            Phase::Connecting => self.end(CloseReason::NeverConnected),
            Phase::Connected => self.end(CloseReason::Internal),
            Phase::Ended => {}
        }
        self.rtc.disconnect();
    }

    fn end(&mut self, reason: CloseReason) {
        if self.phase != Phase::Ended {
            self.phase = Phase::Ended;
            self.outputs.push_back(Output::Ended(reason));
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::RtpPacket(packet) => self.handle_rtp(packet),
            Event::SenderFeedback(feedback) => self.handle_sender_report(&feedback),
            Event::IceConnectionStateChange(state) if state.is_connected() => {
                self.handshake.note_path();
                self.outputs.push_back(Output::IceUp);
            }
            Event::Connected if self.phase == Phase::Connecting => {
                self.phase = Phase::Connected;
                self.was_connected = true;
                self.keyframes.want();
                self.remb.next = self.remb.limit.map(|_| self.last_heard);
                self.outputs
                    .extend(self.handshake.outcome().map(Output::Handshake));
                self.outputs.push_back(Output::Connected);
            }
            Event::Closed => self.end(CloseReason::DtlsClosed),
            Event::MediaIngressStats(stats) => self.handle_stats(&stats),
            _ => {}
        }
    }

    fn next_timeout(&self, engine: Instant) -> Instant {
        let own = match self.phase {
            Phase::Connecting => self.accepted_at + self.connect_timeout,
            Phase::Connected => self.last_heard + self.silence_timeout,
            Phase::Ended => return engine,
        };
        let keyframe = self
            .keyframe_source()
            .and_then(|_| self.keyframes.next(self.last_heard));
        let remb = self.remb.next.filter(|_| self.is_connected());
        let simulcast = |track: &SessionTrack| track.simulcast.as_ref()?.next_timeout();
        let change = self.tracks.iter().filter_map(simulcast).min();
        [keyframe, remb, change]
            .into_iter()
            .flatten()
            .fold(engine.min(own), Instant::min)
    }

    /// The video source that can be asked for a key frame.
    fn keyframe_source(&self) -> Option<(usize, Ssrc)> {
        if !self.is_connected() {
            return None;
        }
        let mut tracks = self.tracks.iter().enumerate();
        let (at, track) = tracks
            .find(|(_, track)| track.is_video() && (track.feedback.pli || track.feedback.fir))?;
        let ssrc = match &track.simulcast {
            Some(simulcast) => simulcast.keyframe_source(self.now),
            None => track.ssrc(),
        };
        Some((at, ssrc?))
    }

    fn ask_what_is_due(&mut self, now: Instant) {
        self.ask_for_keyframe(now);
        self.send_remb(now);
    }

    fn send_remb(&mut self, now: Instant) {
        let (Some(limit), Some(next)) = (self.remb.limit, self.remb.next) else {
            return;
        };
        if next > now || !self.is_connected() {
            return;
        }
        self.remb.next = Some(now + REMB_INTERVAL);
        let mut tracks = self.tracks.iter();
        let Some(ssrc) = tracks
            .find(|track| track.is_video() && track.feedback.remb)
            .and_then(SessionTrack::engine_ssrc)
        else {
            return;
        };
        if let Some(stream) = self.rtc.direct_api().stream_rx(&EngineSsrc::from(ssrc.0)) {
            stream.request_remb(Bitrate::bps(limit));
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
