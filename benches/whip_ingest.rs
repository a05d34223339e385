//! What a presenter costs the edge: 50 of 2 Mbps, 200, and as many as there is
//! room for, on the real `inlet-edge`, whose link leads to an origin that throws
//! the media away; and what the same packets cost a plain forwarder.
//!
//! CPU is that of the whole process, kernel included, over the packets that
//! arrived at the far end. On loopback the kernel's work on the receiver's side
//! runs in the sender's system call, so the figure holds some of the sink's; the
//! forwarder's does likewise.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use benches::{
    figure::{Better, Figure, median, report, say},
    ingest::{
        case::{Case, Killed},
        fleet::Fleet,
        plain::{self, PlainSink},
        presenter::accept_cost,
        sink::Sink,
    },
    process::memory_kib,
};
use tests::rig::{Layout, LoneEdge, Ports, Process};

/// The loads that are compared with the forwarder.
const LOADS: [usize; 2] = [50, 200];
/// How the load grows until something gives.
const STEP: usize = 50;
/// As many as the edge's default takes, on two workers.
const MAX: usize = 1_000;
/// Threads of the forwarder, as many as the rig's edge has workers.
const WORKERS: usize = 2;
/// Offers that are answered for their cost.
const OFFERS: usize = 200;
const FORWARD: &str = "--forward";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().collect();
    if let Some(at) = arguments.iter().position(|text| text == FORWARD) {
        let sink = arguments.get(at + 1).context("no sink")?;
        return plain::forward(WORKERS, sink.parse()?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let folder = env::temp_dir().join(format!("inlet-bench-{}", std::process::id()));
    let figures = measure(&folder).await;
    fs::remove_dir_all(&folder)?;
    report("whip_ingest", &figures?)
}

async fn measure(folder: &Path) -> Result<Vec<Figure>> {
    let mut figures = set_up(folder).await?;
    let mut held = None;
    for count in LOADS {
        let mut ours = at_edge(folder, count).await?;
        if !ours.kept_tempo() {
            say("once more: something else had the machine");
            ours = at_edge(folder, count).await?;
        }
        let peer = at_forwarder(count).await?;
        figures.extend(compare(count, &ours, &peer));
        held = Some(ours);
    }
    figures.extend(most(folder, held.context("no load")?).await?);
    Ok(figures)
}

fn compare(count: usize, ours: &Case, peer: &Case) -> Vec<Figure> {
    let name = |what: &str| format!("{count} presenters: {what}");
    vec![
        Figure::new(name("CPU per packet"), "µs", ours.cost())
            .against(peer.cost())
            .target(10.0),
        Figure::new(name("of it in its own code"), "µs", ours.user).against(peer.user),
        Figure::new(name("of it in the kernel"), "µs", ours.system).against(peer.system),
        Figure::new(name("packets lost"), "%", 100.0 * ours.lost).target(0.0),
        Figure::new(name("memory of each"), "KiB", ours.memory),
    ]
}

/// The highest load that is held, or that the fleet can make.
async fn most(folder: &Path, mut best: Case) -> Result<Vec<Figure>> {
    let mut count = best.count + STEP;
    while count <= MAX {
        let case = at_edge(folder, count).await?;
        if !case.held() || !case.kept_tempo() {
            break;
        }
        best = case;
        count += STEP;
    }
    let more = |figure: &str, value| Figure {
        better: Better::Higher,
        ..Figure::new(figure, "", value)
    };
    Ok(vec![
        more("most presenters of 2 Mbps held here", best.count as f64),
        Figure::new("  CPU per packet then", "µs", best.cost()).target(10.0),
        Figure::new("  share of one core then", "%", 100.0 * best.share()),
        more(
            "  presenters for two cores at that cost",
            2.0 * best.count as f64 / best.share(),
        )
        .target(1_000.0),
    ])
}

/// What an offer and a handshake cost, and how long an answer takes.
async fn set_up(folder: &Path) -> Result<Vec<Figure>> {
    let (edge, _sink, ports) = start(folder).await?;
    let cost = accept_cost(edge.pid(), ports.edge_http, OFFERS).await;
    stop(edge).await?;
    let cost = cost?;
    Ok(vec![
        Figure::new("POST to 201, median", "ms", median(cost.answers.clone())).target(20.0),
        Figure::new("CPU per accepted offer", "ms", cost.accept),
        Figure::new("CPU per ICE and DTLS handshake", "ms", cost.handshake),
    ])
}

async fn start(folder: &Path) -> Result<(Process, Sink, Ports)> {
    let ports = Ports::free()?;
    let prepared = LoneEdge::prepare(Layout {
        folder: folder.to_owned(),
        ports: ports.clone(),
        media: String::new(),
        address: Ipv4Addr::LOCALHOST,
        log_filter: "warn".to_owned(),
    })?;
    let address = ([127, 0, 0, 1], ports.origin_roq).into();
    let sink = Sink::start(address, &prepared.certificates())?;
    Ok((prepared.start().await?, sink, ports))
}

async fn stop(mut edge: Process) -> Result<()> {
    edge.stop(Duration::from_secs(10)).await?;
    Ok(())
}

async fn at_edge(folder: &Path, count: usize) -> Result<Case> {
    let (edge, sink, ports) = start(folder).await?;
    let before = memory_kib(edge.pid(), "VmRSS")?;
    let fleet = Fleet::start(ports.edge_http, count).await?;
    let case = Case::measure(edge.pid(), fleet, count, &sink.arrived.rtp, before).await;
    if case.is_err() {
        say(edge.tail(40));
    }
    stop(edge).await?;
    case
}

async fn at_forwarder(count: usize) -> Result<Case> {
    let sink = PlainSink::start()?;
    let mut forwarder = Command::new(env::current_exe()?)
        .args([FORWARD, &sink.address.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = forwarder.stdout.take().context("no output")?;
    let forwarder = Killed(forwarder);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let ports = line.strip_prefix(plain::READY).context("no ports")?;
    let ports: Vec<u16> = ports
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let pid = i32::try_from(forwarder.0.id())?;
    let before = memory_kib(pid, "VmRSS")?;
    let fleet = plain::fleet(&ports, count)?;
    Case::measure(pid, fleet, count, &sink.arrived, before).await
}
