//! `demo`: all of Inlet on this machine, live, with the URLs to look at.
//!
//! | module | shows |
//! |---|---|
//! | [`single`] | an origin and an edge |
//! | [`fleet`] | an origin and three points of presence that are name servers (`--fleet`) |
//!
//! Either starts the binaries, creates a stream, publishes to it by real WHIP, waits
//! until the playlist plays, writes `urls.json`, and runs until Ctrl-C.

mod fleet;
mod single;

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use serde_json::Value;
use tests::{
    playlist,
    publisher::Options,
    rig::{FleetPorts, Ports, TurnCredential, until},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the first part may take; the product promises 5 s.
const PLAYBACK_PATIENCE: Duration = Duration::from_secs(15);

/// What others wait for and read.
const URLS: &str = "urls.json";

/// Runs all of Inlet on this machine.
#[derive(Parser)]
struct Arguments {
    /// Folder for state, configuration, logs and urls.json.
    #[arg(long, default_value = "target/demo")]
    directory: PathBuf,
    /// What to publish: empty for the test picture, `none`, or a media file.
    #[arg(long, default_value = "")]
    source: String,
    /// Size of the test picture.
    #[arg(long, default_value = "1280x720", value_parser = size)]
    size: (u32, u32),
    /// Name of the stream.
    #[arg(long, default_value = "demo")]
    name: String,
    /// Draw ports that nobody uses instead of the fixed ones.
    #[arg(long)]
    free_ports: bool,
    /// Let streams shed rungs when the machine cannot keep up, which tests have off.
    #[arg(long)]
    shed_rungs: bool,
    /// Offer the sound as Opus too.
    #[arg(long)]
    opus: bool,
    /// Who speaks DTLS at the edge: `openssl` or `memory-safe`.
    #[arg(long, default_value = "openssl")]
    dtls: String,
    /// Address of this machine that presenters and viewers are given. Beyond loopback,
    /// WHIP is HTTPS with a private authority.
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
    address: Ipv4Addr,
    /// Port of the origin's pages, playlists and API.
    #[arg(long, default_value_t = Ports::FIXED.origin_http)]
    origin_port: u16,
    /// Port of the edge's WHIP.
    #[arg(long, default_value_t = Ports::FIXED.edge_http)]
    edge_port: u16,
    /// First port of the edge's media.
    #[arg(long, default_value_t = Ports::FIXED.edge_media)]
    media_port: u16,
    /// Three points of presence instead of one edge, at 127.0.0.11 to 127.0.0.13.
    #[arg(long, conflicts_with_all = ["shed_rungs", "opus", "dtls", "address"])]
    fleet: bool,
    /// Port of the fleet's name servers.
    #[arg(long, default_value_t = FleetPorts::FIXED.dns)]
    dns_port: u16,
}

impl Arguments {
    /// The folder, made when missing and without the URLs of a run before.
    fn folder(&self) -> Result<PathBuf> {
        fs::create_dir_all(&self.directory)?;
        let folder = fs::canonicalize(&self.directory)?;
        fs::remove_file(folder.join(URLS)).ok();
        Ok(folder)
    }

    /// The fixed ports, as far as nothing else is wished.
    const fn wished_ports(&self) -> Ports {
        Ports {
            origin_http: self.origin_port,
            edge_http: self.edge_port,
            edge_media: self.media_port,
            ..Ports::FIXED
        }
    }

    /// What is to be published to a WHIP URL; `None` is nobody.
    fn options(&self, whip: &str) -> Option<Options> {
        let mut options = Options::new(whip);
        match self.source.as_str() {
            "none" => return None,
            "" => options.size = Some(self.size),
            path => options.file = Some(PathBuf::from(path)),
        }
        Some(options)
    }
}

fn size(text: &str) -> Result<(u32, u32)> {
    let (width, height) = text.split_once('x').context("must be WIDTHxHEIGHT")?;
    Ok((width.parse()?, height.parse()?))
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    // First, so that Ctrl-C during the start also stops what has been started.
    let signals = Signals::listen()?;
    match arguments.fleet {
        true => fleet::run(&arguments, signals).await,
        false => single::run(&arguments, signals).await,
    }
}

/// What is said from outside.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// SIGUSR1.
    crash: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            crash: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits until all of it shall stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Says which ports are not those that were wished.
fn tell_ports(
    wished: impl IntoIterator<Item = (&'static str, u16)>,
    given: impl IntoIterator<Item = (&'static str, u16)>,
) {
    for ((name, wish), (_, port)) in wished.into_iter().zip(given) {
        if wish != port {
            say(&format!("port {wish} is taken: {name} gets {port}"));
        }
    }
}

/// Waits until every variant can be played.
async fn playing(hls: &str) -> Result<()> {
    until("the playlist", PLAYBACK_PATIENCE, async || {
        let multivariant = playlist::multivariant(hls).await?;
        for variant in &multivariant.variants {
            let media = playlist::media(&variant.url).await?;
            ensure!(media.open_parts + media.segments.len() > 0, "no part yet");
        }
        ensure!(!multivariant.variants.is_empty(), "no variant yet");
        Ok(())
    })
    .await
}

/// Whole or not at all: whoever waits for the file reads it at once.
fn write(folder: &Path, urls: &Value) -> Result<()> {
    let draft = folder.join(URLS).with_extension("new");
    fs::write(&draft, serde_json::to_string_pretty(urls)? + "\n")?;
    Ok(fs::rename(&draft, folder.join(URLS))?)
}

/// Names and values, one a line.
fn table(rows: &[(&str, String)]) -> String {
    rows.iter()
        .map(|(name, value)| format!("  {name:<16}{value}\n"))
        .collect()
}

/// The TURN server's URLs with a credential for a day.
fn turn(server: &TurnCredential) -> String {
    format!(
        "{}  username {}  credential {}",
        server.urls.join(" "),
        server.username,
        server.credential
    )
}

#[expect(clippy::print_stdout, reason = "this is what the demonstration is for")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "the error is for whoever started it")]
fn complain(error: &anyhow::Error) {
    eprintln!("\ndemo: {error:#}");
}
