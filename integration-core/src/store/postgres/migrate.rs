//! The tables and how they came about.

use std::time::Duration;

use sqlx::{PgConnection, Row};

use super::{
    Tables,
    failure::{failed, newer, no_answer, with},
    signed,
};
use crate::error::Result;

/// One step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    pub(super) script: &'static str,
    /// The oldest schema version whose release can work with the tables after this step: while machines are restarted
    /// one by one, those that still run it go on.
    pub(super) readable_from: i64,
}

/// In order; a released one never changes.
pub(super) const MIGRATIONS: [Migration; 1] =
    [Migration { script: include_str!("../../../migrations/postgres/0001_tables.sql"), readable_from: 1 }];

/// Versions found in a database.
struct Found {
    version: i64,
    readable_from: i64,
}

impl Found {
    /// Whether there is nothing to do; an error if this release must not touch the tables.
    fn is_enough(&self, release: &[Migration]) -> Result<bool> {
        let known = signed(release.len() as u64);
        match self.version {
            version if version <= known => Ok(version == known),
            _ if self.readable_from <= known => Ok(true),
            version => Err(newer(version, known)),
        }
    }
}

/// Brings the tables to what a release knows, in one transaction: processes that start together do it once. A migration may
/// take as long as it needs, looking whether there is one to do may take `patience`.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    tables: &Tables,
    (release, patience): (&[Migration], Duration),
) -> Result<()> {
    let looking = tokio::time::timeout(patience, up_to_date(connection, tables, release)).await;
    if looking.map_err(|_| failed(no_answer()))?? {
        return Ok(());
    }
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await.map_err(failed)?;
    let done = steps(connection, tables, release).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::raw_sql(end).execute(&mut *connection).await.map_err(failed);
    // The first failure says more than a rollback that found nothing to do.
    done.and(ended.map(drop))
}

/// Without the lock: opening what is up to date waits for nobody, and needs no right to create anything.
async fn up_to_date(connection: &mut PgConnection, tables: &Tables, release: &[Migration]) -> Result<bool> {
    check_server(connection).await?;
    found(connection, tables).await?.map_or(Ok(false), |found| found.is_enough(release))
}

async fn check_server(connection: &mut PgConnection) -> Result<()> {
    let ask = "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')";
    let row = sqlx::query(ask).fetch_one(connection).await.map_err(failed)?;
    if row.try_get::<i32, _>(0).map_err(failed)? < 130_000 {
        return Err(with("the server is older than PostgreSQL 13", "Use a newer server."));
    }
    if row.try_get::<String, _>(1).map_err(failed)? != "UTF8" {
        return Err(with("the database's encoding is not UTF8", "Create a database with ENCODING 'UTF8'."));
    }
    Ok(())
}

/// The versions of the tables; `None` if there are none.
async fn found(connection: &mut PgConnection, tables: &Tables) -> Result<Option<Found>> {
    // From a catalogue, whose lock makes the server look at what others have committed: after waiting for the advisory lock
    // alone it still believes that there is no such table, if it looked before.
    let exists =
        sqlx::query("SELECT to_regclass($1) IS NOT NULL FROM pg_namespace LIMIT 1").bind(tables.name("schema"));
    let exists = exists.fetch_one(&mut *connection).await.map_err(failed)?;
    if !exists.try_get::<bool, _>(0).map_err(failed)? {
        return Ok(None);
    }
    let ask = tables.sql("SELECT version, readable_from FROM {p}schema");
    let Some(row) = sqlx::query(ask).fetch_optional(connection).await.map_err(failed)? else { return Ok(None) };
    let (version, readable_from) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    Ok(Some(Found { version, readable_from }))
}

async fn steps(connection: &mut PgConnection, tables: &Tables, release: &[Migration]) -> Result<()> {
    // A step over large tables may take its time; a lock that somebody holds may not.
    let patience = "SELECT set_config('lock_timeout', current_setting('statement_timeout'), true), \
                    set_config('statement_timeout', '0', true)";
    sqlx::query(patience).execute(&mut *connection).await.map_err(failed)?;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('integration schema', 0))";
    sqlx::query(lock).execute(&mut *connection).await.map_err(failed)?;
    create_schema(connection, tables).await?;
    let found = found(connection, tables).await?;
    if let Some(found) = &found
        && found.is_enough(release)?
    {
        return Ok(());
    }
    let done = found.map_or(0, |found| usize::try_from(found.version).unwrap_or_default());
    let create = "CREATE TABLE IF NOT EXISTS {p}schema (version BIGINT NOT NULL, readable_from BIGINT NOT NULL); \
                  DELETE FROM {p}schema;";
    let scripts = release[done..].iter().map(|migration| migration.script);
    for script in std::iter::once(create).chain(scripts) {
        sqlx::raw_sql(tables.sql(script)).execute(&mut *connection).await.map_err(failed)?;
    }
    let readable_from = release.last().map_or(0, |last| last.readable_from);
    let insert = sqlx::query(tables.sql("INSERT INTO {p}schema (version, readable_from) VALUES ($1, $2)"));
    let insert = insert.bind(signed(release.len() as u64)).bind(readable_from);
    insert.execute(connection).await.map_err(failed)?;
    Ok(())
}

/// Only if it is missing: a user that may not create schemas can use one that is there.
async fn create_schema(connection: &mut PgConnection, tables: &Tables) -> Result<()> {
    let Some(schema) = &tables.schema else { return Ok(()) };
    let exists = sqlx::query("SELECT 1 FROM pg_namespace WHERE nspname = $1").bind(&**schema);
    if exists.fetch_optional(&mut *connection).await.map_err(failed)?.is_none() {
        let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\""));
        sqlx::raw_sql(create).execute(connection).await.map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_used_only_if_it_says_so() {
        let enough = |version, readable_from| Found { version, readable_from }.is_enough(&MIGRATIONS);
        assert!(!enough(0, 0).unwrap(), "older: to be brought up to date");
        assert!(enough(1, 1).unwrap());
        assert!(enough(9, 1).unwrap(), "newer, and this release may go on");
        let refused = enough(9, 2).unwrap_err();
        assert_eq!(refused.message(), "the database has schema version 9, this release knows versions up to 1");
    }
}
