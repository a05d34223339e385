//! The decoding thread: coded pictures in, a picture for every tick out.
//!
//! It meets the stranger's bytes. A refused picture is counted and its stream
//! frozen at the last good picture until the next key frame, because what a
//! decoder makes of frames without their reference is garbage that it does
//! not report. Nothing here ends the worker but a lost thread.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender},
    },
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use ffmpeg_next::{Dictionary, Packet, codec, decoder, frame};
use inlet_common::clock;

use super::{
    Error, encode,
    gauge::{Gauges, Reporter},
    scale::Picture,
    screen::Screen,
    send,
    sink::Sink,
};
use crate::{
    timeline::{FrameRate, MediaTime},
    transcode::{Output, VideoCodec, keyframe, ladder::Resolution},
};

/// What the reader hands over, in the stream's order.
pub(super) enum Job {
    SeedConfig {
        sps: Bytes,
        pps: Bytes,
    },
    SeedFrame {
        data: Bytes,
    },
    Coded(Coded),
    /// `rungs` as in [`crate::transcode::ipc::ToWorker::Tick`].
    Tick {
        number: u64,
        idr: bool,
        rungs: u8,
    },
}

/// A coded picture.
pub(super) struct Coded {
    pub(super) codec: VideoCodec,
    pub(super) capture: MediaTime,
    pub(super) quarter_turns: u8,
    pub(super) data: Bytes,
}

/// Decodes and deals out pictures until the sender is gone.
pub(super) fn run(
    rate: FrameRate,
    jobs: Receiver<Job>,
    rungs: &[SyncSender<encode::Job>],
    sink: &Sink,
    gauges: &Gauges,
) -> Result<(), Error> {
    let mut seed = Seed::default();
    let mut source = Source::default();
    let mut screen = Screen::default();
    let mut reporter = Reporter::new(rate, clock::now());
    for job in jobs {
        let begin = clock::now();
        match job {
            Job::SeedConfig { sps, pps } => seed.handle_config(&sps, &pps),
            Job::SeedFrame { data } => {
                if let Some(picture) = seed.handle_frame(&data) {
                    screen.seed(Arc::new(picture));
                }
            }
            Job::Coded(coded) => {
                let was_frozen = source.is_frozen();
                source.handle_coded(&coded, &mut screen, gauges);
                gauges.decoded(clock::now().saturating_duration_since(begin));
                if source.is_frozen() && !was_frozen {
                    send(sink, &Output::KeyFrameNeeded)?;
                }
            }
            Job::Tick {
                number,
                idr,
                rungs: asked,
            } => {
                let is_repeated = !screen.advance(rate, number);
                let is_asked = |(rung, _): &(usize, _)| asked >> rung & 1 == 1;
                for (_, rung) in rungs.iter().enumerate().filter(is_asked) {
                    let picture = screen.shown().cloned();
                    rung.send(encode::Job {
                        number,
                        idr,
                        picture,
                    })
                    .map_err(|_| Error::Thread)?;
                }
                report(begin, is_repeated, &mut reporter, source.size, gauges, sink)?;
            }
        }
    }
    Ok(())
}

fn report(
    now: Instant,
    is_repeated: bool,
    reporter: &mut Reporter,
    size: Option<Resolution>,
    gauges: &Gauges,
    sink: &Sink,
) -> Result<(), Error> {
    let Some(mut report) = reporter.handle_tick(now, is_repeated, gauges) else {
        return Ok(());
    };
    if let Some(size) = size {
        (report.source_width, report.source_height) = (size.width, size.height);
    }
    send(sink, &Output::Report(report))
}

/// The presenter's video.
#[derive(Default)]
struct Source {
    decoder: Option<(VideoCodec, decoder::Video)>,
    /// Pictures are withheld until the next key frame.
    frozen: bool,
    /// Of its last picture.
    size: Option<Resolution>,
}

impl Source {
    fn is_frozen(&self) -> bool {
        self.frozen
    }

    fn handle_coded(&mut self, coded: &Coded, screen: &mut Screen<Arc<Picture>>, gauges: &Gauges) {
        let is_key = keyframe::is_key_frame(coded.codec, &coded.data);
        if self
            .decoder
            .as_ref()
            .is_none_or(|(codec, _)| *codec != coded.codec)
        {
            // A new decoder knows nothing before a key frame.
            self.decoder = open(coded.codec).map(|decoder| (coded.codec, decoder));
            self.frozen = !is_key;
        } else if is_key && self.frozen {
            self.frozen = false;
            if let Some((_, decoder)) = &mut self.decoder {
                decoder.flush();
            }
        }
        if self.frozen {
            gauges.decode_error();
            return;
        }
        let Some((_, decoder)) = &mut self.decoder else {
            gauges.decode_error();
            self.frozen = true;
            return;
        };
        let size = &mut self.size;
        let is_good = decode(decoder, coded, |capture, picture| {
            *size = Some(picture.upright());
            screen.push(capture, Arc::new(picture));
        });
        if !is_good {
            gauges.decode_error();
            self.frozen = true;
        }
    }
}

