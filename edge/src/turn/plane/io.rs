//! Passing on what the engine decides, to wherever it goes.

use std::sync::Arc;

use super::{
    ToMedia,
    peers::Peers,
    ring::{Hop, Ring},
    run::{Run, Runs, Sink, Way},
    sockets::Sockets,
    streams::Streams,
};
use crate::{
    turn::{
        allocation::Allotted,
        client::{Client, Via},
        relay::{Forward, MediaHop, Prefix},
        shared::Shared,
        tally::Dropped,
    },
    udp::Outgoing,
    worker::token::Source,
};

/// Everything but the engine, so that both can be borrowed at once.
#[derive(Debug)]
pub(super) struct Io {
    pub(super) worker: u16,
    pub(super) shared: Arc<Shared>,
    pub(super) sockets: Sockets,
    pub(super) streams: Streams,
    pub(super) peers: Peers,
    pub(super) ring: Ring,
    /// What could not be passed on, to be counted.
    pub(super) dropped: Vec<(Dropped, usize)>,
    /// Sources that have something although no event will say so.
    pub(super) again: Vec<Source>,
    /// What is to be told of allocations.
    pub(super) allotted: Vec<Allotted>,
}

impl Io {
    /// Passes data on: into a run, a connection, another worker or media.
    pub(super) fn pass<'b>(
        &mut self,
        forward: Forward<'b>,
        runs: &mut Runs<'b>,
        to_media: &mut ToMedia<'_>,
    ) {
        match forward {
            Forward::Nothing => {}
            Forward::ToPeer {
                relay,
                peer,
                data,
                dont_fragment,
            } => {
                if dont_fragment {
                    let is_sent = self.sockets.send_unfragmented(relay, peer, data);
                    return self.note_dropped(Dropped::Unsent, usize::from(!is_sent));
                }
                let way = Way {
                    sink: Sink::Relay(relay),
                    destination: peer,
                    source: None,
                };
                if let Some(run) = runs.push(way, None, data) {
                    self.send(&run);
                }
            }
            Forward::ToClient {
                client,
                prefix,
                data,
            } => self.pass_to_client(client, prefix, data, runs),
            Forward::ToRelay {
                worker,
                from,
                to,
                data,
            } => self.ring.push(worker, Hop::ToRelay { from, to }, data),
            Forward::ToMedia { worker, hop } if worker == self.worker => {
                if !to_media(hop) {
                    self.note_dropped(Dropped::Media, 1);
                }
            }
            Forward::ToMedia { worker, hop } => {
                let MediaHop {
                    from,
                    to,
                    transport,
                    stream,
                    data,
                } = hop;
                let hop = Hop::ToMedia {
                    from,
                    to,
                    transport,
                    stream,
                };
                self.ring.push(worker, hop, data);
            }
        }
    }

    fn pass_to_client<'b>(
        &mut self,
        client: Client,
        prefix: Prefix,
        data: &'b [u8],
        runs: &mut Runs<'b>,
    ) {
        match client.via {
            Via::Udp { listener, local } => {
                let way = Way {
                    sink: Sink::Listener(listener),
                    destination: client.remote,
                    source: local,
                };
                if let Some(run) = runs.push(way, Some(prefix), data) {
                    self.send(&run);
                }
            }
            Via::Tcp(stream) | Via::Tls(stream) => {
                let pieces = [prefix.bytes(), data, prefix.padding(true)];
                if !self.streams.write(stream, &pieces) {
                    self.note_dropped(Dropped::SlowReader, 1);
                }
            }
        }
    }

    /// Sends all runs.
    pub(super) fn flush(&mut self, runs: &mut Runs<'_>) {
        for run in runs.drain() {
            self.send(&run);
        }
    }

    fn send(&mut self, run: &Run<'_>) {
        let socket = match run.sink() {
            Sink::Relay(id) => self.sockets.relayed_by_id(id),
            Sink::Listener(at) => {
                let listener = self.sockets.listener(usize::from(at));
                listener.map(|listener| &listener.socket)
            }
        };
        let lost = match socket {
            Some(socket) => run.send(socket),
            None => run.len(),
        };
        self.note_dropped(Dropped::Unsent, lost);
    }

    /// Sends a message of the engine to a client.
    pub(super) fn transmit(&mut self, client: Client, contents: &[u8]) {
        let is_sent = match client.via {
            Via::Udp { listener, local } => {
                let listener = self.sockets.listener(usize::from(listener));
                listener.is_some_and(|listener| {
                    let outgoing = Outgoing {
                        destination: client.remote,
                        source: local,
                        contents,
                        segment_size: None,
                        ecn: None,
                    };
                    listener.socket.send(&outgoing).is_ok()
                })
            }
            Via::Tcp(stream) | Via::Tls(stream) => self.streams.write(stream, &[contents]),
        };
        self.note_dropped(Dropped::Unsent, usize::from(!is_sent));
    }

    pub(super) fn note_dropped(&mut self, reason: Dropped, packets: usize) {
        if packets == 0 {
            return;
        }
        // As many entries as there are reasons.
        match self.dropped.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += packets,
            None => self.dropped.push((reason, packets)),
        }
    }
}
