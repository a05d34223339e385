//! Reading and feeding clients' connections.
//!
//! Messages are cut out of what a connection brings without a copy, unless one
//! is split over reads.

use std::time::Instant;

use inlet_common::service::listener::Diverted;
use mio::Registry;

use super::{
    IDLE_TIMEOUT, Plane, ToMedia,
    run::Runs,
    streams::{Migrant, Stream},
};
use crate::{
    stream::Read,
    turn::{
        client::Client,
        relay::MediaHop,
        wire::{Framing, MAX_FRAME},
    },
    worker::token::Source,
};

/// Reads from one connection per turn.
const MAX_READS: usize = 4;

impl Plane {
    /// Takes a connection on whose handshake is done.
    pub(super) fn adopt(&mut self, now: Instant, connection: Diverted, registry: &Registry) {
        let stream = Stream::new(connection);
        // Something may have come with the handshake, of which no event tells.
        if let Some(at) = self.io.streams.insert(now, stream, registry) {
            self.io.again.push(Source::Stream(at));
        }
    }

    /// Takes a connection on that another worker has begun to read.
    pub(super) fn adopt_migrant(&mut self, now: Instant, migrant: Migrant, registry: &Registry) {
        let Some(at) = self.io.streams.insert(now, *migrant.stream, registry) else {
            return;
        };
        let mut ignore = |_: MediaHop<'_>| false;
        self.take_bytes(now, at, &migrant.unread, registry, &mut ignore);
        self.io.again.push(Source::Stream(at));
    }

    /// Reads a connection, and sends what waits for it.
    pub(super) fn receive_stream(
        &mut self,
        now: Instant,
        at: usize,
        registry: &Registry,
        to_media: &mut ToMedia<'_>,
    ) -> bool {
        self.io.streams.dirty.push(at);
        let mut scratch = std::mem::take(&mut self.io.streams.scratch);
        let mut has_more = true;
        for _ in 0..MAX_READS {
            let stream = match self.may_read(at) {
                true => self.io.streams.get_mut(at),
                false => None,
            };
            match stream.map_or(Read::Nothing, |stream| stream.connection.read(&mut scratch)) {
                Read::Bytes(bytes) => {
                    let bytes = scratch.get(..bytes).unwrap_or_default();
                    self.take_bytes(now, at, bytes, registry, to_media);
                }
                Read::Nothing => has_more = false,
                Read::End => {
                    self.close_stream(now, at, registry);
                    has_more = false;
                }
            }
            if !has_more {
                break;
            }
        }
        self.io.streams.scratch = scratch;
        has_more
    }

    /// Whether what a connection brings has somewhere to go.
    fn may_read(&mut self, at: usize) -> bool {
        let Some(stream) = self.io.streams.get_mut(at) else {
            return false;
        };
        let Some(connection) = stream.joined else {
            return !stream.is_closing;
        };
        stream.is_paused = !self.io.peers.has_room(connection);
        !stream.is_paused
    }

    /// Cuts messages out of what has come.
    fn take_bytes(
        &mut self,
        now: Instant,
        at: usize,
        bytes: &[u8],
        registry: &Registry,
        to_media: &mut ToMedia<'_>,
    ) {
        let Some(stream) = self.io.streams.get_mut(at) else {
            return;
        };
        let client = stream.client;
        let mut held = std::mem::take(&mut stream.inbox);
        let all = match held.is_empty() {
            true => bytes,
            false => {
                held.extend_from_slice(bytes);
                held.as_slice()
            }
        };
        let mut runs = Runs::default();
        let used = self.take_frames(now, at, &client, all, registry, &mut runs, to_media);
        self.io.flush(&mut runs);
        let rest = all.get(used.unwrap_or(all.len())..).unwrap_or_default();
        if used.is_none() {
            self.close_stream(now, at, registry);
        } else if let Some((worker, request)) = self.io.streams.migration.take() {
            let unread = [&request, rest].concat();
            self.migrate(now, at, worker, unread, registry);
        } else if let Some(stream) = self.io.streams.get_mut(at) {
            stream.inbox = rest.to_vec();
        }
    }

