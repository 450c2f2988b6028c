//! The one engine that drives every feed.
//!
//! A slice does: head changes first, then waiting items, then the enumeration, one page at a time. Whatever a page brings
//! is applied, quarantined or stored as pending in the same transaction as the cursor that passes it. Network and
//! look-ups happen before a transaction opens.

mod again;
mod audit;
mod inherit;
mod note;
mod page;
mod partitions;
mod pending;
mod refused;
mod replay;
mod strays;
mod walk;

#[cfg(feature = "oauth")]
pub(crate) use again::WalkRow;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tracing::Instrument;

use self::pending::FetchEnd;
use super::{
    cursor::Window,
    feed::{Feed, SyncItem},
    hold::{holding, taken_over},
    publish::{Publication, Told, publish},
    rows::{Keys, PARTITIONS, PENDING, PartitionRow, decode},
    shutdown::Shutdown,
};
use crate::{
    activity::{ActivityChange, BatchRetention, NameLists, Outcome, Sink},
    clock::Clock,
    error::{ErrorKind, Result},
    event::{Event, EventListener, EventRetention, Phase, Progress, kept_of, tell},
    ids::{ConnectionId, ItemKey, PartitionId, TenantId},
    store::{LeaseGuard, LeaseKey, LeaseStore, Space, StateQuery, StateWrite, SyncStore},
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
    /// Free-mail domains and role names.
    pub lists: Arc<NameLists>,
    /// How often a feed is compared with its service, item by item; `None`: only on request. Weekly unless set.
    pub audit_every: Option<Duration>,
    /// How long the tenants' events are kept.
    pub events: EventRetention,
    /// Keeps batches for hosts on another database until they are acknowledged; `None` unless set.
    pub batches: Option<BatchRetention>,
    /// A connection is called stale once its last success is older than so many polls, and a minute. 6 unless set.
    pub stale_after: u32,
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
            lists: Arc::default(),
            audit_every: Some(Duration::from_secs(7 * 24 * 3600)),
            events: EventRetention::default(),
            batches: None,
            stale_after: 6,
        }
    }
}

/// What is handed to an applier.
#[derive(Clone, Debug)]
pub(crate) enum Input<I> {
    /// Decide it anew from what is stored: the directory, a policy or a verdict changed.
    Again {
        key: ItemKey,
    },
    Gone {
        key: ItemKey,
    },
    /// Decide it anew from what is stored, and enter it wherever it is listed: something of that was lost.
    Restored {
        key: ItemKey,
    },
    Present {
        key: ItemKey,
        item: I,
    },
}

impl<I> Input<I> {
    pub(crate) fn key(&self) -> &ItemKey {
        match self {
            Self::Again { key } | Self::Gone { key } | Self::Restored { key } | Self::Present { key, .. } => key,
        }
    }
}

/// What an applier wants written.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) writes: Vec<StateWrite>,
    pub(crate) changes: Vec<ActivityChange>,
    pub(crate) outcomes: Vec<(String, Option<Outcome>)>,
    /// What happens with the commit, beside the decisions.
    pub(crate) told: Vec<Event>,
}

/// Turns items into effects: reads and look-ups only, nothing is written here.
#[async_trait]
pub(crate) trait Applier<I>: std::fmt::Debug + Send + Sync {
    async fn prepare(&self, inputs: &[Input<I>]) -> Result<Effects>;

    /// Where its decisions lie, below the connection.
    fn decided(&self) -> Space;

    /// What became of items that were applied; nothing for those that nothing is known of.
    async fn standing(&self, items: &[ItemKey]) -> Result<BTreeMap<ItemKey, Standing>>;
}

/// What became of an item.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// It is on the timeline.
    Applied,
    /// It should be on the timeline, and is not, or not as it was decided.
    EffectLost,
    /// It would not be found when its people, its conversation or an answer to it change.
    IndexLost,
    /// It was decided against.
    Skipped,
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
    /// What the quota gives history in the long run, for the time that is left.
    pub(crate) units_per_second: Option<f64>,
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

/// Who works on a connection's feed.
pub(crate) fn sync_lease(tenant: &TenantId, connection: &ConnectionId, kind: &str) -> LeaseKey {
    LeaseKey::new(["sync", tenant.as_str(), connection.as_str(), kind])
}

