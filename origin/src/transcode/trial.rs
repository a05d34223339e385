//! Whether the chosen encoder works on this machine, before any stream comes.
//!
//! A worker process is started and locked up as for a stream, and has to answer
//! three ticks on one rung: so the device, its driver, FFmpeg's build, the sandbox
//! and the rules of `worker::encode` are tried by what will use them. What the
//! worker printed, and what the machine lacks, become one error that says what to
//! do.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use bytes::BytesMut;
use ffmpeg_next::encoder;
use inlet_common::clock;

use super::{
    Device, Encoder, OPUS, Output, Preset, Spec,
    ipc::{self, ToWorker},
    ladder::{Resolution, Rung},
    supervisor::Program,
};
use crate::timeline::FrameRate;

/// Why the encoder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// FFmpeg knows no encoder of this name.
    #[error(
        "media.encoder: this machine's FFmpeg is built without {0}: install one that has it, or \
         choose another encoder"
    )]
    NotBuiltIn(&'static str),
    /// FFmpeg cannot encode the sound as is wished.
    #[error(
        "media.opus_bitrate: this machine's FFmpeg is built without {0}: install one that has \
         it, or set it to 0"
    )]
    NoSound(&'static str),
    /// No worker process came to be.
    #[error("cannot start a worker to try media.encoder")]
    Start(#[source] io::Error),
    /// The worker ended, or answered nothing.
    #[error("media.encoder: {encoder} does not work here ({said}): {advice}, or choose another")]
    Refused {
        /// Its name.
        encoder: &'static str,
        /// What the worker and its libraries printed, or that they were silent.
        said: String,
        /// What is missing, as far as can be seen, and what to do.
        advice: String,
    },
}

impl Error {
    /// Whether it is the machine's software that is at fault, and trying again later
    /// changes nothing. A device may come up late.
    pub fn is_for_good(&self) -> bool {
        matches!(self, Self::NotBuiltIn(_) | Self::NoSound(_))
    }
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The encoder.
    pub encoder: Encoder,
    /// How thoroughly it works, where it has presets.
    pub preset: Preset,
    /// Memory that a worker may hold, in bytes: a driver may need more.
    pub memory_limit: u64,
}

/// Encodes three frames in a worker process that `program` starts. Takes a tenth of
/// a second, and blocks.
///
/// # Errors
///
/// [`Error`], which tells an operator what to do.
pub fn run(program: &Program, choice: Choice) -> Result<(), Error> {
    let encoder = choice.encoder;
    if encoder::find_by_name(encoder.as_str()).is_none() {
        return Err(Error::NotBuiltIn(encoder.as_str()));
    }
    let (mut worker, mut socket) = program.start().map_err(Error::Start)?;
    let outcome = answer_three(&mut socket, choice);
    let printed = end(&mut worker);
    outcome.map_err(|silence| Error::Refused {
        encoder: encoder.as_str(),
        said: told(&printed).unwrap_or_else(|| silence.to_string()),
        advice: advice(encoder, Path::new("/dev")),
    })
}

/// Looks for what the sound is encoded with beside AAC, which FFmpeg brings itself.
///
/// # Errors
///
/// [`Error::NoSound`] where Opus is wanted and FFmpeg lacks its encoder.
pub fn sound(wants_opus: bool) -> Result<(), Error> {
    wants_opus.then_some(OPUS).map_or(Ok(()), find_sound)
}

fn find_sound(name: &'static str) -> Result<(), Error> {
    let found = encoder::find_by_name(name);
    found.map(drop).ok_or(Error::NoSound(name))
}

/// What there is instead of frames.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error("its worker ended without a word")]
    Ended(#[from] io::Error),
    #[error("its worker sent what cannot be understood")]
    Nonsense(#[from] ipc::DecodeError),
    #[error("it answered nothing for {} s", PATIENCE.as_secs())]
    Long,
}

/// Opening a device and its driver takes a second at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether an IDR is asked for, tick by tick: at once, not then, and on demand.
const TICKS: [bool; 3] = [true, false, true];

fn answer_three(socket: &mut UnixStream, choice: Choice) -> Result<(), Silence> {
    let deadline = clock::now() + PATIENCE;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    for message in questions(choice) {
        if let Some(encoded) = message.encode() {
            socket.write_all(&encoded.head)?;
            socket.write_all(&encoded.payload)?;
        }
    }
    let (mut answered, mut buffer, mut chunk) = (0, BytesMut::new(), vec![0; 64 << 10]);
    while answered < TICKS.len() {
        if clock::now() > deadline {
            return Err(Silence::Long);
        }
        match socket.read(&mut chunk) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(size) => buffer.extend_from_slice(chunk.get(..size).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Silence::Long),
            Err(error) => return Err(error.into()),
        }
        while let Some(message) = ipc::next_message(&mut buffer)? {
            answered += usize::from(matches!(Output::decode(message)?, Output::Video { .. }));
        }
    }
    Ok(())
}

fn questions(choice: Choice) -> Vec<ToWorker> {
    let rung = Rung {
        resolution: Resolution {
            width: 640,
            height: 360,
        },
        bitrate: 450_000,
    };
    let spec = Spec {
        encoder: choice.encoder,
        preset: choice.preset,
        memory_limit: choice.memory_limit,
        ..Spec::new(vec![rung], FrameRate::DEFAULT)
    };
    let ticks = (0..).zip(TICKS).map(|(number, idr)| ToWorker::Tick {
        number,
        idr,
        rungs: u8::MAX,
    });
    [ToWorker::Configure(spec)]
        .into_iter()
        .chain(ticks)
        .collect()
}

/// Ends the worker; what it printed, up to some pages.
fn end(worker: &mut Child) -> String {
    // It may have ended by itself. Either way it is waited for.
    worker.kill().ok();
    worker.wait().ok();
    let mut printed = Vec::new();
    if let Some(stderr) = worker.stderr.take() {
        stderr.take(MAX_PRINTED).read_to_end(&mut printed).ok();
    }
    String::from_utf8_lossy(&printed).into_owned()
}

const MAX_PRINTED: u64 = 16 << 10;

/// What FFmpeg's lines say, else all of them, in one; `None` when there are none.
fn told(printed: &str) -> Option<String> {
    let lines = || {
        printed
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    // `[h264_nvenc @ 0x5581] Cannot load libcuda.so.1`
    let of_ffmpeg = |line: &'_ str| -> Option<String> {
        let (context, text) = line.strip_prefix('[')?.split_once("] ")?;
        context.contains(" @ 0x").then(|| text.to_owned())
    };
    let mut told: Vec<String> = lines().filter_map(of_ffmpeg).collect();
    if told.is_empty() {
        told = lines().map(ToOwned::to_owned).collect();
    }
    told.dedup();
    told.truncate(MAX_TOLD);
    (!told.is_empty()).then(|| told.join("; "))
}

/// The first ones name the cause; later ones follow from it.
const MAX_TOLD: usize = 4;

/// What to do, by the device nodes in `dev`.
fn advice(encoder: Encoder, dev: &Path) -> String {
    match encoder.device() {
        None => "see what the worker says, and report it".to_owned(),
        Some(Device::Nvidia) => advice_on_nvidia(dev),
        Some(Device::Render) => advice_on_render(encoder, dev),
    }
}

fn advice_on_nvidia(dev: &Path) -> String {
    let control = dev.join("nvidiactl");
    if !control.exists() {
        return format!(
            "there is no {}: load NVIDIA's kernel module, and let the service see devices \
             (PrivateDevices=no, DeviceAllow= in a drop-in)",
            control.display()
        );
    }
    "install libcuda1 and libnvidia-encode1 of the kernel module's version; a card may also be \
     at its number of sessions"
        .to_owned()
}

fn advice_on_render(encoder: Encoder, dev: &Path) -> String {
    let nodes = render_nodes(&dev.join("dri"));
    let Some(first) = nodes.first() else {
        return format!(
            "there is no {}/dri/renderD*: load the graphics' kernel driver, and let the service \
             see devices (PrivateDevices=no, DeviceAllow=char-drm rw in a drop-in)",
            dev.display()
        );
    };
    let is_open = |node: &PathBuf| OpenOptions::new().read(true).write(true).open(node).is_ok();
    if !nodes.iter().any(is_open) {
        return format!(
            "{} may not be opened: put the service's user in its group \
             (SupplementaryGroups=render in a drop-in)",
            first.display()
        );
    }
    match encoder {
        Encoder::H264Qsv => {
            "Quick Sync needs Intel's graphics and intel-media-va-driver-non-free, from Debian 13 \
             on libmfx-gen1.2 too"
        }
        _ => {
            "install a VA-API driver that encodes (intel-media-va-driver-non-free, \
             mesa-va-drivers); vainfo has to list VAProfileH264High with VAEntrypointEncSlice"
        }
    }
    .to_owned()
}

fn render_nodes(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_render = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("renderD");
    let mut nodes: Vec<_> = entries
        .filter(|entry| is_render(&entry.file_name()))
        .map(|entry| entry.path())
        .collect();
    nodes.sort();
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBX264: Choice = Choice {
        encoder: Encoder::Libx264,
        preset: Preset::Ultrafast,
        memory_limit: 256 << 20,
    };

    #[test]
    fn opus_is_looked_for_where_it_is_wanted() {
        sound(false).unwrap();
        sound(true).unwrap();
        let error = find_sound("libnothing").unwrap_err().to_string();
        assert!(error.contains("media.opus_bitrate") && error.contains("libnothing"));
    }

    #[test]
    fn the_words_of_ffmpeg_come_first() {
        let printed = "Error: h264_nvenc\n\n[h264_nvenc @ 0x55d0] Cannot load libcuda.so.1\n\
                       [h264_nvenc @ 0x55d0] Cannot load libcuda.so.1\n";
        assert_eq!(told(printed).unwrap(), "Cannot load libcuda.so.1");
        assert_eq!(
            told("\nError: x\nCaused by:\n").unwrap(),
            "Error: x; Caused by:"
        );
        assert_eq!(told("\n \n"), None);
    }

    #[test]
    fn the_advice_is_about_what_is_missing() {
        let dev = std::env::temp_dir().join(format!("inlet-trial-{}", std::process::id()));
        fs::create_dir_all(dev.join("dri")).unwrap();
        let told = |encoder| advice(encoder, &dev);
        assert!(told(Encoder::H264Vaapi).contains("there is no"));
        assert!(told(Encoder::H264Qsv).contains("dri/renderD*"));
        assert!(told(Encoder::H264Nvenc).contains("nvidiactl: load"));
        // Somebody's folder cannot be opened for writing, whoever asks.
        fs::create_dir(dev.join("dri/renderD128")).unwrap();
        assert!(told(Encoder::H264Vaapi).contains("renderD128 may not be opened"));
        fs::write(dev.join("dri/renderD129"), "").unwrap();
        fs::write(dev.join("nvidiactl"), "").unwrap();
        assert!(told(Encoder::H264Vaapi).contains("vainfo"));
        assert!(told(Encoder::H264Qsv).contains("Quick Sync"));
        assert!(told(Encoder::H264Nvenc).contains("libnvidia-encode1"));
        fs::remove_dir_all(dev).unwrap();
    }

    #[test]
    fn a_program_that_is_no_worker_is_refused() {
        let program = Program::new("/bin/sh", ["-c", "echo no worker here >&2; exec sleep 0"]);
        let error = run(&program, LIBX264).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("libx264 does not work here (no worker here)"),
            "{text}"
        );
        let program = Program::new("/nonexistent", [""; 0]);
        let error = run(&program, LIBX264).unwrap_err();
        assert!(matches!(error, Error::Start(_)));
    }
}
