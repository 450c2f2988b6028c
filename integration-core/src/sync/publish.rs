//! One transaction for our rows and the host's.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use crate::{
    activity::{ActivityChange, Batch, Sink},
    error::{Error, ErrorKind, Result},
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
    writes: &[StateWrite],
    activities: Vec<ActivityChange>,
) -> Result<()> {
    let mut tx = to.store.begin(to.guard).await?;
    tx.write(writes).await?;
    if !activities.is_empty() {
        let sequence = tx.next(&CounterKey::new(to.tenant.clone(), "batch")).await?;
        let batch = Batch { tenant: to.tenant.clone(), connection: to.connection.clone(), sequence, activities };
        let call = AssertUnwindSafe(inside_transaction(to.sink.apply(&batch, &mut *tx))).catch_unwind();
        let failed = |message| Err(Error::new(ErrorKind::Store, message));
        match tokio::time::timeout(to.patience, call).await {
            Ok(Ok(result)) => result?,
            Ok(Err(_)) => return failed("the host's sink panicked; the batch was rolled back"),
            Err(_) => return failed("the host's sink did not come back; the batch was rolled back"),
        }
    }
    tx.commit().await
}
