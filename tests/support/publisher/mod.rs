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

mod camera;
mod encode;
mod feedback;
mod file;
mod media;
mod options;
mod peer;
mod picture;
mod rename;
mod tone;
mod track;
mod via;
mod whip;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use inlet_common::clock;
use tokio::runtime::Handle;

pub use camera::Camera;
pub use options::{Codec, Options, Tracks};
pub use via::Via;
pub use whip::Refused;

/// How long a connection may take from the POST to the end of DTLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

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
    connected: Instant,
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
        let camera = options.camera()?;
        let feedback = Arc::new(feedback::Feedback::default());
        let endpoint = options.endpoint(camera.size)?;
        let connecting = peer::Peer::connect(&endpoint, &options, Arc::clone(&feedback));
        let mut peer = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .context("no connection in time")??;
        let connected = clock::now();
        let (video, audio) = std::mem::take(&mut peer.tracks);

        let shared = Arc::new(media::Shared::new(camera, feedback));
        let start = media::Start::now();
        let spawn = |name: &str, run: Runner, track: track::Track| {
            let (options, shared, runtime) =
                (options.clone(), Arc::clone(&shared), Handle::current());
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || run(&options, &shared, start, track, &runtime))
        };
        let picture = video.map(|track| spawn("picture", media::video, track));
        let sound = audio.map(|track| spawn("sound", media::audio, track));
        let threads = picture.into_iter().chain(sound);
        let threads = threads.collect::<Result<_, _>>()?;
        Ok(Self {
            peer,
            shared,
            connected,
            threads,
        })
    }

    /// URL of the session at the edge, as `Location` gave it.
    pub fn session_url(&self) -> &str {
        self.peer.url().as_str()
    }

    /// Changes the size of the picture from the next frame on; both sides even.
    pub fn set_size(&self, width: u32, height: u32) {
        self.shared.camera().size = (width, height);
    }

    /// The camera as it is now.
    pub fn camera(&self) -> Camera {
        *self.shared.camera()
    }

    /// Exchanges or turns the camera from the next frame on.
    ///
    /// # Errors
    ///
    /// When nobody can encode what it delivers.
    pub fn set_camera(&self, camera: Camera) -> Result<()> {
        camera.check()?;
        *self.shared.camera() = camera;
        Ok(())
    }

    /// Sends no sound at all while muted, as DTX and a microphone that is gone do.
    pub fn set_muted(&self, is_muted: bool) {
        self.shared.is_muted.store(is_muted, Relaxed);
    }

    /// Keeps the coded pictures from now on.
    pub fn record(&self) {
        self.shared.recording().get_or_insert_default();
    }

    /// The coded pictures since [`Publisher::record`], as the encoder wrote them; H.264 in
    /// Annex B form.
    pub fn recorded(&self) -> Vec<Bytes> {
        self.shared.recording().clone().unwrap_or_default()
    }

    /// When key frames were asked for, counted from the end of DTLS; zero for what
    /// came before anybody here heard of that end. The first thousand are kept.
    pub fn key_requests(&self) -> Vec<Duration> {
        let times = self.shared.feedback.key_requested_at();
        let since = |at: Instant| at.saturating_duration_since(self.connected);
        times.into_iter().map(since).collect()
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
