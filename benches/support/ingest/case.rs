//! One measurement: so many presenters for a while, at an edge or at a plain
//! forwarder.

use std::{
    process::Child,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Result, ensure};
use inlet_common::clock;
use tests::rig::until;

use super::fleet::Fleet;
use crate::{
    figure::{median, say},
    process::{CpuTime, memory_kib},
};

const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// After the first packets: key frames asked for, rates settled.
const SETTLE: Duration = Duration::from_secs(4);
const TURNS: usize = 4;
const TURN: Duration = Duration::from_secs(5);
/// What is on its way when the fleet falls silent.
const DRAIN: Duration = Duration::from_secs(2);
/// Loss up to here is none: one packet in a thousand.
const LOSS: f64 = 0.001;
/// A fleet that is later than this does not keep its tempo.
const LATE: Duration = Duration::from_millis(100);

/// What a load cost.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Presenters.
    pub count: usize,
    /// µs for each packet in the process's own code.
    pub user: f64,
    /// µs for each packet in the kernel.
    pub system: f64,
    /// Packets that arrived in a second.
    pub rate: f64,
    /// Share of the packets that never arrived.
    pub lost: f64,
    /// KiB of resident memory that a presenter took.
    pub memory: f64,
    /// How late the fleet was at most.
    pub late: Duration,
    /// Presenters that lost their connection.
    pub closed: u64,
}

impl Case {
    /// Loads the process `pid` with a fleet whose packets are counted in
    /// `arrived`; `before` is its memory without.
    ///
    /// # Errors
    ///
    /// When presenters do not get connected or nothing arrives.
    pub async fn measure(
        pid: i32,
        fleet: Fleet,
        count: usize,
        arrived: &AtomicU64,
        before: u64,
    ) -> Result<Self> {
        let sent = &fleet.sent;
        until("all presenters", CONNECT_PATIENCE, async || {
            let connected = sent.connected.load(Relaxed);
            ensure!(connected == count as u64, "{connected} are connected");
            Ok(())
        })
        .await?;
        sent.is_live.store(true, Relaxed);
        tokio::time::sleep(SETTLE).await;
        sent.late.store(0, Relaxed);
        let mut turns = Vec::new();
        for _ in 0..TURNS {
            turns.push(turn(pid, arrived).await?);
        }
        let late = Duration::from_micros(sent.late.load(Relaxed));
        let memory = memory_kib(pid, "VmRSS")?.saturating_sub(before);
        sent.is_live.store(false, Relaxed);
        tokio::time::sleep(DRAIN).await;
        let (rtp, closed) = (sent.rtp.load(Relaxed), sent.closed.load(Relaxed));
        let lost = 1.0 - arrived.load(Relaxed) as f64 / rtp as f64;
        let of = |part: usize| median(turns.iter().map(|turn| turn[part]));
        let case = Self {
            count,
            user: of(0),
            system: of(1),
            rate: of(2),
            lost: lost.max(0.0),
            memory: memory as f64 / count as f64,
            late,
            closed,
        };
        fleet.stop()?;
        say(case.to_string());
        Ok(case)
    }

    /// µs for each packet.
    pub const fn cost(&self) -> f64 {
        self.user + self.system
    }

    /// Share of one core that the process took.
    pub const fn share(&self) -> f64 {
        self.cost() * self.rate / 1e6
    }

    /// Whether everybody was served.
    pub const fn held(&self) -> bool {
        self.lost <= LOSS && self.closed == 0
    }

    /// Whether the fleet kept its tempo.
    pub fn kept_tempo(&self) -> bool {
        self.late < LATE
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} presenters: {:.0} packets/s, {:.2} + {:.2} µs each, {:.0} % of a core, \
             {:.3} % lost, {} connections lost, {:.0} KiB each, fleet at most {} ms late",
            self.count,
            self.rate,
            self.user,
            self.system,
            100.0 * self.share(),
            100.0 * self.lost,
            self.closed,
            self.memory,
            self.late.as_millis()
        )
    }
}

/// µs in the process's own code and in the kernel for each packet, and packets
/// in a second.
async fn turn(pid: i32, arrived: &AtomicU64) -> Result<[f64; 3]> {
    let (start, cpu, before) = (clock::now(), CpuTime::of(pid)?, arrived.load(Relaxed));
    tokio::time::sleep(TURN).await;
    let cpu = CpuTime::of(pid)?.since(cpu);
    let packets = (arrived.load(Relaxed) - before) as f64;
    let seconds = clock::now().duration_since(start).as_secs_f64();
    ensure!(packets > 0.0, "nothing arrived");
    let each = |time: Duration| time.as_secs_f64() * 1e6 / packets;
    Ok([each(cpu.user), each(cpu.system), packets / seconds])
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