/// One slice's state.
struct Slice {
    guard: LeaseGuard,
    renewed: DateTime<Utc>,
    ends: DateTime<Utc>,
    pending: u64,
    settled: u64,
    /// What happens with the next commit.
    told: Vec<Event>,
    /// How far it came.
    progress: Option<Progress>,
}

impl<I: SyncItem> Engine<I> {
    /// Works for at most the configured time.
    pub(crate) async fn slice(&self, stop: &Shutdown) -> Result<SliceEnd> {
        let Keys { tenant, connection, kind } = &self.keys;
        let span = tracing::info_span!("sync_slice", %tenant, %connection, feed = kind, cause = tracing::field::Empty);
        let slice = async {
            let Some(mut slice) = self.begin().await? else { return Ok(SliceEnd::Busy) };
            let guard = slice.guard.clone();
            let end = self.holding(guard, self.work_and_note(&mut slice, stop)).await;
            if let Err(error) = &end {
                tracing::Span::current().record("cause", error.kind().as_str());
            }
            end
        };
        slice.instrument(span).await
    }

    /// Keeps the lease while `work` goes on, however long one call of it takes, and gives it back.
    async fn holding<T>(&self, guard: LeaseGuard, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        holding((&*self.leases, &*self.clock, self.options.lease), guard, work).await
    }

    /// Takes the lease; `None` while somebody else has it.
    async fn begin(&self) -> Result<Option<Slice>> {
        let lease = sync_lease(&self.keys.tenant, &self.keys.connection, self.keys.kind);
        let Some(guard) = self.leases.acquire(&lease, self.options.lease).await? else { return Ok(None) };
        let pending = match self.enter(&guard).await {
            Ok(pending) => pending,
            Err(error) => {
                self.give_back(guard).await;
                return Err(error);
            }
        };
        let now = self.clock.now();
        let ends = now + chrono::TimeDelta::from_std(self.options.slice).unwrap_or_default();
        Ok(Some(Slice { guard, renewed: now, ends, pending, settled: 0, told: Vec::new(), progress: None }))
    }

    /// From here on no earlier holder can commit: what is read now stays true until we write. How much is waiting.
    async fn enter(&self, guard: &LeaseGuard) -> Result<u64> {
        self.store.begin(Some(guard)).await?.commit().await?;
        self.count(PENDING).await
    }

    async fn give_back(&self, guard: LeaseGuard) {
        if let Err(error) = self.leases.release(guard).await {
            tracing::warn!(error = %error, "a lease could not be given back; it runs out");
        }
    }

    async fn work_and_note(&self, slice: &mut Slice, stop: &Shutdown) -> Result<SliceEnd> {
        let end = self.work(slice, stop).await?;
        // What was done is done, whether or not it could be noted.
        if let Err(error) = self.note_success(slice, end).await {
            tracing::warn!(error = %error, "that a slice came to its end could not be noted");
        }
        Ok(end)
    }

    async fn work(&self, slice: &mut Slice, stop: &Shutdown) -> Result<SliceEnd> {
        if !self.again(slice, stop).await? {
            return Ok(SliceEnd::More);
        }
        let (partitions, strays) = (self.partitions().await?, self.strays().await?);
        let Some(mut round) = self.follow_heads(slice, &partitions, stop).await? else { return Ok(SliceEnd::More) };
        if round.is_whole() {
            self.look_for(slice, strays).await?;
        }
        let all = partitions.all();
        // One round is always made: however long it takes to ask many heads, history and what waits go on.
        while !stop.stopping() {
            self.renew(slice).await?;
            let listing = !round.walking.is_empty();
            let listed = self.list(slice, &mut round).await?;
            self.take_refusals(slice, &mut round).await?;
            self.inherit(slice, &partitions, &mut round).await?;
            let fetched = self.fetch_pending(slice, &all).await?;
            self.progress(slice, listing, listed);
            match fetched {
                FetchEnd::Refused(wait) => return Ok(SliceEnd::Wait(wait)),
                FetchEnd::Nothing if !listing && round.inheriting.is_empty() => return round.end(),
                FetchEnd::Nothing | FetchEnd::Some => {}
            }
            if self.clock.now() >= slice.ends {
                break;
            }
        }
        Ok(SliceEnd::More)
    }

