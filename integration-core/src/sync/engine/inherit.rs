//! What items take from their partition: where that is another than before, they are decided anew from what is stored.

use super::{Engine, Input, Slice, page::item_of, partitions::Partitions, walk::Round};
use crate::{
    error::Result,
    ids::PartitionId,
    store::{StateKey, StateQuery},
    sync::{
        feed::SyncItem,
        rows::{InheritRow, Lane, MEMBERS, MemberRow, PARTITIONS, PartitionRow, decode},
    },
};

/// Items decided at a time: one directory look-up and one transaction each.
const BATCH: usize = 100;

impl PartitionRow {
    /// Are its items to take on something else? What came back to the list of partitions is enumerated first: until an item
    /// is seen there, it is none of its items.
    pub(super) fn is_to_inherit(&self, inherited: &str) -> bool {
        let other = self.inheriting.is_some() || self.inherited.as_deref() != Some(inherited);
        other && !(self.inherited.is_none() && self.snapshot.is_some())
    }
}

impl<I: SyncItem> Engine<I> {
    /// A batch of every partition whose items are to take on something else.
    pub(super) async fn inherit<'a>(
        &self,
        slice: &mut Slice,
        partitions: &'a Partitions,
        round: &mut Round<'a>,
    ) -> Result<()> {
        for partition in std::mem::take(&mut round.inheriting) {
            let Some(inherited) = partitions.inherits.get(partition) else { continue };
            if self.inherit_some(slice, partition, inherited).await? {
                round.inheriting.push(partition);
            }
        }
        Ok(())
    }

    /// True while there are more. Each batch is one commit with how far it came; something new meanwhile begins anew.
    async fn inherit_some(&self, slice: &mut Slice, partition: &PartitionId, inherited: &str) -> Result<bool> {
        let mut row = self.load(partition).await?;
        let walk = row.inheriting.take().filter(|walk| walk.inherited == inherited);
        let query = StateQuery::Range {
            tenant: self.keys.tenant.clone(),
            space: MEMBERS,
            prefix: self.keys.partition(partition).below(),
            after: walk.and_then(|walk| walk.after).map(StateKey::from_stored),
            limit: BATCH,
        };
        let stored = self.store.read(&query).await?;
        let (mut inputs, mut writes) = (Vec::new(), Vec::new());
        for stored in &stored {
            let (key, mut member): (_, MemberRow) = (item_of(stored), decode(MEMBERS, &stored.bytes)?);
            if !member.known || member.left {
                continue;
            }
            match I::inheriting(inherited) {
                Some(item) => inputs.push(Input::Present { key, item }),
                None if member.pending.is_some() => {}
                None => {
                    slice.pending += 1;
                    self.queue(&mut row, partition, &key, &mut member, Lane::Backfill, &mut writes)?;
                }
            }
        }
        match stored.last().filter(|_| stored.len() == BATCH) {
            Some(last) => {
                let (inherited, after) = (inherited.to_owned(), Some(last.key.as_str().to_owned()));
                row.inheriting = Some(InheritRow { inherited, after });
            }
            None => row.inherited = Some(inherited.to_owned()),
        }
        writes.push(self.keys.put(PARTITIONS, self.keys.partition(partition), &row)?);
        self.settle(slice, inputs, writes).await?;
        Ok(row.inheriting.is_some())
    }
}
