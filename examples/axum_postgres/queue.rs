//! Jobs in a table of the host's: claimed by whoever is free, in as many processes as share the database.
//!
//! A claim moves the due time a little ahead and is renewed while the job runs; the due time is the claim's own mark. Somebody
//! who is killed lets it pass, and another takes the job up. Somebody who asks for the job earlier meanwhile takes the mark
//! away, so that the end of the run does not undo that.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use integration_core::{
    Error, ErrorKind, Result,
    hub::Hub,
    sync::{Job, JobKey, JobOutcome, Scheduler, Shutdown},
};
use sqlx::PgPool;

use crate::timeline::lost;

/// How long a claim lasts without renewal.
const CLAIM: f64 = 15.0;
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(5);
/// How long a worker sleeps when nothing is due.
const NAP: Duration = Duration::from_millis(250);

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pool: PgPool,
}

/// A job of ours, until `mark`.
struct Claim {
    job: Job,
    mark: DateTime<Utc>,
}

impl Queue {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Works until `stop`.
    pub(crate) async fn work(self, hub: Hub, stop: Shutdown) {
        while !stop.stopping() {
            let worked = match self.take().await {
                Ok(Some(claim)) => self.carry_out(claim, &hub, &stop).await.map(|()| true),
                Ok(None) => Ok(false),
                Err(error) => Err(error),
            };
            if let Err(error) = &worked {
                eprintln!("queue: {error}");
            }
            if !worked.unwrap_or(false) {
                tokio::select! {
                    () = stop.stopped() => {}
                    () = tokio::time::sleep(NAP) => {}
                }
            }
        }
    }

    async fn take(&self) -> Result<Option<Claim>> {
        let claim = "UPDATE crm_job SET due = clock_timestamp() + make_interval(secs => $1), again = NULL WHERE key = \
                     (SELECT key FROM crm_job WHERE due <= clock_timestamp() ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED) \
                     RETURNING job, due";
        let row: Option<(String, DateTime<Utc>)> =
            sqlx::query_as(claim).bind(CLAIM).fetch_optional(&self.pool).await.map_err(lost)?;
        row.map(|(text, mark)| Ok(Claim { job: read(&text)?, mark })).transpose()
    }

    async fn carry_out(&self, mut claim: Claim, hub: &Hub, stop: &Shutdown) -> Result<()> {
        let run = hub.run(claim.job.clone(), stop);
        tokio::pin!(run);
        let outcome = loop {
            tokio::select! {
                outcome = &mut run => break outcome,
                () = tokio::time::sleep(RENEW) => self.renew(&mut claim).await?,
            }
        };
        let again = match outcome {
            JobOutcome::Continue => Some(Duration::ZERO),
            JobOutcome::Done { again_in } => again_in,
            JobOutcome::Failed { error, again_in } => {
                eprintln!("{}: {error}", claim.job.key);
                again_in
            }
            _ => return Err(Error::new(ErrorKind::Unsupported, "an outcome of a newer release")),
        };
        self.finish(&claim, again).await
    }

    /// Where the mark is gone, somebody wants the job earlier: that stands, and the run goes on.
    async fn renew(&self, claim: &mut Claim) -> Result<()> {
        let renew = "UPDATE crm_job SET due = clock_timestamp() + make_interval(secs => $3) WHERE key = $1 AND due = $2 RETURNING due";
        let row: Option<(DateTime<Utc>,)> = sqlx::query_as(renew)
            .bind(claim.job.key.as_str())
            .bind(claim.mark)
            .bind(CLAIM)
            .fetch_optional(&self.pool)
            .await
            .map_err(lost)?;
        claim.mark = row.map_or(claim.mark, |(mark,)| mark);
        Ok(())
    }

    /// Puts the job back for later, or takes it out; unless its mark is gone. What somebody asked for meanwhile stands.
    async fn finish(&self, claim: &Claim, again: Option<Duration>) -> Result<()> {
        let (key, mark) = (claim.job.key.as_str(), claim.mark);
        let wait = again.map(|wait| wait.as_secs_f64());
        // LEAST leaves out what is NULL.
        let put_back = "UPDATE crm_job SET due = LEAST(again, clock_timestamp() + make_interval(secs => $3)), again = NULL \
                        WHERE key = $1 AND due = $2 AND ($3 IS NOT NULL OR again IS NOT NULL)";
        let kept = sqlx::query(put_back).bind(key).bind(mark).bind(wait).execute(&self.pool).await.map_err(lost)?;
        if kept.rows_affected() == 0 {
            let take_out = sqlx::query("DELETE FROM crm_job WHERE key = $1 AND due = $2 AND again IS NULL");
            take_out.bind(key).bind(mark).execute(&self.pool).await.map_err(lost)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Scheduler for Queue {
    /// One key has one pending job, and the earlier due time stands.
    async fn schedule(&self, job: &Job, due_in: Duration) -> Result<()> {
        let text = serde_json::to_string(job)
            .map_err(|error| Error::new(ErrorKind::Store, "the job cannot be written").with_source(error))?;
        let put = "INSERT INTO crm_job (key, job, due) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3)) \
                   ON CONFLICT (key) DO UPDATE SET due = LEAST(crm_job.due, EXCLUDED.due), \
                   again = LEAST(crm_job.again, EXCLUDED.due)";
        let put = sqlx::query(put).bind(job.key.as_str()).bind(text).bind(due_in.as_secs_f64());
        put.execute(&self.pool).await.map_err(lost)?;
        Ok(())
    }

    async fn cancel(&self, key: &JobKey) -> Result<()> {
        let delete = sqlx::query("DELETE FROM crm_job WHERE key = $1").bind(key.as_str());
        delete.execute(&self.pool).await.map_err(lost)?;
        Ok(())
    }
}

fn read(text: &str) -> Result<Job> {
    let unreadable = |error| Error::new(ErrorKind::Store, "a stored job cannot be read").with_source(error);
    serde_json::from_str(text).map_err(unreadable)
}
