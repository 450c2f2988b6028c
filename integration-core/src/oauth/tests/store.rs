//! All stores in memory, with switches to fail; leases follow the runtime's clock.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::{
    Error, ErrorKind, Result,
    clock::Clock,
    ids::{GrantId, TenantId},
    store::{
        Claim, CounterKey, Expect, GrantKey, JobStore, LeaseGuard, LeaseKey, LeaseStore, Saved, SealedRecord, StateKey,
        StateQuery, StateRow, StateWrite, StoreTransaction, SyncStore, TokenStore, Version,
    },
    sync::{Job, JobKey},
};

type Rows = BTreeMap<(TenantId, &'static str, StateKey), (u64, Bytes)>;

#[derive(Debug)]
pub(super) struct TestStore {
    clock: Arc<dyn Clock>,
    pub(super) tokens: Mutex<BTreeMap<GrantKey, SealedRecord>>,
    leases: Mutex<BTreeMap<LeaseKey, (u64, Option<Instant>)>>,
    rows: Arc<Mutex<Rows>>,
    /// How many saves of tokens to let pass before the storage fails; `None` never fails.
    pub(super) saves_left: Mutex<Option<usize>>,
    /// What was done, in order.
    pub(super) log: Arc<Mutex<Vec<&'static str>>>,
}

impl TestStore {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            tokens: Mutex::default(),
            leases: Mutex::default(),
            rows: Arc::default(),
            saves_left: Mutex::default(),
            log: Arc::default(),
        }
    }
}

#[async_trait]
impl TokenStore for TestStore {
    async fn load(&self, tenant: &TenantId, grant: &GrantId) -> Result<Option<SealedRecord>> {
        tokio::task::yield_now().await;
        let key = GrantKey { tenant: tenant.clone(), grant: grant.clone() };
        Ok(self.tokens.lock().unwrap().get(&key).cloned())
    }

    async fn save(
        &self,
        tenant: &TenantId,
        grant: &GrantId,
        expect: Option<Version>,
        record: &SealedRecord,
    ) -> Result<Saved> {
        tokio::task::yield_now().await;
        if let Some(left) = self.saves_left.lock().unwrap().as_mut() {
            *left = left.checked_sub(1).ok_or_else(|| Error::new(ErrorKind::Store, "the disk is full"))?;
        }
        let key = GrantKey { tenant: tenant.clone(), grant: grant.clone() };
        let mut tokens = self.tokens.lock().unwrap();
        let stored = tokens.get(&key).map(|record| record.version);
        if stored != expect {
            return Ok(Saved::Stale);
        }
        let version = Version(stored.map_or(1, |version| version.0 + 1));
        tokens.insert(key, SealedRecord::loaded(version, record.bytes.clone()));
        self.log.lock().unwrap().push("tokens saved");
        Ok(Saved::Stored(version))
    }

    async fn delete(&self, tenant: &TenantId, grant: &GrantId) -> Result<()> {
        self.tokens.lock().unwrap().remove(&GrantKey { tenant: tenant.clone(), grant: grant.clone() });
        self.log.lock().unwrap().push("tokens deleted");
        Ok(())
    }

    async fn list(&self, after: Option<&GrantKey>, limit: usize) -> Result<Vec<GrantKey>> {
        let tokens = self.tokens.lock().unwrap();
        Ok(tokens.keys().filter(|key| after.is_none_or(|after| *key > after)).take(limit).cloned().collect())
    }
}

#[async_trait]
impl LeaseStore for TestStore {
    async fn acquire(&self, key: &LeaseKey, ttl: Duration) -> Result<Option<LeaseGuard>> {
        tokio::task::yield_now().await;
        let mut leases = self.leases.lock().unwrap();
        let (fence, until) = leases.entry(key.clone()).or_default();
        if until.is_some_and(|until| Instant::now() < until) {
            return Ok(None);
        }
        *fence += 1;
        *until = Some(Instant::now() + ttl);
        Ok(Some(LeaseGuard::new(key.clone(), *fence, "test".to_owned())))
    }

