//! Paces trains over many paths, and says what became of them.
//!
//! One thread that never sleeps: it sends what is due, then looks for arrivals.
//! A generator that was kept from running does not catch up: that would measure
//! a burst that nobody asked for.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use inlet_common::clock;

use super::{
    path::Path,
    receiver::{Arrivals, Receiver},
};
use crate::process::scheduled;

/// Packets sent before arrivals are looked for.
const TURN_PACKETS: u64 = 64;
/// How often arrivals are looked for under load: batches of them are cheaper.
const LOOK: Duration = Duration::from_micros(30);
/// What the generator may be behind, and some packets more.
const MAX_LAG: Duration = Duration::from_millis(2);
const MAX_LAG_PACKETS: u64 = 64;
/// A trial has ended when nothing has arrived for this long.
const QUIET: Duration = Duration::from_millis(60);
/// When a trial ends even if packets still trickle in.
const MAX_DRAIN: Duration = Duration::from_secs(1);
/// At or below this rate arrivals are looked for all the time: else the look, not
/// the server, would be the latency.
const BUSY_RATE: f64 = 50_000.0;

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Packets per second.
    pub rate: f64,
    /// For how long.
    pub lasts: Duration,
}

/// What became of it.
#[derive(Debug)]
pub struct Trial {
    /// Packets that left.
    pub sent: u64,
    /// Packets that found no room: a stream of a server that reads slowly.
    pub refused: u64,
    /// Packets that arrived.
    pub received: u64,
    /// For how long packets left.
    pub lasted: Duration,
    /// CPU time of the server, what its queues held at the end included.
    pub cpu: Duration,
    /// Packets that arrived after the last had left.
    late: u64,
    latencies: Vec<u64>,
}

impl Trial {
    /// Server CPU per packet that arrived, in µs.
    pub fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.received.max(1) as f64
    }

    /// Packets that arrived, per second.
    pub fn rate(&self) -> f64 {
        self.received as f64 / self.lasted.as_secs_f64()
    }

    /// The part of the packets that did not arrive, 0 to 1.
    pub fn loss(&self) -> f64 {
        1.0 - self.received as f64 / self.sent.max(1) as f64
    }

    /// The part of the packets that had not arrived when the last left, but did
    /// later, 0 to 1.
    pub fn late(&self) -> f64 {
        self.late as f64 / self.sent.max(1) as f64
    }

    /// One-way latency in µs that `part` of the packets stayed under.
    pub fn latency(&self, part: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = (sorted.len().saturating_sub(1) as f64 * part) as usize;
        sorted.get(at).map_or(0.0, |nanos| *nanos as f64 / 1e3)
    }

    /// Packets that left, per second.
    pub fn sent_rate(&self) -> f64 {
        self.sent as f64 / self.lasted.as_secs_f64()
    }
}

/// A load that is set up.
pub struct Generator {
    paths: Vec<Path>,
    receiver: Receiver,
    server: i32,
    epoch: Instant,
    /// The path whose turn it is.
    turn: usize,
}

impl Generator {
    /// Puts paths and their ends together; `server` is the process that pays.
    pub fn new(paths: Vec<Path>, receiver: Receiver, server: i32) -> Self {
        Self {
            paths,
            receiver,
            server,
            epoch: clock::now(),
            turn: 0,
        }
    }

    /// Sends at one pace, and waits for the last arrivals.
    ///
    /// # Errors
    ///
    /// When the server is gone, or nothing at all has arrived.
    pub fn trial(&mut self, pace: Pace) -> Result<Trial> {
        self.receiver.drain(0, &mut Arrivals::default())?;
        let cpu = scheduled(self.server)?;
        let start = clock::now();
        let look = if pace.rate > BUSY_RATE {
            LOOK
        } else {
            Duration::ZERO
        };
        let mut arrivals = Arrivals::default();
        let mut ledger = Ledger::default();
        let mut looked = Duration::ZERO;
        let lasted = loop {
            let elapsed = clock::now().duration_since(start);
            if elapsed >= pace.lasts {
                break elapsed;
            }
            let due = ledger.due(pace.rate, elapsed);
            self.send(due, &mut ledger)?;
            if elapsed - looked >= look {
                looked = elapsed;
                self.receiver.drain(self.now(), &mut arrivals)?;
            }
        };
        self.receiver.drain(self.now(), &mut arrivals)?;
        let in_time = arrivals.packets;
        self.finish(&mut arrivals)?;
        ensure!(arrivals.packets > 0, "nothing arrived");
        Ok(Trial {
            sent: ledger.sent,
            refused: ledger.refused,
            received: arrivals.packets,
            lasted,
            late: arrivals.packets - in_time,
            cpu: scheduled(self.server)?.saturating_sub(cpu),
            latencies: arrivals.latencies,
        })
    }

    fn send(&mut self, due: u64, ledger: &mut Ledger) -> Result<()> {
        let stamp = self.now();
        let mut left = due.min(TURN_PACKETS);
        while left > 0 {
            self.turn = (self.turn + 1) % self.paths.len();
            let path = &mut self.paths[self.turn];
            let burst = path.burst();
            if path.send(stamp)? {
                ledger.sent += burst;
            } else {
                ledger.refused += burst;
            }
            left = left.saturating_sub(burst);
        }
        Ok(())
    }

    fn finish(&mut self, arrivals: &mut Arrivals) -> Result<()> {
        let end = clock::now();
        let mut last = end;
        loop {
            let now = clock::now();
            if self.receiver.drain(self.now(), arrivals)? {
                last = now;
            }
            if now - last > QUIET || now - end > MAX_DRAIN {
                return Ok(());
            }
        }
    }

    fn now(&self) -> u64 {
        clock::now().duration_since(self.epoch).as_nanos() as u64
    }
}

/// What has been sent of what was due.
#[derive(Debug, Default)]
struct Ledger {
    sent: u64,
    /// Packets for which there was no room.
    refused: u64,
    /// Packets that were due while the generator did not run.
    forgiven: u64,
}

impl Ledger {
    fn due(&mut self, rate: f64, elapsed: Duration) -> u64 {
        let due = (elapsed.as_secs_f64() * rate) as u64;
        let lag = due.saturating_sub(self.sent + self.refused + self.forgiven);
        let most = (MAX_LAG.as_secs_f64() * rate) as u64 + MAX_LAG_PACKETS;
        self.forgiven += lag.saturating_sub(most);
        lag.min(most)
    }
}
