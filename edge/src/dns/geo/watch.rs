//! Databases that are exchanged under a running server.
//!
//! Every few seconds each file is looked at. One that is another file than before, by
//! its inode, size or time of change, is opened, judged, and compiled into a new table
//! with the others. Whatever goes wrong, what is in use stays in use, and the log says
//! so once for each state of the file.
//!
//! The traps: a file may be written in place, so it counts as read only if it is the
//! same after reading as before; it may come back from a backup, so an older build than
//! the one in use is refused; and it may be gone for a moment, or for good.

mod file;

use std::{
    error::Error,
    io,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use inlet_common::clock::{self, UtcTime};
use tracing::{info, warn};

use super::{
    compile::CompileError, database::Database, explain::Explanation, plan::Plan, table::Table,
};
pub use file::Refusal;
use file::Watchee;

/// A table, and what it was compiled of.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The table.
    pub table: Arc<Table>,
    /// What the operator says.
    pub plan: Arc<Plan>,
    /// The databases, in the order in which they are asked.
    pub databases: Vec<Arc<Database>>,
}

impl Loaded {
    /// Why a client is sent where it is sent.
    pub fn explain(&self, address: std::net::IpAddr) -> Explanation {
        self.table.explain(&self.plan, &self.databases, address)
    }
}

/// What a look at the files brought.
#[derive(Debug, Default)]
pub struct Seen {
    /// A new table, if there is one.
    pub loaded: Option<Loaded>,
    /// Files that were refused, and why; each state of a file once.
    pub refused: Vec<(PathBuf, Refusal)>,
}

/// The files that are watched, and what was made of them. Every step is a call of
/// [`Watched::look`]; there is no thread inside.
#[derive(Debug)]
pub struct Watched {
    plan: Arc<Plan>,
    files: Vec<Watchee>,
    begun: bool,
}

impl Watched {
    /// Will watch the files, of which the first that knows something counts.
    pub fn new(plan: Arc<Plan>, files: &[PathBuf]) -> Self {
        let files = files.iter().map(|path| Watchee::new(path)).collect();
        Self {
            plan,
            files,
            begun: false,
        }
    }

    /// Begins with databases that are in use already: what is worse than those is
    /// refused from the first look on.
    #[must_use]
    pub fn holding(mut self, databases: &[Arc<Database>]) -> Self {
        for file in &mut self.files {
            let mut held = databases.iter().filter(|held| held.path() == file.path);
            file.in_use = held.next().cloned();
        }
        self
    }

    /// Looks at the files. The first time there is a table in any case, though it be of
    /// the overrides alone; later when a file is another one.
    pub fn look(&mut self, now: UtcTime) -> Seen {
        let mut seen = Seen::default();
        let mut changed = Vec::new();
        for (index, file) in self.files.iter_mut().enumerate() {
            match file.look(now) {
                Ok(None) => {}
                Ok(Some(database)) => changed.push((index, database)),
                Err(refusal) => seen.refused.push((file.path.clone(), refusal)),
            }
        }
        if !self.begun || !changed.is_empty() {
            self.renew(changed, &mut seen);
        }
        seen.tell();
        seen
    }

    fn renew(&mut self, changed: Vec<(usize, Arc<Database>)>, seen: &mut Seen) {
        let begins = !std::mem::replace(&mut self.begun, true);
        match self.compile(&changed) {
            Ok(loaded) => {
                seen.loaded = Some(loaded);
                for (index, database) in changed {
                    self.files[index].in_use = Some(database);
                }
            }
            Err(error) => {
                let path = changed
                    .first()
                    .map(|(index, _)| self.files[*index].path.clone());
                seen.refused.push((path.unwrap_or_default(), error.into()));
                seen.loaded = begins.then(|| self.compile(&[]).ok()).flatten();
            }
        }
    }

    fn compile(&self, changed: &[(usize, Arc<Database>)]) -> Result<Loaded, CompileError> {
        let newest = |(index, file): (usize, &Watchee)| {
            let new = changed.iter().find(|(other, _)| *other == index);
            new.map(|(_, database)| Arc::clone(database))
                .or_else(|| file.in_use.clone())
        };
        let databases: Vec<_> = self.files.iter().enumerate().filter_map(newest).collect();
        Ok(Loaded {
            table: Arc::new(Table::compile(&self.plan, &databases)?),
            plan: Arc::clone(&self.plan),
            databases,
        })
    }
}

impl Seen {
    fn tell(&self) {
        for (path, refusal) in &self.refused {
            warn!(path = %path.display(), "database {}", chain(refusal));
        }
        let Some(loaded) = &self.loaded else {
            return;
        };
        for database in &loaded.databases {
            info!(
                path = %database.path().display(),
                kind = database.kind(),
                built = database.built().as_unix_seconds(),
                networks = database.contents().networks,
                memory = database.memory(),
                "database in use"
            );
        }
        let table = &loaded.table;
        info!(
            memory = table.memory(),
            lists = table.lists(),
            "table of clients in use"
        );
    }
}

/// A refusal with its sources.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

/// A thread that watches. It ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Looks at the files every `interval`, and gives `seen` what is new: tables and
    /// refusals. It is called on the thread that watches, and may take its time.
    pub fn start(
        mut watched: Watched,
        interval: Duration,
        mut seen: impl FnMut(Seen) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("geo-watch".to_owned())
            .spawn(move || {
                while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                    let news = watched.look(clock::utc());
                    if news.loaded.is_some() || !news.refused.is_empty() {
                        seen(news);
                    }
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that watches databases has panicked");
        }
    }
}

#[cfg(test)]
mod tests;
