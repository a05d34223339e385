//! What SIGHUP reads anew: certificates, the domains of `[acme]`, the log filter,
//! the fleet's file and databases, and all of `[turn]` but its listeners and addresses.

use std::{path::PathBuf, sync::Arc};

use inlet_common::service::logging;

use super::{appliance::Appliance, certificates::Held, fleet::Known};
use crate::config::Config;

/// What a reload needs.
pub(super) struct Reload {
    pub(super) path: PathBuf,
    pub(super) config: Config,
    pub(super) certificates: Held,
    pub(super) appliance: Option<Arc<Appliance>>,
    pub(super) fleet: Option<Arc<Known>>,
    pub(super) log: logging::Handle,
}

impl Reload {
    /// Reloads. What is refused leaves the old in place; what takes a restart
    /// is logged.
    pub(super) fn run(&self) {
        let config = match Config::load(&self.path) {
            Ok(config) => config,
            Err(error) => return complain(&error, "configuration refused; the old one stays"),
        };
        if let Err(error) = self.log.reload(&config.log) {
            complain(&error, "log filter refused; the old one stays");
        }
        self.certificates.reload(&config);
        if let (Some(appliance), Some(turn)) = (&self.appliance, &config.turn)
            && let Err(error) = appliance.reload(turn.clone())
        {
            complain(&error, "TURN settings refused; the old ones stay");
        }
        if let (Some(known), Some(fleet)) = (&self.fleet, &config.fleet)
            && let Err(error) = known.reload(fleet)
        {
            complain(&error, "fleet refused; the old one stays");
        }
        if self.takes_restart(config) {
            tracing::warn!("some changes in the configuration take a restart");
        }
        tracing::info!("reloaded");
    }

    /// Whether something differs from the start that a reload cannot change.
    fn takes_restart(&self, mut config: Config) -> bool {
        config.log = self.config.log.clone();
        if let (Some(new), Some(old)) = (&mut config.acme, &self.config.acme) {
            new.domains = old.domains.clone();
        }
        if let (Some(new), Some(old)) = (&config.turn, &self.config.turn)
            && new.listen == old.listen
            && new.relay_addresses == old.relay_addresses
            && new.public == old.public
            && new.ports == old.ports
        {
            config.turn = self.config.turn.clone();
        }
        if let (Some(new), Some(old)) = (&mut config.fleet, &self.config.fleet) {
            new.file.clone_from(&old.file);
            new.databases.clone_from(&old.databases);
            if new.secret_file.is_some() && old.secret_file.is_some() {
                new.secret_file.clone_from(&old.secret_file);
            }
        }
        config != self.config
    }
}

fn complain(error: &(dyn std::error::Error + 'static), what: &str) {
    tracing::error!(error, "{what}");
}
