//! One attempt at a connection, from its first packet to its last.
//!
//! Each attempt has an endpoint of its own: a lost connection is dropped with
//! everything that belongs to it, and late packets for it find nobody.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use inlet_common::roq::{
    control::{self, Hello, Message},
    error_code,
};
use quinn_proto::{
    ClientConfig, ConnectError, Connection, ConnectionHandle, DatagramEvent, EcnCodepoint,
    Endpoint, EndpointConfig, Event, StreamEvent, StreamId, Transmit, VarInt,
};

use super::{Gauges, Link, Output};
use crate::roq::{
    control::{Broken, Control, MAX_MESSAGES},
    sender::{Arena, Owner, Owners},
};

/// First pause before another attempt, doubled up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_millis(250);

/// Longest pause between attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Segments × MTU must stay under 64 KiB, or the kernel refuses the batch.
const MAX_BATCH: usize = 65_000;

/// When the next attempt is made.
#[derive(Debug)]
pub(super) struct Backoff {
    at: Instant,
    pause: Duration,
}

impl Backoff {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            at: now,
            pause: MIN_BACKOFF,
        }
    }

    pub(super) const fn at(&self) -> Instant {
        self.at
    }

    fn note_failure(&mut self, now: Instant) {
        self.at = now + self.pause;
        self.pause = (self.pause * 2).min(MAX_BACKOFF);
    }

    const fn note_success(&mut self) {
        self.pause = MIN_BACKOFF;
    }
}

/// An attempt, or what became of it.
#[derive(Debug)]
pub(super) struct Active {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    connection: Connection,
    started: Instant,
    control: Option<Control>,
    /// The origin's HELLO has come.
    is_up: bool,
    is_closing: bool,
    arena: Arena,
    owners: Owners,
    response: Vec<u8>,
}

/// What the connection says.
enum Happening {
    Connected,
    Lost,
    Message(Message),
    Datagram(Bytes),
    Finished(StreamId),
    Stopped(StreamId),
}

impl Active {
    fn connect(
        now: Instant,
        client: ClientConfig,
        origin: SocketAddr,
        server_name: &str,
        seed: [u8; 32],
    ) -> Result<Self, ConnectError> {
        let mut endpoint =
            Endpoint::new(Arc::new(EndpointConfig::default()), None, true, Some(seed));
        let (handle, connection) = endpoint.connect(now, client, origin, server_name)?;
        Ok(Self {
            endpoint,
            handle,
            connection,
            started: now,
            control: None,
            is_up: false,
            is_closing: false,
            arena: Arena::default(),
            owners: Owners::default(),
            response: Vec::new(),
        })
    }

    pub(super) const fn is_up(&self) -> bool {
        self.is_up
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    /// Whether it has been closed from here.
    pub(super) const fn is_closing(&self) -> bool {
        self.is_closing
    }

    pub(super) const fn parts(&mut self) -> (&mut Connection, &mut Arena, &mut Owners) {
        (&mut self.connection, &mut self.arena, &mut self.owners)
    }

    pub(super) fn gauges(&self) -> Gauges {
        let path = self.connection.stats().path;
        Gauges {
            rtt: path.rtt,
            window: path.cwnd,
            mtu: path.current_mtu,
            sent: path.sent_packets,
            lost: path.lost_packets,
            clock_offset: None,
            frames_under_way: self.owners.len(),
        }
    }

    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ecn: Option<EcnCodepoint>,
        datagram: BytesMut,
    ) {
        self.response.clear();
        let event = self
            .endpoint
            .handle(now, from, None, ecn, datagram, &mut self.response);
        // A client's endpoint answers strangers with nothing worth sending.
        if let Some(DatagramEvent::ConnectionEvent(handle, event)) = event
            && handle == self.handle
        {
            self.connection.handle_event(event);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.connection.poll_timeout().is_some_and(|at| at <= now) {
            self.connection.handle_timeout(now);
        }
    }

    pub(super) fn next_timeout(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let mtu = usize::from(self.connection.current_mtu()).max(1);
        let segments = max_segments.min(MAX_BATCH / mtu).max(1);
        self.connection.poll_transmit(now, segments, out)
    }

    pub(super) fn send(&mut self, message: &Message) {
        if let Some(control) = &mut self.control {
            control.send(message);
        }
    }

    pub(super) fn close(&mut self, now: Instant) {
        self.is_closing = true;
        self.connection
            .close(now, VarInt::from_u32(error_code::NO_ERROR), Bytes::new());
    }

    pub(super) fn is_flushed(&self) -> bool {
        !self.connection.has_pending_retransmits()
            && self.control.as_ref().is_none_or(Control::is_flushed)
    }

    /// Moves events between endpoint and connection, and yields the next thing
    /// that matters. The control stream is written before, read after.
    fn poll(&mut self) -> Result<Option<Happening>, Broken> {
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                self.connection.handle_event(event);
            }
        }
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => return Ok(Some(Happening::Connected)),
                Event::ConnectionLost { reason } => {
                    tracing::debug!(%reason, "connection lost");
                    return Ok(Some(Happening::Lost));
                }
                Event::Stream(StreamEvent::Finished { id }) => {
                    return Ok(Some(Happening::Finished(id)));
                }
                Event::Stream(StreamEvent::Stopped { id, .. }) => {
                    return Ok(Some(Happening::Stopped(id)));
                }
                Event::Stream(StreamEvent::Readable { id }) => {
                    if let Some(control) = self.control.as_mut().filter(|control| control.is(id)) {
                        control.read(&mut self.connection)?;
                    }
                }
                _ => {}
            }
        }
        if let Some(datagram) = self.connection.datagrams().recv() {
            return Ok(Some(Happening::Datagram(datagram)));
        }
        let Some(control) = &mut self.control else {
            return Ok(None);
        };
        control.flush(&mut self.connection)?;
        Ok(control.poll_message()?.map(Happening::Message))
    }
}