/// Gives one coded picture to the decoder and shows what comes out. False when
/// the decoder found fault with it.
fn decode(
    decoder: &mut decoder::Video,
    coded: &Coded,
    mut show: impl FnMut(MediaTime, Picture),
) -> bool {
    if coded.data.is_empty() {
        return false;
    }
    let mut packet = Packet::copy(&coded.data);
    packet.set_pts(Some(coded.capture.as_micros()));
    let mut is_good = decoder.send_packet(&packet).is_ok();
    loop {
        let mut frame = frame::Video::empty();
        if decoder.receive_frame(&mut frame).is_err() {
            return is_good;
        }
        if frame.is_corrupt() || frame.has_decode_errors() {
            is_good = false;
        }
        if is_good {
            let capture = frame
                .timestamp()
                .map_or(coded.capture, MediaTime::from_micros);
            show(capture, Picture::new(frame, coded.quarter_turns));
        }
    }
}

fn open(codec: VideoCodec) -> Option<decoder::Video> {
    let id = match codec {
        VideoCodec::H264 => codec::Id::H264,
        VideoCodec::Vp8 => codec::Id::VP8,
        VideoCodec::Vp9 => codec::Id::VP9,
    };
    let codec = decoder::find(id)?;
    let mut context = codec::Context::new_with_codec(codec);
    context.set_flags(codec::Flags::LOW_DELAY);
    // Frame threads add a frame of delay each.
    let options = [("threads", "1"), ("max_pixels", MAX_PIXELS)];
    let options: Dictionary<'_> = options.iter().collect();
    match context
        .decoder()
        .open_as_with(codec, options)
        .and_then(decoder::Opened::video)
    {
        Ok(decoder) => Some(decoder),
        Err(error) => {
            tracing::warn!(?id, %error, "decoder not opened");
            None
        }
    }
}

/// Largest picture that is decoded, 4096 × 2304: what a browser may send, and
/// a bound on the memory that a stranger can ask for with one header.
const MAX_PIXELS: &str = "9437184";

/// Decodes our own frames of the time before the restart, so that viewers go
/// on seeing what they saw last.
#[derive(Default)]
struct Seed {
    header: Bytes,
    decoder: Option<decoder::Video>,
}

impl Seed {
    fn handle_config(&mut self, sps: &[u8], pps: &[u8]) {
        self.header = annex_b([sps, pps]);
        self.decoder = open(VideoCodec::H264);
    }

    fn handle_frame(&mut self, data: &[u8]) -> Option<Picture> {
        let decoder = self.decoder.as_mut()?;
        let mut unit = BytesMut::from(&std::mem::take(&mut self.header)[..]);
        unit.extend_from_slice(&annex_b(encode::units(data)));
        decoder.send_packet(&Packet::copy(&unit)).ok()?;
        let mut frame = frame::Video::empty();
        decoder.receive_frame(&mut frame).ok()?;
        Some(Picture::new(frame, 0))
    }
}

fn annex_b<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = BytesMut::new();
    for unit in units {
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(unit);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junk_freezes_the_source_and_is_counted() {
        let mut screen = Screen::default();
        let mut source = Source::default();
        let gauges = Gauges::new(1);
        for codec in [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9] {
            // Looks like a key frame, is none.
            let data = Bytes::from_static(match codec {
                VideoCodec::H264 => &[0, 0, 0, 1, 0x65, 1, 2, 3],
                VideoCodec::Vp8 => &[0x10, 2, 0, 0x9d, 0x01, 0x2a, 0, 0],
                VideoCodec::Vp9 => &[0x82, 0x49, 0, 0],
            });
            let capture = MediaTime::from_micros(0);
            let coded = Coded {
                codec,
                capture,
                quarter_turns: 0,
                data,
            };
            source.handle_coded(&coded, &mut screen, &gauges);
            assert!(source.is_frozen(), "{codec:?}");
        }
        assert!(!screen.advance(FrameRate::DEFAULT, 30) && screen.shown().is_none());
    }
}
