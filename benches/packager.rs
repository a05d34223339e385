//! What packaging costs: from encoded frames to CMAF parts, and from a part to
//! the playlist that announces it. Pure code on one thread, no socket.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use benches::figure::{Figure, median, report, say};
use bytes::Bytes;
use inlet_common::clock::{self, UtcTime};
use inlet_origin::{
    package::{Output, Packager, Spec},
    store,
    timeline::{Epoch, FrameRate},
    transcode::{
        self,
        ladder::{Ladder, Resolution},
    },
};

const TURNS: usize = 9;
/// Media of one turn: 40 s, so that the window is full for most of it.
const FRAMES: u64 = 1_200;
const EPOCH: Epoch = Epoch(UtcTime::from_unix_micros(1_767_225_600_000_000));
// Parameter sets of libx264 for 720p, high profile; the packager only copies them.
const SPS: &[u8] = &[0x67, 0x64, 0x00, 0x1f, 0xac, 0x2c];
const PPS: &[u8] = &[0x68, 0xee, 0x3c, 0x80];
/// AAC-LC, 48 kHz, two channels.
const ASC: &[u8] = &[0x11, 0x90];

/// What one turn took.
#[derive(Default)]
struct Turn {
    packaging: Duration,
    rendering: Duration,
    parts: u32,
    playlists: u32,
}

fn main() -> Result<()> {
    let ladder = Ladder::default().for_source(Resolution {
        width: 1_280,
        height: 720,
    });
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        let turn = turn(&Spec::new(ladder.clone(), FrameRate::DEFAULT, EPOCH))?;
        // The last part is still open.
        let parts = (FRAMES / 6 - 1) as usize * ladder.len();
        ensure!(turn.parts as usize >= parts, "{} parts", turn.parts);
        turns.push(turn);
    }
    say(format!(
        "{} rungs of 720p and their audio, {} s of media per turn",
        ladder.len(),
        FRAMES / 30
    ));
    let micros = |span: Duration, count: u32| span.as_secs_f64() * 1e6 / f64::from(count);
    let part = median(turns.iter().map(|t| micros(t.packaging, t.parts)));
    let playlist = median(turns.iter().map(|t| micros(t.rendering, t.playlists)));
    report(
        "packager",
        &[
            Figure::new("part packaged, 6 frames", "µs", part),
            Figure::new("media playlist rendered and gzipped", "µs", playlist),
        ],
    )
}

fn turn(spec: &Spec) -> Result<Turn> {
    let mut packager = Packager::new(spec.clone())?;
    let stream = store::Stream::new(&packager, metrics::Histogram::noop());
    let mut turn = Turn::default();
    let rungs = spec.ladder.len();
    for rung in 0..rungs {
        let (sps, pps) = (Bytes::from_static(SPS), Bytes::from_static(PPS));
        packager.handle_output(&transcode::Output::VideoConfig { rung, sps, pps });
    }
    let asc = Bytes::from_static(ASC);
    packager.handle_output(&transcode::Output::AudioConfig { asc });
    let first = 30 * 3_600;
    let mut aac = first * 48_000 / 30 / 1_024;
    for number in first..first + FRAMES {
        let idr = number.is_multiple_of(30);
        let mut outputs = Vec::new();
        for (rung, kind) in spec.ladder.iter().enumerate() {
            let len = kind.bitrate as usize / 8 / 30;
            let data = Bytes::from(vec![7; len]);
            outputs.push(transcode::Output::Video {
                rung,
                number,
                idr,
                data,
            });
        }
        while aac * 1_024 * 30 < number * 48_000 {
            let data = Bytes::from(vec![3; 340]);
            outputs.push(transcode::Output::Audio { number: aac, data });
            aac += 1;
        }
        package(&mut packager, &stream, &outputs, &mut turn)?;
    }
    Ok(turn)
}

/// One frame of every rung, and the playlists that it changes.
fn package(
    packager: &mut Packager,
    stream: &store::Stream,
    outputs: &[transcode::Output],
    turn: &mut Turn,
) -> Result<()> {
    let start = clock::now();
    let mut changed = Vec::new();
    for output in outputs {
        packager.handle_output(output);
        while let Some(output) = packager.poll_output() {
            if let Output::Rendition {
                index,
                playlist: true,
                part_ends,
                ..
            } = &output
            {
                turn.parts += u32::from(part_ends.is_some());
                changed.push(*index);
            }
            stream.apply(output, EPOCH.0);
        }
    }
    turn.packaging += clock::now().duration_since(start);
    changed.sort_unstable();
    changed.dedup();
    for index in changed {
        let name = packager.names().get(index).context("no name")?;
        let track = stream.track(name).context("no track")?;
        let start = clock::now();
        let rendered = stream.media(&track, false);
        let is_empty = rendered.gzip().is_empty();
        turn.rendering += clock::now().duration_since(start);
        ensure!(!is_empty, "an empty playlist");
        turn.playlists += 1;
    }
    Ok(())
}
