//! ICE-TCP at the port of HTTPS: which worker a connection is for.
//!
//! The first frame's ufrag says it; whether that is true, the worker finds out.

use std::{net::SocketAddr, sync::Arc};

use inlet_common::service::listener::{DivertIce, Diverted, Listener};

use super::Error;
use crate::{
    config::Config,
    demux, framing,
    metrics::{IceTcp as Metrics, ice_tcp::Closed},
    udp::addresses,
    whip::session::worker_of,
    worker::{self, Command, Handle},
};

/// Hands presenters' TCP connections to workers.
#[derive(Debug)]
pub(super) struct IceTcp {
    workers: Vec<Handle>,
    metrics: Metrics,
}

impl IceTcp {
    pub(super) fn new(workers: Vec<Handle>) -> Arc<Self> {
        Arc::new(Self {
            workers,
            metrics: Metrics::register(),
        })
    }
}

impl DivertIce for IceTcp {
    fn take(&self, connection: Diverted, first: Vec<u8>) {
        let ufrag = first
            .get(framing::HEADER..)
            .and_then(demux::stun_local_ufrag);
        let worker = ufrag.and_then(worker_of).map(usize::from);
        let Some(worker) = worker.and_then(|worker| self.workers.get(worker)) else {
            return self.metrics.note_closed(Closed::NoWorker);
        };
        let command = Command::Stream {
            connection: Box::new(connection),
            first,
        };
        if let Err(error) = worker.send(command) {
            tracing::debug!(%error, "presenter's connection not taken");
            self.metrics.note_closed(Closed::Failed);
        }
    }
}

/// Where presenters may call the listener of HTTP by ICE-TCP; nowhere when that is
/// switched off, and when a proxy on this machine stands in front.
pub(super) fn shared_candidates(
    config: &Config,
    http: Option<&Listener>,
) -> Result<Vec<SocketAddr>, Error> {
    let address = http.map(Listener::local_addr);
    let address = address.filter(|address| config.media.tcp && !address.ip().is_loopback());
    let Some(address) = address else {
        return Ok(Vec::new());
    };
    let machine = addresses::machine().map_err(Error::Addresses)?;
    let public = &config.media.public;
    Ok(worker::shared_candidates(address, &machine, public))
}
