//! `demo`: all of Inlet on this machine, live, with the URLs to look at.
//!
//! Starts both binaries, creates a stream, publishes to it by real WHIP, waits
//! until the playlist plays, writes `urls.json`, and runs until Ctrl-C. What
//! dies is not restarted: the demonstration says so and ends with an error. On
//! SIGUSR1 it kills the origin itself, and starts it anew.
//!
//! The browser tests run it too, with `--free-ports --source none`.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use serde_json::{Value, json};
use tests::{
    playlist,
    publisher::{Options, Publisher},
    rig::{Layout, Ports, Rig, Stream, until},
};
use tokio::signal::unix::{SignalKind, signal};

/// How long the first part may take; the product promises 5 s.
const PLAYBACK_PATIENCE: Duration = Duration::from_secs(15);

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
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut crash = signal(SignalKind::user_defined1())?;
    let stopped = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(stopped);
    let (mut rig, mut publisher) = tokio::select! {
        live = go_live(&arguments) => live?,
        () = &mut stopped => return Ok(()),
    };
    loop {
        let lost = async {
            match &mut publisher {
                Some(publisher) => publisher.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = rig.any_exited() => bail!("{}", ended?),
            error = lost => {
                return Err(error.context("the publisher was cut off")).context(rig.tails());
            }
            _ = crash.recv() => rig.crash_origin().await?,
            () = &mut stopped => break,
        }
    }
    say("\nStopping.");
    if let Some(publisher) = publisher {
        publisher.stop().await?;
    }
    rig.stop().await
}

/// Brings everything up, and returns when it plays.
async fn go_live(arguments: &Arguments) -> Result<(Rig, Option<Publisher>)> {
    fs::create_dir_all(&arguments.directory)?;
    let folder = fs::canonicalize(&arguments.directory)?;
    let urls_file = folder.join("urls.json");
    fs::remove_file(&urls_file).ok();
    let mut rig = Rig::start(Layout {
        folder,
        ports: ports(arguments)?,
        address: arguments.address,
        log_filter: "info".to_owned(),
        media: format!("dtls = \"{}\"", arguments.dtls),
    })
    .await?;
    if arguments.shed_rungs || arguments.opus {
        rig.reconfigure_origin(|text| media(arguments, text))
            .await?;
        rig.link_up().await?;
    }
    let stream = rig.api.find_or_create(&arguments.name).await?;
    let publisher = publish(arguments, &stream)
        .await
        .with_context(|| rig.tails())?;
    if publisher.is_some() {
        let playing = until("the playlist", PLAYBACK_PATIENCE, async || {
            plays(&stream.hls).await
        });
        playing.await.with_context(|| rig.tails())?;
    }
    let urls = urls(&rig, &stream).await?;
    write(&urls_file, &urls)?;
    announce(&rig, &urls, publisher.is_some());
    Ok((rig, publisher))
}

/// The origin's file with what it is asked to do beside.
fn media(arguments: &Arguments, mut text: String) -> String {
    if arguments.shed_rungs {
        text = text.replacen("shed_rungs = false", "shed_rungs = true", 1);
    }
    if arguments.opus {
        text = text.replacen("[media]\n", "[media]\nopus_bitrate = \"96 kbps\"\n", 1);
    }
    text
}

fn ports(arguments: &Arguments) -> Result<Ports> {
    if arguments.free_ports {
        return Ports::free();
    }
    let wished = Ports {
        origin_http: arguments.origin_port,
        edge_http: arguments.edge_port,
        edge_media: arguments.media_port,
        ..Ports::FIXED
    };
    let given = wished.or_next_free()?;
    for ((name, wish), (_, port)) in wished.named().into_iter().zip(given.named()) {
        if wish != port {
            say(&format!("port {wish} is taken: {name} gets {port}"));
        }
    }
    Ok(given)
}

async fn publish(arguments: &Arguments, stream: &Stream) -> Result<Option<Publisher>> {
    let mut options = Options::new(&stream.whip);
    match arguments.source.as_str() {
        "none" => return Ok(None),
        "" => options.size = Some(arguments.size),
        path => options.file = Some(PathBuf::from(path)),
    }
    let publisher = Publisher::start(options).await.context("publishing")?;
    Ok(Some(publisher))
}

async fn plays(hls: &str) -> Result<()> {
    let multivariant = playlist::multivariant(hls).await?;
    for variant in &multivariant.variants {
        let media = playlist::media(&variant.url).await?;
        ensure!(media.open_parts + media.segments.len() > 0, "no part yet");
    }
    ensure!(!multivariant.variants.is_empty(), "no variant yet");
    Ok(())
}

async fn urls(rig: &Rig, stream: &Stream) -> Result<Value> {
    let turn = rig.turn_credential("demo").await?;
    Ok(json!({
        "api": rig.api.url(),
        "api_key": rig.api.key(),
        "stream_id": stream.id,
        "whip": stream.whip,
        "go_live": rig.go_live(stream),
        "player": stream.player,
        "hls": stream.hls,
        "dash": stream.dash,
        "hls_mpegts": stream.transport,
        "turn": turn,
        "metrics": { "edge": rig.edge_metrics(), "origin": rig.origin_metrics() },
    }))
}

/// Whole or not at all: whoever waits for the file reads it at once.
fn write(path: &Path, urls: &Value) -> Result<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, serde_json::to_string_pretty(urls)? + "\n")?;
    Ok(fs::rename(&draft, path)?)
}

fn announce(rig: &Rig, urls: &Value, is_live: bool) {
    let text = |key: &str| urls[key].as_str().unwrap_or_default().to_owned();
    let rows = [
        ("Player", text("player")),
        ("Side by side", format!("{}/compare", text("player"))),
        ("Go live", text("go_live")),
        ("LL-HLS", text("hls")),
        ("LL-DASH", text("dash")),
        ("HLS MPEG-TS", text("hls_mpegts")),
        ("WHIP", text("whip")),
        ("TURN", turn(urls)),
        ("API", text("api")),
        ("API key", text("api_key")),
        ("Metrics, edge", rig.edge_metrics()),
        ("Metrics, origin", rig.origin_metrics()),
        ("Logs", rig.folder().display().to_string()),
    ];
    let headline = if is_live {
        "Inlet is live. Open the player; to go live yourself, run `make demo SOURCE=none`."
    } else {
        "Inlet is up, and nobody is live yet. Open the go-live page."
    };
    let mut lines = format!("\n  {headline}\n\n");
    for (name, value) in rows {
        lines += &format!("  {name:<16}{value}\n");
    }
    lines += "\n  List the streams:\n\n";
    lines += &format!(
        "    curl -H 'Authorization: APIKey {}' {}\n",
        text("api_key"),
        text("api")
    );
    lines += "\n  Ctrl-C stops all of it.\n";
    say(&lines);
}

/// The TURN server's URLs with a credential for a day.
fn turn(urls: &Value) -> String {
    let text = |key: &str| urls["turn"][key].as_str().unwrap_or_default();
    let servers = urls["turn"]["urls"].as_array();
    let servers = servers.into_iter().flatten().filter_map(Value::as_str);
    let servers: Vec<&str> = servers.collect();
    format!(
        "{}  username {}  credential {}",
        servers.join(" "),
        text("username"),
        text("credential")
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
