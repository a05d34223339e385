//! A viewer without a screen: FFmpeg plays a manifest, each frame's strip is
//! read, and the beeps are listened for.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use ffmpeg_next::{
    Dictionary, codec, decoder,
    format::{self, context::Input},
    frame, media, packet,
};
use inlet_common::clock;
use serde_json::Value;

use crate::strip::{self, Reading};

/// Frames with beeps enough for [`Watched::ensure_together`], though a busy machine loses
/// some.
pub const FOR_BEEPS: usize = 210;

/// Frames that a busy machine may lose at once in a picture that still runs
/// smoothly: a second.
const MAX_STEP: i64 = 30;
/// Seconds by which sound and picture may be apart.
const MAX_SKEW: f64 = 0.040;
/// Seconds by which they may be apart at any beep but one.
const MAX_SKEW_ONCE: f64 = 3.0 * MAX_SKEW;
/// A sample louder than this, of full scale 1, belongs to a beep.
const LOUD: f32 = 0.15;
/// Seconds of quiet after which a loud sample begins a new beep.
const QUIET: f64 = 0.1;

/// One frame as a viewer saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Width and height as decoded.
    pub size: (u32, u32),
    /// Presentation time in seconds, as the manifest has it.
    pub time: f64,
    /// What the strip says; `None` when it cannot be read.
    pub reading: Option<Reading>,
    /// Whether the strip was found in an upright picture between two black bars, as a
    /// phone that is turned upright fills a lying canvas.
    pub is_pillarboxed: bool,
}

/// All that a viewer saw and heard.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Frames in the order of presentation.
    pub frames: Vec<Seen>,
    /// Presentation times at which a beep began.
    pub beeps: Vec<f64>,
}

impl Watched {
    /// Strips of all frames.
    ///
    /// # Errors
    ///
    /// When one could not be read.
    pub fn readings(&self) -> Result<Vec<Reading>> {
        self.frames
            .iter()
            .enumerate()
            .map(|(index, seen)| {
                seen.reading
                    .with_context(|| format!("frame {index} of {} has no strip", self.frames.len()))
            })
            .collect()
    }

    /// Largest step of capture time from one frame to the next, in milliseconds.
    ///
    /// # Errors
    ///
    /// When a strip cannot be read.
    pub fn largest_gap(&self) -> Result<i64> {
        let readings = self.readings()?;
        let steps = readings
            .windows(2)
            .map(|pair| strip::difference(pair[1].time, pair[0].time));
        steps.max().context("fewer than two frames")
    }

    /// The same, passing over frames without a strip, of which there may be some where an
    /// encoder is short of bits.
    ///
    /// # Errors
    ///
    /// When too many cannot be read.
    pub fn largest_readable_gap(&self) -> Result<i64> {
        let mut readable = self.clone();
        readable.frames.retain(|seen| seen.reading.is_some());
        ensure!(
            readable.frames.len() * 10 > self.frames.len() * 7,
            "only {} of {} frames can be read",
            readable.frames.len(),
            self.frames.len()
        );
        readable.largest_gap()
    }

    /// Checks that counters never go back and that hardly any is missing.
    ///
    /// # Errors
    ///
    /// With the counters, when it is not so.
    pub fn ensure_smooth(&self) -> Result<()> {
        let readings = self.readings()?;
        let counters: Vec<u32> = readings.iter().map(|reading| reading.counter).collect();
        let steps: Vec<i64> = counters
            .windows(2)
            .map(|pair| strip::difference(pair[1], pair[0]))
            .collect();
        let kept = steps.iter().filter(|step| **step == 1).count();
        // Resampling to the constant rate repeats or drops one now and then.
        if steps.iter().any(|step| !(0..=MAX_STEP).contains(step)) || kept * 10 < steps.len() * 8 {
            bail!("the picture does not run smoothly: {counters:?}");
        }
        Ok(())
    }

    /// Checks that sound and picture are together where a beep was heard, which was at
    /// least three times: nearly always, and never far apart but once.
    ///
    /// # Errors
    ///
    /// With what was heard and when, when it is not so.
    pub fn ensure_together(&self) -> Result<()> {
        let skews = self.skews();
        let mut sizes: Vec<f64> = skews.iter().map(|skew| skew.abs()).collect();
        sizes.sort_unstable_by(f64::total_cmp);
        ensure!(sizes.len() >= 3, "beeps at {:?}", self.beeps);
        let (median, all_but_one) = (sizes[sizes.len() / 2], sizes[sizes.len() - 2]);
        ensure!(
            median < MAX_SKEW && all_but_one < MAX_SKEW_ONCE,
            "sound is late by {skews:?} s"
        );
        Ok(())
    }

