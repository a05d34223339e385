//! Hours of one live stream: nothing leaks, nothing stalls.
//!
//! Not part of `make test`: `make soak MINUTES=240` runs it, and prints a line
//! per minute.

use std::{env, fs, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use tests::{
    playlist,
    rig::{Process, Rig, scenario},
    stage, viewer,
};

const MINUTE: Duration = Duration::from_secs(60);
/// Minutes after which the playlist's window and all pools are full.
const WARM_UP: u64 = 2;
/// Growth of memory over the warm process that passes for noise, in KiB.
const MEMORY_NOISE: u64 = 20 * 1_024;
/// Descriptors above the warm process's that pass for noise: connections come and go.
const DESCRIPTOR_NOISE: usize = 24;

/// What the processes hold.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// Resident memory of both processes and the workers, KiB.
    memory: u64,
    /// Open descriptors of both processes.
    descriptors: usize,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as it is told: `make soak`"]
async fn nothing_leaks_and_nothing_stalls() {
    let minutes: u64 = match env::var("INLET_SOAK_MINUTES") {
        Ok(text) => text.parse().expect("INLET_SOAK_MINUTES is a number"),
        Err(_) => 60,
    };
    scenario(async |rig: &mut Rig| {
        let (_, publisher, playlist) = stage::on_air(rig, "soak").await?;
        let variant = playlist.variants.last().context("no variant")?.url.clone();
        let mut warm = None;
        let mut edge = playlist::media(&variant).await?.edge().0;
        for minute in 1..=minutes {
            tokio::time::sleep(MINUTE).await;
            let now = playlist::media(&variant).await?.edge().0;
            ensure!(
                now - edge >= 55,
                "only {} segments in minute {minute}",
                now - edge
            );
            edge = now;
            viewer::watch(variant.as_str(), 60, MINUTE)
                .await?
                .ensure_smooth()?;
            let held = held(rig)?;
            report(minute, held, publisher.stats().skipped);
            if minute < WARM_UP {
                continue;
            }
            let warm = *warm.get_or_insert(held);
            if held.memory > warm.memory + warm.memory / 10 + MEMORY_NOISE {
                bail!("memory grew from {warm:?} to {held:?}");
            }
            if held.descriptors > warm.descriptors + DESCRIPTOR_NOISE {
                bail!("descriptors grew from {warm:?} to {held:?}");
            }
        }
        publisher.stop().await
    })
    .await;
}

fn held(rig: &Rig) -> Result<Held> {
    let mut held = Held::default();
    for pid in rig.origin.children()? {
        held.memory += memory(pid)?;
    }
    for process in [&rig.origin, &rig.edge] {
        held.memory += memory(process.pid())?;
        held.descriptors += descriptors(process)?;
    }
    Ok(held)
}

fn memory(pid: i32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let value = line.context("no VmRSS")?.split_whitespace().next();
    Ok(value.context("VmRSS without value")?.parse()?)
}

fn descriptors(process: &Process) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", process.pid()))?.count())
}

#[expect(
    clippy::print_stdout,
    reason = "whoever waits for hours wants to see something"
)]
fn report(minute: u64, held: Held, skipped: u64) {
    let Held {
        memory,
        descriptors,
    } = held;
    println!(
        "minute {minute}: {} MiB, {descriptors} descriptors, {skipped} frames not made",
        memory / 1_024
    );
}
