//! Taking a page of changes: what the partition has, what waits, and what the applier is given.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, Input, Slice, audit::listed};
use crate::{
    error::Result,
    ids::{GroupKey, ItemKey, PartitionId},
    store::{StateKey, StateQuery, StateRow, StateWrite},
    sync::{
        change::{Body, Change, ChangePage, Next, Removal, Revision},
        feed::SyncItem,
        rows::{
            GROUPS, Keys, Lane, MEMBERS, MemberRow, PARTITIONS, PENDING, PartitionRow, PendingRow, QUARANTINE, decode,
        },
    },
};

/// What a page comes to.
pub(super) struct Taken<I> {
    pub(super) members: BTreeMap<ItemKey, MemberRow>,
    touched: BTreeSet<ItemKey>,
    inputs: Vec<Input<I>>,
    /// What was taken from the partition before it was seen in it.
    strays: BTreeSet<ItemKey>,
    pub(super) writes: Vec<StateWrite>,
}

impl<I> Taken<I> {
    /// The latest state of an item replaces an earlier one of the same page; what is to be restored of it still is.
    pub(super) fn input(&mut self, input: Input<I>) {
        self.inputs.retain(|earlier| earlier.key() != input.key() || matches!(earlier, Input::Restored { .. }));
        self.inputs.push(input);
    }
}

impl<I: SyncItem> Engine<I> {
    pub(super) async fn take_page(
        &self,
        slice: &mut Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
        page: ChangePage<I>,
        lane: Lane,
    ) -> Result<()> {
        let members = self.members(partition, page.changes.iter().filter_map(key_of).cloned().collect()).await?;
        note_course(row, &page, &members, lane);
        let mut taken = Taken {
            members,
            touched: BTreeSet::new(),
            inputs: Vec::new(),
            strays: BTreeSet::new(),
            writes: Vec::new(),
        };
        if matches!(lane, Lane::Backfill) {
            let keys = page.changes.iter().filter_map(listed).collect();
            self.compare(slice, partition, row, keys, &mut taken).await?;
        }
        for change in page.changes {
            match change {
                Change::Malformed { key, raw, reason } => {
                    taken.writes.push(self.quarantine(slice, partition, key.as_ref(), &raw, &reason).await?);
                    if let Some(key) = key {
                        let member = taken.members.entry(key.clone()).or_default();
                        (member.seen, member.known, member.quarantined) = (row.generation, true, true);
                        taken.touched.insert(key);
                    }
                }
                Change::GroupReset { group } => self.doubt_group(slice, partition, row, &group, &mut taken).await?,
                Change::Removed { key, how: Removal::Gone } => {
                    let Some(member) = taken.members.remove(&key) else {
                        taken.strays.insert(key);
                        continue;
                    };
                    self.forget(slice, partition, &key, &member, &mut taken.writes);
                    taken.touched.remove(&key);
                    taken.input(Input::Gone { key });
                }
                Change::Removed { key, how: Removal::LeftPartition } => {
                    match taken.members.get_mut(&key) {
                        Some(member) => member.left = true,
                        None => drop(taken.strays.insert(key.clone())),
                    }
                    self.doubt(slice, partition, row, &key, &mut taken)?;
                }
                Change::Upsert { key, group, revision, body } => {
                    let member = taken.members.entry(key.clone()).or_default();
                    member.seen = row.generation;
                    if let Some(group) = group {
                        note_group(&self.keys, partition, &key, member, group, &mut taken.writes)?;
                    }
                    self.take_upsert(slice, partition, row, Upsert { key, revision, body, lane }, &mut taken)?;
                }
            }
        }
        let Taken { members, touched, inputs, mut strays, mut writes } = taken;
        strays.retain(|key| !members.contains_key(key));
        self.doubt_elsewhere(slice, partition, row, strays, &mut writes).await?;
        for key in &touched {
            if let Some(member) = members.get(key) {
                writes.push(self.keys.put(MEMBERS, self.keys.member(partition, key), member)?);
            }
        }
        writes.push(self.keys.put(PARTITIONS, self.keys.partition(partition), row)?);
        self.settle(slice, inputs, writes).await
    }

