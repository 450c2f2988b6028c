//! Leases in PostgreSQL: one statement each, and the database's clock decides.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;

use super::{PostgresStore, failure::failed, millis, signed, text::stored, unsigned};
use crate::{
    error::Result,
    ids::TenantId,
    store::{LeaseGuard, LeaseKey, LeaseStore, StateKey, guard::forbid_reentry},
};

const ACQUIRE: &str = "INSERT INTO {p}lease AS held (key, fence, holder, expires) \
    VALUES ($1, 1, gen_random_uuid()::text, {now} + $2) \
    ON CONFLICT (key) DO UPDATE SET fence = held.fence + 1, holder = excluded.holder, expires = excluded.expires \
    WHERE held.expires <= {now} RETURNING fence, holder";
const RENEW: &str =
    "UPDATE {p}lease SET expires = {now} + $4 WHERE key = $1 AND fence = $2 AND holder = $3 AND holder <> ''";
const RELEASE: &str = "UPDATE {p}lease SET expires = 0, holder = '' WHERE key = $1 AND fence = $2 AND holder = $3";
// The second segment of a lease's key is the tenant.
pub(super) const OF_TENANT: &str = "split_part(key, chr(31), 2) = $1 AND position(chr(31) in key) > 0";

#[async_trait]
impl LeaseStore for PostgresStore {
    async fn acquire(&self, key: &LeaseKey, ttl: Duration) -> Result<Option<LeaseGuard>> {
        forbid_reentry("LeaseStore::acquire")?;
        let mut held = self.inner.connections.get().await?;
        let query = sqlx::query(self.inner.tables.sql(ACQUIRE)).bind(stored(key.as_str())).bind(millis(ttl));
        let rows = held.fetch_all(query).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let fence = unsigned(row.try_get(0).map_err(failed)?);
        Ok(Some(LeaseGuard::new(key.clone(), fence, row.try_get(1).map_err(failed)?)))
    }

    async fn renew(&self, guard: &LeaseGuard, ttl: Duration) -> Result<bool> {
        forbid_reentry("LeaseStore::renew")?;
        let mut held = self.inner.connections.get().await?;
        let query = sqlx::query(self.inner.tables.sql(RENEW)).bind(stored(guard.key.as_str()));
        let query = query.bind(signed(guard.fence)).bind(guard.holder.as_str()).bind(millis(ttl));
        Ok(held.execute(query).await? == 1)
    }

    async fn release(&self, guard: LeaseGuard) -> Result<()> {
        forbid_reentry("LeaseStore::release")?;
        let mut held = self.inner.connections.get().await?;
        let query = sqlx::query(self.inner.tables.sql(RELEASE)).bind(stored(guard.key.as_str()));
        held.execute(query.bind(signed(guard.fence)).bind(guard.holder.as_str())).await?;
        Ok(())
    }

    async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64> {
        forbid_reentry("LeaseStore::forget_tenant")?;
        let segment = StateKey::new([tenant]);
        let template = format!("DELETE FROM {{p}}lease WHERE {OF_TENANT}");
        let query = sqlx::query(self.inner.tables.sql(&template)).bind(stored(segment.as_str()));
        self.inner.connections.get().await?.execute(query).await
    }
}
