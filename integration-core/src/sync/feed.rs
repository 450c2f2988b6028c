//! The only thing the engine knows of a service.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    change::{ChangePage, Fetched},
    cursor::{Cursor, Window},
};
use crate::{
    error::Result,
    ids::{ItemKey, PartitionId},
};

/// What a feed carries.
pub trait SyncItem: Clone + fmt::Debug + Send + Sync + Sized + 'static {
    /// The kind, stored with quarantined items.
    const KIND: &'static str;
    /// The format of [`SyncItem::encode`].
    const VERSION: u16;

    /// For quarantine and replay.
    fn encode(&self) -> Bytes;

    /// Reads what [`SyncItem::encode`] of format `version` wrote.
    ///
    /// # Errors
    /// `Validation` if it cannot be read.
    fn decode(version: u16, bytes: &[u8]) -> Result<Self>;

    /// Only a part of the item (flags): of use only where the rest is known.
    fn is_partial(&self) -> bool {
        false
    }

    /// A partial item that says only what a partition gives to everything in it ([`Partition::inherits`]); `None`: to know
    /// what it means for an item, the item has to be fetched.
    fn inheriting(inherited: &str) -> Option<Self> {
        let _ = inherited;
        None
    }
}

/// What can be pulled incrementally from a connection.
#[async_trait]
pub trait Feed: fmt::Debug + Send + Sync + 'static {
    /// What it carries.
    type Item: SyncItem;

    /// What it can do; constant for the life of the value.
    fn capabilities(&self) -> FeedCapabilities;

    /// The partitions (one page of them, after `at`). What the last page and those before it do not name is taken for gone:
    /// a list that may not be whole is an error.
    ///
    /// # Errors
    /// What the service answers.
    async fn partitions(&self, at: Option<&Cursor>) -> Result<PartitionPage>;

    /// "Now", before the backfill; `None` where only a finished snapshot yields it.
    ///
    /// # Errors
    /// What the service answers.
    async fn anchor(&self, partition: &PartitionId) -> Result<Option<Cursor>>;

    /// A page of an enumeration of everything in `window`, newest first where the feed can. A page may be empty although more
    /// follow; an enumeration of which 200 pages in a row have nothing that it has not had is taken for one without end.
    ///
    /// # Errors
    /// `CursorExpired`: begin the enumeration again.
    async fn snapshot(
        &self,
        partition: &PartitionId,
        window: &Window,
        at: Option<&Cursor>,
    ) -> Result<ChangePage<Self::Item>>;

    /// A page of what changed since `since`. Likewise, 200 pages in a row that tell nothing new (by their revisions) are taken
    /// for pages without end.
    ///
    /// # Errors
    /// `CursorExpired`: a new snapshot is needed.
    async fn changes(&self, partition: &PartitionId, since: &Cursor) -> Result<ChangePage<Self::Item>>;

    /// Fetches items; also proves a removal. Each key is answered once.
    ///
    /// # Errors
    /// Only where nothing at all came back; single items report for themselves. After `InvalidInput` or `Unsupported` for
    /// several, the engine asks for each alone.
    async fn fetch(&self, keys: &[ItemKey]) -> Result<Vec<Fetched<Self::Item>>>;
}

/// A partition and what a person would call it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Partition {
    /// Its id.
    pub id: PartitionId,
    /// Its name.
    pub name: String,
    /// What everything in it takes from it, beside what is its own (that it lies below the deleted mail), in a form that
    /// [`SyncItem::inheriting`] reads. Where it is another than before, the items are decided anew from what is stored.
    /// `None`: nothing is said about that now, and what was said before holds.
    pub inherits: Option<String>,
}

impl Partition {
    /// A partition.
    pub fn new(id: PartitionId, name: impl Into<String>) -> Self {
        Self { id, name: name.into(), inherits: None }
    }

    /// Sets what everything in it takes from it.
    #[must_use]
    pub fn with_inherited(mut self, inherited: impl Into<String>) -> Self {
        self.inherits = Some(inherited.into());
        self
    }
}

/// A page of partitions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionPage {
    /// The partitions.
    pub partitions: Vec<Partition>,
    /// Where the next page begins.
    pub next: Option<Cursor>,
    /// Entries that could not be read, so that nobody knows which partitions they are. While there are any, a partition
    /// that is not named is none that is gone.
    pub unreadable: usize,
}

impl PartitionPage {
    /// A page.
    #[must_use]
    pub fn new(partitions: Vec<Partition>, next: Option<Cursor>) -> Self {
        Self { partitions, next, unreadable: 0 }
    }

    /// Sets how many entries could not be read.
    #[must_use]
    pub fn with_unreadable(mut self, entries: usize) -> Self {
        self.unreadable = entries;
        self
    }
}

/// What a feed can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FeedCapabilities {
    /// [`Feed::anchor`] yields a cursor before the snapshot.
    pub anchor_first: bool,
    /// Snapshots come newest first.
    pub newest_first: bool,
    /// How many keys one [`Feed::fetch`] should be given.
    pub fetch_batch: usize,
    /// What fetching one item costs, in units of the quota table: for the time that is left.
    pub fetch_cost: u32,
    /// How many items one page of [`Feed::snapshot`] names.
    pub list_page: usize,
    /// What one such page costs, in units of the quota table.
    pub list_cost: u32,
    /// How many partitions are asked at the same time.
    pub at_once: usize,
}

impl FeedCapabilities {
    /// A feed that fetches `fetch_batch` items at a time, each costing `fetch_cost` units.
    #[must_use]
    pub const fn new(fetch_batch: usize, fetch_cost: u32) -> Self {
        Self {
            anchor_first: false,
            newest_first: false,
            fetch_batch,
            fetch_cost,
            list_page: 100,
            list_cost: 1,
            at_once: 1,
        }
    }

    /// Its snapshot names `page` items at a time, each page costing `cost` units; 100 and 1 unless set.
    #[must_use]
    pub const fn with_listing(mut self, page: usize, cost: u32) -> Self {
        (self.list_page, self.list_cost) = (page, cost);
        self
    }

    /// So many of its partitions are asked at the same time; one after the other unless set.
    #[must_use]
    pub const fn with_at_once(mut self, partitions: usize) -> Self {
        self.at_once = partitions;
        self
    }

    /// Its anchor can be taken before the snapshot.
    #[must_use]
    pub const fn with_anchor_first(mut self) -> Self {
        self.anchor_first = true;
        self
    }

    /// Its snapshots come newest first.
    #[must_use]
    pub const fn with_newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }
}
