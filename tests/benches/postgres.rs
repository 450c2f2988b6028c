//! What the stores in PostgreSQL take in, beside what `pgbench` inserts into the same server in the same minute.
//!
//! `cargo bench -p integration-testing --bench postgres`; needs the PostgreSQL binaries, or `DATABASE_URL` and `pgbench`.
//! Prints one line for each figure. See docs/performance.md for what was measured and for the aims.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]

#[cfg(unix)]
mod measured {
    use std::{
        process::Command,
        time::{Duration, Instant},
    };

    use futures_util::{StreamExt, future::try_join_all, stream};
    use integration_core::{
        Result,
        ids::{ConnectionId, TenantId},
        store::{
            Claim, CounterKey, JobStore, LeaseKey, LeaseStore, PostgresOptions, PostgresStore, StateKey, StateWrite,
            SyncStore,
        },
        sync::Job,
    };
    use integration_testing::postgres::{Database, Postgres, binaries};
    use sqlx::{Connection, PgConnection};

    const WORKERS: usize = 4;
    const JOBS: usize = 20_000;
    const BATCHES: usize = 50;
    /// Activities in a batch, each with its decision and its place in the partition.
    const BATCH: usize = 100;
    /// A usual activity as JSON.
    const BYTES: usize = 700;

    pub(crate) async fn run() {
        let server = Postgres::start().await.unwrap_or_else(|error| panic!("{error}"));
        let database = server.database().await;
        let store = PostgresStore::open_with(PostgresOptions::new(database.url()).with_connections(16)).await.unwrap();
        let profile = if cfg!(debug_assertions) { "without optimisations" } else { "optimised" };
        println!("{profile}; {WORKERS} workers in one process, server on this machine, fsync on");
        if let Some(own) = pgbench(&database).await {
            println!("pgbench, one durable insert per transaction, {} clients: {own:.0}/s", WORKERS * 4);
        }
        tell("jobs put, one durable statement each", JOBS, put(&store).await.unwrap());
        tell("no-op jobs claimed (50 at a time) and completed", JOBS, work_off(&store).await.unwrap());
        let activities = WORKERS * BATCHES * BATCH;
        let took = fill(&store).await.unwrap();
        tell("activities written in batches of 100", activities, took);
        tell("rows of these batches", activities * 3, took);
    }

    fn tell(what: &str, count: usize, took: Duration) {
        println!("{what}: {:.0}/s ({count} in {:.2} s)", count as f64 / took.as_secs_f64(), took.as_secs_f64());
    }

    /// Transactions a second by PostgreSQL's own tool; `None` if it is not installed.
    async fn pgbench(database: &Database) -> Option<f64> {
        // Beside the server's programs, or wherever the client's are.
        let beside = binaries().map(|directory| directory.join("pgbench")).filter(|program| program.is_file());
        let program = beside.unwrap_or_else(|| "pgbench".into());
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        let table = "CREATE TABLE bench (key TEXT COLLATE \"C\" PRIMARY KEY, version BIGINT, bytes BYTEA)";
        sqlx::raw_sql(table).execute(&mut connection).await.unwrap();
        let place = tempfile::tempdir().unwrap();
        let script = place.path().join("insert.sql");
        let insert =
            format!("INSERT INTO bench VALUES (gen_random_uuid()::text, 1, decode(repeat('61', {BYTES}), 'hex'));\n");
        std::fs::write(&script, insert).unwrap();
        let mut command = Command::new(program);
        command.args(["-n", "-M", "prepared", "-c", "16", "-j", "2", "-T", "6", "-f"]).arg(&script).arg(database.url());
        let output = command.output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("tps = "));
        line.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))).split(' ').next()?.parse().ok()
    }

    async fn put(store: &PostgresStore) -> Result<Duration> {
        let began = Instant::now();
        let jobs = (0..JOBS)
            .map(|number| Job::sync_mail(&TenantId::new("tenant"), &ConnectionId::new(format!("connection-{number}"))));
        let puts = stream::iter(jobs).map(|job| async move { store.put(&job, Duration::from_millis(1)).await });
        let mut puts = puts.buffer_unordered(WORKERS * 4);
        while let Some(put) = puts.next().await {
            put?;
        }
        Ok(began.elapsed())
    }

    async fn work_off(store: &PostgresStore) -> Result<Duration> {
        let began = Instant::now();
        let workers = (0..WORKERS).map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut done = 0;
                loop {
                    let claims = store.claim(50, Duration::from_secs(60)).await?;
                    if claims.is_empty() {
                        return Ok::<_, integration_core::Error>(done);
                    }
                    let finished = stream::iter(claims).map(|claim| finish(store.clone(), claim)).buffer_unordered(4);
                    done += finished.filter(|ours| std::future::ready(*ours)).count().await;
                }
            })
        });
        let mut done = 0;
        for worker in try_join_all(workers).await.unwrap() {
            done += worker?;
        }
        assert_eq!(done, JOBS, "each once");
        Ok(began.elapsed())
    }

    async fn finish(store: PostgresStore, claim: Claim) -> bool {
        store.finish(&claim, None).await.is_ok_and(|ours| ours)
    }

    async fn fill(store: &PostgresStore) -> Result<Duration> {
        let began = Instant::now();
        let writers = (0..WORKERS).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move { write(&store, &TenantId::new(format!("tenant-{writer}"))).await })
        });
        for written in try_join_all(writers).await.unwrap() {
            written?;
        }
        Ok(began.elapsed())
    }

    /// As the engine does it: a lease, and for each batch one fenced transaction with a number, the rows and a cursor.
    async fn write(store: &PostgresStore, tenant: &TenantId) -> Result<()> {
        let guard = store.acquire(&LeaseKey::new(["sync", tenant.as_str()]), Duration::from_secs(60)).await?.unwrap();
        for batch in 0..BATCHES {
            let mut tx = store.begin(Some(&guard)).await?;
            tx.next(&CounterKey::new(tenant.clone(), "batch")).await?;
            let mut rows = Vec::with_capacity(BATCH * 3 + 1);
            for number in 0..BATCH {
                let key = |space: &str| StateKey::new(["connection", space, &format!("{batch:04}-{number:04}")]);
                rows.push(StateWrite::put(tenant, "activity", key("a"), vec![b'x'; BYTES]));
                rows.push(StateWrite::put(tenant, "decision", key("d"), vec![b'x'; BYTES / 2]));
                rows.push(StateWrite::put(tenant, "member", key("m"), vec![b'x'; BYTES / 6]));
            }
            rows.push(StateWrite::put(tenant, "partition", StateKey::new(["connection"]), batch.to_string()));
            tx.write(&rows).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

fn main() {
    #[cfg(unix)]
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(measured::run());
    }
}
