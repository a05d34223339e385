//! One ladder made twice: by the transcode worker, and by the `ffmpeg` command
//! line.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use ffmpeg_next::format;
use inlet_origin::{
    timeline::FrameRate,
    transcode::{
        Input, Output, Spec, VideoCodec,
        ladder::{Resolution, Rung},
        supervisor::{Handle, Pool, Supervisor},
    },
};
use nix::{
    sys::wait::{Id, WaitPidFlag, waitid},
    unistd::Pid,
};
use tokio::{sync::mpsc, time::timeout};

use crate::process::{CpuTime, memory_kib};

/// Length of the media.
pub const SECONDS: u64 = 10;
const FPS: u64 = 30;
/// The stream's first frame: not zero, as after months on air.
const FIRST_FRAME: u64 = FPS * 86_400 * 30;
/// How long after their time ticks come: media is on its way that long, µs.
const JITTER: i64 = 60_000;
/// Ticks that may be unanswered: about as many as a busy origin has.
const MAX_OPEN_TICKS: u64 = 24;
/// No answer for so long is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// A source in two files, as presenters send it: H.264 baseline and Opus.
pub struct Source {
    video: File,
    audio: File,
}

impl Source {
    /// A moving picture with noise, and a tone.
    ///
    /// # Errors
    ///
    /// When `ffmpeg` fails.
    pub fn make(Resolution { width, height }: Resolution) -> Result<Self> {
        let video = format!(
            "-f lavfi -i testsrc2=s={width}x{height}:r={FPS}:d={SECONDS} \
             -vf noise=alls=6:allf=t -pix_fmt yuv420p -c:v libx264 -profile:v baseline \
             -preset veryfast -tune zerolatency -g 60 -b:v 3M"
        );
        let audio = format!("-f lavfi -i sine=f=440:r=48000:d={SECONDS} -c:a libopus -b:a 64k");
        Ok(Self {
            video: ffmpeg(&video, "h264")?,
            audio: ffmpeg(&audio, "ogg")?,
        })
    }

    /// Everything that a worker gets, ticks included, in order of its time.
    fn inputs(&self, top_passed: bool) -> Result<Vec<Input>> {
        let rate = FrameRate::DEFAULT;
        let begin = rate.time_of(FIRST_FRAME);
        let mut inputs: Vec<(i64, Input)> = Vec::new();
        for (data, number) in self.video.packets()?.into_iter().zip(FIRST_FRAME..) {
            let capture = rate.time_of(number);
            let input = Input::Video {
                codec: VideoCodec::H264,
                capture,
                quarter_turns: 0,
                data,
            };
            inputs.push((capture.as_micros(), input));
        }
        for (data, index) in self.audio.packets()?.into_iter().zip(0..) {
            let capture = begin.plus_micros(20_000 * index);
            inputs.push((capture.as_micros(), Input::Audio { capture, data }));
        }
        let end = FIRST_FRAME + SECONDS * FPS;
        for number in FIRST_FRAME..end {
            let idr = (number - FIRST_FRAME).is_multiple_of(FPS);
            let at = rate.time_of(number).as_micros() + JITTER;
            let tick = Input::VideoTick {
                number,
                idr,
                top_passed,
            };
            inputs.push((at, tick));
        }
        let frames = begin.to_sample().div_ceil(1_024)..rate.time_of(end).to_sample() / 1_024;
        for number in frames {
            let at = (i64::try_from(number)? + 1) * 1_024 * 1_000 / 48 + JITTER;
            inputs.push((at, Input::AudioTick { number }));
        }
        inputs.sort_by_key(|(at, _)| *at);
        Ok(inputs.into_iter().map(|(_, input)| input).collect())
    }
}

/// What a worker took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// User and system time.
    pub cpu: Duration,
    /// Bits per second of all rungs together.
    pub bitrate: u64,
    /// Resident memory at most, KiB.
    pub memory_kib: u64,
}

/// Makes the ladder by a worker of the pool, without the top rung where that is
/// `top_passed`.
///
/// # Errors
///
/// When the worker dies, loses a frame or answers nothing for long.
pub async fn worker(
    pool: &Pool,
    source: &Source,
    ladder: &[Rung],
    top_passed: bool,
) -> Result<Cost> {
    let spec = Spec {
        may_pass: top_passed,
        ..Spec::new(ladder.to_vec(), FrameRate::DEFAULT)
    };
    let (handle, outputs) = Supervisor::start(pool, spec);
    let pid = pid(&handle).await?;
    let before = CpuTime::of(pid)?;
    let mut stream = Stream {
        handle,
        outputs,
        asked: 0,
        answered: vec![0; ladder.len()],
        made: usize::from(top_passed),
        bytes: 0,
        repeated: 0,
    };
    for input in source.inputs(top_passed)? {
        while stream.open_ticks() > MAX_OPEN_TICKS {
            stream.receive().await?;
        }
        stream.asked += u64::from(matches!(input, Input::VideoTick { .. }));
        stream.handle.send(input);
    }
    while stream.open_ticks() > 0 {
        stream.receive().await?;
    }
    let repeated = stream.repeated;
    ensure!(repeated <= FPS / 10, "{repeated} pictures were shown again");
    Ok(Cost {
        bitrate: stream.bytes * 8 / SECONDS,
        cpu: CpuTime::of(pid)?.since(before).total(),
        memory_kib: memory_kib(pid, "VmHWM")?,
    })
}

