//! Jobs in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;

use super::{SqliteStore, failure::failed, millis, signed, unsigned};
use crate::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    store::{Claim, JobStore, guard::forbid_reentry},
    sync::{Job, JobKey},
};

// On conflict, plain names are the row's old values. Scalar MIN is NULL if any of its arguments is.
const PUT: &str = "INSERT INTO {p}job (key, body, due, ready, fence, cancelled) \
    VALUES (?1, ?2, {now} + ?3, {now} + ?3, 0, 0) \
    ON CONFLICT (key) DO UPDATE SET body = excluded.body, \
    due = CASE WHEN claimed_until IS NULL THEN MIN(due, excluded.due) ELSE due END, \
    again = CASE WHEN claimed_until IS NOT NULL THEN MIN(COALESCE(again, excluded.due), excluded.due) END, \
    ready = CASE WHEN claimed_until IS NULL THEN MIN(due, excluded.due) \
        WHEN cancelled THEN MAX(claimed_until, MIN(COALESCE(again, excluded.due), excluded.due)) \
        ELSE claimed_until END";
const CANCEL_PENDING: &str = "DELETE FROM {p}job WHERE key = ?1 AND claimed_until IS NULL";
const CANCEL_CLAIMED: &str = "UPDATE {p}job SET cancelled = 1, again = NULL, ready = claimed_until WHERE key = ?1";
// Cancelled, and whoever worked on it never came back.
const CLEAR: &str = "DELETE FROM {p}job WHERE ready <= {now} AND cancelled AND again IS NULL";
const FENCE: &str = "UPDATE {p}job_fence SET fence = fence + 1 RETURNING fence";
// What was put before this claim began and is due by now is served by it.
const CLAIM: &str = "UPDATE {p}job SET claimed_until = {now} + ?2, ready = {now} + ?2, fence = ?3, cancelled = 0, \
    again = CASE WHEN again > {now} THEN again END \
    WHERE key IN (SELECT key FROM {p}job WHERE ready <= {now} ORDER BY due, key LIMIT ?1) RETURNING body, due, key";
const EXTEND: &str = "UPDATE {p}job SET claimed_until = {now} + ?3, \
    ready = CASE WHEN cancelled AND again IS NOT NULL THEN MAX({now} + ?3, again) ELSE {now} + ?3 END \
    WHERE key = ?1 AND fence = ?2 AND claimed_until IS NOT NULL";
const DUE_AGAIN: &str = "UPDATE {p}job SET due = next.due, ready = next.due, claimed_until = NULL, again = NULL, cancelled = 0 \
    FROM (SELECT COALESCE(MIN(again, wanted), again, wanted) AS due FROM \
        (SELECT again, CASE WHEN NOT cancelled THEN {now} + ?3 END AS wanted FROM {p}job WHERE key = ?1)) AS next \
    WHERE key = ?1 AND fence = ?2 AND claimed_until IS NOT NULL AND next.due IS NOT NULL";
const DONE: &str = "DELETE FROM {p}job WHERE key = ?1 AND fence = ?2 AND claimed_until IS NOT NULL";
const NEXT: &str =
    "SELECT MAX(ready - {now}, 0) FROM {p}job WHERE NOT (cancelled AND again IS NULL) ORDER BY ready LIMIT 1";
const FORGET: &str = "DELETE FROM {p}job WHERE json_extract(body, '$.tenant') = ?1";

#[async_trait]
impl JobStore for SqliteStore {
    async fn put(&self, job: &Job, due_in: Duration) -> Result<()> {
        forbid_reentry("JobStore::put")?;
        let body = serde_json::to_string(job)
            .map_err(|error| Error::new(ErrorKind::Store, "a job cannot be written as JSON").with_source(error))?;
        let mut turn = self.inner.connections.write().await?;
        let query = sqlx::query(self.inner.tables.sql(PUT)).bind(job.key.as_str()).bind(body).bind(millis(due_in));
        query.execute(turn.connection()?).await.map_err(failed)?;
        Ok(())
    }

