//! Rows and transactions in PostgreSQL.

use std::any::Any;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::{
    PgConnection, Postgres, Row,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use super::{
    PostgresStore, Tables,
    connections::{Held, within},
    failure::failed,
    leases::OF_TENANT,
    signed,
    text::{self, stored},
    unsigned,
    write::write,
};
use crate::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    store::{
        CounterKey, LeaseGuard, StateKey, StateQuery, StateRow, StateWrite, StoreTransaction, SyncStore,
        guard::forbid_reentry,
        sql::{end, refused_before},
    },
};

const KEYS: &str = "SELECT COALESCE(full_key, key), version, bytes FROM {p}state \
    WHERE tenant = $1 AND space = $2 AND key = ANY($3) ORDER BY key";
// The last condition matters only where the prefix is longer than what is indexed.
const WITHIN: &str = "FROM {p}state WHERE tenant = $1 AND space = $2 AND key >= $3 AND ($4::text IS NULL OR key < $4) \
    AND ($5::text IS NULL OR starts_with(COALESCE(full_key, key), $5))";
const RANGE: &str = "AND ($6::text IS NULL OR key > $6) ORDER BY key LIMIT $7";
const NEXT: &str = "INSERT INTO {p}counter AS counter (tenant, name, value) VALUES ($1, $2, 1) \
    ON CONFLICT (tenant, name) DO UPDATE SET value = counter.value + 1 RETURNING value";
const FENCE: &str = "INSERT INTO {p}fence AS highest (key, fence) VALUES ($1, $2) \
    ON CONFLICT (key) DO UPDATE SET fence = excluded.fence WHERE excluded.fence >= highest.fence";

#[async_trait]
impl SyncStore for PostgresStore {
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        let tables = &self.inner.tables;
        let mut held = self.inner.connections.get().await?;
        match query {
            StateQuery::Keys { tenant, space, keys } => {
                let keys: Vec<String> = keys.iter().map(|key| text::key(key.as_str()).key).collect();
                let query = sqlx::query(tables.sql(KEYS)).bind(stored(tenant.as_str())).bind(stored(space)).bind(keys);
                rows(&held.fetch_all(query).await?)
            }
            StateQuery::Range { tenant, space, prefix, after, limit } => {
                let template = format!("SELECT COALESCE(full_key, key), version, bytes {WITHIN} {RANGE}");
                let query = prefixed(tables, &template, (tenant.as_str(), space), prefix);
                let query = query.bind(after.as_ref().map(|after| text::key(after.as_str()).key));
                rows(&held.fetch_all(query.bind(signed(*limit as u64))).await?)
            }
            StateQuery::Count { tenant, space, prefix } => {
                let template = format!("SELECT COUNT(*) {WITHIN}");
                let query = prefixed(tables, &template, (tenant.as_str(), space), prefix);
                let found = held.fetch_all(query).await?;
                let count = found.first().map(|row| row.try_get(0)).transpose().map_err(failed)?.unwrap_or_default();
                Ok(vec![StateRow::new(StateKey::from_stored(""), unsigned(count), Bytes::new())])
            }
        }
    }

    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        forbid_reentry("SyncStore::begin")?;
        let held = self.inner.connections.begin().await?;
        let tables = self.inner.tables.clone();
        Ok(Box::new(Transaction { held, tables, guard: guard.cloned(), failed: false }))
    }

    async fn now(&self) -> Result<DateTime<Utc>> {
        let query = sqlx::query(self.inner.tables.sql("SELECT {now}"));
        let rows = self.inner.connections.get().await?.fetch_all(query).await?;
        let millis = rows.first().map(|row| row.try_get(0)).transpose().map_err(failed)?.unwrap_or_default();
        Ok(DateTime::from_timestamp_millis(millis).unwrap_or_default())
    }

    async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64> {
        forbid_reentry("SyncStore::forget_tenant")?;
        let segment = StateKey::new([tenant]);
        let fences = format!("DELETE FROM {{p}}fence WHERE {OF_TENANT}");
        let mut held = self.inner.connections.get().await?;
        let counters = sqlx::query(self.inner.tables.sql("DELETE FROM {p}counter WHERE tenant = $1"));
        let counters = held.execute(counters.bind(stored(tenant.as_str()))).await?;
        let fences = sqlx::query(self.inner.tables.sql(&fences)).bind(stored(segment.as_str()));
        Ok(counters + held.execute(fences).await?)
    }
}

