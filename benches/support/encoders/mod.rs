//! Encoders side by side: the same pictures at the same rate, and what they make
//! of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use ::openh264::encoder::Complexity;
use anyhow::{Context as _, Result, ensure};
use inlet_origin::transcode::ladder::{Resolution, Rung};

use crate::{figure::median, process::scheduled};

pub mod contestant;
mod openh264;
pub mod scene;
mod x264;

pub use contestant::Contestant;
pub use scene::Scene;

/// Frames per second.
pub const FPS: u32 = 30;
/// Frames of a scene: twelve seconds.
pub const FRAMES: u32 = 12 * FPS;
/// Frames that are encoded and not judged: in its first seconds x264 spends a buffer
/// that is nearly full.
const RUN_UP: u32 = 4 * FPS;

/// Pictures of one size in memory and on disk. The file goes with it.
pub struct Source {
    size: Resolution,
    path: PathBuf,
    frames: Vec<u8>,
}

impl Source {
    /// Makes a scene.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn make(scene: Scene, size: Resolution) -> Result<Self> {
        let path = temporary(&format!("{}-{}.yuv", scene.name(), size.height));
        scene.write(size, &path)?;
        Self::read(size, path)
    }

    /// The same for a rung, scaled as the ladder scales.
    ///
    /// # Errors
    ///
    /// When `ffmpeg` fails.
    pub fn scaled(&self, size: Resolution) -> Result<Self> {
        let path = temporary(&format!("scaled-{}.yuv", size.height));
        let Resolution { width, height } = size;
        ffmpeg(&format!(
            "{} -vf scale={width}:{height}:flags=bilinear -f rawvideo {}",
            self.as_input(),
            path.display()
        ))?;
        Self::read(size, path)
    }

    fn read(size: Resolution, path: PathBuf) -> Result<Self> {
        let frames = fs::read(&path)?;
        let source = Self { size, path, frames };
        ensure!(
            source.frames().count() == FRAMES as usize,
            "frames are missing"
        );
        Ok(source)
    }

    /// Each frame: luma and both chroma planes.
    fn frames(&self) -> impl Iterator<Item = Planes<'_>> {
        let luma = self.size.width as usize * self.size.height as usize;
        self.frames.chunks_exact(luma * 3 / 2).map(move |frame| {
            let (y, chroma) = frame.split_at(luma);
            let (u, v) = chroma.split_at(luma / 4);
            [y, u, v]
        })
    }

    fn as_input(&self) -> String {
        let Resolution { width, height } = self.size;
        let path = self.path.display();
        format!("-f rawvideo -pix_fmt yuv420p -s {width}x{height} -r {FPS} -i {path}")
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

/// Luma and both chroma planes, without padding.
type Planes<'a> = [&'a [u8]; 3];

/// An encoder at work: takes a picture, gives its frame in Annex B at once.
trait Encode {
    fn encode(&mut self, planes: Planes<'_>, number: u32, idr: bool) -> Result<Vec<u8>>;
}

/// What an encoder made of a source.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Time on the core per second of media.
    pub cpu: Duration,
    /// Bits per second, after the run-up.
    pub bitrate: f64,
    /// The most that a window of any length has of its rate and one second more,
    /// which is what a viewer's buffer of that size takes: 1 is full.
    pub fullest: f64,
    /// Mean structural similarity in luma, by FFmpeg's filter, after the run-up; 1 is
    /// the same.
    pub ssim: f64,
}

/// Has contestants encode the source for a rung in turns, an IDR every second;
/// what each made, in their order.
///
/// # Errors
///
/// When one fails, delays or leaves a frame out.
pub fn contest(contestants: &[Contestant], source: &Source, rung: &Rung) -> Result<Vec<Outcome>> {
    let mut turns = vec![Vec::new(); contestants.len()];
    for _ in 0..TURNS {
        for (contestant, turns) in contestants.iter().zip(&mut turns) {
            turns.push(encode(*contestant, source, rung)?);
        }
    }
    let judge = |turns: &Vec<_>| judge(turns, source, rung);
    turns.iter().map(judge).collect()
}

