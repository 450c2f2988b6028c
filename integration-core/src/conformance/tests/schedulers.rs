use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::task::JoinHandle;

use crate::{
    clock::SystemClock,
    conformance::{
        saboteur::PlainQueue,
        scheduler::{self as suite, SchedulerFixture},
    },
    store::{JobStore, MemoryStore},
    sync::{BundledScheduler, Job, JobKey, JobOutcome, JobRunner, Scheduler, SchedulerOptions, Shutdown},
};

/// Writes down what it is given: done, never again.
#[derive(Debug, Default)]
struct Diary(Mutex<Vec<JobKey>>);

#[async_trait]
impl JobRunner for Diary {
    async fn run(&self, job: Job, _: &Shutdown) -> JobOutcome {
        self.0.lock().unwrap().push(job.key);
        JobOutcome::Done { again_in: None }
    }
}

/// The bundled scheduler, at work in two loops as two processes would be.
#[derive(Debug)]
struct AtWork {
    scheduler: BundledScheduler,
    diary: Arc<Diary>,
    loops: Vec<JoinHandle<()>>,
}

impl AtWork {
    fn over(jobs: Arc<dyn JobStore>, nap: Duration) -> Self {
        let options = SchedulerOptions { workers: 1, nap, ..SchedulerOptions::default() };
        let scheduler = BundledScheduler::new(jobs, Arc::new(SystemClock::new()), options);
        let diary = Arc::new(Diary::default());
        let work = |_| {
            let (scheduler, diary) = (scheduler.clone(), Arc::clone(&diary));
            tokio::spawn(async move { scheduler.work(diary, &Shutdown::default()).await.unwrap() })
        };
        Self { loops: (0..2).map(work).collect(), scheduler, diary }
    }

    fn ran(&self) -> Vec<JobKey> {
        self.diary.0.lock().unwrap().clone()
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.loops.iter().for_each(JoinHandle::abort);
    }
}

/// On the runtime's virtual time.
#[derive(Debug)]
struct InMemory(AtWork);

#[async_trait]
impl SchedulerFixture for InMemory {
    fn scheduler(&self) -> &dyn Scheduler {
        &self.0.scheduler
    }

    async fn ran(&self) -> Vec<JobKey> {
        self.0.ran()
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }
}

mod memory {
    use super::*;

    async fn fresh(_: &str) -> Box<InMemory> {
        tokio::time::pause();
        Box::new(InMemory(AtWork::over(Arc::new(MemoryStore::new()), SchedulerOptions::default().nap)))
    }

    crate::scheduler_conformance!(fresh);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use sqlx::{Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};
    use tempfile::TempDir;

    use super::*;
    use crate::store::SqliteStore;

    /// The database's clock decides, so time passes by moving every stored time back.
    #[derive(Debug)]
    struct InFile {
        at_work: AtWork,
        directory: TempDir,
    }

    const NOW: &str = "unixepoch('now', 'subsec') * 1000";

    impl InFile {
        async fn file(&self) -> SqliteConnection {
            let options = SqliteConnectOptions::new().filename(self.directory.path().join("jobs.db"));
            SqliteConnection::connect_with(&options.busy_timeout(Duration::from_secs(30))).await.unwrap()
        }

        /// Waits until nothing is due and nobody works.
        async fn settled(&self, file: &mut SqliteConnection) {
            let busy =
                format!("SELECT COUNT(*) FROM integration_job WHERE claimed_until IS NOT NULL OR ready <= {NOW}");
            for _ in 0..3_000 {
                let row = sqlx::query(sqlx::AssertSqlSafe(busy.clone())).fetch_one(&mut *file).await.unwrap();
                if row.get::<i64, _>(0) == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("the scheduler does not get its work done");
        }
    }

    #[async_trait]
    impl SchedulerFixture for InFile {
        fn scheduler(&self) -> &dyn Scheduler {
            &self.at_work.scheduler
        }

        async fn ran(&self) -> Vec<JobKey> {
            self.at_work.ran()
        }

        async fn advance(&self, by: Duration) {
            let mut file = self.file().await;
            // A job that is being run while time jumps would be taken for one whose worker died, and run twice.
            self.settled(&mut file).await;
            let moved = "UPDATE integration_job SET due = due - ?1, ready = ready - ?1, again = again - ?1, \
                claimed_until = claimed_until - ?1";
            sqlx::query(moved).bind(i64::try_from(by.as_millis()).unwrap()).execute(&mut file).await.unwrap();
            self.settled(&mut file).await;
        }
    }

    async fn fresh(_: &str) -> Box<InFile> {
        let directory = TempDir::new().unwrap();
        let store = SqliteStore::open(directory.path().join("jobs.db")).await.unwrap();
        Box::new(InFile { at_work: AtWork::over(Arc::new(store), Duration::from_millis(20)), directory })
    }

    crate::scheduler_conformance!(fresh);
}

#[tokio::test]
async fn the_suite_notices_a_key_that_runs_twice() {
    let broken = suite::one_key_has_one_pending_job(&PlainQueue::default()).await.unwrap_err();
    assert_eq!(broken.promise, "one key has one pending job");
    let broken = suite::the_earlier_due_time_stands(&PlainQueue::default()).await.unwrap_err();
    assert_eq!(broken.promise, "the earlier due time stands");
    suite::a_due_job_is_run(&PlainQueue::default()).await.unwrap();
    suite::keys_are_independent(&PlainQueue::default()).await.unwrap();
}
