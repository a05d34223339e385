//! Operator subcommands of `inlet-edge`: they read its files, and change nothing.

mod dns;

use std::io::{self, Write};

use clap::Subcommand;

pub use dns::DnsCommand;

use crate::{config::Config, service::FleetError};

/// What an operator may ask for instead of running the service.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Tells what the name server would answer.
    #[command(subcommand)]
    Dns(DnsCommand),
}

impl Command {
    /// Does what was asked for, with its result on `out`.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn run(self, config: &Config, out: &mut impl Write) -> Result<(), Error> {
        match self {
            Self::Dns(command) => command.run(config, out),
        }
    }
}

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This edge knows of no others.
    #[error("fleet.file is empty: there is no fleet in this configuration")]
    NoFleet,
    /// Its files cannot be used.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// There is nothing to explain.
    #[error(transparent)]
    Explain(#[from] crate::dns::explain::Error),
    /// A database cannot be used.
    #[error("{0} cannot be used")]
    Database(String, #[source] crate::dns::geo::DatabaseError),
    /// A database would replace none.
    #[error("{0}: fleet.databases has none of its kind, {1}; name the one that it would replace")]
    NoSuchKind(String, String),
    /// There is no table.
    #[error("the fleet and its databases make no table")]
    Table(#[from] crate::dns::geo::CompileError),
    /// The result cannot be written.
    #[error("cannot write the result")]
    Write(#[from] io::Error),
}
