//! Chromium on the player page, by `benches/browser/viewer.mjs`.
//!
//! Publisher, servers and browser share one clock, so capture and display are
//! compared directly.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// How long any step of the browser may take beyond what it was asked for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a viewer tells.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The page waits for somebody to go live.
    Waiting,
    /// The first frame is on the screen.
    FirstFrame {
        /// When, in ms of Unix time.
        at: f64,
    },
    /// The measurement is over.
    Measured {
        /// The page's `window.inlet`.
        inlet: Box<Inlet>,
    },
}

/// What the benchmarks read of `window.inlet`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inlet {
    /// Times that playback ran dry.
    pub stalls: u32,
    /// Seconds behind the newest part that the player aims at, where it does.
    pub target: Option<f64>,
    /// Seconds in front of the position, from the page's own count.
    pub latency: Option<f64>,
    /// What the frame strip says.
    pub measure: Measure,
}

/// Capture to display.
#[derive(Clone, Debug, Deserialize)]
pub struct Measure {
    /// Frames that were read.
    pub samples: u32,
    /// Half of them were faster, ms.
    pub p50: Option<f64>,
    /// 19 of 20 were faster, ms.
    pub p95: Option<f64>,
    /// Frames whose strip could not be read.
    pub undecoded: u32,
    /// Frames that were never displayed.
    pub skipped: u32,
}

/// A running browser.
#[derive(Debug)]
pub struct Viewer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Viewer {
    /// Opens `url`; playback settles for `settle`, then is measured for
    /// `measure`; with zero it ends after the first frame.
    ///
    /// # Errors
    ///
    /// When Node cannot be started.
    pub fn open(url: &str, settle: Duration, measure: Duration) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/viewer.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .arg(url)
            .args([settle, measure].map(|span| span.as_secs().to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting node: run by `make bench`, which installs what is missing")?;
        let stdout = child.stdout.take().context("no output")?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// The next thing it tells; `None` when it has closed in order.
    ///
    /// # Errors
    ///
    /// When it fails, or says nothing for a minute longer than `within`.
    pub async fn next(&mut self, within: Duration) -> Result<Option<Event>> {
        let line = tokio::time::timeout(within + PATIENCE, self.lines.next_line());
        if let Some(line) = line.await.context("the browser says nothing")?? {
            return Ok(Some(serde_json::from_str(&line).context(line)?));
        }
        let status = self.child.wait().await?;
        if !status.success() {
            bail!("the browser ended: {status}");
        }
        Ok(None)
    }

    /// Waits for the page to be ready for somebody to go live.
    ///
    /// # Errors
    ///
    /// When it plays already, or fails.
    pub async fn waiting(&mut self) -> Result<()> {
        match self.next(Duration::ZERO).await? {
            Some(Event::Waiting) => Ok(()),
            other => bail!("not waiting, but {other:?}"),
        }
    }

    /// Waits for the first frame; when it was displayed, in ms of Unix time.
    ///
    /// # Errors
    ///
    /// When none comes.
    pub async fn first_frame(&mut self) -> Result<f64> {
        match self.next(Duration::ZERO).await? {
            Some(Event::FirstFrame { at }) => Ok(at),
            other => bail!("no first frame, but {other:?}"),
        }
    }
}
