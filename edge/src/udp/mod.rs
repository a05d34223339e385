//! A UDP socket that moves batches: recvmmsg and GRO in, GSO out.
//!
//! `quinn-udp` does the system calls. The traps: a buffer must hold a whole
//! GRO batch of up to 64 KiB; a socket bound to the wildcard must answer from
//! the address it was asked at, so that address travels both ways; and GSO can
//! switch itself off at run time, so the segment count is read anew each time.

use std::{
    cell::OnceCell,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
};

use mio::net::UdpSocket;
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Type};

pub mod addresses;
mod errors;
pub mod kernel;
mod scatter;
mod sys;

pub use errors::IcmpError;
pub use scatter::Pieces;

/// What the kernel is asked to buffer in each direction: 8 MiB is 40 ms of
/// 1.6 Gbps, or a pause of the thread at a tenth of that.
const SOCKET_BUFFER: usize = 8 << 20;

/// The same for a relayed socket, of which there are thousands: a quarter of a
/// second of 30 Mbps.
const RELAY_BUFFER: usize = 1 << 20;

/// One GRO batch: what one UDP datagram could be at most.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// A non-blocking UDP socket.
#[derive(Debug)]
pub struct Socket {
    inner: UdpSocket,
    /// What a socket is set up with beside its address. A relayed socket gets it
    /// when it is first used: eleven system calls of an allocation that a client
    /// makes in reserve and, mostly, never uses.
    state: OnceCell<UdpSocketState>,
    local: SocketAddr,
    is_relayed: bool,
}

/// A datagram to send, or several of the same size in a row (GSO).
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Where to.
    pub destination: SocketAddr,
    /// Which of our addresses it comes from; `None` leaves it to the kernel.
    pub source: Option<IpAddr>,
    /// The datagrams.
    pub contents: &'a [u8],
    /// The size of each datagram but the last; `None` when there is one.
    pub segment_size: Option<usize>,
    /// ECN bits to set.
    pub ecn: Option<EcnCodepoint>,
}

impl Socket {
    /// Binds a socket; port 0 takes any. An IPv6 socket takes IPv6 only, so
    /// that IPv4 may be bound beside it. The kernel may grant smaller buffers
    /// than asked for; that is logged and no error.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = new(address)?;
        grow_buffers(&socket);
        Self::finish(socket, address)
    }

    /// Binds a socket beside others at the same address, one per worker: the
    /// kernel spreads clients over them by their address (SO_REUSEPORT). What
    /// is sent may be fragmented.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn bind_shared(address: SocketAddr) -> io::Result<Self> {
        let socket = new(address)?;
        socket.set_reuse_port(true)?;
        grow_buffers(&socket);
        let bound = Self::finish(socket, address)?;
        bound.set_may_fragment(true)?;
        Ok(bound)
    }

    /// Binds a relayed socket: ICMP errors are kept for
    /// [`Socket::receive_error`], and what is sent may be fragmented.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn bind_relay(address: SocketAddr) -> io::Result<Self> {
        let socket = new(address)?;
        socket.bind(&address.into())?;
        let std: std::net::UdpSocket = socket.into();
        let local = match address.port() {
            0 => std.local_addr()?,
            _ => address,
        };
        Ok(Self {
            inner: UdpSocket::from_std(std),
            state: OnceCell::new(),
            local,
            is_relayed: true,
        })
    }

    fn finish(socket: socket2::Socket, address: SocketAddr) -> io::Result<Self> {
        socket.bind(&address.into())?;
        let std: std::net::UdpSocket = socket.into();
        let local = std.local_addr()?;
        let bound = Self {
            inner: UdpSocket::from_std(std),
            state: OnceCell::new(),
            local,
            is_relayed: false,
        };
        bound.state()?;
        Ok(bound)
    }

    /// What the socket is set up with; the first call does it.
    fn state(&self) -> io::Result<&UdpSocketState> {
        if let Some(state) = self.state.get() {
            return Ok(state);
        }
        let state = UdpSocketState::new(UdpSockRef::from(&self.inner))?;
        if self.is_relayed {
            SockRef::from(&self.inner).set_recv_buffer_size(RELAY_BUFFER)?;
            sys::set_may_fragment(&self.inner, self.local.is_ipv6(), true)?;
            self.keep_errors()?;
        }
        Ok(self.state.get_or_init(|| state))
    }

    /// Whether what is sent from now on may be fragmented on its way, which for
    /// IPv4 is the DF bit.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn set_may_fragment(&self, may_fragment: bool) -> io::Result<()> {
        self.state()?;
        sys::set_may_fragment(&self.inner, self.local.is_ipv6(), may_fragment)
    }

    /// Where it is bound.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The socket for `mio::Registry::register`.
    pub const fn source(&mut self) -> &mut UdpSocket {
        &mut self.inner
    }

    /// Most datagrams that one [`Outgoing`] may hold right now.
    pub fn max_segments(&self) -> usize {
        self.state().map_or(1, UdpSocketState::max_gso_segments)
    }

    /// Sends.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when the kernel's buffer is full: keep
    /// what must not be lost.
    pub fn send(&self, outgoing: &Outgoing<'_>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: outgoing.destination,
            ecn: outgoing.ecn,
            contents: outgoing.contents,
            segment_size: outgoing.segment_size,
            src_ip: outgoing.source,
        };
        // Through mio, which on some platforms must see WouldBlock to re-arm.
        let state = self.state()?;
        self.inner
            .try_io(|| state.try_send(UdpSockRef::from(&self.inner), &transmit))
    }
}

