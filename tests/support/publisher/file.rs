//! A media file as picture and sound of a presenter, played in a loop.
//!
//! Picture and sound are read by two demuxers of their own, each asked by media
//! time; a turn of the loop lasts as long as the container says for both, so
//! that they never drift apart.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use ffmpeg_next::{
    ChannelLayout, Error, codec, decoder,
    format::{self, Pixel, Sample, context::Input, sample},
    frame, media, packet,
    software::{resampling, scaling},
};

use super::tone;

/// One pass through the file for one kind of track.
struct Demuxer {
    input: Input,
    index: usize,
    /// Seconds per tick of the track.
    time_base: f64,
    /// Where the track's time begins, in seconds.
    origin: f64,
}

impl Demuxer {
    /// Opens the best track of this kind; `None` when there is none.
    fn open(path: &Path, kind: media::Type) -> Result<Option<(Self, codec::Parameters)>> {
        let input = format::input(path).with_context(|| format!("opening {}", path.display()))?;
        let Some(stream) = input.streams().best(kind) else {
            return Ok(None);
        };
        let (index, time_base) = (stream.index(), f64::from(stream.time_base()));
        let parameters = stream.parameters();
        let origin = stream.start_time().max(0) as f64 * time_base;
        let demuxer = Self {
            input,
            index,
            time_base,
            origin,
        };
        Ok(Some((demuxer, parameters)))
    }

    /// The track's next packet; `None` at the end of the file.
    fn next(&mut self) -> Option<packet::Packet> {
        loop {
            let mut packet = packet::Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.index => return Some(packet),
                Ok(()) => {}
                Err(_) => return None,
            }
        }
    }
}

fn duration(path: &Path) -> Result<f64> {
    let input = format::input(path)?;
    let seconds = input.duration() as f64 / f64::from(ffmpeg_next::ffi::AV_TIME_BASE);
    ensure!(seconds > 0.0, "{} has no duration", path.display());
    Ok(seconds)
}

/// Size of the file's picture, both sides rounded down to even numbers.
pub(super) fn size(path: &Path) -> Result<(u32, u32)> {
    let (_, parameters) = Demuxer::open(path, media::Type::Video)?
        .with_context(|| format!("{} has no picture", path.display()))?;
    let video = codec::context::Context::from_parameters(parameters)?
        .decoder()
        .video()?;
    Ok((video.width() & !1, video.height() & !1))
}

/// The picture of a file, asked for by media time.
pub(super) struct Video {
    path: PathBuf,
    size: (u32, u32),
    period: f64,
    turn: u64,
    demuxer: Demuxer,
    decoder: decoder::Video,
    scaler: Option<scaling::Context>,
    shown: Option<frame::Video>,
    next: Option<frame::Video>,
}

impl Video {
    /// Opens the file; frames come out scaled to `size`.
    pub(super) fn open(path: &Path, size: (u32, u32)) -> Result<Self> {
        let (demuxer, decoder) = Self::rewind(path)?;
        Ok(Self {
            path: path.to_owned(),
            size,
            period: duration(path)?,
            turn: 0,
            demuxer,
            decoder,
            scaler: None,
            shown: None,
            next: None,
        })
    }

    fn rewind(path: &Path) -> Result<(Demuxer, decoder::Video)> {
        let (demuxer, parameters) = Demuxer::open(path, media::Type::Video)?
            .with_context(|| format!("{} has no picture", path.display()))?;
        let decoder = codec::context::Context::from_parameters(parameters)?
            .decoder()
            .video()?;
        Ok((demuxer, decoder))
    }

    /// Changes the size of the frames that come out.
    pub(super) fn set_size(&mut self, size: (u32, u32)) {
        self.size = size;
        self.scaler = None;
    }

    /// The frame to show `seconds` after the start.
    pub(super) fn at(&mut self, seconds: f64) -> Result<frame::Video> {
        loop {
            if self.next.is_none() {
                self.next = self.decode()?;
            }
            match &self.next {
                Some(frame) if self.time_of(frame) <= seconds => self.shown = self.next.take(),
                Some(_) => break,
                None if seconds >= (self.turn + 1) as f64 * self.period => {
                    self.turn += 1;
                    (self.demuxer, self.decoder) = Self::rewind(&self.path)?;
                }
                None => break,
            }
        }
        let frame = self.shown.as_ref().or(self.next.as_ref());
        let frame = frame.context("the file has no frame to show")?.clone();
        self.scale(&frame)
    }

