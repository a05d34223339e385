//! Capture to display through the whole chain: publisher, edge, link, origin,
//! player page in Chromium, for LL-HLS, LL-DASH and HLS MPEG-TS.
//!
//! The publisher draws counter and time into each frame, and the page reads
//! them off what it displays. Everything runs on this machine, software H.264
//! decoding and a headless compositor included: the figures hold no network,
//! and all of the machine's noise.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use benches::{
    figure::{Figure, median, report, say},
    viewer::{Event, Inlet, Viewer},
};
use tests::{
    rig::{Rig, Stream, scenario},
    stage,
};

/// Sessions of each protocol, in turns.
const SESSIONS: usize = 3;
const SETTLE: Duration = Duration::from_secs(12);
const MEASURE: Duration = Duration::from_secs(20);

/// A way to play, and what the design asks for it, in ms.
struct Way {
    name: &'static str,
    query: &'static str,
    target: f64,
}

const WAYS: [Way; 3] = [
    Way {
        name: "LL-HLS",
        query: "",
        target: 1_200.0,
    },
    Way {
        name: "LL-DASH",
        query: "&protocol=dash",
        target: 900.0,
    },
    Way {
        name: "HLS MPEG-TS",
        query: "&protocol=ts",
        target: 5_000.0,
    },
];

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut figures = Vec::new();
    runtime.block_on(scenario(async |rig: &mut Rig| {
        figures = measure(rig).await?;
        Ok(())
    }));
    report("latency", &figures)
}

async fn measure(rig: &Rig) -> Result<Vec<Figure>> {
    let (stream, publisher, _) = stage::on_air(rig, "latency").await?;
    let mut seen: [Vec<Inlet>; 3] = Default::default();
    for _ in 0..SESSIONS {
        for (way, seen) in WAYS.iter().zip(&mut seen) {
            seen.push(watch(&stream, way).await?);
        }
    }
    let stats = publisher.stats();
    say(format!(
        "the publisher made {} frames and was too late for {}",
        stats.frames, stats.skipped
    ));
    publisher.stop().await?;
    let mut figures = Vec::new();
    for (way, seen) in WAYS.iter().zip(&seen) {
        let of = |which: fn(&Inlet) -> Option<f64>| median(seen.iter().filter_map(which));
        let (p50, p95) = (of(|inlet| inlet.measure.p50), of(|inlet| inlet.measure.p95));
        let name = |part| format!("{} capture to display, {part}", way.name);
        figures.push(Figure::new(name("p50"), "ms", p50).target(way.target));
        figures.push(Figure::new(name("p95"), "ms", p95));
    }
    Ok(figures)
}

async fn watch(stream: &Stream, way: &Way) -> Result<Inlet> {
    let url = format!("{}?measure=1{}", stream.player, way.query);
    let mut viewer = Viewer::open(&url, SETTLE, MEASURE)?;
    let mut measured = None;
    while let Some(event) = viewer.next(SETTLE + MEASURE).await? {
        if let Event::Measured { inlet } = event {
            measured = Some(*inlet);
        }
    }
    let inlet = measured.context("nothing was measured")?;
    let measure = &inlet.measure;
    say(format!(
        "{}: p50 {:.0} ms, p95 {:.0} ms of {} frames; {} skipped, {} unreadable, {} stalls",
        way.name,
        measure.p50.unwrap_or(f64::NAN),
        measure.p95.unwrap_or(f64::NAN),
        measure.samples,
        measure.skipped,
        measure.undecoded,
        inlet.stalls,
    ));
    ensure!(measure.samples > 100, "too few frames were read");
    Ok(inlet)
}
