//! One presenter's session within a broadcast.
//!
//! Packets become frames in [`crate::ingest`]; frames and the clock become
//! ticks in [`super::schedule`]; both go to the worker. Nothing here waits.
//!
//! The ladder is chosen once per broadcast: by the resolution the presenter
//! announced, else by its largest frame within the first second. Until then
//! frames are kept.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use inlet_common::{
    clock::UtcTime,
    ids::{SessionId, SessionKey},
    roq::{
        FlowId,
        control::{self, Kind},
    },
};

use super::{
    broadcast::{Begin, Settings},
    directory::LastMedia,
    opus,
    schedule::Schedule,
};
use crate::{
    ingest::{self, Frame, FrameCodec, Track, TrackCounters},
    roq::{Link, flow::Media},
    timeline::{Epoch, FrameRate, MediaTime},
    transcode::{Input, ladder::Resolution, supervisor},
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

/// Frames kept while the largest one is looked for: a second at 60 frames per
/// second, twice.
const MAX_KEPT: usize = 128;

/// A session.
#[derive(Debug)]
pub(super) struct OnAir {
    pub(super) session: SessionId,
    /// Who shows the secret behind it may replace the session.
    pub(super) key: Option<SessionKey>,
    /// Between connections.
    pub(super) moves: u32,
    pub(super) link: Link,
    pub(super) region: String,
    pub(super) started_at: UtcTime,
    pub(super) last_media: LastMedia,
    settings: Arc<Settings>,
    epoch: Epoch,
    clock: ingest::Clock,
    tracks: Vec<OnAirTrack>,
    announced: Option<Resolution>,
    first_packet: Option<Instant>,
    first_picture: Option<Instant>,
    largest: Option<Resolution>,
    kept: Vec<Frame>,
    running: Option<Running>,
}

#[derive(Debug)]
struct OnAirTrack {
    flow: FlowId,
    track: Track,
    timeout: Option<Instant>,
    reported: TrackCounters,
}

/// The worker and its ticks.
#[derive(Debug)]
struct Running {
    worker: supervisor::Handle,
    schedule: Schedule,
    segment_frames: u64,
    has_ticked: bool,
    skipped: bool,
}

impl OnAir {
    pub(super) fn new(begin: Begin, epoch: Epoch, settings: Arc<Settings>) -> Self {
        let announced = begin
            .announced
            .map(|size| Resolution {
                width: size.width,
                height: size.height,
            })
            .filter(|size| size.width >= 16 && size.height >= 16);
        Self {
            session: begin.session,
            key: begin.key,
            moves: begin.epoch,
            tracks: tracks(&begin.tracks),
            link: begin.link,
            region: begin.region,
            started_at: begin.started_at,
            last_media: begin.last_media,
            settings,
            epoch,
            clock: ingest::Clock::default(),
            announced,
            first_packet: None,
            first_picture: None,
            largest: None,
            kept: Vec::new(),
            running: None,
        }
    }

    /// Goes on over another connection, with the flows it has there.
    pub(super) fn move_to(&mut self, begin: Begin) {
        self.link = begin.link;
        self.moves = begin.epoch;
        self.last_media = begin.last_media;
        for track in &begin.tracks {
            let kind = track.codec.kind();
            match self
                .tracks
                .iter_mut()
                .find(|known| known.track.kind() == kind)
            {
                Some(known) => known.flow = track.flow,
                None => self.tracks.extend(tracks(std::slice::from_ref(track))),
            }
        }
    }

    /// Goes on in the stead of another session: with its worker, its slots and its
    /// beginning. What was kept is handed to the worker.
    pub(super) fn take_over(&mut self, other: Self, now: Instant, utc: UtcTime) {
        self.started_at = other.started_at;
        self.running = other.running;
        if self.running.is_some() {
            self.flush(now, utc);
        }
    }

    /// Whether the worker can go on with what has come in so far: a key frame, or
    /// whatever there is when no picture comes; `beside` tells whether the session
    /// that it follows is still heard. One that is silent is never ready.
    pub(super) fn is_ready(&self, beside: bool, now: Instant, utc: UtcTime) -> bool {
        let has_video = || self.tracks.iter().any(|it| it.track.kind() == Kind::Video);
        let is_complete = self.first_picture.is_some() || !has_video();
        let has_waited = || {
            self.ready_timeout(beside, utc)
                .is_some_and(|timeout| now >= timeout)
        };
        self.first_packet.is_some() && !self.is_silent(utc) && (is_complete || has_waited())
    }

    /// When [`OnAir::is_ready`] will change its mind by itself.
    pub(super) fn ready_timeout(&self, beside: bool, utc: UtcTime) -> Option<Instant> {
        let wait = if beside {
            WAIT_BESIDE_ANOTHER
        } else {
            WAIT_FOR_PICTURE
        };
        let first = self.first_packet.filter(|_| !self.is_silent(utc))?;
        Some(first + wait)
    }

    /// Whether nothing has been heard of it for so long that another may come.
    pub(super) fn is_silent(&self, utc: UtcTime) -> bool {
        self.last_media.is_dead(utc)
    }

    /// Takes what the edge has learned of the tracks since OPEN.
    pub(super) fn update(&mut self, described: &[control::Track]) {
        for track in described {
            let kind = track.codec.kind();
            if let Some(known) = self
                .tracks
                .iter_mut()
                .find(|known| known.track.kind() == kind)
            {
                known.track.update(track);
            }
        }
    }

    /// Takes a packet.
    pub(super) fn handle_media(&mut self, media: &Media) {
        self.last_media.set(media.arrived);
        self.first_packet.get_or_insert(media.at);
        let Some(index) = self
            .tracks
            .iter()
            .position(|track| track.track.kind() == media.kind)
        else {
            return;
        };
        let track = &mut self.tracks[index].track;
        track.handle_packet(media.at, media.arrived, &mut self.clock, &media.packet);
        self.drain(index, media.at, media.arrived);
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, utc: UtcTime) {
        for index in 0..self.tracks.len() {
            if self.tracks[index]
                .timeout
                .is_some_and(|timeout| timeout <= now)
            {
                self.tracks[index]
                    .track
                    .handle_timeout(now, utc, &mut self.clock);
                self.drain(index, now, utc);
            }
        }
        let at = self.epoch.at(utc);
        let Some(running) = &mut self.running else {
            return;
        };
        let due = running.schedule.handle_timeout(at);
        running.skipped |= due.skipped;
        due.video.for_each(|number| running.tick(number));
        for number in due.audio {
            running.worker.send(Input::AudioTick { number });
        }
    }

    /// When [`OnAir::handle_timeout`] has something to do.
    pub(super) fn next_timeout(&self, now: Instant, utc: UtcTime) -> Option<Instant> {
        let to_instant = |at: MediaTime| {
            let micros = self.epoch.utc(at).micros_since(utc);
            now + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        };
        let slots = self
            .running
            .as_ref()
            .map(|running| to_instant(running.schedule.next_timeout()));
        self.tracks
            .iter()
            .filter_map(|track| track.timeout)
            .chain(slots)
            .min()
    }

    /// Which resolution the ladder shall be made for, once that is known and
    /// until [`OnAir::start`] has been called.
    pub(super) fn wants_start(&self, now: Instant) -> Option<Resolution> {
        if self.running.is_some() {
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

    /// When [`OnAir::wants_start`] will change its mind by itself; `None` while
    /// only a packet can change it.
    pub(super) fn start_timeout(&self) -> Option<Instant> {
        if self.running.is_some() {
            return None;
        }
        match self.first_picture {
            Some(first) => Some(first + LOOK_FOR),
            None => self.first_packet.map(|first| first + WAIT_FOR_PICTURE),
        }
    }

    /// Goes on air: the worker gets what was kept, and ticks begin.
    pub(super) fn start(
        &mut self,
        worker: supervisor::Handle,
        rate: FrameRate,
        after: Option<&Schedule>,
        now: Instant,
        utc: UtcTime,
    ) {
        let first = self.kept.first().map_or(utc, |frame| frame.capture);
        self.running = Some(Running {
            worker,
            schedule: Schedule::new(rate, self.epoch.at(first), after),
            segment_frames: u64::from(rate.as_u32()) * self.settings.media.segment.as_secs().max(1),
            has_ticked: false,
            skipped: false,
        });
        self.flush(now, utc);
    }

    fn flush(&mut self, now: Instant, utc: UtcTime) {
        for frame in std::mem::take(&mut self.kept) {
            self.handle_frame(frame, now, utc);
        }
    }

    /// Goes off air; tells where the next session's slots begin.
    pub(super) fn stop(self) -> Option<Schedule> {
        self.running.map(|running| running.schedule)
    }

    /// The worker lost its state: nothing decodes before the next key frame.
    pub(super) fn want_key_frame(&mut self, now: Instant, utc: UtcTime) {
        for index in 0..self.tracks.len() {
            if self.tracks[index].track.kind() == Kind::Video {
                self.tracks[index].track.want_key_frame(now);
                self.drain(index, now, utc);
            }
        }
    }

    /// Whether slots were left out since the last call.
    pub(super) fn take_skipped(&mut self) -> bool {
        self.running
            .as_mut()
            .is_some_and(|running| std::mem::take(&mut running.skipped))
    }

    /// Hands counters to the metrics, and the link's round trip to the tracks.
    pub(super) fn report(&mut self) {
        let round_trip = self.link.round_trip();
        for track in &mut self.tracks {
            track.track.set_round_trip(round_trip);
            let counters = track.track.counters();
            self.settings
                .metrics
                .track(track.track.kind(), &track.reported, &counters);
            track.reported = counters;
        }
    }

    fn drain(&mut self, index: usize, now: Instant, utc: UtcTime) {
        loop {
            let track = &mut self.tracks[index];
            match track.track.poll_output() {
                ingest::Output::Frame(frame) => self.handle_frame(frame, now, utc),
                ingest::Output::KeyFrameWanted(ssrc) => {
                    self.link.ask_key_frame(track.flow, ssrc);
                }
                ingest::Output::Timeout(timeout) => {
                    track.timeout = timeout;
                    return;
                }
            }
        }
    }

    fn handle_frame(&mut self, frame: Frame, now: Instant, utc: UtcTime) {
        let at = self.epoch.at(utc);
        let Some(running) = &mut self.running else {
            self.keep(frame, now);
            return;
        };
        let capture = self.epoch.at(frame.capture);
        match frame.codec {
            FrameCodec::Opus => running.sound(&frame, at, capture),
            FrameCodec::Video(_) => running.picture(frame, at, capture),
        }
    }

    fn keep(&mut self, frame: Frame, now: Instant) {
        if let Some(size) = frame.resolution
            && self
                .largest
                .is_none_or(|largest| area(size) > area(largest))
        {
            self.largest = Some(size);
        }
        let is_picture = frame.codec != FrameCodec::Opus;
        if is_picture && self.first_picture.is_none() {
            self.first_picture = Some(now);
        }
        // Sound before the first picture would begin the playlist with black.
        if self.first_picture.is_some() && self.kept.len() < MAX_KEPT {
            self.kept.push(frame);
        }
    }
}

impl Running {
    fn picture(&mut self, frame: Frame, now: MediaTime, capture: MediaTime) {
        let FrameCodec::Video(codec) = frame.codec else {
            return;
        };
        let slots = self.schedule.handle_picture(now, capture);
        slots.before.for_each(|number| self.tick(number));
        self.worker.send(Input::Video {
            codec,
            capture,
            quarter_turns: frame.quarter_turns,
            data: frame.data,
        });
        if let Some(number) = slots.own {
            self.tick(number);
        }
    }

    fn sound(&mut self, frame: &Frame, now: MediaTime, capture: MediaTime) {
        let Some(samples) = opus::samples(&frame.data) else {
            return;
        };
        self.worker.send(Input::Audio {
            capture,
            data: frame.data.clone(),
        });
        let end = capture.plus_micros(i64::from(samples) * 1_000 / 48);
        for number in self.schedule.handle_sound(now, end) {
            self.worker.send(Input::AudioTick { number });
        }
    }

    fn tick(&mut self, number: u64) {
        let idr = !self.has_ticked || self.schedule.begins_segment(number, self.segment_frames);
        self.has_ticked = true;
        self.worker.send(Input::VideoTick { number, idr });
    }
}

fn area(size: Resolution) -> u64 {
    u64::from(size.width) * u64::from(size.height)
}

fn tracks(described: &[control::Track]) -> Vec<OnAirTrack> {
    described
        .iter()
        .map(|track| OnAirTrack {
            flow: track.flow,
            track: Track::new(track),
            timeout: None,
            reported: TrackCounters::default(),
        })
        .collect()
}
