//! What relaying costs: `inlet-edge` in its TURN role and coturn side by side,
//! over a veth between two network namespaces, with a forwarder that does no TURN
//! beside them.
//!
//! This program is three processes: one makes the namespaces and takes them away
//! whatever happens, one in the clients' namespace measures, and now and then one
//! in the server's is the forwarder. It needs root and two cores.

use std::{collections::BTreeMap, env};

use anyhow::{Context as _, Result, bail, ensure};
use benches::{
    figure::{Figure, median, report, say},
    turn::{
        case::Case,
        forwarder::{self, Form},
        ground::{self, CLIENT_CORE, Ground},
        load::{Load, Route},
        server::{Kind, Stand},
    },
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

/// How often each measurement is made at each server; medians are told.
const ROUNDS: &str = "INLET_BENCH_ROUNDS";
const DEFAULT_ROUNDS: usize = 3;

const BURSTS: Load = Load {
    route: Route::ToPeer,
    payload: 1_200,
    burst: 8,
};
const SINGLE: Load = Load { burst: 1, ..BURSTS };
const SMALL: Load = Load {
    payload: 200,
    ..BURSTS
};

/// What is offered to be more than a server carries, packets per second.
const BURSTS_RATE: f64 = 500_000.0;
/// The same of single packets, of which a generator makes no more.
const SINGLE_RATE: f64 = 300_000.0;

fn cases() -> Vec<Case> {
    let flood = |name, load, targets| Case::flood(name, load, BURSTS_RATE, targets);
    let bursts = |name, route| flood(name, BURSTS.by(route), [None, None]);
    vec![
        flood(
            "bursts of 8 × 1,200 B",
            BURSTS,
            [Some(2.5), Some(350_000.0)],
        ),
        Case::flood("single 1,200 B", SINGLE, SINGLE_RATE, [Some(5.5), None]),
        Case::highest_rate("bursts of 8 × 1,200 B", BURSTS),
        flood("hairpin", BURSTS.by(Route::Hairpin), [Some(5.0), None]),
        flood("bursts of 8 × 200 B", SMALL, [None, None]),
        bursts("Send indications", Route::ToPeerBySend),
        bursts("peer to client", Route::ToClient),
        bursts("TCP client to peer", Route::ToPeerByTcp),
        bursts("TLS client to peer", Route::ToPeerByTls),
        Case::latency("single 1,200 B", SINGLE),
        Case::growth(),
    ]
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["measure", namespace, folder] => measure(namespace, folder),
        ["forward", form] => forwarder::run(form),
        _ => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(supervise()),
    }
}

/// Lets another process measure, in namespaces that go when this one ends.
async fn supervise() -> Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let ground = Ground::new()?;
    let program = env::current_exe()?;
    let mut command = ground::command(ground.clients.name(), CLIENT_CORE, program);
    command.args(["measure", ground.server.name()]);
    command.arg(ground.folder.path());
    let mut child = Command::from(command).kill_on_drop(true).spawn()?;
    tokio::select! {
        status = child.wait() => ensure!(status?.success(), "nothing was measured"),
        _ = interrupted.recv() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
    Ok(())
}

fn measure(namespace: &str, folder: &str) -> Result<()> {
    let rounds = match env::var(ROUNDS) {
        Ok(rounds) => rounds.parse().context(ROUNDS)?,
        Err(_) => DEFAULT_ROUNDS,
    };
    // For thousands of clients, and as many relayed sockets: servers inherit it.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let stand = Stand::new(namespace.to_owned(), folder.into())?;
    let cases = cases();
    let mut samples = Samples::default();
    for round in 1..=rounds {
        say(format!("round {round} of {rounds}"));
        for (number, case) in cases.iter().enumerate() {
            let mut kinds = case.kinds();
            // Neither server is always the second.
            if round % 2 == 0 {
                kinds.reverse();
            }
            for kind in kinds {
                let values = stand.with(kind, |server| case.measure(&stand, kind, server))?;
                describe(case, kind, &values);
                samples.add(number, kind, values);
            }
        }
    }
    let figures = cases.iter().enumerate();
    let figures = figures.flat_map(|(number, case)| figures_of(case, &samples, number));
    report("turn_relay", &figures.collect::<Vec<_>>())
}

fn describe(case: &Case, kind: Kind, values: &[f64]) {
    for (figure, value) in case.figures.iter().zip(values) {
        say(format!(
            "{}, {kind}: {value:.1} {}",
            figure.name, figure.unit
        ));
    }
}

/// Medians of ours beside those of coturn, then beside each forwarder's.
fn figures_of(case: &Case, samples: &Samples, number: usize) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (at, wanted) in case.figures.iter().enumerate() {
        let of = |kind| samples.median(number, kind, at);
        let figure = |name, peer, target| Figure {
            figure: name,
            unit: wanted.unit.to_owned(),
            ours: of(Kind::Ours).unwrap_or_default(),
            peer,
            target,
            better: wanted.better,
        };
        figures.push(figure(wanted.name.clone(), of(Kind::Coturn), wanted.target));
        for kind in Form::ALL.map(Kind::Forwarder) {
            if let Some(peer) = of(kind) {
                figures.push(figure(format!("  beside {kind}"), Some(peer), None));
            }
        }
    }
    figures
}

/// Values by case, server and figure, one for each round.
#[derive(Default)]
struct Samples(BTreeMap<(usize, Kind, usize), Vec<f64>>);

impl Samples {
    fn add(&mut self, case: usize, kind: Kind, values: Vec<f64>) {
        for (figure, value) in values.into_iter().enumerate() {
            self.0.entry((case, kind, figure)).or_default().push(value);
        }
    }

    fn median(&self, case: usize, kind: Kind, figure: usize) -> Option<f64> {
        let values = self.0.get(&(case, kind, figure))?;
        Some(median(values.iter().copied()))
    }
}