    async fn renew(&self, slice: &mut Slice) -> Result<()> {
        let now = self.clock.now();
        let held = (now - slice.renewed).to_std().unwrap_or_default();
        if held < self.options.lease / 3 {
            return Ok(());
        }
        if !self.leases.renew(&slice.guard, self.options.lease).await? {
            return Err(taken_over());
        }
        slice.renewed = now;
        Ok(())
    }

    /// Prepares effects and commits them with the bookkeeping. Another mailbox's write to the same activity is a reason to
    /// prepare again, not to fail.
    async fn settle(&self, slice: &mut Slice, inputs: Vec<Input<I>>, writes: Vec<StateWrite>) -> Result<()> {
        const TRIES: u32 = 5;
        for attempt in 1.. {
            let effects = if inputs.is_empty() { Effects::default() } else { self.applier.prepare(&inputs).await? };
            let events = slice.told.iter().chain(&effects.told).filter_map(kept_of).collect();
            let told = Told { activities: effects.changes, events };
            match self.commit_telling(slice, &[&writes, &effects.writes], told).await {
                Ok(()) => {
                    slice.settled += inputs.len() as u64;
                    for event in slice.told.drain(..).chain(effects.told) {
                        self.tell(&event);
                    }
                    if !effects.outcomes.is_empty() {
                        let event = Event::Decided(effects.outcomes);
                        self.tell(&event);
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict && attempt < TRIES => {}
                Err(error) => {
                    // It did not happen: the next commit must not tell of it.
                    slice.told.clear();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn commit(&self, slice: &Slice, writes: &[&[StateWrite]]) -> Result<()> {
        self.commit_telling(slice, writes, Told::default()).await
    }

    async fn commit_telling(&self, slice: &Slice, writes: &[&[StateWrite]], told: Told) -> Result<()> {
        let publication = Publication {
            store: &*self.store,
            sink: &*self.sink,
            tenant: &self.keys.tenant,
            connection: &self.keys.connection,
            guard: Some(&slice.guard),
            patience: self.options.lease,
            now: self.clock.now(),
            events: self.options.events,
            batches: self.options.batches,
        };
        publish(&publication, writes, told).await
    }

    async fn load(&self, partition: &PartitionId) -> Result<PartitionRow> {
        let key = self.keys.partition(partition);
        let row = crate::store::read_one(&*self.store, &self.keys.tenant, PARTITIONS, key).await?;
        row.map_or_else(|| Ok(PartitionRow::default()), |row| decode(PARTITIONS, &row.bytes))
    }

    async fn count(&self, space: &'static str) -> Result<u64> {
        self.count_below(space, self.keys.feed().below()).await
    }

    async fn count_below(&self, space: &'static str, prefix: String) -> Result<u64> {
        let rows = self.store.read(&StateQuery::Count { tenant: self.keys.tenant.clone(), space, prefix }).await?;
        Ok(rows.first().map_or(0, |row| row.version))
    }

    fn progress(&self, slice: &mut Slice, listing: bool, listed: u64) {
        let phase = match (listing, slice.pending) {
            (true, _) => Phase::Listing,
            (false, 0) => Phase::UpToDate,
            (false, _) => Phase::Fetching,
        };
        let eta = if listing { None } else { self.eta(slice.pending) };
        let progress = Progress { phase, listed, pending: slice.pending, settled: slice.settled, eta };
        slice.progress = Some(progress);
        self.tell(&Event::Progress(progress));
    }

    fn tell(&self, event: &Event) {
        tell(&*self.events, &self.keys.tenant, &self.keys.connection, event);
    }

    /// The time that the waiting items take at the pace the quota allows.
    fn eta(&self, pending: u64) -> Option<Duration> {
        let pace = self.units_per_second.filter(|pace| *pace > 0.0)?;
        let units = pending.saturating_mul(u64::from(self.live.capabilities().fetch_cost));
        #[allow(clippy::cast_precision_loss, reason = "a time shown to a person")]
        Duration::try_from_secs_f64(units as f64 / pace).ok()
    }
}
