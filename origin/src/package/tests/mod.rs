//! The packager against synthetic samples, and once against real ones.
//!
//! [`Feed`] plays the worker; what comes out is judged by decoding the boxes
//! and by the strict playlist parser in [`playlist`].

mod breaks;
mod continuity;
mod growth;
mod legacy;
mod manifests;
mod opus;
pub(crate) mod playlist;
mod real;
mod shed;
mod thumbnails;

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use inlet_common::clock::UtcTime;
use mp4_atom::{Any, Decode, Moof};

use super::{Output, Packager, Presentation, Segment, Snapshot, Spec, Thumbnails};
use crate::{
    timeline::{Epoch, FrameRate},
    transcode::{
        self,
        ladder::{Resolution, Rung},
    },
};

pub(crate) const SPS: &[u8] = &[0x67, 0x64, 0x00, 0x1f, 0xac, 0x2c];
const OTHER_SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0x01, 0x02];
pub(crate) const PPS: &[u8] = &[0x68, 0xee, 0x3c, 0x80];
pub(crate) const ASC: &[u8] = &[0x11, 0x90];

/// 2026-01-01T00:00:00.250Z.
pub(crate) const EPOCH: Epoch = Epoch(UtcTime::from_unix_micros(1_767_225_600_250_000));

pub(crate) fn spec(fps: u32) -> Spec {
    let rung = |width, height, bitrate| Rung {
        resolution: Resolution { width, height },
        bitrate,
    };
    let ladder = vec![rung(1280, 720, 1_800_000), rung(640, 360, 450_000)];
    Spec::new(ladder, FrameRate::try_from(fps).unwrap(), EPOCH)
}

/// A worker that answers ticks, and the latest of what the packager made.
pub(crate) struct Feed {
    pub(crate) packager: Packager,
    fps: u64,
    has_opus: bool,
    /// The next frame, the next AAC frame and the next Opus packet.
    pub(crate) frame: u64,
    pub(crate) aac: u64,
    pub(crate) opus: u64,
    needs_idr: bool,
    /// Frames that a rung does not make.
    pub(crate) left_out: Vec<(usize, Range<u64>)>,
    pub(crate) presentation: Option<Arc<Presentation>>,
    pub(crate) snapshots: Vec<Option<Arc<Snapshot>>>,
    /// Every snapshot that changed a playlist, with its rendition.
    pub(crate) playlists: Vec<(usize, Arc<Snapshot>)>,
    pub(crate) thumbnails: Option<Arc<Thumbnails>>,
    /// What was drained and not yet taken by a test.
    pub(crate) outputs: Vec<Output>,
}

impl Feed {
    pub(crate) fn new(fps: u32, first_frame: u64) -> Self {
        Self::with(spec(fps), first_frame)
    }

    pub(crate) fn with(spec: Spec, first_frame: u64) -> Self {
        let fps = spec.rate.as_u32();
        let (rungs, has_opus) = (spec.ladder.len(), spec.opus_bitrate.is_some());
        let mut feed = Self {
            packager: Packager::new(spec).unwrap(),
            fps: u64::from(fps),
            frame: first_frame,
            has_opus,
            aac: first_frame * 48_000 / u64::from(fps) / 1024,
            opus: first_frame * 48_000 / u64::from(fps) / 960,
            needs_idr: true,
            left_out: Vec::new(),
            presentation: None,
            snapshots: vec![None; rungs + 1 + usize::from(has_opus)],
            playlists: Vec::new(),
            thumbnails: None,
            outputs: Vec::new(),
        };
        feed.configure(SPS);
        feed
    }

    pub(crate) fn configure(&mut self, sps: &'static [u8]) {
        for rung in 0..self.rungs() {
            let (sps, pps) = (Bytes::from_static(sps), Bytes::from_static(PPS));
            self.give(&transcode::Output::VideoConfig { rung, sps, pps });
        }
        self.give(&transcode::Output::AudioConfig {
            asc: Bytes::from_static(ASC),
        });
    }

    /// Feeds so many frames, and the audio beside them.
    pub(crate) fn run(&mut self, frames: u64) {
        for _ in 0..frames {
            self.video_frame();
            while self.aac * 1024 * self.fps < self.frame * 48_000 {
                let data = Bytes::from(vec![3; 300]);
                self.give(&transcode::Output::Audio {
                    number: self.aac,
                    data,
                });
                self.aac += 1;
            }
            while self.has_opus && self.opus * 960 * self.fps < self.frame * 48_000 {
                let data = Bytes::from(vec![4; 240]);
                self.give(&transcode::Output::Opus {
                    number: self.opus,
                    data,
                });
                self.opus += 1;
            }
        }
    }

