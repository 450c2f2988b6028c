//! The set of partitions, and what becomes of the items that one of them no longer has.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, Slice, page};
use crate::{
    error::{Error, ErrorKind, Result},
    event::{EventKind, Gaps},
    ids::{ItemKey, PartitionId},
    store::{StateKey, StateQuery, StateRow, StateWrite},
    sync::{
        feed::{Partition, SyncItem},
        publish::Told,
        rows::{AUDITS, GROUPS, Keys, Lane, MEMBERS, MemberRow, PARTITIONS, PartitionRow, SnapshotRow, decode},
    },
};

/// How many rows are looked at at a time.
const PAGE: usize = 500;
/// More pages of partitions than any feed has.
const MAX_PAGES: usize = 10_000;

/// All that is known of.
pub(super) struct Partitions {
    /// What the service names.
    pub(super) named: Vec<PartitionId>,
    /// What it named once.
    pub(super) vanished: Vec<PartitionId>,
    /// What is said of what their items take from them.
    pub(super) inherits: BTreeMap<PartitionId, String>,
}

impl Partitions {
    pub(super) fn all(&self) -> Vec<PartitionId> {
        self.named.iter().chain(&self.vanished).cloned().collect()
    }
}

/// The partitions as the service names them now.
#[derive(Default)]
struct Named {
    partitions: Vec<Partition>,
    /// Entries that may be any partition.
    unreadable: usize,
}

impl<I: SyncItem> Engine<I> {
    pub(super) async fn partitions(&self) -> Result<Partitions> {
        let Named { partitions, unreadable } = self.named().await?;
        let mut named: Vec<PartitionId> = partitions.iter().map(|partition| partition.id.clone()).collect();
        let mut vanished = self.known_partitions().await?;
        vanished.retain(|partition| !named.contains(partition));
        if unreadable > 0 {
            tracing::warn!(connection = %self.keys.connection, unreadable, "partitions cannot be read; those known stay");
            for partition in std::mem::take(&mut vanished) {
                let gone = self.load(&partition).await?.vanished;
                if gone { &mut vanished } else { &mut named }.push(partition);
            }
        }
        let inherits = partitions.into_iter().filter_map(|one| Some((one.id, one.inherits?))).collect();
        Ok(Partitions { named, vanished, inherits })
    }

    /// The partitions that there are rows of.
    pub(super) async fn known_partitions(&self) -> Result<Vec<PartitionId>> {
        let (mut known, mut after) = (Vec::new(), None);
        loop {
            let (tenant, prefix) = (self.keys.tenant.clone(), self.keys.feed().below());
            let query = StateQuery::Range { tenant, space: PARTITIONS, prefix, after, limit: PAGE };
            let rows = self.store.read(&query).await?;
            known.extend(rows.iter().filter_map(|row| row.key.segments().pop()).map(PartitionId::new));
            if rows.len() < PAGE {
                return Ok(known);
            }
            after = rows.last().map(|row| row.key.clone());
        }
    }

    /// The partitions as the service names them now.
    pub(super) async fn named_partitions(&self) -> Result<Vec<PartitionId>> {
        Ok(self.named().await?.partitions.into_iter().map(|partition| partition.id).collect())
    }

    /// Whole or not at all: what is not named is taken for gone.
    async fn named(&self) -> Result<Named> {
        let (mut named, mut at) = (Named::default(), None);
        for _ in 0..MAX_PAGES {
            let page = self.live.partitions(at.as_ref()).await?;
            named.partitions.extend(page.partitions);
            named.unreadable += page.unreadable;
            if page.next.is_none() {
                return Ok(named);
            }
            if page.next == at {
                break;
            }
            at = page.next;
        }
        Err(Error::new(ErrorKind::Validation, "the list of partitions does not come to an end"))
    }

    /// Looks for the items of a partition that is no more; the partition is forgotten once it has none. True while there is
    /// something to do at once.
    pub(super) async fn dissolve(&self, slice: &Slice, partition: &PartitionId) -> Result<bool> {
        let mut row = self.load(partition).await?;
        if !row.vanished || self.audit_is_due(&row) {
            (row.vanished, row.head) = (true, None);
            // From here on its items take what they have from wherever they are found.
            (row.inherited, row.inheriting) = (None, None);
            row.generation += 1;
            row.snapshot = Some(SnapshotRow { listing_done: true, ..SnapshotRow::default() });
            let write = self.keys.put(PARTITIONS, self.keys.partition(partition), &row)?;
            self.commit(slice, &[&[write]]).await?;
        }
        if row.snapshot.is_none() && self.members_of(partition).await? == 0 {
            let place = self.keys.partition(partition);
            let writes = [self.keys.delete(PARTITIONS, place.clone()), self.keys.delete(AUDITS, place)];
            self.commit(slice, &[&writes]).await?;
        }
        Ok(row.snapshot.is_some())
    }

    async fn members_of(&self, partition: &PartitionId) -> Result<u64> {
        let (tenant, prefix) = (self.keys.tenant.clone(), self.keys.partition(partition).below());
        let rows = self.store.read(&StateQuery::Count { tenant, space: MEMBERS, prefix }).await?;
        Ok(rows.first().map_or(0, |row| row.version))
    }

