//! A presenter: a WHIP client that sends a moving picture and a beep, or a file.
//!
//! It runs on the `webrtc` crate, so that a stack of other authors speaks to
//! our edge, and encodes with FFmpeg. Like a browser it makes a key frame only
//! on request, answers NACKs by RTX, and keeps one constant schedule of frames.
//!
//! ```text
//! media::video ── Picture ▶ encode::Video ─┐
//!                                          ├▶ peer::Track ▶ webrtc ▶ edge
//! media::audio ── tone ▶ encode::Audio ────┘       ▲
//!                                     feedback: PLI, NACK, REMB, reports
//! ```
//!
//! The media threads are real threads: encoding would starve a runtime's tasks.

mod encode;
mod feedback;
mod file;
mod media;
mod peer;
mod picture;
mod tone;
mod track;
mod via;
mod whip;

use std::{
    path::PathBuf,
    str::FromStr,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use tokio::runtime::Handle;

pub use via::Via;
pub use whip::Refused;

/// How long a connection may take from the POST to the end of DTLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What to publish, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// WHIP URL of the stream.
    pub whip: String,
    /// Width and height, both even; `None` is 1280×720, or the file's own size.
    pub size: Option<(u32, u32)>,
    /// Frames per second of the constant schedule. Default: 30.
    pub fps: u32,
    /// Video bitrate in bits per second. Default: 2,500,000.
    pub bitrate: u32,
    /// Media file to play in a loop; `None` is the test picture.
    pub file: Option<PathBuf>,
    /// Video codec to offer. Default: H.264.
    pub codec: Codec,
    /// Whether the POST announces the size, as the go-live page does. Default: true.
    pub announce: bool,
    /// What stands between it and the edge. Default: nothing.
    pub via: Option<Via>,
}

impl Options {
    /// The test picture, as it is by default, to this WHIP URL.
    pub fn new(whip: impl Into<String>) -> Self {
        Self {
            whip: whip.into(),
            size: None,
            fps: 30,
            bitrate: 2_500_000,
            file: None,
            codec: Codec::H264,
            announce: true,
            via: None,
        }
    }

    /// The same in another size.
    #[must_use]
    pub fn with_size(mut self, width: u32, height: u32) -> Self {
        self.size = Some((width, height));
        self
    }

    fn resolved_size(&self) -> Result<(u32, u32)> {
        let (width, height) = match (self.size, &self.file) {
            (Some(size), _) => size,
            (None, Some(path)) => file::size(path)?,
            (None, None) => (1280, 720),
        };
        ensure!(
            width % 2 == 0 && height % 2 == 0 && width >= 64 && height >= 64,
            "{width}x{height}: both sides must be even and at least 64"
        );
        Ok((width, height))
    }

    fn endpoint(&self, (width, height): (u32, u32)) -> Result<reqwest::Url> {
        let mut url: reqwest::Url = self.whip.parse().context("the WHIP URL")?;
        if self.announce {
            url.query_pairs_mut()
                .append_pair("width", &width.to_string())
                .append_pair("height", &height.to_string());
        }
        Ok(url)
    }
}

/// A video codec that the publisher can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// H.264, constrained baseline, by libx264.
    H264,
    /// VP8, by libvpx.
    Vp8,
}

impl FromStr for Codec {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "h264" => Ok(Self::H264),
            "vp8" => Ok(Self::Vp8),
            _ => Err(format!("{name}: must be h264 or vp8")),
        }
    }
}

/// What a publisher has sent and heard so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Video frames sent.
    pub frames: u64,
    /// Frames left out because the machine was too slow.
    pub skipped: u64,
    /// Key frames among the frames.
    pub key_frames: u64,
    /// RTP packets of both tracks, without retransmissions.
    pub packets: u64,
    /// Payload bytes in them.
    pub bytes: u64,
    /// Key frames asked for by PLI or FIR.
    pub key_requests: u64,
    /// Packets asked for again by NACK.
    pub nacked: u64,
    /// Receiver report blocks that arrived.
    pub reports: u64,
    /// Largest fraction of packets lost that a report named, in 1/256.
    pub worst_loss: u8,
    /// Transport-wide congestion control feedback packets that arrived.
    pub transport_cc: u64,
    /// The newest REMB in bits per second; 0 before the first.
    pub remb: u64,
}

