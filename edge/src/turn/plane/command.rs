//! What is asked of the appliance in one worker.

use std::{sync::Arc, time::Instant};

use inlet_common::service::listener::Diverted;
use tokio::sync::oneshot;

use super::Plane;
use crate::turn::{relay::Entry, settings::Settings};

/// Asked through the worker's bounded channel.
#[derive(Debug)]
pub enum Command {
    /// Takes a client's connection on.
    Adopt(Box<Diverted>),
    /// Exchanges the settings.
    Reload(Arc<Settings>),
    /// Takes no new allocation.
    Drain,
    /// Lists allocations.
    List {
        /// The most that are listed.
        limit: usize,
        /// Whether clients' addresses are shown whole.
        with_addresses: bool,
        /// Where the list goes.
        reply: oneshot::Sender<Vec<Entry>>,
    },
}

impl Plane {
    /// Does what is asked.
    pub fn handle_command(&mut self, now: Instant, registry: &mio::Registry, command: Command) {
        match command {
            Command::Adopt(connection) => self.adopt(now, *connection, registry),
            Command::Reload(settings) => self.relay.reload(now, settings),
            Command::Drain => self.relay.drain(),
            Command::List {
                limit,
                with_addresses,
                reply,
            } => {
                // Whoever asked may have gone.
                reply.send(self.relay.list(now, limit, with_addresses)).ok();
            }
        }
        self.settle(now, registry);
    }
}