    /// Goes on elsewhere, with an IDR.
    pub(crate) fn jump_to(&mut self, frame: u64) {
        self.frame = frame;
        self.aac = frame * 48_000 / self.fps / 1024;
        self.opus = frame * 48_000 / self.fps / 960;
        self.needs_idr = true;
    }

    /// The worker died; its audio goes on where it was.
    pub(crate) fn restart_at(&mut self, frame: u64) {
        self.frame = frame;
        self.needs_idr = true;
        self.give(&transcode::Output::Restarted);
    }

    pub(crate) fn give(&mut self, output: &transcode::Output) {
        self.packager.handle_output(output);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.packager.poll_output() {
            match &output {
                Output::Presentation(presentation) => {
                    self.presentation = Some(Arc::clone(presentation));
                }
                Output::Thumbnails(thumbnails) => {
                    self.thumbnails = Some(Arc::clone(thumbnails));
                }
                Output::Rendition {
                    index,
                    snapshot,
                    playlist,
                    ..
                } => {
                    if *playlist {
                        self.playlists.push((*index, Arc::clone(snapshot)));
                    }
                    self.snapshots[*index] = Some(Arc::clone(snapshot));
                }
            }
            self.outputs.push(output);
        }
    }

    /// So many segments of a second, with the picture that a worker makes of the first
    /// frame of each.
    pub(crate) fn run_with_thumbnails(&mut self, segments: u64) {
        for _ in 0..segments {
            let number = self.frame;
            self.run(1);
            self.give(&transcode::Output::Thumbnail {
                number,
                data: Bytes::from(format!("jpeg {number}")),
            });
            self.run(self.fps - number % self.fps - 1);
        }
    }

    pub(crate) fn snapshot(&self, index: usize) -> &Snapshot {
        self.snapshots[index].as_ref().unwrap()
    }

    pub(crate) fn media(&self, index: usize) -> String {
        media(self.snapshot(index), &self.packager, index)
    }

    fn rungs(&self) -> usize {
        self.packager.names().len() - 1 - usize::from(self.has_opus)
    }

    fn video_frame(&mut self) {
        let idr = self.needs_idr || self.frame.is_multiple_of(self.fps);
        self.needs_idr = false;
        let number = self.frame;
        let is_made = |rung: &usize| {
            let mut all = self.left_out.iter();
            all.all(|(out, frames)| out != rung || !frames.contains(&number))
        };
        let made: Vec<usize> = (0..self.rungs()).filter(is_made).collect();
        for rung in made {
            let data = picture(rung, idr);
            self.give(&transcode::Output::Video {
                rung,
                number,
                idr,
                data,
            });
        }
        self.frame += 1;
    }
}

/// One NAL unit after its length, of 4,000 bytes or 900.
fn picture(rung: usize, idr: bool) -> Bytes {
    let (size, kind) = if idr { (4000, 0x65) } else { (900, 0x41) };
    let mut data = vec![rung as u8 + 1; size];
    data[..4].copy_from_slice(&(size as u32 - 4).to_be_bytes());
    data[4] = kind;
    data.into()
}

pub(crate) fn media(snapshot: &Snapshot, packager: &Packager, index: usize) -> String {
    let (layout, epoch) = (packager.layout(), packager.epoch());
    let (_, _, beat) = packager.tracks().nth(index).unwrap();
    super::hls::media(snapshot, &beat, layout, epoch, &[], false)
}

/// The samples of a segment, read back from its bytes: when each begins, and itself.
pub(crate) fn coded(segment: &Segment) -> Vec<(u64, u64, bool, Bytes)> {
    let mut all = Vec::new();
    for chunk in &segment.chunks {
        let (mut at, samples) = super::fmp4::samples(chunk).unwrap();
        for sample in samples {
            all.push((at, sample.duration, sample.sync, sample.data));
            at += sample.duration;
        }
    }
    all
}

/// The samples of a segment as `(start, duration)`, decoded from its bytes.
fn samples(segment: &Segment) -> Vec<(u64, u64)> {
    segment
        .chunks
        .iter()
        .flat_map(|chunk| chunk_samples(chunk))
        .collect()
}

fn chunk_samples(chunk: &[u8]) -> Vec<(u64, u64)> {
    let moof = moof(chunk);
    let traf = &moof.traf[0];
    let mut at = traf.tfdt.as_ref().unwrap().base_media_decode_time;
    let ordinary = traf.tfhd.default_sample_duration.unwrap();
    let run = traf.trun[0].samples.iter();
    run.map(|entry| {
        let duration = u64::from(entry.duration.unwrap_or(ordinary));
        at += duration;
        (at - duration, duration)
    })
    .collect()
}

fn moof(mut chunk: &[u8]) -> Moof {
    loop {
        if let Any::Moof(moof) = Any::decode(&mut chunk).unwrap() {
            return moof;
        }
    }
}
