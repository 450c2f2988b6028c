//! What a [`Scheduler`] promises.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::{Kept, same};
use crate::{
    ids::{ConnectionId, TenantId},
    sync::{Job, JobKey, Scheduler},
};

const NOW: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// A scheduler whose runs can be watched and whose time can be moved. Its runs say "done, never again".
#[async_trait]
pub trait SchedulerFixture: fmt::Debug + Send + Sync {
    /// The scheduler.
    fn scheduler(&self) -> &dyn Scheduler;

    /// The keys of the jobs that ran, in order, since the beginning.
    async fn ran(&self) -> Vec<JobKey>;

    /// Lets `by` of the scheduler's time pass and everything that is due by then run.
    async fn advance(&self, by: Duration);
}

fn job(name: &str) -> Job {
    Job::sync_mail(&TenantId::new("tenant"), &ConnectionId::new(name))
}

async fn ran(fixture: &dyn SchedulerFixture, names: &[&str], promise: &'static str) -> Kept {
    let wanted: Vec<JobKey> = names.iter().map(|name| job(name).key).collect();
    same(&fixture.ran().await, &wanted, promise)
}

/// At least once; here nothing fails, so once.
pub async fn a_due_job_is_run(fixture: &dyn SchedulerFixture) -> Kept {
    fixture.scheduler().schedule(&job("a"), NOW).await?;
    fixture.advance(MINUTE).await;
    ran(fixture, &["a"], "a due job is run").await?;
    fixture.advance(HOUR * 2).await;
    ran(fixture, &["a"], "a job that is done is not run again").await
}

/// Then it is.
pub async fn a_job_is_not_run_before_it_is_due(fixture: &dyn SchedulerFixture) -> Kept {
    fixture.scheduler().schedule(&job("a"), HOUR).await?;
    fixture.advance(HOUR - MINUTE).await;
    ran(fixture, &[], "a job is not run before it is due").await?;
    fixture.advance(MINUTE * 2).await;
    ran(fixture, &["a"], "a job is run once it is due").await
}

/// However often it is scheduled.
pub async fn one_key_has_one_pending_job(fixture: &dyn SchedulerFixture) -> Kept {
    for _ in 0..3 {
        fixture.scheduler().schedule(&job("a"), MINUTE).await?;
    }
    fixture.advance(HOUR).await;
    ran(fixture, &["a"], "one key has one pending job").await
}

/// In either order of scheduling.
pub async fn the_earlier_due_time_stands(fixture: &dyn SchedulerFixture) -> Kept {
    for (name, first, second) in [("a", MINUTE, HOUR), ("b", HOUR, MINUTE * 2)] {
        fixture.scheduler().schedule(&job(name), first).await?;
        fixture.scheduler().schedule(&job(name), second).await?;
    }
    fixture.advance(MINUTE + MINUTE / 2).await;
    ran(fixture, &["a"], "the earlier due time stands").await?;
    fixture.advance(HOUR * 2).await;
    ran(fixture, &["a", "b"], "the earlier due time stands").await
}

/// And can be scheduled anew.
pub async fn a_cancelled_job_is_not_run(fixture: &dyn SchedulerFixture) -> Kept {
    fixture.scheduler().schedule(&job("a"), MINUTE).await?;
    fixture.scheduler().cancel(&job("a").key).await?;
    fixture.scheduler().cancel(&job("b").key).await?;
    fixture.advance(HOUR).await;
    ran(fixture, &[], "a cancelled job is not run").await?;
    fixture.scheduler().schedule(&job("a"), MINUTE).await?;
    fixture.advance(HOUR).await;
    ran(fixture, &["a"], "a cancelled key can be scheduled anew").await
}

/// Cancelling one leaves the others.
pub async fn keys_are_independent(fixture: &dyn SchedulerFixture) -> Kept {
    for (name, due_in) in [("c", MINUTE * 3), ("b", MINUTE * 2), ("a", MINUTE)] {
        fixture.scheduler().schedule(&job(name), due_in).await?;
    }
    fixture.scheduler().cancel(&job("b").key).await?;
    for _ in 0..5 {
        fixture.advance(MINUTE).await;
    }
    ran(fixture, &["a", "c"], "keys are independent").await
}
