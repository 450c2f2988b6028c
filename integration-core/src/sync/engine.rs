//! The one engine that drives every feed.
//!
//! A slice does: head changes first, then waiting items, then the enumeration, one page at a time. Whatever a page brings
//! is applied, quarantined or stored as pending in the same transaction as the cursor that passes it. Network and
//! look-ups happen before a transaction opens.

mod pending;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::FutureExt;

use self::pending::FetchEnd;
use super::{
    change::{Body, Change, ChangePage, Next, Removal, Revision},
    cursor::Window,
    feed::{Feed, SyncItem},
    rows::{
        Keys, Lane, MEMBERS, MemberRow, PARTITIONS, PENDING, PartitionRow, PendingRow, QUARANTINE, SnapshotRow, decode,
    },
    shutdown::Shutdown,
};
use crate::{
    activity::{ActivityChange, Batch, Outcome, Sink},
    clock::Clock,
    error::{Error, ErrorKind, Result},
    event::{Event, EventListener, Phase, Progress},
    ids::{ItemKey, PartitionId},
    store::{
        CounterKey, LeaseGuard, LeaseKey, LeaseStore, StateKey, StateQuery, StateRow, StateWrite, SyncStore,
        inside_transaction,
    },
    vault::Sealer,
};

/// How a connection is synced.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SyncOptions {
    /// How often the head is asked; new items are visible after at most this and one fetch. 20 s unless set.
    pub poll: Duration,
    /// How long a slice works before it yields: at its beginning the head is looked at, also during a backfill. 5 s unless set.
    pub slice: Duration,
    /// How long a lease lasts without renewal. 30 s unless set.
    pub lease: Duration,
    /// What an enumeration covers.
    pub window: Window,
    /// How much of an item that cannot be understood is kept, in bytes. 256 KiB unless set.
    pub quarantine_cap: usize,
    /// Own mail domains: mail among them is internal.
    pub own_domains: Vec<String>,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(20),
            slice: Duration::from_secs(5),
            lease: Duration::from_secs(30),
            window: Window::default(),
            quarantine_cap: 256 * 1024,
            own_domains: Vec::new(),
        }
    }
}

/// What is handed to an applier.
#[derive(Clone, Debug)]
pub(crate) enum Input<I> {
    Gone { key: ItemKey },
    Present { key: ItemKey, item: I },
}

impl<I> Input<I> {
    pub(crate) fn key(&self) -> &ItemKey {
        match self {
            Self::Gone { key } | Self::Present { key, .. } => key,
        }
    }
}

/// What an applier wants written.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) writes: Vec<StateWrite>,
    pub(crate) changes: Vec<ActivityChange>,
    pub(crate) outcomes: Vec<(String, Option<Outcome>)>,
}

/// Turns items into effects: reads and look-ups only, nothing is written here.
#[async_trait]
pub(crate) trait Applier<I>: std::fmt::Debug + Send + Sync {
    async fn prepare(&self, inputs: &[Input<I>]) -> Result<Effects>;
}

/// The engine for one feed of one connection.
#[derive(Debug)]
pub(crate) struct Engine<I: SyncItem> {
    pub(crate) keys: Keys,
    /// For the head and what it brings.
    pub(crate) live: Arc<dyn Feed<Item = I>>,
    /// For history.
    pub(crate) backfill: Arc<dyn Feed<Item = I>>,
    pub(crate) applier: Arc<dyn Applier<I>>,
    pub(crate) store: Arc<dyn SyncStore>,
    pub(crate) leases: Arc<dyn LeaseStore>,
    pub(crate) sealer: Arc<dyn Sealer>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Arc<dyn EventListener>,
    pub(crate) options: SyncOptions,
}

/// How a slice ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SliceEnd {
    /// Somebody else works on it.
    Busy,
    /// There is more to do at once.
    More,
    /// Nothing is waiting.
    UpToDate,
    /// The service wants a pause.
    Wait(Duration),
}

/// One slice's state.
struct Slice {
    guard: LeaseGuard,
    renewed: DateTime<Utc>,
    ends: DateTime<Utc>,
    pending: u64,
    settled: u64,
}

impl<I: SyncItem> Engine<I> {
    /// Works for at most the configured time.
    pub(crate) async fn slice(&self, stop: &Shutdown) -> Result<SliceEnd> {
        let lease = LeaseKey::new(["sync", self.keys.tenant.as_str(), self.keys.connection.as_str(), self.keys.kind]);
        let Some(guard) = self.leases.acquire(&lease, self.options.lease).await? else { return Ok(SliceEnd::Busy) };
        let now = self.clock.now();
        let pending = self.count(PENDING).await?;
        let ends = now + chrono::TimeDelta::from_std(self.options.slice).unwrap_or_default();
        let mut slice = Slice { guard, renewed: now, ends, pending, settled: 0 };
        let result = self.work(&mut slice, stop).await;
        self.leases.release(slice.guard).await?;
        result
    }

