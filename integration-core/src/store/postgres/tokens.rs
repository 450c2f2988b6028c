//! Token sets in PostgreSQL.

use async_trait::async_trait;
use sqlx::{Row, postgres::PgRow};

use super::{
    PostgresStore,
    failure::failed,
    signed,
    text::{loaded, stored},
    unsigned,
};
use crate::{
    error::Result,
    ids::{GrantId, TenantId},
    store::{GrantKey, Saved, SealedRecord, TokenStore, Version, guard::forbid_reentry},
};

const LOAD: &str = "SELECT version, bytes FROM {p}token WHERE tenant = $1 AND grant_id = $2";
const CREATE: &str =
    "INSERT INTO {p}token (tenant, grant_id, version, bytes) VALUES ($1, $2, 1, $3) ON CONFLICT DO NOTHING";
const REPLACE: &str =
    "UPDATE {p}token SET version = version + 1, bytes = $3 WHERE tenant = $1 AND grant_id = $2 AND version = $4";
const DELETE: &str = "DELETE FROM {p}token WHERE tenant = $1 AND grant_id = $2";
const LIST: &str = "SELECT tenant, grant_id FROM {p}token ORDER BY tenant, grant_id LIMIT $1";
const LIST_AFTER: &str = "SELECT tenant, grant_id FROM {p}token WHERE (tenant, grant_id) > ($2, $3) \
                          ORDER BY tenant, grant_id LIMIT $1";

#[async_trait]
impl TokenStore for PostgresStore {
    async fn load(&self, tenant: &TenantId, grant: &GrantId) -> Result<Option<SealedRecord>> {
        let mut held = self.inner.connections.get().await?;
        let query = sqlx::query(self.inner.tables.sql(LOAD)).bind(stored(tenant.as_str())).bind(stored(grant.as_str()));
        let rows = held.fetch_all(query).await?;
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
        let (template, saved) = match expect {
            None => (CREATE, Version(1)),
            Some(version) => (REPLACE, Version(version.0.saturating_add(1))),
        };
        let query = sqlx::query(self.inner.tables.sql(template)).bind(stored(tenant.as_str()));
        let mut query = query.bind(stored(grant.as_str())).bind(record.bytes.as_ref());
        if let Some(version) = expect {
            query = query.bind(signed(version.0));
        }
        let changed = self.inner.connections.get().await?.execute(query).await?;
        Ok(if changed == 1 { Saved::Stored(saved) } else { Saved::Stale })
    }

    async fn delete(&self, tenant: &TenantId, grant: &GrantId) -> Result<()> {
        forbid_reentry("TokenStore::delete")?;
        let query = sqlx::query(self.inner.tables.sql(DELETE)).bind(stored(tenant.as_str()));
        self.inner.connections.get().await?.execute(query.bind(stored(grant.as_str()))).await?;
        Ok(())
    }

    async fn list(&self, after: Option<&GrantKey>, limit: usize) -> Result<Vec<GrantKey>> {
        let template = if after.is_some() { LIST_AFTER } else { LIST };
        let mut query = sqlx::query(self.inner.tables.sql(template)).bind(signed(limit as u64));
        if let Some(after) = after {
            query = query.bind(stored(after.tenant.as_str())).bind(stored(after.grant.as_str()));
        }
        let rows = self.inner.connections.get().await?.fetch_all(query).await?;
        let text = |row: &PgRow, column: usize| row.try_get::<String, _>(column).map(loaded);
        let key = |row| Ok(GrantKey { tenant: TenantId::new(text(row, 0)?), grant: GrantId::new(text(row, 1)?) });
        rows.iter().map(key).collect::<Result<_, sqlx::Error>>().map_err(failed)
    }
}