/// A live presenter; media flows until [`Publisher::stop`] or drop.
pub struct Publisher {
    peer: peer::Peer,
    shared: Arc<media::Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Publisher {
    /// Goes live: returns when DTLS is up and media flows.
    ///
    /// # Errors
    ///
    /// [`Refused`] (by `downcast_ref`) when the edge says no; else what failed.
    pub async fn start(options: Options) -> Result<Self> {
        ffmpeg_next::init()?;
        ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Error);
        let size = options.resolved_size()?;
        let feedback = Arc::new(feedback::Feedback::default());
        let endpoint = options.endpoint(size)?;
        let connecting = peer::Peer::connect(
            &endpoint,
            options.codec,
            options.via.as_ref(),
            Arc::clone(&feedback),
        );
        let mut peer = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .context("no connection in time")??;
        let (video, audio) = peer.tracks.take().context("the tracks are gone")?;

        let shared = Arc::new(media::Shared::new(size, feedback));
        let start = media::Start::now();
        let spawn = |name: &str, run: Runner, track| {
            let (options, shared, runtime) =
                (options.clone(), Arc::clone(&shared), Handle::current());
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || run(&options, &shared, start, track, &runtime))
        };
        let threads = vec![
            spawn("picture", media::video, video)?,
            spawn("sound", media::audio, audio)?,
        ];
        Ok(Self {
            peer,
            shared,
            threads,
        })
    }

    /// URL of the session at the edge, as `Location` gave it.
    pub fn session_url(&self) -> &str {
        self.peer.url().as_str()
    }

    /// Changes the size of the picture from the next frame on; both sides even.
    pub fn set_size(&self, width: u32, height: u32) {
        self.shared.set_size((width, height));
    }

    /// What has been sent and heard so far.
    pub fn stats(&self) -> Stats {
        let (shared, feedback) = (&self.shared, &self.shared.feedback);
        Stats {
            frames: shared.frames.load(Relaxed),
            skipped: shared.skipped.load(Relaxed),
            key_frames: shared.key_frames.load(Relaxed),
            packets: shared.packets.load(Relaxed),
            bytes: shared.bytes.load(Relaxed),
            key_requests: feedback.key_requests.load(Relaxed),
            nacked: feedback.nacked.load(Relaxed),
            reports: feedback.reports.load(Relaxed),
            worst_loss: feedback.worst_loss.load(Relaxed),
            transport_cc: feedback.transport_cc.load(Relaxed),
            remb: feedback.remb.load(Relaxed),
        }
    }

    /// Waits until the connection is lost, and says how.
    pub async fn lost(&mut self) -> anyhow::Error {
        self.peer.over().await
    }

    /// Ends the session politely: DELETE, then DTLS close.
    ///
    /// # Errors
    ///
    /// What the media threads or the edge had to complain of.
    pub async fn stop(mut self) -> Result<()> {
        let media = self.join().await;
        self.peer.close().await?;
        media
    }

    /// Closes DTLS without a DELETE, as a closed browser tab does.
    ///
    /// # Errors
    ///
    /// What the media threads had to complain of.
    pub async fn hang_up(mut self) -> Result<()> {
        let media = self.join().await;
        self.peer.hang_up().await?;
        media
    }

    async fn join(&mut self) -> Result<()> {
        self.shared.stop.store(true, Relaxed);
        let threads = std::mem::take(&mut self.threads);
        tokio::task::spawn_blocking(move || {
            for thread in threads {
                thread
                    .join()
                    .map_err(|_| anyhow!("a media thread panicked"))??;
            }
            Ok(())
        })
        .await?
    }
}

type Runner = fn(&Options, &media::Shared, media::Start, track::Track, &Handle) -> Result<()>;

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
    }
}