    fn take_upsert(
        &self,
        slice: &mut Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
        upsert: Upsert<I>,
        taken: &mut Taken<I>,
    ) -> Result<()> {
        let Upsert { key, revision, body, lane } = upsert;
        let member = taken.members.entry(key.clone()).or_default();
        taken.touched.insert(key.clone());
        // What came back was elsewhere meanwhile: that is what was applied last, whatever its revision.
        let came_back = std::mem::take(&mut member.left);
        if came_back {
            member.strayed = 0;
        }
        match body {
            Body::Deferred if !came_back && settled(member, &revision, lane) => {}
            Body::Inline(item) if member.known && !revision.is_older_than(&member.revision) => {
                member.revision = revision;
                if !item.is_partial() {
                    self.settled_here(slice, &key, member, &mut taken.writes);
                }
                taken.input(Input::Present { key, item });
            }
            Body::Inline(_) if member.known || member.pending.is_some() => {}
            Body::Inline(item) if !item.is_partial() => {
                member.revision = revision;
                member.known = true;
                taken.input(Input::Present { key, item });
            }
            Body::Deferred | Body::Inline(_) => {
                slice.pending += u64::from(member.pending.is_none());
                self.queue(row, partition, &key, member, lane, &mut taken.writes)?;
            }
        }
        Ok(())
    }

    /// The whole item came: it neither waits nor lies in quarantine any more.
    fn settled_here(&self, slice: &mut Slice, key: &ItemKey, member: &mut MemberRow, writes: &mut Vec<StateWrite>) {
        if let Some(place) = member.pending.take() {
            slice.pending = slice.pending.saturating_sub(1);
            writes.push(self.keys.delete(PENDING, StateKey::from_stored(place)));
        }
        if std::mem::take(&mut member.quarantined) {
            writes.push(self.keys.delete(QUARANTINE, self.keys.quarantine(key.as_str())));
        }
    }

    /// Puts an item in doubt: it is fetched, and only gone if the service says so.
    fn doubt(
        &self,
        slice: &mut Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
        key: &ItemKey,
        taken: &mut Taken<I>,
    ) -> Result<()> {
        let Some(member) = taken.members.get_mut(key) else { return Ok(()) };
        slice.pending += u64::from(member.pending.is_none());
        self.queue(row, partition, key, member, Lane::Live, &mut taken.writes)?;
        taken.touched.insert(key.clone());
        Ok(())
    }

    /// A reset group is re-emitted by its service: every item known of it is in doubt until it comes again.
    async fn doubt_group(
        &self,
        slice: &mut Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
        group: &GroupKey,
        taken: &mut Taken<I>,
    ) -> Result<()> {
        const PAGE: usize = 500;
        let prefix = self.keys.group(partition, group).below();
        let mut after = None;
        loop {
            let (tenant, prefix) = (self.keys.tenant.clone(), prefix.clone());
            let query = StateQuery::Range { tenant, space: GROUPS, prefix, after, limit: PAGE };
            let rows = self.store.read(&query).await?;
            let keys: Vec<ItemKey> = rows.iter().map(item_of).collect();
            let unread = keys.iter().filter(|key| !taken.members.contains_key(*key)).cloned().collect();
            taken.members.extend(self.members(partition, unread).await?);
            for key in &keys {
                self.doubt(slice, partition, row, key, taken)?;
            }
            if rows.len() < PAGE {
                return Ok(());
            }
            after = rows.last().map(|row| row.key.clone());
        }
    }

    pub(super) async fn members(
        &self,
        partition: &PartitionId,
        items: Vec<ItemKey>,
    ) -> Result<BTreeMap<ItemKey, MemberRow>> {
        let keys: BTreeSet<StateKey> = items.iter().map(|item| self.keys.member(partition, item)).collect();
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        let keys = keys.into_iter().collect();
        let query = StateQuery::Keys { tenant: self.keys.tenant.clone(), space: MEMBERS, keys };
        let rows = self.store.read(&query).await?;
        rows.into_iter().map(|row| Ok((item_of(&row), decode(MEMBERS, &row.bytes)?))).collect()
    }

    /// Gives an item a place in the queue, in front of where it waited before if the lane is live.
    pub(super) fn queue(
        &self,
        row: &mut PartitionRow,
        partition: &PartitionId,
        item: &ItemKey,
        member: &mut MemberRow,
        lane: Lane,
        writes: &mut Vec<StateWrite>,
    ) -> Result<()> {
        if let Some(old) = member.pending.take() {
            writes.push(self.keys.delete(PENDING, StateKey::from_stored(old)));
        }
        row.queued += 1;
        let place = self.keys.pending(lane, row.queued, partition, item);
        member.pending = Some(place.as_str().to_owned());
        writes.push(self.keys.put(PENDING, place, &PendingRow { partition: partition.clone(), tries: 0 })?);
        writes.push(self.keys.put(MEMBERS, self.keys.member(partition, item), member)?);
        Ok(())
    }

