//! Stores that end their process at a chosen write; and one that breaks the cursor rule, to show that somebody notices.

use std::{
    any::Any,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use integration_core::{
    Result,
    ids::{GrantId, TenantId},
    store::{
        CounterKey, GrantKey, LeaseGuard, Saved, SealedRecord, StateQuery, StateRow, StateWrite, StoreTransaction,
        Stores, SyncStore, TokenStore, Version,
    },
};

/// Where to end: `writes 3 before` is before the third commit or save of tokens, `tokens 2 after` after the second save
/// of tokens.
#[derive(Debug)]
pub(crate) struct Fate {
    tokens_only: bool,
    number: u64,
    after: bool,
    seen: AtomicU64,
}

impl Fate {
    pub(crate) fn parse(text: &str) -> Self {
        let words: Vec<&str> = text.split(' ').collect();
        let [what @ ("tokens" | "writes"), number, when @ ("before" | "after")] = words[..] else {
            panic!("no fate: {text}")
        };
        let number = number.parse().unwrap();
        Self { tokens_only: what == "tokens", number, after: when == "after", seen: AtomicU64::new(0) }
    }

    /// The same stores, which end the process as this says.
    pub(crate) fn over(self, mut stores: Stores) -> Stores {
        let fate = Arc::new(self);
        stores.tokens = Arc::new(FatalTokens { inner: stores.tokens, fate: Arc::clone(&fate) });
        stores.sync = Arc::new(FatalRows { inner: stores.sync, fate });
        stores
    }

    /// Carries out a write, or not quite.
    async fn meet<T>(&self, is_tokens: bool, write: impl Future<Output = T> + Send) -> T {
        let counts = is_tokens || !self.tokens_only;
        let now = counts && self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.number;
        if now && !self.after {
            std::process::abort();
        }
        let done = write.await;
        if now {
            std::process::abort();
        }
        done
    }
}

#[derive(Debug)]
struct FatalTokens {
    inner: Arc<dyn TokenStore>,
    fate: Arc<Fate>,
}

#[async_trait]
impl TokenStore for FatalTokens {
    async fn load(&self, tenant: &TenantId, grant: &GrantId) -> Result<Option<SealedRecord>> {
        self.inner.load(tenant, grant).await
    }

    async fn save(
        &self,
        tenant: &TenantId,
        grant: &GrantId,
        expect: Option<Version>,
        record: &SealedRecord,
    ) -> Result<Saved> {
        self.fate.meet(true, self.inner.save(tenant, grant, expect, record)).await
    }

    async fn delete(&self, tenant: &TenantId, grant: &GrantId) -> Result<()> {
        self.inner.delete(tenant, grant).await
    }

    async fn list(&self, after: Option<&GrantKey>, limit: usize) -> Result<Vec<GrantKey>> {
        self.inner.list(after, limit).await
    }
}

#[derive(Debug)]
struct FatalRows {
    inner: Arc<dyn SyncStore>,
    fate: Arc<Fate>,
}

#[async_trait]
impl SyncStore for FatalRows {
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        self.inner.read(query).await
    }

    async fn now(&self) -> Result<chrono::DateTime<chrono::Utc>> {
        self.inner.now().await
    }

    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        Ok(Box::new(FatalTransaction { inner: self.inner.begin(guard).await?, fate: Arc::clone(&self.fate) }))
    }
}

struct FatalTransaction {
    inner: Box<dyn StoreTransaction>,
    fate: Arc<Fate>,
}

#[async_trait]
impl StoreTransaction for FatalTransaction {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        self.inner.write(rows).await
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        self.inner.next(counter).await
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let Self { inner, fate } = *self;
        fate.meet(false, inner.commit()).await
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self.inner.as_any_mut()
    }
}

/// Commits what the engine remembers of its way before the effects that belong to it.
#[derive(Debug)]
pub(crate) struct WayFirst(pub(crate) Arc<dyn SyncStore>);

#[async_trait]
impl SyncStore for WayFirst {
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>> {
        self.0.read(query).await
    }

    async fn now(&self) -> Result<chrono::DateTime<chrono::Utc>> {
        self.0.now().await
    }

    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>> {
        Ok(Box::new(InTwo { store: Arc::clone(&self.0), guard: guard.cloned() }))
    }
}

struct InTwo {
    store: Arc<dyn SyncStore>,
    guard: Option<LeaseGuard>,
}

#[async_trait]
impl StoreTransaction for InTwo {
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()> {
        let is_way = |row: &StateWrite| ["member", "partition", "pending"].contains(&row.space);
        let (way, effects): (Vec<StateWrite>, Vec<StateWrite>) = rows.iter().cloned().partition(is_way);
        for piece in [way, effects].into_iter().filter(|piece| !piece.is_empty()) {
            let mut tx = self.store.begin(self.guard.as_ref()).await?;
            tx.write(&piece).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn next(&mut self, counter: &CounterKey) -> Result<u64> {
        let mut tx = self.store.begin(self.guard.as_ref()).await?;
        let number = tx.next(counter).await?;
        tx.commit().await?;
        Ok(number)
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        Ok(())
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
