//! Sealed token sets.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    error::Result,
    ids::{GrantId, TenantId},
};

/// Counts the saves of a record, from 1.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version(pub u64);

impl Version {
    /// The version of the record that replaces the one of version `expect`; the first one without.
    #[must_use]
    pub fn after(expect: Option<Self>) -> Self {
        Self(expect.map_or(1, |version| version.0.saturating_add(1)))
    }
}

/// An encrypted record with its version; the bytes carry their own format version and key id.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SealedRecord {
    /// The version as loaded; ignored when saving.
    pub version: Version,
    /// The sealed bytes.
    pub bytes: Bytes,
}

impl SealedRecord {
    /// A record to save.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { version: Version(0), bytes: bytes.into() }
    }

    /// A record as loaded.
    pub fn loaded(version: Version, bytes: impl Into<Bytes>) -> Self {
        Self { version, bytes: bytes.into() }
    }
}

/// What became of a save.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Saved {
    /// Somebody else saved first: nothing changed.
    Stale,
    /// It is durable, with this version.
    Stored(Version),
}

/// A grant anywhere in the store.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GrantKey {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub grant: GrantId,
}

/// Where token sets are kept: sees sealed bytes only.
///
/// Compare-and-set makes refreshing right even where tokens live in another store than leases.
#[async_trait]
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// The record, if any.
    ///
    /// # Errors
    /// [`Store`](crate::ErrorKind::Store) if the storage fails.
    async fn load(&self, tenant: &TenantId, grant: &GrantId) -> Result<Option<SealedRecord>>;

    /// Saves if the stored version is `expect` (`None`: if there is no record). Durable on return. The version it then has is
    /// [`Version::after`] `expect`, nothing else: the record was sealed for it.
    ///
    /// # Errors
    /// `Store` if the storage fails; a lost race is [`Saved::Stale`], not an error.
    async fn save(
        &self,
        tenant: &TenantId,
        grant: &GrantId,
        expect: Option<Version>,
        record: &SealedRecord,
    ) -> Result<Saved>;

    /// Deletes; deleting what is not there is fine. The count of saves is forgotten with it: never reuse a grant's id.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    async fn delete(&self, tenant: &TenantId, grant: &GrantId) -> Result<()>;

    /// The grants after `after` in key order. Maintenance only (key rotation, keep-alive): the one call over all tenants.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    async fn list(&self, after: Option<&GrantKey>, limit: usize) -> Result<Vec<GrantKey>>;
}
