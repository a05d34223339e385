//! The name server's drivers: sockets in front of [`answer`].
//!
//! UDP has threads of its own, so that a flood never starves media, and so do TCP
//! and TLS, on a runtime that serves nothing else. Each thread has a [`Responder`]
//! with its own limits and counts; what they share is only read.

mod tcp;
mod udp;

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Cache};
use inlet_common::clock::{self, UtcTime};

use super::{
    World,
    answer::{self, Request, Transport},
    limit::{Limiter, Rule, Verdict},
    metrics::{FLUSH_INTERVAL, Metrics, Tally},
    steer::Board,
};

pub use tcp::{Limits as ConnectionLimits, Listening, start as start_tcp};
pub use udp::{Socket, UdpThread};

/// What all threads answer from.
#[derive(Debug)]
pub struct Shared {
    /// Zones, fleet and networks: swapped whole.
    pub world: Arc<ArcSwap<World>>,
    /// How the fleet does: swapped with each change.
    pub board: Arc<ArcSwap<Board>>,
    /// What is counted.
    pub metrics: Metrics,
}

/// Answers on one thread.
#[derive(Debug)]
pub struct Responder {
    shared: Arc<Shared>,
    world: Cache<Arc<ArcSwap<World>>, Arc<World>>,
    board: Cache<Arc<ArcSwap<Board>>, Arc<Board>>,
    limiter: Limiter,
    tally: Tally,
    started: Instant,
    flushed: Instant,
}

/// When a batch came: read once for all of it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    now: Instant,
    utc: UtcTime,
}

impl Moment {
    /// Reads the clocks.
    pub fn read() -> Self {
        Self {
            now: clock::now(),
            utc: clock::utc(),
        }
    }

    /// Unix time, as cookies have it: it wraps in 2106.
    fn unix(self) -> u32 {
        (self.utc.as_unix_seconds() & i64::from(u32::MAX)) as u32
    }
}

impl Responder {
    /// Makes one for a thread. `rule` is that thread's share of what a network may
    /// be told.
    pub fn new(shared: Arc<Shared>, rule: Rule) -> Self {
        let now = clock::now();
        Self {
            world: Cache::new(Arc::clone(&shared.world)),
            board: Cache::new(Arc::clone(&shared.board)),
            shared,
            limiter: Limiter::new(rule, rand::random()),
            tally: Tally::default(),
            started: now,
            flushed: now,
        }
    }

    /// Answers a message into `out`; `false` when nothing is to be sent.
    pub fn respond(
        &mut self,
        at: Moment,
        message: &[u8],
        source: SocketAddr,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> bool {
        let request = Request {
            message,
            source: source.ip(),
            transport,
            now: at.unix(),
        };
        let world = self.world.load();
        let answered = answer::answer(world, self.board.load(), &request, out);
        self.tally.note(transport, answered.as_ref());
        let Some(answered) = answered else {
            return false;
        };
        if answered.is_proven {
            return true;
        }
        let millis = at.now.saturating_duration_since(self.started).as_millis();
        // Wraps after 49 days, as the limiter expects.
        let verdict = self
            .limiter
            .judge(millis as u32, request.source, answered.limited_as);
        self.tally.limited(verdict);
        match verdict {
            Verdict::Pass => true,
            Verdict::Drop => false,
            Verdict::Slip => answer::slip(world, &request, out),
        }
    }

    /// Adds what was counted to the shared handles, when it is time.
    pub fn flush(&mut self, at: Moment) {
        if at.now.saturating_duration_since(self.flushed) >= FLUSH_INTERVAL {
            self.flushed = at.now;
            self.flush_now();
        }
    }

    fn flush_now(&mut self) {
        let world = self.world.load();
        self.tally.flush(&self.shared.metrics, &world.steered);
    }

    /// Counts answers that the kernel did not take.
    pub fn note_unsent(&mut self, responses: usize) {
        self.tally.unsent(responses);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.flush_now();
    }
}

/// A wildcard as the addresses that it stands for: a socket that is bound to one
/// address answers from it, without a word to the kernel for each datagram.
///
/// # Errors
///
/// [`NoAddress`] when nothing is left to be bound.
pub fn expand(listen: &[SocketAddr], machine: &[IpAddr]) -> Result<Vec<SocketAddr>, NoAddress> {
    let mut expanded: Vec<SocketAddr> = listen
        .iter()
        .flat_map(|address| {
            let ips: Vec<IpAddr> = match address.ip().is_unspecified() {
                false => vec![address.ip()],
                true => machine
                    .iter()
                    .filter(|ip| ip.is_ipv4() == address.is_ipv4() && !is_link_local(**ip))
                    .copied()
                    .collect(),
            };
            ips.into_iter()
                .map(|ip| SocketAddr::new(ip, address.port()))
        })
        .collect();
    expanded.sort_unstable();
    expanded.dedup();
    match expanded.is_empty() {
        true => Err(NoAddress(listen.to_vec())),
        false => Ok(expanded),
    }
}

/// A name server that nobody could ask.
#[derive(Debug, thiserror::Error)]
#[error(
    "dns.udp: this machine has no address that {} stands for: give it one, or name others",
    listed(.0)
)]
pub struct NoAddress(Vec<SocketAddr>);

fn listed(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    addresses.join(", ")
}

const fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// How long a thread waits for a datagram before it looks whether it should stop.
const LOOK: Duration = Duration::from_millis(500);
