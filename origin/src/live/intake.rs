//! A presenter's media, from packets to a worker's input; pure.
//!
//! Packets become frames in [`crate::ingest`]; frames and the clock become
//! ticks in [`super::feed`], once there is a worker. Until then frames are
//! kept: the ladder is made for the resolution that the presenter announced,
//! else for its largest frame within the first second.
//!
//! After each `handle_…`, and after [`Intake::start`], [`Intake::take_over`],
//! [`Intake::begin_passage`] and [`Intake::want_key_frame`], call [`Intake::poll_output`] until it has
//! nothing more.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use inlet_common::{
    clock::UtcTime,
    roq::{
        FlowId,
        control::{self, Kind},
    },
    rtp::Ssrc,
};

use super::{
    feed::Feed,
    pass::{self, Passage, Reason, Rhythm, Sets},
    schedule::Schedule,
};
use crate::{
    ingest::{self, Frame, FrameCodec, Track, TrackCounters},
    timeline::{Epoch, FrameRate, MediaTime},
    transcode::{Input, VideoCodec, ladder::Resolution},
};

/// How long the largest frame is looked for.
const LOOK_FOR: Duration = Duration::from_secs(1);

/// A presenter whose picture has not come so long after its first packet is
/// broadcast as sound on a black picture.
const WAIT_FOR_PICTURE: Duration = Duration::from_secs(3);

/// So long while viewers see the session that it is to replace.
const WAIT_BESIDE_ANOTHER: Duration = Duration::from_secs(10);

/// The canvas of a presenter without a picture.
const BLANK: Resolution = Resolution {
    width: 640,
    height: 360,
};

/// A picture that Chromium begins scaled down grows in steps for so long. The
/// ladder may grow once, so the largest size counts; two seconds are left for
/// the key frame and the segment that it grows with.
const WATCH_GROWTH_FOR: Duration = Duration::from_secs(8);

/// Frames kept while the largest one is looked for: a second at 60 frames per
/// second, twice.
const MAX_KEPT: usize = 128;

/// What comes out.
#[derive(Debug)]
pub(super) enum Output {
    /// For the worker.
    Input(Input),
    /// For the presenter: nothing can be decoded before a key frame, or a segment is to
    /// begin with one of its own.
    KeyFrameWanted(FlowId, Ssrc),
    /// For the programme: what is told of pictures that are passed through.
    Pass(pass::Event),
}

/// Tracks, their clock, and what becomes of their frames.
#[derive(Debug)]
pub(super) struct Intake {
    epoch: Epoch,
    clock: ingest::Clock,
    tracks: Vec<IntakeTrack>,
    announced: Option<Resolution>,
    first_packet: Option<Instant>,
    first_picture: Option<Instant>,
    largest: Option<Resolution>,
    growth: Option<Growth>,
    /// Each with the moment when it was whole.
    kept: Vec<(UtcTime, Frame)>,
    feed: Option<Feed>,
    key_frames_wanted: VecDeque<(FlowId, Ssrc)>,
}

#[derive(Debug)]
struct IntakeTrack {
    flow: FlowId,
    track: Track,
    timeout: Option<Instant>,
    reported: TrackCounters,
}

/// A picture that may still grow.
#[derive(Debug)]
struct Growth {
    from: Resolution,
    /// A larger one's ladder has no more rungs.
    enough: u32,
    until: Instant,
}

impl Intake {
    /// Takes tracks as the edge has described them, and the size of the
    /// picture if the presenter has told it.
    pub(super) fn new(
        described: &[control::Track],
        announced: Option<Resolution>,
        epoch: Epoch,
    ) -> Self {
        Self {
            epoch,
            clock: ingest::Clock::default(),
            tracks: tracks(described),
            announced: announced.filter(|size| size.width >= 16 && size.height >= 16),
            first_packet: None,
            first_picture: None,
            largest: None,
            growth: None,
            kept: Vec::new(),
            feed: None,
            key_frames_wanted: VecDeque::new(),
        }
    }

    /// Goes on with the flows that another connection has.
    pub(super) fn move_to(&mut self, described: &[control::Track]) {
        for track in described {
            match self.track_of(track.codec.kind()) {
                Some(index) => self.tracks[index].flow = track.flow,
                None => self.tracks.extend(tracks(std::slice::from_ref(track))),
            }
        }
    }

