//! What delivery costs: viewers whose playlist requests are held until a part is
//! there, and small answers over connections that are kept alive, beside nginx
//! with the same bytes as static files.
//!
//! The server has one core and the viewers have the other. The server is this
//! program again: the origin's listener, router, store and packager, with zeros in
//! the place of encoded pictures, since an encoder would take the core under
//! test.

use std::{env, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use benches::{
    delivery::{
        load::{Load, request},
        peer,
        served::{self, PARTS, Part, Server},
    },
    figure::{Better, Figure, median, report, say},
    process::scheduled,
};
use inlet_common::clock;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const SERVE: &str = "--serve";
/// The stream does not go on.
const STILL: &str = "--still";
const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;
const PRIORITY: &str = "20";
/// Viewers that wait at once.
const VIEWERS: usize = 2_000;
/// Parts that they wait for.
const RELEASES: usize = 40;
/// Connections of a flood, enough for the server never to wait.
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_millis(300);
const FLOOD: Duration = Duration::from_secs(1);
const PLAIN: &str = "identity";
const GZIP: &str = "gzip, deflate, br";

fn main() -> Result<()> {
    let has = |wanted| env::args().any(|argument| argument == wanted);
    if has(SERVE) {
        return served::serve(!has(STILL));
    }
    settle()?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let folder = env::temp_dir().join(format!("inlet-delivery-{}", std::process::id()));
    let figures = runtime.block_on(measure(&folder));
    fs::remove_dir_all(&folder).ok();
    report("delivery", &figures?)
}

/// Takes the viewers' core, and above anything else that an ordinary machine
/// runs: servers inherit that, and take a core of their own.
fn settle() -> Result<()> {
    let own = std::process::id().to_string();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).arg(&own).output();
        let output = output.context("taskset and chrt are in the package util-linux")?;
        anyhow::Ok(output.status.success())
    };
    let core = CLIENT_CORE.to_string();
    ensure!(
        run("taskset", &["--cpu-list", "--pid", &core])?,
        "a core for the server and one for its viewers are needed"
    );
    if !run("chrt", &["--fifo", "--pid", PRIORITY])? {
        say("not root, so whatever else runs here is measured too");
    }
    Ok(())
}

async fn measure(folder: &Path) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, accept) in [("", PLAIN), (", gzipped", GZIP)] {
        let released = released(accept)?;
        let of = |what: &str, unit, value| Figure::new(format!("{what}{name}"), unit, value);
        let last = "2,000 held playlists, part published to last answer, median";
        let worst = released.last.iter().copied().fold(0.0, f64::max);
        figures.extend([
            of(last, "ms", median(released.last.iter().copied())).target(40.0),
            of("  the slowest part", "ms", worst),
            of("  CPU of each released playlist", "µs", released.cost).target(20.0),
        ]);
    }
    figures.extend(floods(folder).await?);
    Ok(figures)
}

/// How long the last of the viewers waited after each part, in ms, and the
/// server's CPU for each answer in µs.
struct Released {
    last: Vec<f64>,
    cost: f64,
}

