//! Rows and transactions in SQLite.

use std::any::Any;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{SqliteStore, Tables, connections::Turn, failure::failed, signed, unsigned};
use crate::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    store::{
        CounterKey, Expect, LeaseGuard, StateKey, StateQuery, StateRow, StateWrite, StoreTransaction, SyncStore,
        guard::forbid_reentry,
        sql::{end, refused_before},
    },
};

// An open end is bound as a blob, which SQLite sorts behind every text.
const RANGE: &str = "SELECT key, version, bytes FROM {p}state \
    WHERE tenant = ?1 AND space = ?2 AND key >= ?3 AND key < ?4 ORDER BY key LIMIT ?5";
const COUNT: &str = "SELECT COUNT(*) FROM {p}state WHERE tenant = ?1 AND space = ?2 AND key >= ?3 AND key < ?4";
const CREATE: &str =
    "INSERT INTO {p}state (tenant, space, key, version, bytes) VALUES (?1, ?2, ?3, 1, ?4) ON CONFLICT DO NOTHING";
const REPLACE: &str = "UPDATE {p}state SET version = version + 1, bytes = ?4 \
    WHERE tenant = ?1 AND space = ?2 AND key = ?3 AND version = ?5";
const EXISTS: &str = "SELECT 1 FROM {p}state WHERE tenant = ?1 AND space = ?2 AND key = ?3";
const DELETE: &str = "DELETE FROM {p}state WHERE tenant = ?1 AND space = ?2 AND key = ?3";
const DELETE_VERSION: &str = "DELETE FROM {p}state WHERE tenant = ?1 AND space = ?2 AND key = ?3 AND version = ?4";
const NEXT: &str = "INSERT INTO {p}counter (tenant, name, value) VALUES (?1, ?2, 1) \
    ON CONFLICT (tenant, name) DO UPDATE SET value = value + 1 RETURNING value";
const FENCE: &str = "INSERT INTO {p}fence AS highest (key, fence) VALUES (?1, ?2) \
    ON CONFLICT (key) DO UPDATE SET fence = excluded.fence WHERE excluded.fence >= highest.fence";

const FORGET_COUNTERS: &str = "DELETE FROM {p}counter WHERE tenant = ?1";
// The second segment of a lease's key is the tenant.
const FORGET_FENCES: &str = "DELETE FROM {p}fence \
    WHERE instr(substr(key, instr(key, char(31)) + 1) || char(31), ?1 || char(31)) = 1 AND instr(key, char(31)) > 0";

/// SQLite takes 32,766 parameters.
const KEYS_AT_ONCE: usize = 16_384;
/// Reading so many rows does not keep a writer waiting.
const SHORT: usize = 512;
/// Rows per statement, largest first: few sizes, so that each is prepared once.
const BATCHES: [usize; 3] = [64, 8, 1];

