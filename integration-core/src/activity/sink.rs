//! Where the host receives activities.

use std::fmt;

use async_trait::async_trait;

use super::model::ActivityChange;
use crate::{
    error::Result,
    ids::{ConnectionId, TenantId},
    store::StoreTransaction,
};

/// What one transaction changes on the timeline.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// Whose.
    pub tenant: TenantId,
    /// Found through this connection.
    pub connection: ConnectionId,
    /// Counts the tenant's batches from 1, without gaps.
    pub sequence: u64,
    /// The changes; each activity at most once.
    pub activities: Vec<ActivityChange>,
}

/// The host's effects join our open transaction: they are there exactly if the cursor is.
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync + 'static {
    /// Writes the host's own rows through `tx`. No network, and no call of the hub, in here: those fail.
    ///
    /// # Errors
    /// Whatever the host reports; the whole transaction is rolled back and tried again later.
    async fn apply(&self, batch: &Batch, tx: &mut dyn StoreTransaction) -> Result<()>;
}

/// The host reads activities from the store instead.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

#[async_trait]
impl Sink for NoSink {
    async fn apply(&self, _: &Batch, _: &mut dyn StoreTransaction) -> Result<()> {
        Ok(())
    }
}
