//! An origin in memory, and a network between it and a link, under virtual
//! time: real QUIC and TLS, no socket.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use inlet_common::{
    clock,
    roq::{
        control::{self, Accept, Decoder, Hello},
        datagram, stream,
    },
    rtp::{self, Packet},
};
use quinn_proto::{
    Connection, ConnectionError, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, ServerConfig, StreamEvent, StreamId, TransportConfig, VarInt,
    crypto::rustls::QuicServerConfig,
};

use super::*;
use crate::roq::testing::{ORIGIN, Pki};

pub(super) const ORIGIN_ADDRESS: &str = "192.0.2.1:4433";
const EDGE_ADDRESS: &str = "198.51.100.1:50000";

/// What the origin says to an OPEN.
pub(super) type Answer = fn(&control::Open) -> Option<Message>;

pub(super) fn accept(open: &control::Open) -> Option<Message> {
    Some(Message::Accept(Accept {
        session: open.session,
        max_bitrate: None,
    }))
}

/// The origin's side of one connection.
struct Peer {
    connection: Connection,
    control: Option<StreamId>,
    decoder: Decoder,
    streams: HashMap<StreamId, (stream::Decoder, usize)>,
    /// Streams from which nothing is read, for lack of credit.
    is_lazy: bool,
}

/// The origin.
pub(super) struct Origin {
    endpoint: Endpoint,
    peers: BTreeMap<usize, Peer>,
    pub(super) answer: Answer,
    pub(super) messages: Vec<Message>,
    /// Packets by flow, as they came.
    pub(super) packets: BTreeMap<FlowId, Vec<Packet>>,
    pub(super) rtcp: Vec<(FlowId, Bytes)>,
    /// Packets of each stream that ended cleanly.
    pub(super) frames: Vec<usize>,
    pub(super) resets: usize,
    pub(super) is_lazy: bool,
    /// Control streams whose end was acknowledged.
    pub(super) finished: usize,
    /// How connections ended.
    pub(super) lost: Vec<ConnectionError>,
}

fn server_config(pki: &Pki, uni_streams: u32) -> ServerConfig {
    let crypto = QuicServerConfig::try_from(pki.server.clone()).unwrap();
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(uni_streams))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .datagram_receive_buffer_size(Some(256 * 1024));
    config.transport_config(Arc::new(transport));
    config
}

impl Origin {
    fn new(config: ServerConfig) -> Self {
        Self {
            endpoint: Endpoint::new(
                Arc::new(EndpointConfig::default()),
                Some(Arc::new(config)),
                true,
                Some([9; 32]),
            ),
            peers: BTreeMap::new(),
            answer: accept,
            messages: Vec::new(),
            packets: BTreeMap::new(),
            rtcp: Vec::new(),
            frames: Vec::new(),
            resets: 0,
            is_lazy: false,
            finished: 0,
            lost: Vec::new(),
        }
    }

    fn handle(&mut self, now: Instant, datagram: &[u8]) {
        let edge = EDGE_ADDRESS.parse().unwrap();
        let mut out = Vec::new();
        match self
            .endpoint
            .handle(now, edge, None, None, BytesMut::from(datagram), &mut out)
        {
            Some(DatagramEvent::NewConnection(incoming)) => {
                let (handle, connection) = self
                    .endpoint
                    .accept(incoming, now, &mut out, None)
                    .ok()
                    .unwrap();
                let peer = Peer {
                    connection,
                    control: None,
                    decoder: Decoder::default(),
                    streams: HashMap::new(),
                    is_lazy: self.is_lazy,
                };
                self.peers.insert(handle.0, peer);
            }
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(peer) = self.peers.get_mut(&handle.0) {
                    peer.connection.handle_event(event);
                }
            }
            _ => {}
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.peers
            .values()
            .filter(|peer| !peer.connection.is_closed())
            .count()
    }

    /// Sends a message on every connection.
    pub(super) fn tell(&mut self, message: &Message) {
        for peer in self.peers.values_mut() {
            peer.tell(message);
        }
    }

    /// Ends the control stream of every connection, as an origin that stops.
    pub(super) fn finish(&mut self) {
        for peer in self.peers.values_mut() {
            let control = peer.control.unwrap();
            peer.connection.send_stream(control).finish().unwrap();
        }
    }

    pub(super) fn send_datagram(&mut self, datagram: Bytes) {
        for peer in self.peers.values_mut() {
            peer.connection
                .datagrams()
                .send(datagram.clone(), true)
                .unwrap();
        }
    }