#[async_trait]
impl SyncStore for SqliteStore {
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        let tables = &self.inner.tables;
        let short = match query {
            StateQuery::Keys { keys, .. } => keys.len() <= SHORT,
            StateQuery::Range { limit, .. } => *limit <= SHORT,
            StateQuery::Count { .. } => false,
        };
        let mut reading =
            if short { self.inner.connections.glance().await } else { self.inner.connections.read().await };
        let connection = reading.connection()?;
        match query {
            StateQuery::Keys { tenant, space, keys } => {
                let mut keys: Vec<&str> = keys.iter().map(StateKey::as_str).collect();
                keys.sort_unstable();
                keys.dedup();
                let mut found = Vec::with_capacity(keys.len());
                for keys in keys.chunks(KEYS_AT_ONCE) {
                    found.extend(by_keys(connection, tables, tenant.as_str(), space, keys).await?);
                }
                Ok(found)
            }
            StateQuery::Range { tenant, space, prefix, after, limit } => {
                let query = sqlx::query(tables.sql(RANGE)).bind(tenant.as_str()).bind(*space);
                let query = query.bind(start(prefix, after.as_ref()));
                let query = match end(prefix) {
                    Some(end) => query.bind(end),
                    None => query.bind(vec![0_u8]),
                };
                rows(&query.bind(signed(*limit as u64)).fetch_all(connection).await.map_err(failed)?)
            }
            StateQuery::Count { tenant, space, prefix } => {
                let query = sqlx::query(tables.sql(COUNT)).bind(tenant.as_str()).bind(*space).bind(prefix.as_str());
                let query = match end(prefix) {
                    Some(end) => query.bind(end),
                    None => query.bind(vec![0_u8]),
                };
                let found = query.fetch_one(connection).await.map_err(failed)?;
                let count = unsigned(found.try_get(0).map_err(failed)?);
                Ok(vec![StateRow::new(StateKey::from_stored(""), count, Bytes::new())])
            }
        }
    }

    async fn now(&self) -> Result<DateTime<Utc>> {
        let mut reading = self.inner.connections.glance().await;
        let query = sqlx::query(self.inner.tables.sql("SELECT {now}"));
        let row = query.fetch_one(reading.connection()?).await.map_err(failed)?;
        Ok(DateTime::from_timestamp_millis(row.try_get(0).map_err(failed)?).unwrap_or_default())
    }

    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        forbid_reentry("SyncStore::begin")?;
        let mut turn = self.inner.connections.write().await?;
        turn.begin().await?;
        let tables = self.inner.tables.clone();
        Ok(Box::new(Transaction { turn, tables, guard: guard.cloned(), failed: false }))
    }

    async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64> {
        forbid_reentry("SyncStore::forget_tenant")?;
        let segment = StateKey::new([tenant]);
        let mut turn = self.inner.connections.write().await?;
        turn.begin().await?;
        let mut count = 0;
        for (template, of) in [(FORGET_COUNTERS, tenant.as_str()), (FORGET_FENCES, segment.as_str())] {
            let query = sqlx::query(self.inner.tables.sql(template)).bind(of);
            count += query.execute(turn.connection()?).await.map_err(failed)?.rows_affected();
        }
        turn.commit().await?;
        Ok(count)
    }
}

async fn by_keys(
    connection: &mut SqliteConnection,
    tables: &Tables,
    tenant: &str,
    space: &str,
    keys: &[&str],
) -> Result<Vec<StateRow>> {
    let Some(last) = keys.last() else { return Ok(Vec::new()) };
    // Padded to a power of two, so that few statements are prepared.
    let size = keys.len().next_power_of_two();
    let marks = vec!["?"; size].join(",");
    let template = format!(
        "SELECT key, version, bytes FROM {{p}}state WHERE tenant = ? AND space = ? AND key IN ({marks}) ORDER BY key"
    );
    let mut query = sqlx::query(tables.sql(&template)).bind(tenant).bind(space);
    for key in keys.iter().chain(std::iter::repeat_n(last, size - keys.len())) {
        query = query.bind(*key);
    }
    rows(&query.fetch_all(connection).await.map_err(failed)?)
}

fn rows(found: &[SqliteRow]) -> Result<Vec<StateRow>> {
    let row = |row: &SqliteRow| {
        let key = StateKey::from_stored(row.try_get::<String, _>(0)?);
        Ok(StateRow::new(key, unsigned(row.try_get(1)?), Bytes::from(row.try_get::<Vec<u8>, _>(2)?)))
    };
    found.iter().map(row).collect::<Result<_, sqlx::Error>>().map_err(failed)
}

/// The first key of a page: the prefix itself, or the very next text after where the last page ended.
fn start(prefix: &str, after: Option<&StateKey>) -> String {
    match after.map(StateKey::as_str) {
        Some(after) if after >= prefix => format!("{after}\0"),
        _ => prefix.to_owned(),
    }
}

/// Our own transaction: dropping it rolls back, through [`Turn`].
struct Transaction {
    turn: Turn,
    tables: Tables,
    guard: Option<LeaseGuard>,
    failed: bool,
}

#[async_trait]
impl StoreTransaction for Transaction {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        // Until it is known that all went well: a caller may also give up in between.
        let failed_before = std::mem::replace(&mut self.failed, true);
        write(self.turn.connection()?, &self.tables, rows).await?;
        self.failed = failed_before;
        Ok(())
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        let failed_before = std::mem::replace(&mut self.failed, true);
        let number = next(self.turn.connection()?, &self.tables, counter).await?;
        self.failed = failed_before;
        Ok(number)
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        if self.failed {
            return Err(refused_before());
        }
        if let Some(guard) = &self.guard {
            let query = sqlx::query(self.tables.sql(FENCE)).bind(guard.key.as_str()).bind(signed(guard.fence));
            let done = query.execute(self.turn.connection()?).await.map_err(failed)?;
            if done.rows_affected() == 0 {
                return Err(Error::new(ErrorKind::Conflict, "a newer holder of the lease has committed already"));
            }
        }
        self.turn.commit().await
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        // A closed store has no connection to hand out: anything else does, since nobody downcasts to it.
        match self.turn.connection() {
            Ok(connection) => connection,
            Err(_) => &mut self.failed,
        }
    }
}

