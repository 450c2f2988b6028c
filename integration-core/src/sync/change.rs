//! What a feed reports.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use crate::ids::{GroupKey, ItemKey};

/// A page of changes and what follows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChangePage<T> {
    /// The changes, in the service's order; may be empty although more follow.
    pub changes: Vec<Change<T>>,
    /// Where to go on.
    pub next: Next,
    /// How many items the whole walk has, where the service knows exactly.
    pub total: Option<u64>,
}

impl<T> ChangePage<T> {
    /// A page of its parts.
    #[must_use]
    pub fn new(changes: Vec<Change<T>>, next: Next) -> Self {
        Self { changes, next, total: None }
    }
}

/// What follows a page.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Next {
    /// The end. For a snapshot, what it did not see is now suspected gone.
    Done {
        /// Where to go on from now on, if this walk yields it.
        head: Option<Cursor>,
    },
    /// More.
    More(Cursor),
}

/// One change.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change<T> {
    /// The service resets a group: what it does not re-emit is gone.
    GroupReset {
        /// Which.
        group: GroupKey,
    },
    /// Something that could not be understood; goes to quarantine.
    Malformed {
        /// The item, if that much was understood.
        key: Option<ItemKey>,
        /// What came.
        raw: Bytes,
        /// What is wrong with it.
        reason: Reason,
    },
    /// An item is gone, or suspected to be.
    Removed {
        /// Which.
        key: ItemKey,
        /// How sure.
        how: Removal,
    },
    /// An item is there, in this state.
    Upsert {
        /// Which.
        key: ItemKey,
        /// The group it belongs to.
        group: Option<GroupKey>,
        /// Its state's version.
        revision: Revision,
        /// Its content, or the promise of it.
        body: Body<T>,
    },
}

/// The content of an upsert.
#[derive(Clone, Debug)]
pub enum Body<T> {
    /// Known, not fetched: stored as pending work in the same transaction as the cursor.
    Deferred,
    /// Here. An item may say that it is partial (only flags): then an unknown item becomes pending.
    Inline(T),
}

/// How sure a removal is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// The service says it is gone.
    Gone,
    /// It is no longer in this partition: only a suspicion, proved by fetching it.
    LeftPartition,
}

/// The version of an item's state.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Revision {
    /// The service's tag.
    pub tag: String,
    /// Its order, where the service has one: stops a slow read from overwriting a newer state.
    pub order: Option<i64>,
}

impl Revision {
    /// A revision with an order; the tag is the number.
    #[must_use]
    pub fn ordered(order: i64) -> Self {
        Self { tag: order.to_string(), order: Some(order) }
    }

    /// A revision without order.
    pub fn tagged(tag: impl Into<String>) -> Self {
        Self { tag: tag.into(), order: None }
    }

    /// Is this state certainly older than `other`?
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        matches!((self.order, other.order), (Some(mine), Some(theirs)) if mine < theirs)
    }
}

/// What fetching one item gave. Answers name their keys; order does not matter.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fetched<T> {
    /// The service says it is gone.
    Gone(ItemKey),
    /// It is there, but cannot be understood.
    Malformed {
        /// Which.
        key: ItemKey,
        /// What came.
        raw: Bytes,
        /// What is wrong with it.
        reason: Reason,
    },
    /// Not now: leave it pending and go on with others.
    NotYet(ItemKey, std::sync::Arc<crate::error::Error>),
    /// Here.
    Present {
        /// Which.
        key: ItemKey,
        /// Its state's version.
        revision: Revision,
        /// Its content.
        item: T,
    },
}

impl<T> Fetched<T> {
    /// Which item it is about.
    #[must_use]
    pub fn key(&self) -> &ItemKey {
        match self {
            Self::Gone(key) | Self::NotYet(key, _) => key,
            Self::Malformed { key, .. } | Self::Present { key, .. } => key,
        }
    }
}

/// Why something could not be understood: one plain sentence without content of the item.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reason(String);

impl Reason {
    /// A reason.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The sentence.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