    /// Beep heard minus its frame shown, in seconds, for each beep whose frame was seen
    /// behind the one before it; positive when the sound is late. A frame behind a hole is
    /// late itself, by what a busy machine held it up.
    pub fn skews(&self) -> Vec<f64> {
        let mut times: Vec<f64> = Vec::new();
        let mut before = None;
        for seen in &self.frames {
            let counter = seen.reading.map(|reading| reading.counter);
            // So a repeated frame is shown when it is first shown.
            let is_next = before
                .zip(counter)
                .is_some_and(|(before, counter)| strip::difference(counter, before) == 1);
            let is_beep = counter.is_some_and(|it| u64::from(it).is_multiple_of(strip::BEEP_EVERY));
            if is_next && is_beep {
                times.push(seen.time);
            }
            before = counter;
        }
        times
            .iter()
            .filter_map(|time| {
                let skews = self.beeps.iter().map(|beep| beep - time);
                skews
                    .filter(|skew| skew.abs() < 0.5)
                    .min_by(|a, b| a.abs().total_cmp(&b.abs()))
            })
            .collect()
    }
}

/// Plays the best tracks of a manifest or media playlist until `frames` frames
/// were decoded.
///
/// # Errors
///
/// When it cannot be played, or not within `patience`.
pub async fn watch(url: &str, frames: usize, patience: Duration) -> Result<Watched> {
    let url = url.to_owned();
    let goal = Goal::new(Arc::new(AtomicBool::new(true)), frames, patience);
    tokio::task::spawn_blocking(move || play(&url, goal)).await?
}

/// Plays likewise while `script` runs, and so many frames more: however long the script
/// takes, the viewer was there before it and stays behind it.
///
/// # Errors
///
/// When it cannot be played, the script fails, or what follows takes longer than
/// `patience`.
pub fn watch_until<T>(
    url: &str,
    script: impl Future<Output = Result<T>>,
    frames: usize,
    patience: Duration,
) -> impl Future<Output = Result<(Watched, T)>> {
    // A whole scenario: as a part of the test's own future it would be there several
    // times, and too much for a stack.
    let script = Box::pin(script);
    let url = url.to_owned();
    let is_done = Arc::new(AtomicBool::new(false));
    let goal = Goal::new(Arc::clone(&is_done), frames, patience);
    let playing = async { tokio::task::spawn_blocking(move || play(&url, goal)).await? };
    let script = async move {
        let outcome = script.await;
        is_done.store(true, Relaxed);
        outcome
    };
    async { tokio::try_join!(playing, script) }
}

/// When a viewer has seen enough.
struct Goal {
    is_done: Arc<AtomicBool>,
    frames: usize,
    patience: Duration,
    /// When that was done which is waited for, and the frames until then.
    begin: Option<(Instant, usize)>,
}

impl Goal {
    fn new(is_done: Arc<AtomicBool>, frames: usize, patience: Duration) -> Self {
        let mut goal = Self {
            is_done,
            frames,
            patience,
            begin: None,
        };
        goal.look(0);
        goal
    }

    fn look(&mut self, seen: usize) {
        if self.begin.is_none() && self.is_done.load(Relaxed) {
            self.begin = Some((clock::now(), seen));
        }
    }

    /// Whether so many frames are enough; an error when they should be by now.
    fn is_reached(&mut self, seen: usize) -> Result<bool> {
        self.look(seen);
        let Some((begin, before)) = self.begin else {
            return Ok(false);
        };
        let (
            since,
            Self {
                frames, patience, ..
            },
        ) = (seen - before, self);
        let is_reached = since >= *frames;
        ensure!(
            is_reached || clock::now().duration_since(begin) < *patience,
            "{since} of {frames} frames within {patience:?}"
        );
        Ok(is_reached)
    }
}