/// A host's own open transaction, for our rows. See [`enlist`](super::enlist).
pub struct Enlisted<'c> {
    connection: &'c mut SqliteConnection,
    tables: Tables,
    failed: bool,
}

impl std::fmt::Debug for Enlisted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enlisted").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl<'c> Enlisted<'c> {
    pub(super) fn new(connection: &'c mut SqliteConnection, tables: Tables) -> Self {
        Self { connection, tables, failed: false }
    }
}

#[async_trait]
impl StoreTransaction for Enlisted<'_> {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        let failed_before = std::mem::replace(&mut self.failed, true);
        write(self.connection, &self.tables, rows).await?;
        self.failed = failed_before;
        Ok(())
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        let failed_before = std::mem::replace(&mut self.failed, true);
        let number = next(self.connection, &self.tables, counter).await?;
        self.failed = failed_before;
        Ok(number)
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        if self.failed { Err(refused_before()) } else { Ok(()) }
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        &mut *self.connection
    }
}

async fn next(connection: &mut SqliteConnection, tables: &Tables, counter: &CounterKey) -> Result<u64> {
    let query = sqlx::query(tables.sql(NEXT)).bind(counter.tenant.as_str()).bind(counter.name);
    let rows = query.fetch_all(connection).await.map_err(failed)?;
    let row = rows.first().ok_or_else(|| Error::new(ErrorKind::Store, "a counter gave no number"))?;
    Ok(unsigned(row.try_get(0).map_err(failed)?))
}

async fn write(connection: &mut SqliteConnection, tables: &Tables, mut rows: &[StateWrite]) -> Result<()> {
    while let Some(first) = rows.first() {
        let plain = rows.iter().take_while(|row| row.expect == Expect::Any && row.bytes.is_some()).count();
        let size = BATCHES.into_iter().find(|size| *size <= plain).unwrap_or(0);
        if size == 0 {
            one(connection, tables, first).await?;
            rows = &rows[1..];
        } else {
            put(connection, tables, &rows[..size]).await?;
            rows = &rows[size..];
        }
    }
    Ok(())
}

/// Puts rows that expect nothing, in one statement.
async fn put(connection: &mut SqliteConnection, tables: &Tables, rows: &[StateWrite]) -> Result<()> {
    let values = vec!["(?, ?, ?, 1, ?)"; rows.len()].join(",");
    let template = format!(
        "INSERT INTO {{p}}state (tenant, space, key, version, bytes) VALUES {values} \
         ON CONFLICT (tenant, space, key) DO UPDATE SET version = version + 1, bytes = excluded.bytes"
    );
    let mut query = sqlx::query(tables.sql(&template));
    for row in rows {
        let bytes = row.bytes.as_deref().unwrap_or_default();
        query = query.bind(row.tenant.as_str()).bind(row.space).bind(row.key.as_str()).bind(bytes);
    }
    query.execute(connection).await.map_err(failed)?;
    Ok(())
}

/// Writes one row that expects something, or deletes one.
async fn one(connection: &mut SqliteConnection, tables: &Tables, row: &StateWrite) -> Result<()> {
    let template = match (&row.bytes, row.expect) {
        (Some(_), Expect::Version(_)) => REPLACE,
        (Some(_), _) => CREATE,
        (None, Expect::Version(_)) => DELETE_VERSION,
        (None, Expect::Any) => DELETE,
        (None, Expect::Absent) => EXISTS,
    };
    let query = sqlx::query(tables.sql(template));
    let mut query = query.bind(row.tenant.as_str()).bind(row.space).bind(row.key.as_str());
    if let Some(bytes) = &row.bytes {
        query = query.bind(bytes.as_ref());
    }
    if let Expect::Version(version) = row.expect {
        query = query.bind(signed(version));
    }
    let matched = if template == EXISTS {
        query.fetch_all(connection).await.map_err(failed)?.is_empty()
    } else {
        let done = query.execute(connection).await.map_err(failed)?;
        row.expect == Expect::Any || done.rows_affected() == 1
    };
    if matched {
        return Ok(());
    }
    let message = format!("a row of space {:?} does not have the expected version", row.space);
    Err(Error::new(ErrorKind::Conflict, message))
}
