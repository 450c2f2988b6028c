//! Storage: small traits split by concern, so that a host replaces just the one it wants.
//!
//! | trait | keeps | rule |
//! |---|---|---|
//! | [`TokenStore`] | sealed token sets, per grant | compare-and-set on the version |
//! | [`LeaseStore`] | who works on what | the store's own clock; every acquisition gets a higher fence |
//! | [`SyncStore`] | everything else, as versioned rows in spaces | one transaction for effects and cursor |
//! | [`JobStore`] | work to do | claims with a lease; one pending job per key |
//!
//! Every call names its tenant; no call crosses tenants, except the maintenance listings that say so.

mod bundle;
mod clock;
mod guard;
mod job_store;
mod key;
mod lease;
mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod state;
#[cfg(test)]
mod tests;
mod token;

pub use bundle::Stores;
#[cfg(feature = "oauth")]
pub(crate) use clock::SharedClock;
pub(crate) use clock::StoreClock;
pub use guard::{forbid_reentry, inside_transaction};
pub use job_store::{Claim, JobStore};
pub use key::StateKey;
pub use lease::{LeaseGuard, LeaseKey, LeaseStore};
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteStore};
pub use state::{CounterKey, Expect, Space, StateQuery, StateRow, StateWrite, StoreTransaction, SyncStore, read_one};
pub use token::{GrantKey, Saved, SealedRecord, TokenStore, Version};