fn new(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn grow_buffers(socket: &socket2::Socket) {
    let set = [
        socket.set_recv_buffer_size(SOCKET_BUFFER),
        socket.set_send_buffer_size(SOCKET_BUFFER),
    ];
    for error in set.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "socket buffer not set");
    }
    if let Ok(granted) = socket.recv_buffer_size()
        && granted < SOCKET_BUFFER
    {
        tracing::warn!(
            granted,
            wanted = SOCKET_BUFFER,
            "small socket buffer: raise net.core.rmem_max"
        );
    }
}

/// Batches of one round: what a socket holds is read in several calls, so that
/// datagrams to one destination come together although others lie between.
const MAX_ROUND: usize = 8;

/// A round ends once it has so many bytes: more would fall out of the caches
/// before they are sent on.
const ROUND_BYTES: usize = 256 * 1024;

/// Buffers for one round, used for all sockets of a thread in turn.
///
/// Most of this memory is never touched: a buffer is used as far as what comes
/// is long.
#[derive(Debug)]
pub struct Receiver {
    storage: Vec<u8>,
    metas: Vec<RecvMeta>,
    filled: usize,
}

/// A datagram that came in.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Who sent it.
    pub source: SocketAddr,
    /// Which of our addresses it was sent to, where the kernel tells.
    pub destination: Option<IpAddr>,
    /// Its ECN bits.
    pub ecn: Option<EcnCodepoint>,
    /// What it holds.
    pub contents: &'a [u8],
}

/// What a call to [`Receiver::receive`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Nothing was there.
    Empty,
    /// The socket is empty now; the next datagram brings a new event.
    Last,
    /// There may be more.
    Full,
}

impl Default for Receiver {
    fn default() -> Self {
        let buffers = BATCH_SIZE * MAX_ROUND;
        Self {
            storage: vec![0; RECEIVE_BUFFER * buffers],
            metas: vec![RecvMeta::default(); buffers],
            filled: 0,
        }
    }
}

impl Receiver {
    /// Receives one batch; read it with [`Receiver::datagrams`].
    ///
    /// # Errors
    ///
    /// Other than that nothing is there.
    pub fn receive(&mut self, socket: &Socket) -> io::Result<Batch> {
        self.filled = 0;
        self.receive_more(socket)
    }

