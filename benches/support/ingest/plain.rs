//! What the same packets cost without WebRTC and QUIC: a process that receives
//! and sends them on, and a fleet for it that sends the same lengths at the same
//! times.
//!
//! The forwarder batches as the edge does: it takes what has come, sends it in
//! trains to one address, and rests until a millisecond has passed.

use std::{
    io::{ErrorKind, IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use inlet_common::clock;
use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrIn, sendmsg, setsockopt,
    sockopt::{RcvBuf, SndBuf},
};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};

use super::{
    fleet::{Fleet, TURN},
    tempo::{AUDIO_PAYLOAD, Tempo, Unit, VIDEO_PAYLOAD},
};
use crate::figure::say;

/// What a forwarder prints before the port of each of its sockets.
pub const READY: &str = "ports";

/// RTP header, three header extensions and the tag of AES-GCM.
const OVERHEAD: usize = 12 + 16 + 16;
const SOCKET_BUFFER: usize = 8 << 20;
/// The longest train the kernel makes of datagrams.
const TRAIN: usize = 64 * 1024;
/// What the kernel takes at once, and less than a datagram's greatest length.
const MAX_SEGMENTS: usize = 64;
const MAX_TRAIN: usize = 65_000;
/// Longest datagram of the load.
const DATAGRAM: usize = 2_048;

fn bound() -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    setsockopt(&socket, RcvBuf, &SOCKET_BUFFER)?;
    setsockopt(&socket, SndBuf, &SOCKET_BUFFER)?;
    Ok(socket)
}

/// Forwards on `workers` threads until the process is killed, to `sink`.
///
/// # Errors
///
/// When a socket fails.
pub fn forward(workers: usize, sink: SocketAddrV4) -> Result<()> {
    let sockets: Vec<UdpSocket> = (0..workers).map(|_| bound()).collect::<Result<_>>()?;
    let ports: Vec<String> = sockets
        .iter()
        .map(|socket| Ok(socket.local_addr()?.port().to_string()))
        .collect::<Result<_>>()?;
    say(format!("{READY} {}", ports.join(" ")));
    let threads: Vec<_> = sockets
        .into_iter()
        .map(|socket| std::thread::spawn(move || worker(&socket, sink)))
        .collect();
    for thread in threads {
        thread.join().ok().context("a worker panicked")??;
    }
    Ok(())
}

fn worker(socket: &UdpSocket, sink: SocketAddrV4) -> Result<()> {
    let out = bound()?;
    out.connect(sink)?;
    let state = UdpSocketState::new(socket.into())?;
    let mut poll = mio::Poll::new()?;
    let mut events = mio::Events::with_capacity(1);
    let fd = socket.as_raw_fd();
    poll.registry().register(
        &mut mio::unix::SourceFd(&fd),
        mio::Token(0),
        mio::Interest::READABLE,
    )?;
    let mut buffer = vec![0; BATCH_SIZE * TRAIN];
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    loop {
        let start = clock::now();
        let had_any = drain(socket, &state, &out, &mut buffer, &mut metas)?;
        match had_any {
            true => std::thread::sleep(TURN.saturating_sub(clock::now().duration_since(start))),
            false => poll.poll(&mut events, None)?,
        }
    }
}

/// Forwards everything that has come; whether there was anything.
fn drain(
    socket: &UdpSocket,
    state: &UdpSocketState,
    out: &UdpSocket,
    buffer: &mut [u8],
    metas: &mut [RecvMeta],
) -> Result<bool> {
    let mut had_any = false;
    loop {
        let mut slices: Vec<IoSliceMut<'_>> = buffer
            .chunks_exact_mut(TRAIN)
            .map(IoSliceMut::new)
            .collect();
        match state.recv(socket.into(), &mut slices, metas) {
            Ok(count) => send(out, buffer.chunks_exact(TRAIN).zip(&metas[..count])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(had_any),
            Err(error) => return Err(error.into()),
        }
        had_any = true;
    }
}

/// Sends on, what has one length in one system call.
fn send<'a>(out: &UdpSocket, received: impl Iterator<Item = (&'a [u8], &'a RecvMeta)>) {
    let mut train: Vec<IoSlice<'a>> = Vec::with_capacity(MAX_SEGMENTS);
    let mut size = 0;
    for (bytes, meta) in received {
        for packet in bytes[..meta.len].chunks(meta.stride.max(1)) {
            let has_room = train.len() < MAX_SEGMENTS && (train.len() + 1) * size <= MAX_TRAIN;
            if !train.is_empty() && (packet.len() != size || !has_room) {
                send_train(out, &train, size);
                train.clear();
            }
            size = packet.len();
            train.push(IoSlice::new(packet));
        }
    }
    if !train.is_empty() {
        send_train(out, &train, size);
    }
}

