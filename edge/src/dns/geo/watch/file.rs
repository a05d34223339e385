//! One file that is watched: whether it is another one, and what is in it.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use inlet_common::clock::UtcTime;

use crate::dns::geo::{
    compile::CompileError,
    database::{Contents, Database, DatabaseError},
};

/// Why what is in use stays in use.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file cannot be looked at.
    #[error("is gone, or cannot be seen")]
    Unseen(#[source] io::Error),
    /// The file is not fit for use.
    #[error(transparent)]
    Unfit(#[from] DatabaseError),
    /// The file was written to while it was read.
    #[error("changed while it was read; put databases in place by renaming")]
    Changing,
    /// The file was built before the one in use.
    #[error("was built before the one in use")]
    Older,
    /// The file knows nothing of what the one in use knows: it is another kind of
    /// database under the name of this one.
    #[error(
        "knows no {0}, which the one in use does: name another kind of database by a file of its own in fleet.databases"
    )]
    Poorer(&'static str),
    /// There is no table with it.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// What a file is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl From<&Metadata> for State {
    fn from(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            changed: (file.mtime(), file.mtime_nsec()),
        }
    }
}

/// The file, and the database that was made of it.
#[derive(Debug)]
pub(super) struct Watchee {
    pub(super) path: PathBuf,
    /// What it was when it was looked at last, `Some(None)` if it was not there.
    last: Option<Option<State>>,
    pub(super) in_use: Option<Arc<Database>>,
}

impl Watchee {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            last: None,
            in_use: None,
        }
    }

    /// The database, if the file is another than it was.
    pub(super) fn look(&mut self, now: UtcTime) -> Result<Option<Arc<Database>>, Refusal> {
        let state = std::fs::metadata(&self.path).map(|file| State::from(&file));
        let known = state.as_ref().ok().copied();
        if self.last == Some(known) {
            return Ok(None);
        }
        self.last = Some(known);
        state.map_err(Refusal::Unseen)?;
        self.open(now).map(Some)
    }

    fn open(&mut self, now: UtcTime) -> Result<Arc<Database>, Refusal> {
        let file = File::open(&self.path).map_err(DatabaseError::from)?;
        let state = || {
            file.metadata()
                .map(|file| State::from(&file))
                .map_err(DatabaseError::from)
        };
        let before = state()?;
        let database = Database::from_file(&file, &self.path, now);
        if state()? != before {
            return Err(Refusal::Changing);
        }
        // It may be another than the one that was looked at.
        self.last = Some(Some(before));
        let database = database?;
        if let Some(in_use) = &self.in_use {
            if database.built() < in_use.built() {
                return Err(Refusal::Older);
            }
            if let Some(what) = lost(&in_use.contents(), &database.contents()) {
                return Err(Refusal::Poorer(what));
            }
        }
        Ok(Arc::new(database))
    }
}

/// What the one has and the other has nothing of.
fn lost(before: &Contents, now: &Contents) -> Option<&'static str> {
    let kinds = [
        ("coordinates", before.places, now.places),
        ("countries", before.countries, now.countries),
        ("ASNs", before.asns, now.asns),
    ];
    let mut lost = kinds
        .iter()
        .filter(|(_, before, now)| *before > 0 && *now == 0);
    lost.next().map(|(what, ..)| *what)
}