fn released(accept: &str) -> Result<Released> {
    let mut server = Server::start(SERVER_CORE, &[SERVE])?;
    let mut load = Load::connect(
        server.address,
        VIEWERS,
        &request(&served::path("media.m3u8"), accept),
    )?;
    let ask = |part: Part| {
        let Part { segment, index } = part;
        let file = format!("media.m3u8?_HLS_msn={segment}&_HLS_part={index}");
        request(&served::path(&file), accept)
    };
    let (newest, _) = server.published()?;
    // The next but one, so that no connection comes too late for it.
    let mut part = newest.next().next();
    for number in 0..load.len() {
        load.ask(number, &ask(part))?;
    }
    let mut last = Vec::new();
    let mut cpu = scheduled(server.pid()?)?;
    // The first ones are a warm-up.
    let warm_up = 2 * PARTS as usize;
    for turn in 0..RELEASES + warm_up {
        if turn == warm_up {
            cpu = scheduled(server.pid()?)?;
        }
        let next = ask(part.next());
        let mut open = load.len();
        while open > 0 {
            for number in load.answered()? {
                // As players do, at once.
                load.ask(number, &next)?;
                open -= 1;
            }
        }
        let now = clock::utc().as_unix_micros();
        let published = loop {
            let (told, time) = server.published()?;
            if told == part {
                break time;
            }
            ensure!(told < part, "the viewers are late: {told:?} {part:?}");
        };
        if turn >= warm_up {
            last.push((now - published) as f64 / 1e3);
        }
        part = part.next();
    }
    let cpu = scheduled(server.pid()?)? - cpu;
    let answers = (RELEASES * VIEWERS) as f64;
    Ok(Released {
        last,
        cost: cpu.as_secs_f64() * 1e6 / answers,
    })
}

/// One kind of answer, over and over.
struct Case {
    name: &'static str,
    request: Vec<u8>,
    length: usize,
    target: Option<f64>,
}

async fn floods(folder: &Path) -> Result<Vec<Figure>> {
    let server = Server::start(SERVER_CORE, &[SERVE, STILL])?;
    let cases = cases(&server)?;
    let lengths: Vec<usize> = cases.iter().map(|case| case.length).collect();
    let (nginx, peer) = peer::start(folder, &lengths, SERVER_CORE).await?;
    let mut figures = Vec::new();
    for case in cases {
        let static_file = request(&format!("/{}", case.length), PLAIN);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let at = (server.address, server.pid()?);
            ours.push(flood(at, &case.request)?);
            theirs.push(flood((peer, nginx.worker()?), &static_file)?);
        }
        figures.extend(figures_of(&case, &ours, &theirs));
    }
    nginx.stop().await?;
    Ok(figures)
}

fn cases(server: &Server) -> Result<Vec<Case>> {
    let playlist = served::path("media.m3u8");
    let part = served::path("68.1.m4s");
    let case = |name, path: &str, accept, target| {
        let request = request(path, accept);
        let length = Load::connect(server.address, 1, &request)?.length_of(0, &request)?;
        Ok(Case {
            name,
            request,
            length,
            target,
        })
    };
    [
        ("playlist", &playlist, PLAIN, Some(40_000.0)),
        ("playlist, gzipped", &playlist, GZIP, Some(40_000.0)),
        ("part", &part, PLAIN, None),
    ]
    .map(|(name, path, accept, target)| case(name, path, accept, target))
    .into_iter()
    .collect()
}

/// Answers per second, and CPU of each in µs.
fn flood((address, pid): (std::net::SocketAddr, i32), request: &[u8]) -> Result<[f64; 2]> {
    let mut load = Load::connect(address, CONNECTIONS, request)?;
    load.flood(request, WARM_UP)?;
    let before = scheduled(pid)?;
    let flooded = load.flood(request, FLOOD)?;
    let cpu = scheduled(pid)? - before;
    let answers = flooded.answers as f64;
    Ok([
        answers / flooded.elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / answers,
    ])
}

fn figures_of(case: &Case, ours: &[[f64; 2]], theirs: &[[f64; 2]]) -> Vec<Figure> {
    let of = |turns: &[[f64; 2]], at: usize| median(turns.iter().map(|turn| turn[at]));
    let name = format!("{} of {} B", case.name, case.length);
    say(format!("{name}: ours {ours:.1?}, nginx {theirs:.1?}"));
    let rate = Figure {
        better: Better::Higher,
        target: case.target,
        ..Figure::new(format!("{name}: answers of one core"), "/s", of(ours, 0))
    };
    vec![
        rate.against(of(theirs, 0)),
        Figure::new("  CPU of each", "µs", of(ours, 1)).against(of(theirs, 1)),
    ]
}