    fn time_of(&self, frame: &frame::Video) -> f64 {
        let ticks = frame.timestamp().unwrap_or(0) as f64;
        self.turn as f64 * self.period + ticks * self.demuxer.time_base - self.demuxer.origin
    }

    fn decode(&mut self) -> Result<Option<frame::Video>> {
        loop {
            let mut frame = frame::Video::empty();
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) => return Ok(Some(frame)),
                Err(Error::Eof) => return Ok(None),
                Err(Error::Other { errno }) if errno == ffmpeg_next::error::EAGAIN => {}
                Err(error) => return Err(error.into()),
            }
            match self.demuxer.next() {
                Some(packet) => self.decoder.send_packet(&packet)?,
                None => self.decoder.send_eof()?,
            }
        }
    }

    fn scale(&mut self, frame: &frame::Video) -> Result<frame::Video> {
        let (width, height) = self.size;
        let scaler = match &mut self.scaler {
            Some(scaler) => scaler,
            none => none.insert(scaling::Context::get(
                frame.format(),
                frame.width(),
                frame.height(),
                Pixel::YUV420P,
                width,
                height,
                scaling::Flags::BILINEAR,
            )?),
        };
        let mut scaled = frame::Video::empty();
        scaler.run(frame, &mut scaled)?;
        Ok(scaled)
    }
}

/// The sound of a file, asked for in order, as 48 kHz stereo.
pub(super) struct Audio {
    path: PathBuf,
    /// Samples per channel in one turn of the loop.
    period: u64,
    /// Samples per channel given out in this turn.
    given: u64,
    track: Option<AudioTrack>,
}

struct AudioTrack {
    demuxer: Demuxer,
    decoder: decoder::Audio,
    resampler: Option<resampling::Context>,
    ready: VecDeque<i16>,
    has_ended: bool,
}

impl Audio {
    /// Opens the file; one without sound plays silence.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            period: (duration(path)? * f64::from(tone::RATE)) as u64,
            given: 0,
            track: AudioTrack::open(path)?,
        })
    }

    /// Fills `samples`, interleaved stereo, with what comes next.
    pub(super) fn fill(&mut self, samples: &mut [i16]) -> Result<()> {
        for pair in samples.chunks_exact_mut(2) {
            if self.given == self.period {
                self.given = 0;
                self.track = AudioTrack::open(&self.path)?;
            }
            self.given += 1;
            pair.fill(0);
            let Some(track) = &mut self.track else {
                continue;
            };
            while track.ready.len() < 2 && !track.has_ended {
                track.decode()?;
            }
            for (sample, value) in pair
                .iter_mut()
                .zip(track.ready.drain(..track.ready.len().min(2)))
            {
                *sample = value;
            }
        }
        Ok(())
    }
}

impl AudioTrack {
    fn open(path: &Path) -> Result<Option<Self>> {
        let Some((demuxer, parameters)) = Demuxer::open(path, media::Type::Audio)? else {
            return Ok(None);
        };
        let decoder = codec::context::Context::from_parameters(parameters)?
            .decoder()
            .audio()?;
        Ok(Some(Self {
            demuxer,
            decoder,
            resampler: None,
            ready: VecDeque::new(),
            has_ended: false,
        }))
    }

    fn decode(&mut self) -> Result<()> {
        let mut frame = frame::Audio::empty();
        match self.decoder.receive_frame(&mut frame) {
            Ok(()) => return self.resample(&frame),
            Err(Error::Eof) => {
                self.has_ended = true;
                return Ok(());
            }
            Err(Error::Other { errno }) if errno == ffmpeg_next::error::EAGAIN => {}
            Err(error) => return Err(error.into()),
        }
        match self.demuxer.next() {
            Some(packet) => self.decoder.send_packet(&packet)?,
            None => self.decoder.send_eof()?,
        }
        Ok(())
    }

    fn resample(&mut self, frame: &frame::Audio) -> Result<()> {
        let stereo = Sample::I16(sample::Type::Packed);
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            none => none.insert(resampling::Context::get(
                frame.format(),
                frame.channel_layout(),
                frame.rate(),
                stereo,
                ChannelLayout::STEREO,
                tone::RATE,
            )?),
        };
        let mut out = frame::Audio::empty();
        resampler.run(frame, &mut out)?;
        let bytes = &out.data(0)[..out.samples() * 4];
        self.ready.extend(
            bytes
                .chunks_exact(2)
                .map(|b| i16::from_ne_bytes([b[0], b[1]])),
        );
        Ok(())
    }
}