impl Link {
    pub(super) fn connect(&mut self, now: Instant) {
        let seed = self.seed();
        let attempt = Active::connect(
            now,
            self.client.clone(),
            self.config.origin,
            &self.config.server_name,
            seed,
        );
        match attempt {
            Ok(active) => self.active = Some(active),
            Err(error) => {
                tracing::error!(%error, "cannot connect to the origin");
                self.backoff.note_failure(now);
            }
        }
    }

    /// Handles what the connection says until it is silent.
    pub(super) fn drive(&mut self, now: Instant) {
        // Whatever an origin floods us with, media have their turn.
        for _ in 0..64 * MAX_MESSAGES {
            let Some(active) = &mut self.active else {
                return;
            };
            match active.poll() {
                Ok(Some(happening)) => self.handle(now, happening),
                Ok(None) => return,
                Err(error) if active.is_closing => {
                    tracing::debug!(%error, "control stream over");
                    return;
                }
                // How an origin that stops takes its leave. The close carries
                // the acknowledgement that it waits for, so the connection
                // is kept until that has gone out.
                Err(Broken::Ended) => {
                    tracing::info!("origin has ended the link");
                    active.close(now);
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "link given up");
                    self.counters.unreadable += 1;
                    self.lose(now);
                }
            }
        }
    }

    fn handle(&mut self, now: Instant, happening: Happening) {
        match happening {
            Happening::Connected => self.say_hello(now),
            Happening::Lost => self.lose(now),
            Happening::Message(message) => self.handle_message(now, message),
            Happening::Datagram(datagram) => self.handle_rtcp(&datagram),
            Happening::Finished(stream) => {
                if let Some(owner) = self.forget(stream)
                    && let Some(sender) = self.sender(owner)
                {
                    sender.handle_finished(stream);
                }
            }
            Happening::Stopped(stream) => self.handle_stopped(now, stream),
        }
    }

    fn forget(&mut self, stream: StreamId) -> Option<Owner> {
        let owners = &mut self.active.as_mut()?.owners;
        let owner = owners.owner(stream)?;
        owners.forget(stream);
        Some(owner)
    }

    fn handle_stopped(&mut self, now: Instant, stream: StreamId) {
        let Some(active) = &mut self.active else {
            return;
        };
        let Some(owner) = active.owners.owner(stream) else {
            return;
        };
        let senders = self
            .entries
            .get_mut(owner.key)
            .map(|entry| &mut entry.senders);
        if let Some(sender) = senders.and_then(|senders| senders.get_mut(owner.track)) {
            let is_cancelled = sender.handle_stopped(&mut active.channel(now, owner), stream);
            if is_cancelled {
                self.note_cancel(now, owner.key);
            }
        }
    }

    fn say_hello(&mut self, now: Instant) {
        let hello = Message::Hello(Hello {
            version: control::VERSION,
            name: self.config.pop.clone(),
            software: self.config.software.clone(),
        });
        let Some(active) = &mut self.active else {
            return;
        };
        active.control = Control::open(&mut active.connection);
        if active.control.is_none() {
            tracing::warn!("origin allows no control stream");
            self.lose(now);
            return;
        }
        active.send(&hello);
    }

    pub(super) fn handle_hello(&mut self, now: Instant, hello: &Hello) {
        let Some(active) = self.active.as_mut().filter(|active| !active.is_up) else {
            return;
        };
        active.is_up = true;
        self.origin_drains = false;
        self.backoff.note_success();
        self.counters.connected += 1;
        self.next_clock = now;
        tracing::info!(origin = %hello.name, version = hello.version, "link up");
        self.outputs.push_back(Output::Up);
        if self.is_draining {
            self.send(&Message::Drain);
        }
        self.reopen_all();
    }

    /// Drops the connection and makes another soon.
    pub(super) fn lose(&mut self, now: Instant) {
        let Some(active) = self.active.take() else {
            return;
        };
        self.backoff.note_failure(now);
        self.clock_offset = None;
        if active.is_up {
            if active.is_closing {
                tracing::info!("link closed");
            } else {
                self.counters.broken += 1;
                tracing::warn!("link down");
            }
            self.outputs.push_back(Output::Down);
        }
        self.suspend_all(now);
    }
}
