//! What relaying costs without TURN: the ChannelData header is cut off, and the
//! client's port alone says which relayed socket the rest leaves by.
//!
//! No server that relays by sockets of its own, one per allocation, can cost
//! much less than the form that moves trains.

use std::{
    io::{ErrorKind, IoSlice, IoSliceMut},
    net::{SocketAddr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd as _,
    rc::Rc,
};

use anyhow::{Context as _, Result, bail};
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use nix::{
    errno::Errno,
    sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmsg},
};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};

use super::{CLIENTS, SERVER, SERVER_IP, client::bound, peer, plain_client};
use crate::figure::say;

/// What a forwarder prints when its sockets are bound.
pub const READY: &str = "ready";

const SOCKET_BUFFER: usize = 4 << 20;
/// The header of ChannelData.
const HEADER: usize = 4;
/// Datagrams that one system call takes, without GRO.
const BATCH: usize = 64;
/// Longer than any datagram of a load.
const DATAGRAM: usize = 2_048;
/// The longest train the kernel makes of datagrams.
const TRAIN: usize = 64 * 1024;
/// What the kernel takes at once: UDP_MAX_SEGMENTS in its older releases, and
/// less than a datagram's greatest length.
const MAX_SEGMENTS: usize = 64;
const MAX_TRAIN: usize = 65_000;

/// How it moves packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Batches in, one system call for each packet out.
    Packets,
    /// Trains in by GRO, trains out by GSO.
    Trains,
}

impl Form {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Packets, Self::Trains];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Trains => "trains",
        }
    }
}

/// Forwards until it is killed; `form` is the name of one.
///
/// # Errors
///
/// When a socket fails.
pub fn run(form: &str) -> Result<()> {
    let form = Form::ALL.into_iter().find(|one| one.name() == form);
    let listener = bound(SERVER, SOCKET_BUFFER)?;
    let mut relays = Vec::new();
    for index in 0..CLIENTS {
        let relay = bound(SocketAddrV4::new(SERVER_IP, 0), SOCKET_BUFFER)?;
        relay.connect(peer(index))?;
        relays.push(relay);
    }
    let relays = Relays(relays);
    say(READY);
    match form.context("no such form")? {
        Form::Packets => forward_packets(&listener, &relays),
        Form::Trains => forward_trains(&listener, &relays),
    }
}

/// A relayed socket for each client.
struct Relays(Vec<Rc<UdpSocket>>);

impl Relays {
    fn of(&self, client_port: u16) -> Option<&UdpSocket> {
        let index = client_port.checked_sub(plain_client(0).port())?;
        Some(self.0.get(usize::from(index))?)
    }
}

fn forward_packets(listener: &UdpSocket, relays: &Relays) -> Result<()> {
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut buffer = vec![0; BATCH * DATAGRAM];
    let mut sources = Vec::with_capacity(BATCH);
    loop {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffer
            .chunks_exact_mut(DATAGRAM)
            .map(|datagram| [IoSliceMut::new(datagram)])
            .collect();
        let (fd, flags) = (listener.as_raw_fd(), MsgFlags::MSG_WAITFORONE);
        sources.clear();
        match recvmmsg(fd, &mut headers, &mut slices, flags, None) {
            Ok(received) => sources.extend(received.map(|one| (one.address, one.bytes))),
            Err(Errno::EINTR) => continue,
            Err(error) => bail!(error),
        }
        for ((source, length), datagram) in sources.iter().zip(buffer.chunks_exact(DATAGRAM)) {
            let relay = source.and_then(|source| relays.of(source.port()));
            if let (Some(relay), Some(payload)) = (relay, datagram.get(HEADER..*length)) {
                // A full queue is a loss, as anywhere.
                relay.send(payload).ok();
            }
        }
    }
}

fn forward_trains(listener: &UdpSocket, relays: &Relays) -> Result<()> {
    let state = UdpSocketState::new(listener.into())?;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1);
    let fd = listener.as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;
    let mut buffer = vec![0; BATCH_SIZE * TRAIN];
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    loop {
        let mut slices: Vec<IoSliceMut<'_>> = buffer
            .chunks_exact_mut(TRAIN)
            .map(IoSliceMut::new)
            .collect();
        match state.recv(listener.into(), &mut slices, &mut metas) {
            Ok(count) => send_runs(relays, buffer.chunks_exact(TRAIN).zip(&metas[..count])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll.poll(&mut events, None)?;
            }
            Err(error) => bail!(error),
        }
    }
}

/// Sends what goes to one peer in one size by one system call.
fn send_runs<'a>(relays: &Relays, trains: impl Iterator<Item = (&'a [u8], &'a RecvMeta)>) {
    let mut run: Option<Run<'_, 'a>> = None;
    for (train, meta) in trains {
        let SocketAddr::V4(source) = meta.addr else {
            continue;
        };
        let Some(relay) = relays.of(source.port()) else {
            continue;
        };
        for segment in train[..meta.len].chunks(meta.stride.max(1)) {
            let Some(payload) = segment.get(HEADER..) else {
                continue;
            };
            match &mut run {
                Some(run) if run.takes(relay, payload) => run.payloads.push(IoSlice::new(payload)),
                _ => {
                    let next = Run::new(relay, payload);
                    if let Some(full) = run.replace(next) {
                        full.send();
                    }
                }
            }
        }
    }
    if let Some(last) = run {
        last.send();
    }
}

struct Run<'r, 'a> {
    relay: &'r UdpSocket,
    size: usize,
    payloads: Vec<IoSlice<'a>>,
}

impl<'r, 'a> Run<'r, 'a> {
    fn new(relay: &'r UdpSocket, payload: &'a [u8]) -> Self {
        let mut payloads = Vec::with_capacity(MAX_SEGMENTS);
        payloads.push(IoSlice::new(payload));
        Self {
            relay,
            size: payload.len(),
            payloads,
        }
    }

    fn takes(&self, relay: &UdpSocket, payload: &[u8]) -> bool {
        let count = self.payloads.len();
        std::ptr::eq(self.relay, relay)
            && self.size == payload.len()
            && count < MAX_SEGMENTS
            && (count + 1) * self.size <= MAX_TRAIN
    }

    fn send(self) {
        let size = self.size as u16;
        let segments = [ControlMessage::UdpGsoSegments(&size)];
        let control = if self.payloads.len() > 1 {
            &segments[..]
        } else {
            &[]
        };
        let fd = self.relay.as_raw_fd();
        // A full queue is a loss, as anywhere.
        sendmsg::<SockaddrIn>(fd, &self.payloads, control, MsgFlags::empty(), None).ok();
    }
}
