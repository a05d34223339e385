//! Clients, keys and streams, kept in SQLite.
//!
//! | file | holds |
//! |---|---|
//! | [`mod@self`] | the database itself: opening, errors, latency |
//! | `key` | API keys: only the hash of a secret is kept |
//! | `stream` | streams as the API creates, changes and lists them |
//! | `publish` | who may publish, and what is noted of a session |
//! | `quality_set` | the rungs that a stream asks for |
//!
//! One file beside its write-ahead log, opened by the server and, at the same
//! time, by `inlet-origin apikey`. Every statement stands alone: nothing is
//! read first and written later, so that two writers never undo each other.
//! The SQL is plain enough for PostgreSQL; what is SQLite's own is in this
//! file and in the migrations.

use std::time::Duration;
use std::{fs, future::Future, io, os::unix::fs::OpenOptionsExt as _, path::Path, path::PathBuf};

use inlet_common::{clock, reason::ReasonCode};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

mod key;
mod publish;
mod quality_set;
mod stream;

#[cfg(test)]
mod tests;

pub use key::{ApiKey, InvalidApiKey, KeyId, KeyRecord};
pub use publish::{Authorised, Canvas, Refusal};
pub use quality_set::{InvalidQualitySet, Quality, QualitySet};
pub use stream::{Change, NewStream, Page, Stream};

/// Connections to the file. SQLite has one writer at a time; the others read.
const CONNECTIONS: u32 = 4;

/// How long a statement waits for another writer, and a caller for a
/// connection. A presenter waits for the answer, so rather say "registry down"
/// than be late.
const BUSY: Duration = Duration::from_secs(2);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// The registry. Cheap to clone: all clones share the connections.
#[derive(Clone, Debug)]
pub struct Registry {
    pool: SqlitePool,
    metrics: Metrics,
}

impl Registry {
    /// Opens the registry at `path`, making it if it is not there, and brings
    /// its schema up to date.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] when the file cannot be made or is no database,
    /// [`Error::Migrate`] when its schema is newer than this version or an
    /// upgrade fails.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        // SQLite makes its files readable by all unless the umask says
        // otherwise, and gives the log the mode of the main file.
        create_private(path).map_err(|source| Error::Open {
            path: path.to_owned(),
            source: source.into(),
        })?;
        let registry = Self::connect(path).await?;
        MIGRATIONS
            .run(&registry.pool)
            .await
            .map_err(Error::Migrate)?;
        Ok(registry)
    }

    /// Opens a registry that a server has made, without touching its schema.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when there is none, [`Error::Open`] when it cannot
    /// be opened.
    pub async fn open_existing(path: &Path) -> Result<Self, Error> {
        // A file made here would belong to the wrong user when root runs the
        // command, and the server could not open it.
        if !path.exists() {
            return Err(Error::Missing {
                path: path.to_owned(),
            });
        }
        Self::connect(path).await
    }

    /// Closes every connection once its statement is done, and folds the
    /// write-ahead log into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn connect(path: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A power cut must not bring a reset push token back to life.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(BUSY)
            .connect_with(options)
            .await
            .map_err(|source| Error::Open {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            pool,
            metrics: Metrics::new(),
        })
    }

    /// Runs one statement and notes how long it took.
    async fn run<T>(
        &self,
        kind: Kind,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        let begun = clock::now();
        let result = statement.await;
        let series = self.metrics.series(kind);
        series.seconds.record(clock::now().duration_since(begun));
        result.map_err(|error| {
            series.errors.increment(1);
            Error::Query(error)
        })
    }
}

fn create_private(path: &Path) -> io::Result<()> {
    match fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// What can go wrong with the registry. To a presenter all of it is
/// [`ReasonCode::RegistryDown`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be made, or is no database.
    #[error("cannot open the registry {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite or the operating system said.
        source: sqlx::Error,
    },
    /// There is no registry yet.
    #[error("no registry at {}: start inlet-origin once, it makes one", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The schema is newer than this version, or cannot be upgraded.
    #[error("the registry's schema does not fit this version")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A statement failed, or waited too long for another writer.
    #[error("the registry does not answer")]
    Query(#[source] sqlx::Error),
    /// A stored value cannot be read by this version.
    #[error("the registry holds an unreadable {column} for stream {stream}")]
    Unreadable {
        /// Which column.
        column: &'static str,
        /// Whose.
        stream: i64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A key was asked for a client that does not exist.
    #[error("there is no client {0}")]
    NoSuchClient(inlet_common::ids::ClientId),
    /// The first API key could not be written down.
    #[error("cannot write the first API key to {}", path.display())]
    KeyFile {
        /// Where it should be.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    /// What a presenter is told.
    pub const fn reason(&self) -> ReasonCode {
        ReasonCode::RegistryDown
    }
}

/// What a statement is for; label `kind` of the registry's metrics.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Authorise,
    Read,
    Write,
}

#[derive(Clone)]
struct Metrics {
    authorise: Series,
    read: Series,
    write: Series,
}

#[derive(Clone)]
struct Series {
    seconds: metrics::Histogram,
    errors: metrics::Counter,
}

impl Metrics {
    fn new() -> Self {
        metrics::describe_histogram!(
            "inlet_origin_registry_seconds",
            metrics::Unit::Seconds,
            "Time of one registry statement, by what it is for"
        );
        metrics::describe_counter!(
            "inlet_origin_registry_errors_total",
            metrics::Unit::Count,
            "Registry statements that failed, by what they were for"
        );
        let series = |kind: &'static str| Series {
            seconds: metrics::histogram!("inlet_origin_registry_seconds", "kind" => kind),
            errors: metrics::counter!("inlet_origin_registry_errors_total", "kind" => kind),
        };
        Self {
            authorise: series("authorise"),
            read: series("read"),
            write: series("write"),
        }
    }

    const fn series(&self, kind: Kind) -> &Series {
        match kind {
            Kind::Authorise => &self.authorise,
            Kind::Read => &self.read,
            Kind::Write => &self.write,
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