/// Binds the first five parameters of [`WITHIN`].
fn prefixed(
    tables: &Tables,
    template: &str,
    (tenant, space): (&str, &str),
    prefix: &str,
) -> Query<'static, Postgres, PgArguments> {
    let prefix = stored(prefix);
    let start = text::beginning(&prefix);
    let query = sqlx::query(tables.sql(template)).bind(stored(tenant)).bind(stored(space));
    query.bind(start).bind(end(start)).bind((start.len() < prefix.len()).then_some(&*prefix))
}

fn rows(found: &[PgRow]) -> Result<Vec<StateRow>> {
    let row = |row: &PgRow| {
        let key = StateKey::from_stored(text::loaded(row.try_get::<String, _>(0)?));
        Ok(StateRow::new(key, unsigned(row.try_get(1)?), Bytes::from(row.try_get::<Vec<u8>, _>(2)?)))
    };
    found.iter().map(row).collect::<Result<_, sqlx::Error>>().map_err(failed)
}

/// Our own transaction: dropping it rolls back, through [`Held`].
struct Transaction {
    held: Held,
    tables: Tables,
    guard: Option<LeaseGuard>,
    failed: bool,
}

#[async_trait]
impl StoreTransaction for Transaction {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        // Until it is known that all went well: a caller may also give up in between.
        let failed_before = std::mem::replace(&mut self.failed, true);
        let limit = self.held.limit();
        let writing = write(self.held.connection()?, &self.tables, rows);
        if !within(limit, writing).await.map_err(failed)? {
            return Err(refused(rows));
        }
        self.failed = failed_before;
        Ok(())
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        let failed_before = std::mem::replace(&mut self.failed, true);
        let limit = self.held.limit();
        let number = within(limit, next(self.held.connection()?, &self.tables, counter)).await.map_err(failed)?;
        self.failed = failed_before;
        Ok(number)
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        if self.failed {
            return Err(refused_before());
        }
        if let Some(guard) = &self.guard {
            let query = sqlx::query(self.tables.sql(FENCE)).bind(stored(guard.key.as_str())).bind(signed(guard.fence));
            if self.held.execute(query).await? == 0 {
                return Err(Error::new(ErrorKind::Conflict, "a newer holder of the lease has committed already"));
            }
        }
        self.held.commit().await
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        // A lost connection cannot be handed out: anything else does, since nobody downcasts to it.
        match self.held.connection() {
            Ok(connection) => connection,
            Err(_) => &mut self.failed,
        }
    }
}

/// A host's own open transaction, for our rows. See [`enlist`](super::enlist).
pub struct Enlisted<'c> {
    connection: &'c mut PgConnection,
    tables: Tables,
    failed: bool,
}

impl std::fmt::Debug for Enlisted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enlisted").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl<'c> Enlisted<'c> {
    pub(super) fn new(connection: &'c mut PgConnection, tables: Tables) -> Self {
        Self { connection, tables, failed: false }
    }
}

#[async_trait]
impl StoreTransaction for Enlisted<'_> {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        let failed_before = std::mem::replace(&mut self.failed, true);
        if !write(self.connection, &self.tables, rows).await.map_err(failed)? {
            return Err(refused(rows));
        }
        self.failed = failed_before;
        Ok(())
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        let failed_before = std::mem::replace(&mut self.failed, true);
        let number = next(self.connection, &self.tables, counter).await.map_err(failed)?;
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

fn refused(rows: &[StateWrite]) -> Error {
    let mut spaces: Vec<&str> = rows.iter().map(|row| row.space).collect();
    spaces.sort_unstable();
    spaces.dedup();
    Error::new(ErrorKind::Conflict, format!("a row of {spaces:?} does not have the expected version"))
}

async fn next(connection: &mut PgConnection, tables: &Tables, counter: &CounterKey) -> Result<u64, sqlx::Error> {
    let query = sqlx::query(tables.sql(NEXT)).bind(stored(counter.tenant.as_str())).bind(stored(counter.name));
    Ok(unsigned(query.fetch_one(connection).await?.try_get(0)?))
}
