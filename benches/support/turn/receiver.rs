//! Counts what arrives at many sockets, in batches.
//!
//! These sockets take no GRO, as a peer or client of the world does not.

use std::{
    io::{ErrorKind, IoSliceMut},
    net::UdpSocket,
    os::fd::AsRawFd as _,
    rc::Rc,
    time::Duration,
};

use anyhow::Result;
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg},
};

use super::path::STAMP;

/// Datagrams that one system call takes.
const BATCH: usize = 64;
/// Longer than any datagram of a load.
const DATAGRAM: usize = 2_048;
/// Latencies that a trial keeps.
const MAX_LATENCIES: usize = 1 << 20;

/// What a trial has received.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Datagrams.
    pub packets: u64,
    /// How long the first of each batch was on its way, in ns.
    pub latencies: Vec<u64>,
}

/// The sockets at which a load ends.
pub struct Receiver {
    sockets: Vec<Rc<UdpSocket>>,
    poll: Poll,
    events: Events,
    headers: MultiHeaders<SockaddrIn>,
    buffer: Vec<u8>,
}

impl Receiver {
    /// Watches these sockets.
    ///
    /// # Errors
    ///
    /// When the kernel has no room for one.
    pub fn new(sockets: Vec<Rc<UdpSocket>>) -> Result<Self> {
        let poll = Poll::new()?;
        for (index, socket) in sockets.iter().enumerate() {
            let fd = socket.as_raw_fd();
            let registry = poll.registry();
            registry.register(&mut SourceFd(&fd), Token(index), Interest::READABLE)?;
        }
        Ok(Self {
            events: Events::with_capacity(sockets.len().max(1)),
            sockets,
            poll,
            headers: MultiHeaders::preallocate(BATCH, None),
            buffer: vec![0; BATCH * DATAGRAM],
        })
    }

    /// Takes what has arrived by `now`, in ns since the load's epoch; says
    /// whether that was anything.
    ///
    /// # Errors
    ///
    /// When a socket is broken.
    pub fn drain(&mut self, now: u64, arrivals: &mut Arrivals) -> Result<bool> {
        let before = arrivals.packets;
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &self.events {
            let Some(socket) = self.sockets.get(event.token().0) else {
                continue;
            };
            // The poll tells of an edge, so a socket is emptied.
            loop {
                let (count, first) = receive(socket, &mut self.headers, &mut self.buffer)?;
                arrivals.packets += count as u64;
                if let Some(stamp) = first.and_then(|len| stamp_of(self.buffer.get(..len)?))
                    && arrivals.latencies.len() < MAX_LATENCIES
                {
                    arrivals.latencies.push(now.saturating_sub(stamp));
                }
                if count < BATCH {
                    break;
                }
            }
        }
        Ok(arrivals.packets > before)
    }
}

/// How many datagrams there were, and the length of the first.
fn receive(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<SockaddrIn>,
    buffer: &mut [u8],
) -> Result<(usize, Option<usize>)> {
    let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffer
        .chunks_exact_mut(DATAGRAM)
        .map(|datagram| [IoSliceMut::new(datagram)])
        .collect();
    let flags = MsgFlags::MSG_DONTWAIT;
    match recvmmsg(socket.as_raw_fd(), headers, &mut slices, flags, None) {
        Ok(mut received) => {
            let first = received.next().map(|datagram| datagram.bytes);
            Ok((usize::from(first.is_some()) + received.count(), first))
        }
        Err(Errno::EAGAIN | Errno::EINTR) => Ok((0, None)),
        Err(error) => Err(error.into()),
    }
}

fn stamp_of(datagram: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*datagram.last_chunk::<STAMP>()?))
}
