//! The tables and how they came about.

use sqlx::{Row, SqliteConnection};

use super::{
    Tables,
    failure::{failed, newer},
    signed,
};
use crate::error::Result;

/// In order; a released one never changes.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../../migrations/sqlite/0001_tables.sql"),
    include_str!("../../../migrations/sqlite/0002_ready_index.sql"),
];

/// Brings the tables up to date, in one transaction: two processes that start together do it once.
pub(super) async fn migrate(connection: &mut SqliteConnection, tables: &Tables) -> Result<()> {
    migrate_to(connection, tables, MIGRATIONS.len()).await
}

/// As [`migrate`], as the release with `known` migrations did it.
pub(super) async fn migrate_to(connection: &mut SqliteConnection, tables: &Tables, known: usize) -> Result<()> {
    // Without the write lock first: opening an up-to-date file waits for nobody.
    if version(connection, tables).await? == Some(signed(known as u64)) {
        return Ok(());
    }
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(failed)?;
    let done = steps(connection, tables, known).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::query(end).execute(&mut *connection).await.map_err(failed);
    // The first failure says more than a rollback that found nothing to do.
    done.and(ended.map(drop))
}

/// The version of the tables; `None` if there are none.
async fn version(connection: &mut SqliteConnection, tables: &Tables) -> Result<Option<i64>> {
    let exists = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = '{p}schema'";
    let exists = sqlx::query(tables.sql(exists)).fetch_one(&mut *connection).await.map_err(failed)?;
    if exists.try_get::<i64, _>(0).map_err(failed)? == 0 {
        return Ok(None);
    }
    let version = tables.sql("SELECT MAX(version) FROM {p}schema");
    let version = sqlx::query(version).fetch_one(connection).await.map_err(failed)?;
    version.try_get(0).map_err(failed)
}

async fn steps(connection: &mut SqliteConnection, tables: &Tables, known: usize) -> Result<()> {
    let found = version(connection, tables).await?.unwrap_or_default();
    let done = usize::try_from(found).unwrap_or_default();
    if done > known {
        return Err(newer(found, signed(known as u64)));
    }
    let create = "CREATE TABLE IF NOT EXISTS {p}schema (version INTEGER NOT NULL); DELETE FROM {p}schema;";
    for script in std::iter::once(&create).chain(&MIGRATIONS[done..known]) {
        sqlx::raw_sql(tables.sql(script)).execute(&mut *connection).await.map_err(failed)?;
    }
    let insert = tables.sql("INSERT INTO {p}schema (version) VALUES (?1)");
    sqlx::query(insert).bind(signed(known as u64)).execute(connection).await.map_err(failed)?;
    Ok(())
}
