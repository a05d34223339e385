//! `inlet-edge placement`: whether presenters are served within their region, and where
//! the next point of presence would help most.

use std::{
    fs::File,
    io::{Read as _, Write},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    Error,
    running::{self, Asked},
};
use crate::{
    config::Config,
    placement::{REGION_KM, Report, Seen, seen},
};

/// Asks the running edge of the configuration for its report, merges those of other
/// points of presence, and says what would help.
#[derive(Clone, Debug, Args)]
pub struct PlacementCommand {
    /// Reports of other points of presence, as `GET /placement` of their admin API
    /// answers.
    reports: Vec<PathBuf>,
    /// How far a region reaches, in km: 100 to 20000.
    #[arg(long, default_value_t = REGION_KM)]
    region_km: f64,
    /// JSON instead of lines for people.
    #[arg(long)]
    json: bool,
    /// Asks no running edge: the files alone count.
    #[arg(long, requires = "reports")]
    offline: bool,
}

impl PlacementCommand {
    pub(super) fn run(self, config: &Config, out: &mut impl Write) -> Result<(), Error> {
        let mut all = Vec::new();
        if !self.offline {
            all.push(own(config)?);
        }
        for path in &self.reports {
            let seen = read(path).map_err(|error| Error::Report(path.clone(), error))?;
            all.push(seen);
        }
        let report = Report::of(&all, self.region_km)?;
        match self.json {
            true => {
                serde_json::to_writer_pretty(&mut *out, &report).map_err(std::io::Error::from)?;
                writeln!(out)?;
            }
            false => write!(out, "{report}")?,
        }
        Ok(())
    }
}

/// What the running edge has seen.
fn own(config: &Config) -> Result<Seen, Error> {
    let asked = Asked {
        path: "/placement",
        needs: "it needs the role whip and fleet.file, and a version that has it",
        max_bytes: seen::MAX_BYTES,
    };
    let answer = running::get(&config.admin, &asked)?;
    Seen::read(&answer).map_err(Error::Answer)
}

/// Why a file is no report.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[from] std::io::Error),
    /// It is longer than any report.
    #[error("it is longer than any report")]
    TooLong,
    /// It is something else.
    #[error(
        "save it by `curl -H \"Authorization: Bearer $(cat admin-token)\" \
         http://127.0.0.1:9081/placement` at that point of presence"
    )]
    Unreadable(#[from] seen::Unreadable),
}

fn read(path: &Path) -> Result<Seen, FileError> {
    let limit = seen::MAX_BYTES as u64;
    let mut text = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut text)?;
    if text.len() > seen::MAX_BYTES {
        return Err(FileError::TooLong);
    }
    Ok(Seen::read(&text)?)
}
