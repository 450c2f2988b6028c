//! Stores.

use std::{any::Any, collections::HashMap, sync::Mutex, time::Duration};

use async_trait::async_trait;

use crate::{
    error::Result,
    ids::{GrantId, TenantId},
    store::{
        CounterKey, GrantKey, LeaseGuard, LeaseKey, LeaseStore, Saved, SealedRecord, StateQuery, StateRow, StateWrite,
        StoreTransaction, SyncStore, TokenStore, Version,
    },
};

/// Saves whatever comes, over whatever is there.
#[derive(Debug)]
pub struct LastWriteWins<S>(pub S);

#[async_trait]
impl<S: TokenStore> TokenStore for LastWriteWins<S> {
    async fn load(&self, tenant: &TenantId, grant: &GrantId) -> Result<Option<SealedRecord>> {
        self.0.load(tenant, grant).await
    }

    async fn save(
        &self,
        tenant: &TenantId,
        grant: &GrantId,
        _: Option<Version>,
        record: &SealedRecord,
    ) -> Result<Saved> {
        loop {
            let found = self.0.load(tenant, grant).await?.map(|found| found.version);
            let saved = self.0.save(tenant, grant, found, record).await?;
            if saved != Saved::Stale {
                return Ok(saved);
            }
        }
    }

    async fn delete(&self, tenant: &TenantId, grant: &GrantId) -> Result<()> {
        self.0.delete(tenant, grant).await
    }

    async fn list(&self, after: Option<&GrantKey>, limit: usize) -> Result<Vec<GrantKey>> {
        self.0.list(after, limit).await
    }
}

/// Gives the same fence to every holder.
#[derive(Debug)]
pub struct Unfenced<S> {
    store: S,
    held: Mutex<HashMap<String, LeaseGuard>>,
}

impl<S> Unfenced<S> {
    /// Takes the fences from `store`.
    pub fn new(store: S) -> Self {
        Self { store, held: Mutex::default() }
    }

    fn held(&self, guard: &LeaseGuard) -> Option<LeaseGuard> {
        self.held.lock().ok()?.get(&guard.holder).cloned()
    }
}

#[async_trait]
impl<S: LeaseStore> LeaseStore for Unfenced<S> {
    async fn acquire(&self, key: &LeaseKey, ttl: Duration) -> Result<Option<LeaseGuard>> {
        let Some(guard) = self.store.acquire(key, ttl).await? else { return Ok(None) };
        let unfenced = LeaseGuard::new(guard.key.clone(), 1, guard.holder.clone());
        if let Ok(mut held) = self.held.lock() {
            held.insert(guard.holder.clone(), guard);
        }
        Ok(Some(unfenced))
    }

    async fn renew(&self, guard: &LeaseGuard, ttl: Duration) -> Result<bool> {
        match self.held(guard) {
            Some(guard) => self.store.renew(&guard, ttl).await,
            None => Ok(false),
        }
    }

    async fn release(&self, guard: LeaseGuard) -> Result<()> {
        match self.held(&guard) {
            Some(guard) => self.store.release(guard).await,
            None => Ok(()),
        }
    }
}

/// Commits every write at once: a cursor is durable before the effects it stands for.
#[derive(Clone, Debug)]
pub struct CursorFirst<S>(pub S);

#[async_trait]
impl<S: SyncStore + Clone> SyncStore for CursorFirst<S> {
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        self.0.read(query).await
    }

    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        Ok(Box::new(Piecemeal { store: self.0.clone(), guard: guard.cloned() }))
    }
}

struct Piecemeal<S> {
    store: S,
    guard: Option<LeaseGuard>,
}

#[async_trait]
impl<S: SyncStore> StoreTransaction for Piecemeal<S> {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        let mut piece = self.store.begin(self.guard.as_ref()).await?;
        piece.write(rows).await?;
        piece.commit().await
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        let mut piece = self.store.begin(self.guard.as_ref()).await?;
        let number = piece.next(counter).await?;
        piece.commit().await?;
        Ok(number)
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        Ok(())
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