    /// Forgets every connection without a word, as a process that is killed.
    pub(super) fn kill(&mut self, pki: &Pki) {
        *self = Self {
            answer: self.answer,
            messages: std::mem::take(&mut self.messages),
            packets: std::mem::take(&mut self.packets),
            ..Self::new(server_config(pki, 1_024))
        };
    }

    fn drive(&mut self, now: Instant) {
        let handles: Vec<_> = self.peers.keys().copied().map(ConnectionHandle).collect();
        for handle in handles {
            let mut peer = self.peers.remove(&handle.0).unwrap();
            if peer.connection.poll_timeout().is_some_and(|at| at <= now) {
                peer.connection.handle_timeout(now);
            }
            loop {
                while let Some(event) = peer.connection.poll_endpoint_events() {
                    if let Some(event) = self.endpoint.handle_event(handle, event) {
                        peer.connection.handle_event(event);
                    }
                }
                let Some(event) = peer.connection.poll() else {
                    break;
                };
                self.handle_event(&mut peer, event);
            }
            while let Some(datagram) = peer.connection.datagrams().recv() {
                let (flow, packet) = datagram::decode(&datagram).unwrap();
                self.take(flow, packet);
            }
            if !peer.connection.is_drained() {
                self.peers.insert(handle.0, peer);
            }
        }
    }

    fn handle_event(&mut self, peer: &mut Peer, event: Event) {
        match event {
            Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                let control = peer.connection.streams().accept(Dir::Bi).unwrap();
                peer.control = Some(control);
                self.read_control(peer);
            }
            Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                while let Some(stream) = peer.connection.streams().accept(Dir::Uni) {
                    peer.streams.insert(stream, (stream::Decoder::default(), 0));
                    self.read_frame(peer, stream);
                }
            }
            Event::Stream(StreamEvent::Readable { id }) if peer.control == Some(id) => {
                self.read_control(peer)
            }
            Event::Stream(StreamEvent::Readable { id }) => self.read_frame(peer, id),
            Event::Stream(StreamEvent::Finished { id }) if peer.control == Some(id) => {
                self.finished += 1;
            }
            Event::ConnectionLost { reason } => self.lost.push(reason),
            _ => {}
        }
    }

    fn read_control(&mut self, peer: &mut Peer) {
        let mut recv = peer.connection.recv_stream(peer.control.unwrap());
        if let Ok(mut chunks) = recv.read(true) {
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                peer.decoder.push(&chunk.bytes);
            }
            let _transmit = chunks.finalize();
        }
        while let Some(message) = peer.decoder.poll_message().unwrap() {
            let reply = match &message {
                Message::Hello(_) => Some(Message::Hello(Hello {
                    version: control::VERSION,
                    name: "origin".into(),
                    software: "test".into(),
                })),
                Message::Open(open) => (self.answer)(open),
                Message::ClockRequest(request) => Some(Message::ClockReply(control::ClockReply {
                    sent: request.sent,
                    // Half a second ahead.
                    received: request.sent.plus_micros(500_000),
                    replied: request.sent.plus_micros(500_000),
                })),
                _ => None,
            };
            self.messages.push(message);
            if let Some(reply) = reply {
                peer.tell(&reply);
            }
        }
    }

    fn read_frame(&mut self, peer: &mut Peer, id: StreamId) {
        if peer.is_lazy {
            return;
        }
        let Some((decoder, packets)) = peer.streams.get_mut(&id) else {
            return;
        };
        let mut recv = peer.connection.recv_stream(id);
        let Ok(mut chunks) = recv.read(true) else {
            return;
        };
        let mut taken = Vec::new();
        let is_over = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => decoder.push(&chunk.bytes),
                Ok(None) => {
                    assert!(decoder.is_at_boundary() || decoder.flow().is_none());
                    break Some(true);
                }
                Err(quinn_proto::ReadError::Blocked) => break None,
                Err(quinn_proto::ReadError::Reset(code)) => {
                    assert_eq!(code, VarInt::from_u32(0x05));
                    self.resets += 1;
                    break Some(false);
                }
            }
            while let Some(packet) = decoder.poll_packet().unwrap() {
                *packets += 1;
                taken.push((decoder.flow().unwrap(), packet));
            }
        };
        let _transmit = chunks.finalize();
        if let Some(is_whole) = is_over {
            let (_, packets) = peer.streams.remove(&id).unwrap();
            if is_whole {
                self.frames.push(packets);
            }
        }
        for (flow, packet) in taken {
            self.take(flow, packet);
        }
    }

    fn take(&mut self, flow: FlowId, packet: Bytes) {
        if rtp::is_rtcp(&packet) {
            self.rtcp.push((flow, packet));
        } else {
            let packet = Packet::decode(&packet).unwrap();
            self.packets.entry(flow).or_default().push(packet);
        }
    }
}

