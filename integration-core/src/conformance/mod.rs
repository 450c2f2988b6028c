//! The suites every implementation of a public trait must pass. Exempt from version promises.
//!
//! Each suite is a module of cases: functions over a trait object that say which [promise](Broken) was broken. A macro of
//! the same name turns all of them into tests of the calling crate (which needs tokio's `macros` and `rt`):
//!
//! ```text
//! async fn fresh(name: &str) -> Arc<MyStore> { /* an empty store; `name` is unique within the suite */ }
//! async fn reopen(store: &Arc<MyStore>) -> Arc<MyStore> { /* the same content, opened once more beside it */ }
//!
//! mod tokens {
//!     integration_core::token_store_conformance!(super::fresh, super::reopen);
//! }
//! ```
//!
//! `fresh` returns anything that derefs to the store: an `Arc`, or a guard that also keeps a temporary directory alive.
//! A store that needs a server writes `token_store_conformance!(optional super::fresh, super::reopen)` and returns an
//! `Option`: without the server the tests pass, and `fresh` says why.
//! Suites of what needs more than itself (a sink its store, a provider its mailbox) take a *fixture*: a small trait that
//! arranges the far side and reads it back.
//!
//! | macro | proves a |
//! |---|---|
//! | `token_store_conformance!` | [`TokenStore`](crate::store::TokenStore) |
//! | `lease_store_conformance!` | [`LeaseStore`](crate::store::LeaseStore) |
//! | `sync_store_conformance!` | [`SyncStore`](crate::store::SyncStore) |
//! | `job_store_conformance!` | [`JobStore`](crate::store::JobStore) |
//! | `scheduler_conformance!` | [`Scheduler`](crate::sync::Scheduler) |
//! | `sink_conformance!` | [`Sink`](crate::activity::Sink) |
//! | `email_provider_conformance!` (feature `mail`) | [`EmailProvider`](crate::email::EmailProvider) with its feed |
//!
//! Cases wait for real time only where a lease has to run out, and then for multiples of [`SHORT`].

// A test blocks on its case: nothing has to move between threads, and fixtures need not be able to.
#![allow(clippy::future_not_send)]

#[cfg(feature = "mail")]
pub mod email_provider;
pub mod job_store;
pub mod lease_store;
mod macros;
#[cfg(feature = "mail")]
pub mod memory_mailbox;
pub mod saboteur;
pub mod scheduler;
pub mod sink;
pub mod sync_store;
#[cfg(test)]
mod tests;
pub mod token_store;

use std::{fmt, time::Duration};

use crate::error::Error;

/// How long a lease lives that a case lets run out.
pub const SHORT: Duration = Duration::from_millis(40);
/// How long a lease lives that must not run out during a case.
pub const LONG: Duration = Duration::from_secs(600);

/// A promise of a trait that an implementation does not keep.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Broken {
    /// The promise, as a sentence.
    pub promise: &'static str,
    /// What happened instead.
    pub detail: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken promise: {} ({})", self.promise, self.detail)
    }
}

impl std::error::Error for Broken {}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self { promise: "calls succeed", detail: error.to_string() }
    }
}

/// What a case returns.
pub type Kept = Result<(), Broken>;

fn ensure(kept: bool, promise: &'static str, detail: impl fmt::Display) -> Kept {
    if kept { Ok(()) } else { Err(Broken { promise, detail: detail.to_string() }) }
}

fn same<T: PartialEq + fmt::Debug>(found: &T, wanted: &T, promise: &'static str) -> Kept {
    ensure(found == wanted, promise, format_args!("expected {wanted:?}, found {found:?}"))
}

/// Inside our own transaction, a call that would wait for it must fail instead.
async fn refused_inside<T>(call: impl Future<Output = crate::Result<T>>) -> Kept {
    const PROMISE: &str = "a call that writes is refused inside the open transaction";
    match crate::store::inside_transaction(call).await {
        Ok(_) => ensure(false, PROMISE, "it was accepted"),
        Err(error) => same(&error.kind(), &crate::ErrorKind::Misconfigured, PROMISE),
    }
}

/// Lets time pass until `attempt` gives something, at most a hundred times [`SHORT`].
async fn eventually<T>(
    promise: &'static str,
    mut attempt: impl AsyncFnMut() -> crate::Result<Option<T>>,
) -> Result<T, Broken> {
    for _ in 0..100 {
        tokio::time::sleep(SHORT).await;
        if let Some(found) = attempt().await? {
            return Ok(found);
        }
    }
    Err(Broken { promise, detail: "it did not within a hundred times the lease's duration".to_owned() })
}