    async fn renew(&self, guard: &LeaseGuard, ttl: Duration) -> Result<bool> {
        let mut leases = self.leases.lock().unwrap();
        let Some((fence, until)) = leases.get_mut(&guard.key) else { return Ok(false) };
        if *fence != guard.fence || until.is_none() {
            return Ok(false);
        }
        *until = Some(Instant::now() + ttl);
        Ok(true)
    }

    async fn release(&self, guard: LeaseGuard) -> Result<()> {
        if let Some((fence, until)) = self.leases.lock().unwrap().get_mut(&guard.key)
            && *fence == guard.fence
        {
            *until = None;
        }
        Ok(())
    }
}

#[async_trait]
impl SyncStore for TestStore {
    async fn now(&self) -> Result<DateTime<Utc>> {
        Ok(self.clock.now())
    }

    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        tokio::task::yield_now().await;
        let rows = self.rows.lock().unwrap();
        let row = |key: &StateKey, (version, bytes): &(u64, Bytes)| StateRow::new(key.clone(), *version, bytes.clone());
        Ok(match query {
            StateQuery::Keys { tenant, space, keys } => {
                let one = |key: &StateKey| Some(row(key, rows.get(&(tenant.clone(), *space, key.clone()))?));
                keys.iter().filter_map(one).collect()
            }
            StateQuery::Range { tenant, space, prefix, after, limit } => rows
                .iter()
                .filter(|((of, family, key), _)| of == tenant && family == space && key.as_str().starts_with(prefix))
                .filter(|((_, _, key), _)| after.as_ref().is_none_or(|after| key.as_str() > after.as_str()))
                .take(*limit)
                .map(|((_, _, key), value)| row(key, value))
                .collect(),
            StateQuery::Count { .. } => return Err(Error::new(ErrorKind::Unsupported, "not needed here")),
        })
    }

    async fn begin(&self, _guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        Ok(Box::new(Transaction { rows: Arc::clone(&self.rows), log: Arc::clone(&self.log), writes: Vec::new() }))
    }
}

struct Transaction {
    rows: Arc<Mutex<Rows>>,
    log: Arc<Mutex<Vec<&'static str>>>,
    writes: Vec<StateWrite>,
}

#[async_trait]
impl StoreTransaction for Transaction {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        self.writes.extend_from_slice(rows);
        Ok(())
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        // As many rows as numbers: nothing of these families is deleted here.
        let written = self.writes.iter().filter(|write| write.space == counter.name).count();
        let stored = self.rows.lock().unwrap().keys().filter(|(_, space, _)| *space == counter.name).count();
        Ok((stored + written) as u64 + 1)
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        tokio::task::yield_now().await;
        let mut rows = self.rows.lock().unwrap();
        let mut next = rows.clone();
        for write in self.writes {
            let place = (write.tenant, write.space, write.key);
            let stored = next.get(&place).map(|(version, _)| *version);
            let expected = match write.expect {
                Expect::Absent => stored.is_none(),
                Expect::Any => true,
                Expect::Version(version) => stored == Some(version),
            };
            if !expected {
                return Err(Error::new(ErrorKind::Conflict, "another version is stored"));
            }
            match write.bytes {
                Some(bytes) => next.insert(place.clone(), (stored.unwrap_or(0) + 1, bytes)),
                None => next.remove(&place),
            };
            self.log.lock().unwrap().push(place.1);
        }
        *rows = next;
        Ok(())
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

#[async_trait]
impl JobStore for TestStore {
    async fn put(&self, _: &Job, _: Duration) -> Result<()> {
        Ok(())
    }

    async fn cancel(&self, _: &JobKey) -> Result<()> {
        Ok(())
    }

    async fn claim(&self, _: usize, _: Duration) -> Result<Vec<Claim>> {
        Ok(Vec::new())
    }

    async fn extend(&self, _: &Claim, _: Duration) -> Result<bool> {
        Ok(false)
    }

    async fn finish(&self, _: &Claim, _: Option<Duration>) -> Result<bool> {
        Ok(false)
    }

    async fn next_due(&self) -> Result<Option<Duration>> {
        Ok(None)
    }
}