/// Times that each encodes: CPU is the median, all else is the same each time.
const TURNS: usize = 3;

/// One turn.
#[derive(Clone, Debug, Default)]
struct Coded {
    cpu: Duration,
    data: Vec<u8>,
    /// Bits of each frame.
    sizes: Vec<f64>,
}

fn encode(contestant: Contestant, source: &Source, rung: &Rung) -> Result<Coded> {
    let mut encoder = contestant.open(rung)?;
    let mut coded = Coded::default();
    let own = i32::try_from(std::process::id())?;
    let before = scheduled(own)?;
    for (number, planes) in (0..).zip(source.frames()) {
        let frame = encoder.encode(planes, number, number % FPS == 0)?;
        ensure!(!frame.is_empty(), "{contestant:?} left frame {number} out");
        coded.sizes.push(8.0 * frame.len() as f64);
        coded.data.extend_from_slice(&frame);
    }
    coded.cpu = scheduled(own)?.saturating_sub(before);
    Ok(coded)
}

/// Frames that OpenH264 leaves out of the source where it may.
///
/// # Errors
///
/// When it fails.
pub fn left_out(source: &Source, rung: &Rung) -> Result<u32> {
    let mut encoder = openh264::Encoder::open(rung, Complexity::Medium, true)?;
    let mut left_out = 0;
    for (number, planes) in (0..).zip(source.frames()) {
        let frame = encoder.encode(planes, number, number % FPS == 0)?;
        left_out += u32::from(frame.is_empty());
    }
    Ok(left_out)
}

fn judge(turns: &[Coded], source: &Source, rung: &Rung) -> Result<Outcome> {
    let cpu = median(turns.iter().map(|turn| turn.cpu.as_secs_f64()));
    let coded = turns.first().context("no turn")?;
    let judged = coded.sizes.iter().skip(RUN_UP as usize);
    Ok(Outcome {
        cpu: Duration::from_secs_f64(cpu / f64::from(FRAMES / FPS)),
        bitrate: judged.sum::<f64>() / f64::from((FRAMES - RUN_UP) / FPS),
        fullest: fullest(&coded.sizes, f64::from(rung.bitrate)),
        ssim: ssim(source, &coded.data)?,
    })
}

fn fullest(sizes: &[f64], rate: f64) -> f64 {
    let lengths = 1..=sizes.len();
    let windows = lengths.flat_map(|length| sizes.windows(length));
    let filled = windows.map(|window| {
        let seconds = 1.0 + window.len() as f64 / f64::from(FPS);
        window.iter().sum::<f64>() / (rate * seconds)
    });
    filled.fold(0.0, f64::max)
}

fn ssim(source: &Source, coded: &[u8]) -> Result<f64> {
    let path = temporary("coded.h264");
    fs::write(&path, coded)?;
    let input = format!("-r {FPS} -f h264 -i {}", path.display());
    let trim = format!("trim=start_frame={RUN_UP},setpts=PTS-STARTPTS");
    let filter = format!("[0]{trim}[a];[1]{trim}[b];[a][b]ssim");
    let source = source.as_input();
    let said = ffmpeg(&format!("{input} {source} -lavfi {filter} -f null -"));
    fs::remove_file(&path)?;
    let said = said?;
    let value = said.split_once("SSIM Y:").context("no SSIM")?.1;
    let value = value.split_whitespace().next().context("no value")?;
    Ok(value.parse()?)
}

/// Runs `ffmpeg`; what it printed.
fn ffmpeg(arguments: &str) -> Result<String> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-y"])
        .args(arguments.split_whitespace())
        .output()
        .context("starting ffmpeg")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "ffmpeg {arguments}: {said}");
    Ok(said)
}

fn temporary(name: &str) -> PathBuf {
    let name = format!("inlet-bench-{}-{name}", std::process::id());
    Path::new(&std::env::temp_dir()).join(name)
}
