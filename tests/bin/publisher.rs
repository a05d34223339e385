//! `publisher`: goes live on a WHIP URL from the command line.
//!
//! Prints one line of figures per second; ends after `--duration`, on Ctrl-C,
//! or with an error when the connection is lost.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use tests::publisher::{Codec, Options, Publisher, Stats, Tracks};
use tracing_subscriber::EnvFilter;

/// Publishes a moving test picture, or a media file, by WHIP.
#[derive(Parser)]
struct Arguments {
    /// WHIP URL of the stream.
    #[arg(long)]
    whip: String,
    /// Size of the picture, such as 1280x720 [default: that, or the file's own].
    #[arg(long, value_parser = size)]
    size: Option<(u32, u32)>,
    /// Frames per second.
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// Video bitrate in bits per second.
    #[arg(long, default_value_t = 2_500_000)]
    bitrate: u32,
    /// Media file to play in a loop instead of the test picture.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Video codec: h264 or vp8.
    #[arg(long, default_value = "h264")]
    codec: Codec,
    /// Seconds after which to stop [default: never].
    #[arg(long)]
    duration: Option<f64>,
    /// Leave the announcement of the size out of the POST.
    #[arg(long)]
    no_announce: bool,
}

fn size(text: &str) -> Result<(u32, u32)> {
    let (width, height) = text.split_once('x').context("must be WIDTHxHEIGHT")?;
    Ok((width.parse()?, height.parse()?))
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "the error is for whoever started it")]
async fn main() -> ExitCode {
    match publish().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("publisher: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn publish() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let duration = arguments.duration.map(Duration::from_secs_f64);
    let mut publisher = Publisher::start(Options {
        whip: arguments.whip,
        resolved: None,
        size: arguments.size,
        fps: arguments.fps,
        bitrate: arguments.bitrate,
        file: arguments.file,
        codec: arguments.codec,
        tracks: Tracks::Both,
        has_rtx: true,
        begins_dark: false,
        announce: !arguments.no_announce,
        relay: None,
        via: None,
    })
    .await?;
    run(&mut publisher, duration).await?;
    publisher.stop().await
}

async fn run(publisher: &mut Publisher, duration: Option<Duration>) -> Result<()> {
    let over = tokio::time::sleep(duration.unwrap_or(Duration::MAX));
    tokio::pin!(over);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut last = Stats::default();
    loop {
        tokio::select! {
            () = &mut over => return Ok(()),
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            lost = publisher.lost() => return Err(anyhow!(lost)),
            _ = ticks.tick() => {
                let stats = publisher.stats();
                print(&stats, &last);
                last = stats;
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures are the program's output")]
fn print(stats: &Stats, last: &Stats) {
    println!(
        "frames {} ({} skipped, {} key, {} asked for)  {} kbit/s  packets {} ({} again)  reports {}  lost {:.1} %  feedback {}  remb {} kbit/s",
        stats.frames,
        stats.skipped,
        stats.key_frames,
        stats.key_requests,
        (stats.bytes - last.bytes) * 8 / 1_000,
        stats.packets,
        stats.nacked,
        stats.reports,
        f64::from(stats.worst_loss) / 2.56,
        stats.transport_cc,
        stats.remb / 1_000,
    );
}
