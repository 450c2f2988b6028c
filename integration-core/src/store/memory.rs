//! Everything in memory.

mod jobs;
mod state;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    GrantKey, LeaseGuard, LeaseKey, LeaseStore, Saved, SealedRecord, TokenStore, Version, guard::forbid_reentry,
};
use crate::{
    clock::{Clock, SystemClock},
    error::Result,
    ids::{GrantId, TenantId},
};

/// All stores in memory: for tests and trials, gone with the process. Clones share their content.
///
/// Leases and jobs follow the runtime's monotonic clock, so a paused test runtime carries them along; what is due at an
/// instant follows [`MemoryStore::with_clock`].
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    /// Held from the beginning of a transaction to its end: one transaction at a time.
    writer: Arc<tokio::sync::Mutex<()>>,
    clock: Arc<dyn Clock>,
    data: Mutex<Data>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { writer: Arc::default(), clock: Arc::new(SystemClock::new()), data: Mutex::default() }
    }
}

#[derive(Default)]
struct Data {
    tokens: BTreeMap<GrantKey, SealedRecord>,
    leases: HashMap<LeaseKey, Lease>,
    state: state::State,
    jobs: jobs::Jobs,
}

/// Kept after its release, so that its fence goes on rising.
struct Lease {
    fence: u64,
    expires: Option<Instant>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that goes by `clock`: the one that its hub has, where that is not the machine's.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { clock, ..Shared::default() }) }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.shared.data()
    }
}

impl Shared {
    /// Nothing below panics half-way through a change, so data behind a poisoned lock is whole.
    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

/// An instant `wait` from `now`; a wait beyond what the clock can say becomes a century.
fn after(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    now.checked_add(wait).unwrap_or_else(|| now + CENTURY)
}

#[async_trait]
impl TokenStore for MemoryStore {
    async fn load(&self, tenant: &TenantId, grant: &GrantId) -> Result<Option<SealedRecord>> {
        Ok(self.data().tokens.get(&grant_key(tenant, grant)).cloned())
    }

    async fn save(
        &self,
        tenant: &TenantId,
        grant: &GrantId,
        expect: Option<Version>,
        record: &SealedRecord,
    ) -> Result<Saved> {
        forbid_reentry("TokenStore::save")?;
        let key = grant_key(tenant, grant);
        let mut data = self.data();
        let found = data.tokens.get(&key).map(|stored| stored.version);
        if found != expect {
            return Ok(Saved::Stale);
        }
        let version = Version(found.map_or(1, |found| found.0 + 1));
        // A copy, lest a slice of a large buffer keep all of it alive.
        let bytes = Bytes::copy_from_slice(&record.bytes);
        data.tokens.insert(key, SealedRecord::loaded(version, bytes));
        Ok(Saved::Stored(version))
    }

    async fn delete(&self, tenant: &TenantId, grant: &GrantId) -> Result<()> {
        forbid_reentry("TokenStore::delete")?;
        self.data().tokens.remove(&grant_key(tenant, grant));
        Ok(())
    }

    async fn list(&self, after: Option<&GrantKey>, limit: usize) -> Result<Vec<GrantKey>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let data = self.data();
        let from = after.map_or(Unbounded, Excluded);
        Ok(data.tokens.range::<GrantKey, _>((from, Unbounded)).map(|(key, _)| key.clone()).take(limit).collect())
    }
}

fn grant_key(tenant: &TenantId, grant: &GrantId) -> GrantKey {
    GrantKey { tenant: tenant.clone(), grant: grant.clone() }
}

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn acquire(&self, key: &LeaseKey, ttl: Duration) -> Result<Option<LeaseGuard>> {
        forbid_reentry("LeaseStore::acquire")?;
        let now = Instant::now();
        let mut data = self.data();
        let lease = data.leases.entry(key.clone()).or_insert(Lease { fence: 0, expires: None });
        if lease.expires.is_some_and(|expires| expires > now) {
            return Ok(None);
        }
        lease.fence += 1;
        lease.expires = Some(after(now, ttl));
        // One process, one store: the fence alone tells holders apart.
        Ok(Some(LeaseGuard::new(key.clone(), lease.fence, format!("holder-{}", lease.fence))))
    }

    async fn renew(&self, guard: &LeaseGuard, ttl: Duration) -> Result<bool> {
        forbid_reentry("LeaseStore::renew")?;
        let mut data = self.data();
        let Some(lease) = data.held_by(guard) else { return Ok(false) };
        lease.expires = Some(after(Instant::now(), ttl));
        Ok(true)
    }

    async fn release(&self, guard: LeaseGuard) -> Result<()> {
        forbid_reentry("LeaseStore::release")?;
        if let Some(lease) = self.data().held_by(&guard) {
            lease.expires = None;
        }
        Ok(())
    }

    async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64> {
        forbid_reentry("LeaseStore::forget_tenant")?;
        let mut data = self.data();
        let before = data.leases.len();
        data.leases.retain(|key, _| !key.is_of(tenant));
        Ok((before - data.leases.len()) as u64)
    }
}

impl Data {
    /// The lease, if this guard was the last to get it and did not release it.
    fn held_by(&mut self, guard: &LeaseGuard) -> Option<&mut Lease> {
        self.leases.get_mut(&guard.key).filter(|lease| lease.fence == guard.fence && lease.expires.is_some())
    }
}
