//! All stores in one PostgreSQL database, shared by any number of processes on any number of machines.
//!
//! Tables live in a schema of their own or beside the host's, and begin with a prefix. They are brought up to date by
//! migrations of our own, which do not meet the host's (also not those of the same driver). Leases, jobs and their due
//! times follow the clock of the server, so machines need not agree about the time.
//!
//! A sink writes the host's own tables in our transaction through [`connection`]; a host writes our rows in its own
//! transaction through [`enlist`].
//!
//! Needs PostgreSQL 13 or later with encoding UTF8, and a connection of its own for each session: a pooler in front must
//! be in session mode. Timeouts follow the runtime's clock, which must not be paused.

mod connections;
mod failure;
mod hints;
mod jobs;
mod leases;
mod migrate;
mod state;
mod text;
mod tokens;
mod write;

use std::{sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, postgres::PgConnectOptions};

use self::{
    connections::{Connections, Limits},
    failure::misconfigured,
    hints::Hints,
};
use super::{
    StoreTransaction, Stores,
    sql::{millis, signed, unsigned},
};
use crate::{
    error::{Error, ErrorKind, Result},
    secret::SecretText,
};

pub use self::state::Enlisted;

const DEFAULT_PREFIX: &str = "integration_";

/// Which database, and how to use it. `Debug` does not show the URL, which may contain a password.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=...`
    pub url: SecretText,
    /// The schema of our tables: lower-case letters, digits and `_`. Created if it is missing. Absent: the first one of the
    /// user's search path, usually `public`.
    pub schema: Option<String>,
    /// What our tables' names begin with: lower-case letters, digits and `_`.
    pub prefix: String,
    /// Connections of this process at most, at least 2; one more listens for hints where jobs are worked off.
    pub connections: usize,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long one statement, a transaction in which nothing happens, and the wait for a free connection may take.
    pub statement_timeout: Duration,
    /// What a release after this one does to the tables; only tests of upgrades know.
    later: Vec<migrate::Migration>,
}

impl PostgresOptions {
    /// The database at `url`: prefix `integration_`, the user's own search path, ten connections, five seconds to connect,
    /// thirty for a statement.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: SecretText::new(url.into()),
            schema: None,
            prefix: DEFAULT_PREFIX.to_owned(),
            connections: 10,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            later: Vec::new(),
        }
    }

    /// Keeps the tables in a schema of their own.
    #[must_use]
    pub fn with_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// Changes the prefix of the tables.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Changes how many connections this process opens at most.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Changes how long making a connection may take.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Changes how long one statement may take.
    #[must_use]
    pub fn with_statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Opens it as the release after this one would, for tests of upgrades: it runs `script` (with `{p}` before the names of
    /// tables), after which releases that know schema versions from `readable_from` on may go on.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn with_next_release(mut self, script: &'static str, readable_from: i64) -> Self {
        self.later.push(migrate::Migration { script, readable_from });
        self
    }

    fn connect(&self) -> Result<PgConnectOptions> {
        // The parser takes any scheme.
        let ours = ["postgres:", "postgresql:"].iter().any(|scheme| self.url.expose().starts_with(scheme));
        let parsed = self.url.expose().parse::<PgConnectOptions>().ok().filter(|_| ours);
        // The parser's own words may repeat the URL with its password.
        let options =
            parsed.ok_or_else(|| misconfigured("the database's URL cannot be read", "Check the configured URL."));
        Ok(options?.disable_statement_logging())
    }

    fn check(&self) -> Result<()> {
        for (what, name) in [("table prefix", Some(&self.prefix)), ("schema", self.schema.as_ref())] {
            if let Some(name) = name
                && !is_name(name)
            {
                let message = format!(
                    "the {what} {name:?} must be 1 to 32 lower-case letters, digits or `_`, beginning with a letter or `_`, and not with `pg_`"
                );
                return Err(Error::new(ErrorKind::Misconfigured, message));
            }
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        let (connect, statement) = (self.connect_timeout, self.statement_timeout);
        Limits { connections: self.connections, connect, statement }
    }
}

/// Names that begin with `pg_` belong to the server.
fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|letter| letter.is_ascii_lowercase() || letter == '_');
    let rest = letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    first && rest && name.len() <= 32 && !name.starts_with("pg_")
}

/// All stores in one PostgreSQL database. Clones share their connections.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connections: Connections,
    tables: Tables,
    hints: Hints,
}

impl PostgresStore {
    /// Opens the database at `url` with the defaults of [`PostgresOptions::new`].
    ///
    /// # Errors
    /// As [`PostgresStore::open_with`].
    pub async fn open(url: impl Into<String>) -> Result<Self> {
        Self::open_with(PostgresOptions::new(url)).await
    }

