//! x264's presets and OpenH264 at the ladder's rates: how good, how dear.
//!
//! All get the same pictures, have one thread, make a frame for each frame at once
//! and an IDR every second. CPU is the time on a core that encoding takes; quality
//! is FFmpeg's SSIM of what is decoded again, given as a thousandth of what lacks
//! to 1, so that lower is better. CPU is summed over the rungs, and SSIM averaged.
//! The third figure is how much of its rate and one second of buffer the fullest
//! window takes: above 1 a viewer at the rung's rate runs dry. The last is what
//! OpenH264 does to its frames when it may, to keep to the rate.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use benches::{
    encoders::{Contestant, FRAMES, Outcome, Scene, Source, contest, left_out},
    figure::{Figure, report, say},
};
use inlet_origin::transcode::ladder::{Ladder, Resolution, Rung};

const SOURCE: Resolution = Resolution {
    width: 1_280,
    height: 720,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the error is for whoever started it")]
fn failure(error: &anyhow::Error) -> ExitCode {
    eprintln!("encoders: {error:#}");
    ExitCode::FAILURE
}

fn run() -> Result<()> {
    ffmpeg_next::init()?;
    // x264 tells its settings and statistics.
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Error);
    let rungs = Ladder::default().for_source(SOURCE);
    let tallest = rungs.first().context("no rung")?;
    let mut figures = Vec::new();
    for scene in Scene::ALL {
        let whole = Source::make(scene, SOURCE)?;
        let mut ladders = [Sum::default(); Contestant::ALL.len()];
        for rung in &rungs {
            let source = whole.scaled(rung.resolution)?;
            let outcomes = contest(&Contestant::ALL, &source, rung)?;
            for ((contestant, sum), outcome) in
                Contestant::ALL.into_iter().zip(&mut ladders).zip(outcomes)
            {
                tell(contestant, scene, rung, outcome);
                sum.add(outcome, rungs.len());
            }
        }
        let left_out = f64::from(left_out(&whole, tallest)?);
        let name = format!(
            "{}: frames that OpenH264 leaves out if it may",
            scene.name()
        );
        figures.push(Figure::new(name, format!("of {FRAMES}"), 0.0).against(left_out));
        let [ours, theirs @ ..] = ladders;
        for (peer, theirs) in Contestant::ALL.into_iter().skip(1).zip(theirs) {
            let name = format!("{}: superfast against {}", scene.name(), peer.name());
            let cpu = Figure::new(format!("{name}: CPU per second"), "ms", ours.cpu);
            figures.push(cpu.against(theirs.cpu));
            let lack = Figure::new(format!("{name}: 1000 (1 - SSIM)"), "", ours.lack);
            figures.push(lack.against(theirs.lack));
            let full = Figure::new(format!("{name}: rate and buffer used"), "×", ours.fullest);
            figures.push(full.against(theirs.fullest).target(1.0));
        }
    }
    report("encoders", &figures)
}

/// A ladder of one encoder's.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    /// Milliseconds per second of media, of all rungs.
    cpu: f64,
    /// A thousandth of what the rungs' SSIM lacks to 1, in the mean.
    lack: f64,
    /// The fullest window of any rung.
    fullest: f64,
}

impl Sum {
    fn add(&mut self, outcome: Outcome, rungs: usize) {
        self.cpu += 1_000.0 * outcome.cpu.as_secs_f64();
        self.lack += 1_000.0 * (1.0 - outcome.ssim) / rungs as f64;
        self.fullest = self.fullest.max(outcome.fullest);
    }
}

fn tell(contestant: Contestant, scene: Scene, rung: &Rung, outcome: Outcome) {
    say(format!(
        "{:6} {:5} {:20} {:7.1} ms  SSIM {:.4}  {:5.0} of {:4} kbps, buffer {:.2}",
        scene.name(),
        rung.name(),
        contestant.name(),
        1_000.0 * outcome.cpu.as_secs_f64(),
        outcome.ssim,
        outcome.bitrate / 1_000.0,
        rung.bitrate / 1_000,
        outcome.fullest,
    ));
}
