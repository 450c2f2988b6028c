//! All stores in one SQLite file, shared safely by several processes of one machine.
//!
//! The file is in write-ahead mode: readers never wait for the writer. There is one writing connection per process, and
//! every transaction takes the file's write lock at its beginning, so that none fails half-way because another was
//! faster. Leases and jobs follow the clock of the database ([`SqliteOptions::path`] must be on a local disk).
//!
//! A sink writes the host's own tables in our transaction through [`connection`]; a host writes our rows in its own
//! transaction through [`enlist`].

mod connections;
mod failure;
mod jobs;
mod leases;
mod migrate;
mod state;
#[cfg(test)]
mod tests;
mod tokens;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use self::{connections::Connections, failure::failed};
use super::{
    StoreTransaction, Stores,
    sql::{millis, signed, unsigned},
};
use crate::error::{Error, ErrorKind, Result};

pub use self::state::Enlisted;

const DEFAULT_PREFIX: &str = "integration_";
const READERS: usize = 4;

/// How much a commit waits for the disk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Synchronous {
    /// Every commit survives a loss of power.
    #[default]
    Full,
    /// Faster: a crash of the process loses nothing, a loss of power may undo the last commits (never half of one).
    /// Token sets are saved as with [`Synchronous::Full`] all the same.
    Normal,
}

/// Where and how to open the file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// The file, on a local disk: network file systems do not lock reliably.
    pub path: PathBuf,
    /// What our tables' names begin with: lower-case letters, digits and `_`.
    pub prefix: String,
    /// How long to wait while another process writes.
    pub busy_timeout: Duration,
    /// How much a commit waits for the disk.
    pub synchronous: Synchronous,
    /// Whether to create a missing file.
    pub create: bool,
}

impl SqliteOptions {
    /// The file at `path`: created if missing, prefix `integration_`, ten seconds of patience, full durability.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            prefix: DEFAULT_PREFIX.to_owned(),
            busy_timeout: Duration::from_secs(10),
            synchronous: Synchronous::Full,
            create: true,
        }
    }

    /// Changes the prefix of the tables.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Changes how long to wait while another process writes.
    #[must_use]
    pub fn with_busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Changes how much a commit waits for the disk.
    #[must_use]
    pub fn with_synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// Changes whether a missing file is created.
    #[must_use]
    pub fn with_create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    fn connect(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(self.create)
            .busy_timeout(self.busy_timeout)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match self.synchronous {
                Synchronous::Full => SqliteSynchronous::Full,
                Synchronous::Normal => SqliteSynchronous::Normal,
            })
            .disable_statement_logging()
    }

    fn check(&self) -> Result<()> {
        let mut letters = self.prefix.chars();
        let first = letters.next().is_some_and(|letter| letter.is_ascii_lowercase() || letter == '_');
        let rest = letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
        // Names that begin with "sqlite_" belong to SQLite.
        if first && rest && self.prefix.len() <= 32 && !self.prefix.starts_with("sqlite_") {
            return Ok(());
        }
        let message = format!(
            "the table prefix {:?} must be 1 to 32 lower-case letters, digits or `_`, beginning with a letter or `_`, and not with `sqlite_`",
            self.prefix
        );
        Err(Error::new(ErrorKind::Misconfigured, message))
    }
}

/// All stores in one SQLite file. Clones share their connections.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connections: Connections,
    tables: Tables,
    synchronous: Synchronous,
    path: PathBuf,
}

