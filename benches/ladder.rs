//! What the ladder costs: the transcode worker against the `ffmpeg` command
//! line that makes the same rungs of the same source.
//!
//! Both get the source as fast as they take it, use libx264's same preset with
//! one thread per rung, and scale bilinearly; CPU is user and system time over
//! the length of the media. This program is its own worker: called with the
//! worker's argument it runs one.

use std::{env, process::ExitCode};

use anyhow::Result;
use benches::{
    figure::{Figure, median, report, say},
    transcode::{SECONDS, Source, command_line, worker},
};
use inlet_origin::transcode::{
    ladder::{Ladder, Resolution},
    supervisor::{Pool, Program},
    worker::{self as process, SUBCOMMAND},
};

/// Turns of each, alternating.
const TURNS: usize = 3;
/// How much more than the command line the worker may take.
const RATIO: f64 = 1.1;
const SOURCES: [Resolution; 3] = [
    Resolution {
        width: 854,
        height: 480,
    },
    Resolution {
        width: 1_280,
        height: 720,
    },
    Resolution {
        width: 1_920,
        height: 1_080,
    },
];

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some(SUBCOMMAND) {
        let Err(error) = process::run();
        return failure(&error.into());
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the error is for whoever started it")]
fn failure(error: &anyhow::Error) -> ExitCode {
    eprintln!("ladder: {error:#}");
    ExitCode::FAILURE
}

fn run() -> Result<()> {
    ffmpeg_next::init()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let pool = Pool::start(Program::current())?;
    let mut figures = Vec::new();
    for resolution in SOURCES {
        let Resolution { width, height } = resolution;
        let source = Source::make(resolution)?;
        let ladder = Ladder::default().for_source(resolution);
        let (mut ours, mut theirs, mut passed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut memory, mut rate) = (0, 0);
        for _ in 0..TURNS {
            let cost = runtime.block_on(worker(&pool, &source, &ladder, false))?;
            ours.push(1_000.0 * cost.cpu.as_secs_f64() / SECONDS as f64);
            memory = memory.max(cost.memory_kib);
            rate = cost.bitrate;
            let cost = runtime.block_on(worker(&pool, &source, &ladder, true))?;
            passed.push(1_000.0 * cost.cpu.as_secs_f64() / SECONDS as f64);
            let cpu = command_line(&source, &ladder)?;
            theirs.push(1_000.0 * cpu.as_secs_f64() / SECONDS as f64);
        }
        let rungs = ladder.len();
        let (ours, theirs, passed) = (median(ours), median(theirs), median(passed));
        say(format!(
            "{width}x{height}, {rungs} rungs: {ours:.0} ms of CPU per second of media, \
             {passed:.0} ms with the top rung passed through, ffmpeg {theirs:.0} ms; the worker made {} kbps and held at most {memory} KiB",
            rate / 1_000
        ));
        let name = format!("ladder of {height}p, {rungs} rungs");
        figures.push(Figure::new(format!("{name}: CPU per second"), "ms", ours).against(theirs));
        let top_passed = format!("{name}, the top one passed through: CPU per second");
        figures.push(Figure::new(top_passed, "ms", passed));
        figures.push(Figure::new(format!("{name}: ratio"), "×", ours / theirs).target(RATIO));
    }
    report("ladder", &figures)
}
