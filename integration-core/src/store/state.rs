//! Versioned rows in spaces, and the one transaction for effects, cursor and bookkeeping.

use std::{any::Any, fmt};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{key::StateKey, lease::LeaseGuard};
use crate::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
};

/// A family of rows ("member", "activity"). A constant per use; stored as text.
pub type Space = &'static str;

/// A row.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StateRow {
    /// Its key.
    pub key: StateKey,
    /// Counts its writes, from 1 (again, once it was deleted and written anew).
    pub version: u64,
    /// Its content; carries its own format version.
    pub bytes: Bytes,
}

impl StateRow {
    /// A row as a store holds it.
    #[must_use]
    pub fn new(key: StateKey, version: u64, bytes: Bytes) -> Self {
        Self { key, version, bytes }
    }
}

/// What to read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StateQuery {
    /// These keys; absent ones are left out. In key order.
    Keys {
        /// Whose.
        tenant: TenantId,
        /// Which family.
        space: Space,
        /// Which rows.
        keys: Vec<StateKey>,
    },
    /// Every row whose stored key begins with `prefix` and comes after `after`, in byte-wise key order, at most `limit`.
    Range {
        /// Whose.
        tenant: TenantId,
        /// Which family.
        space: Space,
        /// The beginning of the keys ([`StateKey::below`], or empty for the whole space).
        prefix: String,
        /// Where the previous page ended.
        after: Option<StateKey>,
        /// How many at most.
        limit: usize,
    },
    /// How many rows begin with `prefix`: one row without key, its `version` the count.
    Count {
        /// Whose.
        tenant: TenantId,
        /// Which family.
        space: Space,
        /// The beginning of the keys.
        prefix: String,
    },
}

/// What version a write expects to replace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expect {
    /// No row.
    Absent,
    /// Whatever is there.
    Any,
    /// Exactly this version.
    Version(u64),
}

/// One write: a new content, or a deletion.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StateWrite {
    /// Whose.
    pub tenant: TenantId,
    /// Which family.
    pub space: Space,
    /// Which row.
    pub key: StateKey,
    /// What it replaces.
    pub expect: Expect,
    /// The new content; `None` deletes.
    pub bytes: Option<Bytes>,
}

impl StateWrite {
    /// Puts `bytes`, whatever was there.
    pub fn put(tenant: &TenantId, space: Space, key: StateKey, bytes: impl Into<Bytes>) -> Self {
        Self { tenant: tenant.clone(), space, key, expect: Expect::Any, bytes: Some(bytes.into()) }
    }

    /// Deletes, whatever was there.
    #[must_use]
    pub fn delete(tenant: &TenantId, space: Space, key: StateKey) -> Self {
        Self { tenant: tenant.clone(), space, key, expect: Expect::Any, bytes: None }
    }

    /// Expects a version.
    #[must_use]
    pub fn expecting(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }
}

/// A counter of a tenant ("batch", "event").
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct CounterKey {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub name: &'static str,
}

impl CounterKey {
    /// A tenant's counter.
    #[must_use]
    pub fn new(tenant: TenantId, name: &'static str) -> Self {
        Self { tenant, name }
    }
}

/// Rows and transactions.
#[async_trait]
pub trait SyncStore: fmt::Debug + Send + Sync + 'static {
    /// Reads committed rows.
    ///
    /// # Errors
    /// [`Store`](crate::ErrorKind::Store) if the storage fails.
    async fn read(&self, query: &StateQuery) -> Result<Vec<StateRow>>;

    /// Begins a transaction. With a `guard`, the commit is refused once a newer holder of that lease has committed.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::ErrorKind::Misconfigured) from inside a sink's call: our transaction is open already
    /// (waiting for it would be a deadlock). `Store` if the storage fails.
    async fn begin(&self, guard: Option<&LeaseGuard>) -> Result<Box<dyn StoreTransaction>>;

    /// The store's clock, which decides for all processes what is due. Unless implemented: this machine's, for stores of one
    /// machine; a store that is wrapped is to be asked.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    async fn now(&self) -> Result<DateTime<Utc>> {
        Ok(Utc::now())
    }

    /// Forgets the counters and fences of a tenant that is being erased, and says how many.
    ///
    /// # Errors
    /// `Unsupported` unless a store implements it: whoever erases is told what is left. `Store` if the storage fails.
    async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64> {
        let _ = tenant;
        Err(Error::new(ErrorKind::Unsupported, "this store does not forget a tenant's counters and fences"))
    }
}

/// An open transaction. Dropping it rolls back. Reads through [`SyncStore::read`] do not see its writes.
#[async_trait]
pub trait StoreTransaction: Send {
    /// Writes rows, in order; a later write sees the versions of the earlier ones.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if an expected version does not match; the transaction is then only good
    /// for dropping: its commit is refused too.
    async fn write(&mut self, rows: &[StateWrite]) -> Result<()>;

    /// The counter's next number, from 1. Nobody else gets a number of this counter before we commit or roll back, so no
    /// reader can skip a late commit.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    async fn next(&mut self, counter: &CounterKey) -> Result<u64>;

    /// Commits everything or nothing.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if a higher fence of the guard's lease has committed before.
    async fn commit(self: Box<Self>) -> Result<()>;

    /// For a store's own downcast (`sqlite::connection(tx)`).
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl fmt::Debug for dyn StoreTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreTransaction")
    }
}

/// Reads one row.
///
/// # Errors
/// As [`SyncStore::read`].
pub async fn read_one(
    store: &dyn SyncStore,
    tenant: &TenantId,
    space: Space,
    key: StateKey,
) -> Result<Option<StateRow>> {
    let query = StateQuery::Keys { tenant: tenant.clone(), space, keys: vec![key] };
    Ok(store.read(&query).await?.pop())
}