    async fn work(&self, slice: &mut Slice, stop: &Shutdown) -> Result<SliceEnd> {
        let partitions = self.partitions().await?;
        let mut walking = Vec::new();
        for partition in &partitions {
            let mut row = self.load(partition).await?;
            self.follow_head(slice, partition, &mut row).await?;
            walking.extend(row.snapshot.is_some().then_some(partition));
        }
        loop {
            if stop.stopping() || self.clock.now() >= slice.ends {
                return Ok(SliceEnd::More);
            }
            self.renew(slice).await?;
            let (mut listed, listing) = (0, !walking.is_empty());
            for partition in std::mem::take(&mut walking) {
                let mut row = self.load(partition).await?;
                self.enumerate(slice, partition, &mut row).await?;
                listed += row.snapshot.as_ref().map_or(0, |snapshot| snapshot.listed);
                walking.extend(row.snapshot.is_some().then_some(partition));
            }
            let fetched = self.fetch_pending(slice, &partitions).await?;
            self.progress(slice, listing, listed);
            match fetched {
                FetchEnd::Refused(wait) => return Ok(SliceEnd::Wait(wait)),
                FetchEnd::Nothing if !listing => return Ok(SliceEnd::UpToDate),
                FetchEnd::Nothing | FetchEnd::Some => {}
            }
        }
    }

    async fn partitions(&self) -> Result<Vec<PartitionId>> {
        let (mut all, mut at) = (Vec::new(), None);
        loop {
            let page = self.live.partitions(at.as_ref()).await?;
            all.extend(page.partitions.into_iter().map(|partition| partition.id));
            if page.next.is_none() || page.next == at {
                return Ok(all);
            }
            at = page.next;
        }
    }

    async fn renew(&self, slice: &mut Slice) -> Result<()> {
        let now = self.clock.now();
        let held = (now - slice.renewed).to_std().unwrap_or_default();
        if held < self.options.lease / 3 {
            return Ok(());
        }
        if !self.leases.renew(&slice.guard, self.options.lease).await? {
            return Err(Error::new(ErrorKind::Conflict, "another worker took over this connection")
                .with_retry(crate::error::Retry::Temporary));
        }
        slice.renewed = now;
        Ok(())
    }

    async fn follow_head(&self, slice: &mut Slice, partition: &PartitionId, row: &mut PartitionRow) -> Result<()> {
        if row.head.is_none() && row.snapshot.is_none() && !row.complete {
            return self.start_over(slice, partition, row).await;
        }
        while let Some(head) = row.head.clone() {
            self.renew(slice).await?;
            let page = match self.live.changes(partition, &head).await {
                Ok(page) => page,
                Err(error) if error.kind() == ErrorKind::CursorExpired => {
                    tracing::info!(connection = %self.keys.connection, "the head cursor expired: a new enumeration begins");
                    return self.start_over(slice, partition, row).await;
                }
                Err(error) => return Err(error),
            };
            let (next, done) = match &page.next {
                Next::More(next) => (next.clone(), *next == head),
                Next::Done { head: next } => (next.clone().unwrap_or(head), true),
            };
            row.head = Some(next);
            self.take_page(slice, partition, row, page, Lane::Live).await?;
            if done {
                break;
            }
        }
        Ok(())
    }

    /// Takes the head before the enumeration where the service can: nothing falls between the two.
    async fn start_over(&self, slice: &Slice, partition: &PartitionId, row: &mut PartitionRow) -> Result<()> {
        row.head = self.live.anchor(partition).await?;
        row.generation += 1;
        row.snapshot = Some(SnapshotRow::default());
        let write = self.keys.put(PARTITIONS, self.keys.partition(partition), row)?;
        self.commit(slice, &[&[write]], Vec::new()).await
    }

    async fn enumerate(&self, slice: &mut Slice, partition: &PartitionId, row: &mut PartitionRow) -> Result<()> {
        let Some(snapshot) = row.snapshot.clone() else { return Ok(()) };
        if snapshot.listing_done {
            return self.sweep(slice, partition, row, snapshot).await;
        }
        let page = match self.backfill.snapshot(partition, &self.options.window, snapshot.at.as_ref()).await {
            Ok(page) => page,
            Err(error) if error.kind() == ErrorKind::CursorExpired => {
                return self.start_over(slice, partition, row).await;
            }
            Err(error) => return Err(error),
        };
        let listed = snapshot.listed + page.changes.len() as u64;
        let next = match &page.next {
            Next::More(cursor) => SnapshotRow { at: Some(cursor.clone()), listed, ..snapshot },
            Next::Done { head } => {
                row.head = row.head.take().or_else(|| head.clone());
                SnapshotRow { listed, listing_done: true, ..snapshot }
            }
        };
        row.snapshot = Some(next);
        self.take_page(slice, partition, row, page, Lane::Backfill).await
    }

