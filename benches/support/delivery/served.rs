//! The server under test: the origin's own listener, router, store and packager,
//! and a stream of zeros in real time where the encoder would be.
//!
//! It tells on its output where it listens, and when it published each part.

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use inlet_common::{
    clock,
    ids::{ClientId, StreamId},
    service::{
        listener::{Listener, ListenerMetrics, Options},
        metrics as prometheus,
    },
};
use inlet_origin::{
    http, metrics,
    package::{Output, Packager, Spec},
    store,
    timeline::{Epoch, FrameRate},
    transcode::{
        self,
        ladder::{Resolution, Rung},
    },
};
use tokio_util::sync::CancellationToken;

use crate::figure::say;

/// Parts of a segment, and frames of a part.
pub const PARTS: u64 = 5;
const FRAMES: u64 = 6;
/// The rung that is asked for; its parts have about 100 kB.
pub const RUNG: &str = "720p";
const LADDER: [(u32, u32, u32); 3] = [
    (1_280, 720, 4_000_000),
    (854, 480, 1_500_000),
    (640, 360, 700_000),
];
const AUDIO_FRAME: usize = 340;
/// Frames before the first viewer: the window is full.
const BEFORE: u64 = 70 * 30;
const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 30);
const READY: &str = "ready";
const PUBLISHED: &str = "published";

/// One published part of [`RUNG`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Its segment.
    pub segment: u64,
    /// Its index.
    pub index: u64,
}

impl Part {
    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        match self.index + 1 {
            PARTS => Self {
                segment: self.segment + 1,
                index: 0,
            },
            index => Self { index, ..self },
        }
    }
}

/// The path of a file of [`RUNG`].
pub fn path(file: &str) -> String {
    format!("/cmaf/1_7/{RUNG}/{file}")
}

/// The server, as its child process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Where it serves.
    pub address: SocketAddr,
}

impl Server {
    /// Starts it on a core of its own: this program with these arguments.
    ///
    /// # Errors
    ///
    /// When it does not say where it listens.
    pub fn start(core: usize, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new("taskset")
            .args(["--cpu-list", &core.to_string()])
            .arg(std::env::current_exe()?)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .context("taskset")?;
        let output = child.stdout.take().context("no output")?;
        let mut server = Self {
            child,
            output: BufReader::new(output),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
        };
        let line = server.line()?;
        let address = line.strip_prefix(READY).context("it is not ready")?;
        server.address = address.trim().parse()?;
        Ok(server)
    }

    /// Its process id.
    ///
    /// # Errors
    ///
    /// Never on Linux.
    pub fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.child.id())?)
    }

    /// The next part it told of, and when that was published, µs of Unix time.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn published(&mut self) -> Result<(Part, i64)> {
        let line = self.line()?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [PUBLISHED, segment, index, time] = words[..] else {
            bail!("the server says {line:?}");
        };
        let (segment, index) = (segment.parse()?, index.parse()?);
        Ok((Part { segment, index }, time.parse()?))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line)?;
        anyhow::ensure!(read > 0, "the server has ended");
        Ok(line)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Is the server, until it is killed. `live` says whether its stream goes on.
///
/// # Errors
///
/// When it cannot start.
pub fn serve(live: bool) -> Result<()> {
    // The counters shall cost what they cost in the origin.
    prometheus::install("inlet_origin", "benchmark", metrics::BUCKETS)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let metrics = Arc::new(http::Metrics::new());
        let mut feed = Feed::new(&metrics)?;
        let directory = Arc::<store::Directory>::default();
        directory.insert(ClientId(1), StreamId(7), Arc::clone(&feed.stream));
        for _ in 0..BEFORE {
            feed.frame();
        }
        let listener = Listener::bind(
            (Ipv4Addr::LOCALHOST, 0).into(),
            Options {
                max_connections: 8_192,
                ..Options::default()
            },
            None,
            ListenerMetrics::new("inlet_origin", "web"),
        )?;
        say(format!("{READY} {}", listener.local_addr()));
        let routes =
            http::pages::router().merge(http::router(directory, metrics, http::Access::free()));
        let served = tokio::spawn(listener.serve(routes, CancellationToken::new()));
        if live {
            tokio::spawn(feed.run()).await??;
        }
        Ok(served.await?)
    })
}

/// Plays the worker process.
struct Feed {
    packager: Packager,
    stream: Arc<store::Stream>,
    number: u64,
    aac: u64,
}

impl Feed {
    fn new(metrics: &http::Metrics) -> Result<Self> {
        let ladder = LADDER.map(|(width, height, bitrate)| Rung {
            resolution: Resolution { width, height },
            bitrate,
        });
        let spec = Spec::new(ladder.to_vec(), FrameRate::DEFAULT, Epoch(clock::utc()));
        let mut packager = Packager::new(spec)?;
        let stream = Arc::new(store::Stream::new(&packager, metrics.part_delay()));
        for rung in 0..LADDER.len() {
            // Parameter sets of libx264 for 720p; the packager only copies them.
            let sps = Bytes::from_static(&[0x67, 0x64, 0x00, 0x1f, 0xac, 0x2c]);
            let pps = Bytes::from_static(&[0x68, 0xee, 0x3c, 0x80]);
            packager.handle_output(&transcode::Output::VideoConfig { rung, sps, pps });
        }
        let asc = Bytes::from_static(&[0x11, 0x90]);
        packager.handle_output(&transcode::Output::AudioConfig { asc });
        Ok(Self {
            packager,
            stream,
            number: 0,
            aac: 0,
        })
    }

    async fn run(mut self) -> Result<()> {
        let mut ticks = tokio::time::interval(FRAME);
        loop {
            ticks.tick().await;
            if let Some((part, time)) = self.frame() {
                let Part { segment, index } = part;
                say(format!("{PUBLISHED} {segment} {index} {time}"));
            }
        }
    }

    /// One frame of every rung and its sound; the parts it completed, and when.
    fn frame(&mut self) -> Option<(Part, i64)> {
        let mut published = None;
        let number = self.number;
        let idr = number.is_multiple_of(PARTS * FRAMES);
        for (rung, (.., bitrate)) in LADDER.iter().enumerate() {
            let data = vec![7; *bitrate as usize / 8 / 30].into();
            let output = transcode::Output::Video {
                rung,
                number,
                idr,
                data,
            };
            published = published.or(self.give(&output));
        }
        self.number += 1;
        while self.aac * 1_024 * 30 < self.number * 48_000 {
            let data = vec![3; AUDIO_FRAME].into();
            let number = self.aac;
            self.give(&transcode::Output::Audio { number, data });
            self.aac += 1;
        }
        published
    }

    fn give(&mut self, output: &transcode::Output) -> Option<(Part, i64)> {
        self.packager.handle_output(output);
        let mut published = None;
        while let Some(output) = self.packager.poll_output() {
            let now = clock::utc();
            published = published.or_else(|| Some((whole_part(&output)?, now.as_unix_micros())));
            self.stream.apply(output, now);
        }
        published
    }
}

/// The part of [`RUNG`] that this completes.
fn whole_part(output: &Output) -> Option<Part> {
    let Output::Rendition {
        index: 0,
        snapshot,
        part_ends: Some(_),
        ..
    } = output
    else {
        return None;
    };
    let edge = snapshot.edge()?;
    Some(Part {
        segment: edge.segment,
        index: edge.parts as u64 - 1,
    })
}
