//! What a packet costs the edge: 50 presenters on the real `inlet-edge`, whose
//! link leads to an origin that throws the media away.
//!
//! CPU is that of the whole process, kernel included, over the packets that
//! arrived at the far end. On loopback the kernel's work on the receiver's side
//! runs in the sender's system call, so the figure holds some of the sink's.

use std::{env, fs, sync::atomic::Ordering::Relaxed, time::Duration};

use anyhow::{Result, ensure};
use benches::{
    figure::{Figure, median, report, say},
    fleet::Fleet,
    process::{CpuTime, memory_kib},
    sink::Sink,
};
use inlet_common::clock;
use tests::rig::{Layout, LoneEdge, Ports, Process, until};

const PRESENTERS: usize = 50;
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// After the first packets: key frames asked for, rates settled.
const SETTLE: Duration = Duration::from_secs(5);
const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(6);
/// What is on its way when the fleet falls silent.
const DRAIN: Duration = Duration::from_secs(2);

/// One turn's figures, µs per packet.
struct Turn {
    user: f64,
    system: f64,
    packets: f64,
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let folder = env::temp_dir().join(format!("inlet-bench-{}", std::process::id()));
    let ports = Ports::free()?;
    let prepared = LoneEdge::prepare(Layout {
        folder: folder.clone(),
        ports: ports.clone(),
        media: String::new(),
        log_filter: "warn".to_owned(),
    })?;
    let sink = Sink::start(
        ([127, 0, 0, 1], ports.origin_roq).into(),
        &prepared.certificates(),
    )?;
    let mut edge = prepared.start().await?;
    let figures = measure(&edge, &sink, ports.edge_http).await;
    if figures.is_err() {
        say(edge.tail(40));
    }
    edge.stop(Duration::from_secs(10)).await?;
    fs::remove_dir_all(folder)?;
    report("whip_ingest", &figures?)
}

async fn measure(edge: &Process, sink: &Sink, edge_http: u16) -> Result<Vec<Figure>> {
    let memory_before = memory_kib(edge.pid(), "VmRSS")?;
    let fleet = Fleet::start(edge_http, PRESENTERS).await?;
    until("all presenters", CONNECT_PATIENCE, async || {
        let connected = fleet.sent.connected.load(Relaxed);
        ensure!(connected == PRESENTERS as u64, "{connected} are connected");
        Ok(())
    })
    .await?;
    fleet.sent.is_live.store(true, Relaxed);
    tokio::time::sleep(SETTLE).await;
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        turns.push(turn(edge, sink).await?);
    }
    let memory = memory_kib(edge.pid(), "VmRSS")?;
    fleet.sent.is_live.store(false, Relaxed);
    tokio::time::sleep(DRAIN).await;
    let (sent, arrived) = (&fleet.sent, &sink.arrived);
    let (rtp_sent, rtp_arrived) = (sent.rtp.load(Relaxed), arrived.rtp.load(Relaxed));
    say(format!(
        "{rtp_sent} RTP packets sent, {rtp_arrived} arrived, {} frames cancelled on the link, \
         {} key frames asked for, {} connections lost",
        arrived.cancelled.load(Relaxed),
        sent.key_requests.load(Relaxed),
        sent.closed.load(Relaxed),
    ));
    ensure!(sent.closed.load(Relaxed) == 0, "presenters were lost");
    fleet.stop()?;
    let lost = 1.0 - rtp_arrived as f64 / rtp_sent as f64;
    let per_session = memory.saturating_sub(memory_before) as f64 / PRESENTERS as f64;
    let of = |part: fn(&Turn) -> f64| median(turns.iter().map(part));
    Ok(vec![
        Figure::new(
            "CPU per ingested packet",
            "µs",
            of(|turn| turn.user + turn.system),
        )
        .target(10.0),
        Figure::new("  of it in its own code", "µs", of(|turn| turn.user)),
        Figure::new("  of it in the kernel", "µs", of(|turn| turn.system)),
        Figure::new("packets per second", "1/s", of(|turn| turn.packets)),
        Figure::new("packets lost", "%", 100.0 * lost).target(0.0),
        Figure::new("memory per session", "KiB", per_session),
    ])
}

async fn turn(edge: &Process, sink: &Sink) -> Result<Turn> {
    let (start, cpu, packets) = (
        clock::now(),
        CpuTime::of(edge.pid())?,
        sink.arrived.rtp.load(Relaxed),
    );
    tokio::time::sleep(TURN).await;
    let cpu = CpuTime::of(edge.pid())?.since(cpu);
    let packets = (sink.arrived.rtp.load(Relaxed) - packets) as f64;
    let seconds = clock::now().duration_since(start).as_secs_f64();
    ensure!(packets > 0.0, "nothing arrived");
    let turn = Turn {
        user: cpu.user.as_secs_f64() * 1e6 / packets,
        system: cpu.system.as_secs_f64() * 1e6 / packets,
        packets: packets / seconds,
    };
    say(format!(
        "{:.0} packets per second, {:.2} µs in its own code and {:.2} µs in the kernel for each",
        turn.packets, turn.user, turn.system
    ));
    Ok(turn)
}