async fn pid(handle: &Handle) -> Result<i32> {
    tests::rig::until("a worker", PATIENCE, async || {
        let pid = handle.worker_pid().context("none yet")?;
        Ok(i32::try_from(pid)?)
    })
    .await
}

struct Stream {
    handle: Handle,
    outputs: mpsc::Receiver<Output>,
    asked: u64,
    /// Frames of each rung.
    answered: Vec<u64>,
    /// The first rung that is made.
    made: usize,
    bytes: u64,
    repeated: u64,
}

impl Stream {
    fn open_ticks(&self) -> u64 {
        let made = self.answered.iter().skip(self.made);
        self.asked - made.min().unwrap_or(&0)
    }

    async fn receive(&mut self) -> Result<()> {
        let output = timeout(PATIENCE, self.outputs.recv()).await;
        match output.context("no answer")?.context("no supervisor")? {
            Output::Video { rung, data, .. } => {
                *self.answered.get_mut(rung).context("no such rung")? += 1;
                self.bytes += data.len() as u64;
            }
            // A picture that is shown twice costs next to nothing to encode.
            Output::Report(report) => self.repeated += u64::from(report.repeated_frames),
            Output::Restarted => bail!("the worker died"),
            // Nothing is shed without `Spec::shedding`.
            Output::RungPlanned { .. } => bail!("a rung was shed"),
            Output::KeyFrameNeeded => bail!("the worker lost a picture"),
            _ => {}
        }
        Ok(())
    }
}

/// Makes the same by the command line; its CPU time.
///
/// # Errors
///
/// When `ffmpeg` fails.
pub fn command_line(source: &Source, ladder: &[Rung]) -> Result<Duration> {
    let mut filter = format!("[0:v]split={}", ladder.len());
    (0..ladder.len()).for_each(|rung| filter += &format!("[s{rung}]"));
    let mut outputs = String::new();
    for (index, rung) in ladder.iter().enumerate() {
        let Resolution { width, height } = rung.resolution;
        filter += &format!(";[s{index}]scale={width}:{height}:flags=bilinear[v{index}]");
        let rate = rung.bitrate;
        outputs += &format!(
            " -map [v{index}] -c:v libx264 -preset superfast -tune zerolatency -threads 1 \
             -profile:v high -b:v {rate} -maxrate {rate} -bufsize {rate} -sc_threshold 0 \
             -g 100000 -force_key_frames expr:gte(t,n_forced) -f h264 /dev/null"
        );
    }
    let (video, audio) = (source.video.0.display(), source.audio.0.display());
    let (sound, cpu) = timed_ffmpeg(
        &format!(
            "-threads 1 -filter_complex_threads 1 -r {FPS} -i {video} -c:a libopus -i {audio} \
             -filter_complex {filter} {outputs} -map 1:a -c:a aac -b:a 128k"
        ),
        "aac",
    )?;
    drop(sound);
    Ok(cpu)
}

/// A file that is removed with it.
struct File(PathBuf);

impl File {
    fn packets(&self) -> Result<Vec<Bytes>> {
        let mut input = format::input(&self.0)?;
        let data = |packet: &ffmpeg_next::Packet| packet.data().map(Bytes::copy_from_slice);
        let packets = input.packets().map(|(_, packet)| data(&packet));
        packets.map(|data| data.context("no data")).collect()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

fn ffmpeg(arguments: &str, suffix: &str) -> Result<File> {
    Ok(timed_ffmpeg(arguments, suffix)?.0)
}

/// Runs `ffmpeg` with an output file of its own; its CPU time.
fn timed_ffmpeg(arguments: &str, suffix: &str) -> Result<(File, Duration)> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Relaxed);
    let name = format!("inlet-bench-{}-{number}.{suffix}", std::process::id());
    let file = File(std::env::temp_dir().join(name));
    let mut child = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(arguments.split_whitespace())
        .arg::<&Path>(&file.0)
        .spawn()
        .context("starting ffmpeg")?;
    // Read between its end and its burial. The time of all children would not
    // do: a worker that has just ended may be buried in between.
    let pid = i32::try_from(child.id())?;
    waitid(
        Id::Pid(Pid::from_raw(pid)),
        WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT,
    )?;
    let cpu = CpuTime::of(pid)?.total();
    let status = child.wait()?;
    ensure!(status.success(), "{status}: ffmpeg {arguments}");
    Ok((file, cpu))
}