    /// Receives several batches, as long as they are small; read all of them
    /// with [`Receiver::datagrams`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::receive`]; an error behind a first batch is met again by
    /// the next call.
    pub fn receive_round(&mut self, socket: &Socket) -> io::Result<Batch> {
        let first = self.receive(socket)?;
        if first != Batch::Full {
            return Ok(first);
        }
        while self.filled < self.metas.len() && self.bytes() < ROUND_BYTES {
            match self.receive_more(socket) {
                Ok(Batch::Full) => {}
                Ok(Batch::Last | Batch::Empty) => return Ok(Batch::Last),
                Err(_) => return Ok(Batch::Full),
            }
        }
        Ok(Batch::Full)
    }

    fn bytes(&self) -> usize {
        let filled = self.metas.iter().take(self.filled);
        filled.map(|meta| meta.len).sum()
    }

    fn receive_more(&mut self, socket: &Socket) -> io::Result<Batch> {
        let chunks = self.storage.chunks_mut(RECEIVE_BUFFER);
        let mut chunks = chunks.skip(self.filled);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let metas = self.metas.get_mut(self.filled..).unwrap_or_default();
        let metas = metas.get_mut(..BATCH_SIZE).unwrap_or_default();
        let state = socket.state()?;
        let received = socket
            .inner
            .try_io(|| state.recv(UdpSockRef::from(&socket.inner), &mut buffers, metas));
        match received {
            Ok(received) => {
                self.filled += received;
                Ok(match received < BATCH_SIZE {
                    true => Batch::Last,
                    false => Batch::Full,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Batch::Empty),
            Err(error) => Err(error),
        }
    }

    /// The datagrams that were received.
    pub fn datagrams(&self) -> impl Iterator<Item = Incoming<'_>> {
        let chunks = self.storage.chunks(RECEIVE_BUFFER);
        self.metas
            .iter()
            .zip(chunks)
            .take(self.filled)
            .flat_map(|(meta, chunk)| {
                let batch = chunk.get(..meta.len).unwrap_or_default();
                // An empty datagram has no stride.
                batch.chunks(meta.stride.max(1)).map(|contents| Incoming {
                    source: meta.addr,
                    destination: meta.dst_ip,
                    ecn: meta.ecn,
                    contents,
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn batches_keep_their_boundaries_and_addresses() {
        let mut receiving = Socket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let sending = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut poll = mio::Poll::new().unwrap();
        poll.registry()
            .register(receiving.source(), mio::Token(0), mio::Interest::READABLE)
            .unwrap();
        let segments = sending.max_segments().min(5);
        let contents: Vec<u8> = (0..segments).flat_map(|at| [at as u8; 1_200]).collect();
        sending
            .send(&Outgoing {
                destination: SocketAddr::new([127, 0, 0, 1].into(), receiving.local().port()),
                source: None,
                contents: &contents[..contents.len() - 200],
                segment_size: Some(1_200),
                ecn: None,
            })
            .unwrap();

        let mut receiver = Receiver::default();
        let mut seen = Vec::new();
        let mut events = mio::Events::with_capacity(4);
        while seen.len() < segments {
            poll.poll(&mut events, Some(Duration::from_secs(5)))
                .unwrap();
            assert!(!events.is_empty(), "nothing came");
            while receiver.receive(&receiving).unwrap() != Batch::Empty {
                for datagram in receiver.datagrams() {
                    assert_eq!(datagram.source, sending.local());
                    assert_eq!(datagram.destination, Some([127, 0, 0, 1].into()));
                    seen.push((datagram.contents[0], datagram.contents.len()));
                }
            }
        }
        let expected: Vec<_> = (0..segments)
            .map(|at| (at as u8, if at + 1 == segments { 1_000 } else { 1_200 }))
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn both_families_fit_on_one_port() {
        let Ok(six) = Socket::bind("[::]:0".parse().unwrap()) else {
            return; // A machine without IPv6.
        };
        let four = SocketAddr::new([0, 0, 0, 0].into(), six.local().port());
        assert!(Socket::bind(four).is_ok());
    }
}
