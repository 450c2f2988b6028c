//! Work to do, claimed with a lease.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    sync::{Job, JobKey},
};

/// A claimed job.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// The job.
    pub job: Job,
    /// Higher than every fence given for this job's key before.
    pub fence: u64,
}

impl Claim {
    /// A claim as a store hands it out.
    #[must_use]
    pub fn new(job: Job, fence: u64) -> Self {
        Self { job, fence }
    }
}

/// What the bundled scheduler works from. One key has at most one pending job. Durations only: the store's clock decides.
#[async_trait]
pub trait JobStore: fmt::Debug + Send + Sync + 'static {
    /// Puts a job, due in `due_in`. If its key is pending already, the earlier due time stands; if it is claimed, it will
    /// run once more after that claim (once, however often it was put meanwhile).
    ///
    /// # Errors
    /// [`Store`](crate::ErrorKind::Store) if the storage fails.
    async fn put(&self, job: &Job, due_in: Duration) -> Result<()>;

    /// Removes what is pending under `key`; a running claim finishes but is not followed by another run.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    async fn cancel(&self, key: &JobKey) -> Result<()>;

    /// Claims up to `limit` due jobs (and those whose claim ran out) for `ttl`, earliest first.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    async fn claim(&self, limit: usize, ttl: Duration) -> Result<Vec<Claim>>;

    /// Prolongs a claim; false if it is no longer ours. A claim that ran out stays ours until somebody else gets the job.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    async fn extend(&self, claim: &Claim, ttl: Duration) -> Result<bool>;

    /// Ends a claim: the job is gone, or pending again after `again_in`. False, without effect, if it is no longer ours.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    async fn finish(&self, claim: &Claim, again_in: Option<Duration>) -> Result<bool>;

    /// How long until there may be something to claim: the next job's due time, or the end of a claim that may lapse.
    /// `None` if there is nothing; zero if there is something now.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    async fn next_due(&self) -> Result<Option<Duration>>;

    /// Returns when another process may have put work that is due now. Only a hint, so that a scheduler need not wait for
    /// its next look: it may come without reason, late, or never. Unless overridden: never.
    async fn work_arrived(&self) {
        std::future::pending().await
    }

    /// Forgets the jobs of a tenant that is being erased, and says how many.
    ///
    /// # Errors
    /// `Unsupported` unless a store implements it: whoever erases is told what is left. `Store` if the storage fails.
    async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64> {
        let _ = tenant;
        Err(Error::new(ErrorKind::Unsupported, "this store does not forget a tenant's jobs"))
    }
}
