//! DNS over UDP: a thread per core and address, which waits for datagrams, answers
//! all that are there, and sends the answers, with two system calls for a batch.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::SocketAddr,
    os::fd::AsRawFd as _,
    thread::JoinHandle,
    time::Duration,
};

use inlet_common::service::systemd::Progress;
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg},
};
use socket2::{Domain, Protocol, Type};
use tokio_util::sync::CancellationToken;

use super::{LOOK, Moment, Responder};
use crate::dns::answer::Transport;

/// Datagrams of one batch.
const BATCH: usize = 64;

/// Longest query that is read: no client has more to say, and what is cut off here
/// is malformed.
const MAX_QUERY: usize = 4096;

/// What the kernel is asked to buffer: some ten thousand queries, a pause of 50 ms.
const SOCKET_BUFFER: usize = 4 << 20;

/// How long a thread waits that cannot receive: what lasts would take a core, and what
/// does not has room in the socket's buffer.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket of one thread.
#[derive(Debug)]
pub struct Socket {
    inner: socket2::Socket,
    local: SocketAddr,
}

impl Socket {
    /// Binds beside the sockets of other threads (SO_REUSEPORT); port 0 takes any.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let inner = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            inner.set_only_v6(true)?;
        }
        inner.set_reuse_port(true)?;
        inner.set_read_timeout(Some(LOOK))?;
        for set in [
            inner.set_recv_buffer_size(SOCKET_BUFFER),
            inner.set_send_buffer_size(SOCKET_BUFFER),
        ] {
            if let Err(error) = set {
                tracing::debug!(%error, "socket buffer not set");
            }
        }
        inner.bind(&address.into())?;
        let local = inner.local_addr()?.as_socket();
        let local = local.ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self { inner, local })
    }

    /// Where it is bound.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }
}

/// What a thread that answers is made of.
#[derive(Debug)]
pub struct UdpThread {
    /// What it reads.
    pub socket: Socket,
    /// What answers.
    pub responder: Responder,
    /// Where it shows that it turns.
    pub progress: Progress,
    /// When this is cancelled, it ends.
    pub closing: CancellationToken,
}

impl UdpThread {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn start(self) -> io::Result<JoinHandle<()>> {
        let Self {
            socket,
            responder,
            progress,
            closing,
        } = self;
        std::thread::Builder::new()
            .name("dns-udp".to_owned())
            .spawn(move || Loop::new(socket, responder).run(&progress, &closing))
    }
}

struct Loop {
    socket: Socket,
    responder: Responder,
    incoming: MultiHeaders<SockaddrStorage>,
    /// Apart from those that come in: sending leaves addresses in them that receiving
    /// would write to.
    outgoing: MultiHeaders<SockaddrStorage>,
    queries: Vec<u8>,
    /// Answers of one batch, each in its own buffer, and whom they are for.
    answers: Vec<Vec<u8>>,
    clients: Vec<Option<SockaddrStorage>>,
    /// The last turn could not receive.
    is_failing: bool,
}

impl Loop {
    fn new(socket: Socket, responder: Responder) -> Self {
        Self {
            socket,
            responder,
            incoming: MultiHeaders::preallocate(BATCH, None),
            outgoing: MultiHeaders::preallocate(BATCH, None),
            queries: vec![0; BATCH * MAX_QUERY],
            answers: vec![Vec::new(); BATCH],
            clients: Vec::with_capacity(BATCH),
            is_failing: false,
        }
    }

    fn run(mut self, progress: &Progress, closing: &CancellationToken) {
        while !closing.is_cancelled() {
            progress.advance();
            let turned = self.turn();
            if let Some(pause) = self.pause(turned) {
                std::thread::sleep(pause);
            }
            self.responder.flush(Moment::read());
        }
    }

    /// How long to wait after a turn. What goes on and on is told once.
    fn pause(&mut self, turned: nix::Result<()>) -> Option<Duration> {
        let error = match turned {
            Ok(()) | Err(Errno::EAGAIN | Errno::EINTR) => {
                self.is_failing = false;
                return None;
            }
            Err(error) => error,
        };
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(%error, local = %self.socket.local, "cannot receive DNS queries");
        }
        Some(PAUSE)
    }

    /// Waits for a batch, and answers it.
    fn turn(&mut self) -> nix::Result<()> {
        self.clients.clear();
        let descriptor = self.socket.inner.as_raw_fd();
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] = {
            let mut queries = self.queries.chunks_mut(MAX_QUERY);
            std::array::from_fn(|_| [IoSliceMut::new(queries.next().unwrap_or_default())])
        };
        // The first is waited for, what is there with it comes along.
        let flags = MsgFlags::MSG_WAITFORONE;
        let received = recvmmsg(
            descriptor,
            &mut self.incoming,
            slices.iter_mut(),
            flags,
            None,
        )?;
        let at = Moment::read();
        let mut answers = self.answers.iter_mut();
        let mut answer = answers.next();
        for message in received {
            let (Some(out), Some(client)) = (answer.as_mut(), message.address) else {
                continue;
            };
            let query = message.iovs().next().unwrap_or_default();
            let Some(source) = address(&client) else {
                continue;
            };
            if self
                .responder
                .respond(at, query, source, Transport::Udp, out)
            {
                self.clients.push(Some(client));
                answer = answers.next();
            }
        }
        self.send(descriptor);
        Ok(())
    }

    /// Sends what was answered. What the kernel does not take is lost, as datagrams
    /// may be; the client asks again.
    fn send(&mut self, descriptor: i32) {
        let slices: Vec<[IoSlice<'_>; 1]> = self
            .answers
            .iter()
            .take(self.clients.len())
            .map(|answer| [IoSlice::new(answer)])
            .collect();
        let mut sent = 0;
        while sent < slices.len() {
            let (slices, clients) = (&slices[sent..], &self.clients[sent..]);
            let flags = MsgFlags::empty();
            match sendmmsg(descriptor, &mut self.outgoing, slices, clients, [], flags) {
                Ok(results) => sent += results.count().max(1),
                Err(Errno::EINTR) => {}
                // One that cannot be sent does not hold up the others.
                Err(error) => {
                    tracing::trace!(%error, "an answer was not sent");
                    self.responder.note_unsent(1);
                    sent += 1;
                }
            }
        }
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let four = storage
        .as_sockaddr_in()
        .map(|four| SocketAddr::V4((*four).into()));
    four.or_else(|| {
        storage
            .as_sockaddr_in6()
            .map(|six| SocketAddr::V6((*six).into()))
    })
    // Nobody can be answered at port 0.
    .filter(|address| address.port() != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{limit::Rule, server::tests::shared};

    fn turning(socket: Socket) -> Loop {
        let rule = Rule {
            per_second: 0,
            slip: 0,
        };
        Loop::new(socket, Responder::new(shared(), rule))
    }

    /// Receiving from a stream that is not connected fails at once, whenever it is tried
    /// (ENOTCONN).
    #[test]
    fn an_error_that_lasts_is_waited_for() {
        let inner = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let local = "127.0.0.1:53".parse().unwrap();
        let mut broken = turning(Socket { inner, local });
        for _ in 0..3 {
            let turned = broken.turn();
            assert_eq!(turned, Err(Errno::ENOTCONN));
            assert_eq!(broken.pause(turned), Some(PAUSE));
        }
    }

    #[test]
    fn silence_is_no_error() {
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut idle = turning(socket);
        let turned = idle.turn();
        assert_eq!(turned, Err(Errno::EAGAIN));
        assert_eq!(idle.pause(turned), None);
    }
}
