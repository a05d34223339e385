//! An origin and an edge.
//!
//! What dies is not restarted: the demonstration says so and ends with an error. On
//! SIGUSR1 it kills the origin itself, and starts it anew.
//!
//! The browser tests run it too, with `--free-ports --source none`.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tests::{
    publisher::Publisher,
    rig::{Layout, Ports, Rig, Stream, TurnCredential},
};

use super::{Arguments, Signals, playing, say, table, tell_ports, turn, write};

/// Runs until it is told to stop.
pub(super) async fn run(arguments: &Arguments, mut signals: Signals) -> Result<()> {
    let (mut rig, mut publisher) = tokio::select! {
        live = go_live(arguments) => live?,
        () = signals.stop() => return Ok(()),
    };
    loop {
        let lost = async {
            match &mut publisher {
                Some(publisher) => publisher.lost().await,
                None => std::future::pending().await,
            }
        };
        let Signals {
            interrupt,
            terminate,
            crash,
        } = &mut signals;
        tokio::select! {
            ended = rig.any_exited() => bail!("{}", ended?),
            error = lost => {
                return Err(error.context("the publisher was cut off")).context(rig.tails());
            }
            _ = crash.recv() => rig.crash_origin().await?,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
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
    let mut rig = Rig::start(Layout {
        folder: arguments.folder()?,
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
    let publisher = match arguments.options(&stream.whip) {
        Some(options) => {
            let started = Publisher::start(options).await.context("publishing");
            let publisher = started.with_context(|| rig.tails())?;
            playing(&stream.hls).await.with_context(|| rig.tails())?;
            Some(publisher)
        }
        None => None,
    };
    let turn = rig.turn_credential("demo").await?;
    write(rig.folder(), &urls(&rig, &stream, &turn))?;
    announce(&rig, &stream, &turn, publisher.is_some());
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
    let wished = arguments.wished_ports();
    let given = wished.or_next_free()?;
    tell_ports(wished.named(), given.named());
    Ok(given)
}

fn urls(rig: &Rig, stream: &Stream, turn: &TurnCredential) -> Value {
    json!({
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
    })
}

fn announce(rig: &Rig, stream: &Stream, credential: &TurnCredential, is_live: bool) {
    let rows = [
        ("Player", stream.player.clone()),
        ("Side by side", format!("{}/compare", stream.player)),
        ("Go live", rig.go_live(stream)),
        ("LL-HLS", stream.hls.clone()),
        ("LL-DASH", stream.dash.clone()),
        ("HLS MPEG-TS", stream.transport.clone()),
        ("WHIP", stream.whip.clone()),
        ("TURN", turn(credential)),
        ("API", rig.api.url()),
        ("API key", rig.api.key().to_owned()),
        ("Metrics, edge", rig.edge_metrics()),
        ("Metrics, origin", rig.origin_metrics()),
        ("Logs", rig.folder().display().to_string()),
    ];
    let headline = match is_live {
        true => "Inlet is live. Open the player; to go live yourself, run `make demo SOURCE=none`.",
        false => "Inlet is up, and nobody is live yet. Open the go-live page.",
    };
    say(&format!(
        "\n  {headline}\n\n{}\n  List the streams:\n\n    \
         curl -H 'Authorization: APIKey {}' {}\n\n  Ctrl-C stops all of it.\n",
        table(&rows),
        rig.api.key(),
        rig.api.url()
    ));
}