    /// Takes what the edge has learned of the tracks since OPEN.
    pub(super) fn update(&mut self, described: &[control::Track]) {
        for track in described {
            if let Some(index) = self.track_of(track.codec.kind()) {
                self.tracks[index].track.update(track);
            }
        }
    }

    /// Takes a packet.
    pub(super) fn handle_packet(
        &mut self,
        kind: Kind,
        now: Instant,
        arrived: UtcTime,
        packet: &Bytes,
    ) {
        self.follow(now, arrived);
        self.first_packet.get_or_insert(now);
        let Some(index) = self.track_of(kind) else {
            return;
        };
        let track = &mut self.tracks[index].track;
        track.handle_packet(now, arrived, &mut self.clock, packet);
        self.drain(index, now, arrived);
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, utc: UtcTime) {
        self.follow(now, utc);
        for index in 0..self.tracks.len() {
            let track = &mut self.tracks[index];
            if track.timeout.is_some_and(|timeout| timeout <= now) {
                track.track.handle_timeout(now, utc, &mut self.clock);
                self.drain(index, now, utc);
            }
        }
        let Some(feed) = &mut self.feed else { return };
        feed.handle_timeout(self.epoch.at(utc));
        if feed.passage().is_some_and(Passage::take_wanted)
            && let Some(index) = self.track_of(Kind::Video)
        {
            self.tracks[index].track.ask_key_frame_now(now);
            self.drain(index, now, utc);
        }
    }

    /// When [`Intake::handle_timeout`] has something to do.
    pub(super) fn next_timeout(&self, now: Instant, utc: UtcTime) -> Option<Instant> {
        let to_instant = |at: MediaTime| {
            let micros = self.epoch.utc(at).micros_since(utc);
            now + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        };
        let slots = self
            .feed
            .as_ref()
            .map(|feed| to_instant(feed.next_timeout()));
        let growth = self.growth.as_ref().map(|growth| growth.until);
        let tracks = self.tracks.iter().filter_map(|track| track.timeout);
        tracks.chain(slots).chain(growth).min()
    }

