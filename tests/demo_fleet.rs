//! The demonstration of a fleet, as whoever types `make demo-fleet` has it: what it
//! prints and writes is true, and stays true when a point of presence leaves.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::Ipv4Net;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Client;
use serde_json::Value;
use tests::{
    playlist,
    resolver::Resolver,
    rig::{fleet::WHIP, program, until},
};
use tokio::process::{Child, Command};

/// How long it may take until it plays.
const START: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_of_a_fleet_does_what_it_says() {
    let folder = env::temp_dir().join(format!("inlet-demo-fleet-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let output = folder.join("output");
    let mut demo = start(&folder, &output).expect("the demonstration");
    let outcome = story(&mut demo, &folder, &output).await;
    // What it has started is in groups of its own, and stopped by nobody else.
    let stopped = stop(&mut demo).await;
    if let Err(error) = outcome.and(stopped) {
        let output = fs::read_to_string(&output).unwrap_or_default();
        panic!("{error:#}\n{output}\n(files in {})", folder.display());
    }
    fs::remove_dir_all(&folder).ok();
}

fn start(folder: &Path, output: &Path) -> Result<Child> {
    let file = fs::File::create(output)?;
    let mut command = Command::new(program("demo")?);
    command.args([
        "--fleet",
        "--free-ports",
        "--size",
        "640x360",
        "--directory",
    ]);
    let command = command.arg(folder).stdin(Stdio::null());
    let command = command.stdout(file.try_clone()?).stderr(file);
    Ok(command.spawn()?)
}

async fn stop(demo: &mut Child) -> Result<()> {
    if let Some(pid) = demo.id() {
        kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGINT)?;
    }
    let ended = tokio::time::timeout(PATIENCE, demo.wait()).await;
    let status = ended.context("it does not stop")??;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

async fn story(demo: &mut Child, folder: &Path, output: &Path) -> Result<()> {
    let urls = until("urls.json", START, async || {
        if let Some(status) = demo.try_wait()? {
            return Ok(Err(status));
        }
        let text = fs::read_to_string(folder.join("urls.json"))?;
        Ok(Ok(serde_json::from_str::<Value>(&text)?))
    })
    .await?;
    let Ok(urls) = urls else {
        bail!("it ended: {urls:?}");
    };
    ensure_it_plays(&urls).await?;
    let pops = urls["fleet"]["pops"].as_array().context("no list")?;
    ensure!(pops.len() == 3, "{urls}");
    for (client, name) in [(0, "fra"), (1, "iad"), (2, "sin")] {
        let client = &urls["fleet"]["clients"][client];
        ensure!(client["pop"] == name, "{client}");
        let subnet: Ipv4Net = text(&client["subnet"])?.parse()?;
        for pop in pops {
            let told = ask(pop, subnet).await?;
            ensure!(client["address"] == told.to_string(), "{client}: {told}");
        }
    }
    let printed = fs::read_to_string(output)?;
    for part in ["+subnet=81.2.69.160/27", "dns explain", "/drain", "Player"] {
        ensure!(printed.contains(part), "no {part} in what it says");
    }
    drains(&urls, pops, output).await?;
    ensure_it_plays(&urls).await
}

/// The presenter's own point of presence leaves, and it goes on where the others say.
async fn drains(urls: &Value, pops: &[Value], output: &Path) -> Result<()> {
    let [fra, iad, _] = pops else {
        bail!("{pops:?}");
    };
    ensure!(region(urls).await? == "fra", "the presenter is elsewhere");
    let token = fs::read_to_string(text(&urls["fleet"]["admin_token"])?)?;
    let drained = Client::new()
        .post(format!("{}/drain", text(&fra["admin"])?))
        .bearer_auth(token.trim())
        .send()
        .await?;
    ensure!(drained.status() == 202, "{}", drained.status());
    let london: Ipv4Net = text(&urls["fleet"]["clients"][0]["subnet"])?.parse()?;
    let address = until("another answer", PATIENCE, async || {
        let told = ask(iad, london).await?;
        ensure!(fra["address"] != told.to_string(), "still fra");
        Ok(told.to_string())
    })
    .await?;
    let next = pops.iter().find(|pop| pop["address"] == address);
    let next = text(&next.context("a strange answer")?["name"])?;
    until("the presenter to go on", PATIENCE, async || {
        let region = region(urls).await?;
        ensure!(region == next, "{region} and not {next}");
        let printed = fs::read_to_string(output)?;
        ensure!(printed.contains("fra has left the fleet"), "{printed}");
        Ok(())
    })
    .await
}

/// Where the name server of a point of presence sends a client.
async fn ask(pop: &Value, client: Ipv4Net) -> Result<Ipv4Addr> {
    let server: SocketAddr = text(&pop["dns"])?.parse()?;
    Resolver::of(server).resolve(WHIP, Some(client)).await
}

/// Where the presenter is.
async fn region(urls: &Value) -> Result<String> {
    let url = format!("{}/{}", text(&urls["api"])?, urls["stream_id"]);
    let key = format!("APIKey {}", text(&urls["api_key"])?);
    let request = Client::new().get(url).header("authorization", key);
    let stream: Value = request.send().await?.json().await?;
    Ok(text(&stream["active_ingest_region_primary"])?.to_owned())
}

async fn ensure_it_plays(urls: &Value) -> Result<()> {
    let multivariant = playlist::multivariant(text(&urls["hls"])?).await?;
    let variant = multivariant.variants.first().context("no variant")?;
    let (first, _) = playlist::media(&variant.url).await?.edge();
    until("a later segment", PATIENCE, async || {
        let (now, _) = playlist::media(&variant.url).await?.edge();
        ensure!(now > first, "still {now}");
        Ok(())
    })
    .await
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("no text")
}