    /// Connects and brings the tables up to date.
    ///
    /// Where they are up to date, the user needs no right to create anything. Tables of a newer release are used as long
    /// as that release says that ours may go on beside it.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if the server cannot be reached (temporary: try again), lacks something, the user lacks a
    /// right, or a newer release has changed the tables too much; [`ErrorKind::Misconfigured`] for an unusable URL, schema
    /// or prefix, a refused user and a database that does not exist.
    pub async fn open_with(options: PostgresOptions) -> Result<Self> {
        options.check()?;
        let connect = options.connect()?;
        let tables = Tables { schema: options.schema.as_deref().map(Arc::from), prefix: Arc::from(&*options.prefix) };
        let connections = Connections::new(connect.clone(), options.limits());
        let mut held = connections.get().await?;
        let patience = held.limit();
        let release = [&migrate::MIGRATIONS[..], &options.later].concat();
        if let Err(error) = migrate::migrate(held.connection()?, &tables, (&release, patience)).await {
            held.discard();
            return Err(error);
        }
        drop(held);
        let hints = Hints::new(connect, tables.channel());
        Ok(Self { inner: Arc::new(Inner { connections, tables, hints }) })
    }

    /// Wraps a host's own open transaction, for a store with a schema or prefix of its own. See [`enlist`].
    pub fn enlist<'c>(&self, connection: &'c mut PgConnection) -> Enlisted<'c> {
        Enlisted::new(connection, self.inner.tables.clone())
    }

    /// Closes all connections that are not in use, and those in use when they are given back; every later call fails.
    pub async fn close(&self) {
        self.inner.hints.close();
        self.inner.connections.close().await;
    }
}

impl From<PostgresStore> for Stores {
    fn from(store: PostgresStore) -> Self {
        Self::from_one(Arc::new(store))
    }
}

/// Fills in table names. Schema and prefix are checked when a store is opened, so the text is safe to run.
#[derive(Clone, Debug)]
struct Tables {
    schema: Option<Arc<str>>,
    prefix: Arc<str>,
}

/// The server's clock when the statement came, in milliseconds: it decides for all processes. The same all over a
/// statement, so that an index can be searched by it; if the statement had to wait, leases only end earlier for that.
const NOW: &str = "(extract(epoch FROM statement_timestamp()) * 1000)::bigint";

impl Tables {
    fn sql(&self, template: &str) -> AssertSqlSafe<String> {
        let sql = template.replace("{p}", &self.name("")).replace("{i}", &self.prefix);
        AssertSqlSafe(sql.replace("{now}", NOW))
    }

    /// A table's name with its schema, quoted where it has to be.
    fn name(&self, table: &str) -> String {
        match &self.schema {
            Some(schema) => format!("\"{schema}\".{}{table}", self.prefix),
            None => format!("{}{table}", self.prefix),
        }
    }

    /// Where hints about this store's jobs are told.
    fn channel(&self) -> String {
        format!("integration_{}", hex::encode(&Sha256::digest(self.name("job"))[..8]))
    }
}

/// The connection of an open transaction of a [`PostgresStore`] (or an enlisted one), so that a sink writes the host's own
/// tables in it; `None` if the transaction is another store's, or its connection was lost.
///
/// The transaction is ours: neither commit nor roll it back. After an error PostgreSQL refuses every further statement of
/// a transaction: use `SAVEPOINT` statements where a part of it may fail.
pub fn connection(tx: &mut dyn StoreTransaction) -> Option<&mut PgConnection> {
    tx.as_any_mut().downcast_mut()
}

/// Wraps a host's own open transaction on the same database, so that our rows are written in it. For a store with the
/// default prefix in the host's search path; otherwise use [`PostgresStore::enlist`].
///
/// The host commits it itself after [`StoreTransaction::commit`], which only says whether everything was accepted.
/// Dropping the wrapper leaves the host's transaction as it is. Numbers of a counter are locked until the host commits.
pub fn enlist(connection: &mut PgConnection) -> Enlisted<'_> {
    Enlisted::new(connection, Tables { schema: None, prefix: Arc::from(DEFAULT_PREFIX) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_names_are_refused() {
        for name in ["", "1a", "a; DROP TABLE b", "A", "pg_x", "a\"b", &"a".repeat(33)] {
            let prefixed = PostgresOptions::new("postgres://localhost/x").with_prefix(name);
            assert_eq!(prefixed.check().unwrap_err().kind(), ErrorKind::Misconfigured, "{name:?}");
            let elsewhere = PostgresOptions::new("postgres://localhost/x").with_schema(name);
            assert_eq!(elsewhere.check().unwrap_err().kind(), ErrorKind::Misconfigured, "{name:?}");
        }
    }

    #[test]
    fn an_unusable_url_is_not_repeated() {
        let options = PostgresOptions::new("postgres://user:topsecret@host:notaport/x");
        let error = options.connect().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        let told = format!("{error} {error:?} {options:?}");
        assert!(!told.contains("topsecret"), "{told}");
    }

    #[test]
    fn a_schema_is_quoted_and_channels_differ() {
        let tables = |schema: Option<&str>| Tables { schema: schema.map(Arc::from), prefix: Arc::from("i_") };
        assert_eq!(tables(Some("user")).sql("{p}job {i}job_ready").0, "\"user\".i_job i_job_ready");
        assert_ne!(tables(None).channel(), tables(Some("user")).channel());
    }
}