    /// What the driver is to do next.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        if let Some((flow, ssrc)) = self.key_frames_wanted.pop_front() {
            return Some(Output::KeyFrameWanted(flow, ssrc));
        }
        let feed = self.feed.as_mut()?;
        if let Some(input) = feed.poll_input() {
            return Some(Output::Input(input));
        }
        feed.poll_event().map(Output::Pass)
    }

    /// Whether a worker can go on with what has come in so far: a key frame, or
    /// whatever there is when no picture comes; `beside` tells whether another
    /// session is on air meanwhile.
    pub(super) fn is_ready(&self, beside: bool, now: Instant) -> bool {
        let has_video = || self.track_of(Kind::Video).is_some();
        let is_complete = self.first_picture.is_some() || !has_video();
        let has_waited = || {
            self.ready_timeout(beside)
                .is_some_and(|timeout| now >= timeout)
        };
        self.first_packet.is_some() && (is_complete || has_waited())
    }

    /// When [`Intake::is_ready`] will change its mind by itself.
    pub(super) fn ready_timeout(&self, beside: bool) -> Option<Instant> {
        let wait = if beside {
            WAIT_BESIDE_ANOTHER
        } else {
            WAIT_FOR_PICTURE
        };
        self.first_packet.map(|first| first + wait)
    }

    /// Which resolution the ladder shall be made for, once that is known and
    /// until there is a worker.
    pub(super) fn wants_start(&self, now: Instant) -> Option<Resolution> {
        if self.feed.is_some() {
            return None;
        }
        match (self.announced, self.first_picture) {
            (Some(announced), Some(_)) => Some(announced),
            (None, Some(first)) if now >= first + LOOK_FOR => Some(self.largest.unwrap_or(BLANK)),
            (announced, None) => self
                .first_packet
                .is_some_and(|first| now >= first + WAIT_FOR_PICTURE)
                .then(|| announced.unwrap_or(BLANK)),
            (None, Some(_)) => None,
        }
    }

    /// When [`Intake::wants_start`] will change its mind by itself; `None` while
    /// only a packet can change it.
    pub(super) fn start_timeout(&self) -> Option<Instant> {
        if self.feed.is_some() {
            return None;
        }
        match self.first_picture {
            Some(first) => Some(first + LOOK_FOR),
            None => self.first_packet.map(|first| first + WAIT_FOR_PICTURE),
        }
    }

    /// There is a worker now: it gets what was kept, and ticks begin.
    pub(super) fn start(
        &mut self,
        rate: FrameRate,
        segment: Duration,
        after: Option<&Schedule>,
        utc: UtcTime,
    ) {
        let first = self.kept.first().map_or(utc, |(_, frame)| frame.capture);
        let segment_frames = u64::from(rate.as_u32()) * segment.as_secs().max(1);
        let first = self.epoch.at(first);
        self.feed = Some(Feed::new(rate, segment_frames, first, after));
        self.flush();
    }

    /// The ladder is made for `from` and may grow until the picture's short side
    /// is `enough`, unless the presenter has announced a size.
    pub(super) fn watch_growth(&mut self, from: Resolution, enough: u32) {
        let first = self.first_picture.filter(|_| self.announced.is_none());
        self.growth = first.map(|first| Growth {
            from,
            enough,
            until: first + WATCH_GROWTH_FOR,
        });
    }

    /// The size that the picture has grown to, once, when that is known.
    pub(super) fn wants_growth(&mut self, now: Instant) -> Option<Resolution> {
        let growth = self.growth.as_ref()?;
        let largest = self.largest.unwrap_or(growth.from);
        if largest.short_side() < growth.enough && now < growth.until {
            return None;
        }
        let from = self.growth.take()?.from;
        let grown = Some(largest).filter(|largest| area(*largest) > area(from));
        if grown.is_none() {
            self.settle();
        }
        grown
    }

    /// The ladder does not grow any more.
    pub(super) fn settle(&mut self) {
        if let Some(passage) = self.feed.as_mut().and_then(Feed::passage) {
            passage.settle();
        }
    }

    /// The parameter sets with which the picture begins, as it has come in so far.
    pub(super) fn parameter_sets(&mut self) -> Result<Sets, Reason> {
        let passage = self.feed.as_mut().and_then(Feed::passage);
        if let Some(passage) = passage {
            return passage.newest().cloned().ok_or(Reason::ParameterSets);
        }
        let h264 = FrameCodec::Video(VideoCodec::H264);
        let mut newest = self.kept.iter().rev().map(|(_, frame)| frame);
        let key = newest.find(|frame| frame.is_key && frame.codec != FrameCodec::Opus);
        let key = key.filter(|frame| frame.codec == h264);
        key.map_or(Err(Reason::Codec), |key| Sets::read(&key.data))
    }

    /// The picture may be passed through from here on, if it is a candidate.
    pub(super) fn begin_passage(&mut self, rhythm: Rhythm, candidate: Result<Sets, Reason>) {
        let passage = Passage::new(rhythm, candidate, self.growth.is_some());
        if let Some(feed) = &mut self.feed {
            feed.begin_passage(passage);
        }
    }

    /// See [`Passage::interrupt`].
    fn interrupt_passage(&mut self) {
        if let Some(passage) = self.feed.as_mut().and_then(Feed::passage) {
            passage.interrupt();
        }
    }

    /// See [`Passage::suspend`].
    pub(super) fn suspend_passage(&mut self, until: u64) {
        if let Some(passage) = self.feed.as_mut().and_then(Feed::passage) {
            passage.suspend(until);
        }
    }

    /// See [`Passage::hold_back`].
    pub(super) fn hold_back(&mut self, frame: u64) {
        if let Some(passage) = self.feed.as_mut().and_then(Feed::passage) {
            passage.hold_back(frame);
        }
    }

    /// See [`Feed::end_passage`].
    pub(super) fn end_passage(&mut self) {
        if let Some(feed) = &mut self.feed {
            feed.end_passage();
        }
    }

    /// Goes on with the worker of another session, and its slots.
    pub(super) fn take_over(&mut self, other: Self) {
        self.feed = other.feed;
        self.growth = other.growth;
        self.interrupt_passage();
        self.flush();
    }

    /// Tells where the next session's slots begin.
    pub(super) fn stop(self) -> Option<Schedule> {
        self.feed.map(Feed::into_schedule)
    }

    /// The worker lost its state: nothing decodes before the next key frame.
    pub(super) fn want_key_frame(&mut self, now: Instant, utc: UtcTime) {
        if let Some(index) = self.track_of(Kind::Video) {
            self.tracks[index].track.want_key_frame(now);
            self.drain(index, now, utc);
        }
    }

    /// Whether slots were left out since the last call.
    pub(super) fn take_skipped(&mut self) -> bool {
        self.feed.as_mut().is_some_and(Feed::take_skipped)
    }

    /// Tells how far away the edge is, and each track's counters: as they were
    /// at the last call, and as they are.
    pub(super) fn report(
        &mut self,
        round_trip: Duration,
        mut count: impl FnMut(Kind, &TrackCounters, &TrackCounters),
    ) {
        for track in &mut self.tracks {
            track.track.set_round_trip(round_trip);
            let counters = track.track.counters();
            count(track.track.kind(), &track.reported, &counters);
            track.reported = counters;
        }
    }

    /// Where our own clock has been set, what lies between is left out before anything
    /// comes on the new one.
    fn follow(&mut self, now: Instant, utc: UtcTime) {
        if self.clock.follow(now, utc)
            && let Some(feed) = &mut self.feed
        {
            feed.handle_timeout(self.epoch.at(utc));
        }
    }

    fn track_of(&self, kind: Kind) -> Option<usize> {
        self.tracks
            .iter()
            .position(|track| track.track.kind() == kind)
    }

    fn drain(&mut self, index: usize, now: Instant, utc: UtcTime) {
        loop {
            let track = &mut self.tracks[index];
            match track.track.poll_output() {
                ingest::Output::Frame(frame) => self.handle_frame(frame, now, utc),
                ingest::Output::KeyFrameWanted(ssrc) => {
                    self.key_frames_wanted.push_back((track.flow, ssrc));
                }
                ingest::Output::Timeout(timeout) => {
                    track.timeout = timeout;
                    return;
                }
            }
        }
    }

    fn handle_frame(&mut self, frame: Frame, now: Instant, utc: UtcTime) {
        let size = frame.resolution.map(|size| upright(size, &frame));
        if let Some(size) = size
            && self.largest.is_none_or(|known| area(size) > area(known))
        {
            self.largest = Some(size);
        }
        match &mut self.feed {
            Some(feed) => {
                let capture = self.epoch.at(frame.capture);
                feed.handle_frame(self.epoch.at(utc), capture, frame);
            }
            None => self.keep(frame, now, utc),
        }
    }

    fn keep(&mut self, frame: Frame, now: Instant, utc: UtcTime) {
        let is_picture = frame.codec != FrameCodec::Opus;
        if is_picture && self.first_picture.is_none() {
            self.first_picture = Some(now);
        }
        // Sound before the first picture would begin the playlist with black.
        if self.first_picture.is_some() && self.kept.len() < MAX_KEPT {
            self.kept.push((utc, frame));
        }
    }

    /// What was kept counts as it came: it was not late.
    fn flush(&mut self) {
        let Some(feed) = &mut self.feed else { return };
        for (utc, frame) in std::mem::take(&mut self.kept) {
            let capture = self.epoch.at(frame.capture);
            feed.handle_frame(self.epoch.at(utc), capture, frame);
        }
    }
}

/// The picture's size as viewers see it.
fn upright(size: Resolution, frame: &Frame) -> Resolution {
    if frame.quarter_turns.is_multiple_of(2) {
        return size;
    }
    Resolution {
        width: size.height,
        height: size.width,
    }
}

fn area(size: Resolution) -> u64 {
    u64::from(size.width) * u64::from(size.height)
}

fn tracks(described: &[control::Track]) -> Vec<IntakeTrack> {
    described
        .iter()
        .map(|track| IntakeTrack {
            flow: track.flow,
            track: Track::new(track),
            timeout: None,
            reported: TrackCounters::default(),
        })
        .collect()
}
