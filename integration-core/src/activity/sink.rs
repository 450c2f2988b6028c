//! Where the host receives activities.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::model::ActivityChange;
use crate::{
    error::Result,
    ids::{ConnectionId, TenantId},
    store::{Space, StoreTransaction},
};

/// Batches kept for hosts on another database.
pub(crate) const BATCHES: Space = "batch";

/// What one transaction changes on the timeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// For how long batches are kept that the host does not acknowledge. The newest one always is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct BatchRetention {
    /// At most so many; 100,000 unless set.
    pub count: u64,
}

impl Default for BatchRetention {
    fn default() -> Self {
        Self { count: 100_000 }
    }
}

impl BatchRetention {
    /// Keeps at most so many; at least one.
    #[must_use]
    pub fn with_count(mut self, count: u64) -> Self {
        self.count = count.max(1);
        self
    }
}

/// A part of the sequence of batches.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BatchPage {
    /// In order, without gaps.
    pub batches: Vec<Batch>,
    /// What to pass as `after` next time; the same again if nothing came.
    pub next: u64,
    /// Set if batches between the asked number and the first one here are not kept any more, or never were: read
    /// `Hub::activities` in full, store `next` with it, and go on from there.
    pub reset: Option<crate::event::EventReset>,
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
