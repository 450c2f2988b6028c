//! One transaction for our rows and the host's, and for the events that tell of it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::rows::encode;
use crate::{
    activity::{ActivityChange, BATCHES, Batch, BatchRetention, Sink, spaces},
    contain::contained,
    error::Result,
    event::{EventKind, EventRetention, append, number_key},
    ids::{ActivityId, ConnectionId, TenantId},
    store::{CounterKey, Expect, LeaseGuard, StateWrite, StoreTransaction, SyncStore, inside_transaction},
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
    pub(crate) now: DateTime<Utc>,
    pub(crate) events: EventRetention,
    /// Set if batches are kept for a host on another database.
    pub(crate) batches: Option<BatchRetention>,
}

/// What a transaction means beside its rows.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) activities: Vec<ActivityChange>,
    pub(crate) events: Vec<EventKind>,
}

#[cfg(feature = "oauth")]
impl Told {
    pub(crate) fn activities(activities: Vec<ActivityChange>) -> Self {
        Self { activities, events: Vec::new() }
    }
}

/// Commits rows, what they mean for the timeline through the sink, and the events, together or not at all.
pub(crate) async fn publish(to: &Publication<'_>, writes: &[&[StateWrite]], told: Told) -> Result<()> {
    let mut tx = to.store.begin(to.guard).await?;
    for writes in writes {
        tx.write(writes).await?;
    }
    if !told.activities.is_empty() {
        hand_over(to, told.activities, &mut *tx).await?;
    }
    let events = told.events.into_iter().chain(timeline(writes));
    let events = events.map(|event| (Some(to.connection.clone()), event)).collect::<Vec<_>>();
    // Last: the counter is locked until the commit.
    append(&mut *tx, to.tenant, (to.now, to.events.count), events).await?;
    tx.commit().await
}

/// Gives the sink its batch, and keeps it where the host asked for that.
async fn hand_over(to: &Publication<'_>, activities: Vec<ActivityChange>, tx: &mut dyn StoreTransaction) -> Result<()> {
    let sequence = tx.next(&CounterKey::new(to.tenant.clone(), "batch")).await?;
    let batch = Batch { tenant: to.tenant.clone(), connection: to.connection.clone(), sequence, activities };
    contained("sink", to.patience, inside_transaction(to.sink.apply(&batch, &mut *tx))).await?;
    let Some(retention) = to.batches else { return Ok(()) };
    let bytes = encode(BATCHES, &batch)?;
    let mut writes = vec![StateWrite::put(to.tenant, BATCHES, number_key(sequence), bytes)];
    let outlived = sequence.checked_sub(retention.count).filter(|outlived| *outlived > 0);
    writes.extend(outlived.map(|outlived| StateWrite::delete(to.tenant, BATCHES, number_key(outlived))));
    tx.write(&writes).await
}

/// What the rows say about the timeline.
fn timeline(writes: &[&[StateWrite]]) -> Option<EventKind> {
    let (mut added, mut changed, mut withdrawn) = (Vec::new(), Vec::new(), Vec::new());
    for write in writes.iter().flat_map(|writes| writes.iter()).filter(|write| write.space == spaces::ACTIVITIES) {
        let id = ActivityId::new(write.key.segments().pop().unwrap_or_default());
        match (&write.bytes, write.expect) {
            (None, _) => withdrawn.push(id),
            (Some(_), Expect::Absent) => added.push(id),
            (Some(_), Expect::Any | Expect::Version(_)) => changed.push(id),
        }
    }
    let nothing = added.is_empty() && changed.is_empty() && withdrawn.is_empty();
    (!nothing).then_some(EventKind::Activities { added, changed, withdrawn })
}
