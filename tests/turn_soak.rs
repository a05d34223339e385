//! Minutes of mixed TURN load: nothing grows, no port is lost, nothing fails.
//!
//! Not part of `make test`: `make soak` runs it, and prints a line per minute.

use std::{env, fs, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use inlet_common::clock;
use tests::{
    rig::{Metrics, TurnEdge, turn::SECRET, until},
    turn::load::{Counts, Load, server},
};

const MINUTE: Duration = Duration::from_secs(60);
/// Sessions at a time, each of two clients.
const SESSIONS: usize = 16;
/// Minutes after which as many allocations expire as are left behind.
const WARM_UP: u64 = 2;
/// Growth over the warm process that passes for noise, in KiB; and a twentieth.
const MEMORY_NOISE: u64 = 1_024;
/// What may be lost of what the echoing clients send.
const MAX_LOSS: f64 = 0.001;
/// How long what vanished clients left may last: their longest lifetime, and a
/// reservation's.
const EXPIRY_PATIENCE: Duration = Duration::from_secs(150);
/// Answers that no client of ours may get, whatever strangers send.
const NEVER: [&str; 9] = [
    "300", "403", "438", "441", "442", "443", "486", "500", "508",
];
/// Lifetimes are short, so that what is left behind comes back.
const SETTINGS: &str = r#"
default_lifetime = "1m"
max_lifetime = "90s"
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as it is told: `make soak`"]
async fn mixed_load_leaves_nothing_behind() {
    let minutes: u64 = match env::var("INLET_SOAK_TURN_MINUTES") {
        Ok(text) => text.parse().expect("INLET_SOAK_TURN_MINUTES is a number"),
        Err(_) => 10,
    };
    let edge = TurnEdge::start(SETTINGS).await.expect("an edge");
    if let Err(error) = soak(&edge, minutes).await {
        panic!("{error:#}\n{}", edge.process.tail(40));
    }
    edge.stop().await.expect("an orderly end");
}

async fn soak(edge: &TurnEdge, minutes: u64) -> Result<()> {
    let start = descriptors(edge)?;
    let authority = edge.folder().join("certificates/ca.pem");
    let server = server(edge.address().port(), &authority)?;
    let load = Load::start(server, SECRET, SESSIONS)?;
    let counts = Arc::clone(&load.counts);
    let mut warm = None;
    for minute in 1..=minutes {
        tokio::time::sleep(MINUTE).await;
        let (metrics, memory) = (edge.metrics().await?, edge.resident()?);
        report(minute, &counts, &metrics, memory, descriptors(edge)?);
        check(&counts, &metrics)?;
        if minute < WARM_UP {
            continue;
        }
        let warm = *warm.get_or_insert(memory);
        ensure!(
            memory <= warm + warm / 20 + MEMORY_NOISE,
            "memory grew from {warm} to {memory} KiB"
        );
    }
    tokio::task::spawn_blocking(move || load.stop()).await?;
    let stopped = clock::now();
    until("everything to be given back", EXPIRY_PATIENCE, async || {
        is_empty(edge, start).await
    })
    .await?;
    let waited = clock::now().duration_since(stopped).as_secs();
    say(&format!("all is given back after {waited} s"));
    check(&counts, &edge.metrics().await?)?;
    check_log(edge)
}

/// Whether clients got what they asked for, so far.
fn check(counts: &Counts, metrics: &Metrics) -> Result<()> {
    let complaints = counts.complaints();
    ensure!(complaints.is_empty(), "clients complain: {complaints:#?}");
    let [sent, lost] = counts.data();
    ensure!(sent > 0, "nothing was sent");
    ensure!(loss(sent, lost) < MAX_LOSS, "{lost} of {sent} are lost");
    for code in NEVER {
        let label = format!("code=\"{code}\"");
        let count = metrics.sum("inlet_edge_turn_refused_total", &[&label]);
        ensure!(count < 1.0, "{count} answers of {code}");
    }
    Ok(())
}

async fn is_empty(edge: &TurnEdge, start: usize) -> Result<()> {
    let metrics = edge.metrics().await?;
    for name in [
        "ports_used",
        "allocations",
        "permissions",
        "channels",
        "connections",
    ] {
        let left = metrics.sum(&format!("inlet_edge_turn_{name}"), &[]);
        ensure!(left.abs() < 0.5, "{left} {name}");
    }
    let now = descriptors(edge)?;
    ensure!(now <= start, "{now} descriptors, {start} at the start");
    Ok(())
}

/// Strangers' junk is no event for an operator, and neither is a client's end.
fn check_log(edge: &TurnEdge) -> Result<()> {
    let log = fs::read_to_string(edge.process.log())?;
    let bad = |line: &&str| {
        [" WARN ", " ERROR ", "panicked"]
            .iter()
            .any(|it| line.contains(it))
    };
    let lines: Vec<&str> = log.lines().filter(bad).take(10).collect();
    ensure!(lines.is_empty(), "the log has {lines:#?}");
    Ok(())
}

fn descriptors(edge: &TurnEdge) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", edge.process.pid()))?.count())
}

fn loss(sent: u64, lost: u64) -> f64 {
    lost as f64 / sent.max(1) as f64
}

fn report(minute: u64, counts: &Counts, metrics: &Metrics, memory: u64, descriptors: usize) {
    let relayed = metrics.sum("inlet_edge_turn_relayed_packets_total", &[]);
    let ports = metrics.sum("inlet_edge_turn_ports_used", &[]);
    let [sent, lost] = counts.data();
    say(&format!(
        "minute {minute}: {} sessions, {} allocations, {relayed} packets relayed, \
         {lost} of {sent} lost, {memory} KiB, {ports} ports, {descriptors} descriptors",
        counts.sessions(),
        counts.allocations(),
    ));
}

#[expect(
    clippy::print_stdout,
    reason = "whoever waits for minutes wants to see something"
)]
fn say(text: &str) {
    println!("{text}");
}
