//! Our records ↔ the service's records.

use serde::{Deserialize, Serialize};

use super::rows::{put, read_row, spaces};
use crate::{
    error::Result,
    ids::{ConnectionId, TenantId},
    store::{StateKey, StateQuery, StateWrite, StoreTransaction, SyncStore},
    sync::rows::decode,
};

/// More links of one record than this are not read.
const MOST: usize = 10_000;

/// A record of ours or of the host's.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Ours {
    /// What it is ("intent", "invoice").
    pub kind: String,
    /// Its id.
    pub id: String,
}

impl Ours {
    /// A record.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }
}

/// A record of a service.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Theirs {
    /// Seen through this connection.
    pub connection: ConnectionId,
    /// What it is there ("message", "event").
    pub kind: String,
    /// Its id there.
    pub id: String,
}

impl Theirs {
    /// A record.
    pub fn new(connection: ConnectionId, kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self { connection, kind: kind.into(), id: id.into() }
    }

    fn key(&self) -> StateKey {
        StateKey::new([self.connection.as_str(), &self.kind, &self.id])
    }
}

/// Who had it first.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// We wrote it to the service.
    Ours,
    /// It came from the service.
    Theirs,
}

/// One record here and there.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Link {
    /// Here.
    pub ours: Ours,
    /// There.
    pub theirs: Theirs,
    /// Who had it first.
    pub origin: Origin,
    /// The service's version (etag, revision, sync token) that we wrote or read last; `None` if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
}

impl Link {
    /// A link.
    #[must_use]
    pub fn new(ours: Ours, theirs: Theirs, origin: Origin) -> Self {
        Self { ours, theirs, origin, seen: None }
    }

    /// With the version that we wrote or read last.
    #[must_use]
    pub fn with_seen(mut self, version: Option<String>) -> Self {
        self.seen = version;
        self
    }

    /// Is what comes back our own write, or what we have read already? Then there is nothing to do: no echo. A record
    /// without versions never changes, so that it is the same whenever it comes.
    #[must_use]
    pub fn is_echo(&self, version: Option<&str>) -> bool {
        self.seen.as_deref() == version
    }

    fn keys(&self) -> (StateKey, StateKey) {
        let Theirs { connection, kind, id } = &self.theirs;
        let forth = [self.ours.kind.as_str(), &self.ours.id, connection.as_str(), kind, id];
        (StateKey::new(forth), self.theirs.key().child(&self.ours.kind).child(&self.ours.id))
    }

    pub(super) fn writes(&self, tenant: &TenantId) -> Result<[StateWrite; 2]> {
        let (forth, back) = self.keys();
        Ok([put(tenant, spaces::LINKS, forth, self)?, put(tenant, spaces::LINKS_BACK, back, self)?])
    }
}

/// The links of a tenant.
#[derive(Clone, Copy, Debug)]
pub struct Links<'a> {
    store: &'a dyn SyncStore,
    tenant: &'a TenantId,
}

impl<'a> Links<'a> {
    /// The links of `tenant` in `store`.
    #[must_use]
    pub fn new(store: &'a dyn SyncStore, tenant: &'a TenantId) -> Self {
        Self { store, tenant }
    }

    /// Where a record of ours is at services.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn of_ours(&self, ours: &Ours) -> Result<Vec<Link>> {
        self.below(spaces::LINKS, StateKey::new([&ours.kind, &ours.id])).await
    }

    /// What a record of a service is here.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn of_theirs(&self, theirs: &Theirs) -> Result<Vec<Link>> {
        self.below(spaces::LINKS_BACK, theirs.key()).await
    }

    /// Exactly this pair.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn of_both(&self, ours: &Ours, theirs: &Theirs) -> Result<Option<Link>> {
        let key = Link::new(ours.clone(), theirs.clone(), Origin::Ours).keys().0;
        Ok(read_row(self.store, self.tenant, spaces::LINKS, key).await?.map(|(link, _)| link))
    }

    /// Writes a link, with the version seen last, within a transaction. Safe to repeat.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn put(&self, link: &Link, tx: &mut dyn StoreTransaction) -> Result<()> {
        tx.write(&link.writes(self.tenant)?).await
    }

    /// Takes a link away, within a transaction. Safe to repeat.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    pub async fn remove(&self, link: &Link, tx: &mut dyn StoreTransaction) -> Result<()> {
        let (forth, back) = link.keys();
        let forth = StateWrite::delete(self.tenant, spaces::LINKS, forth);
        tx.write(&[forth, StateWrite::delete(self.tenant, spaces::LINKS_BACK, back)]).await
    }

    async fn below(&self, space: crate::store::Space, key: StateKey) -> Result<Vec<Link>> {
        let (tenant, prefix) = (self.tenant.clone(), key.below());
        let query = StateQuery::Range { tenant, space, prefix, after: None, limit: MOST };
        self.store.read(&query).await?.iter().map(|row| decode(space, &row.bytes)).collect()
    }
}