impl Peer {
    fn tell(&mut self, message: &Message) {
        let mut wire = Vec::new();
        control::encode(message, &mut wire);
        let control = self.control.unwrap();
        let written = self.connection.send_stream(control).write(&wire).unwrap();
        assert_eq!(written, wire.len());
    }
}

/// A link, an origin, and what is between them.
pub(super) struct Net {
    pub(super) pki: Pki,
    pub(super) link: Link,
    pub(super) origin: Origin,
    pub(super) now: Instant,
    /// One way.
    pub(super) delay: Duration,
    /// Every so manieth datagram is lost.
    pub(super) lose_one_in: Option<usize>,
    pub(super) is_cut: bool,
    sent: usize,
    in_flight: VecDeque<(Instant, bool, Vec<u8>)>,
    pub(super) outputs: Vec<Output>,
}

const TICK: Duration = Duration::from_millis(1);

impl Net {
    pub(super) fn new() -> Self {
        Self::with_streams(1_024)
    }

    pub(super) fn with_streams(uni_streams: u32) -> Self {
        let pki = Pki::new();
        let now = clock::now();
        let config = Config::new(
            ORIGIN_ADDRESS.parse().unwrap(),
            ORIGIN.to_owned(),
            "pop".to_owned(),
            Arc::clone(&pki.client),
        );
        Self {
            link: Link::new(
                config,
                [1; 32],
                now,
                UtcTime::from_unix_micros(1_000_000_000),
            )
            .unwrap(),
            origin: Origin::new(server_config(&pki, uni_streams)),
            pki,
            now,
            delay: Duration::from_millis(10),
            lose_one_in: None,
            is_cut: false,
            sent: 0,
            in_flight: VecDeque::new(),
            outputs: Vec::new(),
        }
    }

    pub(super) fn up() -> Self {
        let mut net = Self::new();
        net.run_until(|net| net.link.is_up());
        net
    }

    fn carry(&mut self, to_origin: bool, datagrams: &[u8], segment: usize) {
        for datagram in datagrams.chunks(segment.max(1)) {
            self.sent += 1;
            let is_lost = self
                .lose_one_in
                .is_some_and(|one_in| self.sent.is_multiple_of(one_in));
            if !is_lost && !self.is_cut {
                self.in_flight
                    .push_back((self.now + self.delay, to_origin, datagram.to_vec()));
            }
        }
    }

    /// One millisecond.
    pub(super) fn tick(&mut self) {
        self.now += TICK;
        while let Some((at, to_origin, datagram)) = self.in_flight.pop_front() {
            if at > self.now {
                self.in_flight.push_front((at, to_origin, datagram));
                break;
            }
            if to_origin {
                self.origin.handle(self.now, &datagram);
            } else {
                self.link.handle_datagram(
                    self.now,
                    ORIGIN_ADDRESS.parse().unwrap(),
                    None,
                    &datagram,
                );
            }
        }
        self.origin.drive(self.now);
        if self.link.next_timeout().is_some_and(|at| at <= self.now) {
            self.link.handle_timeout(self.now);
        }
        self.flush();
    }

    pub(super) fn flush(&mut self) {
        let mut out = Vec::new();
        while let Some(transmit) = self.link.poll_transmit(self.now, 10, &mut out) {
            assert_eq!(transmit.size, out.len());
            self.carry(true, &out, transmit.segment_size.unwrap_or(transmit.size));
        }
        let mut out = Vec::new();
        let mut transmits = Vec::new();
        for peer in self.origin.peers.values_mut() {
            while let Some(transmit) = peer.connection.poll_transmit(self.now, 1, &mut out) {
                transmits.push((std::mem::take(&mut out), transmit.size));
            }
        }
        for (datagrams, size) in transmits {
            self.carry(false, &datagrams, size);
        }
        while let Some(output) = self.link.poll_output() {
            self.outputs.push(output);
        }
    }

    pub(super) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.tick();
        }
    }

    pub(super) fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_secs(60);
        while !done(self) {
            assert!(
                self.now < end,
                "did not happen; outputs: {:?}",
                self.outputs
            );
            self.tick();
        }
    }
}
