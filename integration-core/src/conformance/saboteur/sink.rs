//! Sinks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::{
    activity::{ActivityChange, Batch, Sink},
    conformance::sink::SinkFixture,
    error::Result,
    ids::{ActivityId, TenantId},
    store::{StoreTransaction, SyncStore},
};

type Rows = BTreeMap<TenantId, (u64, BTreeMap<ActivityId, String>)>;

/// Writes through a connection of its own: its effects survive the rollback. Its own fixture.
#[derive(Debug)]
pub struct OwnTable {
    store: Arc<dyn SyncStore>,
    rows: Mutex<Rows>,
}

impl OwnTable {
    /// Beside the transactions of `store`.
    pub fn new(store: Arc<dyn SyncStore>) -> Self {
        Self { store, rows: Mutex::default() }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sink for OwnTable {
    async fn apply(&self, batch: &Batch, _: &mut dyn StoreTransaction) -> Result<()> {
        let mut rows = self.rows();
        let (sequence, shown) = rows.entry(batch.tenant.clone()).or_default();
        *sequence = batch.sequence;
        for change in &batch.activities {
            match change {
                ActivityChange::Removed { id } => drop(shown.remove(id)),
                ActivityChange::Upserted { activity } => {
                    shown.insert(activity.id.clone(), activity.summary.subject.clone());
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl SinkFixture for OwnTable {
    fn sink(&self) -> &dyn Sink {
        self
    }

    fn store(&self) -> &dyn SyncStore {
        &*self.store
    }

    async fn shown(&self, tenant: &TenantId) -> BTreeMap<ActivityId, String> {
        self.rows().get(tenant).map(|(_, shown)| shown.clone()).unwrap_or_default()
    }

    async fn sequence(&self, tenant: &TenantId) -> Option<u64> {
        self.rows().get(tenant).map(|(sequence, _)| *sequence)
    }
}

/// Begins a transaction of the store inside the open one. Its own fixture; it never gets to show anything.
#[derive(Debug)]
pub struct Reentrant(pub Arc<dyn SyncStore>);

#[async_trait]
impl Sink for Reentrant {
    async fn apply(&self, _: &Batch, _: &mut dyn StoreTransaction) -> Result<()> {
        self.0.begin(None).await?.commit().await
    }
}

#[async_trait]
impl SinkFixture for Reentrant {
    fn sink(&self) -> &dyn Sink {
        self
    }

    fn store(&self) -> &dyn SyncStore {
        &*self.0
    }

    async fn shown(&self, _: &TenantId) -> BTreeMap<ActivityId, String> {
        BTreeMap::new()
    }

    async fn sequence(&self, _: &TenantId) -> Option<u64> {
        None
    }
}
