//! Comparing what the service lists with what is here, on the way of an ordinary enumeration.

use super::{Engine, Input, Slice, Standing, page::Taken};
use crate::{
    error::Result,
    ids::{ItemKey, PartitionId},
    store::StateWrite,
    sync::{
        audit::{AuditCost, AuditReport},
        change::Change,
        feed::SyncItem,
        rows::{AUDITS, Lane, MEMBERS, MemberRow, PARTITIONS, PartitionRow, SnapshotRow},
    },
};

impl<I: SyncItem> Engine<I> {
    /// Begins an audit of every partition that is not being enumerated anyway; the next slices carry it out. False while
    /// somebody else works on the feed.
    pub(crate) async fn begin_audit(&self) -> Result<bool> {
        let Some(slice) = self.begin().await? else { return Ok(false) };
        let guard = slice.guard.clone();
        self.holding(guard, self.begin_audit_in(&slice)).await.map(|()| true)
    }

    async fn begin_audit_in(&self, slice: &Slice) -> Result<()> {
        for partition in self.named_partitions().await? {
            let mut row = self.load(&partition).await?;
            if row.snapshot.is_none() && row.complete {
                self.plan_audit(slice, &partition, &mut row).await?;
            }
        }
        Ok(())
    }

    /// Turns the next enumeration into an audit.
    pub(super) async fn plan_audit(
        &self,
        slice: &Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
    ) -> Result<()> {
        let report = AuditReport { begun: Some(self.clock.now()), ..AuditReport::of(partition) };
        row.generation += 1;
        row.snapshot = Some(SnapshotRow { audit: Some(Box::new(report)), ..SnapshotRow::default() });
        let write = self.keys.put(PARTITIONS, self.keys.partition(partition), row)?;
        self.commit(slice, &[&[write]]).await
    }

    /// Is it time for one?
    pub(super) fn audit_is_due(&self, row: &PartitionRow) -> bool {
        let Some(every) = self.options.audit_every.filter(|_| row.complete && row.snapshot.is_none()) else {
            return false;
        };
        let since = row.compared_at.and_then(|at| (self.clock.now() - at).to_std().ok());
        since.is_some_and(|since| since >= every)
    }

    /// What the listing of an audit will cost, from what is known now.
    pub(crate) async fn audit_cost(&self) -> Result<AuditCost> {
        let (mut cost, capabilities) = (AuditCost::default(), self.live.capabilities());
        // Each partition is listed by itself: its last page is its own, and an empty one is asked for too.
        for partition in self.known_partitions().await? {
            let items = self.count_below(MEMBERS, self.keys.partition(&partition).below()).await?;
            cost.items += items;
            cost.calls += items / capabilities.list_page.max(1) as u64 + 1;
        }
        cost.units = cost.calls * u64::from(capabilities.list_cost);
        Ok(cost)
    }

    /// Compares a page of the listing; what is amiss gets a place in the queue, or is decided anew.
    pub(super) async fn compare(
        &self,
        slice: &mut Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
        keys: Vec<ItemKey>,
        taken: &mut Taken<I>,
    ) -> Result<()> {
        let Some(mut report) = row.snapshot.as_mut().and_then(|snapshot| snapshot.audit.take()) else { return Ok(()) };
        let standings = self.applier.standing(&keys).await?;
        for key in keys {
            report.listed += 1;
            match (standings.get(&key), taken.members.get_mut(&key)) {
                (_, Some(MemberRow { pending: Some(_), .. })) => report.pending += 1,
                // Looked at once more: what could not be had or understood may be better now.
                (_, Some(member)) if member.quarantined => {
                    report.quarantined += 1;
                    slice.pending += 1;
                    self.queue(row, partition, &key, member, Lane::Live, &mut taken.writes)?;
                }
                // The page itself queues what is not known.
                (_, None | Some(MemberRow { known: false, .. })) => report.missing.note(&key),
                (Some(Standing::Applied), Some(_)) => report.applied += 1,
                (Some(Standing::Skipped), Some(_)) => report.skipped += 1,
                (Some(Standing::EffectLost), Some(_)) => {
                    report.effect_lost.note(&key);
                    taken.input(Input::Restored { key });
                }
                (Some(Standing::IndexLost), Some(_)) => {
                    report.index_lost.note(&key);
                    taken.input(Input::Restored { key });
                }
                (None, Some(member)) => {
                    report.undecided.note(&key);
                    slice.pending += 1;
                    self.queue(row, partition, &key, member, Lane::Live, &mut taken.writes)?;
                }
            }
        }
        if let Some(snapshot) = row.snapshot.as_mut() {
            snapshot.audit = Some(report);
        }
        Ok(())
    }

    /// What the head brings while an audit runs came by the ordinary way.
    pub(super) fn arrived(row: &mut PartitionRow, changes: &[Change<I>]) {
        let Some(report) = row.snapshot.as_mut().and_then(|snapshot| snapshot.audit.as_mut()) else { return };
        for key in changes.iter().filter_map(listed) {
            report.missing.retract(&key);
        }
    }

    /// Writes the finished report where hosts read it.
    pub(super) fn finish_audit(
        &self,
        partition: &PartitionId,
        row: &mut PartitionRow,
        audit: Option<Box<AuditReport>>,
    ) -> Result<Option<StateWrite>> {
        let now = self.clock.now();
        row.compared_at = Some(now);
        let Some(mut report) = audit else { return Ok(None) };
        report.ended = Some(now);
        self.keys.put(AUDITS, self.keys.partition(partition), &*report).map(Some)
    }
}

/// The item that a page says is there.
pub(super) fn listed<I>(change: &Change<I>) -> Option<ItemKey> {
    match change {
        Change::Upsert { key, .. } => Some(key.clone()),
        Change::Malformed { key, .. } => key.clone(),
        Change::GroupReset { .. } | Change::Removed { .. } => None,
    }
}