    pub(super) fn forget(
        &self,
        slice: &mut Slice,
        partition: &PartitionId,
        item: &ItemKey,
        member: &MemberRow,
        writes: &mut Vec<StateWrite>,
    ) {
        if let Some(old) = &member.pending {
            slice.pending = slice.pending.saturating_sub(1);
            writes.push(self.keys.delete(PENDING, StateKey::from_stored(old.clone())));
        }
        if let Some(group) = &member.group {
            writes.push(self.keys.delete(GROUPS, self.keys.group(partition, group).child(item)));
        }
        writes.push(self.keys.delete(MEMBERS, self.keys.member(partition, item)));
        writes.push(self.keys.delete(QUARANTINE, self.keys.quarantine(item.as_str())));
    }
}

fn key_of<I>(change: &Change<I>) -> Option<&ItemKey> {
    match change {
        Change::Upsert { key, .. } | Change::Removed { key, .. } => Some(key),
        Change::Malformed { key, .. } => key.as_ref(),
        Change::GroupReset { .. } => None,
    }
}

/// Pages that go round in a circle bring nothing new, however new their positions look.
fn note_course<I>(row: &mut PartitionRow, page: &ChangePage<I>, members: &BTreeMap<ItemKey, MemberRow>, lane: Lane) {
    let ended = matches!(page.next, Next::Done { .. });
    let member = |change: &Change<I>| members.get(key_of(change)?);
    match (lane, &mut row.snapshot) {
        (Lane::Live, _) => row.course.step(ended || page.changes.iter().any(|change| is_news(change, member(change)))),
        (Lane::Backfill, Some(snapshot)) => {
            let unseen = |change: &Change<I>| match member(change) {
                Some(member) => member.seen < row.generation,
                None => key_of(change).is_some() && !matches!(change, Change::Removed { .. }),
            };
            snapshot.course.step(ended || page.changes.iter().any(unseen));
        }
        (Lane::Backfill, None) => {}
    }
}

/// Does it say of the item what is not known of it?
fn is_news<I>(change: &Change<I>, member: Option<&MemberRow>) -> bool {
    match (change, member) {
        (Change::GroupReset { .. } | Change::Malformed { key: None, .. }, _) | (Change::Removed { .. }, None) => false,
        (Change::Malformed { .. } | Change::Upsert { .. }, None) => true,
        (Change::Malformed { .. }, Some(member)) => !member.quarantined,
        (Change::Removed { how, .. }, Some(member)) => *how == Removal::Gone || !member.left,
        (Change::Upsert { revision, .. }, Some(member)) => {
            let tells = *revision != Revision::default() && *revision != member.revision;
            member.left || tells && member.pending.is_none() && !is_settled_by_order(revision, &member.revision)
        }
    }
}

/// An item as a page names it.
struct Upsert<I> {
    key: ItemKey,
    revision: Revision,
    body: Body<I>,
    lane: Lane,
}

/// Keeps the index of a group's items in step with what the service says.
fn note_group(
    keys: &Keys,
    partition: &PartitionId,
    item: &ItemKey,
    member: &mut MemberRow,
    group: GroupKey,
    writes: &mut Vec<StateWrite>,
) -> Result<()> {
    if member.group.as_ref() == Some(&group) {
        return Ok(());
    }
    if let Some(old) = member.group.take() {
        writes.push(keys.delete(GROUPS, keys.group(partition, &old).child(item)));
    }
    writes.push(keys.put(GROUPS, keys.group(partition, &group).child(item), &())?);
    member.group = Some(group);
    Ok(())
}

/// The item whose key ends a row's key.
pub(super) fn item_of(row: &StateRow) -> ItemKey {
    ItemKey::new(row.key.segments().pop().unwrap_or_default())
}

/// Is what the listing names settled already? A listing without revisions says only that the item is there.
fn settled(member: &MemberRow, revision: &Revision, lane: Lane) -> bool {
    if member.pending.is_some() {
        return true;
    }
    let said = matches!(lane, Lane::Backfill) && *revision == Revision::default();
    member.known && (said || is_settled_by_order(revision, &member.revision))
}

/// Older than what is known, or the same: at the same place in the order, only the tag tells.
fn is_settled_by_order(revision: &Revision, known: &Revision) -> bool {
    revision.is_older_than(known) || revision.order.is_some() && revision == known
}
