//! What an answer with EDNS Client Subnet costs, and one with a DNS cookie besides:
//! `inlet-edge` in its DNS role, with limits and every check on, and gdnsd, side by side
//! on one core each.
//!
//! `dnsperf` sends the same ten thousand queries over and over from the other core.
//! Loopback's own work is in both figures.

use std::collections::BTreeMap;

use anyhow::Result;
use benches::{
    dns::{Edns, Kind, Load, Stand, amplification},
    figure::{Better, Figure, median, report, say},
    process,
};

/// Turns of each measurement; medians are told.
const TURNS: usize = 5;
const SECONDS: u32 = 4;
/// As many queries as keep one core busy, and as many as leave it waiting.
const BUSY: u32 = 200;
const CALM: u32 = 8;
/// What the design asks for at most: an answer to A has 1.5 times its query.
const MAX_FACTOR: f64 = 1.5;

#[derive(Default)]
struct Samples {
    cpu: Vec<f64>,
    cpu_calm: Vec<f64>,
    cpu_cookie: Vec<f64>,
    rate: Vec<f64>,
    memory: Vec<f64>,
}

fn main() -> Result<()> {
    let stand = Stand::new()?;
    let load = Load::new(stand.folder(), Edns::Subnet)?;
    let cookies = Load::new(stand.folder(), Edns::SubnetAndCookie)?;
    let mut samples: BTreeMap<Kind, Samples> = BTreeMap::new();
    let mut factors = Vec::new();
    for turn in 1..=TURNS {
        say(format!("turn {turn} of {TURNS}"));
        let mut kinds = [Kind::Ours, Kind::Gdnsd];
        // Neither is always the second.
        if turn % 2 == 0 {
            kinds.reverse();
        }
        for kind in kinds {
            let own = samples.entry(kind).or_default();
            stand.with(kind, |pid| {
                // The first seconds fill caches.
                load.run(stand.port, 1, BUSY)?;
                let measure = |load: &Load, outstanding| -> Result<(f64, f64)> {
                    let before = process::scheduled(pid)?;
                    let run = load.run(stand.port, SECONDS, outstanding)?;
                    let used = process::scheduled(pid)? - before;
                    say(format!(
                        "  {kind}, {outstanding} under way: {:.0}/s, {:.2} % lost, {:.2} µs",
                        run.rate,
                        run.lost * 100.0,
                        used.as_secs_f64() * 1e6 / run.answers
                    ));
                    Ok((used.as_secs_f64() * 1e6 / run.answers, run.rate))
                };
                let (cpu, rate) = measure(&load, BUSY)?;
                own.cpu.push(cpu);
                own.rate.push(rate);
                own.cpu_calm.push(measure(&load, CALM)?.0);
                own.cpu_cookie.push(measure(&cookies, BUSY)?.0);
                own.memory
                    .push(process::memory_kib(pid, "VmRSS")? as f64 / 1024.0);
                if kind == Kind::Ours && factors.is_empty() {
                    factors = amplification(stand.port)?;
                }
                Ok(())
            })?;
        }
    }
    report("dns_answer", &figures(&samples, &factors))
}

fn figures(samples: &BTreeMap<Kind, Samples>, factors: &[(&str, f64)]) -> Vec<Figure> {
    let of = |kind, part: fn(&Samples) -> &Vec<f64>| {
        samples
            .get(&kind)
            .map_or(0.0, |own| median(part(own).iter().copied()))
    };
    let pair = |figure: String, unit: &str, part: fn(&Samples) -> &Vec<f64>| {
        Figure::new(figure, unit, of(Kind::Ours, part)).against(of(Kind::Gdnsd, part))
    };
    let cpu = |figure: String, part: fn(&Samples) -> &Vec<f64>| {
        // No more than the peer takes in the same run.
        pair(figure, "µs", part).target(of(Kind::Gdnsd, part))
    };
    let mut rate = pair("answers per second on one core".to_owned(), "1/s", |own| {
        &own.rate
    });
    rate.better = Better::Higher;
    let mut figures = vec![
        cpu(format!("CPU per query, {BUSY} under way"), |own| &own.cpu),
        cpu(format!("CPU per query, {CALM} under way"), |own| {
            &own.cpu_calm
        }),
        cpu(
            format!("CPU per query with a cookie, {BUSY} under way"),
            |own| &own.cpu_cookie,
        ),
        rate,
        pair("resident memory".to_owned(), "MiB", |own| &own.memory),
    ];
    for (kind, factor) in factors {
        let figure = Figure::new(
            format!("answer to its query with ECS, {kind}"),
            "times",
            *factor,
        );
        figures.push(match *kind {
            "A" => figure.target(MAX_FACTOR),
            _ => figure.target(3.0),
        });
    }
    figures
}
