//! The two threads that make media: one draws and encodes pictures, one sound.
//!
//! Both follow one constant schedule from one start, so that a frame that could
//! not be made in time leaves a gap and shifts nothing.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use bytes::Bytes;
use ffmpeg_next::frame;
use inlet_common::clock::{self, UtcTime};
use tokio::runtime::Handle;

use super::{
    Options,
    camera::{self, Camera},
    encode,
    feedback::Feedback,
    file,
    picture::Picture,
    tone,
    track::Track,
};

/// How often a track says which wall time its RTP time stands for.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What both threads share, and what tests read.
pub(super) struct Shared {
    pub(super) feedback: Arc<Feedback>,
    pub(super) stop: AtomicBool,
    camera: Mutex<Camera>,
    /// Pictures as they were sent, once somebody wants them.
    recording: Mutex<Option<Vec<Bytes>>>,
    /// No sound is sent while it is set.
    pub(super) is_muted: AtomicBool,
    pub(super) frames: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) key_frames: AtomicU64,
    pub(super) packets: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Shared {
    pub(super) fn new(camera: Camera, feedback: Arc<Feedback>) -> Self {
        Self {
            feedback,
            stop: AtomicBool::new(false),
            camera: Mutex::new(camera),
            recording: Mutex::new(None),
            is_muted: AtomicBool::new(false),
            frames: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            key_frames: AtomicU64::new(0),
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// The camera, to be read or exchanged.
    pub(super) fn camera(&self) -> MutexGuard<'_, Camera> {
        self.camera.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept of the pictures sent.
    pub(super) fn recording(&self) -> MutexGuard<'_, Option<Vec<Bytes>>> {
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn note_sent(&self, (packets, bytes): (u64, u64)) {
        self.packets.fetch_add(packets, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }
}

/// The moment at which media time is 0, on both clocks.
#[derive(Clone, Copy)]
pub(super) struct Start {
    instant: Instant,
    utc: UtcTime,
}

impl Start {
    /// Starts now.
    pub(super) fn now() -> Self {
        Self {
            instant: clock::now(),
            utc: clock::utc(),
        }
    }

    /// Sleeps until this much media time has passed.
    fn sleep_until(self, media_time: Duration) {
        let left = (self.instant + media_time).saturating_duration_since(clock::now());
        thread::sleep(left);
    }

    fn elapsed(self) -> Duration {
        clock::now().saturating_duration_since(self.instant)
    }
}

/// Sends sender reports when they are due.
struct Reports {
    start: Start,
    due: Duration,
}

impl Reports {
    async fn send_if_due(&mut self, track: &Track) -> Result<()> {
        let elapsed = self.start.elapsed();
        if elapsed < self.due {
            return Ok(());
        }
        self.due = elapsed + REPORT_INTERVAL;
        let micros = elapsed.as_micros() as u64;
        let ticks = micros * u64::from(track.clock_rate) / 1_000_000;
        let utc = self.start.utc.plus_micros(micros as i64);
        track.report(utc, ticks).await
    }
}

enum Source {
    Test(Picture),
    File(Box<file::Video>),
}

impl Source {
    fn open(options: &Options, size: (u32, u32)) -> Result<Self> {
        Ok(match &options.file {
            None => Self::Test(Picture::new(size.0, size.1)),
            Some(path) => Self::File(Box::new(file::Video::open(path, size)?)),
        })
    }

    fn set_size(&mut self, size: (u32, u32)) {
        match self {
            Self::Test(picture) => *picture = Picture::new(size.0, size.1),
            Self::File(file) => file.set_size(size),
        }
    }

    fn frame(&mut self, counter: u64, media_time: Duration) -> Result<frame::Video> {
        match self {
            Self::Test(picture) => {
                let time = clock::utc().as_unix_micros() / 1_000;
                Ok(picture.draw(counter, time as u64))
            }
            Self::File(file) => file.at(media_time.as_secs_f64()),
        }
    }
}

/// A camera with its encoder.
struct Film<'a> {
    options: &'a Options,
    camera: Camera,
    source: Source,
    encoder: encode::Video,
    /// The orientation that was told last.
    told: Option<u8>,
}

impl<'a> Film<'a> {
    fn open(options: &'a Options, camera: Camera) -> Result<Self> {
        Ok(Self {
            options,
            camera,
            source: Source::open(options, camera.size)?,
            encoder: encoder(options, &camera)?,
            told: None,
        })
    }

    /// Goes on with another camera; whether it is another source.
    fn exchange(&mut self, camera: Camera) -> Result<bool> {
        if camera.size != self.camera.size {
            self.source.set_size(camera.size);
        }
        if camera.needs_encoder_after(&self.camera) {
            self.encoder = encoder(self.options, &camera)?;
        }
        let before = std::mem::replace(&mut self.camera, camera);
        Ok(camera.source != before.source)
    }

    fn shoot(&mut self, counter: u64, media_time: Duration, key: bool) -> Result<encode::Coded> {
        let upright = self.source.frame(counter, media_time)?;
        let mut picture = camera::turned(upright, self.camera.quarter_turns);
        self.encoder.encode(&mut picture, counter, key)
    }

    /// What is to be told of the orientation with this frame: as browsers do, on
    /// key frames, on each change, and on every frame that is not upright.
    fn orientation(&mut self, is_key: bool) -> Option<u8> {
        let turns = self.camera.quarter_turns;
        let before = self.told.replace(turns);
        (is_key || turns != 0 || before != Some(turns)).then_some(turns)
    }
}

fn encoder(options: &Options, camera: &Camera) -> Result<encode::Video> {
    // Frames keep the numbers of the schedule, so its rate is theirs too.
    encode::Video::open(options.codec, camera.coded(), options.fps, options.bitrate)
}

/// Draws, encodes and sends pictures until told to stop.
pub(super) fn video(
    options: &Options,
    shared: &Shared,
    start: Start,
    mut track: Track,
    runtime: &Handle,
) -> Result<()> {
    let fps = u64::from(options.fps);
    let mut film = Film::open(options, *shared.camera())?;
    let mut reports = Reports {
        start,
        due: Duration::ZERO,
    };
    let mut counter = 0;
    while !shared.stop.load(Relaxed) {
        let media_time = Duration::from_nanos(counter * 1_000_000_000 / fps);
        start.sleep_until(media_time);
        let on_time = (start.elapsed().as_nanos() as u64 * fps / 1_000_000_000).max(counter);
        if on_time > counter + 1 {
            shared.skipped.fetch_add(on_time - counter, Relaxed);
            counter = on_time;
            continue;
        }
        let camera = *shared.camera();
        if !camera.shoots(counter) {
            counter += 1;
            continue;
        }
        if camera != film.camera && film.exchange(camera)? {
            track.begin_anew();
        }
        let key = !camera.is_deaf && shared.feedback.key_wanted.swap(false, Relaxed);
        let coded = film.shoot(counter, media_time, key)?;
        if let Some(pictures) = shared.recording().as_mut() {
            pictures.push(coded.data.clone());
        }
        let turns = film.orientation(coded.is_key);
        let ticks = counter * 90_000 / fps;
        shared.note_sent(runtime.block_on(track.send(&coded.data, ticks, turns))?);
        runtime.block_on(reports.send_if_due(&track))?;
        shared.frames.fetch_add(1, Relaxed);
        shared
            .key_frames
            .fetch_add(u64::from(coded.is_key), Relaxed);
        counter += 1;
    }
    Ok(())
}

/// Makes, encodes and sends sound until told to stop.
pub(super) fn audio(
    options: &Options,
    shared: &Shared,
    start: Start,
    mut track: Track,
    runtime: &Handle,
) -> Result<()> {
    let mut file = options.file.as_deref().map(file::Audio::open).transpose()?;
    let mut encoder = encode::Audio::open()?;
    let mut reports = Reports {
        start,
        due: Duration::ZERO,
    };
    let mut samples = [0; 2 * encode::OPUS_FRAME];
    let mut first = 0;
    while !shared.stop.load(Relaxed) {
        // The last sample of a packet must have been heard before it is sent.
        let end = first + encode::OPUS_FRAME as u64;
        start.sleep_until(Duration::from_nanos(
            end * 1_000_000_000 / u64::from(tone::RATE),
        ));
        match &mut file {
            Some(file) => file.fill(&mut samples)?,
            None => tone::fill(&mut samples, first, options.fps),
        }
        let coded = encoder.encode(&samples, first)?;
        if let Some(data) = coded.filter(|_| !shared.is_muted.load(Relaxed)) {
            shared.note_sent(runtime.block_on(track.send(&data, first, None))?);
            runtime.block_on(reports.send_if_due(&track))?;
        }
        first = end;
    }
    Ok(())
}
