//! What an allocation costs: time of the server, and memory that stays.
//!
//! Both requests count, the one that is asked for credentials and the one that
//! has them.

use std::net::SocketAddrV4;

use anyhow::Result;
use inlet_common::clock;

use super::{
    CLIENT_IP,
    client::{Client, Link},
};
use crate::process::{memory_kib, scheduled};

/// Allocations that are counted.
const ALLOCATIONS: usize = 5_000;
/// Requests on their way at a time.
const WINDOW: usize = 64;

/// What allocations cost at one server.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// Allocations made in a second.
    pub rate: f64,
    /// Server CPU for one, in µs.
    pub cost: f64,
    /// Resident memory of one, in KiB; what the kernel keeps for its socket is
    /// not in it.
    pub memory: f64,
}

impl Growth {
    /// Makes many allocations at the server with this process id.
    ///
    /// # Errors
    ///
    /// When the server refuses one.
    pub fn measure(server: i32) -> Result<Self> {
        // What only the first allocations take is no allocation's.
        let first = Client::allocate(links(WINDOW)?, WINDOW)?;
        let links = links(ALLOCATIONS)?;
        let (memory, cpu) = (memory_kib(server, "VmRSS")?, scheduled(server)?);
        let start = clock::now();
        let clients = Client::allocate(links, WINDOW)?;
        let lasted = clock::now().duration_since(start);
        let cpu = scheduled(server)?.saturating_sub(cpu);
        let memory = memory_kib(server, "VmRSS")?.saturating_sub(memory);
        drop((first, clients));
        let count = ALLOCATIONS as f64;
        Ok(Self {
            rate: count / lasted.as_secs_f64(),
            cost: cpu.as_secs_f64() * 1e6 / count,
            memory: memory as f64 / count,
        })
    }
}

fn links(count: usize) -> Result<Vec<Link>> {
    let any = SocketAddrV4::new(CLIENT_IP, 0);
    (0..count).map(|_| Link::udp(any)).collect()
}
