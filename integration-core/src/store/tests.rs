//! The suites, run against the bundled stores and against stores that break a promise.
#![cfg(feature = "conformance")]
// The suites take asynchronous constructors.
#![allow(clippy::unused_async)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{JobStore, MemoryStore, Stores};
use crate::{
    conformance::{self, saboteur, scheduler::SchedulerFixture},
    error::Result,
    sync::{Job, JobKey, Scheduler},
};

async fn memory(_: &str) -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new())
}

async fn memory_again(store: &Arc<MemoryStore>) -> Arc<MemoryStore> {
    Arc::new(MemoryStore::clone(store))
}

mod memory_tokens {
    crate::token_store_conformance!(super::memory, super::memory_again);
}
mod memory_leases {
    crate::lease_store_conformance!(super::memory, super::memory_again);
}
mod memory_sync {
    crate::sync_store_conformance!(super::memory, super::memory_again);
}
mod memory_jobs {
    crate::job_store_conformance!(super::memory, super::memory_again);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::{ops::Deref, sync::Arc};

    use tempfile::TempDir;

    use crate::store::SqliteStore;

    /// A store and the directory it lives in.
    struct Disk {
        store: SqliteStore,
        directory: Arc<TempDir>,
    }

    impl Deref for Disk {
        type Target = SqliteStore;

        fn deref(&self) -> &SqliteStore {
            &self.store
        }
    }

    async fn fresh(name: &str) -> Disk {
        let directory = Arc::new(TempDir::new().unwrap());
        let store = SqliteStore::open(directory.path().join(name)).await.unwrap();
        Disk { store, directory }
    }

    async fn reopen(disk: &Disk) -> Disk {
        let store = SqliteStore::open(disk.path()).await.unwrap();
        Disk { store, directory: Arc::clone(&disk.directory) }
    }

    mod tokens {
        crate::token_store_conformance!(super::fresh, super::reopen);
    }
    mod leases {
        crate::lease_store_conformance!(super::fresh, super::reopen);
    }
    mod sync {
        crate::sync_store_conformance!(super::fresh, super::reopen);
    }
    mod jobs {
        crate::job_store_conformance!(super::fresh, super::reopen);
    }
}

/// The smallest scheduler over a job store.
#[derive(Debug)]
struct Loop {
    jobs: Arc<dyn JobStore>,
    ran: std::sync::Mutex<Vec<JobKey>>,
}

#[async_trait]
impl Scheduler for Loop {
    async fn schedule(&self, job: &Job, due_in: Duration) -> Result<()> {
        self.jobs.put(job, due_in).await
    }

    async fn cancel(&self, key: &JobKey) -> Result<()> {
        self.jobs.cancel(key).await
    }
}

#[async_trait]
impl SchedulerFixture for Loop {
    fn scheduler(&self) -> &dyn Scheduler {
        self
    }

    async fn ran(&self) -> Vec<JobKey> {
        self.ran.lock().unwrap().clone()
    }

    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
        for claim in self.jobs.claim(100, Duration::from_secs(60)).await.unwrap() {
            self.ran.lock().unwrap().push(claim.job.key.clone());
            assert!(self.jobs.finish(&claim, None).await.unwrap());
        }
    }
}

async fn idle(_: &str) -> Box<Loop> {
    tokio::time::pause();
    Box::new(Loop { jobs: Stores::memory().jobs, ran: std::sync::Mutex::default() })
}

mod scheduler {
    crate::scheduler_conformance!(super::idle);
}

#[tokio::test]
async fn the_token_suite_notices_that_the_last_write_wins() {
    let store = saboteur::LastWriteWins(MemoryStore::new());
    let broken = conformance::token_store::a_stale_save_changes_nothing(&store).await.unwrap_err();
    assert_eq!(broken.promise, "a stale save changes nothing");
    let (store, other) = (saboteur::LastWriteWins(MemoryStore::new()), saboteur::LastWriteWins(MemoryStore::new()));
    let broken = conformance::token_store::of_racing_saves_exactly_one_wins(&store, &other).await.unwrap_err();
    assert_eq!(broken.promise, "of racing saves exactly one wins");
}

#[tokio::test]
async fn the_lease_suite_notices_repeated_fences() {
    let store = saboteur::Unfenced::new(MemoryStore::new());
    let broken = conformance::lease_store::fences_rise_with_every_acquisition(&store).await.unwrap_err();
    assert_eq!(broken.promise, "every acquisition gets a higher fence");
    let store = saboteur::Unfenced::new(MemoryStore::new());
    conformance::lease_store::renewing_after_loss_says_so(&store).await.unwrap();
}

#[tokio::test]
async fn the_sync_suite_notices_a_cursor_that_is_durable_before_its_effects() {
    let store = saboteur::CursorFirst(MemoryStore::new());
    let broken = conformance::sync_store::a_dropped_transaction_leaves_nothing(&store).await.unwrap_err();
    assert_eq!(broken.promise, "a transaction leaves everything or nothing");
    let store = saboteur::CursorFirst(MemoryStore::new());
    conformance::sync_store::committed_rows_are_read_back(&store).await.unwrap();
}