    /// Puts in doubt what the enumeration did not see: it is fetched, and only gone if the service says so. What left for
    /// another partition is left to that one.
    pub(super) async fn sweep(
        &self,
        slice: &mut Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
        mut snapshot: SnapshotRow,
    ) -> Result<()> {
        let query = StateQuery::Range {
            tenant: self.keys.tenant.clone(),
            space: MEMBERS,
            prefix: self.keys.partition(partition).below(),
            after: snapshot.sweep_after.clone().map(StateKey::from_stored),
            limit: PAGE,
        };
        let stored = self.store.read(&query).await?;
        let unseen = unseen(&stored, row)?;
        let moved = self.elsewhere(partition, row, &unseen).await?;
        let mut writes = Vec::new();
        for (item, mut member) in unseen {
            if moved.contains(&item) {
                leave_to_others(&self.keys, partition, &item, &member, &mut writes);
                continue;
            }
            if let Some(report) = snapshot.audit.as_mut().filter(|_| !member.left) {
                report.unlisted.note(&item);
            }
            member.left = true;
            self.queue(row, partition, &item, &mut member, Lane::Live, &mut writes)?;
            slice.pending += 1;
        }
        let mut audit = None;
        row.snapshot = match stored.last() {
            Some(last) if stored.len() == PAGE => {
                Some(SnapshotRow { sweep_after: Some(last.key.as_str().to_owned()), ..snapshot })
            }
            _ => {
                row.complete = true;
                audit = snapshot.audit.as_deref().map(Gaps::of);
                writes.extend(self.finish_audit(partition, row, snapshot.audit)?);
                None
            }
        };
        writes.push(self.keys.put(PARTITIONS, self.keys.partition(partition), row)?);
        let found = audit.filter(|gaps| gaps.total() > 0);
        let partition = Some(partition.clone());
        let events = found.map(|gaps| EventKind::AuditGap { partition, gaps }).into_iter().collect();
        self.commit_telling(slice, &[&writes], Told { activities: Vec::new(), events }).await
    }

    /// What came to this partition and went before it was seen there is doubted where it was last: where it left from for here,
    /// nobody else would ever speak of it.
    pub(super) async fn doubt_elsewhere(
        &self,
        slice: &mut Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
        mut strays: BTreeSet<ItemKey>,
        writes: &mut Vec<StateWrite>,
    ) -> Result<()> {
        if strays.is_empty() {
            return Ok(());
        }
        let mut left = BTreeMap::new();
        for other in self.known_partitions().await?.into_iter().filter(|other| other != partition) {
            for (item, member) in self.members(&other, strays.iter().cloned().collect()).await? {
                if member.left && member.pending.is_none() {
                    left.insert(item, (other.clone(), member));
                } else {
                    // That partition tells what becomes of it, or it is being asked about.
                    left.remove(&item);
                    strays.remove(&item);
                }
            }
        }
        for (item, (other, mut member)) in left {
            slice.pending += 1;
            self.queue(row, &other, &item, &mut member, Lane::Live, writes)?;
        }
        Ok(())
    }

    /// Which items that left this partition another one is known to have.
    async fn elsewhere(
        &self,
        partition: &PartitionId,
        row: &PartitionRow,
        unseen: &[(ItemKey, MemberRow)],
    ) -> Result<BTreeSet<ItemKey>> {
        let left = unseen.iter().filter(|(_, member)| member.left || row.vanished);
        let has = |member: &MemberRow| member.known && !member.left;
        self.found_elsewhere(partition, left.map(|(item, _)| item.clone()).collect(), has).await
    }

    /// Which of some items another partition has a row of that will do.
    pub(super) async fn found_elsewhere(
        &self,
        partition: &PartitionId,
        mut left: BTreeSet<ItemKey>,
        will_do: fn(&MemberRow) -> bool,
    ) -> Result<BTreeSet<ItemKey>> {
        let mut found = BTreeSet::new();
        if left.is_empty() {
            return Ok(found);
        }
        for other in self.known_partitions().await?.iter().filter(|other| *other != partition) {
            let members = self.members(other, left.iter().cloned().collect()).await?;
            for (item, _) in members.into_iter().filter(|(_, member)| will_do(member)) {
                left.remove(&item);
                found.insert(item);
            }
        }
        Ok(found)
    }
}

/// The members that an enumeration did not see and that do not wait to be fetched anyway.
fn unseen(stored: &[StateRow], row: &PartitionRow) -> Result<Vec<(ItemKey, MemberRow)>> {
    let mut unseen = Vec::new();
    for stored in stored {
        let member: MemberRow = decode(MEMBERS, &stored.bytes)?;
        if member.seen < row.generation && member.pending.is_none() {
            unseen.push((page::item_of(stored), member));
        }
    }
    Ok(unseen)
}

fn leave_to_others(
    keys: &Keys,
    partition: &PartitionId,
    item: &ItemKey,
    member: &MemberRow,
    writes: &mut Vec<StateWrite>,
) {
    if let Some(group) = &member.group {
        writes.push(keys.delete(GROUPS, keys.group(partition, group).child(item)));
    }
    writes.push(keys.delete(MEMBERS, keys.member(partition, item)));
}
