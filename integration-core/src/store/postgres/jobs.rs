//! Jobs in PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Row, postgres::PgRow};

use super::{PostgresStore, failure::failed, millis, signed, text::stored, unsigned};
use crate::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    store::{Claim, JobStore, guard::forbid_reentry},
    sync::{Job, JobKey},
};

// LEAST and GREATEST leave NULLs out.
const PUT: &str = "INSERT INTO {p}job AS held (key, body, due, ready, fence, cancelled) \
    VALUES ($1, $2, {now} + $3, {now} + $3, 0, false) \
    ON CONFLICT (key) DO UPDATE SET body = excluded.body, \
    due = CASE WHEN held.claimed_until IS NULL THEN LEAST(held.due, excluded.due) ELSE held.due END, \
    again = CASE WHEN held.claimed_until IS NOT NULL THEN LEAST(held.again, excluded.due) END, \
    ready = CASE WHEN held.claimed_until IS NULL THEN LEAST(held.due, excluded.due) \
        WHEN held.cancelled THEN GREATEST(held.claimed_until, LEAST(held.again, excluded.due)) \
        ELSE held.claimed_until END";
// The row is locked first, and only its newest state decides which of the two is done.
const CANCEL: &str = "WITH held AS (SELECT key, claimed_until FROM {p}job WHERE key = $1 FOR UPDATE), \
    gone AS (DELETE FROM {p}job AS job USING held WHERE job.key = held.key AND held.claimed_until IS NULL) \
    UPDATE {p}job AS job SET cancelled = true, again = NULL, ready = held.claimed_until \
    FROM held WHERE job.key = held.key AND held.claimed_until IS NOT NULL";
// First what was cancelled and whose worker never came back. Then what is ready, without waiting for rows that others
// are claiming; what was put before this claim began and is due by now is served by it.
const CLAIM: &str = "WITH dead AS (SELECT key FROM {p}job WHERE cancelled AND again IS NULL AND ready <= {now} \
        FOR UPDATE SKIP LOCKED), \
    cleared AS (DELETE FROM {p}job AS job USING dead WHERE job.key = dead.key), \
    due AS (SELECT key FROM {p}job WHERE ready <= {now} AND NOT (cancelled AND again IS NULL) \
        ORDER BY ready, key LIMIT $1 FOR UPDATE SKIP LOCKED) \
    UPDATE {p}job AS job SET claimed_until = {now} + $2, ready = {now} + $2, fence = nextval('{p}job_fence'), \
        cancelled = false, again = CASE WHEN job.again > {now} THEN job.again END \
    FROM due WHERE job.key = due.key RETURNING job.body, job.fence, job.due";
const EXTEND: &str = "UPDATE {p}job SET claimed_until = {now} + $3, \
    ready = CASE WHEN cancelled AND again IS NOT NULL THEN GREATEST({now} + $3, again) ELSE {now} + $3 END \
    WHERE key = $1 AND fence = $2 AND claimed_until IS NOT NULL";
// Lazily: if a loss of power undoes it, the claim runs out and the job runs once more, as after any crash.
const FINISH: &str = "WITH lazy AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), \
    held AS (SELECT job.key, LEAST(job.again, CASE WHEN NOT job.cancelled THEN {now} + $3 END) AS due \
        FROM {p}job AS job, lazy WHERE job.key = $1 AND job.fence = $2 AND job.claimed_until IS NOT NULL \
        FOR UPDATE OF job), \
    later AS (UPDATE {p}job AS job SET due = held.due, ready = held.due, claimed_until = NULL, again = NULL, \
        cancelled = false FROM held WHERE job.key = held.key AND held.due IS NOT NULL), \
    gone AS (DELETE FROM {p}job AS job USING held WHERE job.key = held.key AND held.due IS NULL) \
    SELECT key FROM held";
const NEXT: &str = "SELECT GREATEST(ready - {now}, 0) FROM {p}job WHERE NOT (cancelled AND again IS NULL) \
    ORDER BY ready LIMIT 1";