fn send_train(out: &UdpSocket, train: &[IoSlice<'_>], size: usize) {
    let size = u16::try_from(size).unwrap_or(u16::MAX);
    let segments = [ControlMessage::UdpGsoSegments(&size)];
    let control = match train {
        [_] => &[][..],
        _ => &segments[..],
    };
    // A full queue is a loss, as anywhere.
    sendmsg::<SockaddrIn>(out.as_raw_fd(), train, control, MsgFlags::empty(), None).ok();
}

/// Counts what a forwarder sends.
#[derive(Debug)]
pub struct PlainSink {
    /// Datagrams that have arrived.
    pub arrived: Arc<AtomicU64>,
    /// Where.
    pub address: SocketAddrV4,
    stop: Arc<AtomicBool>,
}

impl PlainSink {
    /// Starts counting.
    ///
    /// # Errors
    ///
    /// When there is no socket.
    pub fn start() -> Result<Self> {
        let socket = bound()?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let SocketAddr::V4(address) = socket.local_addr()? else {
            anyhow::bail!("loopback is IPv4");
        };
        let state = UdpSocketState::new((&socket).into())?;
        socket.set_nonblocking(true)?;
        let sink = Self {
            arrived: Arc::default(),
            address,
            stop: Arc::default(),
        };
        let (arrived, stop) = (Arc::clone(&sink.arrived), Arc::clone(&sink.stop));
        std::thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || count(&socket, &state, &arrived, &stop))?;
        Ok(sink)
    }
}

impl Drop for PlainSink {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

fn count(socket: &UdpSocket, state: &UdpSocketState, arrived: &AtomicU64, stop: &AtomicBool) {
    let mut buffer = vec![0; BATCH_SIZE * TRAIN];
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    while !stop.load(Relaxed) {
        let mut slices: Vec<IoSliceMut<'_>> = buffer
            .chunks_exact_mut(TRAIN)
            .map(IoSliceMut::new)
            .collect();
        let Ok(count) = state.recv(socket.into(), &mut slices, &mut metas) else {
            std::thread::sleep(TURN);
            continue;
        };
        let datagrams = |meta: &RecvMeta| meta.len.div_ceil(meta.stride.max(1)) as u64;
        arrived.fetch_add(metas[..count].iter().map(datagrams).sum(), Relaxed);
    }
}

/// Sends what `count` presenters would, spread over a forwarder's ports.
///
/// # Errors
///
/// When there are no sockets.
pub fn fleet(ports: &[u16], count: usize) -> Result<Fleet> {
    let mut presenters = (0..count)
        .map(|number| Plain::new(ports[number % ports.len()], number))
        .collect::<Result<Vec<_>>>()?;
    let payload = vec![0; DATAGRAM];
    Fleet::run(move |sent| {
        sent.connected.store(count as u64, Relaxed);
        while !sent.stop.load(Relaxed) {
            if sent.is_live.load(Relaxed) {
                for presenter in &mut presenters {
                    let (packets, late) = presenter.turn(clock::now(), &payload);
                    sent.rtp.fetch_add(packets, Relaxed);
                    sent.note_late(late);
                }
            }
            std::thread::sleep(TURN);
        }
        Ok(())
    })
}

struct Plain {
    socket: UdpSocket,
    tempo: Tempo,
}

impl Plain {
    fn new(port: u16, number: usize) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        let tempo = Tempo::new(number);
        Ok(Self { socket, tempo })
    }

    fn turn(&mut self, now: Instant, payload: &[u8]) -> (u64, Duration) {
        let (mut sent, mut latest) = (0, Duration::ZERO);
        while let Some((unit, late)) = self.tempo.due(now) {
            latest = latest.max(late);
            let (packets, length) = match unit {
                Unit::Frame { packets, .. } => (packets, VIDEO_PAYLOAD),
                Unit::Audio => (1, AUDIO_PAYLOAD),
            };
            for _ in 0..packets {
                // A full queue is a loss, as anywhere.
                self.socket.send(&payload[..length + OVERHEAD]).ok();
                sent += 1;
            }
        }
        (sent, latest)
    }
}
