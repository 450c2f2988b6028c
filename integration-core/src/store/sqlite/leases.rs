//! Leases in SQLite: one statement each, and the database's clock decides.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;

use super::{SqliteStore, failure::failed, millis, signed, unsigned};
use crate::{
    error::Result,
    ids::TenantId,
    store::{LeaseGuard, LeaseKey, LeaseStore, StateKey, guard::forbid_reentry},
};

const ACQUIRE: &str = "INSERT INTO {p}lease AS held (key, fence, holder, expires) \
    VALUES (?1, 1, lower(hex(randomblob(16))), {now} + ?2) \
    ON CONFLICT (key) DO UPDATE SET fence = held.fence + 1, holder = excluded.holder, expires = excluded.expires \
    WHERE held.expires <= {now} RETURNING fence, holder";
const RENEW: &str =
    "UPDATE {p}lease SET expires = {now} + ?4 WHERE key = ?1 AND fence = ?2 AND holder = ?3 AND holder <> ''";
const RELEASE: &str = "UPDATE {p}lease SET expires = 0, holder = '' WHERE key = ?1 AND fence = ?2 AND holder = ?3";
// The second segment of a key is the tenant.
const FORGET: &str = "DELETE FROM {p}lease \
    WHERE instr(substr(key, instr(key, char(31)) + 1) || char(31), ?1 || char(31)) = 1 AND instr(key, char(31)) > 0";

#[async_trait]
impl LeaseStore for SqliteStore {
    async fn acquire(&self, key: &LeaseKey, ttl: Duration) -> Result<Option<LeaseGuard>> {
        forbid_reentry("LeaseStore::acquire")?;
        let mut turn = self.inner.connections.write().await?;
        let query = sqlx::query(self.inner.tables.sql(ACQUIRE)).bind(key.as_str()).bind(millis(ttl));
        // To the last row: a statement left half-way would hide that its commit failed.
        let rows = query.fetch_all(turn.connection()?).await.map_err(failed)?;
        let Some(row) = rows.first() else { return Ok(None) };
        let fence = unsigned(row.try_get(0).map_err(failed)?);
        Ok(Some(LeaseGuard::new(key.clone(), fence, row.try_get(1).map_err(failed)?)))
    }

    async fn renew(&self, guard: &LeaseGuard, ttl: Duration) -> Result<bool> {
        forbid_reentry("LeaseStore::renew")?;
        let mut turn = self.inner.connections.write().await?;
        let query = sqlx::query(self.inner.tables.sql(RENEW)).bind(guard.key.as_str()).bind(signed(guard.fence));
        let query = query.bind(guard.holder.as_str()).bind(millis(ttl));
        Ok(query.execute(turn.connection()?).await.map_err(failed)?.rows_affected() == 1)
    }

    async fn release(&self, guard: LeaseGuard) -> Result<()> {
        forbid_reentry("LeaseStore::release")?;
        let mut turn = self.inner.connections.write().await?;
        let query = sqlx::query(self.inner.tables.sql(RELEASE)).bind(guard.key.as_str()).bind(signed(guard.fence));
        query.bind(guard.holder.as_str()).execute(turn.connection()?).await.map_err(failed)?;
        Ok(())
    }

    async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64> {
        forbid_reentry("LeaseStore::forget_tenant")?;
        let segment = StateKey::new([tenant]);
        let mut turn = self.inner.connections.write().await?;
        let query = sqlx::query(self.inner.tables.sql(FORGET)).bind(segment.as_str());
        Ok(query.execute(turn.connection()?).await.map_err(failed)?.rows_affected())
    }
}
