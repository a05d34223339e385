//! What a plane is made of.

use std::{io, net::SocketAddr, sync::Arc};

use super::{Plane, Ring, io::Io, peers::Peers, sockets::Sockets, streams::Streams};
use crate::turn::{metrics::Metrics, relay::Relay, settings::Settings, shared::Shared};

/// Settings of the appliance in one worker.
#[derive(Debug)]
pub struct Config {
    /// UDP addresses for clients; every worker binds all of them.
    pub udp: Vec<SocketAddr>,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// What a reload exchanges.
    pub settings: Arc<Settings>,
    /// This worker's ends of the rings.
    pub ring: Ring,
    /// Handles of all relays' metrics.
    pub metrics: Metrics,
}

/// The appliance cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener cannot be bound.
    #[error("TURN address {0}")]
    Bind(SocketAddr, #[source] io::Error),
    /// A socket cannot be polled.
    #[error("TURN sockets")]
    Register(#[source] io::Error),
}

impl Plane {
    /// Binds the listeners. `seed` must be random.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub(crate) fn new(
        worker: u16,
        config: Config,
        registry: &mio::Registry,
        waker: Arc<mio::Waker>,
        seed: [u8; 32],
        now: std::time::Instant,
    ) -> Result<Self, Error> {
        let mut sockets =
            Sockets::listen(&config.udp).map_err(|(address, error)| Error::Bind(address, error))?;
        sockets.register(registry).map_err(Error::Register)?;
        config.ring.set_waker(waker);
        let shared = config.shared;
        let relay = Relay::new(
            worker,
            Arc::clone(&shared),
            config.settings,
            config.metrics.clone(),
            seed,
            now,
        );
        Ok(Self {
            relay,
            io: Io {
                worker,
                shared,
                sockets,
                streams: Streams::new(config.metrics),
                peers: Peers::default(),
                ring: config.ring,
                dropped: Vec::new(),
                again: Vec::new(),
                allotted: Vec::new(),
            },
        })
    }
}
