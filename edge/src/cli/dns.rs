//! `inlet-edge dns`: why a client is sent where it is sent, and what another database
//! would change.

use std::{io::Write, net::IpAddr, path::PathBuf, sync::Arc};

use clap::Subcommand;
use inlet_common::clock;

use super::Error;
use crate::{
    config::Config,
    dns::{
        explain::explain,
        fleet::Fleet,
        geo::{Database, Diff, Moves, Table},
        steer::Board,
    },
    service,
};

/// What can be asked of the name server's files.
#[derive(Clone, Debug, Subcommand)]
pub enum DnsCommand {
    /// Explains where a client is sent, as if every point of presence were well. Ask
    /// the running service by its admin API (`GET /dns/explain`) for how they do.
    Explain {
        /// The client's address.
        client: IpAddr,
        /// The name that it asks for. Without one: all services.
        name: Option<String>,
        /// JSON instead of lines for people.
        #[arg(long)]
        json: bool,
    },
    /// Tells which share of networks another database would move, before it is put in
    /// place.
    Diff {
        /// The new database. It is compared with the one of its kind in fleet.databases.
        database: PathBuf,
    },
}

impl DnsCommand {
    pub(super) fn run(self, config: &Config, out: &mut impl Write) -> Result<(), Error> {
        let world = service::world(config)?.ok_or(Error::NoFleet)?;
        match self {
            Self::Explain { client, name, json } => {
                let board = Board::open(world.fleet.pops().len());
                let explained = explain(&world, &board, client, name.as_deref())?;
                match json {
                    true => {
                        serde_json::to_writer_pretty(&mut *out, &explained)
                            .map_err(std::io::Error::from)?;
                        writeln!(out)?;
                    }
                    false => write!(out, "{explained}")?,
                }
            }
            Self::Diff { database } => {
                let shown = database.display().to_string();
                let new = Database::open(&database, clock::utc())
                    .map_err(|error| Error::Database(shown.clone(), error))?;
                let mut databases = world.near.databases.clone();
                let place = databases.iter_mut().find(|old| old.kind() == new.kind());
                let Some(place) = place else {
                    return Err(Error::NoSuchKind(shown, new.kind().to_owned()));
                };
                if new.built() < place.built() {
                    writeln!(
                        out,
                        "advice: it is older than the one in use, and would be refused"
                    )?;
                }
                *place = Arc::new(new);
                let table = Table::compile(&world.near.plan, &databases)?;
                let diff = Diff::between(&world.near.table, &table);
                moves(out, "IPv4 addresses", &diff.v4, &world.fleet)?;
                moves(
                    out,
                    "IPv6 addresses of known networks",
                    &diff.v6,
                    &world.fleet,
                )?;
            }
        }
        Ok(())
    }
}

fn moves(out: &mut impl Write, what: &str, moves: &Moves, fleet: &Fleet) -> std::io::Result<()> {
    let percent = |addresses| moves.share(addresses) * 100.0;
    writeln!(
        out,
        "{what}: {:.3} % would go to another point of presence, {:.3} % have another list",
        percent(moves.first),
        percent(moves.list)
    )?;
    for pop in &moves.pops {
        let name = fleet.pop(pop.pop).map_or("?", |pop| pop.name.as_str());
        writeln!(
            out,
            "  {name}: gains {:.3} %, loses {:.3} %",
            percent(pop.gained),
            percent(pop.lost)
        )?;
    }
    Ok(())
}