fn play(url: &str, mut goal: Goal) -> Result<Watched> {
    ffmpeg_next::init()?;
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Error);
    let mut options = Dictionary::new();
    // Microseconds; without it a stalled playlist would hold the test for ever.
    options.set("rw_timeout", &goal.patience.as_micros().to_string());
    let mut input = format::input_with_dictionary(&PathBuf::from(url), options)
        .with_context(|| format!("opening {url}"))?;
    let mut picture = Picture::open(&input)?.context("no picture")?;
    let mut sound = Sound::open(&input)?;
    let mut watched = Watched::default();
    while !goal
        .is_reached(watched.frames.len())
        .with_context(|| url.to_owned())?
    {
        let mut packet = packet::Packet::empty();
        packet
            .read(&mut input)
            .with_context(|| format!("{url}: after {} frames", watched.frames.len()))?;
        if packet.stream() == picture.index {
            picture.handle(&packet, &mut watched.frames)?;
        } else if let Some(sound) = &mut sound
            && packet.stream() == sound.index
        {
            sound.handle(&packet, &mut watched.beeps)?;
        }
    }
    Ok(watched)
}

struct Picture {
    index: usize,
    time_base: f64,
    decoder: decoder::Video,
}

impl Picture {
    fn open(input: &Input) -> Result<Option<Self>> {
        let Some(stream) = input.streams().best(media::Type::Video) else {
            return Ok(None);
        };
        let context = codec::context::Context::from_parameters(stream.parameters())?;
        Ok(Some(Self {
            index: stream.index(),
            time_base: f64::from(stream.time_base()),
            decoder: context.decoder().video()?,
        }))
    }

    fn handle(&mut self, packet: &packet::Packet, seen: &mut Vec<Seen>) -> Result<()> {
        self.decoder.send_packet(packet)?;
        let mut frame = frame::Video::empty();
        while self.decoder.receive_frame(&mut frame).is_ok() {
            let luma = strip::Plane {
                data: frame.data(0),
                stride: frame.stride(0),
                width: frame.width() as usize,
                height: frame.height() as usize,
            };
            let whole = strip::read(luma);
            let upright = || strip::read(luma.upright()?);
            let reading = whole.or_else(upright);
            seen.push(Seen {
                size: (frame.width(), frame.height()),
                time: frame.timestamp().unwrap_or(0) as f64 * self.time_base,
                reading,
                is_pillarboxed: whole.is_none() && reading.is_some(),
            });
        }
        Ok(())
    }
}

struct Sound {
    index: usize,
    time_base: f64,
    decoder: decoder::Audio,
    last_loud: f64,
}

impl Sound {
    fn open(input: &Input) -> Result<Option<Self>> {
        let Some(stream) = input.streams().best(media::Type::Audio) else {
            return Ok(None);
        };
        let context = codec::context::Context::from_parameters(stream.parameters())?;
        Ok(Some(Self {
            index: stream.index(),
            time_base: f64::from(stream.time_base()),
            decoder: context.decoder().audio()?,
            last_loud: f64::INFINITY,
        }))
    }

    /// AAC decodes to planar 32-bit float.
    fn handle(&mut self, packet: &packet::Packet, beeps: &mut Vec<f64>) -> Result<()> {
        self.decoder.send_packet(packet)?;
        let mut frame = frame::Audio::empty();
        while self.decoder.receive_frame(&mut frame).is_ok() {
            let begin = frame.timestamp().unwrap_or(0) as f64 * self.time_base;
            // What came before the first frame is unknown: begin as if in a beep.
            if self.last_loud.is_infinite() {
                self.last_loud = begin;
            }
            for (index, sample) in frame.plane::<f32>(0).iter().enumerate() {
                if sample.abs() < LOUD {
                    continue;
                }
                let time = begin + index as f64 / f64::from(frame.rate());
                if time - self.last_loud > QUIET {
                    beeps.push(time);
                }
                self.last_loud = time;
            }
        }
        Ok(())
    }
}

/// What `ffprobe` says of a manifest: its streams, as JSON.
///
/// # Errors
///
/// When it does not understand the manifest, or not in time.
pub async fn probe(url: &str, patience: Duration) -> Result<Vec<Value>> {
    let run = tokio::process::Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-show_streams", url])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(patience, run)
        .await
        .with_context(|| format!("ffprobe {url}: not within {patience:?}"))??;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ffprobe {url}: {complaints}");
    let mut answer: Value = serde_json::from_slice(&output.stdout)?;
    let streams = answer["streams"].take();
    Ok(streams.as_array().cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests;