    /// Puts in doubt what the enumeration did not see: it is fetched, and only gone if the service says so.
    async fn sweep(
        &self,
        slice: &mut Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
        snapshot: SnapshotRow,
    ) -> Result<()> {
        const PAGE: usize = 500;
        let query = StateQuery::Range {
            tenant: self.keys.tenant.clone(),
            space: MEMBERS,
            prefix: self.keys.partition(partition).below(),
            after: snapshot.sweep_after.clone().map(StateKey::from_stored),
            limit: PAGE,
        };
        let members = self.store.read(&query).await?;
        let mut writes = Vec::new();
        for stored in &members {
            let mut member: MemberRow = decode(MEMBERS, &stored.bytes)?;
            if member.seen < row.generation && member.pending.is_none() {
                let item = ItemKey::new(stored.key.segments().pop().unwrap_or_default());
                self.queue(row, partition, &item, &mut member, Lane::Live, &mut writes)?;
                slice.pending += 1;
            }
        }
        row.snapshot = match members.last() {
            Some(last) if members.len() == PAGE => {
                Some(SnapshotRow { sweep_after: Some(last.key.as_str().to_owned()), ..snapshot })
            }
            _ => None,
        };
        row.complete |= row.snapshot.is_none();
        writes.push(self.keys.put(PARTITIONS, self.keys.partition(partition), row)?);
        self.commit(slice, &[&writes], Vec::new()).await
    }

    async fn take_page(
        &self,
        slice: &mut Slice,
        partition: &PartitionId,
        row: &mut PartitionRow,
        page: ChangePage<I>,
        lane: Lane,
    ) -> Result<()> {
        let keys = page.changes.iter().filter_map(|change| match change {
            Change::Upsert { key, .. } | Change::Removed { key, .. } => Some(key.clone()),
            Change::Malformed { .. } | Change::GroupReset { .. } => None,
        });
        let mut members = self.members(partition, keys.collect()).await?;
        let (mut writes, mut inputs, mut touched) = (Vec::new(), Vec::new(), BTreeSet::new());
        for change in page.changes {
            match change {
                Change::Malformed { key, raw, reason } => {
                    writes.push(self.quarantine(key.as_ref(), &raw, &reason).await?);
                }
                // No feed groups its items yet; a reset of an unknown group changes nothing.
                Change::GroupReset { .. } => {}
                Change::Removed { key, how } => {
                    let Some(member) = members.get_mut(&key) else { continue };
                    match how {
                        Removal::Gone => {
                            self.forget(slice, partition, &key, member, &mut writes);
                            members.remove(&key);
                            touched.remove(&key);
                            inputs.retain(|input: &Input<I>| *input.key() != key);
                            inputs.push(Input::Gone { key });
                        }
                        Removal::LeftPartition => {
                            slice.pending += u64::from(member.pending.is_none());
                            self.queue(row, partition, &key, member, Lane::Live, &mut writes)?;
                            touched.insert(key);
                        }
                    }
                }
                Change::Upsert { key, revision, body, .. } => {
                    let member = members.entry(key.clone()).or_default();
                    member.seen = row.generation;
                    touched.insert(key.clone());
                    match body {
                        Body::Deferred if settled(member, &revision, lane) => {}
                        Body::Inline(item) if member.known && !revision.is_older_than(&member.revision) => {
                            member.revision = revision;
                            inputs.retain(|input: &Input<I>| *input.key() != key);
                            inputs.push(Input::Present { key, item });
                        }
                        Body::Inline(_) if member.known || member.pending.is_some() => {}
                        Body::Inline(item) if !item.is_partial() => {
                            member.revision = revision;
                            member.known = true;
                            inputs.push(Input::Present { key, item });
                        }
                        Body::Deferred | Body::Inline(_) => {
                            slice.pending += u64::from(member.pending.is_none());
                            self.queue(row, partition, &key, member, lane, &mut writes)?;
                        }
                    }
                }
            }
        }
        for key in &touched {
            if let Some(member) = members.get(key) {
                writes.push(self.keys.put(MEMBERS, self.keys.member(partition, key), member)?);
            }
        }
        writes.push(self.keys.put(PARTITIONS, self.keys.partition(partition), row)?);
        self.settle(slice, inputs, writes).await
    }

