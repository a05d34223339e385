//! From the presenter's first packet to the first frame on the screen of a
//! viewer who was waiting on the player page.
//!
//! The clock starts when DTLS is up and the publisher's media threads begin: the
//! first packet follows as soon as the first frame is encoded.

use std::time::Duration;

use anyhow::Result;
use benches::{
    figure::{Figure, median, report, say},
    viewer::Viewer,
};
use inlet_common::clock;
use tests::{
    publisher::Publisher,
    rig::{Rig, scenario},
    stage,
};

const RUNS: usize = 10;

/// A way to play.
struct Way {
    name: &'static str,
    query: &'static str,
}

const WAYS: [Way; 2] = [
    Way {
        name: "LL-HLS",
        query: "",
    },
    Way {
        name: "LL-DASH",
        query: "&protocol=dash",
    },
];
/// What the design asks for, ms.
const TARGET: f64 = 1_500.0;

/// One run, in ms.
struct Run {
    /// From the first packet.
    from_packet: f64,
    /// From the POST, with ICE and DTLS.
    from_post: f64,
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut figures = Vec::new();
    runtime.block_on(scenario(async |rig: &mut Rig| {
        for way in &WAYS {
            figures.extend(measure(rig, way).await?);
        }
        Ok(())
    }));
    report("first_frame", &figures)
}

async fn measure(rig: &Rig, way: &Way) -> Result<Vec<Figure>> {
    let mut runs = Vec::new();
    for number in 0..RUNS {
        let run = run(rig, way, number).await?;
        say(format!(
            "{}: {:.0} ms from the first packet, {:.0} ms from the POST",
            way.name, run.from_packet, run.from_post
        ));
        runs.push(run);
    }
    let of = |part: fn(&Run) -> f64| median(runs.iter().map(part));
    let worst = runs.iter().map(|run| run.from_packet).fold(0.0, f64::max);
    let name = |what| format!("{} first frame, {what}", way.name);
    Ok(vec![
        Figure::new(name("from first packet"), "ms", of(|run| run.from_packet)).target(TARGET),
        Figure::new(name("slowest run"), "ms", worst).target(TARGET),
        Figure::new(name("from WHIP POST"), "ms", of(|run| run.from_post)),
    ])
}

async fn run(rig: &Rig, way: &Way, number: usize) -> Result<Run> {
    let stream = rig.api.create(&format!("{} {number}", way.name)).await?;
    let url = format!("{}?measure=1{}", stream.player, way.query);
    let mut viewer = Viewer::open(&url, Duration::ZERO, Duration::ZERO)?;
    viewer.waiting().await?;
    let posted = unix_ms();
    let publisher = Publisher::start(stage::options(&stream)).await?;
    let began = unix_ms();
    let shown = viewer.first_frame().await?;
    publisher.stop().await?;
    while viewer.next(Duration::ZERO).await?.is_some() {}
    Ok(Run {
        from_packet: shown - began,
        from_post: shown - posted,
    })
}

fn unix_ms() -> f64 {
    clock::utc().as_unix_micros() as f64 / 1_000.0
}
