//! Jobs in memory.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{MemoryStore, after};
use crate::{
    error::Result,
    ids::TenantId,
    store::{Claim, JobStore, guard::forbid_reentry},
    sync::{Job, JobKey},
};

#[derive(Default)]
pub(super) struct Jobs {
    entries: BTreeMap<JobKey, Entry>,
    /// One for all keys, so that it rises for each of them even when a job is gone in between.
    fence: u64,
}

struct Entry {
    job: Job,
    due: Instant,
    claim: Option<Claimed>,
}

struct Claimed {
    fence: u64,
    until: Instant,
    /// Put while claimed: due once more.
    again: Option<Instant>,
    /// Cancelled while claimed: neither a lapse nor `finish` brings it back.
    cancelled: bool,
}

impl Entry {
    /// When it can be claimed (again), if ever.
    fn claimable(&self) -> Option<Instant> {
        match &self.claim {
            None => Some(self.due),
            Some(claim) if claim.cancelled => claim.again.map(|again| again.max(claim.until)),
            Some(claim) => Some(claim.until),
        }
    }
}

impl Jobs {
    fn claim(&mut self, limit: usize, now: Instant, until: Instant) -> Vec<Claim> {
        // Cancelled, and whoever worked on it never came back.
        self.entries.retain(|_, entry| {
            entry.claim.as_ref().is_none_or(|claim| !claim.cancelled || claim.again.is_some() || claim.until > now)
        });
        let mut due: Vec<&mut Entry> =
            self.entries.values_mut().filter(|entry| entry.claimable().is_some_and(|at| at <= now)).collect();
        due.sort_by_key(|entry| entry.due);
        let mut claims = Vec::new();
        for entry in due.into_iter().take(limit) {
            self.fence += 1;
            // What was put before this claim began and is due by now is served by it.
            let again = entry.claim.as_ref().and_then(|claim| claim.again).filter(|again| *again > now);
            entry.claim = Some(Claimed { fence: self.fence, until, again, cancelled: false });
            claims.push(Claim::new(entry.job.clone(), self.fence));
        }
        claims
    }

    fn claimed_by(&mut self, claim: &Claim) -> Option<&mut Claimed> {
        let claimed = self.entries.get_mut(&claim.job.key)?.claim.as_mut()?;
        (claimed.fence == claim.fence).then_some(claimed)
    }
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn put(&self, job: &Job, due_in: Duration) -> Result<()> {
        forbid_reentry("JobStore::put")?;
        let due = after(Instant::now(), due_in);
        let jobs = &mut self.data().jobs;
        let Some(entry) = jobs.entries.get_mut(&job.key) else {
            jobs.entries.insert(job.key.clone(), Entry { job: job.clone(), due, claim: None });
            return Ok(());
        };
        entry.job = job.clone();
        match &mut entry.claim {
            None => entry.due = entry.due.min(due),
            Some(claim) => claim.again = Some(claim.again.map_or(due, |again| again.min(due))),
        }
        Ok(())
    }

    async fn cancel(&self, key: &JobKey) -> Result<()> {
        forbid_reentry("JobStore::cancel")?;
        let jobs = &mut self.data().jobs;
        match jobs.entries.get_mut(key).map(|entry| &mut entry.claim) {
            Some(Some(claim)) => {
                claim.cancelled = true;
                claim.again = None;
            }
            Some(None) => drop(jobs.entries.remove(key)),
            None => {}
        }
        Ok(())
    }

    async fn claim(&self, limit: usize, ttl: Duration) -> Result<Vec<Claim>> {
        forbid_reentry("JobStore::claim")?;
        let now = Instant::now();
        Ok(self.data().jobs.claim(limit, now, after(now, ttl)))
    }

    async fn extend(&self, claim: &Claim, ttl: Duration) -> Result<bool> {
        forbid_reentry("JobStore::extend")?;
        let mut data = self.data();
        let Some(claimed) = data.jobs.claimed_by(claim) else { return Ok(false) };
        claimed.until = after(Instant::now(), ttl);
        Ok(true)
    }

    async fn finish(&self, claim: &Claim, again_in: Option<Duration>) -> Result<bool> {
        forbid_reentry("JobStore::finish")?;
        let again_at = again_in.map(|wait| after(Instant::now(), wait));
        let jobs = &mut self.data().jobs;
        let Some(claimed) = jobs.claimed_by(claim) else { return Ok(false) };
        let wanted = again_at.filter(|_| !claimed.cancelled);
        let due = [claimed.again, wanted].into_iter().flatten().min();
        match (due, jobs.entries.get_mut(&claim.job.key)) {
            (Some(due), Some(entry)) => {
                entry.due = due;
                entry.claim = None;
            }
            _ => drop(jobs.entries.remove(&claim.job.key)),
        }
        Ok(true)
    }

    async fn next_due(&self) -> Result<Option<Duration>> {
        let now = Instant::now();
        let data = self.data();
        let next = data.jobs.entries.values().filter_map(Entry::claimable).min();
        Ok(next.map(|at| at.saturating_duration_since(now)))
    }

    async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64> {
        forbid_reentry("JobStore::forget_tenant")?;
        let entries = &mut self.data().jobs.entries;
        let before = entries.len();
        entries.retain(|_, entry| entry.job.tenant != *tenant);
        Ok((before - entries.len()) as u64)
    }
}
