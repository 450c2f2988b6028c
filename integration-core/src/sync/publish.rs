//! One transaction for our rows and the host's.

use std::time::Duration;

use crate::{
    activity::{ActivityChange, Batch, Sink},
    contain::contained,
    error::Result,
    ids::{ConnectionId, TenantId},
    store::{CounterKey, LeaseGuard, StateWrite, SyncStore, inside_transaction},
};

/// Where a publication goes, and on whose behalf.
pub(crate) struct Publication<'a> {
    pub(crate) store: &'a dyn SyncStore,
    pub(crate) sink: &'a dyn Sink,
    pub(crate) tenant: &'a TenantId,
    pub(crate) connection: &'a ConnectionId,
    /// The lease whose loss makes the commit fail.
    pub(crate) guard: Option<&'a LeaseGuard>,
    /// How long the host's sink may take.
    pub(crate) patience: Duration,
}

/// Commits rows, and what they mean for the timeline through the sink, together or not at all.
pub(crate) async fn publish(
    to: &Publication<'_>,
    writes: &[&[StateWrite]],
    activities: Vec<ActivityChange>,
) -> Result<()> {
    let mut tx = to.store.begin(to.guard).await?;
    for writes in writes {
        tx.write(writes).await?;
    }
    if !activities.is_empty() {
        let sequence = tx.next(&CounterKey::new(to.tenant.clone(), "batch")).await?;
        let batch = Batch { tenant: to.tenant.clone(), connection: to.connection.clone(), sequence, activities };
        let call = inside_transaction(to.sink.apply(&batch, &mut *tx));
        contained("sink", to.patience, call).await?;
    }
    tx.commit().await
}