impl SqliteStore {
    /// Opens (or creates) the file at `path` with the defaults of [`SqliteOptions::new`].
    ///
    /// # Errors
    /// As [`SqliteStore::open_with`].
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open_with(SqliteOptions::new(path)).await
    }

    /// Opens the file and brings its tables up to date.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if the file or its directory is missing, not a database, damaged, read-only, locked for too
    /// long, or was written by a newer release; [`ErrorKind::Misconfigured`] for an unusable prefix.
    pub async fn open_with(options: SqliteOptions) -> Result<Self> {
        options.check()?;
        missing(&options)?;
        let tables = Tables { prefix: Arc::from(options.prefix.as_str()) };
        let mut writer = SqliteConnection::connect_with(&options.connect()).await.map_err(failed)?;
        migrate::migrate(&mut writer, &tables).await?;
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            // The journal mode is the file's: a reader neither needs nor may set it.
            let reader = SqliteConnectOptions::new()
                .filename(&options.path)
                .read_only(true)
                .busy_timeout(options.busy_timeout)
                .disable_statement_logging();
            readers.push(SqliteConnection::connect_with(&reader).await.map_err(failed)?);
        }
        let connections = Connections::new(writer, readers);
        let inner = Inner { connections, tables, synchronous: options.synchronous, path: options.path };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Wraps a host's own open transaction, for a store with a prefix of its own. See [`enlist`].
    pub fn enlist<'c>(&self, connection: &'c mut SqliteConnection) -> Enlisted<'c> {
        Enlisted::new(connection, self.inner.tables.clone())
    }

    /// Moves everything from the write-ahead file into the main file and empties the former, as before a copy.
    ///
    /// # Errors
    /// [`ErrorKind::Store`]; temporary if a reader kept the write-ahead file busy.
    pub async fn checkpoint(&self) -> Result<()> {
        let mut turn = self.inner.connections.write().await?;
        let connection = turn.connection()?;
        let rows = sqlx::query_as::<_, (i64, i64, i64)>("PRAGMA wal_checkpoint(TRUNCATE)");
        let rows = rows.fetch_all(connection).await.map_err(failed)?;
        if rows.first().is_some_and(|(busy, ..)| *busy != 0) {
            return Err(failure::busy());
        }
        Ok(())
    }

    /// Waits for the open transaction, then closes all connections; every later call fails.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if SQLite reports a failure while closing.
    pub async fn close(&self) -> Result<()> {
        self.inner.connections.close().await
    }
}

impl From<SqliteStore> for Stores {
    fn from(store: SqliteStore) -> Self {
        Self::from_one(Arc::new(store))
    }
}

/// SQLite says only "unable to open": say which of the two is missing.
fn missing(options: &SqliteOptions) -> Result<()> {
    let directory = options.path.parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory
        && !directory.is_dir()
    {
        let message = format!("the directory {} does not exist; create it first", directory.display());
        return Err(Error::new(ErrorKind::Store, message));
    }
    if !options.create && !options.path.exists() {
        let message = format!("the database file {} does not exist and was not to be created", options.path.display());
        return Err(Error::new(ErrorKind::Store, message));
    }
    Ok(())
}

/// Fills in table names. The prefix is checked when a store is opened, so the text is safe to run.
#[derive(Clone, Debug)]
struct Tables {
    prefix: Arc<str>,
}

/// The database's clock, in milliseconds: it decides for all processes.
const NOW: &str = "CAST(ROUND(unixepoch('now', 'subsec') * 1000) AS INTEGER)";

impl Tables {
    fn sql(&self, template: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(template.replace("{p}", &self.prefix).replace("{now}", NOW))
    }
}

/// The connection of an open transaction of a [`SqliteStore`] (or an enlisted one), so that a sink writes the host's own
/// tables in it; `None` if the transaction is another store's.
///
/// The transaction is ours: neither commit nor roll it back, and use `SAVEPOINT` statements where a part of it may fail.
pub fn connection(tx: &mut dyn StoreTransaction) -> Option<&mut SqliteConnection> {
    tx.as_any_mut().downcast_mut()
}

/// Wraps a host's own open transaction on the same file, so that our rows are written in it. For a store with the default
/// prefix; otherwise use [`SqliteStore::enlist`].
///
/// The host opens it with `BEGIN IMMEDIATE`, and commits it itself after [`StoreTransaction::commit`], which only says
/// whether everything was accepted. Dropping the wrapper leaves the host's transaction as it is. Do not begin a
/// transaction of the store while it is open: both wait for the file's one write lock.
pub fn enlist(connection: &mut SqliteConnection) -> Enlisted<'_> {
    Enlisted::new(connection, Tables { prefix: Arc::from(DEFAULT_PREFIX) })
}
