//! Items that left one partition and that no other has told of yet.
//!
//! A service says "it left" and "it came" in two partitions' pages, and the second may never be said: the other partition
//! can be deleted in between, or lose the item again. Whoever was found alive after leaving is therefore looked for once
//! more after every partition has told all it has; only the service says that it is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, Slice, page::item_of};
use crate::{
    error::Result,
    ids::{ItemKey, PartitionId},
    store::{StateQuery, StateWrite},
    sync::{
        feed::SyncItem,
        rows::{Keys, Lane, MemberRow, PARTITIONS, STRAYS},
    },
};

/// How many are looked for in one round.
const AT_MOST: usize = 500;
/// How often one is asked about before only an audit speaks of it again: it lies where nothing is listed.
const ASKS: u32 = 5;

/// Notes an item that is alive although it left, unless it was noted too often.
pub(super) fn note(
    keys: &Keys,
    partition: &PartitionId,
    item: &ItemKey,
    member: &mut MemberRow,
) -> Result<Option<StateWrite>> {
    if !member.left || member.strayed >= ASKS {
        return Ok(None);
    }
    member.strayed += 1;
    keys.put(STRAYS, keys.member(partition, item), &()).map(Some)
}

/// Those that were noted, by the partition they left.
pub(super) type Strays = BTreeMap<PartitionId, BTreeSet<ItemKey>>;

impl<I: SyncItem> Engine<I> {
    /// Those that are known before the partitions are asked.
    pub(super) async fn strays(&self) -> Result<Strays> {
        let (tenant, prefix) = (self.keys.tenant.clone(), self.keys.feed().below());
        let query = StateQuery::Range { tenant, space: STRAYS, prefix, after: None, limit: AT_MOST };
        let mut strays = Strays::new();
        for row in self.store.read(&query).await? {
            let Some(partition) = row.key.segments().get(2).cloned() else { continue };
            strays.entry(PartitionId::new(partition)).or_default().insert(item_of(&row));
        }
        Ok(strays)
    }

    /// Doubts those that no partition knows, now that each of them has told all it has.
    pub(super) async fn look_for(&self, slice: &mut Slice, strays: Strays) -> Result<()> {
        for (partition, items) in strays {
            let mut row = self.load(&partition).await?;
            // Where it is known to be, or is being asked about already.
            let settled = |member: &MemberRow| member.known && !member.left || member.pending.is_some();
            let found = self.found_elsewhere(&partition, items.clone(), settled).await?;
            let mut members = self.members(&partition, items.iter().cloned().collect()).await?;
            let (mut writes, mut queued) = (Vec::new(), false);
            for item in items {
                writes.push(self.keys.delete(STRAYS, self.keys.member(&partition, &item)));
                let Some(member) = members.get_mut(&item).filter(|member| member.left && member.pending.is_none())
                else {
                    continue;
                };
                if !found.contains(&item) {
                    slice.pending += 1;
                    self.queue(&mut row, &partition, &item, member, Lane::Live, &mut writes)?;
                    queued = true;
                }
            }
            if queued {
                writes.push(self.keys.put(PARTITIONS, self.keys.partition(&partition), &row)?);
            }
            self.commit(slice, &[&writes]).await?;
        }
        Ok(())
    }
}