    async fn members(&self, partition: &PartitionId, items: Vec<ItemKey>) -> Result<BTreeMap<ItemKey, MemberRow>> {
        let keys: BTreeSet<StateKey> = items.iter().map(|item| self.keys.member(partition, item)).collect();
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        let keys = keys.into_iter().collect();
        let query = StateQuery::Keys { tenant: self.keys.tenant.clone(), space: MEMBERS, keys };
        let rows = self.store.read(&query).await?;
        let member = |row: StateRow| {
            let item = ItemKey::new(row.key.segments().pop().unwrap_or_default());
            Ok((item, decode(MEMBERS, &row.bytes)?))
        };
        rows.into_iter().map(member).collect()
    }

    /// Gives an item a place in the queue, in front of where it waited before if the lane is live.
    fn queue(
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
        let place = self.keys.pending(lane, row.queued, item);
        member.pending = Some(place.as_str().to_owned());
        writes.push(self.keys.put(PENDING, place, &PendingRow { partition: partition.clone() })?);
        writes.push(self.keys.put(MEMBERS, self.keys.member(partition, item), member)?);
        Ok(())
    }

    fn forget(
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
        writes.push(self.keys.delete(MEMBERS, self.keys.member(partition, item)));
        writes.push(self.keys.delete(QUARANTINE, self.keys.quarantine(item.as_str())));
    }

    /// Prepares effects and commits them with the bookkeeping. Another mailbox's write to the same activity is a reason to
    /// prepare again, not to fail.
    async fn settle(&self, slice: &mut Slice, inputs: Vec<Input<I>>, writes: Vec<StateWrite>) -> Result<()> {
        const TRIES: u32 = 5;
        for attempt in 1.. {
            let effects = if inputs.is_empty() { Effects::default() } else { self.applier.prepare(&inputs).await? };
            match self.commit(slice, &[&writes, &effects.writes], effects.changes).await {
                Ok(()) => {
                    slice.settled += inputs.len() as u64;
                    if !effects.outcomes.is_empty() {
                        let event = Event::Decided(effects.outcomes);
                        self.events.on_event(&self.keys.tenant, &self.keys.connection, &event);
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict && attempt < TRIES => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn commit(&self, slice: &Slice, writes: &[&[StateWrite]], changes: Vec<ActivityChange>) -> Result<()> {
        let mut tx = self.store.begin(Some(&slice.guard)).await?;
        for writes in writes {
            tx.write(writes).await?;
        }
        if !changes.is_empty() {
            let sequence = tx.next(&CounterKey::new(self.keys.tenant.clone(), "batch")).await?;
            let (tenant, connection) = (self.keys.tenant.clone(), self.keys.connection.clone());
            let batch = Batch { tenant, connection, sequence, activities: changes };
            let call = AssertUnwindSafe(inside_transaction(self.sink.apply(&batch, &mut *tx))).catch_unwind();
            match tokio::time::timeout(self.options.lease, call).await {
                Ok(Ok(result)) => result?,
                Ok(Err(_)) => {
                    return Err(Error::new(ErrorKind::Store, "the host's sink panicked; the batch was rolled back"));
                }
                Err(_) => {
                    return Err(Error::new(
                        ErrorKind::Store,
                        "the host's sink did not come back; the batch was rolled back",
                    ));
                }
            }
        }
        tx.commit().await
    }

    async fn load(&self, partition: &PartitionId) -> Result<PartitionRow> {
        let key = self.keys.partition(partition);
        let row = crate::store::read_one(&*self.store, &self.keys.tenant, PARTITIONS, key).await?;
        row.map_or_else(|| Ok(PartitionRow::default()), |row| decode(PARTITIONS, &row.bytes))
    }

    async fn count(&self, space: &'static str) -> Result<u64> {
        let prefix = self.keys.feed().below();
        let rows = self.store.read(&StateQuery::Count { tenant: self.keys.tenant.clone(), space, prefix }).await?;
        Ok(rows.first().map_or(0, |row| row.version))
    }

    fn progress(&self, slice: &Slice, listing: bool, listed: u64) {
        let phase = match (listing, slice.pending) {
            (true, _) => Phase::Listing,
            (false, 0) => Phase::UpToDate,
            (false, _) => Phase::Fetching,
        };
        let progress = Progress { phase, listed, pending: slice.pending, settled: slice.settled, eta: None };
        self.events.on_event(&self.keys.tenant, &self.keys.connection, &Event::Progress(progress));
    }
}

/// Is what the listing names settled already? A listing without revisions says only that the item is there.
fn settled(member: &MemberRow, revision: &Revision, lane: Lane) -> bool {
    if member.pending.is_some() {
        return true;
    }
    let same = revision.order.is_some() && revision.order <= member.revision.order;
    member.known && (matches!(lane, Lane::Backfill) && *revision == Revision::default() || same)
}
