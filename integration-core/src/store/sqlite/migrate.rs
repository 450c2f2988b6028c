//! The tables and how they came about.

use sqlx::{Row, SqliteConnection};

use super::{
    Tables,
    failure::{failed, newer},
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
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(failed)?;
    let done = steps(connection, tables, known).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::query(end).execute(&mut *connection).await.map_err(failed);
    // The first failure says more than a rollback that found nothing to do.
    done.and(ended.map(drop))
}

async fn steps(connection: &mut SqliteConnection, tables: &Tables, known: usize) -> Result<()> {
    let create = tables.sql("CREATE TABLE IF NOT EXISTS {p}schema (version INTEGER NOT NULL)");
    sqlx::query(create).execute(&mut *connection).await.map_err(failed)?;
    let found = tables.sql("SELECT COALESCE(MAX(version), 0) FROM {p}schema");
    let rows = sqlx::query(found).fetch_all(&mut *connection).await.map_err(failed)?;
    let found = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0)).map_err(failed)?;
    let done = usize::try_from(found).unwrap_or_default();
    if done > known {
        return Err(newer(found, i64::try_from(known).unwrap_or(i64::MAX)));
    }
    for script in &MIGRATIONS[done..known] {
        sqlx::raw_sql(tables.sql(script)).execute(&mut *connection).await.map_err(failed)?;
    }
    if done == known {
        return Ok(());
    }
    sqlx::raw_sql(tables.sql("DELETE FROM {p}schema")).execute(&mut *connection).await.map_err(failed)?;
    let insert = tables.sql("INSERT INTO {p}schema (version) VALUES (?1)");
    let version = i64::try_from(known).unwrap_or(i64::MAX);
    sqlx::query(insert).bind(version).execute(connection).await.map_err(failed)?;
    Ok(())
}
