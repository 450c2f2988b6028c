//! The tables and how they came about.

use sqlx::{Row, SqliteConnection};

use super::{
    Tables,
    failure::{failed, newer},
    signed,
};
use crate::error::Result;

/// One step.
struct Migration {
    script: &'static str,
    /// The oldest schema version whose release can work with the tables after this step: while processes are restarted
    /// one by one, those that still run it go on.
    readable_from: i64,
}

/// In order; a released one never changes.
const MIGRATIONS: [Migration; 2] = [
    Migration { script: include_str!("../../../migrations/sqlite/0001_tables.sql"), readable_from: 1 },
    Migration { script: include_str!("../../../migrations/sqlite/0002_ready_index.sql"), readable_from: 1 },
];

/// Versions found in a file.
struct Found {
    version: i64,
    readable_from: i64,
}

impl Found {
    /// Whether there is nothing to do; an error if the release with `known` migrations must not touch the tables.
    fn is_enough(&self, known: usize) -> Result<bool> {
        let known = signed(known as u64);
        match self.version {
            version if version <= known => Ok(version == known),
            _ if self.readable_from <= known => Ok(true),
            version => Err(newer(version, known)),
        }
    }
}

/// Brings the tables up to date, in one transaction: two processes that start together do it once.
pub(super) async fn migrate(connection: &mut SqliteConnection, tables: &Tables) -> Result<()> {
    migrate_to(connection, tables, MIGRATIONS.len()).await
}

/// As [`migrate`], as the release with `known` migrations did it.
pub(super) async fn migrate_to(connection: &mut SqliteConnection, tables: &Tables, known: usize) -> Result<()> {
    // Without the write lock first: opening an up-to-date file waits for nobody.
    if let Some(found) = found(connection, tables).await?
        && found.is_enough(known)?
    {
        return Ok(());
    }
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(failed)?;
    let done = steps(connection, tables, known).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::query(end).execute(&mut *connection).await.map_err(failed);
    // The first failure says more than a rollback that found nothing to do.
    done.and(ended.map(drop))
}

/// The versions of the tables; `None` if there are none.
async fn found(connection: &mut SqliteConnection, tables: &Tables) -> Result<Option<Found>> {
    let columns = sqlx::query(tables.sql("SELECT name FROM pragma_table_info('{p}schema')"));
    let columns = columns.fetch_all(&mut *connection).await.map_err(failed)?;
    if columns.is_empty() {
        return Ok(None);
    }
    // The first releases did not say who may read their tables: only themselves then.
    let said = columns.iter().any(|column| column.try_get::<String, _>(0).is_ok_and(|name| name == "readable_from"));
    let reader = if said { "MAX(readable_from)" } else { "MAX(version)" };
    let ask = tables.sql(&format!("SELECT MAX(version), {reader} FROM {{p}}schema"));
    let row = sqlx::query(ask).fetch_one(connection).await.map_err(failed)?;
    let version: Option<i64> = row.try_get(0).map_err(failed)?;
    let readable_from: Option<i64> = row.try_get(1).map_err(failed)?;
    Ok(version.zip(readable_from).map(|(version, readable_from)| Found { version, readable_from }))
}

async fn steps(connection: &mut SqliteConnection, tables: &Tables, known: usize) -> Result<()> {
    let found = found(connection, tables).await?;
    if let Some(found) = &found
        && found.is_enough(known)?
    {
        return Ok(());
    }
    let done = found.map_or(0, |found| usize::try_from(found.version).unwrap_or_default());
    let create = "DROP TABLE IF EXISTS {p}schema; \
                  CREATE TABLE {p}schema (version INTEGER NOT NULL, readable_from INTEGER NOT NULL);";
    let steps = &MIGRATIONS[done..known];
    for script in std::iter::once(create).chain(steps.iter().map(|migration| migration.script)) {
        sqlx::raw_sql(tables.sql(script)).execute(&mut *connection).await.map_err(failed)?;
    }
    let insert = tables.sql("INSERT INTO {p}schema (version, readable_from) VALUES (?1, ?2)");
    let readable_from = steps.last().map_or(1, |migration| migration.readable_from);
    sqlx::query(insert).bind(signed(known as u64)).bind(readable_from).execute(connection).await.map_err(failed)?;
    Ok(())
}