    /// Takes whole messages; returns how many bytes they had, and `None` when
    /// the stream is to be closed.
    #[expect(
        clippy::too_many_arguments,
        reason = "the loop's state, borrowed apart"
    )]
    fn take_frames<'b>(
        &mut self,
        now: Instant,
        at: usize,
        client: &Client,
        all: &'b [u8],
        registry: &Registry,
        runs: &mut Runs<'b>,
        to_media: &mut ToMedia<'_>,
    ) -> Option<usize> {
        let mut used = 0;
        while let Some(stream) = self.io.streams.get(at) {
            let rest = all.get(used..).unwrap_or_default();
            if stream.client != *client || rest.is_empty() {
                break;
            }
            if let Some(connection) = stream.joined {
                self.io.pipe(connection, rest);
                return Some(all.len());
            }
            // Whoever has no allocation has no channel either: it is HTTP,
            // mostly, whose methods look like ChannelData.
            if rest.first().is_some_and(|first| *first >= 0x40)
                && !self.relay.has_allocation(client)
            {
                return None;
            }
            match Framing::next(rest) {
                Framing::Whole(frame) => {
                    let forward = self.relay.handle_client(now, *client, frame.message);
                    self.io.pass(forward, runs, to_media);
                    used += frame.len;
                    self.settle(now, registry);
                }
                Framing::More if rest.len() < MAX_FRAME => break,
                Framing::More | Framing::Broken => return None,
            }
            if self.io.streams.migration.is_some() {
                break;
            }
        }
        Some(used)
    }

    /// Sends a connection to the worker that has its peer.
    fn migrate(
        &mut self,
        now: Instant,
        at: usize,
        worker: u16,
        unread: Vec<u8>,
        registry: &Registry,
    ) {
        let Some(stream) = self.io.streams.take(at, registry) else {
            return;
        };
        // An allocation of its own stays behind, and ends.
        self.relay.handle_client_closed(now, &stream.client);
        let migrant = Migrant {
            stream: Box::new(stream),
            unread,
        };
        if self.io.ring.push_migrant(worker, migrant).is_some() {
            tracing::debug!("a connection names a worker that there is not");
        }
    }

    /// Sends what waits for each connection.
    pub(super) fn flush_streams(&mut self, now: Instant, registry: &Registry) {
        let mut dirty = std::mem::take(&mut self.io.streams.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for at in dirty {
            let Some(stream) = self.io.streams.get_mut(at) else {
                continue;
            };
            let is_over = stream.connection.flush().is_err()
                || (stream.is_closing && stream.connection.is_flushed());
            if let Some(connection) = stream.joined
                && stream.connection.outbox.is_empty()
            {
                self.io.resume_peer(connection);
            }
            if is_over {
                self.close_stream(now, at, registry);
            }
        }
    }

    /// Ends a connection, its allocation, and the peer's connection with it.
    pub(super) fn close_stream(&mut self, now: Instant, at: usize, registry: &Registry) {
        let Some(stream) = self.io.streams.take(at, registry) else {
            return;
        };
        if let Some(connection) = stream.joined {
            self.relay.handle_disconnected(connection);
            self.io.peers.disconnect_when_sent(registry, connection);
        }
        self.relay.handle_client_closed(now, &stream.client);
        stream.connection.close();
    }

    /// Ends connections that are of no use to anybody.
    pub(super) fn expire_streams(&mut self, now: Instant, registry: &Registry) {
        while let Some(at) = self.io.streams.schedule.pop_due(now) {
            let Some(stream) = self.io.streams.get(at) else {
                continue;
            };
            // One that is to be closed has had its time to take what was left.
            let is_used = !stream.is_closing
                && (stream.joined.is_some() || self.relay.has_allocation(&stream.client));
            if is_used {
                self.io.streams.schedule.set(at, now + IDLE_TIMEOUT);
            } else {
                self.close_stream(now, at, registry);
            }
        }
    }
}
