//! A viewer without a screen: FFmpeg plays a manifest, and each frame's strip
//! is read.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ffmpeg_next::{Dictionary, codec, decoder, format, frame, media, packet};
use inlet_common::clock;
use serde_json::Value;

use crate::strip::{self, Reading};

/// One frame as a viewer saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Width and height as decoded.
    pub size: (u32, u32),
    /// Presentation time in seconds, as the manifest has it.
    pub time: f64,
    /// What the strip says; `None` when it cannot be read.
    pub reading: Option<Reading>,
}

/// Plays the best video track of a manifest or media playlist until `frames`
/// frames were decoded or `patience` has passed.
///
/// # Errors
///
/// When it cannot be played, or not in time.
pub async fn watch(url: &str, frames: usize, patience: Duration) -> Result<Vec<Seen>> {
    let url = url.to_owned();
    tokio::task::spawn_blocking(move || play(&url, frames, patience)).await?
}

fn play(url: &str, frames: usize, patience: Duration) -> Result<Vec<Seen>> {
    ffmpeg_next::init()?;
    let start = clock::now();
    let mut options = Dictionary::new();
    // Microseconds; without it a stalled playlist would hold the test for ever.
    options.set("rw_timeout", &patience.as_micros().to_string());
    let mut input = format::input_with_dictionary(&PathBuf::from(url), options)
        .with_context(|| format!("opening {url}"))?;
    let stream = input
        .streams()
        .best(media::Type::Video)
        .context("no picture")?;
    let (index, time_base) = (stream.index(), f64::from(stream.time_base()));
    let mut decoder = codec::context::Context::from_parameters(stream.parameters())?
        .decoder()
        .video()?;
    let mut seen = Vec::new();
    while seen.len() < frames {
        ensure!(
            clock::now().duration_since(start) < patience,
            "{url}: {} of {frames} frames within {patience:?}",
            seen.len()
        );
        let mut packet = packet::Packet::empty();
        packet
            .read(&mut input)
            .with_context(|| format!("{url}: after {} frames", seen.len()))?;
        if packet.stream() == index {
            decoder.send_packet(&packet)?;
            receive(&mut decoder, time_base, &mut seen);
        }
    }
    Ok(seen)
}

fn receive(decoder: &mut decoder::Video, time_base: f64, seen: &mut Vec<Seen>) {
    let mut frame = frame::Video::empty();
    while decoder.receive_frame(&mut frame).is_ok() {
        seen.push(Seen {
            size: (frame.width(), frame.height()),
            time: frame.timestamp().unwrap_or(0) as f64 * time_base,
            reading: strip::read(strip::Plane {
                data: frame.data(0),
                stride: frame.stride(0),
                width: frame.width() as usize,
                height: frame.height() as usize,
            }),
        });
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
