//! The stores in PostgreSQL: the suites every store passes, and what only a server can do wrong.

mod disk;
mod failures;
mod hosts;
mod network;
mod processes;
mod schema;
mod suites;

use std::time::Duration;

use integration_core::{
    ids::TenantId,
    store::{PostgresOptions, PostgresStore, StateKey, StateWrite, SyncStore, read_one},
};
use integration_testing::postgres::{Database, Postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

fn tenant() -> TenantId {
    TenantId::new("tenant")
}

/// A new database; `None` where there is no server, which has been said.
async fn database() -> Option<Database> {
    Some(Postgres::shared().await?.database().await)
}

async fn open(database: &Database) -> PostgresStore {
    PostgresStore::open(database.url()).await.unwrap()
}

/// How long a database is away: short, or what `INTEGRATION_CUT_SECONDS` says (60 for the whole minute).
fn away() -> Duration {
    Duration::from_secs(std::env::var("INTEGRATION_CUT_SECONDS").map_or(4, |seconds| seconds.parse().unwrap()))
}

/// Impatient, so that a test need not be patient.
fn hasty(url: &str) -> PostgresOptions {
    let wait = Duration::from_secs(1);
    PostgresOptions::new(url).with_connect_timeout(wait).with_statement_timeout(wait)
}

fn put(name: &str, text: &str) -> StateWrite {
    StateWrite::put(&tenant(), "test", StateKey::new([name]), text.to_owned().into_bytes())
}

async fn write(store: &PostgresStore, rows: &[StateWrite]) -> integration_core::Result<()> {
    let mut tx = store.begin(None).await?;
    tx.write(rows).await?;
    tx.commit().await
}

async fn text(store: &PostgresStore, name: &str) -> Option<String> {
    let row = read_one(store, &tenant(), "test", StateKey::new([name])).await.unwrap()?;
    Some(String::from_utf8(row.bytes.to_vec()).unwrap())
}

async fn raw(database: &Database) -> PgConnection {
    PgConnection::connect(database.url()).await.unwrap()
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

async fn number(connection: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(connection).await.unwrap().try_get(0).unwrap()
}
