//! Operator subcommands of `inlet-edge`: they read its files and ask the running edge, and
//! change nothing.

mod dns;
mod placement;
mod running;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Subcommand;

pub use dns::DnsCommand;
pub use placement::{FileError, PlacementCommand};
pub use running::Error as RunningError;

use crate::{config::Config, service::FleetError};

/// What an operator may ask for instead of running the service.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Tells what the name server would answer.
    #[command(subcommand)]
    Dns(DnsCommand),
    /// Tells whether presenters are served within their region, who is relayed how far
    /// away, and where the next point of presence would help most.
    Placement(PlacementCommand),
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
            Self::Placement(command) => command.run(config, out),
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
    /// The running edge tells nothing. Saved reports need it not.
    #[error("no report of the running edge (--offline makes do with files)")]
    Running(#[from] RunningError),
    /// The running edge tells something else.
    #[error("the running edge answers something else: is it of another version?")]
    Answer(#[source] crate::placement::seen::Unreadable),
    /// A file is no report.
    #[error("{} is no report of placement", .0.display())]
    Report(PathBuf, #[source] FileError),
    /// The reports make none together.
    #[error(transparent)]
    Placement(#[from] crate::placement::report::Error),
    /// The result cannot be written.
    #[error("cannot write the result")]
    Write(#[from] io::Error),
}