    async fn cancel(&self, key: &JobKey) -> Result<()> {
        forbid_reentry("JobStore::cancel")?;
        let mut turn = self.inner.connections.write().await?;
        turn.begin().await?;
        for template in [CANCEL_PENDING, CANCEL_CLAIMED] {
            let query = sqlx::query(self.inner.tables.sql(template)).bind(key.as_str());
            query.execute(turn.connection()?).await.map_err(failed)?;
        }
        turn.commit().await
    }

    async fn claim(&self, limit: usize, ttl: Duration) -> Result<Vec<Claim>> {
        forbid_reentry("JobStore::claim")?;
        let tables = &self.inner.tables;
        let mut turn = self.inner.connections.write().await?;
        turn.begin().await?;
        sqlx::query(tables.sql(CLEAR)).execute(turn.connection()?).await.map_err(failed)?;
        let rows = sqlx::query(tables.sql(FENCE)).fetch_all(turn.connection()?).await.map_err(failed)?;
        let fence = rows.first().ok_or_else(|| Error::new(ErrorKind::Store, "the job fence's row is missing"))?;
        let fence: i64 = fence.try_get(0).map_err(failed)?;
        let query = sqlx::query(tables.sql(CLAIM)).bind(signed(limit as u64)).bind(millis(ttl)).bind(fence);
        let rows = query.fetch_all(turn.connection()?).await.map_err(failed)?;
        if rows.is_empty() {
            // Nothing claimed: no need to write the fence. Cancelled rows are cleared with the next claim.
            return Ok(Vec::new());
        }
        let mut claims = Vec::with_capacity(rows.len());
        for row in rows {
            let body: String = row.try_get(0).map_err(failed)?;
            let due: i64 = row.try_get(1).map_err(failed)?;
            // A newer release's job stays claimed for a while, in the way of nobody, for a process that can read it.
            match serde_json::from_str::<Job>(&body) {
                Ok(job) => claims.push((due, Claim::new(job, unsigned(fence)))),
                Err(error) => tracing::warn!(%error, "a stored job cannot be read by this release"),
            }
        }
        turn.commit().await?;
        claims.sort_by(|(left, one), (right, other)| left.cmp(right).then_with(|| one.job.key.cmp(&other.job.key)));
        Ok(claims.into_iter().map(|(_, claim)| claim).collect())
    }

    async fn extend(&self, claim: &Claim, ttl: Duration) -> Result<bool> {
        forbid_reentry("JobStore::extend")?;
        let mut turn = self.inner.connections.write().await?;
        let query = sqlx::query(self.inner.tables.sql(EXTEND)).bind(claim.job.key.as_str());
        let query = query.bind(signed(claim.fence)).bind(millis(ttl));
        Ok(query.execute(turn.connection()?).await.map_err(failed)?.rows_affected() == 1)
    }

    async fn finish(&self, claim: &Claim, again_in: Option<Duration>) -> Result<bool> {
        forbid_reentry("JobStore::finish")?;
        let tables = &self.inner.tables;
        let (key, fence) = (claim.job.key.as_str(), signed(claim.fence));
        let mut turn = self.inner.connections.write().await?;
        turn.begin().await?;
        let again = sqlx::query(tables.sql(DUE_AGAIN)).bind(key).bind(fence).bind(again_in.map(millis));
        let mut ours = again.execute(turn.connection()?).await.map_err(failed)?.rows_affected() == 1;
        if !ours {
            let done = sqlx::query(tables.sql(DONE)).bind(key).bind(fence);
            ours = done.execute(turn.connection()?).await.map_err(failed)?.rows_affected() == 1;
        }
        turn.commit().await?;
        Ok(ours)
    }

    async fn next_due(&self) -> Result<Option<Duration>> {
        let mut reading = self.inner.connections.read().await;
        let query = sqlx::query(self.inner.tables.sql(NEXT));
        let rows = query.fetch_all(reading.connection()?).await.map_err(failed)?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Duration::from_millis(unsigned(row.try_get(0).map_err(failed)?))))
    }

    async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64> {
        forbid_reentry("JobStore::forget_tenant")?;
        let mut turn = self.inner.connections.write().await?;
        let query = sqlx::query(self.inner.tables.sql(FORGET)).bind(tenant.as_str());
        Ok(query.execute(turn.connection()?).await.map_err(failed)?.rows_affected())
    }
}
