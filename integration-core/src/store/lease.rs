//! Leases with fencing.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
};

/// What is leased: `kind` ("refresh", "sync") and a name that holds tenant and object.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LeaseKey(String);

impl LeaseKey {
    /// A key of its segments.
    pub fn new<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Self {
        Self(super::key::StateKey::new(segments).as_str().to_owned())
    }

    /// The text to store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is it about something of this tenant? The second segment of every key names one.
    #[must_use]
    pub fn is_of(&self, tenant: &TenantId) -> bool {
        super::key::StateKey::from_stored(&self.0).segments().get(1).is_some_and(|of| of == tenant.as_str())
    }
}

/// A lease that was acquired.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LeaseGuard {
    /// What is leased.
    pub key: LeaseKey,
    /// Higher than every fence given for this key before, for ever.
    pub fence: u64,
    /// Tells this holder from others with the same process name.
    pub holder: String,
}

impl LeaseGuard {
    /// A guard as a store hands it out.
    #[must_use]
    pub fn new(key: LeaseKey, fence: u64, holder: String) -> Self {
        Self { key, fence, holder }
    }
}

/// Who works on what. Takes durations only: the store's clock decides.
#[async_trait]
pub trait LeaseStore: fmt::Debug + Send + Sync + 'static {
    /// Acquires the lease for `ttl` unless somebody holds it.
    ///
    /// # Errors
    /// [`Store`](crate::ErrorKind::Store) if the storage fails.
    async fn acquire(&self, key: &LeaseKey, ttl: Duration) -> Result<Option<LeaseGuard>>;

    /// Prolongs; false if it is no longer ours (expired and taken, or released). An expired lease that nobody took is
    /// ours still.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    async fn renew(&self, guard: &LeaseGuard, ttl: Duration) -> Result<bool>;

    /// Gives it back if it is still ours.
    ///
    /// # Errors
    /// `Store` if the storage fails.
    async fn release(&self, guard: LeaseGuard) -> Result<()>;

    /// Forgets the leases of a tenant that is being erased, and says how many.
    ///
    /// # Errors
    /// `Unsupported` unless a store implements it: whoever erases is told what is left. `Store` if the storage fails.
    async fn forget_tenant(&self, tenant: &TenantId) -> Result<u64> {
        let _ = tenant;
        Err(Error::new(ErrorKind::Unsupported, "this store does not forget a tenant's leases"))
    }
}