const FORGET: &str = "DELETE FROM {p}job WHERE body::json ->> 'tenant' = $1";

#[async_trait]
impl JobStore for PostgresStore {
    async fn put(&self, job: &Job, due_in: Duration) -> Result<()> {
        forbid_reentry("JobStore::put")?;
        let body = serde_json::to_string(job)
            .map_err(|error| Error::new(ErrorKind::Store, "a job cannot be written as JSON").with_source(error))?;
        let query = sqlx::query(self.inner.tables.sql(PUT)).bind(stored(job.key.as_str())).bind(body);
        let mut held = self.inner.connections.get().await?;
        held.execute(query.bind(millis(due_in))).await?;
        if due_in.is_zero() {
            self.inner.hints.tell(&mut held).await;
        }
        Ok(())
    }

    async fn cancel(&self, key: &JobKey) -> Result<()> {
        forbid_reentry("JobStore::cancel")?;
        let query = sqlx::query(self.inner.tables.sql(CANCEL)).bind(stored(key.as_str()));
        self.inner.connections.get().await?.execute(query).await?;
        Ok(())
    }

    async fn claim(&self, limit: usize, ttl: Duration) -> Result<Vec<Claim>> {
        forbid_reentry("JobStore::claim")?;
        let query = sqlx::query(self.inner.tables.sql(CLAIM)).bind(signed(limit as u64)).bind(millis(ttl));
        let rows = self.inner.connections.get().await?.fetch_all(query).await?;
        let mut claims = Vec::with_capacity(rows.len());
        for row in &rows {
            claims.extend(claimed(row)?);
        }
        claims.sort_by(|(left, one), (right, other)| left.cmp(right).then_with(|| one.job.key.cmp(&other.job.key)));
        Ok(claims.into_iter().map(|(_, claim)| claim).collect())
    }

    async fn extend(&self, claim: &Claim, ttl: Duration) -> Result<bool> {
        forbid_reentry("JobStore::extend")?;
        let query = sqlx::query(self.inner.tables.sql(EXTEND)).bind(stored(claim.job.key.as_str()));
        let query = query.bind(signed(claim.fence)).bind(millis(ttl));
        Ok(self.inner.connections.get().await?.execute(query).await? == 1)
    }

    async fn finish(&self, claim: &Claim, again_in: Option<Duration>) -> Result<bool> {
        forbid_reentry("JobStore::finish")?;
        let query = sqlx::query(self.inner.tables.sql(FINISH)).bind(stored(claim.job.key.as_str()));
        let query = query.bind(signed(claim.fence)).bind(again_in.map(millis));
        Ok(!self.inner.connections.get().await?.fetch_all(query).await?.is_empty())
    }

    async fn next_due(&self) -> Result<Option<Duration>> {
        let query = sqlx::query(self.inner.tables.sql(NEXT));
        let rows = self.inner.connections.get().await?.fetch_all(query).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Duration::from_millis(unsigned(row.try_get(0).map_err(failed)?))))
    }

    async fn work_arrived(&self) {
        self.inner.hints.heard().await;
    }

    async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64> {
        forbid_reentry("JobStore::forget_tenant")?;
        let query = sqlx::query(self.inner.tables.sql(FORGET)).bind(stored(tenant.as_str()));
        self.inner.connections.get().await?.execute(query).await
    }
}

/// A claim and when its job was due. A newer release's job stays claimed for a while, in the way of nobody, for a process
/// that can read it.
fn claimed(row: &PgRow) -> Result<Option<(i64, Claim)>> {
    let body: String = row.try_get(0).map_err(failed)?;
    let fence = unsigned(row.try_get(1).map_err(failed)?);
    match serde_json::from_str::<Job>(&body) {
        Ok(job) => Ok(Some((row.try_get(2).map_err(failed)?, Claim::new(job, fence)))),
        Err(error) => {
            tracing::warn!(%error, "a stored job cannot be read by this release");
            Ok(None)
        }
    }
}
