//! The sockets of media and link around the [`Engine`].

use std::{io, net::SocketAddr, time::Instant};

use quinn_proto::Transmit as LinkTransmit;

use super::{engine::Engine, ice_tcp::Streams, token::Source};
use crate::{
    metrics::Media,
    udp::{Batch, Outgoing, Receiver, Socket, addresses::Advertised},
    whip::session::{Addresses, Datagram, Path, Transmit, Way},
};

/// Batches read from one socket per turn: 8 × 32 GRO batches are milliseconds
/// of a full core, and timers must not wait longer.
pub(super) const MAX_BATCHES: usize = 8;

/// Batches sent on the link per turn.
const MAX_LINK_SENDS: usize = 1024;

/// A media socket and what it goes by.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: Socket,
    pub(super) advertised: Advertised,
    pub(super) candidates: Vec<SocketAddr>,
}

/// Media of one worker.
#[derive(Debug)]
pub(super) struct Plane {
    pub(super) engine: Engine,
    pub(super) listeners: Vec<Listener>,
    pub(super) tcp: Streams,
    pub(super) link_socket: Socket,
    pub(super) link_out: Vec<u8>,
    /// What the kernel had no room for.
    pub(super) unsent: Option<LinkTransmit>,
    pub(super) metrics: Media,
}

impl Plane {
    pub(super) fn register(&mut self, registry: &mio::Registry) -> io::Result<()> {
        let readable = mio::Interest::READABLE;
        for (at, listener) in self.listeners.iter_mut().enumerate() {
            let token = Source::Media(at).token();
            registry.register(listener.socket.source(), token, readable)?;
        }
        self.tcp.register(registry)?;
        let token = Source::Link.token();
        registry.register(self.link_socket.source(), token, readable)
    }

    /// What presenters are told. Which worker it is, is not known here.
    pub(super) fn addresses(&self) -> Addresses {
        let listeners = self.listeners.iter();
        Addresses {
            worker: 0,
            udp: listeners
                .flat_map(|listener| listener.candidates.iter().copied())
                .collect(),
            tcp: self.tcp.candidates(),
        }
    }

    /// When there is something to do next.
    pub(super) fn next_timeout(&mut self) -> Instant {
        let engine = self.engine.next_timeout();
        self.tcp.next_timeout().map_or(engine, |at| at.min(engine))
    }

    /// Reads a source that has something, up to its share. Returns whether there
    /// is more.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        source: Source,
        registry: &mio::Registry,
        receiver: &mut Receiver,
    ) -> bool {
        match source {
            Source::MediaListener(at) => self.accept(now, at, registry),
            Source::MediaStream(at) => self.receive_stream(now, at),
            _ => self.receive_socket(now, source, receiver),
        }
    }

    /// Datagrams, of presenters or of the link.
    fn receive_socket(&mut self, now: Instant, source: Source, receiver: &mut Receiver) -> bool {
        for _ in 0..MAX_BATCHES {
            let socket = match source {
                Source::Media(at) => self.listeners.get(at).map(|listener| &listener.socket),
                _ => Some(&self.link_socket),
            };
            let Some(socket) = socket else {
                return false;
            };
            let batch = match receiver.receive(socket) {
                Ok(Batch::Empty) => return false,
                Ok(batch) => batch,
                Err(error) => {
                    // An ICMP error of some presenter's network, mostly; what
                    // waits behind it is read in the next turn.
                    tracing::debug!(%error, ?source, "socket");
                    self.metrics.socket_errors.increment(1);
                    return true;
                }
            };
            match source {
                Source::Media(at) => self.take_media(now, at, receiver),
                _ => self.take_link(now, receiver),
            }
            if batch == Batch::Last {
                return false;
            }
        }
        true
    }

    fn take_media(&mut self, now: Instant, at: usize, receiver: &Receiver) {
        let Some(listener) = self.listeners.get(at) else {
            return;
        };
        for datagram in receiver.datagrams() {
            let way = Way {
                path: Path::HostUdp,
                remote: datagram.source,
                local: listener.advertised.destination(datagram.destination),
            };
            let contents = datagram.contents;
            self.engine.handle_media(now, &Datagram { way, contents });
        }
    }

    fn take_link(&mut self, now: Instant, receiver: &Receiver) {
        for datagram in receiver.datagrams() {
            let ecn = datagram
                .ecn
                .and_then(|ecn| quinn_proto::EcnCodepoint::from_bits(ecn as u8));
            self.engine
                .handle_link(now, datagram.source, ecn, datagram.contents);
        }
    }

    /// Sends what the engine has for presenters. Whoever is relayed by this
    /// process is reached without a socket: `relayed` takes what is theirs.
    pub(super) fn send(&mut self, now: Instant, mut relayed: impl FnMut(&Transmit) -> bool) {
        for transmit in self.engine.take_transmits() {
            if transmit.is_tcp {
                self.tcp.write(&transmit);
                continue;
            }
            if relayed(&transmit) {
                continue;
            }
            let mut listeners = self.listeners.iter();
            let Some(listener) =
                listeners.find(|listener| listener.candidates.contains(&transmit.source))
            else {
                continue;
            };
            let outgoing = Outgoing {
                destination: transmit.destination,
                source: listener.advertised.source(transmit.source.ip()),
                contents: &transmit.contents,
                segment_size: None,
                ecn: None,
            };
            if let Err(error) = listener.socket.send(&outgoing) {
                // STUN, DTLS and RTCP all come again.
                tracing::trace!(%error, "not sent");
                self.metrics.unsent_datagrams.increment(1);
            }
        }
        self.flush_streams(now);
        self.send_link(now);
    }

    pub(super) fn send_link(&mut self, now: Instant) {
        for _ in 0..MAX_LINK_SENDS {
            if self.unsent.is_none() {
                let segments = self.link_socket.max_segments();
                self.unsent = self
                    .engine
                    .link
                    .poll_transmit(now, segments, &mut self.link_out);
            }
            let Some(transmit) = &self.unsent else {
                return;
            };
            let outgoing = Outgoing {
                destination: transmit.destination,
                source: transmit.src_ip,
                contents: self.link_out.get(..transmit.size).unwrap_or_default(),
                segment_size: transmit.segment_size,
                ecn: transmit
                    .ecn
                    .and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            };
            match self.link_socket.send(&outgoing) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // QUIC takes it for lost.
                    tracing::debug!(%error, "link send");
                    self.metrics.socket_errors.increment(1);
                }
                Ok(()) => {}
            }
            self.unsent = None;
        }
    }
}
