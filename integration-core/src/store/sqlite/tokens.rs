//! Token sets in SQLite.

use async_trait::async_trait;
use sqlx::Row;

use super::{SqliteStore, Synchronous, failure::failed, signed, unsigned};
use crate::{
    error::Result,
    ids::{GrantId, TenantId},
    store::{GrantKey, Saved, SealedRecord, TokenStore, Version, guard::forbid_reentry},
};

const LOAD: &str = "SELECT version, bytes FROM {p}token WHERE tenant = ?1 AND grant_id = ?2";
const CREATE: &str =
    "INSERT INTO {p}token (tenant, grant_id, version, bytes) VALUES (?1, ?2, 1, ?3) ON CONFLICT DO NOTHING";
const REPLACE: &str =
    "UPDATE {p}token SET version = version + 1, bytes = ?3 WHERE tenant = ?1 AND grant_id = ?2 AND version = ?4";
const DELETE: &str = "DELETE FROM {p}token WHERE tenant = ?1 AND grant_id = ?2";
const LIST: &str = "SELECT tenant, grant_id FROM {p}token ORDER BY tenant, grant_id LIMIT ?1";
const LIST_AFTER: &str = "SELECT tenant, grant_id FROM {p}token WHERE (tenant, grant_id) > (?2, ?3) \
                          ORDER BY tenant, grant_id LIMIT ?1";

#[async_trait]
impl TokenStore for SqliteStore {
    async fn load(&self, tenant: &TenantId, grant: &GrantId) -> Result<Option<SealedRecord>> {
        let mut reading = self.inner.connections.read().await;
        let query = sqlx::query(self.inner.tables.sql(LOAD)).bind(tenant.as_str()).bind(grant.as_str());
        let rows = query.fetch_all(reading.connection()?).await.map_err(failed)?;
        let Some(row) = rows.first() else { return Ok(None) };
        let version = Version(unsigned(row.try_get(0).map_err(failed)?));
        let bytes: Vec<u8> = row.try_get(1).map_err(failed)?;
        Ok(Some(SealedRecord::loaded(version, bytes)))
    }

    async fn save(
        &self,
        tenant: &TenantId,
        grant: &GrantId,
        expect: Option<Version>,
        record: &SealedRecord,
    ) -> Result<Saved> {
        forbid_reentry("TokenStore::save")?;
        let mut turn = self.inner.connections.write().await?;
        let connection = turn.connection()?;
        let lazy = self.inner.synchronous == Synchronous::Normal;
        if lazy {
            // A rotated token that is lost with the power locks a person out.
            sqlx::query("PRAGMA synchronous = FULL").execute(&mut *connection).await.map_err(failed)?;
        }
        let (template, saved) = match expect {
            None => (CREATE, Version(1)),
            Some(version) => (REPLACE, Version(version.0.saturating_add(1))),
        };
        let query = sqlx::query(self.inner.tables.sql(template));
        let mut query = query.bind(tenant.as_str()).bind(grant.as_str()).bind(record.bytes.as_ref());
        if let Some(version) = expect {
            query = query.bind(signed(version.0));
        }
        let done = query.execute(&mut *connection).await.map_err(failed);
        if lazy {
            sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut *connection).await.map_err(failed)?;
        }
        Ok(if done?.rows_affected() == 1 { Saved::Stored(saved) } else { Saved::Stale })
    }

    async fn delete(&self, tenant: &TenantId, grant: &GrantId) -> Result<()> {
        forbid_reentry("TokenStore::delete")?;
        let mut turn = self.inner.connections.write().await?;
        let query = sqlx::query(self.inner.tables.sql(DELETE)).bind(tenant.as_str()).bind(grant.as_str());
        query.execute(turn.connection()?).await.map_err(failed)?;
        Ok(())
    }

    async fn list(&self, after: Option<&GrantKey>, limit: usize) -> Result<Vec<GrantKey>> {
        let mut reading = self.inner.connections.read().await;
        let template = if after.is_some() { LIST_AFTER } else { LIST };
        let mut query = sqlx::query(self.inner.tables.sql(template)).bind(signed(limit as u64));
        if let Some(after) = after {
            query = query.bind(after.tenant.as_str()).bind(after.grant.as_str());
        }
        let rows = query.fetch_all(reading.connection()?).await.map_err(failed)?;
        let keys = rows.iter().map(|row| {
            let tenant = TenantId::new(row.try_get::<String, _>(0)?);
            Ok(GrantKey { tenant, grant: GrantId::new(row.try_get::<String, _>(1)?) })
        });
        keys.collect::<Result<_, sqlx::Error>>().map_err(failed)
    }
}
