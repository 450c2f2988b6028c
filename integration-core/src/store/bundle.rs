//! The stores a hub works with.

use std::sync::Arc;

use super::{JobStore, LeaseStore, MemoryStore, SyncStore, TokenStore};

/// One store per concern; take a bundled one and swap exactly what you want to keep elsewhere.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stores {
    /// Sealed token sets.
    pub tokens: Arc<dyn TokenStore>,
    /// Leases.
    pub leases: Arc<dyn LeaseStore>,
    /// Rows and transactions.
    pub sync: Arc<dyn SyncStore>,
    /// Jobs.
    pub jobs: Arc<dyn JobStore>,
}

impl Stores {
    /// Everything in one new [`MemoryStore`].
    #[must_use]
    pub fn memory() -> Self {
        Self::from_one(Arc::new(MemoryStore::new()))
    }

    /// One store that does it all.
    pub fn from_one<S: TokenStore + LeaseStore + SyncStore + JobStore>(store: Arc<S>) -> Self {
        let (tokens, leases, sync) = (Arc::clone(&store), Arc::clone(&store), Arc::clone(&store));
        Self { tokens, leases, sync, jobs: store }
    }

    /// Keeps tokens elsewhere.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Arc<dyn TokenStore>) -> Self {
        self.tokens = tokens;
        self
    }

    /// Keeps leases elsewhere.
    #[must_use]
    pub fn with_leases(mut self, leases: Arc<dyn LeaseStore>) -> Self {
        self.leases = leases;
        self
    }

    /// Keeps jobs elsewhere.
    #[must_use]
    pub fn with_jobs(mut self, jobs: Arc<dyn JobStore>) -> Self {
        self.jobs = jobs;
        self
    }
}
